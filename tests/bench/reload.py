"""What a reload that changes one sink costs the others, under full load, in one run.

    python -m tests.bench.reload          (make reload-cost)

The retail medallion over generated events, as fast as they are taken, with a second bronze table.
Windows of SLUICE_RELOAD_SECONDS (4) come in pairs: in one nothing happens, the other begins with a
reload (SIGHUP) that changes the second bronze sink. Which comes first changes from pair to pair, so
that what gets slower or faster with time cancels out. Prints, of each node that was not changed,
the ratio of all rows with reloads to all without, the median over SLUICE_RELOAD_PAIRS (12) of the
pairs' ratios, their quartiles, and what the first is in milliseconds a reload. A figure is never a
failure. At the end both bronze tables must hold each offset of each partition once, up to what the
source has read, and silver and quarantine the rows that are accounted for; else the exit code is 1.

Event time passes many times faster here than the clock, so the default of deduplication would have
its tables grow all the time: doubling one of millions of keys stands still longer than a reload.
They turn over within WARM_S instead.
"""

import http.client
import json
import os
import re
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path

import deltalake
import numpy as np
import pyarrow as pa

from tests.support import sluice
from tests.support.medallion import Medallion

SECONDS = float(os.environ.get("SLUICE_RELOAD_SECONDS", "4"))
PAIRS = int(os.environ.get("SLUICE_RELOAD_PAIRS", "12"))
WARM_S = 6
WITHIN = "20s"  # a million events
LIMIT_S = 120
PARTITIONS = 4
CHANGED = "archive"
TAKEN = "the new topology runs"


def topology(folder):
    medallion = Medallion(folder, bootstrap="", topic="events", pipeline="reload").without("late")
    document = medallion.document
    del document["kafka"]
    document["transforms"]["silver"]["config"]["deduplicate"]["within"] = WITHIN
    document["admin"] = {"listen": "127.0.0.1:0"}
    document["sources"]["events"] = {"plugin": "generator", "config": {"partitions": PARTITIONS}}
    document["sinks"][CHANGED] = {
        "plugin": "bronze-sink",
        "inputs": ["events"],
        "config": {"table": str(folder / "lake" / CHANGED)},
    }
    return medallion


class Counters:
    """The rows that each node has taken (a source: given) so far."""

    def __init__(self, process):
        found = lambda: re.search(r"http://127\.0\.0\.1:(\d+)", process.text(1))
        process.wait_for(found, LIMIT_S, "the endpoint's address")
        self.port = int(found().group(1))

    def status(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LIMIT_S)
        connection.request("GET", "/v1/status")
        status = json.loads(connection.getresponse().read())
        connection.close()
        return status

    def durable(self, node):
        """{partition: the next offset that the node needs}, of those that are here."""
        return {
            a["partition"]: r["next_offset"]
            for a in self.status()["accounts"]
            for r in a["readers"]
            if r["node"] == node
        }

    def read(self):
        status = self.status()
        rows = {
            n["name"]: sum(p["rows"] for p in n["outputs" if n["kind"] == "source" else "inputs"])
            for n in status["nodes"]
        }
        return status["elapsed_us"] / 1e6, rows

    def rates(self):
        start_s, before = self.read()
        time.sleep(SECONDS)
        end_s, after = self.read()
        return {name: (after[name] - before[name]) / (end_s - start_s) for name in after}


def reload(process, medallion, turn):
    medallion.document["sinks"][CHANGED]["commit.interval"] = f"{1001 + turn % 2}ms"
    medallion.write()
    process.signal(signal.SIGHUP)


def measure(process, medallion):
    """[(rates without, rates with a reload)]"""
    counters = Counters(process)
    time.sleep(WARM_S)
    pairs = []
    for turn in range(PAIRS):
        first = turn % 2 == 0
        without = counters.rates() if first else None
        reload(process, medallion, turn)
        with_reload = counters.rates()
        done = lambda: process.text(1).count(TAKEN) > turn
        process.wait_for(done, LIMIT_S, TAKEN)
        pairs.append((without if first else counters.rates(), with_reload))
    wait_until_level(process, counters)
    return pairs


