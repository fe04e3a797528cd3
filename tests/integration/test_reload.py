"""The topology is replaced while it runs: by SIGHUP, and when its file changes.

What is kept keeps its counters, so that a node that was opened anew is known by small ones.
"""

import json
import os
import signal

import pytest

from tests.lake import readers
from tests.support import sluice

RECORDS = 200_000
LIMIT_S = 60
TAKEN = "the new topology runs"


class Pipeline:
    """Numbered records of a generator into one table for each sink."""

    def __init__(self, folder, records=RECORDS, rate=60_000):
        self.folder = folder
        self.path = folder / "topology.json"
        self.document = {
            "pipeline": "reload",
            "state": "state",
            "commit.interval": "100ms",
            "sources": {
                "shop": {"plugin": "generator", "config": {"count": records, "rate": rate}}
            },
            "sinks": {},
        }
        for name in ("one", "two"):
            self.add(name)

    def add(self, name, **keys):
        self.document["sinks"][name] = {
            "plugin": "bronze-sink",
            "inputs": ["shop"],
            "config": {"table": name},
            **keys,
        }

    def write(self):
        """As an editor does: the name gets another file."""
        fresh = self.folder / "fresh.json"
        fresh.write_text(json.dumps(self.document))
        os.replace(fresh, self.path)
        return self.path

    def commits(self, name):
        return len(list((self.folder / name / "_delta_log").glob("*.json")))

    def offsets(self, name):
        return sorted(readers.read(self.folder / name).column("offset").to_pylist())


def replace(process, pipeline, said=TAKEN):
    """SIGHUP, until the log says what came of it."""
    before = process.text(1).count(said)
    pipeline.write()
    process.signal(signal.SIGHUP)
    process.wait_for(lambda: process.text(1).count(said) > before, LIMIT_S, said)


def running(pipeline, *arguments):
    process = sluice.Process("run", "--until-end", "--json", *arguments, pipeline.write())
    process.wait_for(lambda: pipeline.commits("one") > 3, LIMIT_S, "the first commits")
    return process


def test_a_sink_is_changed_and_the_others_go_on(tmp_path):
    pipeline = Pipeline(tmp_path)
    with running(pipeline) as process:
        for interval in ("150ms", "200ms", "250ms"):
            pipeline.document["sinks"]["two"]["commit.interval"] = interval
            replace(process, pipeline)
        done = process.wait(LIMIT_S)
    assert done.exit_code == 0, done.failed_because()
    assert "$.sinks.two['commit.interval']: \"200ms\" -> \"250ms\"" in done.log
    assert pipeline.offsets("one") == pipeline.offsets("two") == list(range(RECORDS))
    assert done.node("one")["inputs"][0]["rows"] == RECORDS
    assert done.node("two")["inputs"][0]["rows"] < RECORDS


def test_a_sink_is_added_and_removed(tmp_path):
    pipeline = Pipeline(tmp_path)
    with running(pipeline) as process:
        pipeline.add("late", start="earliest")
        replace(process, pipeline)
        process.wait_for(lambda: pipeline.commits("late") > 3, LIMIT_S, "the new table")
        del pipeline.document["sinks"]["two"]
        replace(process, pipeline)
        done = process.wait(LIMIT_S)
    assert done.exit_code == 0, done.failed_because()
    assert pipeline.offsets("one") == pipeline.offsets("late") == list(range(RECORDS))
    early = pipeline.offsets("two")
    assert early == list(range(len(early))) and 0 < len(early) < RECORDS
    assert done.node("one")["inputs"][0]["rows"] == RECORDS


def test_the_source_is_changed(tmp_path):
    pipeline = Pipeline(tmp_path)
    with running(pipeline) as process:
        for rate in (65_000, 55_000):
            pipeline.document["sources"]["shop"]["config"]["rate"] = rate
            replace(process, pipeline)
        done = process.wait(LIMIT_S)
    assert done.exit_code == 0, done.failed_because()
    assert pipeline.offsets("one") == pipeline.offsets("two") == list(range(RECORDS))


