"""The accounts: of each source partition, records = rows + elsewhere + dropped + in flight.

Two witnesses, neither of which knows of the other. `Ledger` folds a table's log: the counts that lie
beside the position in its last entry, and the rows that its files hold. It is asked after every
kill. `told` is what a process says of itself when it ends as it should. Functions named `wrong_...`
return None when all is as it has to be, else a text.
"""

import json
from dataclasses import dataclass, field

COUNTING = ("bronze", "silver_tbl", "quarantine")  # sinks that keep counts


@dataclass(frozen=True)
class Count:
    """Of one partition, as one sink has it."""

    next_offset: int = 0
    records: int = 0
    rows: int = 0
    dropped: int = 0

    @property
    def elsewhere(self):
        return self.records - self.rows - self.dropped


@dataclass
class Book:
    """A table at one of its versions."""

    counts: dict = field(default_factory=dict)  # partition to Count
    rows: int = 0  # of its files, by their statistics


class Ledger:
    """The books of the counting tables of a medallion."""

    def __init__(self, medallion):
        self._medallion = medallion
        self._entries = {}  # by the keys of `log`: what an entry changes
        self._known = {}  # table to the keys of its log, those that cleaning has removed, too
        self._last = {}

    def books(self):
        return {name: self._book(name) for name in COUNTING}

    def in_flight(self, consumed):
        """How many offsets a process had read that bronze or silver has not. `consumed`:
        partition to the next offset that it would have read."""
        books = self.books()
        bronze, silver = books["bronze"].counts, books["silver_tbl"].counts
        none = Count()
        return sum(
            max(0, following - min(t.get(p, none).next_offset for t in (bronze, silver)))
            for p, following in consumed.items()
        )

    def wrong(self):
        """Whether the books are right by themselves, agree with each other, and have not gone
        back since the last time."""
        books = self.books()
        told = [*wrong_books(books), *wrong_since(self._last, books)]
        self._last = books
        return "\n".join(told) or None

    def log(self, name):
        """(key, function that reads it) of each entry of a table's log, in their order. A key
        stands for one content."""
        for path in sorted((self._medallion.table(name) / "_delta_log").glob("*[0-9].json")):
            status = path.stat()
            yield (path, status.st_ino, status.st_size), path.read_text

    def _log_from_its_beginning(self, name):
        """Cleaning removes the oldest entries; what they said is known from before."""
        there = [*self.log(name)]
        known = self._known.get(name, [])
        removed = [key for key in known if there and key[0] < there[0][0][0]]
        self._known[name] = [*removed, *(key for key, _ in there)]
        return [*((key, None) for key in removed), *there]

    def _entry(self, key, read):
        if key not in self._entries:
            self._entries[key] = _changes(read())
        return self._entries[key]

    def _book(self, name):
        counts, files = {}, {}
        for key, read in self._log_from_its_beginning(name):
            moved, added, removed = self._entry(key, read)
            counts.update(moved)
            for file in removed:
                files.pop(file, None)
            files.update(added)
        by_partition = {}
        for (partition, what), n in counts.items():
            by_partition.setdefault(partition, {})[what] = n
        return Book({p: Count(**c) for p, c in by_partition.items()}, sum(files.values()))


def _changes(text):
    """({(partition, field of Count): number}, {file: rows}, files removed) of a log entry."""
    moved, added, removed = {}, {}, []
    for action in map(json.loads, text.splitlines()):
        if "txn" in action:
            place, _, what = action["txn"]["appId"].rpartition("/")[2].partition("#")
            moved[int(place), what or "next_offset"] = action["txn"]["version"]
        elif "add" in action:
            added[action["add"]["path"]] = json.loads(action["add"]["stats"])["numRecords"]
        elif "remove" in action:
            removed.append(action["remove"]["path"])
    return moved, added, removed


def _wrong_count(name, count):
    """By itself. The topic has no gaps and begins at 0."""
    if count.records != count.next_offset:
        return f"{count.next_offset} offsets, {count.records} records"
    if min(count.rows, count.dropped, count.elsewhere) < 0:
        return "more rows than records"
    if name == "bronze" and count.rows != count.records:
        return f"{count.records} records, {count.rows} rows"
    return None


