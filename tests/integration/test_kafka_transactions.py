"""The kafka sink with "delivery": "exactly-once": whatever is killed, stopped and started again, a
reader of committed records finds each record once. (librdkafka's mock cluster has no transactions;
only the real broker shows anything here.)"""

import collections
import contextlib
import json
import random
import signal
import threading

import pytest

from tests.support import sluice
from tests.support.servers import wait_for

LIMIT_S = 60
PARTITIONS = 3


def consume(broker, topic, isolation="read_committed"):
    """All values, to the end of each partition (as that isolation sees it)."""
    return [int(message.value()) for message in broker.messages(topic, isolation)]


class Feed(threading.Thread):
    """Writes 0, 1, 2, … to a topic until it is told to end."""

    def __init__(self, broker, topic, per_burst=2_000, padding=0):
        super().__init__(daemon=True)
        self._broker, self._topic, self._per_burst = broker, topic, per_burst
        self._padding = b" " * padding
        self._end = threading.Event()
        self.written = 0

    def burst(self, **where):
        numbers = range(self.written, self.written + self._per_burst)
        rows = [{"value": b"%d" % i + self._padding, **where} for i in numbers]
        self._broker.produce(self._topic, rows)
        self.written += self._per_burst

    def run(self):
        while not self._end.wait(0.05):
            self.burst()

    def finish(self):
        self._end.set()
        self.join(LIMIT_S)


@pytest.fixture
def copy(broker, new_topic, tmp_path):
    """A topology that copies a topic to another; `host(name)` writes that of a host."""

    class Copy:
        source, target = new_topic(PARTITIONS), new_topic(2)
        group = f"sluice-copy-{source}-rows"

        def position(self, partition):
            """The group whose committed offset is the sink's position."""
            return f"sluice/copy-{self.source}/copy/rows/rows/{self.source}/{partition}"

        def document(self, **sink):
            return {
                "pipeline": f"copy-{self.source}",
                "state": f"file://{tmp_path}/state",
                "commit.interval": "100ms",
                "retry.timeout": "30s",
                "kafka": {"bootstrap.servers": broker.bootstrap},
                "sources": {
                    "rows": {
                        "plugin": "kafka",
                        "config": {
                            "topics": [self.source],
                            "session.timeout.ms": 3_000,
                            "heartbeat.interval.ms": 500,
                        },
                    }
                },
                "sinks": {
                    "copy": {
                        "plugin": "kafka",
                        "inputs": ["rows"],
                        "config": {
                            "topic": self.target,
                            "delivery": "exactly-once",
                            **sink,
                        },
                    }
                },
            }

        def write(self, document, name="topology"):
            path = tmp_path / f"{name}.json"
            path.write_text(json.dumps(document))
            return path

        def host(self, name):
            document = self.document(**{"transactional.id": f"{self.source}-{name}"})
            document["sources"]["rows"]["config"]["group.instance.id"] = name
            return self.write(document, name)

        def written(self):
            """Offsets in use: records, committed or not, and marks of transactions."""
            from confluent_kafka import KafkaException

            try:
                return sum(end for _, end in broker.end_offsets(self.target).values())
            except KafkaException:  # no leader yet
                return 0

        def assert_each_once(self, written):
            found = collections.Counter(consume(broker, self.target))
            assert [i for i in range(written) if found[i] != 1] == []
            assert len(found) == written

    return Copy()


def test_kills_double_nothing_for_readers_of_committed_records(broker, copy):
    path = copy.write(copy.document())
    rng = random.Random(5)
    feed = Feed(broker, copy.source)
    feed.start()
    for _ in range(6):
        before = copy.written()
        with sluice.Process("run", path) as process:
            process.wait_for(lambda: copy.written() > before, LIMIT_S, "records in the copy")
            threading.Event().wait(rng.random() * 0.3)  # any moment will do
            process.signal(signal.SIGKILL)
            assert process.wait(LIMIT_S).exit_code == -signal.SIGKILL
    feed.finish()
    sluice.run_until_end(path, limit_s=LIMIT_S)
    copy.assert_each_once(feed.written)


def test_a_killed_transaction_is_seen_by_nobody_who_reads_committed_records(broker, copy):
    """Stopped again and again until it is in the middle of one: some records are there that are not
    committed."""
    path = copy.write(copy.document())
    feed = Feed(broker, copy.source, padding=2_000)
    feed.start()
    found = False
    for _ in range(30):
        with sluice.Process("run", path) as process:
            before = copy.written()
            process.wait_for(lambda: copy.written() > before, LIMIT_S, "records in the copy")
            process.signal(signal.SIGSTOP)
            committed = len(consume(broker, copy.target))
            found = len(consume(broker, copy.target, "read_uncommitted")) > committed
            process.signal(signal.SIGKILL)
            process.wait(LIMIT_S)
        if found:
            break
    feed.finish()
    assert found, "no kill came in the middle of a transaction"
    sluice.run_until_end(path, limit_s=LIMIT_S)
    copy.assert_each_once(feed.written)
    assert len(consume(broker, copy.target, "read_uncommitted")) > feed.written


