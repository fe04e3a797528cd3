"""Verifying a whole topology's tables: right ones pass, each kind of damage is named."""

import json

import polars as pl
import pytest

deltalake = pytest.importorskip("deltalake")

from tests.lake import readers  # noqa: E402
from tests.oracle import expect_for_topology, samples, verify  # noqa: E402

TOPOLOGY = {
    "pipeline": "retail",
    "sources": {"events": {"plugin": "kafka", "config": {"topics": ["t"]}}},
    "transforms": {
        "silver": {
            "plugin": "silver-validate",
            "inputs": ["events"],
            "config": {
                "schema": "event.schema.json",
                "deduplicate": {"key": "event_id", "within": "10m"},
            },
        },
        "per_country": {
            "plugin": "gold-agg",
            "inputs": [{"from": "silver", "buffer": "8MiB"}],
            "config": {
                "time": "ts",
                "window": {"tumbling": "1s"},
                "lateness": "2s",
                "group_by": ["country"],
                "aggregates": {"events": "count()", "p50": "quantile(session.duration_ms, 0.5)"},
            },
        },
    },
    "sinks": {
        "bronze": {
            "plugin": "bronze-sink",
            "inputs": ["events"],
            "config": {"table": "lake/bronze"},
        },
        "silver_tbl": {
            "plugin": "delta-sink",
            "inputs": ["silver"],
            "config": {"table": "lake/silver"},
        },
        "quarantine": {
            "plugin": "delta-sink",
            "inputs": ["silver.rejects"],
            "config": {"table": "lake/quarantine"},
        },
        "gold": {
            "plugin": "delta-sink",
            "inputs": ["per_country"],
            "config": {"table": "lake/gold", "mode": "upsert"},
        },
        "late": {
            "plugin": "delta-sink",
            "inputs": ["per_country.late"],
            "config": {"table": "lake/late"},
        },
    },
}


@pytest.fixture
def lake(tmp_path):
    """The tables as a right run leaves them; (topology file, lake folder)."""
    events = [samples.compact(samples.retail_event(s)) for s in range(200)]
    values = [*events, events[0], *samples.faults(9).values()]
    start = samples.START_US // samples.SECOND
    rows = [(i % 2, i, start + i / 1000, v) for i, v in enumerate(values)]
    bronze = samples.bronze(rows).with_columns(
        pl.col("timestamp").cast(pl.Datetime("us", "UTC")), pl.lit(None, pl.Binary).alias("key")
    )
    (tmp_path / "event.schema.json").write_text(json.dumps(samples.EVENT_SCHEMA))
    topology = json.dumps(TOPOLOGY).replace("lake/bronze", f"file://{tmp_path}/lake/bronze")
    (tmp_path / "topology.json").write_text(topology)
    answer = expect_for_topology(bronze, tmp_path / "topology.json")
    gold = answer.gold["per_country"]
    assert gold.late.height > 0
    quarantine = answer.rejected.rename({"why": "reason"}).rename(lambda n: n.lstrip("_"))
    tables = {
        "bronze": bronze,
        "silver": answer.silver.drop("_timestamp_us", "_clock_us"),
        "quarantine": quarantine,
        "gold": gold.windows.drop("p50__lo", "p50__hi").with_columns(
            pl.col("events").cast(pl.Int64)
        ),
        "late": gold.late.drop("_timestamp_us", "_clock_us"),
    }
    for name, frame in tables.items():
        deltalake.write_deltalake(str(tmp_path / "lake" / name), frame.to_arrow())
    return tmp_path / "topology.json", tmp_path / "lake"


def test_right_tables_pass(lake, capsys):
    topology, _ = lake
    assert verify.main([str(topology)]) == 0
    out = capsys.readouterr().out
    assert "= silver 200 + rejected 21 + duplicates 1" in out
    assert out.count(": right") == 5


@pytest.mark.parametrize(
    "table, sink",
    [
        ("bronze", "bronze"),
        ("silver", "silver_tbl"),
        ("quarantine", "quarantine"),
        ("gold", "gold"),
        ("late", "late"),
    ],
)
def test_a_row_twice_is_found(lake, capsys, table, sink):
    topology, folder = lake
    rows = readers.read(folder / table, "pyarrow").slice(0, 1)
    deltalake.write_deltalake(str(folder / table), rows, mode="append")
    assert verify.main([str(topology), "--reader", "pyarrow"]) == 1
    (line,) = [x for x in capsys.readouterr().out.splitlines() if x.startswith(f"{sink}: ")]
    assert line != f"{sink}: right"