def _wrong_pair(silver, quarantine):
    """Where both are at the same offset, what is not in one of them is in the other or dropped."""
    if silver.records != quarantine.records:
        return None
    if silver.elsewhere != quarantine.rows or silver.dropped != quarantine.dropped:
        return (
            f"{silver.records} records, {silver.rows} in silver, {quarantine.rows} in quarantine, "
            f"{silver.dropped} or {quarantine.dropped} duplicates"
        )
    return None


def wrong_books(books):
    """Lines, none when right."""
    for name, book in books.items():
        for partition, count in book.counts.items():
            if text := _wrong_count(name, count):
                yield f"accounts of {name}, partition {partition}: {text}"
        rows = sum(count.rows for count in book.counts.values())
        if rows != book.rows:
            yield f"accounts of {name}: {rows} rows, its files hold {book.rows}"
    silver, quarantine = books["silver_tbl"].counts, books["quarantine"].counts
    for partition in silver.keys() & quarantine.keys():
        if text := _wrong_pair(silver[partition], quarantine[partition]):
            yield f"accounts of partition {partition}: {text}"


def wrong_since(before, books):
    """Lines, none when no number is smaller than it was."""
    for name, book in before.items():
        for partition, then in book.counts.items():
            now = books[name].counts.get(partition, Count())
            fields = ("next_offset", "records", "rows", "dropped", "elsewhere")
            back = [f for f in fields if getattr(now, f) < getattr(then, f)]
            if back:
                yield f"accounts of {name}, partition {partition}: {then} became {now}"


# ---- what a process says of itself ----


def told(summary, through):
    """{sink: {partition: Count}} of a summary; and what does not add up, or was read and is nowhere.
    `through`: it ran to the end of the data. Otherwise a sink may still lack what another one had
    committed before a kill: reading has stopped before it came there."""
    counts, wrong = {}, []
    for account in summary["accounts"]:
        ahead = max((reader["records"] for reader in account["readers"]), default=None)
        if ahead is not None and account["records"] != ahead:
            wrong.append(f"{account['records']} records told, no sink has more than {ahead}")
        for reader in account["readers"]:
            names = ("next_offset", "records", "rows", "dropped")
            count = Count(**{name: reader[name] for name in names})
            place = f"accounts that {reader['node']} tells of partition {account['partition']}"
            if reader["in_flight"] != account["records"] - count.records:
                wrong.append(f"{place}: {reader['in_flight']} in flight of {account['records']}")
            if reader["elsewhere"] != count.elsewhere:
                wrong.append(f"{place}: {reader['elsewhere']} elsewhere of {count}")
            if through and reader["in_flight"] != 0:
                wrong.append(f"{place}: {reader['in_flight']} in flight at the end")
            counts.setdefault(reader["node"], {})[account["partition"]] = count
    return counts, wrong


def wrong_summary(summary, books, alone, through):
    """What a process told that ended as it should. `alone`: no other has gone on since."""
    counts, wrong = told(summary, through)
    for name in counts.keys() & books.keys():
        stored = books[name].counts
        for partition, count in counts[name].items():
            if text := _wrong_count(name, count):
                wrong.append(f"accounts that {name} tells of partition {partition}: {text}")
            there = stored.get(partition, Count())
            if alone and there != count:
                wrong.append(f"accounts of {name}, partition {partition}: {count} told, {there}")
    return "\n".join(wrong) or None


def wrong_in_the_end(books, delivered, answer):
    """Against the topic and the oracle. `delivered`: partition to (first, next) offset."""
    wrong = []
    frames = {"silver": answer.silver, "rejected": answer.rejected, "twice": answer.duplicates}
    of = {n: dict(f.group_by("_partition").len().iter_rows()) for n, f in frames.items()}
    for partition, (first, following) in delivered.items():
        n = following - first
        silver, rejected, twice = (of[name].get(partition, 0) for name in frames)
        wanted = {
            "bronze": Count(following, n, n, 0),
            "silver_tbl": Count(following, n, silver, twice),
            "quarantine": Count(following, n, rejected, twice),
        }
        for name, count in wanted.items():
            there = books[name].counts.get(partition, Count())
            if there != count:
                wrong.append(f"accounts of {name}, partition {partition}: {there}, not {count}")
    return "\n".join(wrong) or None
