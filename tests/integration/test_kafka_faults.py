"""A broker that goes away and comes back, and one that no longer has what was to be read next.

SLUICE_AWAY_S: how long a broker is away for long (8 s: longer than the sessions of the members).
"""

import os
import signal
import time

import pytest

from tests.integration.test_full_edges import KIB, PLUGINS, gate
from tests.integration.test_kafka_changes import LIMIT_S, Bronze, rows
from tests.support import sluice


AWAY_S = float(os.environ.get("SLUICE_AWAY_S", "8"))


@pytest.fixture
def bronze(tmp_path, own_broker):
    def make(pipeline, **source):
        return Bronze(tmp_path, own_broker, pipeline, **source)

    return make


def stays(process, seconds):
    """It goes on meanwhile, and no node of it has failed."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and not process.ended():
        time.sleep(0.1)
    assert not process.ended() and " FAILED: " not in process.text(1), process.text(1)


@pytest.mark.parametrize("away_s", [0, AWAY_S])
def test_a_broker_that_comes_back_is_read_on(own_broker, bronze, away_s):
    """Source, sink with transactions, and sink without."""
    topic = f"restarts-{away_s:g}"
    for name in (topic, f"{topic}-once", f"{topic}-at-least-once"):
        own_broker.create_topic(name, 2)
    own_broker.produce(topic, rows(1_000))
    table = bronze(topic, topics=[topic])
    for delivery in ("exactly-once", "at-least-once"):
        table.document["sinks"][delivery] = {
            "plugin": "kafka",
            "inputs": ["events"],
            "config": {"topic": f"{topic}-{delivery.removeprefix('exactly-')}", "delivery": delivery},
        }

    def copied(name):
        return sum(e for _, e in own_broker.end_offsets(name).values())

    with sluice.Process("run", table.write()) as process:
        process.wait_for(lambda: len(table.places()) == 1_000, LIMIT_S, "the first rows")
        own_broker.kill()
        stays(process, away_s)
        own_broker.start()
        own_broker.produce(topic, rows(1_000))
        process.wait_for(lambda: len(table.places()) == 2_000, LIMIT_S, "the rows after it")
        process.wait_for(
            lambda: copied(f"{topic}-at-least-once") >= 2_000 and copied(f"{topic}-once") > 2_000,
            LIMIT_S,
            "the copies",
        )
        process.signal(15)
        done = process.wait(LIMIT_S)
        assert done.exit_code == 0, done.failed_because()
    table.assert_each_once(own_broker, topic)


def test_a_broker_that_stands_still_while_a_sink_does(own_broker, bronze, tmp_path):
    """For longer than the session: the member gives up what it had and joins anew. Since the sink
    hangs in a commit, the host lets go of it late; meanwhile the broker would fence a static member
    that still answers for the time before, and the source failed for good."""
    topic = "stands-still"
    own_broker.create_topic(topic, 2)
    own_broker.produce(topic, rows(1_000))
    table = bronze(topic, topics=[topic])
    table.document["sinks"]["slow"] = gate(tmp_path, "events", 64 * KIB, "block")
    with sluice.Process("run", "--plugin-path", PLUGINS, table.write()) as process:
        process.wait_for(lambda: len(table.places()) == 1_000, LIMIT_S, "the first rows")
        os.kill(own_broker.pid, signal.SIGSTOP)
        try:
            process.wait_for(lambda: "SESSTMOUT" in process.text(1), LIMIT_S, "the session's end")
        finally:
            os.kill(own_broker.pid, signal.SIGCONT)
        stays(process, 3)  # some heartbeats
        (tmp_path / "gate").unlink()
        own_broker.produce(topic, rows(1_000))
        process.wait_for(lambda: len(table.places()) == 2_000, LIMIT_S, "the rows after it")
        process.signal(signal.SIGTERM)
        done = process.wait(LIMIT_S)
        assert done.exit_code == 0, done.failed_because()
    table.assert_each_once(own_broker, topic)
    assert len((tmp_path / "slow.jsonl").read_text().splitlines()) == 2_000


def failure_of(table):
    run = sluice.run_command("run", "--until-end", "--json", table.write(), limit_s=LIMIT_S)
    assert run.exit_code == 1, run.failed_because()
    return run.node("events")["failure"]


def test_records_that_were_deleted_before_they_were_read(own_broker, bronze):
    from confluent_kafka import TopicPartition
    from confluent_kafka.admin import AdminClient

    topic = "deleted-records"
    own_broker.create_topic(topic, 1)
    own_broker.produce(topic, rows(10))
    table = bronze(topic, topics=[topic])
    sluice.run_until_end(table.write(), limit_s=LIMIT_S)
    own_broker.produce(topic, rows(20))
    admin = AdminClient({"bootstrap.servers": own_broker.bootstrap})
    deleting = admin.delete_records([TopicPartition(topic, 0, 25)])
    for future in deleting.values():
        future.result(30)
    failure = failure_of(table)
    assert "deleted-records partition 0: the position 10 is not on the broker" in failure
    assert "it has offsets 25 to 30" in failure
    assert "Nothing is skipped silently" in failure
    assert len(table.places()) == 10


@pytest.mark.parametrize("records", [5, 10, 40])
def test_a_topic_that_was_made_again_under_its_name(own_broker, bronze, records):
    """With fewer records than were read, as many, and more: its offsets mean something else."""
    topic = f"made-again-{records}"
    own_broker.create_topic(topic, 1)
    own_broker.produce(topic, rows(10))
    table = bronze(topic, topics=[topic])
    sluice.run_until_end(table.write(), limit_s=LIMIT_S)
    own_broker.delete_topic(topic)
    own_broker.create_topic(topic, 1)
    own_broker.produce(topic, rows(records))
    failure = failure_of(table)
    assert f"{topic} partition 0 is another one than before" in failure
    assert len(table.places()) == 10


@pytest.mark.parametrize("unit", ["milliseconds", "nanoseconds"])
def test_the_same_topic_is_known_again(own_broker, bronze, unit):
    """Also where the producer's clock counts in what lies beyond all calendars."""
    topic = f"same-again-{unit}"
    own_broker.create_topic(topic, 2, message_timestamp_after_max_ms=2**63 - 1)
    table = bronze(topic, topics=[topic])
    time_now = {} if unit == "milliseconds" else {"timestamp": time.time_ns()}
    for _ in range(3):
        records = [{"key": b"k", "value": None}, *rows(10)]
        own_broker.produce(topic, ({**record, **time_now} for record in records))
        sluice.run_until_end(table.write(), limit_s=LIMIT_S)
    assert any((table.folder / "state").rglob("seen"))
    table.assert_each_once(own_broker, topic)
