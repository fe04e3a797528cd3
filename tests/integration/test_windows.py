"""gold-agg in whole runs: hopping windows and sessions, every aggregate, killed on the way, against
the oracle; and the example of its README. The generator is the source, so no broker is needed.
"""

import json
import re
import shutil
import signal

import polars as pl
import pytest

from tests.lake import readers
from tests.oracle import check, expect_for_topology
from tests.support import sluice
from tests.support.servers import ROOT

RECORDS = 60_000
PLUGINS = sluice.BINARY.parent / "tests" / "plugins"
AGGREGATES = {
    "n": "count()",
    "amounts": "count(amount)",
    "revenue": "sum(amount)",
    "largest": "max(amount)",
    "smallest": "min(event_id)",
    "mean": "avg(amount)",
    "spread": "stddev(amount)",
    "warmth": "sum(temperature)",
    "warmth_spread": "stddev(temperature)",
    "p50": "quantile(session.duration_ms, 0.5)",
    "customers": "count_distinct(customer_id)",
    "first_id": "first(event_id)",
    "last_amount": "last(amount)",
}


def topology(rate):
    def gold(window, group_by):
        return {
            "plugin": "gold-agg",
            "inputs": ["silver"],
            "config": {
                "time": "ts",
                "window": window,
                "lateness": "20s",
                "group_by": group_by,
                "aggregates": AGGREGATES,
            },
        }

    def sink(given, name, **config):
        return {"plugin": "delta-sink", "inputs": [given], "config": {"table": name, **config}}

    return {
        "pipeline": "windows",
        "state": "state",
        "lanes": 2,
        "sources": {
            "events": {
                "plugin": "generator",
                "config": {
                    "count": RECORDS,
                    "partitions": 3,
                    "event_rate": 500,
                    "too_late": 0.003,
                    "rate": rate,
                },
            }
        },
        "transforms": {
            "silver": {
                "plugin": "silver-validate",
                "inputs": ["events"],
                "config": {"schema": "event.schema.json"},
            },
            "hops": gold({"hopping": {"size": "25s", "every": "10s"}}, ["event_type", "country"]),
            "visits": gold({"session": "15s"}, ["device_id"]),
        },
        "sinks": {
            "bronze": {"plugin": "bronze-sink", "inputs": ["events"], "config": {"table": "bronze"}},
            "hops_t": sink("hops", "hops", mode="upsert"),
            "hops_late": sink("hops.late", "hops_late"),
            "visits_t": sink("visits", "visits", mode="upsert"),
            "visits_late": sink("visits.late", "visits_late"),
        },
    }


@pytest.fixture
def folder(tmp_path):
    shutil.copy(ROOT / "deploy" / "demo" / "event.schema.json", tmp_path)
    return tmp_path


def kill_after(path, entries, folder):
    """Runs until the state has so many entries more, then kills."""
    log = folder / "state" / "nodes" / "hops" / "log"

    def count():
        return len(list(log.glob("*"))) if log.exists() else 0

    wanted = count() + entries
    with sluice.Process("run", "--until-end", path) as process:
        process.wait_for(lambda: count() >= wanted, 60, f"{wanted} entries of the state")
        process.signal(signal.SIGKILL)
        process.wait(30)


def closed_only(gold, spec, silver):
    """Sessions that are still open are not sent: those that the run's end cannot have closed go."""
    newest = silver.group_by(["_topic", "_partition"]).agg(pl.col("ts").max())["ts"].min()
    limit = newest.timestamp() * 1e6 - spec.lateness_us - spec.window.size_us
    return gold.windows.filter(pl.col("window_end").dt.epoch("us") <= round(limit))


def test_windows_are_what_the_oracle_says_after_kills(folder):
    path = folder / "topology.json"
    path.write_text(json.dumps(topology(rate=15_000)))
    kill_after(path, 1, folder)
    kill_after(path, 1, folder)
    path.write_text(json.dumps(topology(rate=0)))
    sluice.run_until_end(path)

    table = {n: readers.read(folder / n, "delta-rs") for n in ("bronze", "hops", "visits")}
    late = {n: readers.read(folder / f"{n}_late", "delta-rs") for n in ("hops", "visits")}
    answer = expect_for_topology(table["bronze"], json.loads(path.read_text()), folder)
    assert check.gold(answer, "hops", table["hops"]) is None
    answer.gold["visits"].windows = closed_only(
        answer.gold["visits"], answer.specs["visits"], answer.silver
    )
    assert answer.gold["visits"].windows.height > 1000
    assert check.gold(answer, "visits", table["visits"]) is None
    for node in late:
        assert late[node].num_rows > 100
        assert check.late(answer, node, late[node]) is None


