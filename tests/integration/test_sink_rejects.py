"""Rows that a table or a file cannot hold: errors.tolerance decides about each, in delta-sink, and
the rest goes on, exactly once, whatever is killed. delta-rs reads the results."""

import json
import signal

import deltalake
import pytest
from deltalake.schema import Field, PrimitiveType, Schema

from tests.integration.test_kafka_rejects import read_all
from tests.lake import readers
from tests.support import sluice
from tests.support.events import START_MS

LIMIT_S = 60
MICROSECONDS_MS = START_MS * 1000  # a producer that takes microseconds for milliseconds
SCHEMA = {
    "type": "object",
    "properties": {
        "id": {"type": "integer"},
        "country": {"type": ["string", "null"]},
        "name": {"type": ["string", "null"]},
    },
    "required": ["id"],
}


def topology(folder, broker, topic, sinks, silver=False):
    document = {
        "pipeline": f"rejects-{topic}",
        "state": "state",
        "commit.interval": "50ms",
        "kafka": {"bootstrap.servers": broker.bootstrap},
        "sources": {"rows": {"plugin": "kafka", "config": {"topics": [topic]}}},
        "sinks": sinks,
    }
    if silver:
        (folder / "schema.json").write_text(json.dumps(SCHEMA))
        config = {"schema": "schema.json"}
        document["transforms"] = {
            "silver": {"plugin": "silver-validate", "inputs": ["rows"], "config": config}
        }
        document["sinks"] = {
            **sinks,
            "bad": {
                "plugin": "file",
                "inputs": ["silver.rejects"],
                "config": {"path": "bad.jsonl"},
            },
        }
    path = folder / "topology.json"
    path.write_text(json.dumps(document))
    return path


def run(path):
    return sluice.run_command("run", "--until-end", "--json", path, limit_s=LIMIT_S)


def sink(inputs, config, plugin="delta-sink", tolerance="all", **more):
    return {
        "plugin": plugin,
        "inputs": [inputs],
        "errors.tolerance": tolerance,
        "config": config,
        **more,
    }


def readers_of(done):
    """Sums over partitions of what each sink's accounts say, which add up for each."""
    sums = {}
    for partition in done.summary["accounts"]:
        for reader in partition["readers"]:
            assert reader["records"] == partition["records"] and reader["in_flight"] == 0
            kept = sums.setdefault(reader["node"], {"rows": 0, "elsewhere": 0, "dropped": 0})
            for name in kept:
                kept[name] += reader[name]
    return sums


def offsets(table):
    return sorted(readers.read(table, "delta-rs")["offset"].to_pylist())


def by_time(table):
    return {"table": table, "partition_by": ["timestamp"]}


def test_a_date_that_no_partition_has(broker, new_topic, tmp_path):
    topic, dead = new_topic(1), new_topic(1)
    bad = {7, 8, 90}
    broker.produce(
        topic,
        [
            {
                "value": b"v%d" % i,
                "key": b"k",
                "headers": [("trace", b"t")],
                "timestamp": MICROSECONDS_MS if i in bad else START_MS,
            }
            for i in range(100)
        ],
    )
    sinks = {
        "table": sink("rows", by_time("lake/table")),
        "quarantine": sink("table.rejects", {"table": "lake/quarantine"}),
        "dead": sink("table.rejects", {"topic": dead, "delivery": "exactly-once"}, "kafka"),
    }
    path = topology(tmp_path, broker, topic, sinks)
    for _ in range(2):  # the second run has nothing to do
        done = run(path)
        assert done.exit_code == 0, done.failed_because()
        assert offsets(tmp_path / "lake" / "table") == [i for i in range(100) if i not in bad]
        assert offsets(tmp_path / "lake" / "quarantine") == sorted(bad)
    table = readers.read(tmp_path / "lake" / "quarantine", "delta-rs")
    rows = table.drop_columns(["timestamp"]).to_pylist()  # which Python's dates do not hold
    assert {(row["reason"], row["path"], row["topic"]) for row in rows} == {
        ("date", "$.timestamp", topic)
    }
    assert "years 1 to 9999" in rows[0]["detail"] and rows[0]["value"] == b"v7"
    letters = read_all(broker, dead)
    assert [m.value() for m in letters] == [b"v7", b"v8", b"v90"]
    headers = dict(letters[0].headers())
    assert headers["trace"] == b"t" and headers["__connect.errors.offset"] == b"7"
    assert headers["__connect.errors.connector.name"] == b"table"
    assert headers["__connect.errors.exception.class.name"] == b"date"


@pytest.fixture
def strict_table(tmp_path):
    """Another writer's table whose columns must have values."""
    fields = [
        Field("id", PrimitiveType("long"), nullable=False),
        Field("country", PrimitiveType("string"), nullable=True),
        Field("name", PrimitiveType("string"), nullable=False),
    ]
    deltalake.DeltaTable.create(
        str(tmp_path / "lake" / "strict"), schema=Schema(fields), partition_by=["country"]
    )
    return tmp_path / "lake" / "strict"


def person(i):
    name = None if i % 10 == 3 else f"n{i}"
    country = "F\0R" if i % 10 == 6 else ["FR", "DE", None][i % 3]
    return {"value": json.dumps({"id": i, "name": name, "country": country}).encode()}


