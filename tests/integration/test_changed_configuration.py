"""A configuration that changes between two runs: no row is lost, none is in two tables.

The first run is killed while one sink is far ahead of the other, which a long commit interval of the
other makes sure. What both have not done must be judged as it was first.
"""

import json
import signal

import pytest

from tests.lake import readers
from tests.support import sluice

LINE_BYTES = 24
FIRST, SECOND = 4000, 1000  # records before and after the change
ALL = range(FIRST + SECOND)
STRICT = {"type": "object", "properties": {"id": {"type": "integer", "multipleOf": 2}}}
LOOSE = {"type": "object", "properties": {"id": {"type": "integer"}}}
BEGUN = "finished first, as it was begun"


class Pipeline:
    """Records {"id": 0}, {"id": 1}, … from a file through silver into two tables."""

    def __init__(self, folder, slow, deduplicate):
        (folder / "in").mkdir()
        self.folder = folder
        self.config = {"schema": "schema.json"}
        if deduplicate:
            self.config["deduplicate"] = {"key": "id", "within": "10m"}
        interval = {name: "1h" if name == slow else "20ms" for name in ("rows", "rejects")}
        self.document = {
            "pipeline": "p",
            "state": "state",
            "sources": {
                "lines": {"plugin": "file", "config": {"path": "in/*.jsonl", "scan": "20ms"}}
            },
            "transforms": {
                "silver": {
                    "plugin": "silver-validate",
                    "inputs": ["lines"],
                    "config": self.config,
                }
            },
            "sinks": {
                name: {
                    "plugin": "delta-sink",
                    "inputs": [node],
                    "commit.interval": interval[name],
                    "config": {"table": name},
                }
                for name, node in (("rows", "silver"), ("rejects", "silver.rejects"))
            },
        }

    def add_records(self, ids):
        with open(self.folder / "in" / "a.jsonl", "a") as file:
            for i in ids:
                file.write(json.dumps({"id": i}).ljust(LINE_BYTES - 1) + "\n")

    def write(self, schema):
        (self.folder / "schema.json").write_text(json.dumps(schema))
        path = self.folder / "topology.json"
        path.write_text(json.dumps(self.document))
        return path

    def run(self, schema, *arguments):
        return sluice.run_command(
            "run", "--until-end", "--json", *arguments, self.write(schema), limit_s=60
        )

    def run_killed(self, schema, fast, wanted):
        """Runs until the table `fast` holds `wanted` rows."""
        with sluice.Process("run", "--json", self.write(schema)) as process:
            process.wait_for(lambda: self.count(fast) == wanted, 60, f"{wanted} rows in {fast}")
            process.signal(signal.SIGKILL)
            process.wait(30)

    def stop_cleanly(self, schema, fast, wanted):
        with sluice.Process("run", "--json", self.write(schema)) as process:
            process.wait_for(lambda: self.count(fast) == wanted, 60, f"{wanted} rows in {fast}")
            process.signal(signal.SIGTERM)
            assert process.wait(60).exit_code == 0

    def count(self, name):
        log = list((self.folder / name / "_delta_log").glob("*.json"))
        return readers.read(self.folder / name).num_rows if log else 0

    def ids(self):
        """Those in the table of rows, those in quarantine; sorted."""
        rows = readers.read(self.folder / "rows").column("id").to_pylist()
        values = readers.read(self.folder / "rejects").column("value").to_pylist()
        return sorted(rows), sorted(json.loads(value)["id"] for value in values)

    def editions(self):
        files = sorted((self.folder / "state" / "config").iterdir())
        return [json.loads(file.read_text()) for file in files]

    def left_runs(self):
        return len(list((self.folder / "state" / "runs").iterdir()))


def accepted(schema, ids):
    step = schema["properties"]["id"].get("multipleOf", 1)
    return [i for i in ids if i % step == 0]


def expect(pipeline, first, second):
    """The first FIRST records were judged by the schema `first`, the others by `second`."""
    rows = accepted(first, ALL[:FIRST]) + accepted(second, ALL[FIRST:])
    found_rows, found_rejects = pipeline.ids()
    assert found_rows == rows
    assert found_rejects == sorted(set(ALL) - set(rows))


@pytest.fixture
def pipeline(tmp_path):
    def make(slow="rejects", deduplicate=False):
        made = Pipeline(tmp_path, slow, deduplicate)
        made.add_records(ALL[:FIRST])
        return made

    return make


def leave_uneven(p, schema, slow):
    """FIRST records, of which the sink `slow` has committed none."""
    fast = "rejects" if slow == "rows" else "rows"
    rows = len(accepted(schema, ALL[:FIRST]))
    p.run_killed(schema, fast, rows if fast == "rows" else FIRST - rows)
    p.add_records(ALL[FIRST:])


@pytest.mark.parametrize("deduplicate", [False, True], ids=["plain", "deduplicated"])
@pytest.mark.parametrize(
    "first, second, slow",
    [(STRICT, LOOSE, "rejects"), (STRICT, LOOSE, "rows"), (LOOSE, STRICT, "rejects")],
    ids=["loosened-rejects-behind", "loosened-rows-behind", "tightened-rejects-behind"],
)
def test_a_schema_changes_between_a_crash_and_the_restart(
    pipeline, first, second, slow, deduplicate
):
    p = pipeline(slow, deduplicate)
    leave_uneven(p, first, slow)
    done = p.run(second)
    assert done.exit_code == 0, done.failed_because()
    assert BEGUN in done.log and "silver (schema (what the file holds))" in done.log
    expect(p, first, second)
    schemas = [e["transforms"]["silver"]["files"]["schema"] for e in p.editions()]
    assert schemas == [json.dumps(first), json.dumps(second)]
    assert p.left_runs() == 0