def test_what_does_not_open_leaves_all_as_it_was(tmp_path):
    pipeline = Pipeline(tmp_path)
    (tmp_path / "file").write_text("no folder")
    with running(pipeline) as process:
        pipeline.document["sinks"]["two"]["config"]["table"] = "file"
        replace(process, pipeline, "the topology stays as it was")
        done = process.wait(LIMIT_S)
    assert done.exit_code == 0, done.failed_because()
    assert "a file stands where a folder is to be" in done.log
    assert pipeline.offsets("one") == pipeline.offsets("two") == list(range(RECORDS))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d["sinks"]["two"].update(inputs=["nowhere"]), "the run goes on as it is"),
        (lambda d: d["sinks"]["two"]["config"].update(tabel="x"), 'did you mean "table"'),
        (lambda d: d.update(lanes=7), "$.lanes differs"),
        (lambda d: d.update(pipeline="other"), "$.pipeline differs"),
    ],
)
def test_what_cannot_be_is_said_and_the_run_goes_on(tmp_path, change, said):
    pipeline = Pipeline(tmp_path, 60_000, rate=15_000)  # long enough for a loaded machine
    with running(pipeline) as process:
        change(pipeline.document)
        replace(process, pipeline, said)
        done = process.wait(LIMIT_S)
    assert done.exit_code == 0, done.failed_because()
    assert TAKEN not in done.log
    assert pipeline.offsets("one") == pipeline.offsets("two") == list(range(60_000))


def test_a_file_that_changes_is_watched(tmp_path):
    pipeline = Pipeline(tmp_path)
    with running(pipeline, "--watch") as process:
        pipeline.add("late", start="earliest")
        pipeline.write()
        process.wait_for(lambda: TAKEN in process.text(1), LIMIT_S, "the new topology")
        done = process.wait(LIMIT_S)
    assert done.exit_code == 0, done.failed_because()
    assert done.log.count("has changed") == 1
    assert pipeline.offsets("late") == list(range(RECORDS))


STRICT = {"type": "object", "properties": {"id": {"type": "integer", "multipleOf": 2}}}
LOOSE = {"type": "object", "properties": {"id": {"type": "integer"}}}


class Judged:
    """Records {"id": 0}, {"id": 1}, … from a file that grows through silver into two tables."""

    LINE_BYTES = 24

    def __init__(self, folder):
        (folder / "in").mkdir()
        self.folder = folder
        self.n = 0
        self.path = folder / "topology.json"
        self.judge_by(STRICT)
        self.path.write_text(
            json.dumps(
                {
                    "pipeline": "p",
                    "state": "state",
                    "commit.interval": "50ms",
                    "sources": {
                        "lines": {"plugin": "file", "config": {"path": "in/*.jsonl", "scan": "20ms"}}
                    },
                    "transforms": {
                        "silver": {
                            "plugin": "silver-validate",
                            "inputs": ["lines"],
                            "config": {
                                "schema": "schema.json",
                                "deduplicate": {"key": "id", "within": "10m"},
                            },
                        }
                    },
                    "sinks": {
                        name: {
                            "plugin": "delta-sink",
                            "inputs": [node],
                            "config": {"table": name},
                        }
                        for name, node in (("rows", "silver"), ("rejects", "silver.rejects"))
                    },
                }
            )
        )

    def judge_by(self, schema):
        (self.folder / "schema.json").write_text(json.dumps(schema))

    def grow(self, n):
        with open(self.folder / "in" / "a.jsonl", "a") as file:
            for i in range(self.n, self.n + n):
                file.write(json.dumps({"id": i}).ljust(self.LINE_BYTES - 1) + "\n")
        self.n += n

    def ids(self):
        rows = readers.read(self.folder / "rows").column("id").to_pylist()
        values = readers.read(self.folder / "rejects").column("value").to_pylist()
        return sorted(rows), sorted(json.loads(value)["id"] for value in values)


@pytest.mark.parametrize("killed", [False, True])
def test_a_changed_schema_takes_effect_at_one_offset(tmp_path, killed):
    judged = Judged(tmp_path)
    judged.grow(2000)
    with sluice.Process("run", "--json", judged.path) as process:
        process.wait_for((tmp_path / "rows" / "_delta_log").is_dir, LIMIT_S, "the first commit")
        judged.grow(2000)
        judged.judge_by(LOOSE)
        process.signal(signal.SIGHUP)
        while TAKEN not in process.text(1):
            assert not process.ended(), process.text(1)
            judged.grow(500)
        judged.grow(3000)
        if killed:
            process.signal(signal.SIGKILL)
        else:
            process.signal(signal.SIGTERM)
        process.wait(LIMIT_S)
    done = sluice.run_until_end(judged.path)
    rows, rejects = judged.ids()
    change = min(i for i in rows if i % 2 == 1)
    assert sorted(rows + rejects) == list(range(judged.n))
    assert rejects == [i for i in range(change) if i % 2 == 1]
    assert "finished first" not in done.log
    assert len(list((tmp_path / "state" / "config").iterdir())) == 2
