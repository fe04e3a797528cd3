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


PLUGINS = sluice.BINARY.parent / "tests" / "plugins"
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


def has_ended(broker, pipeline, topic):
    """Whether a transaction was written to the topic, and has ended for rows and positions."""
    from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException
    from confluent_kafka.admin import AdminClient

    written = sum(end for _, end in broker.end_offsets(topic).values())
    if written == 0 or not broker.has_ended_transactions(topic):
        return False
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    groups = [group.group_id for group in admin.list_consumer_groups().result().valid]
    positions = [name for name in groups if name.startswith(f"sluice/{pipeline}/")]
    assert positions
    for name in positions:
        asked = [ConsumerGroupTopicPartitions(name)]
        answer = admin.list_consumer_group_offsets(asked, require_stable=True)
        try:
            stored = answer[name].result().topic_partitions
        except KafkaException:
            return False
        if any(place.error is not None for place in stored):
            return False
    return True


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
        process.wait_for(
            lambda: has_ended(own_broker, topic, f"{topic}-once"), LIMIT_S, "the transaction's end"
        )
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


def test_a_session_that_ends_while_offsets_wait_for_the_broker(own_broker, bronze, tmp_path):
    """What was taken while the broker was away is to be committed to the group when it is back. The
    client has forgotten its member id by then, and is fenced, for good: a new one takes its place."""
    topic = "fenced"
    own_broker.create_topic(topic, 2)
    own_broker.produce(topic, rows(1_000))
    table = bronze(topic, topics=[topic], **{"session.timeout.ms": 20_000})
    table.document["sinks"]["slow"] = gate(tmp_path, "events", 64 * KIB, "block")
    with sluice.Process("run", "--plugin-path", PLUGINS, table.write()) as process:
        process.wait_for(lambda: len(table.places()) == 1_000, LIMIT_S, "the first rows")
        own_broker.kill()
        stays(process, 15)
        (tmp_path / "gate").unlink()  # the client keeps that for as long as a session
        process.wait_for(lambda: "SESSTMOUT" in process.text(1), LIMIT_S, "the session's end")
        own_broker.start()
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


@pytest.mark.parametrize("records", [5, 40])
def test_a_topic_that_is_made_again_while_it_is_read(own_broker, bronze, records):
    """With fewer records than were read, and with more."""
    topic = f"made-again-meanwhile-{records}"
    own_broker.create_topic(topic, 1)
    own_broker.produce(topic, rows(10))
    table = bronze(topic, topics=[topic])
    with sluice.Process("run", "--json", table.write()) as process:
        process.wait_for(lambda: len(table.places()) == 10, LIMIT_S, "the first rows")
        own_broker.delete_topic(topic)
        own_broker.create_topic(topic, 1)
        own_broker.produce(topic, rows(records))
        done = process.wait(LIMIT_S)
    failure = done.node("events")["failure"]
    assert "is another one than before" in failure or "is not on the broker" in failure
    assert set(table.places().values()) == {1}
    assert failure_of(table).endswith("skipped") or records < 10  # nor is it read on by the next run


def test_a_mark_that_cannot_be_read_is_named(own_broker, bronze):
    topic = "marked"
    own_broker.create_topic(topic, 1)
    own_broker.produce(topic, rows(10))
    table = bronze(topic, topics=[topic])
    sluice.run_until_end(table.write(), limit_s=LIMIT_S)
    (mark,) = (table.folder / "state").rglob("seen/marked/0")
    mark.write_text(mark.read_text().replace("1 ", "2 ", 1))
    own_broker.produce(topic, rows(10))
    done = sluice.run_until_end(table.write(), limit_s=LIMIT_S)
    assert "whether marked was deleted and made again is not checked: " in done.log
    assert "seen/marked/0 has format version 2, this sluice reads version 1; " in done.log
    table.assert_each_once(own_broker, topic)


def delete_records(broker, topic, before):
    from confluent_kafka import TopicPartition
    from confluent_kafka.admin import AdminClient

    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    for future in admin.delete_records([TopicPartition(topic, 0, before)]).values():
        future.result(30)


