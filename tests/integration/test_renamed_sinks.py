"""A sink is renamed: its table has the positions of a node that the pipeline no longer has. It is
refused until the operator says whether to go on from them (`adopt`) or to begin anew (`start`).
"""

import json
from collections import Counter

import pytest

from tests.lake import readers
from tests.support import sluice
from tests.support.generated import Generated, delta_sink

RECORDS = 5_000
SINKS = {
    "delta-sink": delta_sink("silver", "table"),
    "bronze-sink": {"plugin": "bronze-sink", "inputs": ["events"], "config": {"table": "table"}},
}


class Renamed:
    def __init__(self, folder, node):
        self.made = Generated(folder, RECORDS)
        self.node = json.loads(json.dumps(node))
        self.made.document["sinks"] = {"before": self.node}
        sluice.run_until_end(self.made.write())
        self.made.document["sinks"] = {"after": self.node}

    def run(self, positions=None, records=RECORDS):
        if positions is not None:
            self.node["config"]["positions"] = positions
        path = self.made.write(count=records)
        return sluice.run_command("run", "--until-end", "--json", path, limit_s=60)

    def times(self):
        """{how often a record is there: number of records}."""
        table = readers.read(self.made.folder / "table", "delta-rs")
        own = "_" if "_offset" in table.column_names else ""
        columns = [table[own + name].to_pylist() for name in ("partition", "offset")]
        there = Counter(zip(*columns, strict=True))
        return dict(Counter(there.values()))


@pytest.fixture(params=SINKS)
def renamed(request, tmp_path):
    return Renamed(tmp_path, SINKS[request.param])


def assert_refused(run):
    assert run.exit_code == 1, run.failed_because()
    said = run.node("after")["failure"]
    assert "has positions of another node of this pipeline (sluice/generated/before/" in said
    assert 'set "positions" to "adopt" to go on from them, or to "start" to begin anew' in said


def assert_runs(run, rows):
    assert run.exit_code == 0, run.failed_because()
    assert run.rows_in("after") == rows


def test_start_begins_anew_and_then_goes_on(renamed):
    valid = renamed.times()[1]
    assert renamed.times() == {1: valid}
    assert_refused(renamed.run())
    assert renamed.times() == {1: valid}
    assert_runs(renamed.run("start"), valid)
    assert renamed.times() == {2: valid}
    # from here on it has positions of its own
    assert_runs(renamed.run(), 0)
    assert renamed.run(records=RECORDS + 1000).exit_code == 0
    assert set(renamed.times()) == {1, 2} and renamed.times()[2] == valid
    # ... but without that word it would be refused as before
    assert_refused(renamed.run("own"))


def test_adopt_goes_on_from_them(renamed):
    valid = renamed.times()[1]
    assert_refused(renamed.run())
    assert_runs(renamed.run("adopt"), 0)
    assert renamed.run(records=RECORDS + 1000).exit_code == 0
    assert set(renamed.times()) == {1} and renamed.times()[1] > valid
