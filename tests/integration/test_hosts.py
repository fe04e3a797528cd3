"""Several hosts on one group, sharing lake and state: gold-agg makes sense only of all partitions.

With `scope: host` the node of a host that has not all of them waits, and the other sinks go on. With
`scope: group` each host aggregates the partitions that it has, and one merges.
"""

import copy
import itertools
import json
import signal

import pytest

from tests.integration.test_admin import Running
from tests.lake import readers
from tests.oracle import check, expect_for_topology
from tests.support import events, sluice
from tests.support.medallion import Medallion
from tests.support.servers import wait_for

PARTITIONS = 4
PART = 15_000
LIMIT_S = 60
REPLACED = "the new topology runs"
MERGES = "per_country: this host merges"
MERGES_NOT = "per_country: another host of the group merges"


class Hosts:
    """Hosts of one pipeline, started by name; each may leave or be killed."""

    def __init__(self, medallion):
        self.medallion = medallion
        self.running = {}

    def start(self, name):
        document = copy.deepcopy(self.medallion.document)
        path = self.medallion.folder / f"{name}.json"
        path.write_text(json.dumps(document))
        self.running[name] = sluice.Process("run", "--json", path)

    def says(self, name, text):
        process = self.running[name]
        process.wait_for(lambda: text in process.text(1), LIMIT_S, f"{name} says {text}")

    def mergers(self):
        """Names of the hosts that merge, by what they said last of it."""
        said = {name: process.text(1) for name, process in self.running.items()}
        return [n for n, text in said.items() if text.rfind(MERGES) > text.rfind(MERGES_NOT)]

    def ask(self, name, method, path):
        status, _, body = Running(self.running[name]).ask(path, method)
        assert status in (200, 202, 204), body
        return body

    def partitions(self):
        """By host, how many it has."""
        held = {}
        for name in self.running:
            nodes = json.loads(self.ask(name, "GET", "/v1/status"))["nodes"]
            (held[name],) = [n["streams"] for n in nodes if n["name"] == "events"]
        return held

    def order(self, name, what, then):
        """Of gold on one host; until its state is `then`."""
        method = "POST" if what == "restart" else "PUT"
        self.ask(name, method, f"/connectors/per_country/{what}")

        def is_so():
            body = self.ask(name, "GET", "/connectors/per_country/status")
            return json.loads(body)["connector"]["state"] == then

        wait_for(is_so, LIMIT_S, f"per_country of {name} {then}")

    def replace(self, name):
        """The host reads its topology anew, after a change of the medallion's document."""
        process = self.running[name]
        before = process.text(1).count(REPLACED)
        path = self.medallion.folder / f"{name}.json"
        path.write_text(json.dumps(self.medallion.document))
        process.signal(signal.SIGHUP)
        process.wait_for(lambda: process.text(1).count(REPLACED) > before, LIMIT_S, REPLACED)

    def leave(self, name):
        process = self.running.pop(name)
        with process:
            process.signal(signal.SIGTERM)
            done = process.wait(LIMIT_S)
        assert done.exit_code == 0, done.failed_because()
        return done

    def kill(self, name):
        with self.running.pop(name) as process:
            process.signal(signal.SIGKILL)
            process.wait(LIMIT_S)

    def close(self):
        for process in self.running.values():
            process.__exit__()


@pytest.fixture
def lake(broker, new_topic, tmp_path):
    """(medallion, topic, hosts); members are dynamic, so that one that stops hands over at once."""
    topic = new_topic(PARTITIONS)
    medallion = Medallion(tmp_path, broker.bootstrap, topic)
    config = medallion.document["sources"]["events"]["config"]
    quick = {"session.timeout.ms": 6_000, "heartbeat.interval.ms": 200}
    config.update({"group.instance.id": "", **quick})
    medallion.document["transforms"]["per_country"]["config"]["idle"] = "1h"
    medallion.write()
    hosts = Hosts(medallion)
    yield medallion, topic, hosts
    hosts.close()


def rows(medallion, name):
    table = medallion.table(name)
    return readers.read(table).num_rows if (table / "_delta_log").is_dir() else 0


def gold_rows(medallion):
    """Rows that gold has taken: in its windows, and late."""
    if not (medallion.table("gold") / "_delta_log").is_dir():
        return 0
    counts = readers.read(medallion.table("gold"))["events"].to_pylist()
    return sum(counts) + rows(medallion, "late")


def wait_for_gold(medallion, records):
    """Until every record has come into bronze, and all of silver into gold."""
    wait_for(lambda: rows(medallion, "bronze") == records, LIMIT_S, f"{records} rows in bronze")
    wait_for(
        lambda: 0 < rows(medallion, "silver_tbl") == gold_rows(medallion), LIMIT_S, "gold has all"
    )


