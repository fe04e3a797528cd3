"""What a kill left in the lake, and whether the lake is right in the end."""

import json

from tests.lake import readers
from tests.oracle import check, expect_for_topology
from tests.support.medallion import TABLES


class Leftovers:
    """Says after each kill whether rows were on their way: read, and not in all of their tables.

    A lower bound, from the tables alone: a partition of which bronze and silver hold different
    positions, a data file that is new since the kill before and that no commit names, or a new file
    of the state store (of aggregates, of deduplication) that has not got its name.
    """

    def __init__(self, medallion):
        self._medallion = medallion
        self._entries = {}  # (path, its inode and time) to (positions, names)
        self._seen = set()

    def _entry(self, path):
        status = path.stat()
        key = (path, status.st_ino, status.st_mtime_ns)
        if key not in self._entries:
            positions, names = {}, []
            for line in path.read_text().splitlines():
                action = json.loads(line)
                if "txn" in action:
                    partition = action["txn"]["appId"].rsplit("/", 1)[-1]
                    positions[partition] = action["txn"]["version"]
                elif "add" in action:
                    names.append(action["add"]["path"].rsplit("/", 1)[-1])
            self._entries[key] = positions, names
        return self._entries[key]

    def _table(self, name):
        """(positions, names of committed files, data files that are there)"""
        folder = self._medallion.table(name)
        positions, named = {}, set()
        for path in sorted((folder / "_delta_log").glob("*[0-9].json")):
            moved, names = self._entry(path)
            positions.update(moved)
            named.update(names)
        files = {f.name for f in folder.rglob("*") if f.parent.name != "_delta_log" and f.is_file()}
        return positions, named, files

    def in_flight(self):
        tables = {name: self._table(name) for name in TABLES}
        apart = tables["bronze"][0] != tables["silver_tbl"][0]
        unnamed = {(n, f) for n, (_, named, files) in tables.items() for f in files - named}
        begun = self._medallion.state.rglob(".sluice-tmp-*")
        unnamed.update(("state", f.name) for f in begun)
        new, self._seen = unnamed - self._seen, unnamed
        return apart or bool(new)


def _counted(answer, tables):
    silver, rejected = tables["silver_tbl"].num_rows, tables["quarantine"].num_rows
    return check.accounts(answer, silver, rejected, len(answer.duplicates))


def wrong(medallion, delivered):
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
    }
    told = (
        f"{answer.records} records = {len(answer.silver)} in silver + {len(answer.rejected)} rejected"
        f" + {len(answer.duplicates)} duplicates; gold {tables['gold'].num_rows} windows, "
        f"late {tables['late'].num_rows}"
    )
    return {name: text for name, text in found.items() if text is not None}, told
