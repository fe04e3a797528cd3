"""What a kill left in the lake, and whether the lake is right in the end."""

import json
import re

from tests.crash.accounts import Ledger, wrong_in_the_end
from tests.lake import readers
from tests.oracle import check, expect_for_topology
from tests.support.medallion import TABLES


_CLOSED = re.compile(r"sluice-events~[^~]+~(\d+)~(\d+)-(\d+)\.jsonl$")


def archive(folder):
    """The node of bronze-sink that keeps plain files beside the tables."""
    config = {"table": f"file://{folder}/lake/plain", "format": "jsonl", "compression": "none"}
    return {
        "plugin": "bronze-sink",
        "inputs": ["events"],
        "commit.interval": "500ms",
        "config": config,
    }


def _archived(folder, delivered):
    """What is wrong with the plain files: each record in one, none twice. None: nothing."""
    closed, offsets = {}, {}
    for path in sorted((folder / "lake" / "plain").glob("sluice-*")):
        partition, first, following = map(int, _CLOSED.search(path.name).groups())
        closed.setdefault(partition, []).append((first, following))
        with path.open() as lines:
            offsets.setdefault(partition, []).extend(json.loads(line)["offset"] for line in lines)
    for partition, (first, following) in delivered.items():
        place = first
        for begin, end in sorted(closed.get(partition, [])):
            if begin != place:
                return f"partition {partition}: files end at {place} and go on at {begin}"
            place = end
        if place != following:
            return f"partition {partition}: the files end at {place}, the topic at {following}"
        held = offsets.get(partition, [])
        if sorted(held) != [*range(first, following)]:
            lacking = len({*range(first, following)} - {*held})
            more = len(held) - len({*held})
            return f"partition {partition}: {lacking} records are in no file, {more} in two"
    return None


def _counted(answer, tables):
    silver, rejected = tables["silver_tbl"].num_rows, tables["quarantine"].num_rows
    return check.accounts(answer, silver, rejected, len(answer.duplicates))


def wrong(medallion, delivered, ledger):
    """({table: what is wrong}, a line that says what there is) once all has been processed."""
    tables = {name: readers.read(medallion.table(name)) for name in TABLES}
    answer = expect_for_topology(tables["bronze"], medallion.document, medallion.folder)
    found = {
        "bronze": check.bronze(tables["bronze"], delivered),
        "silver": check.silver(answer, tables["silver_tbl"]),
        "quarantine": check.quarantine(answer, tables["quarantine"]),
        "gold": check.gold(answer, "per_country", tables["gold"]),
        "late": check.late(answer, "per_country", tables["late"]),
        "counts": _counted(answer, tables),
        "accounts": wrong_in_the_end(ledger.books(), delivered, answer),
    }
    slow = medallion.folder / "lake" / "slow"
    if slow.exists():
        found["slow"] = check.bronze(readers.read(slow), delivered)
    if (medallion.folder / "lake" / "plain").exists():
        found["archive"] = _archived(medallion.folder, delivered)
    told = (
        f"{answer.records} records = {len(answer.silver)} in silver + {len(answer.rejected)} rejected"
        f" + {len(answer.duplicates)} duplicates; gold {tables['gold'].num_rows} windows, "
        f"late {tables['late'].num_rows}"
    )
    return {name: text for name, text in found.items() if text is not None}, told
