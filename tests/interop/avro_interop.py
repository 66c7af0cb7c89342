"""Records by another implementation of Avro.

In, as lines of JSON: {schema, bytes, write_as?}, bytes being single-object encoding in
hexadecimal. Out, one line for each:
- `bytes`: read here and written here again;
- `reduced_schema`, `reduced_datum`: the schema without the fields that have a default, and the
  record written by it, as a writer from before those fields would have;
- `defaulted_bytes`: the record by the whole schema, those fields at their defaults;
- `written_bytes`: the record by the schema `write_as`, if one was given.
"""

import copy
import io
import json
import sys

import fastavro
from fastavro.schema import fingerprint, to_parsing_canonical_form

MARKER = b"\xc3\x01"


def header(schema):
    digest = fingerprint(to_parsing_canonical_form(schema), "CRC-64-AVRO")
    # the digest is printed in the byte order of the header
    return MARKER + bytes.fromhex(digest)


def read(schema, datum):
    stream = io.BytesIO(datum)
    record = fastavro.schemaless_reader(stream, schema)
    if stream.read():
        raise ValueError("bytes after the record")
    return record


def write(schema, record):
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, schema, record)
    return stream.getvalue()


def reduce_schema(node):
    """The schema without the fields that have a default."""
    if isinstance(node, list):
        return [reduce_schema(item) for item in node]
    if not isinstance(node, dict):
        return node
    node = dict(node)
    if "fields" in node:
        node["fields"] = [reduce_schema(field) for field in node["fields"] if "default" not in field]
    for part in ("type", "items", "values"):
        if isinstance(node.get(part), (dict, list)):
            node[part] = reduce_schema(node[part])
    return node


def drop_defaulted(node, record, named):
    """The record without the fields that have a default in the schema, at every depth."""
    if isinstance(node, str):
        node = named.get(node, node)
    if isinstance(node, dict) and "name" in node and "fields" in node:
        named[node["name"]] = node
    if isinstance(node, dict) and isinstance(record, dict) and "fields" in node:
        return {
            field["name"]: drop_defaulted(field["type"], record[field["name"]], named)
            for field in node["fields"]
            if "default" not in field
        }
    if isinstance(node, list) and isinstance(record, dict):
        for branch in node:
            branch = named.get(branch, branch) if isinstance(branch, str) else branch
            if isinstance(branch, dict) and "fields" in branch:
                if {field["name"] for field in branch["fields"]} == set(record):
                    return drop_defaulted(branch, record, named)
    if isinstance(node, dict) and node.get("type") == "array":
        return [drop_defaulted(node["items"], item, named) for item in record]
    return record


def main():
    for case in [json.loads(line) for line in sys.stdin]:
        schema = fastavro.parse_schema(copy.deepcopy(case["schema"]))
        data = bytes.fromhex(case["bytes"])
        if not data.startswith(header(schema)):
            raise ValueError("another fingerprint")
        record = read(schema, data[len(header(schema)) :])

        reduced_json = reduce_schema(case["schema"])
        reduced = fastavro.parse_schema(copy.deepcopy(reduced_json))
        bare = drop_defaulted(case["schema"], record, {})
        answer = {
            "bytes": (header(schema) + write(schema, record)).hex(),
            "reduced_schema": reduced_json,
            "reduced_datum": write(reduced, bare).hex(),
            "defaulted_bytes": (header(schema) + write(schema, bare)).hex(),
        }
        if "write_as" in case:
            older = fastavro.parse_schema(copy.deepcopy(case["write_as"]))
            answer["written_bytes"] = (header(older) + write(older, record)).hex()
        print(json.dumps(answer))


if __name__ == "__main__":
    main()