def test_without_that_rows_are_in_both_tables(pipeline):
    """The test above sees what it looks for."""
    p = pipeline()
    leave_uneven(p, LOOSE, "rejects")
    done = p.run(STRICT, "--skip-replay")
    assert done.exit_code == 0 and "rows of it may be lost or double" in done.log
    rows, rejects = p.ids()
    assert set(rows) & set(rejects)


def test_a_crash_while_the_old_is_finished(pipeline):
    p = pipeline()
    leave_uneven(p, LOOSE, "rejects")
    with sluice.Process("run", "--json", p.write(STRICT)) as process:
        process.wait_for(lambda: BEGUN in process.text(1), 60, BEGUN)
        process.signal(signal.SIGKILL)
        process.wait(30)
    assert p.run(STRICT).exit_code == 0
    expect(p, LOOSE, STRICT)


@pytest.mark.parametrize(
    "first, second", [(STRICT, LOOSE), (LOOSE, STRICT)], ids=["loosened", "tightened"]
)
def test_a_clean_stop_leaves_nothing_to_finish(pipeline, first, second):
    p = pipeline()
    p.stop_cleanly(first, "rows", len(accepted(first, ALL[:FIRST])))
    p.add_records(ALL[FIRST:])
    done = p.run(second)
    assert done.exit_code == 0, done.failed_because()
    assert "has changed since edition 1: silver" in done.log and BEGUN not in done.log
    expect(p, first, second)


def test_what_changes_no_row_is_no_change(pipeline):
    p = pipeline(deduplicate=True)
    leave_uneven(p, LOOSE, "rejects")
    p.document["lanes"] = 1
    p.document["sinks"]["rows"]["buffer"] = "1MiB"
    p.document["errors.log.enable"] = True
    p.config["deduplicate"]["memory"] = "8MiB"
    done = p.run(LOOSE)
    assert done.exit_code == 0 and "the configuration has changed" not in done.log
    expect(p, LOOSE, LOOSE)


def test_reading_goes_no_further_than_the_tables_that_the_change_concerns(pipeline):
    """A record that stops silver may be what the schema is changed for."""
    p = pipeline()
    p.document["transforms"]["silver"]["errors.tolerance"] = "none"
    raw = {"plugin": "delta-sink", "inputs": ["lines"], "commit.interval": "20ms"}
    p.document["sinks"]["raw"] = {**raw, "config": {"table": "raw"}}
    with sluice.Process("run", "--json", p.write(STRICT)) as process:
        process.wait_for(lambda: p.count("raw") == FIRST, 60, "all raw records")
        process.wait_for(lambda: "multiple_of" in process.text(1), 60, "silver has failed")
        process.signal(signal.SIGKILL)
        process.wait(30)
    p.add_records(ALL[FIRST:])
    done = p.run(LOOSE)
    assert done.exit_code == 0, done.failed_because()
    assert p.ids()[0] == list(ALL)


def test_a_plugin_that_is_gone_is_named(pipeline):
    p = pipeline()
    leave_uneven(p, LOOSE, "rejects")
    file = p.folder / "state" / "config" / f"{1:020}.json"
    file.write_text(file.read_text().replace('"delta-sink"', '"delta-sink-old"'))
    done = p.run(STRICT)
    assert done.exit_code == 2
    assert 'no plugin "delta-sink-old"' in done.log and "--skip-replay" in done.log


@pytest.mark.parametrize(
    "text, said",
    [
        ('{"format":2}', "has format version 2, this sluice reads version 1"),
        ('{"format":0}', "has format version 0, this sluice reads version 1"),
        ('{"format":1,"sour', "is no edition of a configuration"),
        ("", "is no edition of a configuration"),
        ('{"format":1}', "parts are missing"),
    ],
    ids=["newer", "older", "cut", "empty", "parts"],
)
def test_an_edition_that_cannot_be_read(pipeline, text, said):
    p = pipeline()
    assert p.run(LOOSE).exit_code == 0
    (p.folder / "state" / "config" / f"{1:020}.json").write_text(text)
    done = p.run(LOOSE)
    assert done.exit_code == 1 and said in done.log, done.failed_because()


def test_a_configuration_that_never_ran_is_forgotten(pipeline):
    """A slip that keeps nodes from starting is no edition that would have to be finished."""
    p = pipeline()
    leave_uneven(p, LOOSE, "rejects")
    p.config["computed"] = {"no": "such_column + 1"}
    assert p.run(STRICT).exit_code == 2
    assert len(p.editions()) == 1
    del p.config["computed"]
    assert p.run(STRICT).exit_code == 0
    expect(p, LOOSE, STRICT)


def test_a_topic_of_several_partitions(broker, new_topic, pipeline):
    p = pipeline(deduplicate=True)
    topic = new_topic(4)
    p.document["kafka"] = {"bootstrap.servers": broker.bootstrap}
    p.document["sources"]["lines"] = {"plugin": "kafka", "config": {"topics": [topic]}}

    def produce(ids):
        broker.produce(topic, ({"value": b'{"id":%d}' % i, "partition": i % 4} for i in ids))

    produce(ALL[:FIRST])
    p.run_killed(LOOSE, "rows", FIRST)
    produce(ALL[FIRST:])
    done = p.run(STRICT)
    assert done.exit_code == 0 and BEGUN in done.log, done.failed_because()
    expect(p, LOOSE, STRICT)
