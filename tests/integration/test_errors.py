"""Records at fault: what errors.tolerance and errors.log do with them, in a transform and in a sink."""

import json

import pytest

from tests.support import sluice
from tests.support.events import START_MS

PLUGINS = sluice.BINARY.parent / "tests" / "plugins"
RECORDS = 1000
LINE_BYTES = 20  # offsets of a file are bytes
LOST = "rejected and lost"


@pytest.fixture
def run(tmp_path):
    """A function that runs RECORDS records of one partition through silver, whose schema refuses
    some of them: with keys of the node, further nodes, and keys of the top."""
    (tmp_path / "in").mkdir()
    records = ({"id": str(i) if is_bad(i) else i} for i in range(RECORDS))
    lines = "".join(json.dumps(record).ljust(LINE_BYTES - 1) + "\n" for record in records)
    (tmp_path / "in" / "a.jsonl").write_text(lines)
    schema = {"type": "object", "properties": {"id": {"type": "integer"}}}
    (tmp_path / "schema.json").write_text(json.dumps(schema))

    def run_with(silver=None, sinks=None, transforms=None, **top):
        document = {
            "pipeline": "p",
            "state": "state",
            "lanes": 1,
            "sources": {"lines": {"plugin": "file", "config": {"path": "in/*.jsonl"}}},
            **top,
            "transforms": {
                "silver": {
                    "plugin": "silver-validate",
                    "inputs": ["lines"],
                    "config": {"schema": "schema.json"},
                    **(silver or {}),
                },
                **(transforms or {}),
            },
            "sinks": {
                "rows": {"plugin": "file", "inputs": ["silver"], "config": {"path": "rows.jsonl"}},
                **(sinks or {}),
            },
        }
        path = tmp_path / "topology.json"
        path.write_text(json.dumps(document))
        return sluice.run_command(
            "run", "--until-end", "--json", "--plugin-path", PLUGINS, path, limit_s=60
        )

    run_with.folder = tmp_path
    return run_with


def is_bad(number):
    return number % 7 == 3


BAD = sum(map(is_bad, range(RECORDS)))
FIRST = f"in/a.jsonl partition 0 offset {3 * LINE_BYTES}: $.id: type: found "
QUARANTINE = {
    "quarantine": {
        "plugin": "file",
        "inputs": ["silver.rejects"],
        "config": {"path": "rejects.jsonl"},
    }
}


def read_lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_rejects_that_are_read_leave_on_their_output(run):
    done = run(sinks=QUARANTINE)
    assert done.exit_code == 0, done.failed_because()
    rows = read_lines(run.folder / "rejects.jsonl")
    assert [row["offset"] for row in rows] == [i * LINE_BYTES for i in range(RECORDS) if is_bad(i)]
    assert (rows[0]["reason"], rows[0]["path"]) == ("type", "$.id")
    assert rows[0]["topic"].endswith("in/a.jsonl")
    assert rows[0]["key"] is None and rows[0]["headers"] == []
    assert done.dropped("silver") == 0 and done.rows_out("silver", "rejects") == BAD
    assert "rejected" not in done.log


def test_rejects_that_nobody_reads_are_counted_and_said(run):
    done = run()
    assert done.exit_code == 0, done.failed_because()
    assert done.dropped("silver", LOST) == BAD
    assert done.rows_out("silver") == RECORDS - BAD
    assert 'nothing reads "silver.rejects"' in done.log
    (line,) = [line for line in done.log.splitlines() if LOST in line]
    assert FIRST in line


def test_none_stops_the_node_at_the_first_record_and_says_where(run):
    done = run({"errors.tolerance": "none"}, QUARANTINE)
    assert done.exit_code == 1
    failure = done.node("silver")["failure"]
    assert FIRST in failure
    assert '"errors.tolerance" is "none"' in failure
    assert not (run.folder / "rejects.jsonl").exists()


def test_the_top_says_it_for_nodes_that_do_not(run):
    done = run(sinks=QUARANTINE, **{"errors.tolerance": "none"})
    assert done.exit_code == 1
    done = run({"errors.tolerance": "all"}, QUARANTINE, **{"errors.tolerance": "none"})
    assert done.exit_code == 0, done.failed_because()
    assert len(read_lines(run.folder / "rejects.jsonl")) == BAD


def test_a_stopped_node_goes_on_where_it_stopped_once_it_may(run):
    assert run({"errors.tolerance": "none"}, QUARANTINE).exit_code == 1
    assert run(None, QUARANTINE).exit_code == 0
    ids = [row["id"] for row in read_lines(run.folder / "rows.jsonl")]
    assert ids == [i for i in range(RECORDS) if not is_bad(i)]
    assert len(read_lines(run.folder / "rejects.jsonl")) == BAD


def test_the_log_names_records_but_not_all_of_a_flood(run):
    done = run({"errors.log.enable": True, "errors.log.include.messages": True}, QUARANTINE)
    lines = [line for line in done.log.splitlines() if "record rejected: " in line]
    assert FIRST in lines[0]
    assert 'key null; value "{"id": "3"}' in lines[0]
    assert 20 <= len(lines) < BAD
    assert len(read_lines(run.folder / "rejects.jsonl")) == BAD


@pytest.mark.parametrize("tolerance", ["all", None])
def test_a_sink_that_cannot_take_a_record(run, tolerance):
    keys = {} if tolerance is None else {"errors.tolerance": tolerance}
    picky = {"plugin": "picky", "inputs": ["lines"], "config": {"every": 100 * LINE_BYTES}, **keys}
    done = run(sinks={**QUARANTINE, "picky": picky})
    if tolerance is None:  # nothing is lost unless that was asked for
        assert done.exit_code == 1
        assert "in/a.jsonl partition 0 offset 0: $: picked" in done.node("picky")["failure"]
        return
    assert done.exit_code == 0, done.failed_because()
    assert done.dropped("picky", LOST) == RECORDS // 100
    assert "in/a.jsonl partition 0 offset 0: $: picked: not to my taste" in done.log


