"""The writing half of the admin endpoint: orders for nodes, connectors, the topology, its history."""

import http.client
import json
import threading

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


def test_offsets_are_changed_by_command(lines):
    running, file = lines

    def command(*options):
        url = f"http://127.0.0.1:{running.port}"
        return sluice.run_command("offsets", "out", "--admin", url, *options, limit_s=30)

    assert "STOPPED" in command("--to", "events/0=5").log
    order(running, "out", "stop")
    wait_for(lambda: state(running, "out") == "STOPPED", 30, "STOPPED")
    done = command("--to", "events/0=5", "--json")
    assert done.exit_code == 0 and done.summary["offsets"] == [at(5)], done.log
    for options in (("--to", "events=5"), ("--to", "events/0=5", "--reset")):
        assert command(*options).exit_code == 2
    assert command("--reset").output.split() == ["TOPIC", "PARTITION", "NEXT", "OFFSET"]


def test_positions_that_lie_with_data_cannot_be_altered(running):
    order(running, "bronze", "stop")
    wait_for(lambda: state(running, "bronze") == "STOPPED", 30, "STOPPED")
    for method, body in (("PATCH", [at(5)]), ("DELETE", None)):
        assert "lie with its data" in offsets(running, method, body, 400, "bronze")
        assert "keeps no positions" in offsets(running, method, body, 400, "gen")
        offsets(running, method, body, 404, "none")


def change(running, method, path, body, status=200):
    got, _, answer = running.ask(path, method, None if body is None else json.dumps(body))
    assert got == status, answer
    return json.loads(answer) if answer else None


def actions(plan):
    return {n["name"]: n["action"] for n in plan["nodes"] if n["action"] != "kept"}


def history(running):
    return [(v["number"], v["what"], v["result"]) for v in running.json("/v1/topology/history")]


def slower(running, interval):
    document = running.json("/v1/topology")
    document["sinks"]["bronze"]["commit.interval"] = interval
    return document


def test_a_change_is_planned_applied_kept_and_taken_back(running):
    before = running.file.read_text()
    document = slower(running, "2s")
    planned = change(running, "PUT", "/v1/topology?dry_run=true", document)
    assert actions(planned["plan"]) == {"bronze": "changed"} and planned["applied"] is False
    assert running.file.read_text() == before and history(running) == []
    done = change(running, "PUT", "/v1/topology", document)
    assert done["applied"] and done["version"] == 2 and done["plan"] == planned["plan"]
    # the file is what was put, byte by byte
    assert running.file.read_text() == json.dumps(document)
    assert running.json("/v1/topology") == document
    assert history(running) == [
        (2, "PUT /v1/topology", "applied"),
        (1, "found in the file", "applied"),
    ]
    whole = running.json("/v1/topology/history/2")
    assert whole["document"] == document and actions(whole["plan"]) == {"bronze": "changed"}
    patch = {"sinks": {"bronze": {"commit.interval": None, "buffer": "8MiB"}}}
    done = change(running, "PATCH", "/v1/topology", patch)
    assert done["version"] == 3
    assert json.loads(running.file.read_text())["sinks"]["bronze"]["buffer"] == "8MiB"
    planned = change(running, "POST", "/v1/topology/history/1/rollback?dry_run=true", None)
    assert actions(planned["plan"]) == {"bronze": "changed"}
    done = change(running, "POST", "/v1/topology/history/1/rollback", None)
    assert done["version"] == 4 and json.loads(running.file.read_text()) == json.loads(before)
    # what is so already is no change
    assert change(running, "PUT", "/v1/topology", json.loads(running.file.read_text()))["applied"]
    change(running, "POST", "/v1/topology/history/9/rollback", None, 404)
    log = running.process.text(1)
    assert "audit: somebody at 127.0.0.1: PUT /v1/topology: changed bronze (a dry run): 200" in log
    assert "audit: somebody at 127.0.0.1: PUT /v1/topology: changed bronze: 200" in log
    before = rows(running, "bronze")
    wait_for(lambda: rows(running, "bronze") > before, 30, "rows")


def test_what_is_not_good_changes_nothing(running):
    before, document = running.file.read_text(), running.json("/v1/topology")
    wrong = slower(running, "2 apples")
    answer = change(running, "PUT", "/v1/topology", wrong, 400)["message"]
    assert "$.sinks.bronze['commit.interval']: found \"2 apples\"" in answer
    answer = change(running, "PATCH", "/v1/topology", {"sinks": None}, 400)["message"]
    assert "$.sinks" in answer
    # a file that somebody has changed meanwhile is not overwritten
    running.file.write_text(before + "\n")
    answer = change(running, "PUT", "/v1/topology", slower(running, "2s"), 409)["message"]
    assert "has been changed since it was loaded" in answer
    running.file.write_text(before)
    # nor does a change take effect that a restart would lose
    running.file.rename(running.file.with_suffix(".away"))
    answer = change(running, "PUT", "/v1/topology", slower(running, "2s"), 500)["message"]
    assert "topology.json cannot be found" in answer
    running.file.with_suffix(".away").rename(running.file)
    assert running.file.read_text() == before and running.json("/v1/topology") == document
    assert history(running) == []
    assert [p.name for p in running.file.parent.glob("topology.json*")] == ["topology.json"]


