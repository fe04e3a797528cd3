"""Lag in records, on a real broker: what is there and not read, and what is read and not durable."""

import json
import os
import re

import pytest

from tests.integration.test_admin import Running
from tests.support import sluice
from tests.support.servers import wait_for

LIMIT_S = 60
RECORD_BYTES = 1000
PARTITIONS = 2


def produce(broker, topic, count):
    value = os.urandom(RECORD_BYTES)  # which nothing compresses
    broker.produce(topic, ({"value": value, "partition": i % PARTITIONS} for i in range(count)))


@pytest.fixture
def lagging(broker, new_topic, tmp_path):
    """A run whose sink stands still, since nobody reads its standard output: (Running, topic, the
    end of the pipe to be read)."""
    topic = new_topic(PARTITIONS)
    document = {
        "pipeline": topic,
        "admin": {"listen": "127.0.0.1:0"},
        "state": str(tmp_path / "state"),
        "kafka": {"bootstrap.servers": broker.bootstrap},
        "sources": {"events": {"plugin": "kafka", "config": {"topics": [topic], "memory": "1MiB"}}},
        "sinks": {
            "out": {"plugin": "stdout", "inputs": ["events"], "buffer": "64KiB", "config": {}}
        },
    }
    path = tmp_path / "topology.json"
    path.write_text(json.dumps(document))
    read_end, write_end = os.pipe()
    os.set_blocking(read_end, False)
    try:
        with sluice.Process("run", path, output=write_end) as process:
            yield Running(process), topic, read_end
    finally:
        os.close(read_end)
        os.close(write_end)


def source(running):
    (found,) = [n for n in running.json("/v1/status")["nodes"] if n["name"] == "events"]
    return found


def ends(running):
    return {p["partition"]: p["log_end_offset"] for p in source(running)["partitions"]}


def metric(running, name):
    """{partition: value}"""
    _, _, text = running.ask("/metrics")
    found = re.findall(rf"^{name}{{(.*)}} (\d+)$", text, re.M)
    return {int(re.search(r'partition="(\d+)"', labels)[1]): int(n) for labels, n in found}


def test_lag_is_what_is_there_and_not_read(broker, lagging):
    running, topic, read_end = lagging
    produce(broker, topic, 20_000)
    wait_for(lambda: ends(running) == {0: 10_000, 1: 10_000}, LIMIT_S, "the ends")
    # the client has read ahead what it may and fetches no more, so that it has to ask
    produce(broker, topic, 10_000)
    wait_for(lambda: ends(running) == {0: 15_000, 1: 15_000}, LIMIT_S, "the ends, not fetching")
    node = source(running)
    for partition in node["partitions"]:
        assert partition["topic"] == topic
        assert partition["lag"] == 15_000 - partition["next_offset"] > 10_000
    assert node["lag"] == sum(p["lag"] for p in node["partitions"])
    assert metric(running, "sluice_source_log_end_offset") == {0: 15_000, 1: 15_000}
    assert sum(metric(running, "sluice_source_lag_records").values()) == node["lag"]
    assert sum(metric(running, "sluice_durable_lag_records").values()) >= node["lag"]
    table = sluice.run_command("status", "--admin", f"http://127.0.0.1:{running.port}").output
    assert re.search(rf"LAG.*\nevents +source +running .* {node['lag']:,} ", table), table

    def all_read():
        try:
            os.read(read_end, 1 << 20)
        except BlockingIOError:
            pass
        return source(running)["lag"] == 0

    wait_for(all_read, LIMIT_S, "the end of what there is")
