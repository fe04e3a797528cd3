"""Windows, lateness and aggregates on hand-made records. Event times are seconds after 10:00:00."""

import datetime
import decimal

import polars as pl
import pytest

from tests.oracle import GoldSpec, check, expect, expect_for_topology, samples

SCHEMA = {
    "properties": {
        "t": {"type": ["string", "null"], "format": "date-time"},
        "g": {"type": ["string", "null"]},
        "n": {"type": "integer"},
        "d": {"type": "number", "x-sluice-type": "decimal(12,2)"},
        "x": {"type": "number"},
    },
    "required": ["t"],
}
START = samples.START_US // samples.SECOND


def record(partition, offset, at, kafka=None, **columns):
    return (
        partition,
        offset,
        START + (at if kafka is None else kafka),
        {"t": samples.iso(START + at), **columns},
    )


def golden(rows, **config):
    spec = GoldSpec.from_config({"time": "t", "aggregates": {"c": "count()"}, **config})
    return expect(samples.bronze(rows), SCHEMA, None, {"g": spec})


def seconds(moment):
    return (
        moment - datetime.datetime(2026, 11, 22, 10, tzinfo=datetime.timezone.utc)
    ).total_seconds()


def windows(answer, *columns):
    frame = answer.gold["g"].windows
    return [
        (seconds(r["window_start"]), seconds(r["window_end"]), *[r[c] for c in columns])
        for r in frame.to_dicts()
    ]


def late(answer):
    return answer.gold["g"].late.select("_partition", "_offset").rows()


def test_tumbling_windows_are_half_open_and_aligned():
    rows = [record(0, i, at) for i, at in enumerate([0, 9.999, 10, 25, -0.001])]
    answer = golden(rows, window={"tumbling": "10s"}, lateness="1h")
    assert windows(answer, "c") == [(-10, 0, 1), (0, 10, 2), (10, 20, 1), (20, 30, 1)]
    assert late(answer) == []


def test_late_when_the_window_has_ended_by_the_watermark():
    # The largest event time before the last two is 15, so the watermark is 10 with 5 s of lateness.
    rows = [record(0, 0, 1), record(0, 1, 15), record(0, 2, 9.999), record(0, 3, 10)]
    answer = golden(rows, window={"tumbling": "10s"}, lateness="5s")
    assert late(answer) == [(0, 2)]
    assert windows(answer, "c") == [(0, 10, 1), (10, 20, 2)]
    rows[1] = record(0, 1, 14.999)
    assert late(golden(rows, window={"tumbling": "10s"}, lateness="5s")) == []


def test_a_record_is_not_late_by_itself_nor_by_records_after_it():
    rows = [record(0, 0, 5), record(0, 1, 505), record(0, 2, 501)]
    assert late(golden(rows, window={"tumbling": "10s"})) == []


def test_only_the_own_partition_counts():
    rows = [record(0, 0, 500), record(1, 0, 1), record(1, 1, 2), record(0, 1, 3)]
    answer = golden(rows, window={"tumbling": "10s"})
    assert late(answer) == [(0, 1)]
    assert windows(answer, "c") == [(0, 10, 2), (500, 510, 1)]


def test_late_records_and_duplicates_and_rejects_move_no_watermark():
    rows = [
        record(0, 0, 0),
        (0, 1, START, b'{"t":"2027-01-01T00:00:00Z","n":"x"}'),
        record(0, 2, 1),
    ]
    assert late(golden(rows, window={"tumbling": "10s"})) == []


def test_hopping_windows_take_what_is_still_open():
    # Watermark 20 before the last record; its windows are [0,20) (ended) and [10,30).
    rows = [record(0, 0, 20), record(0, 1, 15), record(0, 2, 5)]
    answer = golden(rows, window={"hopping": {"size": "20s", "every": "10s"}})
    assert windows(answer, "c") == [(10, 30, 2), (20, 40, 1)]
    assert late(answer) == [(0, 2)]


def test_hopping_of_a_size_that_is_no_multiple():
    rows = [record(0, 0, 11), record(0, 1, 19)]
    answer = golden(rows, window={"hopping": {"size": "15s", "every": "10s"}}, lateness="1h")
    assert windows(answer, "c") == [(0, 15, 1), (10, 25, 2)]


def test_sessions_end_by_a_gap_and_groups_are_apart():
    rows = [
        record(0, 0, 0, g="a"),
        record(0, 1, 9.999, g="a"),
        record(0, 2, 19.999, g="a"),
        record(1, 0, 4, g="b"),
        record(1, 1, 12, g="b"),
        record(1, 2, 8, g="b"),
    ]
    answer = golden(rows, window={"session": "10s"}, lateness="1h", group_by=["g"])
    assert windows(answer, "g", "c") == [
        (0, 19.999, "a", 2),
        (4, 22, "b", 3),
        (19.999, 29.999, "a", 1),
    ]


