"""From produce to visible in a Delta reader: a paced feed of the present, and each row's delay.

A row is visible from the moment its table's log names the file that holds it: the time of change of
the log entry. The record's own timestamp says when it was produced.
"""

import json
import signal
import threading
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.support import events, sluice

TICKS_PER_S = 50


def _paced(feed, rate, stop):
    """The records of `feed`, at `rate` a second, with the producer's own timestamps."""
    per_tick = max(1, rate // TICKS_PER_S)
    for number, record in enumerate(feed):
        if number % per_tick == 0 and number > 0:
            stop.wait(1 / TICKS_PER_S)
        yield {"key": record["key"], "value": record["value"]}


def _entries(table):
    """(time of visibility in ms, file) of each file that was ever added."""
    for entry in sorted((Path(table) / "_delta_log").glob("*.json")):
        visible_ms = entry.stat().st_ctime_ns / 1e6
        for line in entry.read_text().splitlines():
            action = json.loads(line).get("add")
            if action is not None:
                yield visible_ms, Path(table) / unquote(action["path"])


def _delays_bronze(table):
    """(delays in ms, produced: partition to an array of times by offset)"""
    delays, produced = [], {}
    for visible_ms, path in _entries(table):
        rows = pq.read_table(path, columns=["partition", "offset", "timestamp"])
        times = rows["timestamp"].cast(pa.int64()).to_numpy() / 1_000
        delays.append(visible_ms - times)
        partitions, offsets = rows["partition"].to_numpy(), rows["offset"].to_numpy()
        for partition in np.unique(partitions):
            at = partitions == partition
            produced.setdefault(int(partition), []).append((offsets[at], times[at]))
    by_offset = {}
    for partition, parts in produced.items():
        offsets = np.concatenate([o for o, _ in parts])
        times = np.concatenate([t for _, t in parts])
        by_offset[partition] = np.zeros(offsets.max() + 1)
        by_offset[partition][offsets] = times
    return np.concatenate(delays), by_offset


def _delays_silver(table, produced):
    delays = []
    for visible_ms, path in _entries(table):
        rows = pq.read_table(path, columns=["_partition", "_offset"])
        partitions, offsets = rows["_partition"].to_numpy(), rows["_offset"].to_numpy()
        for partition in np.unique(partitions):
            times = produced[int(partition)][offsets[partitions == partition]]
            delays.append(visible_ms - times)
    return np.concatenate(delays)


def _quantiles(delays):
    p50, p99 = np.quantile(delays, [0.5, 0.99])
    return {"p50_ms": round(float(p50)), "p99_ms": round(float(p99)), "rows": len(delays)}


def measure(broker, medallion, topic, rate, seconds):
    """{table: {p50_ms, p99_ms, rows}} at `rate` events a second for `seconds`."""
    feed = list(events.records(events.Feed(records=rate * seconds, seed=8)))
    stop = threading.Event()
    log = medallion.table("bronze") / "_delta_log"
    with sluice.Process("run", "--json", medallion.write()) as process:
        broker.produce(topic, [{"value": b"{}"}])
        process.wait_for(lambda: (log / f"{1:020d}.json").exists(), 60, "the first commit")
        broker.produce(topic, _paced(feed, rate, stop), linger_ms=5)
        process.signal(signal.SIGTERM)
        run = process.wait(60)
    if run.exit_code != 0:
        raise RuntimeError(run.failed_because())
    bronze, produced = _delays_bronze(medallion.table("bronze"))
    found = {"bronze": _quantiles(bronze)}
    found["silver"] = _quantiles(_delays_silver(medallion.table("silver_tbl"), produced))
    gold = run.node("gold")["latency"]
    if gold is not None:
        # its rows come from many records: from the transform's emission to the commit
        found["gold (emitted to durable)"] = {
            "p50_ms": round(gold["p50_us"] / 1000),
            "p99_ms": round(gold["p99_us"] / 1000),
            "rows": run.rows_in("gold"),
        }
    return found
