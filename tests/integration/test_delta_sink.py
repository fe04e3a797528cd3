"""delta-sink in whole runs: the example of its README, runs that go on, partitions, and upserts by
key. The generator is the source, so no broker is needed."""

import json
import re
from pathlib import Path

import pytest

from tests.lake import compare, readers
from tests.support import sluice

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def example(tmp_path):
    readme = (ROOT / "plugins" / "delta-sink" / "README.md").read_text()
    (text,) = re.findall(r"```json\n(.*?)```", readme, re.S)
    return json.loads(text), tmp_path / "topology.json"


def run(path, topology):
    path.write_text(json.dumps(topology))
    return sluice.run_until_end(path)


def last_of_each_key(table):
    rows = {}
    for row in sorted(table.to_pylist(), key=lambda row: row["offset"]):
        rows[row["key"]] = row
    return rows


def test_the_readme_example_runs_and_goes_on(example):
    topology, path = example
    lake = path.parent / "lake"
    run(path, topology)
    raw = readers.read(lake / "raw", "delta-rs")
    assert raw.num_rows == 10000
    latest = readers.read(lake / "latest", "duckdb")
    keys = latest["key"].to_pylist()
    assert len(keys) == len(set(keys)) and set(keys) == set(raw["key"].to_pylist())
    run(path, topology)  # nothing new: nothing is written again
    told = compare.difference(raw, readers.read(lake / "raw", "pyarrow"))
    assert told is None, told
    topology["sources"]["events"]["config"]["count"] = 11000
    run(path, topology)
    assert readers.read(lake / "raw", "delta-rs").num_rows == 11000


def test_upserts_keep_the_last_row_of_each_key(example):
    """One partition, so that the order of a key's rows is told."""
    topology, path = example
    topology["sources"]["events"]["config"] |= {"partitions": 1, "count": 30000}
    run(path, topology)
    raw = readers.read(path.parent / "lake" / "raw", "delta-rs")
    wanted = last_of_each_key(raw)
    latest = readers.read(path.parent / "lake" / "latest", "pyarrow")
    assert latest.num_rows == len(wanted)
    assert {row["key"]: row for row in latest.to_pylist()} == wanted


def test_a_renamed_node_is_refused_until_the_operator_decides(example):
    topology, path = example
    del topology["sinks"]["latest"]
    run(path, topology)
    topology["sinks"]["renamed"] = topology["sinks"].pop("raw")
    with pytest.raises(AssertionError, match="adopt"):
        run(path, topology)
    topology["sinks"]["renamed"]["config"]["positions"] = "adopt"
    run(path, topology)
    assert readers.read(path.parent / "lake" / "raw", "delta-rs").num_rows == 10000