def test_a_stopped_writer_that_goes_on_commits_nothing_twice(broker, copy):
    """SIGSTOP for longer than its session: the other host takes its positions over, in its name."""
    feed = Feed(broker, copy.source, 500)
    feed.start()
    paths = [copy.host(name) for name in ("one", "two")]
    with sluice.Process("run", paths[0]) as one:
        one.wait_for(lambda: copy.written() > 0, LIMIT_S, "records of the first host")
        one.signal(signal.SIGSTOP)
        stopped_at = feed.written
        with sluice.Process("run", paths[1]) as two:
            two.wait_for(
                lambda: len(consume(broker, copy.target)) > stopped_at, LIMIT_S, "the second host"
            )
            one.signal(signal.SIGCONT)
            seen = copy.written()
            two.wait_for(lambda: copy.written() > seen + 2_000, LIMIT_S, "both hosts")
            feed.finish()
            two.signal(signal.SIGTERM)
            assert two.wait(LIMIT_S).exit_code == 0
        one.signal(signal.SIGKILL)
        one.wait(LIMIT_S)
    wait_for(lambda: not broker.group_members(copy.group), LIMIT_S, "a group without members")
    sluice.run_until_end(paths[1], limit_s=LIMIT_S)
    copy.assert_each_once(feed.written)


def test_two_writers_of_one_name_double_nothing(broker, copy):
    """A mistake of the operator: they fence each other for ever, which costs time and no rows."""
    feed = Feed(broker, copy.source, 200)
    paths = []
    for name in ("one", "two"):
        document = copy.document(**{"transactional.id": f"{copy.source}-same"})
        document["sources"]["rows"]["config"]["group.instance.id"] = name
        paths.append(copy.write(document, name))
    feed.start()
    with contextlib.ExitStack() as stack:
        one = stack.enter_context(sluice.Process("run", paths[0]))
        one.wait_for(lambda: copy.written() > 0, LIMIT_S, "records of the first")
        two = stack.enter_context(sluice.Process("run", paths[1]))
        for process in (one, two):
            process.wait_for(lambda p=process: "transactional.id" in p.text(1), LIMIT_S, "a fence")
        feed.finish()
        two.signal(signal.SIGKILL)
        two.wait(LIMIT_S)
        one.wait_for(
            lambda: len(consume(broker, copy.target)) >= feed.written, LIMIT_S, "the last rows"
        )
    copy.assert_each_once(feed.written)


def test_a_position_that_the_broker_forgot_is_no_new_beginning(broker, copy):
    """Brokers forget the offsets of a group that nobody commits to for offsets.retention.minutes."""
    path = copy.write(copy.document())
    broker.produce(copy.source, [{"value": b"%d" % i} for i in range(100)])
    sluice.run_until_end(path, limit_s=LIMIT_S)
    group = copy.position(0)
    broker.delete_group(group)
    run = sluice.run_command("run", "--until-end", "--json", path, limit_s=LIMIT_S)
    assert run.exit_code == 1
    failure = run.node("copy")["failure"]
    assert group in failure and "offsets.retention.minutes" in failure
    copy.assert_each_once(100)


def test_the_position_of_an_idle_partition_is_committed_again(broker, copy):
    """Offsets are forgotten one by one, each so long after its own last commit. Here one is deleted
    while the sink runs, which commits others."""
    path = copy.write(copy.document())
    feed = Feed(broker, copy.source, 100)
    feed.burst()
    sluice.run_until_end(path, limit_s=LIMIT_S)
    idle = copy.position(0)
    position = broker.committed_offset(idle, copy.target)
    with sluice.Process("run", path) as process:
        for deletes in (True, False):
            before = copy.written()
            feed.burst(partition=1)
            process.wait_for(lambda: copy.written() > before, LIMIT_S, "the other partition's rows")
            if deletes:
                broker.delete_group(idle)
        process.wait_for(
            lambda: broker.committed_offset(idle, copy.target) == position, LIMIT_S, "the position"
        )
        process.signal(signal.SIGKILL)
        process.wait(LIMIT_S)
    sluice.run_until_end(path, limit_s=LIMIT_S)
    copy.assert_each_once(feed.written)


def test_short_runs_without_rows_commit_positions_again(broker, copy):
    path = copy.write(copy.document())
    Feed(broker, copy.source, 100).burst()

    def commits():
        name = copy.position(0).encode()
        records = broker.messages("__consumer_offsets", "read_uncommitted")
        return sum(name in record.key() for record in records)

    for _ in range(2):
        before = commits()
        sluice.run_until_end(path, limit_s=LIMIT_S)
        assert commits() > before


def test_the_embedded_broker_has_no_transactions(copy):
    document = copy.document()
    document["kafka"] = {"embedded": True}
    run = sluice.run_command("validate", copy.write(document), limit_s=LIMIT_S)
    assert run.exit_code == 2
    assert "the embedded broker has no transactions" in run.log + run.output


@pytest.mark.parametrize("delivery", ["exactly-once", "at-least-once"])
def test_validate_says_what_is_true(copy, delivery):
    run = sluice.run_command("validate", copy.write(copy.document(delivery=delivery)))
    assert run.exit_code == 0, run.log
    assert f"rows → copy: {delivery}" in run.output
