"""The feed has in it what it promises, as the oracle sees it."""

import zlib

import polars as pl
import pytest

from tests.oracle import DedupSpec, GoldSpec, expect, samples
from tests.support.events import Feed, records

SECOND = 1_000_000
GOLD = {
    "time": "ts",
    "window": {"tumbling": "10s"},
    "lateness": "60s",
    "group_by": ["event_type", "country"],
    "aggregates": {"events": "count()", "revenue": "sum(amount)"},
}


def as_bronze(feed, partitions):
    """What a bronze table would hold, had a broker spread the feed by key."""
    frame = pl.DataFrame(list(records(feed)))
    spread = [zlib.crc32(key) % partitions for key in frame["key"]]
    return frame.with_columns(
        pl.lit("events").alias("topic"),
        pl.Series("partition", spread),
        pl.col("timestamp") * 1000,
    ).with_columns(pl.int_range(pl.len()).over("partition").alias("offset"))


def test_the_feed_has_every_kind_of_record():
    feed = Feed(records=40_000)
    bronze = as_bronze(feed, 8)
    dedup = DedupSpec("event_id", feed.within_s * SECOND)
    answer = expect(bronze, samples.EVENT_SCHEMA, dedup, {"g": GoldSpec.from_config(GOLD)})
    assert answer.records == 40_000
    assert len(answer.rejected) == pytest.approx(80, rel=0.4)
    copies = bronze["value"].is_duplicated().sum() // 2
    assert copies == pytest.approx(400, rel=0.3)
    assert len(answer.duplicates) == pytest.approx(copies / 2, rel=0.3)
    # Too late are those that say so, and copies that are older than W.
    wanted = 0.002 * 40_000 + copies - len(answer.duplicates)
    assert len(answer.gold["g"].late) == pytest.approx(wanted, rel=0.3)
    span = bronze["timestamp"].max() - bronze["timestamp"].min()
    assert span > 2 * 3600 * SECOND


def test_the_same_seed_gives_the_same_feed():
    assert list(records(Feed(500))) == list(records(Feed(500)))
    assert list(records(Feed(500))) != list(records(Feed(500, seed=8)))
