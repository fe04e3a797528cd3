"""A plugin of another version is installed between two runs (tests/plugins/sieve.c, built twice):
each record is judged by one of the two versions, and is in one of the two tables, once."""

import json
import os
import shutil
import signal

import pytest

from tests.lake import readers
from tests.support import sluice

PLUGINS = sluice.BINARY.parent / "tests" / "plugins"
BUILT = {"1.0.0": PLUGINS / "sieve.so", "2.0.0": PLUGINS / "upgraded" / "sieve.so"}
TABLES = ("fit", "rest")
LINE_BYTES = 24
FIRST, SECOND = 4000, 1000  # records before and after
LIMIT_S = 60
BEGUN = "finished first, as it was begun"
UPGRADE = "sieve 1.0.0 is now 2.0.0"


class Pipeline:
    """Records {"id": 0}, {"id": 1}, … from a file through sieve into two tables, of which `slow`
    commits once an hour."""

    def __init__(self, folder, slow=None):
        self.folder = folder
        self.config = {}
        (folder / "in").mkdir()
        (folder / "plugins").mkdir()
        lines = {"plugin": "file", "config": {"path": "in/*.jsonl", "scan": "20ms"}}
        sieve = {"plugin": "sieve", "inputs": ["lines"], "config": self.config}
        self.document = {
            "pipeline": "p",
            "state": "state",
            "sources": {"lines": lines},
            "transforms": {"sieve": sieve},
            "sinks": {
                name: {
                    "plugin": "delta-sink",
                    "inputs": [node],
                    "commit.interval": "1h" if name == slow else "20ms",
                    "config": {"table": name},
                }
                for name, node in zip(TABLES, ("sieve", "sieve.rest"))
            },
        }
        self.added = 0

    def install(self, version):
        """Over the other one, as a package manager does."""
        new = self.folder / "plugins" / "new"
        shutil.copy(BUILT[version], new)
        os.replace(new, self.folder / "plugins" / "sieve.so")

    def add(self, records):
        with open(self.folder / "in" / "a.jsonl", "a") as file:
            for number in range(self.added, self.added + records):
                file.write(json.dumps({"id": number}).ljust(LINE_BYTES - 1) + "\n")
        self.added += records

    def arguments(self):
        path = self.folder / "topology.json"
        path.write_text(json.dumps(self.document))
        return "run", "--json", "--plugin-path", self.folder / "plugins", path

    def run(self):
        return sluice.run_command(*self.arguments(), "--until-end", limit_s=LIMIT_S)

    def run_until(self, condition, what, ended_by):
        with sluice.Process(*self.arguments()) as process:
            process.wait_for(condition, LIMIT_S, what)
            process.signal(ended_by)
            return process.wait(LIMIT_S)

    def crash_uneven(self, version, behind):
        """All that there is was judged; the table `behind` lacks what the other has."""
        fast = next(name for name in TABLES if name != behind)
        self.run_until(lambda: self.places()[fast] == self.end(), fast, signal.SIGKILL)
        assert self.places()[behind] < self.end()
        assert {self.editions()[-1]["transforms"]["sieve"]["version"]} == {version}

    def end(self):
        return self.added * LINE_BYTES

    def places(self):
        """The position in each table."""
        return {name: place(self.folder / name) for name in TABLES}

    def editions(self):
        files = sorted((self.folder / "state" / "config").iterdir())
        return [json.loads(file.read_text()) for file in files]

    def rows(self):
        """(id, the version that names itself) of each table, by id."""
        found = {}
        for name in TABLES:
            rows = readers.read(self.folder / name).to_pylist()
            found[name] = sorted((row["id"], row.get("judged_by")) for row in rows)
        return found


def place(table):
    """The last position that the log of the table holds; its counts are not it."""
    last = 0
    for entry in sorted((table / "_delta_log").glob("*[0-9].json")):
        for line in entry.read_text().splitlines():
            txn = json.loads(line).get("txn")
            if txn is not None and "#" not in txn["appId"]:
                last = txn["version"]
    return last


def expect(pipeline, *judged):
    """`judged`: (version, records) in their order. Each record is where its version puts it, and in
    no other place."""
    steps = {"1.0.0": 2, "2.0.0": pipeline.config.get("step", 3)}
    wanted = {name: [] for name in TABLES}
    number = 0
    for version, records in judged:
        for _ in range(records):
            name = TABLES[number % steps[version] != 0]
            wanted[name].append((number, None if version == "1.0.0" else version))
            number += 1
    assert number == pipeline.added
    assert pipeline.rows() == wanted