def with_gate(table, when_full):
    """Beside bronze a sink that stands still while the file "gate" is there."""
    (table.folder / "gate").touch()
    table.document["lanes"] = 1
    table.document["sources"]["events"]["config"]["memory"] = "1MiB"
    table.document["sinks"]["slow"] = {
        "plugin": "gate",
        "inputs": [{"from": "events", "buffer": "64KiB", "when_full": when_full}],
        "config": {"path": str(table.folder / "slow"), "gate": str(table.folder / "gate")},
    }
    return sluice.Process("run", "--json", "--plugin-path", PLUGINS, table.write())


def large_rows(count):
    return [{"value": b"%d" % i + b"." * 1000} for i in range(count)]


def test_a_branch_that_retention_has_overtaken_fails_alone(own_broker, bronze):
    topic, first, second = "overtaken", 20_000, 1_000
    own_broker.create_topic(topic, 1)
    own_broker.produce(topic, large_rows(first))
    table = bronze(topic, topics=[topic])
    with with_gate(table, "detach") as process:
        process.wait_for(lambda: len(table.places()) == first, LIMIT_S, "all rows in bronze")
        delete_records(own_broker, topic, first - 5)
        (table.folder / "gate").unlink()
        process.wait_for(lambda: "slow: FAILED" in process.text(1), LIMIT_S, "the failure")
        own_broker.produce(topic, large_rows(second))
        process.wait_for(lambda: len(table.places()) == first + second, LIMIT_S, "the others")
        process.signal(15)
        done = process.wait(LIMIT_S)
    assert done.exit_code == 1 and done.node("bronze")["failure"] is None
    failure = done.node("slow")["failure"]
    got = len((table.folder / "slow").read_text().splitlines())
    assert 0 < got < first - 5
    assert f"records {got} to {first - 6} of {topic} partition 0 are no longer on" in failure


def test_retention_overtakes_a_source_that_has_to_wait(own_broker, bronze):
    topic, records = "overtaken-source", 20_000
    own_broker.create_topic(topic, 1)
    own_broker.produce(topic, large_rows(records))
    table = bronze(topic, topics=[topic])
    with with_gate(table, "block") as process:
        process.wait_for(
            lambda: "slow holds back events" in process.text(1), LIMIT_S, "the sink is full"
        )
        delete_records(own_broker, topic, records - 5)
        (table.folder / "gate").unlink()
        done = process.wait(LIMIT_S)
    failure = done.node("events")["failure"]
    offsets = [offset for _, _, offset in table.places()]
    assert sorted(offsets) == [*range(len(offsets))] and len(offsets) < records - 5
    assert f"the position {len(offsets)} is not on the broker" in failure, failure
    assert "Nothing is skipped silently" in failure


@pytest.mark.parametrize("partitions", [1, 2])
def test_a_start_at_the_end_is_kept_before_the_first_record_comes(own_broker, bronze, partitions):
    """What is produced while the process is dead would be skipped if it were resolved again. The
    last partition is empty: its end is its beginning."""
    topic = f"latest-{partitions}"
    own_broker.create_topic(topic, partitions)
    own_broker.produce(topic, rows(10, 0) if partitions > 1 else [])
    table = bronze(topic, topics=[topic], start="latest")

    def kept():
        log = (table.table / "_delta_log").glob("*.json")
        return "".join(entry.read_text() for entry in log)

    with sluice.Process("run", table.write()) as process:
        for number in range(partitions):
            key = f"/{topic}/{number}\""
            process.wait_for(lambda key=key: key in kept(), LIMIT_S, f"a position {key}")
        process.signal(9)
        process.wait(LIMIT_S)
    for number in range(partitions):
        own_broker.produce(topic, rows(5, number))
    sluice.run_until_end(table.write(), limit_s=LIMIT_S)
    wanted = {(topic, 0, 10 * (partitions - 1) + n) for n in range(5)}
    assert set(table.places()) == wanted | {(topic, partitions - 1, n) for n in range(5)}


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