@pytest.mark.parametrize("mode", ["append", "upsert"])
def test_a_table_of_somebody_else_that_demands_values(
    broker, new_topic, tmp_path, strict_table, mode
):
    topic = new_topic(2)
    broker.produce(topic, [person(i) for i in range(200)])
    config = {"table": str(strict_table), "mode": mode}
    if mode == "upsert":
        config["key"] = ["id"]
    sinks = {
        "strict": sink("silver", config),
        "quarantine": sink("strict.rejects", {"table": "lake/quarantine"}),
    }
    path = topology(tmp_path, broker, topic, sinks, silver=True)
    for _ in range(2):
        done = run(path)
        assert done.exit_code == 0, done.failed_because()
        ids = sorted(readers.read(strict_table, "delta-rs")["id"].to_pylist())
        assert ids == [i for i in range(200) if i % 10 not in (3, 6)]
    rows = readers.read(tmp_path / "lake" / "quarantine", "delta-rs").to_pylist()
    found = {json.loads(row["value"])["id"]: (row["reason"], row["path"]) for row in rows}
    assert len(rows) == len(found) == 40
    assert found[3] == ("null", "$.name") and found[6] == ("zero_byte", "$.country")
    sums = readers_of(done)
    assert sums["strict"] == {"rows": 160, "elsewhere": 40, "dropped": 0}
    assert sums["quarantine"] == {"rows": 40, "elsewhere": 160, "dropped": 0}


def test_rejects_that_nobody_reads_are_accounted_for(broker, new_topic, tmp_path, strict_table):
    topic = new_topic(1)
    broker.produce(topic, [person(i) for i in range(20)])
    sinks = {"strict": sink("silver", {"table": str(strict_table)})}
    done = run(topology(tmp_path, broker, topic, sinks, silver=True))
    assert done.exit_code == 0, done.failed_because()
    assert readers_of(done)["strict"] == {"rows": 16, "elsewhere": 0, "dropped": 4}
    assert done.dropped("strict", "rejected and lost") == 4
    assert f"{topic} partition 0 offset 3: $.name: null: found null" in done.log


def test_none_stops_the_sink_at_the_record(broker, new_topic, tmp_path, strict_table):
    topic = new_topic(1)
    broker.produce(topic, [person(i) for i in range(20)])
    sinks = {"strict": sink("silver", {"table": str(strict_table)}, tolerance="none")}
    done = run(topology(tmp_path, broker, topic, sinks, silver=True))
    assert done.exit_code == 1
    failure = done.node("strict")["failure"]
    assert f"{topic} partition 0 offset 3: $.name: null: found null" in failure
    assert '"errors.tolerance" is "none"' in failure


def commits(table):
    return len(list((table / "_delta_log").glob("*.json")))


def test_kills_double_and_lose_neither_rows_nor_rejects(broker, new_topic, tmp_path):
    records, bad_every = 20_000, 13
    topic = new_topic(3)

    def feed(first):
        broker.produce(
            topic,
            (
                {
                    "value": b"%d" % i,
                    "partition": i % 3,
                    "timestamp": MICROSECONDS_MS if i % bad_every == 5 else START_MS,
                }
                for i in range(first, first + records)
            ),
        )

    table, quarantine = tmp_path / "lake" / "table", tmp_path / "lake" / "quarantine"
    sinks = {
        "table": sink("rows", by_time(str(table)), **{"commit.interval": "20ms"}),
        "quarantine": sink("table.rejects", {"table": str(quarantine)}),
    }
    path = topology(tmp_path, broker, topic, sinks)
    killed = (table, quarantine, table)  # at a commit of it, with records left for it
    for n, slower in enumerate(killed):
        feed(n * records)
        there = commits(slower)
        with sluice.Process("run", "--json", path) as process:
            process.wait_for(lambda: commits(slower) > there, LIMIT_S, "a commit")
            process.signal(signal.SIGKILL)
            process.wait(LIMIT_S)
    done = run(path)
    assert done.exit_code == 0, done.failed_because()
    kept, rejected = (
        sorted(int(value) for value in readers.read(place, "delta-rs")["value"].to_pylist())
        for place in (table, quarantine)
    )
    everything = range(len(killed) * records)
    assert rejected == [i for i in everything if i % bad_every == 5]
    assert kept == [i for i in everything if i % bad_every != 5]
    sums = readers_of(done)
    assert sums["table"]["rows"] == sums["quarantine"]["elsewhere"] == len(kept)
    assert sums["quarantine"]["rows"] == sums["table"]["elsewhere"] == len(rejected)


def test_a_reader_that_comes_later_gets_them_and_the_table_nothing(broker, new_topic, tmp_path):
    topic = new_topic(1)
    broker.produce(
        topic,
        [{"value": b"v", "timestamp": MICROSECONDS_MS if i == 4 else START_MS} for i in range(10)],
    )
    table = sink("rows", by_time("lake/table"))
    assert run(topology(tmp_path, broker, topic, {"table": table})).exit_code == 0
    late = sink("table.rejects", {"table": "lake/late"}, start="earliest")
    done = run(topology(tmp_path, broker, topic, {"table": table, "late": late}))
    assert done.exit_code == 0, done.failed_because()
    assert offsets(tmp_path / "lake" / "late") == [4]
    assert offsets(tmp_path / "lake" / "table") == [i for i in range(10) if i != 4]
