"""The demo's topology, with its broker inside the process: it ends, and its counts add up.

The embedded broker forgets the oldest records of a partition silently once it holds too many; that
none was forgotten unread shows when bronze holds every offset from 0 on.
"""

import json
import shutil

import pytest

from tests.lake import readers
from tests.oracle import verify
from tests.support import sluice
from tests.support.servers import ROOT

DEMO = ROOT / "deploy" / "demo"
EVENTS = 300_000


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """(topology file, its document, run): the demo's own files, with fewer events."""
    folder = tmp_path_factory.mktemp("demo") / "deploy" / "demo"
    shutil.copytree(DEMO, folder)
    path = folder / "retail.json"
    document = json.loads(path.read_text())
    (generator,) = [n for n, s in document["sources"].items() if s["plugin"] == "generator"]
    run = sluice.run_until_end(path, "--set", f"sources.{generator}.config.count={EVENTS}")
    return path, document, run


def sinks_of(document, plugin):
    return [n for n, s in document["sinks"].items() if s["plugin"] == plugin]


def test_the_demo_ends_with_counts_that_add_up(demo):
    _, document, run = demo
    (bronze,) = sinks_of(document, "bronze-sink")
    (silver,) = [
        n for n, t in document["transforms"].items() if t["plugin"] == "silver-validate"
    ]
    assert run.rows_in(bronze) == run.rows_in(silver) == EVENTS
    out = run.rows_out(silver) + run.rows_out(silver, "rejects") + run.dropped(silver)
    assert out == EVENTS
    assert run.rows_out(silver, "rejects") > 0 and run.dropped(silver) > 0


def test_nothing_was_evicted_unread(demo):
    path, document, _ = demo
    (bronze,) = sinks_of(document, "bronze-sink")
    table = verify.table_path(document["sinks"][bronze]["config"]["table"], path.parent)
    rows = readers.read(table).select(["partition", "offset"])
    assert rows.num_rows == EVENTS
    for partition in rows.group_by("partition").aggregate(
        [("offset", "count"), ("offset", "min"), ("offset", "max")]
    ).to_pylist():
        assert partition["offset_min"] == 0
        assert partition["offset_max"] + 1 == partition["offset_count"]


def test_the_tables_of_the_demo_are_the_oracles(demo):
    path, _, _ = demo
    _, found = verify.verify(path)
    assert {name: told for name, told in found.items() if told is not None} == {}
