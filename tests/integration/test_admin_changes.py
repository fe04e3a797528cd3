"""The writing half of the admin endpoint: orders for nodes, connectors, the topology, its history."""

import json

import pytest

from tests.integration.test_admin import Running, topology
from tests.support import sluice
from tests.support.servers import wait_for


@pytest.fixture
def running(tmp_path):
    path = topology(tmp_path, state=str(tmp_path / "state"))
    with sluice.Process("run", path) as process:
        running = Running(process)
        running.file = path
        wait_for(lambda: running.ask("/ready")[0] == 200, 30, "readiness")
        yield running
        process.signal(15)
        assert process.wait(30).exit_code == 0, process.text(1)[-4000:]


def state(running, node):
    return running.json(f"/connectors/{node}/status")["connector"]["state"]


def rows(running, node):
    status = running.json("/v1/status")
    return sum(i["rows"] for n in status["nodes"] if n["name"] == node for i in n["inputs"])


def order(running, node, what, status=202):
    got, _, body = running.ask(f"/connectors/{node}/{what}", "PUT")
    assert got == status, body


def test_pause_stop_and_resume(running):
    for what, then in (("pause", "PAUSED"), ("stop", "STOPPED")):
        order(running, "good", what)
        wait_for(lambda: state(running, "good") == then, 30, then)
        tasks = running.json("/connectors/good/status")["tasks"]
        assert {t["state"] for t in tasks} == {then}
        assert running.ask("/ready")[0] == 200
        here, there = rows(running, "good"), rows(running, "bronze")
        wait_for(lambda: rows(running, "bronze") > there + 1000, 30, "the others' rows")
        assert rows(running, "good") == here
    order(running, "good", "resume")
    wait_for(lambda: state(running, "good") == "RUNNING", 30, "RUNNING")
    before = rows(running, "good")
    wait_for(lambda: rows(running, "good") > before, 30, "its own rows")
    order(running, "none", "pause", 404)


@pytest.fixture
def lines(tmp_path):
    """A running sluice with a sink whose positions the host keeps, and the lines it has written."""
    path = topology(tmp_path, state=str(tmp_path / "state"))
    document = json.loads(path.read_text())
    file = {"path": str(tmp_path / "out.json"), "raw": "record"}
    document["sinks"]["out"] = {"plugin": "file", "inputs": ["gen"], "config": file}
    path.write_text(json.dumps(document))
    with sluice.Process("run", path) as process:
        running = Running(process)
        wait_for(lambda: running.json("/connectors/out/offsets")["offsets"] != [], 30, "positions")
        yield running, tmp_path / "out.json"
        process.signal(15)
        assert process.wait(30).exit_code == 0, process.text(1)[-4000:]


def offsets(running, method, body=None, status=200, node="out"):
    body = None if body is None else json.dumps({"offsets": body})
    got, _, answer = running.ask(f"/connectors/{node}/offsets", method, body)
    assert got == status, answer
    return json.loads(answer)["message"]


def at(offset, topic="events", partition=0):
    where = {"kafka_topic": topic, "kafka_partition": partition}
    return {"partition": where, "offset": None if offset is None else {"kafka_offset": offset}}


def written(file):
    return [json.loads(line)["offset"] for line in file.read_text().splitlines() if line.endswith("}")]


def test_offsets_are_altered_and_reset(lines):
    running, file = lines
    assert "STOPPED" in offsets(running, "PATCH", [at(5)], 400)
    order(running, "out", "stop")
    wait_for(lambda: state(running, "out") == "STOPPED", 30, "STOPPED")
    (durable,) = running.json("/connectors/out/offsets")["offsets"]
    assert durable["offset"]["kafka_offset"] == written(file)[-1] + 1
    assert "no position of other" in offsets(running, "PATCH", [at(5, "other")], 400)
    assert "an offset is" in offsets(running, "PATCH", [{}], 400)
    assert "altered" in offsets(running, "PATCH", [at(5)])
    assert running.json("/connectors/out/offsets")["offsets"] == [at(5)]
    before = len(written(file))
    order(running, "out", "resume")
    wait_for(lambda: len(written(file)) > before, 30, "rows")
    assert written(file)[before] == 5
    order(running, "out", "stop")
    wait_for(lambda: state(running, "out") == "STOPPED", 30, "STOPPED")
    before = len(written(file))
    assert "reset" in offsets(running, "DELETE")
    assert running.json("/connectors/out/offsets") == {"offsets": []}
    order(running, "out", "resume")
    wait_for(lambda: len(written(file)) > before, 30, "rows")
    assert written(file)[before] == 0


def test_positions_that_lie_with_data_cannot_be_altered(running):
    order(running, "bronze", "stop")
    wait_for(lambda: state(running, "bronze") == "STOPPED", 30, "STOPPED")
    for method, body in (("PATCH", [at(5)]), ("DELETE", None)):
        assert "lie with its data" in offsets(running, method, body, 400, "bronze")
        assert "keeps no positions" in offsets(running, method, body, 400, "gen")
        offsets(running, method, body, 404, "none")
