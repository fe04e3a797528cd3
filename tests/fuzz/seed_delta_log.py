"""Seed corpus of fuzz_delta_log: logs of small tables by delta-rs, and lines of every action.

python -m tests.fuzz.seed_delta_log FOLDER
"""

import json
import sys
import tempfile
from pathlib import Path

import deltalake
import pyarrow as pa

SCHEMA = json.dumps(
    {
        "type": "struct",
        "fields": [
            {"name": "id", "type": "long", "nullable": False, "metadata": {"comment": "x"}},
            {"name": "p", "type": "string", "nullable": True, "metadata": {}},
            {
                "name": "n",
                "type": {
                    "type": "map",
                    "keyType": "string",
                    "valueType": {"type": "array", "elementType": "date", "containsNull": True},
                    "valueContainsNull": True,
                },
                "nullable": True,
                "metadata": {},
            },
        ],
    }
)
METADATA = {
    "id": "1",
    "name": "t",
    "format": {"provider": "parquet", "options": {}},
    "schemaString": SCHEMA,
    "partitionColumns": ["p"],
    "configuration": {"delta.appendOnly": "false"},
    "createdTime": 1,
}
ADD = {
    "path": "p=a%20b/f.parquet",
    "partitionValues": {"p": "a b"},
    "size": 5,
    "modificationTime": 1,
    "dataChange": True,
    "stats": '{"numRecords":3,"minValues":{"id":1}}',
    "tags": {"sluice.tail": "o", "other": "1"},
}
ENTRIES = [
    [
        {"commitInfo": {"timestamp": 1, "txnId": "abc", "inCommitTimestamp": 4}},
        {"protocol": {"minReaderVersion": 1, "minWriterVersion": 2}},
        {"metaData": METADATA},
        {"add": ADD},
    ],
    [
        {"txn": {"appId": "a", "version": 9007199254740993, "lastUpdated": 4}},
        {"remove": {"path": "p=a%20b/f.parquet", "deletionTimestamp": 5, "dataChange": True}},
        {"add": {**ADD, "path": "g.parquet", "partitionValues": {"p": None}}},
        {"domainMetadata": {"domain": "d", "configuration": "{}", "removed": False}},
    ],
    [{"protocol": {"minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": [],
                   "writerFeatures": ["appendOnly"]}}],
]


def text(entry):
    return "\n".join(json.dumps(action) for action in entry).encode()


def of_delta_rs(folder):
    """`_last_checkpoint` and the entries of a real table, and its checkpoint as the last part."""
    with tempfile.TemporaryDirectory() as scratch:
        rows = pa.table({"id": [1, 2, 3], "p": ["x", None, "y"]})
        for _ in range(3):
            deltalake.write_deltalake(scratch, rows, mode="append", partition_by=["p"])
        opened = deltalake.DeltaTable(scratch)
        opened.delete("id = 2")
        opened.create_checkpoint()
        log = Path(scratch) / "_delta_log"
        entries = [x.read_bytes() for x in sorted(log.glob("*.json"))]
        hint = (log / "_last_checkpoint").read_bytes()
        (checkpoint,) = log.glob("*.checkpoint.parquet")
        (folder / "delta_rs_entries").write_bytes(b"\0".join([b"", *entries]))
        parts = [hint, *entries[:3], checkpoint.read_bytes()]
        (folder / "delta_rs_checkpoint").write_bytes(b"\0".join(parts))


def main():
    folder = Path(sys.argv[1])
    (folder / "actions").write_bytes(b"\0".join([b'{"version":7}', *map(text, ENTRIES)]))
    (folder / "one").write_bytes(b"\0" + text(ENTRIES[0]))
    of_delta_rs(folder)


main()
