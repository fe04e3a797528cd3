"""What changes while sluice runs: partitions, topics, hosts. Each record lands once, in a bronze table
that tells its place."""

import collections
import json
import signal
import subprocess
import sys
import threading

import pytest

from tests.lake import readers
from tests.support import sluice
from tests.support.servers import wait_for

LIMIT_S = 90
QUICK = {
    "session.timeout.ms": 3_000,
    "heartbeat.interval.ms": 500,
    "topic.metadata.refresh.interval.ms": 500,
}


class Bronze:
    """A pipeline from topics to a bronze table; a host is a process with a name of its own."""

    def __init__(self, folder, broker, pipeline, **source):
        self.folder, self.table = folder, folder / "bronze"
        self.group = f"sluice-{pipeline}-events"
        self.document = {
            "pipeline": pipeline,
            "kafka": {"bootstrap.servers": broker.bootstrap},
            "state": f"file://{folder}/state",
            "commit.interval": "100ms",
            "retry.timeout": "5m",
            "sources": {"events": {"plugin": "kafka", "config": {**QUICK, **source}}},
            "sinks": {
                "bronze": {
                    "plugin": "bronze-sink",
                    "inputs": ["events"],
                    "config": {"table": f"file://{self.table}"},
                }
            },
        }

    def write(self, host="host"):
        document = json.loads(json.dumps(self.document))
        document["sources"]["events"]["config"]["group.instance.id"] = host
        path = self.folder / f"{host}.json"
        path.write_text(json.dumps(document))
        return path

    def places(self):
        """How often each (topic, partition, offset) is in the table."""
        if not any((self.table / "_delta_log").glob("*.json")):
            return collections.Counter()
        columns = readers.read(self.table).select(["topic", "partition", "offset"]).to_pydict()
        return collections.Counter(zip(*columns.values()))

    def assert_each_once(self, broker, *topics):
        wanted = {
            (topic, partition, offset)
            for topic in topics
            for partition, (first, end) in broker.end_offsets(topic).items()
            for offset in range(first, end)
        }
        found = self.places()
        assert sorted(wanted - set(found))[:5] == []
        assert [place for place, count in found.items() if count != 1][:5] == []
        assert len(found) == len(wanted)


@pytest.fixture
def bronze(tmp_path, broker):
    def make(pipeline, **source):
        return Bronze(tmp_path, broker, pipeline, **source)

    return make


def rows(count, partition=None):
    place = {} if partition is None else {"partition": partition}
    return [{"value": b"%d" % i, **place} for i in range(count)]


def test_partitions_that_are_added_are_read_from_their_beginning(broker, new_topic, bronze):
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient, NewPartitions

    topic = new_topic(1)
    broker.produce(topic, rows(10))
    table = bronze(f"added-{topic}", topics=[topic], start="latest")
    with sluice.Process("run", "--log-level=debug", table.write()) as process:
        process.wait_for(lambda: "partition 0 from" in process.text(1), LIMIT_S, "the first one")
        admin = AdminClient({"bootstrap.servers": broker.bootstrap})
        admin.create_partitions([NewPartitions(topic, 3)])[topic].result(30)

        def produced():
            try:
                return broker.produce(topic, rows(5, 1) + rows(5, 2) + rows(5, 0))
            except KafkaException:
                return 0

        wait_for(produced, LIMIT_S, "leaders of the new partitions")
        process.wait_for(lambda: len(table.places()) >= 15, LIMIT_S, "rows of all partitions")
    assert set(table.places()) == {
        *((topic, 0, offset) for offset in range(10, 15)),
        *((topic, p, offset) for p in (1, 2) for offset in range(5)),
    }


def test_topics_that_begin_to_match_are_read_from_their_beginning(broker, bronze, new_topic):
    first = new_topic(1)
    table = bronze(f"matching-{first}", topics_regex=f"^({first}|{first}-later.*)$")
    broker.produce(first, rows(5))
    with sluice.Process("run", table.write()) as process:
        process.wait_for(lambda: len(table.places()) == 5, LIMIT_S, "rows of the first topic")
        for name in (f"{first}-later-a", f"{first}-later-b"):
            broker.create_topic(name, 2)
            broker.produce(name, rows(4, 0) + rows(4, 1))
        process.wait_for(lambda: len(table.places()) >= 21, LIMIT_S, "rows of the new topics")
    table.assert_each_once(broker, first, f"{first}-later-a", f"{first}-later-b")


