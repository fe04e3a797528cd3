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
