"""A broker that is away for longer than partitions take to be idle, while their producers wait for
it: what comes when it is back is no later than what was there before."""

import time

import polars as pl
import pytest

from tests.lake import readers
from tests.oracle import check, expect_for_topology
from tests.oracle.samples import compact, iso, retail_event
from tests.support import sluice
from tests.support.medallion import Medallion

LIMIT_S = 90
BEGIN_S = 1_795_341_600
WRITTEN = 3  # partitions; the one behind them only has what nobody reads
IDLE_S = 8
AWAY_S = 6  # and the start of a broker takes longer than two


def events(partition, minutes):
    """One for each second of these minutes, in order."""
    for second in range(minutes.start * 60, minutes.stop * 60):
        seed = second * WRITTEN + partition
        event = retail_event(seed, ts=iso(BEGIN_S + second))
        yield {"value": compact(event), "partition": partition}


def abort(broker, topic):
    """A transaction: its records and its end move the partition's end, and no row comes."""
    from confluent_kafka import Producer

    made = Producer({"bootstrap.servers": broker.bootstrap, "transactional.id": topic})
    made.init_transactions(LIMIT_S)
    made.begin_transaction()
    for event in events(WRITTEN, range(1)):
        made.produce(topic, **event)
    made.flush(LIMIT_S)
    made.abort_transaction(LIMIT_S)


def rows_of(path):
    return readers.read(path).num_rows if any((path / "_delta_log").glob("*.json")) else 0


@pytest.fixture
def windows(tmp_path, own_broker):
    """One sink has the records, one the final rows of windows of ten seconds."""
    topic = "outage"
    own_broker.create_topic(topic, WRITTEN + 1)
    made = Medallion(tmp_path, own_broker.bootstrap, topic)
    made.without("silver_tbl", "quarantine", "late")
    made.document["commit.interval"] = "100ms"
    made.document["sources"]["events"]["config"] |= {
        "reconnect.backoff.max.ms": 500,
        "session.timeout.ms": 120_000,  # else its partitions come anew, and are not idle
    }
    made.document["transforms"]["per_country"]["config"] |= {"idle": f"{IDLE_S}s", "lateness": "10s"}
    made.document["sinks"]["gold"]["config"]["mode"] = "append"
    return made


def expected(made):
    """The oracle's answer for what is in bronze, without windows that are still open."""
    answer = expect_for_topology(readers.read(made.table("bronze")), made.document, made.folder)
    ends = answer.silver.group_by("_partition").agg(pl.col("ts").max())
    assert len(ends) == WRITTEN and ends["ts"].n_unique() == 1
    closed = ends["ts"][0].timestamp() - 10
    gold = answer.gold["per_country"]
    gold.windows = gold.windows.filter(pl.col("window_end").dt.epoch("s") <= closed)
    assert gold.late.height == 0 and gold.windows.height > 100
    return answer


def test_partitions_are_not_idle_while_the_broker_is_away(own_broker, windows):
    log = windows.state / "nodes" / "per_country" / "log"

    def entries():
        return len(list(log.glob("*")))

    with sluice.Process("run", "--json", windows.write()) as process:

        def deliver(partition, minutes):
            return own_broker.produce(
                "outage", events(partition, minutes), enable_idempotence=True
            )

        def wait_for_rows(wanted):
            there = lambda: rows_of(windows.table("bronze")) == wanted
            process.wait_for(there, LIMIT_S, f"{wanted} rows")

        total = sum(deliver(partition, range(1)) for partition in range(WRITTEN))
        wait_for_rows(total)
        abort(own_broker, "outage")
        ended = lambda: own_broker.has_ended_transactions("outage")
        process.wait_for(ended, LIMIT_S, "the transaction's marker")
        own_broker.kill()
        time.sleep(AWAY_S)
        own_broker.start()
        for partition in range(WRITTEN):  # each by minutes ahead of those that come after it
            before = entries()
            total += deliver(partition, range(1, 5))
            process.wait_for(lambda: entries() > before, LIMIT_S, "a commit of gold")
        wait_for_rows(total)
        answer = expected(windows)
        process.wait_for(
            lambda: rows_of(windows.table("gold")) >= answer.gold["per_country"].windows.height,
            LIMIT_S,
            "the end of the windows, of which the partition without rows is to know nothing",
        )
        process.signal(15)
        done = process.wait(LIMIT_S)
    assert done.exit_code == 0, done.failed_because()
    assert done.rows_out("per_country", "late") == 0
    assert check.gold(answer, "per_country", readers.read(windows.table("gold"))) is None
