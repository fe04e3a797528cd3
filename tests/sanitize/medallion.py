"""The retail medallion in one process, for builds with a sanitizer: nothing else runs but sluice.

    python3 -m tests.sanitize.medallion BUILD [--no-kafka]

Three runs, each of which must end well and be silent: the demo as it is, small, with its embedded
broker; the same layers fed by the generator alone; these again, stopped by SIGTERM on the way and
once by SIGKILL. Rows must add up in each, and the second and third must leave the same tables.
librdkafka's own threads do not go together with every sanitizer: --no-kafka leaves the first out.
"""

import argparse
import json
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.support import sluice
from tests.support.servers import ROOT

DEMO = ROOT / "deploy" / "demo"
EVENTS = 30000
LAYERS = {
    "bronze": "bronze/events",
    "silver_tbl": "silver/events",
    "quarantine": "silver/quarantine",
    "gold": "gold/per_country",
}
OUR_SANITIZERS = r"ERROR: \w+Sanitizer|WARNING: ThreadSanitizer|runtime error:"
_TABLE_LINE = re.compile(r"^  (\w+) +(\d+) +\d+ +[\d.]+ MiB", re.MULTILINE)


def topology(folder, kafka, rate):
    """The demo's topology below `folder`; without Kafka its layers read the generator."""
    document = json.loads((DEMO / "retail.json").read_text())
    document["state"] = str(folder / "state")
    document["lanes"] = 3
    shop = document["sources"]["shop"]["config"]
    shop.update(count=EVENTS, rate=rate, event_rate=50, truth=str(folder / "truth.json"))
    document["transforms"]["silver"]["config"]["schema"] = str(DEMO / "event.schema.json")
    for name, table in LAYERS.items():
        document["sinks"][name]["config"]["table"] = str(folder / table)
    if not kafka:
        del document["kafka"], document["sources"]["events"], document["sinks"]["topic"]
        document["transforms"]["silver"]["inputs"] = ["shop"]
        document["sinks"]["bronze"]["inputs"] = ["shop"]
    path = folder / "topology.json"
    path.write_text(json.dumps(document, indent=1))
    return path


def table_rows(report, folder):
    """Rows of each layer, read back by lib/delta."""
    layers = [f"{name}={folder / table}" for name, table in LAYERS.items()]
    done = subprocess.run(
        [report, "revenue", "0", *layers], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return {name: int(rows) for name, rows in _TABLE_LINE.findall(done.stdout)}


def ended_well(run):
    """A sanitizer that goes on after a finding still fails the run."""
    assert run.exit_code == 0, run.failed_because()
    assert not re.search(OUR_SANITIZERS, run.log), run.log
    return run


def adds_up(run, rows, source):
    """One whole run: what the nodes counted is what the tables hold."""
    silver = run.rows_out("silver")
    rejected = run.rows_out("silver", "rejects")
    assert run.rows_out(source) == EVENTS
    assert run.rows_in("silver") == EVENTS == silver + rejected + run.dropped("silver")
    assert run.rows_in("per_country") == silver
    assert rows["bronze"] == EVENTS
    assert rows["silver_tbl"] == silver
    assert rows["quarantine"] == rejected > 0
    assert rows["gold"] > 0


def whole_run(report, folder, kafka):
    run = ended_well(sluice.run_until_end(topology(folder, kafka, 0)))
    rows = table_rows(report, folder)
    adds_up(run, rows, "events" if kafka else "shop")
    return rows


def commits(folder, layer):
    return len(list((folder / LAYERS[layer] / "_delta_log").glob("*.json")))


def interrupted_run(report, folder):
    """Stopped twice on the way; the last of three runs goes on to the end."""
    path = topology(folder, False, EVENTS // 20)
    for number in (signal.SIGTERM, signal.SIGKILL):
        wanted = {layer: commits(folder, layer) + 2 for layer in ("bronze", "gold")}
        with sluice.Process("run", "--until-end", "--json", path) as process:
            process.wait_for(
                lambda: all(commits(folder, layer) >= n for layer, n in wanted.items()),  # noqa: B023
                120,
                "commits to bronze and gold",
            )
            process.signal(number)
            run = process.wait()
        if number == signal.SIGTERM:
            ended_well(run)
            assert 0 < table_rows(report, folder)["bronze"] < EVENTS
        else:
            assert run.exit_code == -signal.SIGKILL
    ended_well(sluice.run_until_end(topology(folder, False, 0)))
    return table_rows(report, folder)


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("build", type=Path)
    arguments.add_argument("--no-kafka", action="store_true")
    options = arguments.parse_args()
    build = options.build.absolute()
    sluice.BINARY = build / "sluice"
    report = str(build / "demo-report")
    with tempfile.TemporaryDirectory(prefix="sluice-sanitize-") as name:
        folders = [Path(name) / part for part in ("kafka", "direct", "interrupted")]
        for folder in folders:
            folder.mkdir()
        if not options.no_kafka:
            print("with the embedded broker:", whole_run(report, folders[0], True), flush=True)
        whole = whole_run(report, folders[1], False)
        print("from the generator:", whole, flush=True)
        again = interrupted_run(report, folders[2])
        print("the same, interrupted:", again, flush=True)
        assert again == whole, "an interrupted run left other tables"


if __name__ == "__main__":
    sys.exit(main())
