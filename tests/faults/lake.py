"""The layers that the fault tests run: the generator feeds bronze (a table and plain files), silver
with deduplication, quarantine, gold by upsert, and late records. What is right is known from one
undisturbed run that the oracle has judged."""

import hashlib
import json
import os
import re
import time

from tests.lake import compare, readers
from tests.oracle import check, expect_for_topology
from tests.support import sluice
from tests.support.servers import ROOT

DEMO = ROOT / "deploy" / "demo"
EVENTS = 12_000
HALF = EVENTS // 2
PARTITIONS = 4
RATE = 40_000  # so that a run makes about a dozen commits
LIMIT_S = 60
TABLES = {
    "bronze": "bronze/events",
    "silver_tbl": "silver/events",
    "quarantine": "silver/quarantine",
    "gold": "gold/per_country",
    "late": "gold/late",
}
_ROW = {
    "bronze": ("partition", "offset"),
    "silver_tbl": ("_partition", "_offset"),
    "quarantine": ("partition", "offset"),
    "gold": ("window_start", "event_type", "country"),
    "late": ("_partition", "_offset"),
}
# What a plain file's name tells.
_CLOSED = re.compile(r"sluice-shop~events~(\d+)~(\d+)-(\d+)\.jsonl$")


class Broken(Exception):
    """sluice did what it must not do; the text says what."""


def topology(folder, count, change=None):
    """Writes the topology that takes `count` events, once `change` has changed it; its path."""
    document = json.loads((DEMO / "retail.json").read_text())
    del document["kafka"], document["sources"]["events"], document["sinks"]["topic"]
    document |= {
        "state": str(folder / "state"),
        "lanes": 2,
        "commit.interval": "20ms",
        "retry.timeout": "1s",
    }
    document["sources"]["shop"]["config"] |= {
        "count": count,
        "rate": RATE,
        "partitions": PARTITIONS,
        "event_rate": 100,
        "truth": str(folder / "truth.json"),
    }
    document["transforms"]["silver"]["inputs"] = ["shop"]
    document["transforms"]["silver"]["config"]["schema"] = str(DEMO / "event.schema.json")
    document["transforms"]["per_country"]["config"]["lateness"] = "5s"
    sinks = document["sinks"]
    sinks["bronze"]["inputs"] = ["shop"]
    sinks["late"] = {"plugin": "delta-sink", "inputs": ["per_country.late"], "config": {}}
    for name, table in TABLES.items():
        sinks[name]["config"]["table"] = str(folder / "lake" / table)
        sinks[name]["config"]["properties"] = {"delta.checkpointInterval": "3"}
    sinks["archive"] = {
        "plugin": "bronze-sink",
        "inputs": ["shop"],
        "config": {
            "table": str(folder / "lake" / "plain"),
            "format": "jsonl",
            "compression": "none",
        },
    }
    if change is not None:
        change(document)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "topology.json"
    path.write_text(json.dumps(document, indent=1))
    return path


def run(folder, count, env=None, change=None):
    """One run to the end of `count` events; the Run, however it ended. Broken when it hangs."""
    path = topology(folder, count, change)
    try:
        return sluice.run_command("run", "--until-end", "--json", path, env=env, limit_s=LIMIT_S)
    except TimeoutError as error:
        raise Broken(str(error)) from error


def leave_leftovers(folder):
    """In each folder an unfinished file of a process that was killed two days ago."""
    long_ago = time.time() - 2 * 86400
    for place in (p for part in ("lake", "state") for p in (folder / part).rglob("*")):
        if place.is_dir():
            leftover = place / ".sluice-tmp-1-1-1"
            leftover.write_bytes(b"half of some")
            os.utime(leftover, (long_ago, long_ago))


def table(where, name):
    """An Arrow table in one order; when a record came here is another in each run. `where` is the
    folder, or the URL that stands for it."""
    rows = readers.read(f"{where}/lake/{TABLES[name]}", "pyarrow")
    rows = rows.drop_columns(["ingested_at"]) if name == "bronze" else rows
    return rows.sort_by([(column, "ascending") for column in _ROW[name]])


def readable(folder):
    """Each table that is there can be read, whatever has happened. Broken when not."""
    for name, path in TABLES.items():
        if any((folder / "lake" / path / "_delta_log").glob("*.json")):
            try:
                table(folder, name)
            except Exception as error:
                raise Broken(f"{name} cannot be read: {error}") from error


def _plain(folder):
    """{partition: (next offset, digest of all its lines)}; Broken where ranges leave gaps."""
    files = {}
    for path in (folder / "lake" / "plain").glob("sluice-*"):
        partition, first, following = map(int, _CLOSED.search(path.name).groups())
        files.setdefault(partition, []).append((first, following, path))
    found = {}
    for partition, closed in files.items():
        place, digest = 0, hashlib.sha256()
        for first, following, path in sorted(closed):
            if first != place:
                raise Broken(f"plain files of partition {partition}: {place}, then {path.name}")
            place = following
            digest.update(path.read_bytes())
        found[partition] = (place, digest.hexdigest())
    return found


class Truth:
    """What a whole run leaves, from an undisturbed one in `folder`."""

    def __init__(self, folder):
        done = run(folder, EVENTS)
        assert done.exit_code == 0, done.failed_because()
        self.tables = {name: table(folder, name) for name in TABLES}
        self.plain = _plain(folder)
        document = json.loads((folder / "topology.json").read_text())
        answer = expect_for_topology(self.tables["bronze"], document, folder)
        ends = {p: (0, EVENTS // PARTITIONS) for p in range(PARTITIONS)}
        assert {p: (0, n) for p, (n, _) in self.plain.items()} == ends
        for told in (
            check.bronze(self.tables["bronze"], ends),
            check.silver(answer, self.tables["silver_tbl"]),
            check.quarantine(answer, self.tables["quarantine"]),
            check.gold(answer, "per_country", self.tables["gold"]),
            check.late(answer, "per_country", self.tables["late"]),
        ):
            assert told is None, told

    def compare_tables(self, where):
        """Broken, with what differs, when the tables are not those."""
        for name, wanted in self.tables.items():
            found = table(where, name)
            if not found.equals(wanted):
                told = compare.difference(wanted, found, None, "wanted", "found")
                raise Broken(f"{name}: {told}")

    def compare(self, folder):
        """The tables and the plain files."""
        self.compare_tables(folder)
        if _plain(folder) != self.plain:
            raise Broken(f"plain files: {_plain(folder)}, wanted {self.plain}")
