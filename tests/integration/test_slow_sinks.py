"""A sink that stands still: with `detach` the others come to the end of the topic without it, and it
has every row once it goes on; with `block` all wait for it, and nothing is lost.

The sinks are tests/plugins/gate.c: nothing is committed while a file exists. The acceptance run
(SLUICE_BLOCKED_S=120, `make slow-sinks`) measures what the others lose while it stands.
"""

import array
import itertools
import json
import os
import signal
import time
import urllib.request

import deltalake
import numpy as np
import pytest

from tests.support import events, sluice
from tests.support.medallion import Medallion
from tests.support.servers import ROOT

RECORDS = 60_000
LIMIT_S = 120
BUFFER = 256 * 1024
BLOCKED_S = int(os.environ.get("SLUICE_BLOCKED_S", "0"))
RATE = int(os.environ.get("SLUICE_SLOW_RATE", "30000"))
MIB = 1024 * 1024
PLUGINS = os.environ.get("SLUICE_TEST_PLUGINS", ROOT / "build" / "tests" / "plugins")


class Stage:
    """A medallion without deduplication, and two sinks behind gates: behind silver, behind gold."""

    def __init__(self, folder, broker, topic, when_full, buffer=BUFFER):
        self.medallion = Medallion(folder, broker.bootstrap, topic)
        document = self.medallion.document
        document["memory.max"] = "256MiB"
        document["lanes"] = 2
        document["transforms"]["silver"]["config"].pop("deduplicate")
        document["sinks"]["final"] = {
            "plugin": "delta-sink",
            "inputs": ["per_country"],
            "config": {"table": f"file://{folder}/lake/final"},
        }
        for name, source in (("slow_silver", "silver"), ("slow_gold", "per_country")):
            document["sinks"][name] = {
                "plugin": "gate",
                "inputs": [{"from": source, "buffer": buffer, "when_full": when_full}],
                "config": {"path": str(folder / f"{name}.jsonl"), "gate": str(folder / "gate")},
            }
        self.folder = folder
        self.path = self.medallion.write()

    def close(self):
        (self.folder / "gate").touch()

    def open(self):
        (self.folder / "gate").unlink()

    def run(self, *arguments):
        return sluice.Process("run", "--json", "--plugin-path", PLUGINS, *arguments, self.path)

    def rows(self, name):
        """Rows of a table, by its log."""
        folder = self.folder / "lake" / "final" if name == "final" else self.medallion.table(name)
        if not any((folder / "_delta_log").glob("*.json")):
            return 0
        return sum(deltalake.DeltaTable(str(folder)).get_add_actions(flatten=True)["num_records"].to_pylist())

    def count(self, name):
        """Lines so far."""
        with open(self.folder / f"{name}.jsonl", "rb") as file:
            return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(MIB), b""))

    def keys(self, name, *columns):
        """A number for each row, made of those columns; rows are many."""
        with open(self.folder / f"{name}.jsonl", encoding="utf-8") as file:
            rows = (json.loads(line) for line in file)
            return array.array("q", (hash(tuple(row.get(c) for c in columns)) for row in rows))

    def assert_complete(self):
        for name, twin, *columns in (
            ("slow_silver", "silver_tbl", "_partition", "_offset"),
            ("slow_gold", "final", "window_start", "event_type", "country", "device_id"),
        ):
            keys = self.keys(name, *columns)
            assert len(keys) == self.rows(twin) > 0
            assert len(np.unique(keys)) == len(keys), f"{name} has rows twice"


def input_of(run, name):
    return run.node(name)["inputs"][0]


@pytest.fixture
def topic(broker, new_topic):
    name = new_topic(4)
    assert broker.produce(name, events.records(events.Feed(records=RECORDS))) == RECORDS
    return name


def test_detached_sinks_hold_nobody_up(broker, topic, tmp_path):
    stage = Stage(tmp_path, broker, topic, "detach")
    stage.close()
    with stage.run("--until-end") as process:
        process.wait_for(
            lambda: stage.rows("bronze") == RECORDS
            and stage.rows("silver_tbl") + stage.rows("quarantine") == RECORDS,
            LIMIT_S,
            "bronze and silver at the end of the topic",
        )
        assert not (tmp_path / "slow_silver.jsonl").exists()
        stage.open()
        run = process.wait(LIMIT_S)
    assert run.exit_code == 0, run.failed_because()
    stage.assert_complete()
    assert input_of(run, "slow_silver")["buffer"]["detached_times"] >= 1
    assert run.rows_out("events") == RECORDS, "what is read again is not counted again"
    # a second run finds nothing to do, but may say once more how open windows stand
    before = (tmp_path / "slow_gold.jsonl").read_bytes()
    again = sluice.run_until_end(stage.path, "--plugin-path", PLUGINS)
    assert again.rows_in("slow_silver") == 0
    assert (tmp_path / "slow_gold.jsonl").read_bytes() == before


def test_a_killed_run_goes_on_for_detached_sinks(broker, topic, tmp_path):
    """Nobody wrote down that they were apart: they begin where they had come to."""
    stage = Stage(tmp_path, broker, topic, "detach")
    stage.close()
    with stage.run() as process:
        process.wait_for(lambda: stage.rows("bronze") == RECORDS, LIMIT_S, "bronze at the end")
    stage.open()
    run = sluice.run_until_end(stage.path, "--plugin-path", PLUGINS)
    stage.assert_complete()
    assert run.rows_in("bronze") == 0