def wait_until_level(process, counters):
    """What was changed last has caught up: who ends before leaves the rest to the next run."""

    def level():
        own = counters.durable(CHANGED)
        return own.keys() == others.keys() and all(own[p] >= others[p] for p in own)

    process.wait_for(lambda: len(counters.durable("bronze")) == PARTITIONS, LIMIT_S, "streams")
    others = counters.durable("bronze")
    process.wait_for(level, LIMIT_S, f"{CHANGED}, level with the others")


def report(pairs):
    print(f"{'node':12} {'rows/s':>9} {'ratio':>6} {'median':>7} {'quartiles':>13} {'lost':>8}")
    for name in pairs[0][0]:
        if name == CHANGED or pairs[0][0][name] == 0:
            continue
        ratios = [with_reload[name] / without[name] for without, with_reload in pairs]
        low, middle, high = statistics.quantiles(ratios, n=4)
        without = statistics.fmean(without[name] for without, _ in pairs)
        ratio = statistics.fmean(with_reload[name] for _, with_reload in pairs) / without
        lost_ms = (1 - ratio) * SECONDS * 1000
        print(
            f"{name:12} {without:9.0f} {ratio:6.3f} {middle:7.3f}  {low:.3f}..{high:.3f}"
            f" {lost_ms:5.0f} ms"
        )


def offsets(table):
    """{partition: (rows, sum, sum of squares mod 2**64) of the offsets} of a bronze table."""
    found = {}
    data = deltalake.DeltaTable(str(table)).to_pyarrow_dataset()
    for batch in data.to_batches(columns=["partition", "offset"]):
        partitions = batch.column("partition").to_numpy()
        values = batch.column("offset").to_numpy().astype(np.uint64)
        for partition in np.unique(partitions):
            here = values[partitions == partition]
            sums = found.get(partition, (0, 0, 0))
            more = (len(here), int(here.sum()), int((here * here).sum()))
            found[partition] = tuple((a + b) % 2**64 for a, b in zip(sums, more))
    return found


def expected(rows):
    """What `offsets` finds of 0 to rows - 1, each once."""
    squares = (rows - 1) * rows * (2 * rows - 1) // 6
    return rows, (rows - 1) * rows // 2 % 2**64, squares % 2**64


def rows_of(table):
    actions = deltalake.DeltaTable(str(table)).get_add_actions(flatten=True)
    return sum(pa.table(actions).to_pydict()["num_records"])


def faults(done, medallion):
    """What is lost or repeated, as sentences."""
    accounts = done.summary["accounts"]
    wanted = {a["partition"]: expected(a["records"]) for a in accounts}
    if len(wanted) != PARTITIONS:
        yield f"accounts of partitions {sorted(wanted)}"
    for name in ("bronze", CHANGED):
        found = offsets(medallion.folder / "lake" / CHANGED if name == CHANGED else medallion.table(name))
        if found != wanted:
            yield f"{name} holds {found}, and the source has read {wanted}"
    for name in ("silver_tbl", "quarantine"):
        counts = [r for a in accounts for r in a["readers"] if r["node"] == name]
        rows = sum(r["rows"] for r in counts)
        if sum(r["records"] for r in counts) != sum(a["records"] for a in accounts):
            yield f"{name} has not had all records: {counts}"
        if rows_of(medallion.table(name)) != rows:
            yield f"{name} holds {rows_of(medallion.table(name))} rows of {rows}"


def main():
    with tempfile.TemporaryDirectory(prefix="reload-cost-") as folder:
        medallion = topology(Path(folder))
        with sluice.Process("run", "--json", medallion.write()) as process:
            pairs = measure(process, medallion)
            process.signal(signal.SIGTERM)
            done = process.wait(LIMIT_S)
        if done.exit_code != 0:
            sys.exit(done.failed_because())
        report(pairs)
        wrong = list(faults(done, medallion))
        records = sum(a["records"] for a in done.summary["accounts"])
    print(f"{PAIRS} reloads, {records} records:", "; ".join(wrong) or "nothing lost or repeated")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
