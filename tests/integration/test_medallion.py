"""The first promise, on a real broker: every table equals what the oracle computes from bronze.

One feed of SLUICE_EVENTS records, keyed by device, on 8 partitions: over two hours of event time,
with faults, copies inside and outside the window of deduplication, and events later than the
lateness. The tests of this file go on from one another, in their order.
"""

import itertools
from dataclasses import dataclass

import deltalake
import pytest

from tests.integration.conftest import EVENTS
from tests.lake import compare, readers
from tests.oracle import check, expect_for_topology
from tests.support import events, sluice
from tests.support.medallion import TABLES, Medallion
from tests.support.servers import wait_for

MORE = 1_000
PARTITIONS = 8


@dataclass
class Stage:
    """The lake after the first run, and what of the feed is still to come."""

    medallion: Medallion
    topic: str
    rest: object
    run: sluice.Run
    tables: dict
    answer: object


def read_all(medallion):
    return {name: readers.read(medallion.table(name)) for name in TABLES}


def differences(stage):
    """{table: what is wrong with it}, empty when all are right."""
    answer, tables = stage.answer, stage.tables
    found = {
        "silver": check.silver(answer, tables["silver_tbl"]),
        "quarantine": check.quarantine(answer, tables["quarantine"]),
        "gold": check.gold(answer, "per_country", tables["gold"]),
        "late": check.late(answer, "per_country", tables["late"]),
    }
    return {name: text for name, text in found.items() if text is not None}


def data_files(medallion, name):
    return set(deltalake.DeltaTable(str(medallion.table(name))).file_uris())


@pytest.fixture(scope="module")
def stage(broker, new_topic, tmp_path_factory):
    topic = new_topic(PARTITIONS)
    rest = events.records(events.Feed(records=EVENTS + MORE))
    assert broker.produce(topic, itertools.islice(rest, EVENTS)) == EVENTS
    medallion = Medallion(tmp_path_factory.mktemp("medallion"), broker.bootstrap, topic)
    # the group is deleted below, which waits for this long
    medallion.document["sources"]["events"]["config"]["session.timeout.ms"] = 6_000
    run = sluice.run_until_end(medallion.write())
    tables = read_all(medallion)
    answer = expect_for_topology(tables["bronze"], medallion.document, medallion.folder)
    return Stage(medallion, topic, rest, run, tables, answer)


def test_the_feed_has_what_it_is_to_prove(stage):
    """A feed without late events or copies would prove nothing."""
    gold = stage.answer.gold["per_country"]
    span = gold.windows["window_end"].max() - gold.windows["window_start"].min()
    assert span.total_seconds() > 7_200
    assert gold.late.height > 0
    assert len(stage.answer.duplicates) > 0
    ids = stage.answer.silver["event_id"]
    assert ids.n_unique() < len(ids), "no copy came back outside of the window"


def test_bronze_has_every_delivered_offset_once(stage, broker):
    assert check.bronze(stage.tables["bronze"], broker.end_offsets(stage.topic)) is None


def test_silver_quarantine_gold_and_late_are_the_oracles(stage):
    assert differences(stage) == {}


def test_the_counts_add_up(stage):
    run, tables = stage.run, stage.tables
    silver, rejects = run.rows_out("silver"), run.rows_out("silver", "rejects")
    duplicates = run.dropped("silver", "duplicate")
    assert check.accounts(stage.answer, silver, rejects, duplicates) is None
    assert run.rows_out("events") == run.rows_in("silver") == run.rows_in("bronze") == EVENTS
    assert tables["bronze"].num_rows == EVENTS
    assert run.rows_in("silver_tbl") == tables["silver_tbl"].num_rows == silver
    assert run.rows_in("quarantine") == tables["quarantine"].num_rows == rejects
    assert run.rows_in("late") == tables["late"].num_rows


def test_the_group_of_the_source_tells_lag_tools_where_it_is(stage, broker):
    from confluent_kafka import Consumer, TopicPartition

    ends = {p: after for p, (_, after) in broker.end_offsets(stage.topic).items()}
    consumer = Consumer(
        {"bootstrap.servers": broker.bootstrap, "group.id": stage.medallion.group}
    )
    try:
        asked = [TopicPartition(stage.topic, p) for p in ends]
        committed = {c.partition: c.offset for c in consumer.committed(asked, timeout=30)}
    finally:
        consumer.close()
    assert committed == ends


def test_a_second_run_without_offsets_and_with_other_lanes_appends_nothing(stage, broker):
    def deleted():
        try:
            broker.delete_group(stage.medallion.group)
            return True
        except Exception as error:  # a static member is remembered for its session
            if "NON_EMPTY_GROUP" not in str(error):
                raise
            return False

    wait_for(deleted, 90, "the group's offsets deleted")
    files = {name: data_files(stage.medallion, name) for name in TABLES}
    sluice.run_until_end(stage.medallion.path, "--set", "lanes=3")
    for name in TABLES:
        before, after = stage.tables[name], readers.read(stage.medallion.table(name))
        assert compare.difference(before, after, None, "before", "after") is None, name
        if name != "gold":
            assert data_files(stage.medallion, name) == files[name], name


def test_a_thousand_more_events_append_exactly_those(stage, broker):
    assert broker.produce(stage.topic, stage.rest) == MORE
    run = sluice.run_until_end(stage.medallion.path)
    assert run.rows_in("bronze") == MORE
    before = stage.tables
    stage.tables = read_all(stage.medallion)
    stage.answer = expect_for_topology(
        stage.tables["bronze"], stage.medallion.document, stage.medallion.folder
    )
    assert stage.tables["bronze"].num_rows == EVENTS + MORE
    assert check.bronze(stage.tables["bronze"], broker.end_offsets(stage.topic)) is None
    assert differences(stage) == {}
    silver, rejects = run.rows_out("silver"), run.rows_out("silver", "rejects")
    assert silver + rejects + run.dropped("silver", "duplicate") == MORE
    for name, rows in (("silver_tbl", silver), ("quarantine", rejects)):
        assert stage.tables[name].num_rows == before[name].num_rows + rows
