"""A short run of the crash tests (tests/crash; `make crash` is the long one)."""

import math

import pytest

from tests.crash.chapter import Tally
from tests.crash.one import OneProcess
from tests.crash.points import Shim, not_interposed
from tests.support import sluice

KILLS = 16
RECORDS = 40_000
SEED = 20261122
LIBRARY = sluice.BINARY.parent / "tests" / "crash" / "preload.so"


@pytest.fixture
def shim(tmp_path):
    if not LIBRARY.exists():
        pytest.fail(f"{LIBRARY} is not built; run make crash-built")
    return Shim(LIBRARY, tmp_path / "points")


def test_the_shim_sees_every_call_of_the_store_that_changes_files():
    assert not_interposed(LIBRARY, sluice.BINARY.parent / "lib" / "libsl_store.a") == []


def test_kills_and_power_cuts_at_durable_steps_lose_and_double_nothing(broker, shim, tmp_path):
    tally = Tally()
    chapter = OneProcess(broker, {"one": shim}, tmp_path / "lake", SEED, RECORDS)
    chapter.run(KILLS, tally, math.inf, 1.2)
    assert tally.kills == KILLS
    assert sum(p.hits(s) for p in shim.points().values() for s in ("before", "after")) > 0
