"""The demo's topology with the real plugins: every key of it misspelt gets the right suggestion."""

import copy
import json
import os
import random
import re

import pytest

from tests.topology import mutate, runner

FOLDER = os.path.join(runner.ROOT, "deploy", "demo")
TRIALS = 4
SEED = 11
MEANT_SHARE = 0.95
TABLES = ("bronze", "silver_tbl", "quarantine", "gold")

pytestmark = pytest.mark.skipif(
    not os.path.exists(os.path.join(runner.BUILD, "plugins", "bronze-sink.so")),
    reason="the plugins are not built",
)


@pytest.fixture(scope="module")
def demo():
    with open(os.path.join(FOLDER, "retail.json"), encoding="utf-8") as file:
        return json.load(file)


def validate(document, tmp_path):
    """The topology moved to `tmp_path`, its paths with it."""
    file = tmp_path / "retail.json"
    file.write_text(json.dumps(document, indent=2))
    schema = tmp_path / "event.schema.json"
    if not schema.exists():
        schema.symlink_to(os.path.join(FOLDER, "event.schema.json"))
    return runner.validate_json(str(file))


def named_keys(tree):
    """Members whose names have a meaning: no nodes, no column names."""
    free = re.compile(r"\$\.(sources|transforms|sinks)\.[^.]+$|\.aggregates\.|\.window\.")
    return [
        (key, path)
        for _, key, path in mutate.walk(tree)
        if isinstance(key, str) and not free.search(path)
    ]


def holder_of(tree, wanted):
    return next((h, k) for h, k, path in mutate.walk(tree) if path == wanted)


def test_the_demo_is_valid(demo, tmp_path):
    done, answer = validate(demo, tmp_path)
    assert done.returncode == 0, done.stdout
    paths = {p["sink"]: p for p in answer["paths"]}
    assert paths["topic"]["guarantee"] == "at-least-once"
    for sink in TABLES:  # the topic of the broker inside is gone with the process
        assert paths[sink]["guarantee"] == "at-most-once"
        assert '"events" (kafka) cannot be read again' in paths[sink]["why"]
    columns = {n["name"]: n["outputs"] for n in answer["nodes"]}["per_country"][0]["columns"]
    assert [c["name"] for c in columns] == [
        "window_start", "window_end", "event_type", "country",
        "events", "revenue", "largest", "p99_ms",
    ]  # fmt: skip


@pytest.mark.parametrize("where", ["section", "cluster"])
def test_the_demo_with_a_real_broker_is_exactly_once(demo, tmp_path, where):
    broker = {"bootstrap.servers": "127.0.0.1:9092"}
    tree = copy.deepcopy(demo)
    if where == "section":
        tree["kafka"] = broker
    else:
        tree["sources"]["events"]["config"]["cluster"] = broker
    done, answer = validate(tree, tmp_path)
    assert done.returncode == 0, done.stdout
    paths = {p["sink"]: p["guarantee"] for p in answer["paths"]}
    assert all(paths[sink] == "exactly-once" for sink in TABLES)


def test_sinks_that_reject_nothing_lose_nothing(tmp_path):
    """Whatever "errors.tolerance" says of all nodes."""
    file = tmp_path / "all.json"
    sinks = {"out": {"plugin": "stdout"}, "lines": {"plugin": "file", "config": {"path": "o"}}}
    topology = {
        "pipeline": "p",
        "state": "state",
        "errors.tolerance": "all",
        "sources": {"made": {"plugin": "generator"}},
        "sinks": {name: {"inputs": ["made"], **sink} for name, sink in sinks.items()},
    }
    file.write_text(json.dumps(topology))
    done, answer = runner.validate_json(str(file))
    assert done.returncode == 0 and not answer["faults"], done.stdout
    assert {p["guarantee"] for p in answer["paths"]} == {"at-least-once"}


def test_misspelt_keys_of_real_plugins(demo, tmp_path):
    rng = random.Random(SEED)
    tried, right, wrong = 0, 0, []
    for key, path in named_keys(demo):
        for _ in range(TRIALS):
            tree = copy.deepcopy(demo)
            holder, _ = holder_of(tree, path)
            new = mutate.misspell(rng, key)
            if new in holder:
                continue
            mutate.rename(holder, key, new)
            done, answer = validate(tree, tmp_path)
            wanted = mutate.member(mutate.parent_of(path), new)
            faults = [f for f in answer["faults"] if f["path"] == wanted]
            assert done.returncode == 2 and faults, (wanted, answer["faults"])
            tried += 1
            if any(f'did you mean "{key}"?' in f["message"] for f in faults):
                right += 1
            else:
                wrong.append((key, new, faults[0]["message"]))
    print(f"{right} of {tried} suggested right", *wrong, sep="\n")
    assert tried > 100 and right / tried >= MEANT_SHARE