def test_secrets_stay_hidden_and_in_place(tmp_path, monkeypatch):
    monkeypatch.setenv("SASL_USER", "somebody")
    secret = "correct-horse"
    kafka = {"bootstrap.servers": "127.0.0.1:1", "sasl.password": secret, "sasl.username": "${env:SASL_USER}"}
    path = topology(tmp_path, state=str(tmp_path / "state"), kafka=kafka)
    with sluice.Process("run", path) as process:
        running = Running(process)
        wait_for(lambda: running.ask("/ready")[0] == 200, 30, "readiness")
        document = slower(running, "2s")
        assert document["kafka"]["sasl.password"] == "***"
        assert document["kafka"]["sasl.username"] == "${env:SASL_USER}"
        change(running, "PUT", "/v1/topology", document)
        written_now = json.loads(path.read_text())
        assert written_now["kafka"] == kafka
        assert written_now["sinks"]["bronze"]["commit.interval"] == "2s"
        document["kafka"]["ssl.key.password"] = "***"
        answer = change(running, "PUT", "/v1/topology", document, 400)["message"]
        assert "$.kafka['ssl.key.password']: \"***\" stands for the secret that is there" in answer
        stored = "".join(p.read_text() for p in (tmp_path / "state").rglob("history/*.json"))
        assert stored and secret not in stored and secret not in process.text(1)
        process.signal(15)
        assert process.wait(30).exit_code == 0


def test_connectors_come_and_go(running):
    config = {"connector.class": "delta-sink", "inputs": "silver", "table": str(running.file.parent / "new")}
    new = {"name": "new", "config": config, "initial_state": "PAUSED"}
    status, headers, answer = running.ask("/connectors", "POST", json.dumps(new))
    assert status == 201 and headers["Location"] == "/connectors/new", answer
    assert json.loads(answer)["config"].items() >= config.items()
    wait_for(lambda: state(running, "new") == "PAUSED", 30, "PAUSED")
    assert rows(running, "new") == 0
    assert "already exists" in change(running, "POST", "/connectors", new, 409)["message"]
    order(running, "new", "resume")
    wait_for(lambda: rows(running, "new") > 0, 30, "rows")
    patched = change(running, "PATCH", "/connectors/new/config", {"commit.interval": "300ms"})
    assert patched["config"]["commit.interval"] == "300ms"
    put = change(running, "PUT", "/connectors/new/config", {**config, "buffer": "4MiB"})
    assert put["config"]["buffer"] == "4MiB" and "commit.interval" not in put["config"]
    answer = change(running, "DELETE", "/connectors/silver", None, 400)["message"]
    assert answer.startswith("silver is read by ")
    change(running, "DELETE", "/connectors/new", None, 204)
    assert "new" not in running.json("/connectors")
    assert "new" not in json.loads(running.file.read_text())["sinks"]
    change(running, "DELETE", "/connectors/new", None, 404)
    # the table is another node's now, and what has failed leaves no trace
    before = running.file.read_text()
    answer = change(running, "PUT", "/connectors/other/config", config, 400)["message"]
    assert "has positions of another node" in answer and running.file.read_text() == before
    assert history(running)[0][1:] == ("PUT /connectors/other/config", answer)
    config["table"] += "-er"
    status, _, answer = running.ask("/connectors/other/config", "PUT", json.dumps(config))
    assert status == 201, answer
    before = rows(running, "other")
    wait_for(lambda: rows(running, "other") > before, 30, "rows")


def test_a_restart_runs_what_was_accepted(tmp_path):
    path = topology(tmp_path, state=str(tmp_path / "state"))
    for run in range(2):
        with sluice.Process("run", path, "--set", "retry.timeout=1s") as process:
            running = Running(process)
            wait_for(lambda: running.ask("/ready")[0] == 200, 30, "readiness")
            if run == 0:
                document = slower(running, "2s")
                assert "retry.timeout" not in document
                change(running, "PUT", "/v1/topology", document)
            assert running.json("/connectors/bronze/config")["commit.interval"] == "2s"
            process.signal(15)
            assert process.wait(30).exit_code == 0


def test_a_run_that_ends_lets_nobody_wait(tmp_path):
    path = topology(tmp_path, state=str(tmp_path / "state"))
    with sluice.Process("run", path) as process:
        running = Running(process)
        wait_for(lambda: running.ask("/ready")[0] == 200, 30, "readiness")
        document = json.dumps(slower(running, "2s"))
        found = []

        def put():
            try:
                found.append(running.ask("/v1/topology", "PUT", document)[0])
            except (OSError, http.client.HTTPException):
                found.append(None)  # the connection was cut

        asking = threading.Thread(target=put)
        asking.start()
        process.signal(15)
        asking.join(60)
        assert process.wait(60).exit_code == 0, process.text(1)[-4000:]
        assert found and found[0] in (200, 409, 503, None)
        # whatever came of it, the file is whole
        assert json.loads(path.read_text())["pipeline"] == "admin-test"