@pytest.fixture
def pipeline(tmp_path):
    def make(slow=None):
        made = Pipeline(tmp_path, slow)
        made.install("1.0.0")
        made.add(FIRST)
        return made

    return make


@pytest.mark.parametrize("config", [{}, {"step": 5}], ids=["plain", "with-its-new-option"])
def test_after_a_clean_stop_the_new_version_goes_on(pipeline, config):
    p = pipeline()
    stopped = p.run_until(lambda: p.places()["fit"] == p.end(), "all of them", signal.SIGTERM)
    assert stopped.exit_code == 0, stopped.failed_because()
    p.install("2.0.0")
    p.config |= config
    p.add(SECOND)
    done = p.run()
    assert done.exit_code == 0, done.failed_because()
    assert UPGRADE in done.log and BEGUN not in done.log
    expect(p, ("1.0.0", FIRST), ("2.0.0", SECOND))
    assert [e["transforms"]["sieve"]["version"] for e in p.editions()] == ["1.0.0", "2.0.0"]


@pytest.mark.parametrize("behind", TABLES)
def test_after_a_crash_the_old_version_has_to_finish(pipeline, behind):
    p = pipeline(slow=behind)
    p.crash_uneven("1.0.0", behind)
    before = p.places()
    p.install("2.0.0")
    done = p.run()
    assert done.exit_code == 2, done.failed_because()
    assert UPGRADE in done.log and "install sieve 1.0.0 again" in done.log
    assert f"offsets 0 to {p.end() - 1}" in done.log
    assert p.places() == before and len(p.editions()) == 1
    p.install("1.0.0")
    assert p.run().exit_code == 0
    p.install("2.0.0")
    p.add(SECOND)
    done = p.run()
    assert done.exit_code == 0 and BEGUN not in done.log, done.failed_because()
    expect(p, ("1.0.0", FIRST), ("2.0.0", SECOND))


def test_without_that_rows_are_lost_or_double(pipeline):
    """The test above sees what it looks for."""
    p = pipeline(slow="rest")
    p.crash_uneven("1.0.0", "rest")
    p.install("2.0.0")
    done = sluice.run_command(*p.arguments(), "--until-end", "--skip-replay", limit_s=LIMIT_S)
    assert done.exit_code == 0, done.failed_because()
    rows = p.rows()
    fit, rest = ({number for number, _ in rows[name]} for name in TABLES)
    assert fit & rest == {n for n in range(FIRST) if n % 2 == 0 and n % 3 != 0}
    assert set(range(FIRST)) - fit - rest == {n for n in range(FIRST) if n % 2 != 0 and n % 3 == 0}


def test_a_crash_that_left_the_tables_level_leaves_nothing_to_finish(pipeline):
    p = pipeline()
    p.run_until(lambda: {*p.places().values()} == {p.end()}, "level tables", signal.SIGKILL)
    p.install("2.0.0")
    p.add(SECOND)
    done = p.run()
    assert done.exit_code == 0 and UPGRADE in done.log, done.failed_because()
    expect(p, ("1.0.0", FIRST), ("2.0.0", SECOND))


def test_a_crash_of_the_new_version_and_a_step_back(pipeline):
    p = pipeline()
    assert p.run().exit_code == 0
    p.install("2.0.0")
    p.document["sinks"]["fit"]["commit.interval"] = "1h"
    p.add(SECOND)
    p.crash_uneven("2.0.0", "fit")
    p.install("1.0.0")
    done = p.run()
    assert done.exit_code == 2 and "install sieve 2.0.0 again" in done.log, done.failed_because()
    p.install("2.0.0")
    assert p.run().exit_code == 0
    expect(p, ("1.0.0", FIRST), ("2.0.0", SECOND))
    p.install("1.0.0")
    p.add(SECOND)
    done = p.run()
    assert done.exit_code == 0 and "sieve 2.0.0 is now 1.0.0" in done.log, done.failed_because()
    expect(p, ("1.0.0", FIRST), ("2.0.0", SECOND), ("1.0.0", SECOND))
