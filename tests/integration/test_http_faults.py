"""Requests to the store that fail once: a selection of what `make faults` does for all of them."""

import random

import pytest

from tests.faults import http, lake

SEED = 20261122
CHOSEN = 5


@pytest.fixture(scope="module")
def bench(azurite, tmp_path_factory):
    azurite.create_container("faults")
    with pytest.MonkeyPatch.context() as patch, http.Listing(azurite.url) as proxy:
        for name, value in {**azurite.environment(), http.KEY: azurite.key}.items():
            patch.setenv(name, value)
        folder = tmp_path_factory.mktemp("faults")
        truth = lake.Truth(folder / "truth")
        yield http.HttpBench(folder / "place", truth, azurite, proxy)


def test_requests_that_fail_lose_and_double_nothing(bench):
    faults = [*bench.faults()]
    kinds = {fault.text[0].split()[0] for fault in faults}
    assert {"GET", "PUT"} <= kinds
    for fault in random.Random(SEED).sample(faults, min(CHOSEN, len(faults))):
        print(fault.told, bench.run(fault))
