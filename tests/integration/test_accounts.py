"""Accounts: records = rows + those on other outputs + dropped + in flight, of each partition, since
the pipeline's first run; however often the process was killed in between."""

import json
import signal

from tests.lake import readers
from tests.support import sluice
from tests.support.medallion import SCHEMA

RECORDS = 80_000
PARTITIONS = 3
LIMIT_S = 60


def topology(folder):
    def table(name, inputs, plugin="delta-sink"):
        return {"plugin": plugin, "inputs": [inputs], "config": {"table": str(folder / name)}}

    document = {
        "pipeline": "accounts",
        "state": str(folder / "state"),
        "commit.interval": "100ms",
        "sources": {
            "shop": {
                "plugin": "generator",
                "config": {
                    "count": RECORDS,
                    "partitions": PARTITIONS,
                    "rate": 25_000,
                    "invalid": 0.05,
                    "duplicates": 0.05,
                },
            },
        },
        "transforms": {
            "silver": {
                "plugin": "silver-validate",
                "inputs": ["shop"],
                "config": {
                    "schema": str(SCHEMA),
                    "deduplicate": {"key": "event_id", "within": "10m"},
                },
            },
        },
        "sinks": {
            "bronze": table("bronze", "shop", "bronze-sink"),
            "silver_tbl": table("silver_tbl", "silver"),
            "quarantine": table("quarantine", "silver.rejects"),
        },
    }
    path = folder / "topology.json"
    path.write_text(json.dumps(document))
    return path


def commits(table):
    return len(list((table / "_delta_log").glob("*.json")))


def run_and_kill(path, table, more):
    there = commits(table)
    with sluice.Process("run", "--until-end", "--json", path) as process:
        process.wait_for(lambda: commits(table) >= there + more, LIMIT_S, "commits")
        process.signal(signal.SIGKILL)
        process.wait(LIMIT_S)


def accounts(done):
    """By partition: records, and by sink its counts."""
    found = {a["partition"]: a for a in done.summary["accounts"] if a["source"] == "shop"}
    assert sorted(found) == list(range(PARTITIONS))
    return {
        p: (a["records"], {reader["node"]: reader for reader in a["readers"]})
        for p, a in found.items()
    }


def test_accounts_add_up_across_kills(tmp_path):
    path = topology(tmp_path)
    for more in (2, 5, 1):
        run_and_kill(path, tmp_path / "silver_tbl", more)
    kept = accounts(sluice.run_until_end(path))
    assert sum(records for records, _ in kept.values()) == RECORDS
    for records, by_sink in kept.values():
        for reader in by_sink.values():
            assert reader["records"] == records and reader["in_flight"] == 0
            total = reader["rows"] + reader["elsewhere"] + reader["dropped"]
            assert total == records
        assert by_sink["bronze"]["rows"] == records
        assert by_sink["silver_tbl"]["dropped"] > 0
        assert by_sink["silver_tbl"]["elsewhere"] == by_sink["quarantine"]["rows"] > 0
        assert by_sink["quarantine"]["elsewhere"] == by_sink["silver_tbl"]["rows"]
    for name in ("bronze", "silver_tbl", "quarantine"):
        rows = sum(by_sink[name]["rows"] for _, by_sink in kept.values())
        assert readers.read(tmp_path / name).num_rows == rows

    assert accounts(sluice.run_until_end(path)) == kept
