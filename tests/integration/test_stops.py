"""Stops, kind and unkind, in the middle of a feed that goes on: nothing is lost, nothing doubled.

A producer feeds the topic while sluice is stopped and started again; at the end one run to the end
of the data, and the oracle on all tables. (tests/crash, later, kills at every write; here it is a
handful of times.)
"""

import os
import random
import signal

import pytest

from tests.lake import readers
from tests.oracle import check, expect_for_topology
from tests.support import events, sluice
from tests.support.medallion import Medallion
from tests.support.producer import Producer

RECORDS = 60_000
LIMIT_S = 60


def commits(medallion, name):
    """Number of the last commit of a table, -1 before the first."""
    log = medallion.table(name) / "_delta_log"
    versions = [int(f.stem) for f in log.glob("*.json")] if log.is_dir() else []
    return max(versions, default=-1)


def start_and_see_commits(medallion, more):
    """A running sluice that has committed `more` times to bronze since it began."""
    before = commits(medallion, "bronze")
    process = sluice.Process("run", "--json", medallion.path)
    try:
        process.wait_for(
            lambda: commits(medallion, "bronze") >= before + more, LIMIT_S, "commits to bronze"
        )
    except BaseException:
        process.__exit__()
        raise
    return process


def assert_right(medallion, broker, topic):
    bronze = readers.read(medallion.table("bronze"))
    assert check.bronze(bronze, broker.end_offsets(topic)) is None
    answer = expect_for_topology(bronze, medallion.document, medallion.folder)
    read = {n: readers.read(medallion.table(n)) for n in medallion.document["sinks"]}
    assert check.silver(answer, read["silver_tbl"]) is None
    assert check.quarantine(answer, read["quarantine"]) is None
    assert check.gold(answer, "per_country", read["gold"]) is None
    assert check.late(answer, "per_country", read["late"]) is None


@pytest.fixture
def feed(broker, new_topic, tmp_path):
    """(medallion with short commits, topic, producer that has begun)"""
    topic = new_topic()
    medallion = Medallion(tmp_path, broker.bootstrap, topic)
    medallion.document["commit.interval"] = "100ms"
    medallion.write()
    # slow, so that even a slow program has something to commit after each start; finish() hurries
    producer = Producer(broker, topic, events.Feed(records=RECORDS), rate=1_000)
    producer.start()
    return medallion, topic, producer


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_clean_stop_and_a_start_go_on_exactly(broker, feed, number):
    medallion, topic, producer = feed
    for _ in range(3):
        with start_and_see_commits(medallion, 3) as process:
            process.signal(number)
            done = process.wait(LIMIT_S)
            assert done.exit_code == 0, done.failed_because()
            assert done.rows_in("bronze") == done.rows_out("events")
    producer.finish()
    sluice.run_until_end(medallion.path)
    assert_right(medallion, broker, topic)


def test_a_clean_stop_leaves_all_tables_at_one_place(broker, feed):
    """What bronze has of each partition is what silver has been computed from: the clean stop
    flushed every branch."""
    medallion, topic, producer = feed
    with start_and_see_commits(medallion, 5) as process:
        process.signal(signal.SIGTERM)
        done = process.wait(LIMIT_S)
    assert done.exit_code == 0, done.failed_because()
    bronze = readers.read(medallion.table("bronze"))
    assert 0 < bronze.num_rows
    answer = expect_for_topology(bronze, medallion.document, medallion.folder)
    assert check.silver(answer, readers.read(medallion.table("silver_tbl"))) is None
    assert check.quarantine(answer, readers.read(medallion.table("quarantine"))) is None
    assert check.gold(answer, "per_country", readers.read(medallion.table("gold"))) is None
    producer.finish()


def test_kills_lose_and_double_nothing(broker, feed):
    medallion, topic, producer = feed
    rng = random.Random(11)
    for _ in range(6):
        with start_and_see_commits(medallion, rng.randrange(1, 6)) as process:
            process.signal(signal.SIGKILL)
            assert process.wait(LIMIT_S).exit_code == -signal.SIGKILL
    producer.finish()
    sluice.run_until_end(medallion.path)
    assert_right(medallion, broker, topic)


def test_a_second_signal_ends_it_at_once(broker, new_topic, tmp_path):
    """The first stop cannot end, since the broker that takes the rejects stands still."""
    topic, rejects = new_topic(), new_topic(1)
    medallion = Medallion(tmp_path, broker.bootstrap, topic).without("per_country")
    medallion.document["shutdown.timeout"] = "10m"
    medallion.document["sinks"]["letters"] = {
        "plugin": "kafka",
        "inputs": ["events"],
        "config": {"topic": rejects},
    }
    medallion.write()
    producer = Producer(broker, topic, events.Feed(records=RECORDS))
    producer.start()
    with start_and_see_commits(medallion, 2) as process:
        os.kill(broker.pid, signal.SIGSTOP)
        try:
            process.signal(signal.SIGTERM)
            process.wait_for(lambda: "SIGTERM" in process.text(1), LIMIT_S, "the stop in the log")
            process.signal(signal.SIGTERM)
            done = process.wait(10)
        finally:
            os.kill(broker.pid, signal.SIGCONT)
        assert done.exit_code != 0
        assert "again" in done.log
    producer.finish()
