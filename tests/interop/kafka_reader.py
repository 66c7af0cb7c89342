"""A topic, read by another implementation of Kafka's protocol, without aborted transactions.

    kafka_reader.py [--properties FILE] [--schemas FOLDER] BOOTSTRAP TOPIC

Out, as a line of JSON for each record, by partition and offset: partition, offset, key (text; null
without one), value (hexadecimal; null for a tombstone). With a folder of .avsc files, a value in
Avro's single-object encoding also has `schema` (its name) and `record`, where bytes are in
hexadecimal. FILE holds what a client needs to log in, in librdkafka's terms.

Reads to what was the end of each partition at its start, then stops.
"""

import argparse
import datetime
import io
import json
import logging
import pathlib
import sys

import fastavro
from fastavro.schema import fingerprint, to_parsing_canonical_form
from kafka import KafkaConsumer, TopicPartition

MARKER = b"\xc3\x01"
HEADER_BYTES = 10
# librdkafka's names, and the ones of this client
SETTINGS = {
    "security.protocol": "security_protocol",
    "sasl.mechanism": "sasl_mechanism",
    "sasl.username": "sasl_plain_username",
    "sasl.password": "sasl_plain_password",
    "ssl.ca.location": "ssl_cafile",
}
BOOTSTRAP_MS_MAX = 20_000
POLL_MS = 200
POLLS_WITHOUT_PROGRESS_MAX = 150


def read_settings(path):
    pairs = (line.split("=", 1) for line in path.read_text().splitlines() if "=" in line)
    return {SETTINGS[name]: value for name, value in pairs if name in SETTINGS}


def read_schemas(folder):
    """The parsed schemas, by the header of what is written with them."""
    schemas = {}
    for path in sorted(folder.glob("*.avsc")):
        raw = json.loads(path.read_text())
        # printed in the byte order of the header
        digest = fingerprint(to_parsing_canonical_form(raw), "CRC-64-AVRO")
        schemas[MARKER + bytes.fromhex(digest)] = fastavro.parse_schema(raw)
    return schemas


def plain(value):
    """The same, of what JSON has."""
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (bytes, bytearray)):
        return value.hex()
    if isinstance(value, (datetime.datetime, datetime.date)):
        return value.isoformat()
    return value


def decode(value, schemas):
    schema = schemas.get(value[:HEADER_BYTES])
    if schema is None:
        return {}
    stream = io.BytesIO(value[HEADER_BYTES:])
    record = fastavro.schemaless_reader(stream, schema)
    if stream.read():
        raise ValueError("bytes after the record")
    return {"schema": schema["name"], "record": plain(record)}


def read(consumer, topic):
    """Every record up to the end, and no other."""
    partitions = consumer.partitions_for_topic(topic)
    if not partitions:
        sys.exit(f"kafka_reader.py: no topic {topic}")
    places = [TopicPartition(topic, partition) for partition in sorted(partitions)]
    # of committed data: an open transaction's is not waited for
    ends = consumer.end_offsets(places)
    consumer.assign(places)
    consumer.seek_to_beginning(*places)
    idle_polls = 0
    # markers of transactions take offsets too, so the position is asked and not the records
    while unread := [place for place in places if consumer.position(place) < ends[place]]:
        before = [consumer.position(place) for place in unread]
        for records in consumer.poll(timeout_ms=POLL_MS).values():
            for record in records:
                if record.offset < ends[TopicPartition(topic, record.partition)]:
                    yield record
        moved = before != [consumer.position(place) for place in unread]
        idle_polls = 0 if moved else idle_polls + 1
        if idle_polls > POLLS_WITHOUT_PROGRESS_MAX:
            sys.exit("kafka_reader.py: the broker gives no more, and the end is not reached")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--properties", type=pathlib.Path)
    parser.add_argument("--schemas", type=pathlib.Path)
    parser.add_argument("bootstrap")
    parser.add_argument("topic")
    arguments = parser.parse_args()
    # why a broker refuses us is only logged
    logging.basicConfig(level=logging.ERROR, stream=sys.stderr)
    schemas = read_schemas(arguments.schemas) if arguments.schemas else {}
    settings = read_settings(arguments.properties) if arguments.properties else {}

    consumer = KafkaConsumer(
        bootstrap_servers=arguments.bootstrap.split(","),
        isolation_level="read_committed",
        group_id=None,
        bootstrap_timeout_ms=BOOTSTRAP_MS_MAX,
        **settings,
    )
    records = sorted(read(consumer, arguments.topic), key=lambda record: (record.partition, record.offset))
    for record in records:
        line = {
            "partition": record.partition,
            "offset": record.offset,
            "key": None if record.key is None else record.key.decode(),
            "value": None if record.value is None else record.value.hex(),
        }
        if record.value is not None:
            line.update(decode(record.value, schemas))
        print(json.dumps(line))
    consumer.close()


if __name__ == "__main__":
    main()
