"""Records that the kafka sink cannot write, with either delivery: errors.tolerance decides about
them, before anything is handed to the broker."""

import json

import pytest

from tests.support import sluice

LIMIT_S = 60
DELIVERIES = ["at-least-once", "exactly-once"]
TOPIC_BYTES = 2_000


def read_all(broker, topic):
    """Messages of a topic that are committed, partition by partition."""
    return [*broker.messages(topic)]


@pytest.fixture
def run(broker, tmp_path):
    """A function that runs records of a topic through silver (or not) into a kafka sink `out`,
    whose rejects go to a table and a dead-letter topic."""

    def run_with(source, dead, config, tolerance="all", silver=None, more_sinks=None):
        document = {
            "pipeline": f"rejects-{source}",
            "state": "state",
            "commit.interval": "100ms",
            "kafka": {"bootstrap.servers": broker.bootstrap},
            "sources": {"rows": {"plugin": "kafka", "config": {"topics": [source]}}},
            "sinks": {
                "out": {
                    "plugin": "kafka",
                    "inputs": ["rows" if silver is None else "silver"],
                    "errors.tolerance": tolerance,
                    "config": config,
                },
                "dead": {
                    "plugin": "kafka",
                    "inputs": ["out.rejects"],
                    "config": {"topic": dead, "delivery": config["delivery"]},
                },
                "quarantine": {
                    "plugin": "file",
                    "inputs": ["out.rejects"],
                    "config": {"path": "rejects.jsonl"},
                },
                **(more_sinks or {}),
            },
        }
        if silver is not None:
            (tmp_path / "schema.json").write_text(json.dumps(silver))
            document["transforms"] = {
                "silver": {
                    "plugin": "silver-validate",
                    "inputs": ["rows"],
                    "config": {"schema": "schema.json"},
                }
            }
            document["sinks"]["bad"] = {
                "plugin": "file",
                "inputs": ["silver.rejects"],
                "config": {"path": "bad.jsonl"},
            }
        path = tmp_path / "topology.json"
        path.write_text(json.dumps(document))
        return sluice.run_command("run", "--until-end", "--json", path, limit_s=LIMIT_S)

    run_with.folder = tmp_path
    return run_with


def quarantined(run):
    lines = (run.folder / "rejects.jsonl").read_text().splitlines()
    return sorted((json.loads(line) for line in lines), key=lambda row: row["offset"])


TARGETS = {1: None, 3: "", 4: "no topic!", 6: "..", 7: "x" * 250}
SCHEMA = {
    "type": "object",
    "properties": {"id": {"type": "integer"}, "to": {"type": ["string", "null"]}},
}


@pytest.mark.parametrize("delivery", DELIVERIES)
def test_a_row_that_names_no_topic_is_rejected(broker, new_topic, run, delivery):
    source, target, dead = new_topic(1), new_topic(2), new_topic(1)
    rows = [{"id": i, "to": TARGETS.get(i, target)} for i in range(10)]
    broker.produce(source, [{"value": json.dumps(row).encode()} for row in rows])
    config = {"topic_column": "to", "delivery": delivery}
    if delivery == "exactly-once":
        config["positions_topic"] = target
    done = run(source, dead, config, silver=SCHEMA)
    assert done.exit_code == 0, done.failed_because()
    written = sorted(json.loads(message.value())["id"] for message in read_all(broker, target))
    assert written == [i for i in range(10) if i not in TARGETS]
    found = quarantined(run)
    assert [row["offset"] for row in found] == sorted(TARGETS)
    assert {(row["reason"], row["path"]) for row in found} == {("topic", "$.to")}
    assert "found null" in found[0]["detail"] and 'found "no topic!"' in found[2]["detail"]
    letters = read_all(broker, dead)
    assert [dict(m.headers())["__connect.errors.offset"] for m in letters] == [
        str(offset).encode() for offset in sorted(TARGETS)
    ]
    headers = dict(letters[0].headers())
    assert headers["__connect.errors.connector.name"] == b"out"
    assert headers["__connect.errors.exception.class.name"] == b"topic"
    assert headers["__connect.errors.topic"] == source.encode()
    assert done.rows_out("out", "rejects") == len(TARGETS) and done.dropped("out") == 0


@pytest.mark.parametrize("delivery", DELIVERIES)
def test_a_record_that_the_topic_does_not_take_is_rejected(broker, new_topic, run, delivery):
    source, dead = new_topic(1), new_topic(1)
    target = new_topic(1, max_message_bytes=TOPIC_BYTES, cleanup_policy="compact")
    rows = [{"key": b"%d" % i, "value": b"x" * 150} for i in range(200)]
    rows[20]["value"] = b"y" * TOPIC_BYTES  # too large for the topic, not for the client
    rows[21]["headers"] = [("h", b"z" * TOPIC_BYTES)]
    rows[100]["key"] = None  # the topic is compacted
    broker.produce(source, rows)
    done = run(source, dead, {"topic": target, "delivery": delivery})
    assert done.exit_code == 0, done.failed_because()
    written = {int(message.key()) for message in read_all(broker, target)}
    assert written == set(range(200)) - {20, 21, 100}
    found = quarantined(run)
    assert [(row["offset"], row["reason"]) for row in found] == [
        (20, "too_large"),
        (21, "too_large"),
        (100, "key"),
    ]
    letters = read_all(broker, dead)
    assert [message.value() for message in letters] == [rows[i]["value"] for i in (20, 21, 100)]
    assert dict(letters[1].headers())["h"] == b"z" * TOPIC_BYTES


@pytest.mark.parametrize("delivery", DELIVERIES)
def test_none_stops_the_sink_at_the_record_and_says_where(broker, new_topic, run, delivery):
    source, dead = new_topic(1), new_topic(1)
    target = new_topic(1, max_message_bytes=TOPIC_BYTES)
    broker.produce(source, [{"value": b"z" * (TOPIC_BYTES if i == 7 else 10)} for i in range(10)])
    done = run(source, dead, {"topic": target, "delivery": delivery}, tolerance="none")
    assert done.exit_code == 1
    failure = done.node("out")["failure"]
    assert f"{source} partition 0 offset 7: $: too_large: " in failure
    assert read_all(broker, dead) == []
    assert '"errors.tolerance" of "out" is "none"' in done.log


def test_what_was_rejected_comes_again_for_a_reader_that_lacks_it(broker, new_topic, run):
    source, target, dead = new_topic(1), new_topic(1, max_message_bytes=TOPIC_BYTES), new_topic(1)
    broker.produce(source, [{"value": b"z" * (TOPIC_BYTES if i == 7 else 10)} for i in range(10)])
    config = {"topic": target, "delivery": "exactly-once"}
    assert run(source, dead, config).exit_code == 0
    late = {
        "plugin": "file",
        "inputs": ["out.rejects"],
        "start": "earliest",
        "config": {"path": "late.jsonl"},
    }
    done = run(source, dead, config, more_sinks={"late": late})
    assert done.exit_code == 0, done.failed_because()
    assert [json.loads(line)["offset"] for line in open(run.folder / "late.jsonl")] == [7]
    assert len(read_all(broker, target)) == 9 and len(read_all(broker, dead)) == 1
