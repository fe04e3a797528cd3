"""bronze-sink in whole runs of the program, fed by the generator: every record once, in each format,
partitioned by time, across stops, kills and files that a crash has left unwritten."""

import base64
import collections
import datetime as dt
import json
import os
import random
import signal
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.lake import readers
from tests.support import sluice

PARTITIONS = 3
FORMATS = ["delta", "parquet", "jsonl", "raw"]


class Pipeline:
    """A topology in a folder of its own: generator to bronze."""

    def __init__(self, folder, **config):
        self.folder = folder
        self.config = {"table": "files", **config}
        self.source = {"partitions": PARTITIONS, "late": 0.2}
        self.interval = "1s"
        self.state = "state"

    def write(self, count):
        sink = {"plugin": "bronze-sink", "inputs": ["events"], "config": self.config}
        sink["commit.interval"] = self.interval
        source = {"plugin": "generator", "config": {**self.source, "count": count}}
        topology = {"pipeline": "p", "lanes": 2, "sources": {"events": source}}
        topology["sinks"] = {"bronze": sink}
        if self.state is not None:
            topology["state"] = self.state
        path = self.folder / "topology.json"
        path.write_text(json.dumps(topology))
        return path

    def run(self, count):
        return sluice.run_until_end(self.write(count))

    def fails(self, count):
        done = sluice.run_command("run", "--until-end", "--json", self.write(count))
        assert done.exit_code != 0
        return done.failed_because()

    @property
    def files(self):
        return self.folder / "files"

    def data_files(self):
        """What readers take for data: not the log, nor what a kill has left half written."""
        found = (f for f in self.files.rglob("*") if f.is_file())
        return sorted(f for f in found if "_delta_log" not in f.parts and f.name[0] not in "._")

    def recorded_files(self):
        """Those of the newest record: a crash may leave any of them unwritten."""
        record = max((self.folder / "state").rglob("closes/*"))
        lines = [line.split("\t") for line in record.read_text().splitlines()]
        return [self.files / line[4] for line in lines if line[0] == "file"]

    def rows(self):
        """(partition, offset, value) of each record, in the order of files."""
        if self.config.get("format", "delta") == "delta":
            table = readers.read(self.files, "pyarrow")
            return list(zip(*(table[c].to_pylist() for c in ("partition", "offset", "value"))))
        return [row for file in self.data_files() for row in rows_of(file)]


def rows_of(file):
    if file.suffix == ".parquet":
        table = pq.read_table(file, partitioning=None)
        return list(zip(*(table[c].to_pylist() for c in ("partition", "offset", "value"))))
    text = pa.input_stream(str(file), compression="zstd" if file.suffix == ".zst" else None).read()
    lines = text.splitlines()
    if ".jsonl" in file.name:
        records = [json.loads(line) for line in lines]
        return [(r["partition"], r["offset"], base64.b64decode(r["value"])) for r in records]
    return [(None, None, line) for line in lines]


