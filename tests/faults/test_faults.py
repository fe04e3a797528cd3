"""A selection of the fault tests: some fault of each call that lib/store makes, and what lasts.
`make faults` is all of them."""

import pytest

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
