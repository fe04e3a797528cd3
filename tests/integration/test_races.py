"""Three tables of one run, written at the same time by others: delta-rs appends rows of its own, and
Spark's OPTIMIZE and delta-rs' compaction rewrite files, those with the rows of open windows
included. Nobody's rows may be lost, and none be there twice. The generator is the source."""

import datetime
import json
import signal
import threading
from functools import partial

import pyarrow as pa
import pytest

from tests.lake import compare, readers
from tests.oracle import check, expect_for_topology
from tests.support import sluice
from tests.support.servers import ROOT
from tests.support.threads import Threads

COMMITS = 200  # to each table
TIMES = 3  # that each of the others has come through on each table, at least
TRIES = {"spark": 1, "delta-rs": 5}  # one after the other; Spark's takes longer than a commit
RATE = 1_000
TABLES = ("raw", "latest", "gold")
FOREIGN = b"foreign"  # key of the rows of others
LIMIT_S = 180


def topology(folder):
    demo = json.loads((ROOT / "deploy" / "demo" / "retail.json").read_text())
    silver, gold = demo["transforms"]["silver"], demo["transforms"]["per_country"]
    silver["inputs"] = ["shop"]
    silver["config"]["schema"] = str(ROOT / "deploy" / "demo" / "event.schema.json")
    gold["config"]["lateness"] = "30s"
    tables = {name: {"table": str(folder / name)} for name in TABLES}
    upsert = {"mode": "upsert"}
    sinks = {
        "raw": {"plugin": "bronze-sink", "inputs": ["shop"], "config": tables["raw"]},
        "latest": {
            "plugin": "delta-sink",
            "inputs": ["shop"],
            "config": tables["latest"] | upsert | {"key": "key"},
        },
        "gold": {"plugin": "delta-sink", "inputs": ["per_country"], "config": tables["gold"] | upsert},
    }
    shop = {"rate": RATE, "event_rate": 40, "partitions": 1}
    document = {
        "pipeline": "races",
        "state": str(folder / "state"),
        "commit.interval": "200ms",
        "sources": {"shop": {"plugin": "generator", "config": shop}},
        "transforms": {"silver": silver, "per_country": gold},
        "sinks": sinks,
    }
    path = folder / "topology.json"
    path.write_text(json.dumps(document))
    return document, path


def foreign_row(table, number):
    """A row of a foreign writer for one of the tables, as a dict; its columns are few."""
    if table == "gold":
        day = datetime.datetime(2001, 1, 1, tzinfo=datetime.timezone.utc)
        return {"window_start": day, "window_end": day, "country": "--", "events": number}
    now = datetime.datetime.now(datetime.timezone.utc)
    return {"key": FOREIGN, "offset": number, "timestamp": now}


def is_foreign(table, row):
    return row["country"] == "--" if table == "gold" else row["key"] == FOREIGN


