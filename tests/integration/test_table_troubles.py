"""What others do to a table while a sink writes to it: it is deleted, made anew, divided or typed
otherwise, or gets features that sluice does not have. The sink says so and writes nothing that
nobody would read; what it had read is read again. The generator is the source."""

import json
import shutil
import signal

import deltalake
import pytest

from tests.lake import readers
from tests.support import sluice

LIMIT_S = 60
COUNT = 10**9  # more than any test waits for


def topology(folder, **config):
    document = {
        "pipeline": "troubles",
        "state": "state",
        "commit.interval": "50ms",
        "retry.timeout": "2s",
        "sources": {"made": {"plugin": "generator", "config": {"count": COUNT, "rate": 2000}}},
        "sinks": {
            "rows": {
                "plugin": "delta-sink",
                "inputs": ["made"],
                "config": {"table": "lake/rows", **config},
            },
            "other": {
                "plugin": "bronze-sink",
                "inputs": ["made"],
                "config": {"table": "lake/other"},
            },
        },
    }
    path = folder / "topology.json"
    path.write_text(json.dumps(document))
    return path


def log_of(table):
    return table / "_delta_log"


def versions(table):
    return sorted(int(file.stem) for file in log_of(table).glob("*.json"))


def newest(table):
    found = versions(table)
    return found[-1] if found else -1


def put_next(table, actions):
    """Another writer's entry, at the next free number; its version."""
    text = "".join(json.dumps(action) + "\n" for action in actions)
    while True:
        version = newest(table) + 1
        try:
            with open(log_of(table) / f"{version:020}.json", "x") as out:
                out.write(text)
            return version
        except FileExistsError:
            pass


def first_actions(table):
    """protocol and metaData of version 0."""
    lines = (log_of(table) / f"{0:020}.json").read_text().splitlines()
    found = {}
    for line in lines:
        found |= json.loads(line)
    return found


def delete(table):
    """At once: file by file the sink could come between."""
    shutil.rmtree(table.rename(table.parent / "away"))


def run_until(tmp_path, path, do, words):
    """Runs, does it once rows are in the table, and waits until the sink has failed with these words
    while the other sink goes on."""
    table, other = tmp_path / "lake" / "rows", tmp_path / "lake" / "other"
    with sluice.Process("run", path) as process:
        process.wait_for(lambda: newest(table) >= 3, LIMIT_S, "commits")
        do(table)
        process.wait_for(lambda: all(w in process.text(1) for w in words), LIMIT_S, "the sentence")
        there = newest(other)
        process.wait_for(lambda: newest(other) > there, LIMIT_S, "the other sink's commits")
        process.signal(signal.SIGTERM)
        assert process.wait(LIMIT_S).exit_code == 1


def test_a_table_that_is_deleted_is_not_written_on(tmp_path):
    path = topology(tmp_path)
    words = ["is not there any more", "was deleted or replaced"]
    run_until(tmp_path, path, delete, words)
    table = tmp_path / "lake" / "rows"
    assert versions(table) == []  # no entry that stands alone


def test_a_table_that_is_made_anew_by_another_is_not_written_on(tmp_path):
    def replace(table):
        schema = deltalake.DeltaTable(str(table)).schema()
        delete(table)
        deltalake.DeltaTable.create(str(table), schema=schema)

    run_until(tmp_path, topology(tmp_path), replace, ["was deleted or replaced"])
    table = tmp_path / "lake" / "rows"
    assert versions(table) == [0]
    assert readers.read(table, "delta-rs").num_rows == 0


def test_other_partition_columns(tmp_path):
    def repartition(table):
        metadata = first_actions(table)["metaData"]
        put_next(table, [{"metaData": {**metadata, "partitionColumns": ["offset"]}}])

    path = topology(tmp_path, partition_by=["timestamp"], open_files=1)
    run_until(tmp_path, path, repartition, ["changed the table's partition columns"])


@pytest.mark.parametrize(
    "change, words",
    [
        ({"type": "string"}, 'the column "offset" is string in the table and long in the input'),
        ({"nullable": False}, None),
    ],
)
def test_another_schema(tmp_path, change, words):
    def retype(table):
        metadata = first_actions(table)["metaData"]
        schema = json.loads(metadata["schemaString"])
        (field,) = [f for f in schema["fields"] if f["name"] == "key"]
        if "type" in change:
            (field,) = [f for f in schema["fields"] if f["name"] == "offset"]
        field.update(change)
        put_next(table, [{"metaData": {**metadata, "schemaString": json.dumps(schema)}}])

    words = words or 'the column "key" is NOT NULL in the table and may be null in the input'
    run_until(tmp_path, topology(tmp_path), retype, [words])


FEATURES = [
    (["deletionVectors"], ["deletionVectors"], {"delta.enableDeletionVectors": "true"}),
    (["columnMapping"], ["columnMapping"], {"delta.columnMapping.mode": "name"}),
    ([], ["rowTracking"], {"delta.enableRowTracking": "true"}),
    ([], ["somethingNew"], {}),
]


@pytest.mark.parametrize("readers_, writers, properties", FEATURES)
def test_features_that_come_while_it_runs(tmp_path, readers_, writers, properties):
    def upgrade(table):
        metadata = first_actions(table)["metaData"]
        protocol = {
            "minReaderVersion": 3,
            "minWriterVersion": 7,
            "readerFeatures": readers_,
            "writerFeatures": [*writers, "appendOnly", "invariants"],
        }
        put_next(
            table, [{"protocol": protocol}, {"metaData": {**metadata, "configuration": properties}}]
        )

    (name,) = writers
    run_until(tmp_path, topology(tmp_path), upgrade, [f'uses the feature "{name}"'])