def test_sessions_merge_over_partitions():
    rows = [record(0, 0, 0), record(0, 1, 14), record(1, 0, 7)]
    answer = golden(rows, window={"session": "10s"}, lateness="1h")
    assert windows(answer, "c") == [(0, 24, 3)]


def test_a_session_record_is_late_when_its_own_window_has_ended():
    rows = [record(0, 0, 20), record(0, 1, 10.001), record(0, 2, 10)]
    answer = golden(rows, window={"session": "10s"})
    assert late(answer) == [(0, 2)]
    assert windows(answer, "c") == [(10.001, 30, 2)]


def test_event_time_far_ahead_of_kafka_is_left_out_and_moves_nothing():
    rows = [record(0, 0, 0), record(0, 1, 61, kafka=0), record(0, 2, 60, kafka=0), record(0, 3, 1)]
    answer = golden(rows, window={"tumbling": "10s"}, lateness="1h", max_ahead="1m")
    assert answer.gold["g"].left_out["_offset"].to_list() == [1]
    assert windows(answer, "c") == [(0, 10, 2), (60, 70, 1)]
    assert late(golden(rows, window={"tumbling": "10s"}, lateness="51s", max_ahead="1m")) == []
    assert late(golden(rows, window={"tumbling": "10s"}, lateness="50s", max_ahead="1m")) == [
        (0, 3)
    ]


AGGREGATES = {
    "c": "count()",
    "cn": "count(n)",
    "sn": "sum(n)",
    "sd": "sum(d)",
    "sx": "sum(x)",
    "lo": "min(n)",
    "hi": "max(d)",
    "avg": "avg(d)",
    "dev": "stddev(n)",
    "kinds": "count_distinct(g)",
    "mid": "quantile(n, 0.5)",
    "first": "first(n)",
    "last": "last(n)",
}


def test_every_aggregate():
    big = 2**63 - 1
    rows = [
        record(1, 0, 3, n=1, d=0.10, x=0.5, g="a"),
        record(0, 0, 2, n=big, d=0.20, x=0.25, g="b"),
        record(0, 1, 3, n=big, d=0.30, g="a"),
        record(0, 2, 1, n=4, d=-5),
        record(0, 3, 5),
        (0, 4, START, {"t": None}),
    ]
    answer = golden(rows, window={"tumbling": "10s"}, aggregates=AGGREGATES, lateness="1h")
    (row,) = answer.gold["g"].windows.to_dicts()
    assert (row["c"], row["cn"], row["sn"]) == (5, 4, None)  # the sum is beyond a long
    assert row["sd"] == decimal.Decimal("-4.40") and row["sx"] == 0.75
    assert (row["lo"], row["hi"]) == (1, decimal.Decimal("0.30"))
    assert row["avg"] == pytest.approx(-1.1) and row["kinds"] == 2
    assert (row["first"], row["last"]) == (4, 1)
    assert (row["mid__lo"], row["mid__hi"]) == (4, big)
    assert answer.gold["g"].left_out["_offset"].to_list() == [4]


def test_aggregates_of_no_values_and_null_groups():
    rows = [record(0, 0, 1, g=None), record(0, 1, 2, g="a", n=3), record(0, 2, 3, g=None)]
    answer = golden(rows, window={"tumbling": "10s"}, aggregates=AGGREGATES, group_by=["g"])
    nothing, one = answer.gold["g"].windows.to_dicts()
    assert nothing["g"] is None and (nothing["c"], nothing["cn"]) == (2, 0)
    assert nothing["dev"] is None and one["dev"] is None
    assert [nothing[n] for n in ("sn", "sd", "sx", "lo", "hi", "avg", "mid", "first")] == [None] * 8
    assert one["g"] == "a" and one["sn"] == 3 and one["mid"] == 3


def gold_table(answer):
    frame = answer.gold["g"].windows
    frame = frame.select([c for c in frame.columns if "__" not in c])
    return frame.with_columns(
        [pl.col(n).cast(pl.Decimal(38, 0)) for n, k in frame.schema.items() if k == pl.Int128]
    ).to_arrow()


