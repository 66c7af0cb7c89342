"""A client of the schema registry in another language, in the framing of Confluent's clients.

In, as lines of JSON; the first names the registry: {url, client}, `client` being `fastavro` (the
framing by hand) or `confluent` (Confluent's own serializers). Then either
- {topic, bytes}: a value off a topic in hexadecimal. Out: {type, user_id, bytes}: the name of its
  type where that is known, whose it is, and the same record written again;
- {topic, schema, record}: registers a schema and writes a record by it. Out: {id, bytes}.
"""

import io
import json
import struct
import sys
import urllib.request

import fastavro

MEDIA_TYPE = "application/vnd.schemaregistry.v1+json"


class Registry:
    def __init__(self, url):
        self.url = url
        self.schemas = {}

    def ask(self, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": MEDIA_TYPE, "Accept": MEDIA_TYPE}
        request = urllib.request.Request(self.url + path, data=data, headers=headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def schema(self, number):
        if number not in self.schemas:
            text = self.ask(f"/schemas/ids/{number}")["schema"]
            self.schemas[number] = fastavro.parse_schema(json.loads(text))
        return self.schemas[number]

    def register(self, topic, schema):
        return self.ask(f"/subjects/{topic}-value/versions", {"schema": json.dumps(schema)})["id"]


def write(schema, number, record):
    stream = io.BytesIO()
    stream.write(struct.pack(">bI", 0, number))
    fastavro.schemaless_writer(stream, schema, record)
    return stream.getvalue()


def read_by_hand(registry, topic, value):
    marker, number = struct.unpack(">bI", value[:5])
    if marker != 0:
        raise ValueError("not framed with an id")
    schema = registry.schema(number)
    stream = io.BytesIO(value[5:])
    record = fastavro.schemaless_reader(stream, schema, return_record_name=True)
    if stream.read():
        raise ValueError("bytes after the record")
    again = write(schema, number, record)
    # one of a union comes with its name
    name, fields = record if isinstance(record, tuple) else (schema["name"], record)
    return {"type": name, "user_id": fields.get("user_id"), "bytes": again.hex()}


def write_by_hand(registry, topic, schema, record):
    number = registry.register(topic, schema)
    return {"id": number, "bytes": write(fastavro.parse_schema(schema), number, record).hex()}


def confluent(url):
    from confluent_kafka.schema_registry import SchemaRegistryClient
    from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
    from confluent_kafka.serialization import MessageField, SerializationContext

    client = SchemaRegistryClient({"url": url})
    # the schema is the one that is there: nothing is registered by reading
    latest = {"auto.register.schemas": False, "use.latest.version": True}

    def read(_, topic, value):
        context = SerializationContext(topic, MessageField.VALUE)
        record = AvroDeserializer(client, return_record_name=True)(value, context)
        fields = record[1] if isinstance(record, tuple) else record
        name = record[0] if isinstance(record, tuple) else None
        again = AvroSerializer(client, conf=latest)(record, context)
        return {"type": name, "user_id": fields.get("user_id"), "bytes": again.hex()}

    def produce(_, topic, schema, record):
        context = SerializationContext(topic, MessageField.VALUE)
        value = AvroSerializer(client, json.dumps(schema))(record, context)
        return {"id": struct.unpack(">I", value[1:5])[0], "bytes": value.hex()}

    return read, produce


def main():
    lines = [json.loads(line) for line in sys.stdin]
    registry = Registry(lines[0]["url"])
    read, produce = read_by_hand, write_by_hand
    if lines[0]["client"] == "confluent":
        read, produce = confluent(lines[0]["url"])
    for line in lines[1:]:
        if "bytes" in line:
            answer = read(registry, line["topic"], bytes.fromhex(line["bytes"]))
        else:
            answer = produce(registry, line["topic"], line["schema"], line["record"])
        print(json.dumps(answer))


main()