class Others(Threads):
    """Foreign writers."""

    def __init__(self, folder):
        self.folder = folder
        self.turn = threading.Lock()  # of those that rewrite files
        self.calm = threading.Event()  # nobody of these writes by itself
        self.appended = {name: [] for name in TABLES}
        self.optimized = {(name, by): 0 for name in TABLES for by in TRIES}
        self.lost = dict(self.optimized)
        works = [(name, partial(self._append, name)) for name in TABLES]
        works += [(by, partial(self._optimize, by)) for by in TRIES]
        super().__init__(works)

    def _append(self, name):
        import deltalake

        number = 0
        while not self.done.wait(0.2):
            if self.calm.is_set():
                continue
            table = deltalake.DeltaTable(str(self.folder / name))
            schema = pa.schema(table.schema().to_arrow())
            row = foreign_row(name, number)
            columns = pa.schema([schema.field(column) for column in row])
            try:
                rows = pa.Table.from_pylist([row], schema=columns)
                deltalake.write_deltalake(table, rows, mode="append", schema_mode="merge")
                self.appended[name].append(number)
            except deltalake.exceptions.CommitFailedError:
                pass  # it lost too often: its row is not there
            number += 1

    def _rewrite(self, name, by):
        """How many files it has replaced."""
        import deltalake

        if by == "delta-rs":
            table = deltalake.DeltaTable(str(self.folder / name))
            return table.optimize.compact()["numFilesRemoved"]
        told = readers.spark_session().sql(f"OPTIMIZE delta.`{self.folder / name}`").collect()
        return told[0]["metrics"]["numFilesRemoved"]

    def optimize(self, name, by):
        """True when it came through; it loses against those who remove what it reads."""
        import deltalake

        try:
            removed = self._rewrite(name, by)
        except Exception as error:
            if not isinstance(error, deltalake.exceptions.CommitFailedError) and (
                "Concurrent" not in str(error)
            ):
                raise
            self.lost[name, by] += 1
            return False
        self.optimized[name, by] += removed > 0
        return True

    def optimize_each(self, by):
        """Each table, while nobody else writes to it."""
        self.calm.set()
        with self.turn:
            for name in TABLES:
                while not self.optimize(name, by):
                    pass
        self.calm.clear()

    def _optimize(self, by):
        while not self.done.wait(0.3):
            for name in TABLES:
                for _ in range(TRIES[by]):
                    with self.turn:
                        if self.done.is_set() or self.calm.is_set() or self.optimize(name, by):
                            break

    def rarest(self, *by):
        """How often files were replaced in the table where they were least often, by whom least."""
        return min(n for (_, writer), n in self.optimized.items() if writer in (by or TRIES))


class Logs:
    """Who has written the commits of the tables; an entry is read once."""

    def __init__(self, folder):
        self.folder = folder
        self.ours = {}

    def commits(self, name, ours=False):
        for path in (self.folder / name / "_delta_log").glob("*[0-9].json"):
            if path not in self.ours:
                self.ours[path] = '"engineInfo":"sluice/' in path.read_text()
        found = [own for path, own in self.ours.items() if path.parts[-3] == name]
        return sum(found) if ours else len(found)

    def fewest(self, ours=False):
        return min(self.commits(name, ours) for name in TABLES)


def split(table, rows):
    """(ours, the numbers of the foreign ones)"""
    own = [row for row in rows.to_pylist() if not is_foreign(table, row)]
    number = "events" if table == "gold" else "offset"
    foreign = [row[number] for row in rows.to_pylist() if is_foreign(table, row)]
    return pa.Table.from_pylist(own, schema=rows.schema), sorted(foreign)


def race(process, folder, logs):
    """Until there are enough commits, and everybody has come through often enough. Now and then the
    program stands still for who has come through least: for Spark, whose OPTIMIZE takes longer than a
    commit, and on a busy machine for delta-rs. What they move then the next commits look for."""
    step = COMMITS // (TIMES * len(TRIES))
    with Others(folder) as others:

        def commit_more(wanted):
            def reached():
                return others.faults or logs.fewest() >= wanted

            process.wait_for(reached, LIMIT_S, f"{wanted} commits to each table")

        while others.rarest() < TIMES and not others.faults:
            commit_more(logs.fewest() + step)
            process.signal(signal.SIGSTOP)
            others.optimize_each(min(TRIES, key=others.rarest))
            process.signal(signal.SIGCONT)
        commit_more(max(COMMITS, logs.fewest() + step))
        process.signal(signal.SIGTERM)
        done = process.wait(LIMIT_S)
    assert others.faults == []
    return done, others


