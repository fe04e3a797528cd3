"""What only a real broker shows of the kafka plugin: starts, patterns, transactions, keys, headers.

The sink is a bronze table, so that what was read is there with its place.
"""

import pytest

from tests.lake import readers
from tests.support import sluice
from tests.support.events import START_MS
from tests.support.medallion import Medallion
from tests.support.servers import wait_for

SECOND_MS = 1_000
# of members that ended without leaving, so that nobody waits long for them
SESSION = {"session.timeout.ms": 3_000, "heartbeat.interval.ms": 500}


@pytest.fixture
def bronze_of(broker, tmp_path):
    """A function: bronze of a run to the end, by source config; its rows as sorted dicts."""

    def run(**config):
        name = "-".join(config.get("topics", ["pattern"]))
        medallion = Medallion(tmp_path, broker.bootstrap, name).without("silver")
        medallion.document["sources"]["events"]["config"] = {**SESSION, **config}
        sluice.run_until_end(medallion.write())
        rows = readers.read(medallion.table("bronze")).to_pylist()
        return sorted(rows, key=lambda r: (r["topic"], r["partition"], r["offset"]))

    return run


def seconds(count, partition=0):
    """`count` records, one a second, from START_MS on."""
    return [
        {"value": b"%d" % i, "timestamp": START_MS + i * SECOND_MS, "partition": partition}
        for i in range(count)
    ]


def values(rows):
    return [int(r["value"]) for r in rows]


def test_a_start_by_time(broker, new_topic, bronze_of):
    topic = new_topic(2)
    broker.produce(topic, seconds(10, 0) + seconds(10, 1))
    rows = bronze_of(topics=[topic], start="timestamp", start_timestamp="2026-11-22T10:00:07Z")
    wanted = [(partition, offset) for partition in (0, 1) for offset in (7, 8, 9)]
    assert [(r["partition"], r["offset"]) for r in rows] == wanted


def test_a_start_at_the_end_holds_for_the_next_run(broker, new_topic, bronze_of):
    topic = new_topic(2)
    broker.produce(topic, seconds(5, 0))
    assert bronze_of(topics=[topic], start="latest") == []
    broker.produce(topic, seconds(3, 0) + seconds(3, 1))
    rows = bronze_of(topics=[topic], start="latest")
    assert [(r["partition"], r["offset"]) for r in rows] == [
        *[(0, o) for o in (5, 6, 7)],
        *[(1, o) for o in (0, 1, 2)],
    ]


def test_times_beyond_all_calendars_stop_nobody(broker, new_topic, tmp_path):
    topic = new_topic(1)
    times = [START_MS, START_MS * 1000, START_MS * 1000**2]  # counted in us, in ns
    broker.produce(topic, [{"value": b"x", "timestamp": t, "partition": 0} for t in times])
    medallion = Medallion(tmp_path, broker.bootstrap, topic).without("silver")
    medallion.document["sinks"]["bronze"]["config"]["partition_by"] = "event_date"
    sluice.run_until_end(medallion.write())
    rows = readers.read(medallion.table("bronze")).sort_by("offset")
    assert [str(d) for d in rows["event_date"].to_pylist()] == ["2026-11-22"] + ["9999-12-31"] * 2
    assert rows["timestamp"].cast("int64").to_pylist()[:2] == [START_MS * 1000, START_MS * 1000**2]


def test_a_pattern_takes_all_topics_that_it_matches(broker, new_topic, bronze_of):
    topics = sorted(new_topic(1) for _ in range(3))
    for topic in topics:
        broker.produce(topic, seconds(4))
    rows = bronze_of(topics_regex=f"^({topics[0]}|{topics[2]})$")
    assert [(r["topic"], r["offset"]) for r in rows] == [
        (t, o) for t in (topics[0], topics[2]) for o in range(4)
    ]


def test_aborted_transactions_are_left_out_and_gaps_are_no_fault(broker, new_topic, bronze_of):
    from confluent_kafka import Producer

    topic = new_topic(1)
    producer = Producer({"bootstrap.servers": broker.bootstrap, "transactional.id": topic})
    producer.init_transactions(30)
    for number, commits in enumerate((True, False, True, False)):
        producer.begin_transaction()
        for i in range(10):
            producer.produce(topic, b"%d" % (number * 10 + i))
        producer.flush(30)
        producer.commit_transaction(30) if commits else producer.abort_transaction(30)
    rows = bronze_of(topics=[topic])
    assert values(rows) == [*range(10), *range(20, 30)]
    assert values(bronze_of(topics=[topic])) == values(rows)


def test_topics_to_topics_with_keys_headers_and_times(broker, new_topic, tmp_path, bronze_of):
    given, taken = new_topic(3), new_topic(3)
    records = [
        {
            "key": None if i % 5 == 0 else b"k%d" % (i % 7),
            "value": None if i % 11 == 0 else b"%d" % i,
            "timestamp": START_MS + i,
            "headers": [("a", b"\x00\xff"), ("a", b"2"), ("none", None)] if i % 3 else [],
        }
        for i in range(500)
    ]
    broker.produce(given, records)
    medallion = Medallion(tmp_path / "copy", broker.bootstrap, given, "copy").without("silver")
    medallion.document["sinks"] = {
        "out": {"plugin": "kafka", "inputs": ["events"], "config": {"topic": taken}}
    }
    run = sluice.run_until_end(medallion.write())
    assert run.rows_in("out") == 500

    def content(rows):
        kept = ("key", "value", "timestamp", "headers")
        return sorted(repr([row[n] for n in kept]) for row in rows)

    rows = bronze_of(topics=[given, taken])
    before = [r for r in rows if r["topic"] == given]
    after = [r for r in rows if r["topic"] == taken]
    assert len(before) == len(after) == 500
    assert content(before) == content(after)
    places = {}
    for row in after:
        if row["key"] is not None:
            places.setdefault(row["key"], set()).add(row["partition"])
    assert all(len(p) == 1 for p in places.values()), "a key went to several partitions"


def test_a_restart_with_other_topics_reads_those(broker, new_topic, tmp_path):
    """A static member that comes back with another subscription is given its old partitions by the
    broker, as if nothing had changed."""
    topics = [new_topic(1), new_topic(1)]
    for topic in topics:
        broker.produce(topic, [{"value": topic.encode()}])
    for topic in topics:
        own = Medallion(tmp_path / topic, broker.bootstrap, topic, f"moves-{topics[0]}")
        own.document["sources"]["events"]["config"].update(SESSION)
        sluice.run_until_end(own.without("silver").write(), limit_s=120)
        rows = readers.read(own.table("bronze")).to_pylist()
        assert [r["value"] for r in rows] == [topic.encode()]


def test_a_restart_finds_partitions_that_were_added(broker, new_topic, bronze_of):
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient, NewPartitions

    topic = new_topic(1)
    broker.produce(topic, seconds(2))
    assert len(bronze_of(topics=[topic])) == 2
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    admin.create_partitions([NewPartitions(topic, 3)])[topic].result(30)

    def have_leaders():
        try:
            return set(broker.end_offsets(topic)) == {0, 1, 2}
        except KafkaException:
            return False

    wait_for(have_leaders, 30, "three partitions")
    broker.produce(topic, seconds(1, 2))
    rows = bronze_of(topics=[topic])
    assert [(r["partition"], r["offset"]) for r in rows] == [(0, 0), (0, 1), (2, 0)]
