"""What is said and measured of an input that is full, and what becomes of a branch that the outbox
or the topic's retention has overtaken: it fails alone, with the range that it has lost.

The sink that stands still is tests/plugins/gate.c.
"""

import json
import re

import pytest

from tests.integration.test_admin import Running
from tests.lake import readers
from tests.support import sluice
from tests.support.servers import ROOT, wait_for

PLUGINS = sluice.BINARY.parent / "tests" / "plugins"
KIB, MIB = 1024, 1024 * 1024
LIMIT_S = 60


def gate(folder, given, buffer, when_full):
    (folder / "gate").touch()
    return {
        "plugin": "gate",
        "inputs": [{"from": given, "buffer": buffer, "when_full": when_full}],
        "config": {"path": str(folder / "slow.jsonl"), "gate": str(folder / "gate")},
    }


def table(folder, name, given, plugin="delta-sink"):
    return {"plugin": plugin, "inputs": [given], "config": {"table": str(folder / name)}}


def start(folder, document, *arguments):
    path = folder / "topology.json"
    path.write_text(json.dumps({"pipeline": f"full-{folder.name}", "state": "state", **document}))
    return sluice.Process("run", "--json", "--plugin-path", PLUGINS, *arguments, path)


def entries(folder):
    return len(list((folder / "_delta_log").glob("*.json")))


def sample(running, name, node):
    """A metric of a node's input: (labels, value) of its first sample, None without one."""
    _, _, text = running.ask("/metrics")
    found = re.search(rf'^{name}{{node="{node}",input="shop"(.*)}} (.*)$', text, re.M)
    return found and (found.group(1), float(found.group(2)))


def test_a_full_input_is_measured_and_says_whom_it_holds_back(tmp_path):
    document = {
        "admin": {"listen": "127.0.0.1:0"},
        "lanes": 1,
        "sources": {"shop": {"plugin": "generator", "config": {"rate": 20_000, "partitions": 1}}},
        "sinks": {
            "bronze": table(tmp_path, "bronze", "shop", "bronze-sink"),
            "slow": gate(tmp_path, "shop", 256 * KIB, "block"),
        },
    }
    with start(tmp_path, document) as process:
        running = Running(process)

        def edges():
            nodes = {node["name"]: node for node in running.json("/v1/status")["nodes"]}
            return [nodes[name]["inputs"][0] for name in ("slow", "bronze")]

        def held():
            slow, _ = edges()
            return slow["buffer"]["holds_back"] and slow

        before = wait_for(held, LIMIT_S, "a full buffer")["buffer"]
        assert before["is_full"] and before["holds_back"] == ["shop"]
        assert before["limit_bytes"] == 256 * KIB <= before["bytes"] < 8 * MIB
        assert before["oldest_us"] > 0

        def a_second_later():
            slow, bronze = edges()
            return slow["buffer"]["full_us"] > before["full_us"] + 1_000_000 and (slow, bronze)

        slow, bronze = wait_for(a_second_later, LIMIT_S, "a second of a full buffer")
        assert slow["buffer"]["oldest_us"] > before["oldest_us"] + 900_000
        assert bronze["buffer"]["holds_back"] == [] and bronze["buffer"]["full_us"] == 0

        assert sample(running, "sluice_input_full", "slow") == ("", 1)
        assert sample(running, "sluice_input_full", "bronze") == ("", 0)
        assert sample(running, "sluice_input_buffer_bytes", "slow")[1] >= 256 * KIB
        assert sample(running, "sluice_input_oldest_seconds", "slow")[1] > 1
        assert sample(running, "sluice_input_full_seconds_total", "slow")[1] > 1
        assert sample(running, "sluice_input_holds_back", "slow") == (',held="shop"', 1)
        assert sample(running, "sluice_input_holds_back", "bronze") is None

        (tmp_path / "gate").unlink()
        wait_for(lambda: edges()[1]["rows"] > bronze["rows"], LIMIT_S, "rows of the other sink")
        process.signal(15)
        assert process.wait(LIMIT_S).exit_code == 0


def test_a_branch_that_the_outbox_has_overtaken_fails_alone(tmp_path):
    schema = str(ROOT / "deploy" / "demo" / "event.schema.json")
    aggregation = {
        "time": "ts",
        "window": {"tumbling": "1s"},
        "group_by": ["device_id", "country"],
        "aggregates": {"n": "count()"},
        "updates": False,
        "outbox.max": "1MiB",
    }
    shop = {"rate": 20_000, "event_rate": 500, "partitions": 1, "late": 0}
    document = {
        "commit.interval": "50ms",
        "sources": {"shop": {"plugin": "generator", "config": shop}},
        "transforms": {
            "silver": {"plugin": "silver-validate", "inputs": ["shop"], "config": {"schema": schema}},
            "agg": {"plugin": "gold-agg", "inputs": ["silver"], "config": aggregation},
        },
        "sinks": {
            "gold": table(tmp_path, "gold", "agg"),
            "slow": gate(tmp_path, "agg", 64 * KIB, "detach"),
        },
    }
    with start(tmp_path, document) as process:
        process.wait_for(lambda: "slow: FAILED" in process.text(1), LIMIT_S, "the failure")
        there = entries(tmp_path / "gold")
        process.wait_for(lambda: entries(tmp_path / "gold") > there + 3, LIMIT_S, "the other sink")
        (tmp_path / "gate").unlink()
        process.signal(15)
        done = process.wait(LIMIT_S)
    assert done.exit_code == 1, done.failed_because()
    failure = done.node("slow")["failure"]
    lost = re.search(r"results (\d+) to (\d+) of agg are no longer kept", failure)
    assert lost and int(lost.group(1)) < int(lost.group(2)), failure
    keys = readers.read(tmp_path / "gold").select(["window_start", "device_id", "country"])
    assert keys.num_rows == keys.group_by(keys.column_names).aggregate([]).num_rows > 1000
    assert done.rows_in("gold") == keys.num_rows
