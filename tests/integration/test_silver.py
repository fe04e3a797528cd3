"""silver-validate in whole runs: the example of its README; conversions, computed columns and rescued
properties as they arrive in a table; and deduplication, killed on the way, against the oracle."""

import json
import re
import shutil
import signal

import pytest

from tests.lake import readers
from tests.oracle import check, expect_for_topology
from tests.support import sluice
from tests.support.servers import ROOT

SCHEMA = {
    "type": "object",
    "required": ["id"],
    "properties": {
        "id": {"type": "integer"},
        "at": {"type": "string", "format": "date-time"},
        "amount": {"type": "number", "x-sluice-type": "decimal(10,2)"},
        "place": {"type": "object", "properties": {"country": {"type": "string"}}},
    },
}
RECORDS = [
    {"id": "1", "at": 1795341600123, "amount": "12.50", "place": {"country": "DE"}},
    {"id": 2, "at": "2026-11-22T23:59:59Z", "amount": 3, "place": {"country": "FR", "zip": "75"}},
    {"id": "two", "amount": 1},
    {"id": 3, "amount": 0.001},
    {"id": 4, "note": [1, {"a": None}]},
]


def test_the_readme_example_runs(tmp_path):
    readme = (ROOT / "plugins" / "silver-validate" / "README.md").read_text()
    (example,) = re.findall(r"```json\n(.*?)```", readme, re.S)
    shutil.copy(ROOT / "deploy" / "demo" / "event.schema.json", tmp_path)
    path = tmp_path / "topology.json"
    path.write_text(example)
    run = sluice.run_until_end(path)
    rows = [json.loads(line) for line in read_lines(tmp_path, "rows")]
    rejects = read_lines(tmp_path, "rejects")
    assert rows[0]["day"] == rows[0]["ts"][:10]
    assert rows[0]["country_lc"] == rows[0]["country"].lower()
    assert len({row["event_id"] for row in rows}) == len(rows) == run.rows_in("rows")
    assert 19_000 < len(rows) < 20_000 and rejects


def read_lines(folder, name):
    paths = sorted(p for p in folder.rglob(name + "*.jsonl") if p.is_file())
    return [line for path in paths for line in path.read_text("utf-8", "replace").splitlines()]


@pytest.fixture
def topology(tmp_path):
    (tmp_path / "in").mkdir()
    lines = "".join(json.dumps(record) + "\n" for record in RECORDS)
    (tmp_path / "in" / "a.jsonl").write_text(lines)
    (tmp_path / "schema.json").write_text(json.dumps(SCHEMA))
    silver = {
        "schema": "schema.json",
        "rescue": True,
        "coerce": {
            "id": "string->integer",
            "at": "epoch_ms->date-time",
            "amount": "string->number",
        },
        "computed": {"twice": "amount * 2", "day": "date(at)", "cc": "lower(place.country)"},
    }
    path = tmp_path / "topology.json"
    path.write_text(
        json.dumps(
            {
                "pipeline": "p",
                "state": "state",
                "sources": {"lines": {"plugin": "file", "config": {"path": "in/*.jsonl"}}},
                "transforms": {
                    "silver": {"plugin": "silver-validate", "inputs": ["lines"], "config": silver}
                },
                "sinks": {
                    "rows": sink(["silver"], "rows"),
                    "bad": sink(["silver.rejects"], "bad"),
                },
            }
        )
    )
    return path


def sink(inputs, table):
    return {"plugin": "delta-sink", "inputs": inputs, "config": {"table": table}}


def test_conversions_arrive_in_the_table(topology):
    sluice.run_until_end(topology)
    rows = readers.read(topology.parent / "rows", "delta-rs").sort_by("id").to_pylist()
    assert [row["id"] for row in rows] == [1, 2, 4]
    assert rows[0]["at"].isoformat() == "2026-11-22T10:00:00.123000+00:00"
    assert [str(row["amount"]) for row in rows] == ["12.50", "3.00", "None"]
    assert [row["twice"] for row in rows] == [25.0, 6.0, None]
    assert [str(row["day"]) for row in rows] == ["2026-11-22", "2026-11-22", "None"]
    assert [row["cc"] for row in rows] == ["de", "fr", None]
    rescued = [row["_rescued_data"] and json.loads(row["_rescued_data"]) for row in rows]
    assert rescued == [None, {"place.zip": "75"}, {"note": [1, {"a": None}]}]
    bad = readers.read(topology.parent / "bad", "delta-rs").sort_by("offset").to_pylist()
    assert [(row["reason"], row["path"]) for row in bad] == [
        ("coercion", "$.id"),
        ("decimal_out_of_range", "$.amount"),
    ]
    assert json.loads(bad[0]["value"]) == RECORDS[2]


def deduplicating(rate, max_ahead):
    """Duplicates inside and outside `within`: their originals lie up to 10 s back. `keep` covers
    the events between two commits, by which the killed sinks lag behind."""
    dedup = {"key": "event_id", "within": "4s", "keep": "18s", "max_ahead": max_ahead}
    events = {
        "count": 60_000,
        "partitions": 3,
        "event_rate": 2000,
        "duplicates": 0.05,
        "invalid": 0.01,
        "rate": rate,
    }
    return {
        "pipeline": "retail",
        "state": "state",
        "sources": {"events": {"plugin": "generator", "config": events}},
        "transforms": {
            "silver": {
                "plugin": "silver-validate",
                "inputs": ["events"],
                "config": {"schema": "event.schema.json", "deduplicate": dedup},
            }
        },
        "sinks": {
            "bronze": {
                "plugin": "bronze-sink",
                "inputs": ["events"],
                "config": {"table": "bronze"},
            },
            "silver_t": sink(["silver"], "silver"),
            "bad": sink(["silver.rejects"], "bad"),
        },
    }


def kill_after(path, segments):
    """Runs until so many new segments are stored, then kills. Old ones may go meanwhile."""
    state = path.parent / "state"

    def stored():
        return set(state.rglob("*.seg"))

    before = stored()
    with sluice.Process("run", "--until-end", path) as process:
        process.wait_for(lambda: len(stored() - before) >= segments, 60, f"{segments} segments")
        process.signal(signal.SIGKILL)
        process.wait(30)


@pytest.mark.parametrize("max_ahead", ["0s", "1ms"])
def test_duplicates_are_what_the_oracle_says_after_kills(tmp_path, max_ahead):
    shutil.copy(ROOT / "deploy" / "demo" / "event.schema.json", tmp_path)
    path = tmp_path / "topology.json"
    path.write_text(json.dumps(deduplicating(15_000, max_ahead)))
    kill_after(path, 2)
    kill_after(path, 1)
    path.write_text(json.dumps(deduplicating(0, max_ahead)))
    sluice.run_until_end(path)
    tables = {n: readers.read(tmp_path / n, "delta-rs") for n in ("bronze", "silver", "bad")}
    topology = deduplicating(0, max_ahead)
    if max_ahead == "0s":  # no bound
        del topology["transforms"]["silver"]["config"]["deduplicate"]["max_ahead"]
    answer = expect_for_topology(tables["bronze"], topology, tmp_path)
    assert tables["bronze"].num_rows == 60_000
    assert check.silver(answer, tables["silver"]) is None
    assert check.quarantine(answer, tables["bad"]) is None
    duplicates = 60_000 - tables["silver"].num_rows - tables["bad"].num_rows
    assert 500 < duplicates < 5_000
