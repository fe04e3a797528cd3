"""lib/store on Azurite, Azure's own emulator: the same contract as the folder's, also in trouble."""

import itertools
import json
import random

import pytest

from tests.doubles.fault_proxy import FaultProxy
from tests.support import sluice
from tests.store.tool import Store, StoreError, build, checksum, content

BLOCK = 8 << 20
# no spaces: the tool's lines are split at them
PATHS = ["a", "a_b/c%d", "year=2026/x+y.parquet", "deep/er/file", "deep/eq=~!", "é/中"]


@pytest.fixture(scope="module")
def lake(azurite):
    """A function that names a new folder of a container."""
    build()
    azurite.create_container("store")
    return lambda name, url=None: f"{url or azurite.url}/{azurite.account}/store/{name}"


def error_of(store, *words):
    with pytest.raises(StoreError) as caught:
        store.ask(*words)
    return caught.value


def contract(store, seed, steps):
    """Random operations; the store must say what a dictionary says."""
    draw = random.Random(seed)
    model = {}
    for _ in range(steps):
        path = draw.choice(PATHS)
        size, number = draw.choice([0, 1, 100, 5000]), draw.randrange(100)
        action = draw.choice(["put", "write", "absent", "get", "many", "remove", "list", "abort"])
        if action in ("put", "write"):
            chunk = [draw.choice([1000, 70000])] if action == "write" else []
            store.ask(action, path, size, number, *chunk)
            model[path] = (size, number)
        elif action == "absent" and path in model:
            assert error_of(store, "put", path, size, number, "absent").kind == "exists"
        elif action == "absent":
            store.ask("write", path, size, number, 999, "absent")
            model[path] = (size, number)
        elif action == "get" and path not in model:
            assert error_of(store, "get", path, 0, -1).kind == "not_found"
            assert error_of(store, "stat", path).kind == "not_found"
        elif action == "get":
            data = content(*model[path])
            offset, length = draw.choice([0, 3, -4, 99, 7000]), draw.choice([-1, 0, 1, 50])
            first = max(0, len(data) + offset) if offset < 0 else offset
            part = data[first:] if length < 0 else data[first : first + length]
            assert store.ask("get", path, offset, length) == f"{len(part)} {checksum(part)}"
            assert int(store.ask("stat", path).split()[0]) == len(data)
        elif action == "many":
            length, paths = draw.choice([-1, 10]), draw.choices(PATHS, k=draw.randrange(1, 40))
            there = list(itertools.takewhile(model.__contains__, paths))
            parts = [content(*model[p])[: length if length > 0 else None] for p in there]
            told = "all" if there == paths else "not_found"
            words = [f"{len(part)} {checksum(part)}" for part in parts]
            assert store.ask("many", length, *paths) == " ".join([*words, told])
        elif action == "remove":
            store.ask("remove", path)
            model.pop(path, None)
        elif action == "abort":
            store.ask("abort", path + ".never", size, number)
        else:
            after = draw.choice(["-", *PATHS])
            names = sorted(model, key=lambda p: p.encode())
            whole = [(p, model[p][0]) for p in names if after == "-" or p.encode() > after.encode()]
            assert store.list("-", after) == whole


@pytest.mark.parametrize("seed", range(3))
def test_contract(lake, azurite, seed, tmp_path):
    with Store(str(tmp_path / "folder")) as folder:
        contract(folder, seed, 150)
    with Store(lake(f"contract-{seed}"), azurite.key) as store:
        contract(store, seed, 150)


def test_blocks(lake, azurite):
    """More than one block, by put and by a writer; a put that is given up leaves nothing."""
    size = 3 * BLOCK + 12345
    whole = checksum(content(size, 5))
    with Store(lake("blocks"), azurite.key) as store:
        store.ask("put", "put", size, 5)
        store.ask("write", "written", size, 5, 1_000_000, "absent")
        assert error_of(store, "write", "written", size, 6, BLOCK, "absent").kind == "exists"
        store.ask("abort", "given-up", size, 5)
        assert store.list() == [("put", size), ("written", size)]
        for path in ("put", "written"):
            assert store.ask("get", path, 0, -1) == f"{size} {whole}"
        part = checksum(content(size, 5)[BLOCK - 10 : BLOCK + 10])
        assert store.ask("get", "written", BLOCK - 10, 20) == f"20 {part}"


def test_a_long_listing_comes_in_pages(lake, azurite):
    count = 5100
    with Store(lake("pages"), azurite.key) as store:
        for i in range(count):
            store.send("put", f"log/{i:020}", 0, 0)
        for _ in range(count):
            store.answer()
        store.ask("put", "other/file", 1, 1)
        store.ask("put", "top", 1, 1)
        found = store.list("log/", f"log/{9:020}")
        assert [p for p, _ in found] == [f"log/{i:020}" for i in range(10, count)]
        assert store.list("-", "-", 0) == [("top", 1)]
        assert store.list("none/") == []