def every_record_once(rows, count):
    share = [count // PARTITIONS + (p < count % PARTITIONS) for p in range(PARTITIONS)]
    expected = {(p, o) for p in range(PARTITIONS) for o in range(share[p])}
    seen = collections.Counter((p, o) for p, o, _ in rows)
    assert max(seen.values()) == 1, "a record is there twice"
    assert set(seen) == expected


@pytest.fixture(scope="module")
def values(tmp_path_factory):
    """What the generator makes: (partition, offset) to value."""
    pipeline = Pipeline(tmp_path_factory.mktemp("values"))
    pipeline.run(30000)
    return {(p, o): v for p, o, v in pipeline.rows()}


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("compression", ["zstd", "none"])
def test_every_record_once_with_its_bytes(format_, compression, values, tmp_path):
    pipeline = Pipeline(tmp_path, format=format_, compression=compression)
    done = pipeline.run(20000)
    assert done.rows_in("bronze") == 20000
    pipeline.run(30000)
    rows = pipeline.rows()
    if format_ == "raw":
        assert collections.Counter(v for _, _, v in rows) == collections.Counter(values.values())
    else:
        every_record_once(rows, 30000)
        assert {(p, o): v for p, o, v in rows} == values


def test_the_delta_table_reads_the_same_everywhere(tmp_path):
    pipeline = Pipeline(tmp_path, partition_by="event_hour")
    pipeline.run(3000)
    names = readers.available()
    tables = [readers.read(pipeline.files, n).sort_by([("partition", "ascending"), ("offset", "ascending")]) for n in names]
    wanted = {"value", "key", "headers", "topic", "partition", "offset", "timestamp", "ingested_at"}
    for table in tables:
        assert set(table.column_names) == wanted | {"event_date", "event_hour"}
        assert table.num_rows == 3000
        assert table["value"].to_pylist() == tables[0]["value"].to_pylist()
        assert set(table["topic"].to_pylist()) == {"events"}


@pytest.mark.parametrize("format_", ["delta", "parquet"])
def test_partitions_follow_the_record_time(format_, tmp_path):
    pipeline = Pipeline(tmp_path, format=format_, partition_by="event_hour")
    pipeline.source.update(event_rate=1, max_skew="1d")  # 30,000 of them last eight hours
    pipeline.run(30000)
    folders = {f.parent.relative_to(pipeline.files) for f in pipeline.data_files()}
    assert len(folders) > 8
    rows = 0
    for file in pipeline.data_files():
        parts = dict(p.split("=") for p in file.parent.relative_to(pipeline.files).parts)
        times = pq.read_table(file, partitioning=None)["timestamp"].to_pylist()
        rows += len(times)
        assert {t.strftime("%Y-%m-%d") for t in times} == {parts["event_date"]}
        assert {t.hour for t in times} == {int(parts["event_hour"])}
    assert rows == 30000


def test_ingest_time(tmp_path):
    before = dt.datetime.now(dt.timezone.utc)
    pipeline = Pipeline(tmp_path, partition_by="ingest_date")
    pipeline.run(1000)
    table = readers.read(pipeline.files, "pyarrow")
    times = table["ingested_at"].to_pylist()
    assert before <= min(times) and max(times) <= dt.datetime.now(dt.timezone.utc)
    assert {t.date() for t in times} == set(table["ingest_date"].to_pylist())


@pytest.mark.parametrize("format_", FORMATS[:3])
def test_kills_lose_and_double_nothing(format_, tmp_path):
    rng = random.Random(format_)
    pipeline = Pipeline(tmp_path, format=format_, partition_by="event_hour")
    pipeline.interval = "20ms"
    pipeline.source.update(rate=60000)
    topology = pipeline.write(60000)
    for _ in range(5):
        files = len(pipeline.data_files())
        wanted = files + rng.randint(1, 6)
        with sluice.Process("run", "--until-end", "--json", topology) as process:
            process.wait_for(
                lambda: process.ended() or len(pipeline.data_files()) >= wanted, 60, "more files"
            )
            if not process.ended():
                process.signal(signal.SIGKILL)
            process.wait(60)
    pipeline.source.pop("rate")
    pipeline.run(60000)
    every_record_once(pipeline.rows(), 60000)


# ---- plain files: what a crash leaves between the record and the files ----


@pytest.mark.parametrize("format_", ["parquet", "jsonl"])
@pytest.mark.parametrize("left", ["none", "one", "some"])
def test_recorded_files_that_are_missing_are_made_again(format_, left, tmp_path):
    pipeline = Pipeline(tmp_path, format=format_, partition_by="event_hour")
    pipeline.source.update(event_rate=1, max_skew="1d")  # several hours in one close
    pipeline.interval = "60s"
    pipeline.run(20000)
    files = pipeline.recorded_files()
    assert len(files) > PARTITIONS
    before = {f: rows_of(f) for f in files}
    gone = {"none": files, "one": files[:1], "some": random.Random(1).sample(files, len(files) // 2)}
    for file in gone[left]:
        file.unlink()
    pipeline.run(25000)
    assert {f: rows_of(f) for f in files} == before
    every_record_once(pipeline.rows(), 25000)
    pipeline.run(25000)
    every_record_once(pipeline.rows(), 25000)


def test_missing_files_need_the_settings_they_were_recorded_with(tmp_path):
    pipeline = Pipeline(tmp_path, format="parquet")
    pipeline.run(3000)
    pipeline.recorded_files()[0].unlink()
    pipeline.config["compression"] = "none"
    why = pipeline.fails(3000)
    assert "recorded (parquet zstd none), not as the topology says now (parquet none none)" in why
    pipeline.config["compression"] = "zstd"
    pipeline.run(3000)
    every_record_once(pipeline.rows(), 3000)


def test_files_without_their_record_are_refused(tmp_path):
    pipeline = Pipeline(tmp_path, format="parquet")
    pipeline.run(300)
    pipeline.state = "other"
    assert "holds files, and the state store has no record of them" in pipeline.fails(300)


def test_what_killed_processes_left_goes_at_a_start(tmp_path):
    """Unfinished files of nobody: by their name, and a day old."""
    pipeline = Pipeline(tmp_path, format="jsonl", partition_by="event_date")
    pipeline.run(300)
    folder = pipeline.data_files()[0].parent
    names = (".sluice-tmp-1-1-1", ".sluice-tmp-1-1-2", ".mine", "sluice-tmp-1-1-1")
    old, young, *others = (folder / name for name in names)
    for file in (old, young, *others):
        file.write_text("half")
    yesterday = time.time() - 25 * 60 * 60
    for file in (old, *others):
        os.utime(file, (yesterday, yesterday))
    pipeline.source.update(rate=100)
    with sluice.Process("run", "--json", pipeline.write(1_000_000)) as process:
        process.wait_for(lambda: not old.exists(), 60, "the old unfinished file gone")
        process.signal(signal.SIGTERM)
        assert process.wait(60).exit_code == 0
    assert all(file.exists() for file in (young, *others))


@pytest.mark.parametrize("damage", ["sluice-closes\t2\n", "sluice-closes\t1\nposition\tx\tk\n"])
def test_a_record_that_is_not_ours_is_refused(damage, tmp_path):
    pipeline = Pipeline(tmp_path, format="parquet")
    pipeline.run(300)
    (record,) = (tmp_path / "state").rglob("closes/*")
    record.write_text(damage)
    assert "the record of closed files" in pipeline.fails(300)


# ---- settings ----


@pytest.mark.parametrize(
    "config,message",
    [
        ({"format": "parquet", "partition_by": "ingest_date"}, "plain files are made again after a crash"),
        ({"format": "jsonl", "compression": "snappy"}, "files of lines are compressed as zstd or none"),
        ({"format": "orc"}, 'found "orc"'),
    ],
)
def test_bad_settings(config, message, tmp_path):
    done = sluice.run_command("validate", Pipeline(tmp_path, **config).write(1))
    assert done.exit_code == 2
    assert message in done.output + done.log


def test_plain_files_need_a_state_store(tmp_path):
    pipeline = Pipeline(tmp_path, format="parquet")
    pipeline.state = None
    assert 'set "state" at the top of the topology' in pipeline.fails(1)