def test_commits_that_race_with_appends_and_optimize_lose_and_double_nothing(tmp_path):
    if readers.missing("spark"):
        pytest.skip(readers.missing("spark"))
    readers.spark_session()
    document, path = topology(tmp_path)
    logs = Logs(tmp_path)
    with sluice.Process("run", "--json", path) as process:
        process.wait_for(lambda: logs.fewest(ours=True) > 2, 60, "commits")
        done, others = race(process, tmp_path, logs)
    print(done.log, others.optimized, others.lost, {n: len(v) for n, v in others.appended.items()})
    print({name: (logs.commits(name), logs.commits(name, ours=True)) for name in TABLES})
    assert done.exit_code == 0, done.failed_because()
    assert logs.fewest() >= COMMITS
    assert all(len(rows) >= TIMES for rows in others.appended.values())
    assert all(n >= TIMES for n in others.optimized.values()), (others.optimized, others.lost)
    right(tmp_path, document, others)


def right(folder, document, others):
    rows = {}
    for name in TABLES:
        found = readers.read(folder / name, "delta-rs")
        for reader in ("duckdb", "spark"):
            told = compare.difference(found, readers.read(folder / name, reader))
            assert told is None, f"{name} by {reader}: {told}"
        rows[name], foreign = split(name, found)
        assert foreign == others.appended[name]
    answer = expect_for_topology(rows["raw"], document, folder)
    assert check.bronze(rows["raw"], {0: (0, rows["raw"].num_rows)}) is None
    assert check.gold(answer, "per_country", rows["gold"]) is None
    last = {row["key"]: row for row in sorted(rows["raw"].to_pylist(), key=lambda r: r["offset"])}
    latest = rows["latest"].select(["key", "offset", "value"])
    wanted = [{column: row[column] for column in latest.schema.names} for row in last.values()]
    told = compare.difference(pa.Table.from_pylist(wanted, schema=latest.schema), latest)
    assert told is None, told


def test_open_rows_that_others_moved_while_nothing_ran_are_replaced_where_they_are(tmp_path):
    import deltalake

    document, path = topology(tmp_path)
    shop = document["sources"]["shop"]["config"]
    for count in (3_000, 6_000, 9_000):
        shop |= {"rate": 0, "count": count}
        path.write_text(json.dumps(document))
        sluice.run_until_end(path)
        for name in TABLES:
            deltalake.DeltaTable(str(tmp_path / name)).optimize.compact()
    raw, gold = (readers.read(tmp_path / name, "duckdb") for name in ("raw", "gold"))
    answer = expect_for_topology(raw, document, tmp_path)
    assert check.gold(answer, "per_country", gold) is None


def put_together(table):
    """Actions that remove a file which has gone into a larger one."""
    logs = sorted((table / "_delta_log").glob("*[0-9].json"))
    actions = [json.loads(line) for log in logs for line in log.read_text().splitlines()]
    return [a["remove"] for a in actions if "remove" in a and not a["remove"]["dataChange"]]


def test_small_files_are_put_together_beside_the_commits(tmp_path):
    """The sinks' own compaction, which leaves the rows of open windows alone."""
    document, path = topology(tmp_path)
    document["commit.interval"] = "20ms"
    document["sources"]["shop"]["config"] |= {"rate": 15_000}
    path.write_text(json.dumps(document))
    with sluice.Process("run", "--json", path) as process:
        for name in ("raw", "gold"):
            table = tmp_path / name
            process.wait_for(lambda: len(put_together(table)) >= 32, LIMIT_S, f"{name}, compacted")
        process.signal(signal.SIGTERM)
        done = process.wait(LIMIT_S)
    assert done.exit_code == 0, done.failed_because()
    for name in ("raw", "gold"):
        removed = put_together(tmp_path / name)
        assert not any("sluice.tail" in (remove.get("tags") or {}) for remove in removed)
    raw, gold = (readers.read(tmp_path / name, "duckdb") for name in ("raw", "gold"))
    assert compare.difference(raw, readers.read(tmp_path / "raw", "delta-rs")) is None
    assert check.bronze(raw, {0: (0, raw.num_rows)}) is None
    answer = expect_for_topology(raw, document, tmp_path)
    assert check.gold(answer, "per_country", gold) is None