def test_one_of_many_puts_if_absent_wins(lake, azurite):
    stores = [Store(lake("race"), azurite.key) for _ in range(4)]
    try:
        for number in range(25):
            for i, store in enumerate(stores):
                store.send("put", f"{number}", 100, i, "absent")
            won = []
            for i, store in enumerate(stores):
                try:
                    store.answer()
                    won.append(i)
                except StoreError as error:
                    assert error.kind == "exists"
            assert len(won) == 1
            found = stores[0].ask("get", number, 0, -1)
            assert found == f"100 {checksum(content(100, won[0]))}"
    finally:
        for store in stores:
            store.__exit__()


def test_contract_in_trouble(lake, azurite):
    """A third of the requests meet a fault; a put whose answer was lost is known to be ours."""
    with FaultProxy(azurite.url, share=0.3, seed=1) as proxy:
        with Store(lake("trouble", proxy.url), azurite.key) as store:
            contract(store, 9, 150)
            store.ask("write", "blocks", 2 * BLOCK + 5, 5, BLOCK, "absent")
            assert store.ask("stat", "blocks").split()[0] == str(2 * BLOCK + 5)
        assert all(proxy.counts[fault] > 5 for fault in ("busy", "reset", "acted", "slow"))


def test_contract_without_an_answer(lake, azurite):
    """Answers that never come, or never end: the time-out ends the attempt, and what the server has
    done by then is known to be ours."""
    with FaultProxy(azurite.url, share=0.15, seed=4, faults=("mute", "loris")) as proxy:
        with Store(lake("silence", proxy.url), azurite.key, timeout_ms=700) as store:
            contract(store, 11, 60)
        assert proxy.counts["mute"] > 2 and proxy.counts["loris"] > 2


def test_bytes_that_change_on_their_way_are_refused(lake, azurite):
    """By the MD5 that each body carries: whole blobs, blocks, and lists of blocks."""
    with FaultProxy(azurite.url, share=1, faults=("changed",)) as proxy:
        with Store(lake("changed", proxy.url), azurite.key) as store:
            for words in (("put", "a", 5000, 1), ("write", "b", 2 * BLOCK, 1, BLOCK)):
                error = error_of(store, *words)
                assert error.kind == "retriable" and "Md5Mismatch" in str(error)
            assert store.list() == []


class RemovedMeanwhile(FaultProxy):
    """The first HEAD comes when what it asks for has just been removed."""

    def __init__(self, upstream, remove):
        super().__init__(upstream, share=0)
        self._remove = remove

    def _draw(self, command, path):
        if command != "HEAD" or self._remove is None:
            return None
        remove, self._remove = self._remove, None
        return lambda forward: remove()


def test_a_blob_that_goes_while_it_is_looked_at_makes_the_put_one_to_try_again(lake, azurite):
    with Store(lake("gone"), azurite.key) as other:
        other.ask("put", "a", 10, 1)
        with RemovedMeanwhile(azurite.url, lambda: other.ask("remove", "a")) as proxy:
            with Store(lake("gone", proxy.url), azurite.key) as store:
                error = error_of(store, "put", "a", 20, 2, "absent")
                assert error.kind == "retriable" and "removed at the same moment" in str(error)
                store.ask("put", "a", 20, 2, "absent")
        assert other.ask("get", "a", 0, -1) == f"20 {checksum(content(20, 2))}"


@pytest.mark.parametrize("right_is_longer", [True, False])
def test_the_longest_prefix_pays(lake, azurite, tmp_path, right_is_longer):
    """And one that ends within a folder's name does not count."""
    table = lake(f"prefix-{right_is_longer}/table")
    shorter, longer = table.rpartition("/")[0], table
    right, wrong = ({"auth": "shared-key", "key": key} for key in (azurite.key, "d3Jvbmc="))
    document = {
        "pipeline": "prefixes",
        "stores": {
            longer[:-1]: wrong,
            shorter: wrong if right_is_longer else right,
            longer: right if right_is_longer else wrong,
        },
        "sources": {"events": {"plugin": "generator", "config": {"count": 10}}},
        "sinks": {
            "bronze": {"plugin": "bronze-sink", "inputs": ["events"], "config": {"table": table}}
        },
    }
    path = tmp_path / "topology.json"
    path.write_text(json.dumps(document))
    run = sluice.run_command("run", "--until-end", path)
    assert run.exit_code == (0 if right_is_longer else 1), run.failed_because()
    assert right_is_longer or "403" in run.log


def test_what_is_wrong_is_said(lake, azurite):
    with Store(lake("x"), "d3Jvbmc=") as store:
        error = error_of(store, "put", "a", 1, 1)
        assert error.kind == "fatal" and "403" in str(error) and "account's key" in str(error)
        assert "d3Jvbmc" not in str(error)
    with Store(f"{azurite.url}/{azurite.account}/nowhere/x", azurite.key) as store:
        error = error_of(store, "list", "-", "-", 1)
        assert error.kind == "config" and "make the container first" in str(error)
    with Store(lake("x")) as store:
        error = error_of(store, "get", "a", 0, -1)
        assert error.kind == "fatal" and '"stores"' in str(error)
