"""gold-agg in whole runs: hopping windows and sessions, every aggregate, killed on the way, against
the oracle; and the example of its README. The generator is the source, so no broker is needed.
"""

import re
import shutil

import polars as pl

from tests.lake import readers
from tests.oracle import check, expect_for_topology
from tests.support import sluice
from tests.support.generated import Generated, delta_sink, gold_agg
from tests.support.medallion import SCHEMA
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


def closed_only(gold, spec, silver):
    """Sessions that are still open are not sent: those that the run's end cannot have closed go."""
    newest = silver.group_by(["_topic", "_partition"]).agg(pl.col("ts").max())["ts"].min()
    limit = newest.timestamp() * 1e6 - spec.lateness_us - spec.window.size_us
    return gold.windows.filter(pl.col("window_end").dt.epoch("us") <= round(limit))


def test_windows_are_what_the_oracle_says_after_kills(tmp_path):
    made = Generated(tmp_path, RECORDS)
    hops = {"hopping": {"size": "25s", "every": "10s"}}
    made.add_gold("hops", gold_agg(hops, ["event_type", "country"], AGGREGATES))
    made.add_gold("visits", gold_agg({"session": "15s"}, ["device_id"], AGGREGATES))
    made.write(rate=15_000)
    made.kill_after("hops", 1)
    made.kill_after("hops", 1)
    sluice.run_until_end(made.write(rate=0))

    table = {n: readers.read(tmp_path / n, "delta-rs") for n in ("bronze", "hops", "visits")}
    late = {n: readers.read(tmp_path / f"{n}_late", "delta-rs") for n in ("hops", "visits")}
    answer = expect_for_topology(table["bronze"], made.document, tmp_path)
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


def test_only_final_rows_go_on_to_another_aggregation(tmp_path):
    """Rows of open windows are sent at each commit: behind the node that sums them each would count.
    And what a plugin makes of them that knows nothing of such rows is no final row either."""

    def gold(given, time, size, aggregates):
        config = {"time": time, "window": {"tumbling": size}, "aggregates": aggregates}
        config["group_by"] = ["country"]
        return {"plugin": "gold-agg", "inputs": [given], "config": config}

    made = Generated(tmp_path, 20_000, **{"commit.interval": "20ms"})
    made.document["transforms"] |= {
        "short": gold("silver", "ts", "2s", {"n": "count()", "offset": "count(event_id)"}),
        "long": gold("short", "window_start", "10s", {"total": "sum(n)", "rows": "count()"}),
        "kept": {"plugin": "picky", "inputs": ["short"], "config": {"every": 1_000_000}},
    }
    sinks = {"short_t": "short", "long_t": "long", "long_late": "long.late", "kept_t": "kept"}
    made.document["sinks"] = {name: delta_sink(given, name) for name, given in sinks.items()}
    path = made.write(rate=15_000, partitions=1)
    done = sluice.run_until_end(path, "--plugin-path", PLUGINS)
    names = [name for name in sinks if name != "long_late"]
    table = {name: readers.read(tmp_path / name, "delta-rs") for name in names}
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


def test_the_readme_example_runs(tmp_path):
    readme = (ROOT / "plugins" / "gold-agg" / "README.md").read_text()
    (example,) = re.findall(r"```json\n(.*?)```", readme, re.S)
    shutil.copy(SCHEMA, tmp_path)
    path = tmp_path / "topology.json"
    path.write_text(example)
    run = sluice.run_until_end(path)
    gold = readers.read(tmp_path / "lake" / "gold", "delta-rs")
    assert gold.num_rows > 100
    assert run.rows_in("per_country") == sum(gold["events"].to_pylist()) + run.rows_out(
        "per_country", "late"
    )
