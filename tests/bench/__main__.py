"""CPU-seconds per million events of the whole medallion, on a real broker, truth verified.

    python -m tests.bench          (make bench does the set-up first)

Loads events into a topic of 8 partitions, runs `build/sluice run --until-end` over the medallion
(1 s commits, fsync, zstd, statistics, checkpoints: the defaults), and reads the CPU time of that
process alone. Before and after it measures the yardstick: zstd level 1 over the same raw bytes.
Prints a table, writes build/bench/result.json. Exit code 1 when the tables are not what the oracle
computes; a figure is never a failure. Then the same topic goes by turns to a folder and, tables and
state, to Azurite: the row compares the medians of the CPU time of sluice alone, Azurite being a
process of its own; of runs one after the other the second would be compared with the weather.

Environment: SLUICE_BENCH_EVENTS (2000000), SLUICE_BENCH_RATE (50000 events a second in the part
that measures latency; 0 leaves it out), SLUICE_BENCH_SECONDS (10), SLUICE_BENCH_AZURE (3: the turns
to Azurite; 0 leaves it out).
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import deltalake
import pyarrow as pa

from tests.bench import latency
from tests.bench.load import load
from tests.oracle import verify
from tests.support import events, sluice
from tests.support.medallion import TABLES, Medallion
from tests.support.servers import ROOT, Azurite, Kafka

PARTITIONS = 8
GOAL = {"ratio": 5.2, "rss_mib": 400}
RESULT = ROOT / "build" / "bench" / "result.json"
YARDSTICK = ROOT / "build" / "tests" / "bench" / "yardstick"


def say(text):
    print(text, file=sys.stderr, flush=True)


def yardstick(raw):
    done = subprocess.run([YARDSTICK, raw], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def table_figures(medallion):
    """{table: rows, files, bytes of its live files}"""
    found = {}
    for name in TABLES:
        table = deltalake.DeltaTable(str(medallion.table(name)))
        actions = pa.table(table.get_add_actions(flatten=True)).to_pydict()
        found[name] = {
            "rows": sum(actions["num_records"]),
            "files": len(actions["size_bytes"]),
            "bytes": sum(actions["size_bytes"]),
            "versions": table.version() + 1,
        }
    return found


def stages(run, million):
    """Node to CPU-seconds per million inside its task; `elsewhere` is all the rest."""
    found = {n["name"]: n["cpu_us"] / 1e6 / million for n in run.summary["nodes"]}
    found["elsewhere"] = run.cpu_s / million - sum(found.values())
    return found


def figures(run, raw_bytes, count, yard):
    million = count / 1e6
    elapsed_s = run.summary["elapsed_us"] / 1e6
    yard_s = sum(y["cpu_s"] for y in yard) / len(yard) / million
    return {
        "events": count,
        "raw_bytes_per_event": raw_bytes / count,
        "cpu_s_per_million": run.cpu_s / million,
        "stages_cpu_s_per_million": stages(run, million),
        "yardstick_cpu_s_per_million": yard_s,
        "yardstick_share": yard[0]["compressed_bytes"] / yard[0]["bytes"],
        "ratio": run.cpu_s / million / yard_s,
        "elapsed_s": elapsed_s,
        "events_per_s": count / elapsed_s,
        "peak_rss_mib": run.peak_rss_bytes / 2**20,
        "read_to_durable": {
            n["name"]: n["latency"] for n in run.summary["nodes"] if n["latency"] is not None
        },
    }


def throughput(broker, folder, count):
    """The main part: figures, the medallion that has run, and what is wrong with its tables."""
    broker.create_topic("bench", PARTITIONS, **events.TOPIC_CONFIG)
    raw = folder / "raw"
    say(f"loading {count} events")
    raw_bytes = load(broker, "bench", count, raw)
    medallion = Medallion(folder / "lake", broker.bootstrap, "bench")
    say("running")
    before = yardstick(raw)
    run = sluice.run_until_end(medallion.write())
    yard = [before, yardstick(raw)]
    raw.unlink()
    result = figures(run, raw_bytes, count, yard)
    result["tables"] = table_figures(medallion)
    say("verifying")
    answer, found = verify.verify(medallion.path)
    wrong = {name: told for name, told in found.items() if told is not None}
    if answer.records != count:
        wrong["bronze"] = f"{answer.records} rows, {count} events were delivered"
    result["verified"] = not wrong
    return result, wrong


def on_azure(broker, folder, turns):
    """The same events by turns to a folder and to Azurite: what each run of sluice costs, and the
    ratio of the medians; what is wrong with the last tables on Azurite."""
    cpu_s = {"folder": [], "azurite": []}
    with Azurite(folder / "azurite") as azurite:
        azurite.create_container("lake")
        os.environ.update(azurite.environment())
        account = f"{azurite.url}/{azurite.account}"
        for turn in range(turns):
            say(f"by turns to a folder and to Azurite: {turn + 1} of {turns}")
            local = Medallion(
                folder / f"local-{turn}", broker.bootstrap, "bench", f"bench-local-{turn}"
            )
            cpu_s["folder"].append(sluice.run_until_end(local.write()).cpu_s)
            shutil.rmtree(local.folder)
            medallion = Medallion(
                folder / f"azure-{turn}",
                broker.bootstrap,
                "bench",
                f"bench-azure-{turn}",
                lake=f"{account}/lake/bench-{turn}",
            )
            stores = {account: {"auth": "shared-key", "key": azurite.key}}
            medallion.document["stores"] = stores
            cpu_s["azurite"].append(sluice.run_until_end(medallion.write()).cpu_s)
        say("verifying")
        _, found = verify.verify(medallion.path)
    wrong = {f"azure {name}": told for name, told in found.items() if told is not None}
    to_folder = statistics.median(cpu_s["azurite"]) / statistics.median(cpu_s["folder"])
    return {"cpu_s": cpu_s, "to_folder": to_folder}, wrong


def delays(broker, folder, rate, seconds):
    broker.create_topic("paced", PARTITIONS, **events.TOPIC_CONFIG)
    medallion = Medallion(folder / "paced", broker.bootstrap, "paced", "paced")
    say(f"measuring latency at {rate} events a second")
    return latency.measure(broker, medallion, "paced", rate, seconds)


def show(result):
    print(f"\n{result['events']:,} events of {result['raw_bytes_per_event']:.1f} bytes")
    print(f"  CPU-s per million      {result['cpu_s_per_million']:8.2f}")
    for name, cost in result["stages_cpu_s_per_million"].items():
        print(f"    {name:<20} {cost:8.2f}")
    print(f"  yardstick (zstd -1)    {result['yardstick_cpu_s_per_million']:8.3f}")
    print(f"  ratio                  {result['ratio']:8.2f}   goal {GOAL['ratio']}")
    print(f"  events/s               {result['events_per_s']:8,.0f}")
    print(f"  peak RSS, MiB          {result['peak_rss_mib']:8.0f}   goal {GOAL['rss_mib']}")
    print("\n  table          rows        bytes/row  of raw   files  versions")
    for name, table in result["tables"].items():
        per_row = table["bytes"] / table["rows"] if table["rows"] else 0
        share = per_row / result["raw_bytes_per_event"]
        print(
            f"  {name:<12} {table['rows']:>10,} {per_row:>10.1f}  {share:7.1%}"
            f" {table['files']:>6} {table['versions']:>9}"
        )
    if "azure" in result:
        for where, runs in result["azure"]["cpu_s"].items():
            costs = ", ".join(f"{cpu_s / (result['events'] / 1e6):.2f}" for cpu_s in runs)
            print(f"  by turns, to {where:<9} {costs}")
        print(f"  Azurite to folder, medians {result['azure']['to_folder']:.2f}   goal 1.15")
    for name, delay in result.get("latency", {}).items():
        print(f"  produce to visible, {name}: p50 {delay['p50_ms']} ms, p99 {delay['p99_ms']} ms")
    print(f"  truth: {'as the oracle computes it' if result['verified'] else 'WRONG'}")


def main():
    count = int(os.environ.get("SLUICE_BENCH_EVENTS", "2000000"))
    rate = int(os.environ.get("SLUICE_BENCH_RATE", "50000"))
    seconds = int(os.environ.get("SLUICE_BENCH_SECONDS", "10"))
    turns = int(os.environ.get("SLUICE_BENCH_AZURE", "3"))
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="run-", dir=RESULT.parent))
    try:
        with Kafka(folder / "broker") as broker:
            result, wrong = throughput(broker, folder, count)
            if turns > 0:
                result["azure"], wrong_there = on_azure(broker, folder, turns)
                wrong.update(wrong_there)
            if rate > 0:
                result["latency"] = delays(broker, folder, rate, seconds)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    show(result)
    for name, told in wrong.items():
        print(f"{name}: {told}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