def test_sums_are_exact_and_deviations_as_in_sql():
    rows = [
        record(0, i, i, n=n, d=d) for i, (n, d) in enumerate([(2**62, 0.1), (2, 0.2), (3, 0.3)])
    ]
    wanted = {"n": "sum(n)", "d": "sum(d)", "s": "stddev(d)", "p": "stddev_pop(d)"}
    answer = golden(rows, window={"tumbling": "10s"}, aggregates=wanted, lateness="1h")
    (row,) = answer.gold["g"].windows.to_dicts()
    assert row["n"] == 2**62 + 5 and row["d"] == decimal.Decimal("0.60")
    assert row["s"] == pytest.approx(0.1) and row["p"] == pytest.approx(0.1 * (2 / 3) ** 0.5)


def test_gold_is_compared_exactly():
    rows = [record(0, i, i, n=i, d=i, x=i / 3, g="ab"[i % 2]) for i in range(100)]
    answer = golden(rows, window={"tumbling": "10s"}, aggregates=AGGREGATES, group_by=["g"])
    table = gold_table(answer)
    assert check.gold(answer, "g", table) is None
    assert "1 windows missing" in check.gold(answer, "g", table.slice(1))
    assert "share their key" in check.gold(
        answer, "g", pl.concat([pl.from_arrow(table), pl.from_arrow(table.slice(0, 1))]).to_arrow()
    )
    for name in AGGREGATES:
        frame = pl.from_arrow(table)
        off = (
            pl.when(pl.int_range(pl.len()) == 7).then(pl.col(name) * 3 + 5).otherwise(pl.col(name))
        )
        told = check.gold(answer, "g", frame.with_columns(off.cast(frame.schema[name])).to_arrow())
        assert told.startswith(f"1 windows differ in {name}:"), name


def test_a_whole_topology_and_its_tables():
    events = [samples.retail_event(s) for s in range(300)]
    values = [samples.compact(e) for e in events] + [samples.compact(events[0])]
    values += list(samples.faults(9).values())
    rows = [(i % 3, i, START + 1, v) for i, v in enumerate(values)]
    topology = {
        "transforms": {
            "silver": {
                "plugin": "silver-validate",
                "inputs": ["events"],
                "config": {
                    "schema": samples.EVENT_SCHEMA,
                    "deduplicate": {"key": "event_id", "within": "10m"},
                },
            },
            "g": {
                "plugin": "gold-agg",
                "inputs": [{"from": "silver"}],
                "config": {
                    "time": "ts",
                    "window": {"tumbling": "10s"},
                    "lateness": "60s",
                    "group_by": ["event_type", "country"],
                    "aggregates": {
                        "events": "count()",
                        "revenue": "sum(amount)",
                        "p99_ms": "quantile(session.duration_ms, 0.99)",
                    },
                },
            },
        }
    }
    answer = expect_for_topology(samples.bronze(rows), topology)
    assert len(answer.silver) == 300 and len(answer.duplicates) == 1
    assert len(answer.rejected) == len(samples.faults(9))
    assert answer.gold["g"].windows["events"].sum() == 300
    cents = sum(round(e["amount"] * 100) for e in events)
    assert answer.gold["g"].windows["revenue"].sum() == decimal.Decimal(cents) / 100
    silver = answer.silver.to_arrow()
    quarantine = answer.rejected.select(
        topic="_topic", partition="_partition", offset="_offset", value="value", reason="why"
    ).to_arrow()
    assert check.silver(answer, silver) is None
    assert check.silver(answer, silver.slice(1)) is not None
    assert check.quarantine(answer, quarantine) is None
    assert "not quarantined" in check.quarantine(answer, quarantine.slice(1))
    assert check.accounts(answer, 300, len(answer.rejected), 1) is None
    assert "duplicates: 0" in check.accounts(answer, 300, len(answer.rejected), 0)
    assert check.gold(answer, "g", gold_table(answer)) is None
    assert check.late(answer, "g", answer.gold["g"].late.to_arrow()) is None
    bronze = samples.bronze(rows).to_arrow()
    assert "partition 0" in check.bronze(bronze, {0: (0, 3), 1: (0, 3), 2: (0, 3)})


def test_bronze_has_each_offset_once():
    rows = [(p, o, 0, b"") for p in range(2) for o in range(5, 9)]
    table = samples.bronze(rows).to_arrow()
    assert check.bronze(table, {0: (5, 9), 1: (5, 9), 2: (0, 0)}) is None
    assert "partition 1" in check.bronze(table, {0: (5, 9), 1: (5, 10)})
    twice = samples.bronze([*rows, rows[0]]).to_arrow()
    assert "partition 0" in check.bronze(twice, {0: (5, 9), 1: (5, 9)})
    assert "was not produced" in check.bronze(table, {0: (5, 9)})
