"""A selection of the fault tests: some fault of each call that lib/store makes, and what lasts.
`make faults` is all of them."""

import errno
import json
import os
import signal

import pytest

from tests.faults import lake
from tests.faults.faults import ERRORS, LASTING, LIBRARY, Bench, not_listed
from tests.support import sluice

SEED = 20261122


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    if not sluice.BINARY.exists() or not LIBRARY.exists():
        pytest.fail(f"{LIBRARY} is not built; run make all {LIBRARY}")
    return Bench(tmp_path_factory.mktemp("faults"), SEED)


def test_the_shim_sees_every_call_of_the_store():
    assert not_listed() == []


def test_every_call_that_is_made_has_errors_and_the_reverse(bench):
    assert {call for calls in bench.calls.values() for call, _ in calls} == set(ERRORS)


@pytest.mark.parametrize("call", ERRORS)
def test_a_call_that_fails_once_loses_and_doubles_nothing(bench, call):
    fault = bench.one_of(call)
    print(fault.told, bench.run(fault))


@pytest.mark.parametrize("name", LASTING)
def test_a_fault_that_lasts_stops_nodes_with_a_sentence_and_harms_nothing(bench, name):
    faults = [fault for fault in bench.lasting() if fault.told.startswith(name)]
    print(faults[1].told, bench.run(faults[1]))


def test_a_wall_clock_that_jumps_by_hours_changes_nothing(bench):
    bench.jump(5, 70)


def test_a_large_write_that_acted_and_says_it_has_not_leaves_its_bytes_once(bench, tmp_path):
    env = {
        "LD_PRELOAD": str(LIBRARY),
        "SLUICE_FAULT_FOLDER": str(tmp_path),
        "SLUICE_FAULT_LIST": str(tmp_path / "listed"),
        "SLUICE_FAULT_AT": f"write plain-temporary 1 1 after {errno.EIO}",
    }
    done = lake.run(tmp_path, lake.EVENTS, env, _one_commit)
    assert done.exit_code == 0, done.failed_because()
    assert (tmp_path / "listed").read_text().count("!") == 1
    assert "archive" not in done.log  # the usual write went on from there
    bench.truth.compare(tmp_path)


def _one_commit(document):
    """A partition's rows become one file, which is written around the page cache."""
    document["commit.interval"] = "60s"


@pytest.fixture
def kept(tmp_path):
    """(topology, its rows' file, the folder of its positions): a sink that keeps none itself."""
    shop = {"count": 10_000, "partitions": 2, "rate": 8_000, "invalid": 0, "duplicates": 0}
    rows = tmp_path / "rows.jsonl"
    document = {
        "pipeline": "kept",
        "state": str(tmp_path / "state"),
        "lanes": 1,
        "commit.interval": "20ms",
        "sources": {"shop": {"plugin": "generator", "config": shop}},
        "sinks": {"rows": {"plugin": "file", "inputs": ["shop"], "config": {"path": str(rows)}}},
    }
    path = tmp_path / "topology.json"
    path.write_text(json.dumps(document))
    return path, rows, tmp_path / "state" / "nodes" / "rows" / "positions"


def _ids(rows):
    return [json.loads(line)["event_id"] for line in rows.read_text().splitlines()]


@pytest.mark.parametrize(
    "call", ["renameat2 positions 5 1 after 5", "fsync state-folder 9 1 before 5"]
)
def test_positions_that_the_host_keeps_are_known_again_when_their_answer_gets_lost(kept, call):
    path, rows, _ = kept
    env = {
        "LD_PRELOAD": str(LIBRARY),
        "SLUICE_FAULT_FOLDER": str(path.parent),
        "SLUICE_FAULT_LIST": os.devnull,
        "SLUICE_FAULT_AT": call,
    }
    done = sluice.run_until_end(path, env=env, limit_s=60)
    assert "trying again" in done.log and "another host" not in done.log, done.log
    ids = _ids(rows)
    assert len(ids) == len(set(ids)) == 10_000


def test_positions_that_another_host_has_stored_are_read_again(kept):
    path, rows, positions = kept
    with sluice.Process("run", "--until-end", "--json", path) as process:
        process.wait_for(lambda: any(positions.glob("*.json")), 60, "the first positions")
        process.signal(signal.SIGSTOP)
        newest = max(int(file.stem) for file in positions.glob("*.json"))
        (positions / f"{newest + 1:020}.json").write_text('{"version":1,"positions":{}}')
        process.signal(signal.SIGCONT)
        done = process.wait(60)
    assert done.exit_code == 0, done.failed_because()
    assert done.log.count("another host has stored a position of this node") == 1, done.log
    assert len(set(_ids(rows))) == 10_000  # all comes again: the other had none
