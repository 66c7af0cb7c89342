"""The result table by another implementation of Parquet.

Argument: a result table. Out: one JSON object with the columns and their types, the number of
rows, sums and counts, and digests over columns in the order of the rows.
"""

import collections
import hashlib
import json
import sys

import pyarrow.parquet


def digest(values):
    hasher = hashlib.sha256()
    for value in values:
        hasher.update(b"-" if value is None else value if isinstance(value, bytes) else str(value).encode())
        hasher.update(b"\n")
    return hasher.hexdigest()


def main(path):
    table = pyarrow.parquet.read_table(path)
    column = {name: table.column(name).to_pylist() for name in table.column_names}
    json.dump(
        {
            "columns": {field.name: str(field.type) for field in table.schema},
            "rows": table.num_rows,
            "users": len(set(column["user_id"])),
            "total_won": sum(column["total_won"]),
            "status": collections.Counter(column["status"]),
            "channel": collections.Counter(channel for channel in column["channel"] if channel is not None),
            "destination_bytes": sum(len(value) for value in column["destination"] if value is not None),
            "message_keys": digest(column["message_key"]),
            "first_updated_at": min(at for at in column["updated_at"] if at is not None).isoformat(),
        },
        sys.stdout,
    )


main(sys.argv[1])
