"""The medallion on Azure Blob Storage: its tables and its state on Azurite, the events on a real broker.

A share of the requests meets a fault, the process is killed on the way, and in the end every table
is what the oracle computes from bronze.
"""

import io
import itertools
import json
import random
import signal

import pyarrow.parquet
import pytest

from tests.doubles.fault_proxy import FaultProxy
from tests.oracle.verify import verify
from tests.support import events, sluice
from tests.support.medallion import TABLES, Medallion

EVENTS = 60_000
KILLS = 6
LIMIT_S = 120
SECRET = {"auth": "shared-key", "key": "${env:TEST_ACCOUNT_KEY}"}


@pytest.fixture
def lake(azurite, monkeypatch):
    azurite.create_container("lake")
    for name, value in azurite.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("TEST_ACCOUNT_KEY", azurite.key)
    return azurite


def medallion_on(lake, url, folder, broker, topic):
    """Its tables are reached by `url`, which is the server's or a proxy's."""
    table_url = f"{url}/{lake.account}/lake/{topic}"
    medallion = Medallion(folder, broker.bootstrap, topic, lake=table_url)
    medallion.document["stores"] = {f"{url}/{lake.account}/": SECRET}
    medallion.document["sources"]["events"]["config"]["session.timeout.ms"] = 6_000
    return medallion


def expect_right(medallion):
    answer, found = verify(medallion.path)
    assert {name: told for name, told in found.items() if told is not None} == {}
    assert answer.records == EVENTS


def test_medallion(lake, broker, new_topic, tmp_path):
    """delta-rs and Azure's own SDK read what is there; the log of a run at debug has no secret."""
    from azure.storage.blob import ContainerClient

    topic = new_topic(4)
    feed = events.records(events.Feed(records=EVENTS))
    assert broker.produce(topic, feed) == EVENTS
    medallion = medallion_on(lake, lake.url, tmp_path, broker, topic)
    run = sluice.run_until_end(medallion.write(), "--log-level", "debug")
    assert lake.key not in run.log + run.output
    assert "request id" in run.log
    expect_right(medallion)
    again = sluice.run_until_end(medallion.path)
    assert [again.rows_in(name) for name in TABLES] == [0] * len(TABLES)

    container = ContainerClient(
        f"{lake.url}/{lake.account}",
        "lake",
        {"account_name": lake.account, "account_key": lake.key},
    )
    prefix = f"{topic}/{TABLES['bronze']}/"
    names = [blob.name for blob in container.list_blobs(name_starts_with=prefix)]
    rows = 0
    for name in names:
        if name.endswith(".parquet") and "_delta_log" not in name:
            data = container.download_blob(name).readall()
            rows += pyarrow.parquet.ParquetFile(io.BytesIO(data)).metadata.num_rows
    assert rows == EVENTS


def test_plain_files(lake, broker, new_topic, tmp_path):
    """Bronze as files without a log: killed on the way, with faults, each record is in one of them."""
    from azure.storage.blob import ContainerClient

    records = 20_000
    topic = new_topic(2)
    feed = events.records(events.Feed(records=records))
    with FaultProxy(lake.url, share=0.15, seed=3) as proxy:
        medallion = medallion_on(lake, proxy.url, tmp_path, broker, topic)
        medallion.without("silver")
        plain = {"format": "jsonl", "compression": "none"}
        medallion.document["sinks"]["bronze"]["config"] |= plain
        medallion.document["commit.interval"] = "200ms"
        path = medallion.write()
        assert broker.produce(topic, itertools.islice(feed, records // 2)) == records // 2
        with sluice.Process("run", path) as process:
            process.wait_for(lambda: sum(proxy.counts.values()) >= 8, LIMIT_S, "requests")
            process.signal(signal.SIGKILL)
            process.wait(30)
        broker.produce(topic, feed)
        sluice.run_until_end(path, limit_s=LIMIT_S)
    container = ContainerClient(
        f"{lake.url}/{lake.account}",
        "lake",
        {"account_name": lake.account, "account_key": lake.key},
    )
    found = []
    for blob in container.list_blobs(name_starts_with=f"{topic}/{TABLES['bronze']}/"):
        lines = container.download_blob(blob.name).readall().splitlines()
        found += [(r["partition"], r["offset"]) for r in map(json.loads, lines)]
    ends = broker.end_offsets(topic)
    assert sorted(found) == [(p, o) for p, (first, end) in ends.items() for o in range(first, end)]
    assert len(found) == records


def test_killed_and_in_trouble(lake, broker, new_topic, tmp_path):
    """Faults of the service and SIGKILLs at random moments: nothing lost, nothing twice."""
    topic = new_topic(4)
    feed = events.records(events.Feed(records=EVENTS))
    draw = random.Random(7)
    with FaultProxy(lake.url, share=0.15, seed=7) as proxy:
        medallion = medallion_on(lake, proxy.url, tmp_path, broker, topic)
        path = medallion.write()
        share = EVENTS // (KILLS + 1)
        for _ in range(KILLS):
            assert broker.produce(topic, itertools.islice(feed, share)) == share
            seen = sum(proxy.counts.values())
            later = seen + draw.randrange(3, 40)
            with sluice.Process("run", path) as process:
                process.wait_for(lambda: sum(proxy.counts.values()) >= later, LIMIT_S, "requests")
                process.signal(signal.SIGKILL)
                process.wait(30)
        broker.produce(topic, feed)
        run = sluice.run_until_end(path, limit_s=LIMIT_S)
        assert run.exit_code == 0
        assert all(proxy.counts[fault] > 0 for fault in ("busy", "throttled", "reset", "acted"))
    expect_right(medallion)