def final_sums(table, size_s):
    """{(start of a window of size_s, country): (sum of n, rows)} of a table of final rows."""
    sums = {}
    for row in table.to_pylist():
        start = row["window_start"].timestamp() // size_s * size_s
        n, rows = sums.get((start, row["country"]), (0, 0))
        sums[start, row["country"]] = n + row["n"], rows + 1
    return sums


def test_only_final_rows_go_on_to_another_aggregation(folder):
    """Rows of open windows are sent at each commit: behind the node that sums them each would count.
    And what a plugin makes of them that knows nothing of such rows is no final row either."""

    def gold(given, time, size, aggregates, group_by=("country",)):
        config = {"time": time, "window": {"tumbling": size}, "aggregates": aggregates}
        config["group_by"] = list(group_by)
        return {"plugin": "gold-agg", "inputs": [given], "config": config}

    document = topology(rate=15_000)
    document["commit.interval"] = "20ms"
    document["sources"]["events"]["config"] |= {"partitions": 1, "count": 20_000}
    document["transforms"] = {
        "silver": document["transforms"]["silver"],
        "short": gold("silver", "ts", "2s", {"n": "count()", "offset": "count(event_id)"}),
        "long": gold("short", "window_start", "10s", {"total": "sum(n)", "rows": "count()"}),
        "kept": {"plugin": "picky", "inputs": ["short"], "config": {"every": 1_000_000}},
    }
    sinks = {"short_t": "short", "long_t": "long", "long_late": "long.late", "kept_t": "kept"}
    document["sinks"] = {
        name: {"plugin": "delta-sink", "inputs": [given], "config": {"table": name}}
        for name, given in sinks.items()
    }
    path = folder / "topology.json"
    path.write_text(json.dumps(document))
    done = sluice.run_until_end(path, "--plugin-path", PLUGINS)
    table = {name: readers.read(folder / name, "delta-rs") for name in sinks if name != "long_late"}
    assert done.rows_out("short") > 2 * table["short_t"].num_rows  # updates, too
    wanted = final_sums(table["short_t"], 10)
    assert len(wanted) > 20
    found = {
        (row["window_start"].timestamp(), row["country"]): (row["total"], row["rows"])
        for row in table["long_t"].to_pylist()
    }
    closed = max(start for start, _ in found)
    assert found == {key: sums for key, sums in wanted.items() if key[0] <= closed}
    assert done.rows_out("long", "late") == 0
    assert sorted(table["kept_t"]["offset"].to_pylist()) == sorted(
        table["short_t"]["offset"].to_pylist()
    )


def test_an_old_backup_of_the_state_is_refused_with_both_numbers(folder):
    """And after what the message says to do, all is as if nothing had been."""
    path, state = folder / "topology.json", folder / "state"
    document = topology(rate=15_000)
    for nodes in (document["transforms"], document["sinks"]):
        for name in [n for n in nodes if n.startswith("visits")]:
            del nodes[name]
    path.write_text(json.dumps(document))
    kill_after(path, 1, folder)
    shutil.copytree(state, folder / "backup")
    document["sources"]["events"]["config"]["rate"] = 0
    path.write_text(json.dumps(document))
    sluice.run_until_end(path)

    shutil.rmtree(state)
    shutil.copytree(folder / "backup", state)
    before = readers.read(folder / "hops", "delta-rs")
    run = sluice.run_command("run", "--until-end", path)
    assert run.exit_code == 1
    assert re.search(r"a reader of hops has results below (\d+), the state only below (\d+)", run.log)
    assert readers.read(folder / "hops", "delta-rs").equals(before)

    for name in ("state/nodes/hops", "hops", "hops_late"):
        shutil.rmtree(folder / name)
    sluice.run_until_end(path)
    bronze = readers.read(folder / "bronze", "delta-rs")
    answer = expect_for_topology(bronze, document, folder)
    assert check.gold(answer, "hops", readers.read(folder / "hops", "delta-rs")) is None
    assert check.late(answer, "hops", readers.read(folder / "hops_late", "delta-rs")) is None


def test_the_readme_example_runs(folder):
    readme = (ROOT / "plugins" / "gold-agg" / "README.md").read_text()
    (example,) = re.findall(r"```json\n(.*?)```", readme, re.S)
    path = folder / "topology.json"
    path.write_text(example)
    run = sluice.run_until_end(path)
    gold = readers.read(folder / "lake" / "gold", "delta-rs")
    assert gold.num_rows > 100
    assert run.rows_in("per_country") == sum(gold["events"].to_pylist()) + run.rows_out(
        "per_country", "late"
    )