def test_a_record_that_a_plugin_does_not_name_stops_its_node_in_any_case(run):
    config = {"every": 100 * LINE_BYTES, "wrongly": True}
    picky = {"plugin": "picky", "inputs": ["lines"], "config": config, "errors.tolerance": "all"}
    done = run(sinks={**QUARANTINE, "picky": picky})
    assert done.exit_code == 1
    failure = done.node("picky")["failure"]
    assert "in/a.jsonl partition 0 offsets 0 to " in failure
    assert '"errors.tolerance" does not apply): not to my taste' in failure


def test_what_a_sink_rejects_is_read_as_that_of_a_transform_is(run):
    picky = {
        "plugin": "picky",
        "inputs": ["lines"],
        "config": {"every": 100 * LINE_BYTES},
        "errors.tolerance": "all",
    }
    not_taken = {"plugin": "file", "inputs": ["picky.rejects"], "config": {"path": "not.jsonl"}}
    done = run(sinks={**QUARANTINE, "picky": picky, "not": not_taken})
    assert done.exit_code == 0, done.failed_because()
    rows = read_lines(run.folder / "not.jsonl")
    assert [row["offset"] for row in rows] == [i * LINE_BYTES for i in range(0, RECORDS, 100)]
    assert (rows[0]["reason"], rows[0]["detail"]) == ("picked", "not to my taste")
    assert done.dropped("picky") == 0 and done.rows_out("picky", "rejects") == RECORDS // 100
    assert LOST not in done.log


def test_what_a_sink_rejects_comes_again_for_a_reader_that_lacks_it(run):
    picky = {
        "plugin": "picky",
        "inputs": ["lines"],
        "config": {"every": 100 * LINE_BYTES},
        "errors.tolerance": "all",
    }
    assert run(sinks={**QUARANTINE, "picky": picky}).exit_code == 0
    late = {
        "plugin": "file",
        "inputs": ["picky.rejects"],
        "config": {"path": "late.jsonl"},
        "start": "earliest",
    }
    done = run(sinks={**QUARANTINE, "picky": picky, "late": late})
    assert done.exit_code == 0, done.failed_because()
    rows = read_lines(run.folder / "late.jsonl")
    assert [row["offset"] for row in rows] == [i * LINE_BYTES for i in range(0, RECORDS, 100)]


def test_a_plugin_of_the_sdk_alone_has_an_output_of_rejects(run):
    picky = {"plugin": "picky", "inputs": ["lines"], "config": {"every": 100 * LINE_BYTES}}
    sinks = {
        **QUARANTINE,
        "kept": {"plugin": "file", "inputs": ["picky"], "config": {"path": "kept.jsonl"}},
        "not": {"plugin": "file", "inputs": ["picky.rejects"], "config": {"path": "not.jsonl"}},
    }
    done = run(sinks=sinks, transforms={"picky": picky})
    assert done.exit_code == 0, done.failed_because()
    rejected = read_lines(run.folder / "not.jsonl")
    assert [row["offset"] for row in rejected] == list(range(0, RECORDS * LINE_BYTES, 100 * LINE_BYTES))
    assert rejected[0]["reason"] == "picked" and rejected[0]["detail"] == "not to my taste"
    assert len(read_lines(run.folder / "kept.jsonl")) == RECORDS - RECORDS // 100


def test_dead_letters_are_the_records_with_connects_headers(broker, new_topic, run):
    given, dead = new_topic(2), new_topic(1)
    records = [
        {
            "partition": i % 2,
            "key": b"k%d" % i,
            "value": b'{"id":"no"}' if i < 4 else None if i == 4 else b'{"id":%d}' % i,
            "timestamp": START_MS + i,
            "headers": [("trace", b"t%d" % i)] if i != 2 else [],
        }
        for i in range(20)
    ]
    broker.produce(given, records)
    letters = {"plugin": "kafka", "inputs": ["silver.rejects"], "config": {"topic": dead}}
    kafka = {"bootstrap.servers": broker.bootstrap, "security.protocol": "plaintext"}
    sources = {"lines": {"plugin": "kafka", "config": {"topics": [given]}}}
    done = run(sinks={"letters": letters}, sources=sources, kafka=kafka)
    assert done.exit_code == 0, done.failed_because()
    found = {message.key(): message for message in read_topic(broker, dead)}
    assert sorted(found) == [record["key"] for record in records[:5]]
    for i, record in enumerate(records[:5]):
        message = found[record["key"]]
        assert (message.value(), message.timestamp()[1]) == (record["value"], record["timestamp"])
        n = len(record["headers"])
        headers = message.headers()
        assert headers[:n] == record["headers"]
        errors = {name.removeprefix("__connect.errors."): text for name, text in headers[n:]}
        assert errors.pop("task.id") == b"0"
        reason, text = (
            (b"type", b'$.id: found "no", allowed type: integer')
            if i < 4
            else (b"null_value", b"$: the record has no value")
        )
        assert errors == {
            "topic": given.encode(),
            "partition": b"%d" % (i % 2),
            "offset": b"%d" % (i // 2),
            "connector.name": b"silver",
            "stage": b"TRANSFORMATION",
            "class.name": b"silver-validate",
            "exception.class.name": reason,
            "exception.message": text,
            "exception.stacktrace": reason + b": " + text,
        }


def read_topic(broker, topic):
    """All messages that the topic's one partition holds now."""
    return [*broker.messages(topic)]
