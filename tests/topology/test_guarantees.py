"""What `sluice validate` says that each path guarantees, for the product's own plugins in unusual
topologies; the crash tests are what makes it true."""

import json

import pytest

from tests.topology import runner

SCHEMA = {"type": "object", "properties": {"id": {"type": "integer"}, "at": {"type": "string", "format": "date-time"}}}
KAFKA = {"plugin": "kafka", "config": {"topics": ["t"]}}
GOLD = {"time": "at", "window": {"tumbling": "10s"}, "aggregates": {"n": "count()"}}
POWERBI = {"dataset": "d", "table": "t", "token_file": "token"}


def silver(**config):
    return {"plugin": "silver-validate", "inputs": ["events"], "config": {"schema": "s.json", **config}}


def gold(given="silver", **config):
    return {"plugin": "gold-agg", "inputs": [given], "config": {**GOLD, **config}}


def sink(given, plugin="delta-sink", when_full="block", tolerance=None, **config):
    if plugin in ("delta-sink", "bronze-sink"):
        config.setdefault("table", f"lake/{given}")
    node = {"plugin": plugin, "inputs": [{"from": given, "when_full": when_full}], "config": config}
    return node if tolerance is None else {**node, "errors.tolerance": tolerance}


MEDALLION = {"silver": silver(deduplicate={"key": "id", "within": "1m"}), "gold": gold()}
# what: (transforms, sinks, further keys, {sink: (guarantee, words of the reason)})
CASES = {
    "state on the way": (
        MEDALLION,
        {"a": sink("gold", mode="upsert"), "b": sink("gold.late"), "c": sink("silver.rejects")},
        {},
        {name: ("exactly-once", "in one step") for name in "abc"},
    ),
    "two sinks behind one gold": (
        MEDALLION,
        {"a": sink("gold", mode="upsert"), "b": sink("gold", "file", path="x")},
        {},
        {"a": ("exactly-once", "in one step"), "b": ("at-least-once", '"b" (file) may write')},
    ),
    "an aggregation of all hosts": (
        {"silver": silver(), "gold": gold(scope="group")},
        {"a": sink("gold", mode="upsert")},
        {},
        {"a": ("exactly-once", "in one step")},
    ),
    "branches that fall behind": (
        {"silver": silver(), "gold": gold()},
        {"a": sink("silver", when_full="detach"), "b": sink("gold", when_full="detach")},
        {},
        {name: ("exactly-once", "in one step") for name in "ab"},
    ),
    "plain files": (
        {},
        {"a": sink("events", "bronze-sink", format="jsonl")},
        {},
        {"a": ("exactly-once", "in one step")},
    ),
    "kafka": (
        {},
        {
            "a": sink("events", "kafka", topic="a"),
            "b": sink("events", "kafka", topic="b", delivery="exactly-once"),
        },
        {},
        {"a": ("at-least-once", '"a" (kafka) may write'), "b": ("exactly-once", "in one step")},
    ),
    "http": (
        {"silver": silver(), "gold": gold()},
        {"a": sink("gold", "powerbi-sink", **POWERBI)},
        {},
        {"a": ("at-least-once", '"a" (powerbi-sink) may write')},
    ),
    "no state": (
        {},
        {"a": sink("events"), "b": sink("events", "kafka", topic="b")},
        {"state": None},
        {"a": ("exactly-once", "in one step"), "b": ("none", "nobody keeps the positions")},
    ),
    "the broker inside": (
        {"silver": silver()},
        {"a": sink("silver"), "b": sink("silver", "kafka", topic="b")},
        {"kafka": {"embedded": True}},
        {
            "a": ("at-most-once", '"events" (kafka) cannot be read again'),
            "b": ("none", 'cannot be read again: what was in flight when sluice stops is lost, and "b"'),
        },
    ),
    "full buffers that drop": (
        {"silver": silver()},
        {"a": sink("silver", "stdout", when_full="drop_oldest")},
        {},
        {"a": ("none", '"a" drops rows when its buffer is full: drop_oldest, and "a" (stdout)')},
    ),
    "rejects of a sink": (
        {},
        {
            "a": sink("events", tolerance="all", table="lake/a"),
            "b": sink("events", tolerance="all", table="lake/b"),
            "c": sink("b.rejects"),
        },
        {},
        {
            "a": ("at-most-once", '"a" (delta-sink) passes over records'),
            "b": ("exactly-once", "in one step"),
            "c": ("exactly-once", "in one step"),
        },
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_each_path_is_told_what_is_true(name, tmp_path):
    transforms, sinks, keys, expected = CASES[name]
    (tmp_path / "s.json").write_text(json.dumps(SCHEMA))
    document = {
        "pipeline": "p",
        "state": "state",
        "kafka": {"bootstrap.servers": "127.0.0.1:1"},
        "sources": {"events": KAFKA},
        "transforms": transforms,
        "sinks": sinks,
        **keys,
    }
    path = tmp_path / "topology.json"
    path.write_text(json.dumps({key: value for key, value in document.items() if value is not None}))
    done, answer = runner.validate_json(str(path))
    assert done.returncode == 0, done.stdout
    found = {path["sink"]: (path["guarantee"], path["why"]) for path in answer["paths"]}
    assert found.keys() == expected.keys()
    for name, (guarantee, words) in expected.items():
        assert found[name][0] == guarantee and words in found[name][1], found[name]