def test_two_processes_of_one_name_fence_each_other(broker, new_topic, bronze):
    """The first one ends as failed, and says why; it does not crash."""
    topic = new_topic(2)
    table = bronze(f"fenced-{topic}", topics=[topic])
    broker.produce(topic, rows(10))
    with sluice.Process("run", "--json", table.write()) as first:
        first.wait_for(lambda: len(table.places()) == 10, LIMIT_S, "rows of the first")
        with sluice.Process("run", table.write()) as second:
            failed = first.wait(LIMIT_S)
            assert failed.exit_code == 1
            assert "another process has joined with the same" in failed.node("events")["failure"]
            broker.produce(topic, rows(10))
            second.wait_for(lambda: len(table.places()) == 20, LIMIT_S, "rows of the second")
    table.assert_each_once(broker, topic)


class Feed(threading.Thread):
    def __init__(self, broker, topic):
        super().__init__(daemon=True)
        self._broker, self._topic, self._end = broker, topic, threading.Event()

    def run(self):
        while not self._end.wait(0.1):
            self._broker.produce(self._topic, rows(500))

    def finish(self):
        self._end.set()
        self.join(LIMIT_S)


def test_hosts_that_come_go_and_stand_still_share_a_table(broker, new_topic, bronze):
    """One is stopped for longer than its session, so that others read on in its place, and
    continued; one leaves kindly, one is killed. (tests/crash does it for hours.)"""
    topic = new_topic(4)
    table = bronze(f"hosts-{topic}", topics=[topic])
    feed = Feed(broker, topic)
    feed.start()

    def goes_on(process, what):
        seen = len(table.places())
        process.wait_for(lambda: len(table.places()) > seen + 2_000, LIMIT_S, what)

    with sluice.Process("run", table.write("one")) as one:
        goes_on(one, "the first host")
        with sluice.Process("run", table.write("two")) as two:
            goes_on(two, "two hosts")
            two.signal(signal.SIGSTOP)
            seen = max(o for (_, p, o) in table.places() if p == 0)
            one.wait_for(
                lambda: all(
                    max((o for (_, p, o) in table.places() if p == wanted), default=0) > seen + 500
                    for wanted in range(4)
                ),
                LIMIT_S,
                "one host reads all partitions",
            )
            two.signal(signal.SIGCONT)
            goes_on(one, "both hosts")
            one.signal(signal.SIGTERM)
            assert one.wait(LIMIT_S).exit_code == 0
            goes_on(two, "the second host alone")
            two.signal(signal.SIGKILL)
            two.wait(LIMIT_S)
    feed.finish()
    wait_for(lambda: broker.group_members(table.group) == 0, LIMIT_S, "a group without members")
    sluice.run_until_end(table.write("three"), limit_s=LIMIT_S)
    table.assert_each_once(broker, topic)


# Another member of a group, which has all partitions at first; with "dies" it dies when it is to give
# some up, as a host that is killed, or stopped, while it hands over.
MEMBER = """
import os, sys
from confluent_kafka import Consumer

bootstrap, group, topic, dies = sys.argv[1:]
consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": group, "group.instance.id": "other",
                     "partition.assignment.strategy": "cooperative-sticky",
                     "auto.offset.reset": "earliest", "heartbeat.interval.ms": 300})
taken = lambda _, partitions: print("has", len(partitions), flush=True)
given = lambda *_: os._exit(0) if dies == "dies" else None
consumer.subscribe([topic], on_assign=taken, on_revoke=given)
while True:
    consumer.poll(0.1)
"""


class Member:
    def __init__(self, folder, *arguments):
        self.out = folder / f"member-{arguments[-1]}.txt"
        with self.out.open("w") as out:
            command = [sys.executable, "-c", MEMBER, *arguments]
            self.process = subprocess.Popen(command, stdout=out, stderr=subprocess.DEVNULL)

    def has(self, n):
        return f"has {n}\n" in self.out.read_text()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


def test_partitions_that_nobody_has_are_dealt_out_anew(broker, new_topic, bronze, tmp_path):
    """A static member dies while it hands partitions over, and comes back within its session: the
    group is stable without them."""
    topic = new_topic(4)
    broker.produce(topic, [{"value": b"x", "partition": p} for p in range(4)] * 5)
    table = bronze(f"nobodys-{topic}", topics=[topic])
    member = (broker.bootstrap, table.group, topic)
    with Member(tmp_path, *member, "dies") as first:
        wait_for(lambda: first.has(4), LIMIT_S, "the first member has all")
        with sluice.Process("run", table.write()) as process:
            process.wait_for(lambda: first.process.poll() is not None, LIMIT_S, "it is dead")
            with Member(tmp_path, *member, "lives") as again:
                wait_for(lambda: again.has(2), LIMIT_S, "it is back, with what it was left")
                process.wait_for(lambda: len(table.places()) == 10, LIMIT_S, "the other two")
            assert "2 of 4 partitions belong to no member of group" in process.text(1)