def test_a_blocking_sink_stops_everything_and_loses_nothing(broker, topic, tmp_path):
    stage = Stage(tmp_path, broker, topic, "block")
    stage.close()
    with stage.run("--until-end") as process:
        process.wait_for(
            lambda: "slow_silver holds back events" in process.text(1), LIMIT_S, "word of it"
        )
        assert stage.rows("bronze") < RECORDS
        stage.open()
        run = process.wait(LIMIT_S)
    assert run.exit_code == 0, run.failed_because()
    stage.assert_complete()
    assert stage.rows("bronze") == RECORDS
    assert input_of(run, "slow_silver")["buffer"]["full_us"] > 0


# ---- the acceptance run ----


def feeder(folder, broker, topic, seconds):
    """A second sluice that feeds the topic, `seconds` long at RATE events a second."""
    document = {
        "pipeline": f"feeder-{topic}",
        "admin": {"listen": "127.0.0.1:0"},
        "kafka": {"bootstrap.servers": broker.bootstrap},
        "sources": {
            "shop": {
                "plugin": "generator",
                "config": {
                    "partitions": 4, "rate": RATE, "count": RATE * seconds, "event_rate": RATE // 10,
                    "late": 0, "invalid": 0, "duplicates": 0,
                },
            }
        },
        "sinks": {"out": {"plugin": "kafka", "inputs": ["shop"], "config": {"topic": topic}}},
    }  # fmt: skip
    path = folder / "feeder.json"
    path.write_text(json.dumps(document))
    return sluice.Process("run", "--until-end", "--json", path)


class Watch:
    """What the run says of itself: rows taken, and the most that the data path has held."""

    def __init__(self, process):
        process.wait_for(lambda: "http://127.0.0.1:" in process.text(1), LIMIT_S, "its port")
        text = process.text(1)
        port = text[text.index("http://127.0.0.1:") :].split(":")[2]
        self.url = "http://127.0.0.1:" + "".join(itertools.takewhile(str.isdigit, port)) + "/metrics"
        self.most_bytes = 0

    def read(self):
        with urllib.request.urlopen(self.url, timeout=30) as answer:
            lines = answer.read().decode().splitlines()
        values = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        self.most_bytes = max(self.most_bytes, int(values["sluice_memory_path_bytes"]))
        return values

    def rows(self):
        """Taken by bronze and silver_tbl so far, and the moment."""
        values = self.read()
        rows = {
            name: sum(
                float(v) for k, v in values.items()
                if k.startswith("sluice_input_rows_total{") and f'node="{name}"' in k
            )
            for name in ("bronze", "silver_tbl", "slow_silver", "slow_gold", "final")
        }  # fmt: skip
        return rows, time.monotonic()

    def over(self, seconds):
        """Rows a second over so long a time, watching the memory."""
        before, began = self.rows()
        while time.monotonic() - began < seconds:
            time.sleep(0.5)
            self.read()
        after, ended = self.rows()
        return {n: (after[n] - before[n]) / (ended - began) for n in after}


@pytest.mark.skipif(BLOCKED_S == 0, reason="SLUICE_BLOCKED_S is not set")
def test_acceptance(broker, new_topic, tmp_path):
    """Sinks that stand still for SLUICE_BLOCKED_S at full input: what the others lose by it."""
    topic = new_topic(4)
    stage = Stage(tmp_path, broker, topic, "detach", buffer=8 * MIB)
    document = stage.medallion.document
    document["admin"] = {"listen": "127.0.0.1:0"}
    gold = document["transforms"]["per_country"]["config"]
    gold.update(group_by=["device_id", "event_type", "country"], lateness="2s", updates=False, window={"tumbling": "5s"})
    gold["outbox.max"] = "2GiB"
    stage.medallion.write()
    calm_s = max(BLOCKED_S // 4, 5)
    with feeder(tmp_path, broker, topic, BLOCKED_S + 2 * calm_s + 20) as feed:
        with stage.run() as process:
            watch = Watch(process)
            process.wait_for(lambda: stage.rows("final") > 0, LIMIT_S, "first results")
            calm = watch.over(calm_s)
            stage.close()
            blocked_at, _ = watch.rows()
            blocked = watch.over(BLOCKED_S)
            release, _ = watch.rows()
            stage.open()
            assert feed.wait(LIMIT_S + BLOCKED_S).exit_code == 0
            process.wait_for(
                lambda: stage.rows("bronze") == RATE * (BLOCKED_S + 2 * calm_s + 20)
                and stage.count("slow_silver") == stage.rows("silver_tbl")
                and stage.count("slow_gold") == stage.rows("final"),
                LIMIT_S + BLOCKED_S,
                "everything everywhere",
            )
            process.signal(signal.SIGTERM)
            run = process.wait(LIMIT_S)
    assert run.exit_code == 0, run.failed_because()
    stage.assert_complete()
    kept_out = {}
    for name, of in (("slow_silver", "silver"), ("slow_gold", "per_country")):
        source, twin = run.node(of), "silver_tbl" if of == "silver" else "final"
        row_bytes = source["outputs"][0]["memory_bytes"] / source["outputs"][0]["rows"]
        kept_out[name] = (release[twin] - blocked_at[name]) * row_bytes / 8 / MIB
        print(f"{name}: {kept_out[name]:.0f} times its buffer kept out")
    for name in ("bronze", "silver_tbl"):
        print(f"{name}: {calm[name]:,.0f} rows/s before, {blocked[name]:,.0f} while they stand")
    most, resident = watch.most_bytes / MIB, run.peak_rss_bytes / MIB
    print(f"at most {most:.0f} MiB on the data path, {resident:.0f} MiB resident")
    assert min(kept_out.values()) >= 20
    assert all(input_of(run, name)["buffer"]["detached_times"] >= 1 for name in kept_out)
    assert all(blocked[name] >= 0.95 * calm[name] for name in ("bronze", "silver_tbl"))
    assert most <= 256