def assert_right(medallion, broker, topic):
    bronze = readers.read(medallion.table("bronze"))
    assert check.bronze(bronze, broker.end_offsets(topic)) is None
    answer = expect_for_topology(bronze, medallion.document, medallion.folder)
    read = {n: readers.read(medallion.table(n)) for n in medallion.document["sinks"]}
    assert check.silver(answer, read["silver_tbl"]) is None
    assert check.gold(answer, "per_country", read["gold"]) is None
    assert check.late(answer, "per_country", read["late"]) is None


def test_with_scope_host_the_host_that_has_not_all_partitions_waits(broker, lake):
    medallion, topic, hosts = lake
    feed = events.records(events.Feed(records=3 * PART))
    broker.produce(topic, itertools.islice(feed, PART))
    hosts.start("a")
    wait_for_gold(medallion, PART)
    assert "waits:" not in hosts.running["a"].text(1)

    hosts.start("b")
    hosts.says("a", "per_country: waits: 2 of 4 partitions of events are not with this host")
    hosts.says("b", "per_country: waits: 2 of 4 partitions of events are not with this host")
    before = gold_rows(medallion)
    broker.produce(topic, itertools.islice(feed, PART))
    wait_for(
        lambda: rows(medallion, "bronze") == 2 * PART, LIMIT_S, "the other sinks of both go on"
    )
    assert gold_rows(medallion) == before

    left = hosts.leave("a")
    assert left.node("per_country")["state"] == "waiting"
    hosts.says("b", "per_country: all partitions of its sources are here: it goes on")
    broker.produce(topic, feed)
    wait_for_gold(medallion, 3 * PART)
    assert hosts.leave("b").node("per_country")["state"] == "drained"
    assert_right(medallion, broker, topic)


def test_with_scope_group_hosts_come_go_and_are_killed_and_gold_is_exact(broker, lake):
    medallion, topic, hosts = lake
    medallion.document["transforms"]["per_country"]["config"]["scope"] = "group"
    feed = events.records(events.Feed(records=4 * PART))
    broker.produce(topic, itertools.islice(feed, PART))
    hosts.start("a")
    hosts.says("a", MERGES)
    wait_for_gold(medallion, PART)

    hosts.start("b")
    hosts.start("c")
    broker.produce(topic, itertools.islice(feed, PART))
    wait_for_gold(medallion, 2 * PART)
    wait_for(hosts.mergers, LIMIT_S, "a host that merges")
    hosts.kill(hosts.mergers()[0])
    broker.produce(topic, itertools.islice(feed, PART))
    wait_for_gold(medallion, 3 * PART)

    left = sorted(hosts.running)
    hosts.leave(left[0])
    broker.produce(topic, feed)
    wait_for_gold(medallion, 4 * PART)
    hosts.leave(left[1])
    assert_right(medallion, broker, topic)


def test_with_scope_group_a_host_takes_orders_and_other_settings_and_gold_is_exact(broker, lake):
    medallion, topic, hosts = lake
    gold = medallion.document["transforms"]["per_country"]
    gold["config"]["scope"] = "group"
    medallion.document["admin"] = {"listen": "127.0.0.1:0"}
    feed = events.records(events.Feed(records=5 * PART))
    hosts.start("a")
    hosts.says("a", MERGES)
    hosts.start("b")
    wait_for(lambda: hosts.partitions() == {"a": 2, "b": 2}, LIMIT_S, "two partitions each")
    broker.produce(topic, itertools.islice(feed, PART))
    wait_for_gold(medallion, PART)
    wait_for(lambda: len(hosts.mergers()) == 1, LIMIT_S, "one host that merges")
    merger = hosts.mergers()[0]

    for n, (order, then) in enumerate((("pause", "PAUSED"), ("stop", "STOPPED")), 2):
        hosts.order(merger, order, then)
        before = gold_rows(medallion)
        broker.produce(topic, itertools.islice(feed, PART))
        wait_for(
            lambda: rows(medallion, "bronze") == n * PART,  # noqa: B023
            LIMIT_S,
            "the other sinks of both go on",
        )
        assert gold_rows(medallion) == before, "nobody merges meanwhile"
        hosts.order(merger, "resume", "RUNNING")
        wait_for_gold(medallion, n * PART)

    for name in hosts.running:
        hosts.order(name, "restart", "RUNNING")
    broker.produce(topic, itertools.islice(feed, PART))
    wait_for_gold(medallion, 4 * PART)

    gold["config"]["keep"] = "2h"
    gold["commit.interval"] = "200ms"
    for name in hosts.running:
        hosts.replace(name)
    broker.produce(topic, feed)
    wait_for_gold(medallion, 5 * PART)
    hosts.leave("a")
    hosts.leave("b")
    assert_right(medallion, broker, topic)
