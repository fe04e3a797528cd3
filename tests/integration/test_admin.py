"""The admin endpoint of a running sluice: health, readiness, metrics, and the reading half of Kafka
Connect's API."""

import http.client
import json
import re
import socket

import pytest

from tests.support import sluice
from tests.support.servers import ROOT, wait_for

SAMPLE = re.compile(r'^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{[^}]*\})? -?[0-9.e+]+$')


class Running:
    def __init__(self, process):
        self.process = process
        wait_for(lambda: self._found(), 30, "the endpoint's address")
        self.port = int(self._found().group(1))

    def _found(self):
        return re.search(r"admin: http://127\.0\.0\.1:(\d+)", self.process.text(1))

    def ask(self, path, method="GET", body=None, headers=None):
        """(status, headers, body)"""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read().decode()
        finally:
            connection.close()

    def json(self, path, status=200):
        got, headers, body = self.ask(path)
        assert got == status, body
        assert headers["Content-Type"] == "application/json"
        return json.loads(body)


def topology(folder, **more):
    document = {
        "pipeline": "admin-test",
        "admin": {"listen": "127.0.0.1:0"},
        "sources": {"gen": {"plugin": "generator", "config": {"rate": 2000}}},
        "transforms": {
            "silver": {
                "plugin": "silver-validate",
                "inputs": ["gen"],
                "config": {"schema": str(ROOT / "deploy" / "demo" / "event.schema.json")},
            }
        },
        "sinks": {
            "bronze": {
                "plugin": "bronze-sink",
                "inputs": ["gen"],
                "config": {"table": str(folder / "bronze")},
            },
            "good": {
                "plugin": "delta-sink",
                "inputs": ["silver"],
                "config": {"table": str(folder / "silver")},
            },
            "bad": {
                "plugin": "delta-sink",
                "inputs": ["silver.rejects"],
                "config": {"table": str(folder / "bad")},
            },
        },
        **more,
    }
    path = folder / "topology.json"
    path.write_text(json.dumps(document))
    return path


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    folder = tmp_path_factory.mktemp("admin")
    with sluice.Process("run", topology(folder)) as process:
        running = Running(process)
        wait_for(lambda: running.ask("/ready")[0] == 200, 30, "readiness")
        yield running
        process.signal(15)
        assert process.wait(30).exit_code == 0


def test_health_and_readiness(running):
    assert running.json("/health")["status"] == "healthy"
    assert running.json("/ready") == {"not_ready": [], "draining": False, "ready": True}
    status, _, body = running.ask("/health", "HEAD")
    assert status == 200 and body == ""


def test_metrics_are_well_formed_and_move(running):
    def rows():
        status, headers, text = running.ask("/metrics")
        assert status == 200 and headers["Content-Type"].startswith("text/plain; version=0.0.4")
        return text, int(re.search(r'^sluice_input_rows_total\{node="bronze",.*\} (\d+)$', text, re.M).group(1))

    text, before = rows()
    families, samples = {}, set()
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            assert name not in families, f"{name} stands twice"
            families[name] = kind
        elif not line.startswith("#"):
            found = SAMPLE.match(line)
            assert found, line
            assert line.rsplit(" ", 1)[0] not in samples, line
            samples.add(line.rsplit(" ", 1)[0])
            kind = families[found.group(1)]
            assert (kind == "counter") == found.group(1).endswith("_total"), line
    wait_for(lambda: rows()[1] > before, 30, "more rows")


def test_status_and_topology(running):
    status = running.json("/v1/status")
    assert [n["name"] for n in status["nodes"]] == running.json("/connectors")
    shown = running.json("/v1/topology?effective=true")
    assert shown["sinks"]["bad"]["inputs"] == ["silver.rejects"]
    assert shown["sources"]["gen"]["config"]["rate"] == 2000


def test_as_kafka_connect(running):
    root = running.json("/")
    assert [int(part) for part in root["version"].split(".")[:2]]
    names = running.json("/connectors")
    assert sorted(names) == ["bad", "bronze", "gen", "good", "silver"]
    both = running.json("/connectors?expand=status&expand=info")
    assert both["bronze"]["info"] == running.json("/connectors/bronze")
    assert both["bronze"]["status"] == running.json("/connectors/bronze/status")
    info = both["bronze"]["info"]
    assert info["type"] == "sink" and info["config"]["connector.class"] == "bronze-sink"
    assert all(isinstance(value, str) for value in info["config"].values())
    assert running.json("/connectors/bronze/config") == info["config"]
    status = both["bronze"]["status"]
    assert status["connector"]["state"] == "RUNNING"
    assert [task["id"] for task in status["tasks"]] == list(range(len(info["tasks"])))
    tasks = running.json("/connectors/bronze/tasks")
    assert tasks[0]["id"] == {"connector": "bronze", "task": 0}
    assert running.json("/connectors/bronze/tasks/0/status")["state"] == "RUNNING"
    plugins = {p["class"]: p for p in running.json("/connector-plugins") if p["type"] == "sink"}
    assert {"bronze-sink", "delta-sink", "kafka", "powerbi-sink"} <= set(plugins)
    options = {o["name"]: o for o in running.json("/connector-plugins/bronze-sink/config")}
    assert options["table"]["required"] and options["table"]["importance"] == "HIGH"


def test_topics_and_offsets(running):
    topics = running.json("/connectors/gen/topics")["gen"]["topics"]
    assert len(topics) == 1
    assert running.json("/connectors/silver/topics") == {"silver": {"topics": topics}}

    def offsets(node):
        found = running.json(f"/connectors/{node}/offsets")["offsets"]
        assert all(o["partition"]["kafka_topic"] == topics[0] for o in found)
        return {o["partition"]["kafka_partition"]: o["offset"]["kafka_offset"] for o in found}

    before = wait_for(lambda: offsets("bronze"), 30, "a first commit")
    assert offsets("silver") == {}, "it keeps no position"
    wait_for(lambda: sum(offsets("bronze").values()) > sum(before.values()), 30, "more commits")
    of_all, of_source = [offsets(n) for n in ("bronze", "good", "bad")], offsets("gen")
    assert sum(of_source.values()) >= min(sum(o.values()) for o in of_all)


def restarts(running, node):
    (found,) = [n for n in running.json("/v1/status")["nodes"] if n["name"] == node]
    return found["restarts"]


@pytest.mark.parametrize(
    "query, status", [("", 204), ("?includeTasks=true&onlyFailed=false", 202)]
)
def test_restart(running, query, status):
    before = restarts(running, "bronze")
    got, _, body = running.ask(f"/connectors/bronze/restart{query}", "POST")
    assert got == status
    if status == 204:
        assert body == ""
    else:
        said = json.loads(body)
        assert said["name"] == "bronze" and said["connector"]["state"] == "RESTARTING"
        assert {task["state"] for task in said["tasks"]} == {"RESTARTING"}
    wait_for(lambda: restarts(running, "bronze") > before, 30, "the restart's end")
    assert running.json("/connectors/bronze/status")["connector"]["state"] == "RUNNING"
    rows = running.json("/connectors/bronze/offsets")
    wait_for(lambda: running.json("/connectors/bronze/offsets") != rows, 30, "commits after it")


def test_restart_of_a_task_and_of_what_has_not_failed(running):
    before = restarts(running, "good")
    assert running.ask("/connectors/good/tasks/0/restart", "POST")[0] == 204
    wait_for(lambda: restarts(running, "good") > before, 30, "the restart's end")
    got, _, body = running.ask("/connectors/good/restart?onlyFailed=true", "POST")
    assert got == 202 and json.loads(body)["connector"]["state"] == "RUNNING"
    assert restarts(running, "good") == before + 1
    for path, status in [
        ("/connectors/none/restart", 404),
        ("/connectors/good/tasks/99/restart", 404),
        ("/connectors/good/restart?onlyFailed=perhaps", 400),
    ]:
        got, _, body = running.ask(path, "POST")
        assert got == status and json.loads(body)["error_code"] == status


def test_a_failed_node_is_restarted(tmp_path):
    table = tmp_path / "bronze"
    away = tmp_path / "away"
    path = topology(tmp_path, **{"retry.timeout": "300ms", "commit.interval": "100ms"})
    with sluice.Process("run", path) as process:
        running = Running(process)
        state = lambda: running.json("/connectors/bronze/status")["connector"]
        wait_for(lambda: running.json("/connectors/bronze/offsets")["offsets"], 30, "a commit")
        table.rename(away)
        table.write_text("a file where the table's folder was")
        wait_for(lambda: state()["state"] == "FAILED", 30, "the failure")
        assert "a file stands where a folder is to be" in state()["trace"]
        assert running.json("/ready", 503)["not_ready"][0]["node"] == "bronze"
        table.unlink()
        away.rename(table)
        got, _, _ = running.ask("/connectors/bronze/restart?includeTasks=true&onlyFailed=true", "POST")
        assert got == 202
        wait_for(lambda: state()["state"] == "RUNNING", 30, "the restart's end")
        wait_for(lambda: running.ask("/ready")[0] == 200, 30, "readiness")
        process.signal(15)
        process.wait(30)


def test_log_level(running):
    def put(name, body):
        got, _, text = running.ask(f"/admin/loggers/{name}", "PUT", body)
        return got, json.loads(text)

    assert running.json("/admin/loggers") == {"root": {"level": "INFO", "last_modified": None}}
    assert put("root", '{"level": "error"}') == (200, ["root"])
    assert running.json("/admin/loggers/root")["level"] == "ERROR"
    lines, before = running.process.text(1), restarts(running, "bad")
    assert running.ask("/connectors/bad/restart", "POST")[0] == 204
    wait_for(lambda: restarts(running, "bad") > before, 30, "the restart's end")
    assert running.process.text(1) == lines
    assert put("root", '{"level": "INFO"}') == (200, ["root"])
    assert running.process.text(1) != lines
    for body in ["", "[]", "{", '{"level": 3}', '{"level": "LOUD"}', '{"level": "INFO",}', "{}"]:
        status, answer = put("root", body)
        assert status == 400 and answer["error_code"] == 400, body
    assert put("org.apache", '{"level": "INFO"}')[0] == 404
    running.json("/admin/loggers/org.apache", 404)


def validate(running, plugin, config, status=200):
    path = f"/connector-plugins/{plugin}/config/validate"
    got, _, body = running.ask(path, "PUT", json.dumps(config))
    assert got == status, body
    return json.loads(body)


def test_validation_of_a_config(running):
    config = running.json("/connectors/bronze/config")
    answer = validate(running, "bronze-sink", config)
    assert answer["name"] == "bronze-sink" and answer["groups"] == ["sink"]
    values = {c["value"]["name"]: c["value"] for c in answer["configs"]}
    assert answer["error_count"] == 0, [v for v in values.values() if v["errors"]]
    assert values["table"]["value"].endswith("/bronze")
    for c in answer["configs"]:
        assert c["definition"]["name"] == c["value"]["name"]


def test_validation_finds_each_fault(running):
    answer = validate(running, "bronze-sink", {"tabel": "x", "partition_by": "date"})
    faults = {c["value"]["name"]: c for c in answer["configs"] if c["value"]["errors"]}
    assert "tabel" in faults and faults["tabel"]["definition"] is None
    assert answer["error_count"] >= 1
    answer = validate(running, "generator", {"rate": "fast", "count": "10"})
    values = {c["value"]["name"]: c["value"] for c in answer["configs"]}
    assert values["rate"]["value"] == "fast" and 'found "fast"' in values["rate"]["errors"][0]
    assert values["count"]["value"] == "10" and not values["count"]["errors"]
    assert answer["error_count"] == 1


def test_validation_says_that_the_lanes_are_the_tasks(running):
    def tasks(answer):
        (found,) = [c for c in answer["configs"] if c["value"]["name"] == "tasks.max"]
        return found

    lanes = running.json("/v1/status")["lanes"]
    found = tasks(validate(running, "generator", {"tasks.max": "8"}))
    assert "without effect" in found["definition"]["documentation"]
    assert found["value"]["value"] == "8" and found["value"]["recommended_values"] == [str(lanes)]
    assert found["value"]["errors"] == []
    wrong = validate(running, "generator", {"tasks.max": "none"})
    assert tasks(wrong)["value"]["errors"] == ["allowed is an integer from 1"]
    assert wrong["error_count"] == 1


def test_validation_shows_no_secret_and_follows_no_reference(running, tmp_path):
    """A kafka source's password, and a reference to a file of the machine."""
    (tmp_path / "key").write_text("file-content-1234")
    config = {
        "topics": "a,b",
        "sasl.password": "hunter2-hunter2",
        "client.id": "${file:%s}" % (tmp_path / "key"),
    }
    answer = validate(running, "kafka", config)
    text = json.dumps(answer)
    assert "hunter2" not in text and "file-content" not in text
    values = {c["value"]["name"]: c["value"]["value"] for c in answer["configs"]}
    assert json.loads(values["topics"]) == ["a", "b"]


def test_validation_of_what_is_no_config(running):
    assert validate(running, "none", {}, 404)["error_code"] == 404
    assert validate(running, "bronze-sink", [], 400)["error_code"] == 400
    wrong = validate(running, "bronze-sink", {"connector.class": "kafka"}, 400)
    assert "the path says bronze-sink" in wrong["message"]


def test_errors_have_connects_form(running):
    for path, words in [
        ("/connectors/none", "Connector none not found"),
        ("/connectors/bronze/tasks/99/status", "No status found"),
        ("/connector-plugins/none/config", "none"),
        ("/nothing/at/all", "Not Found"),
        ("/" + "a/" * 20, "Not Found"),
        ("/" + "a" * 3000, "Not Found"),
        ("/..%2f..%2fetc%2fpasswd", "Not Found"),
    ]:
        body = running.json(path, 404)
        assert body["error_code"] == 404 and words in body["message"]
    status, headers, body = running.ask("/connectors", "DELETE")
    assert status == 405 and headers["Allow"] == "GET, POST" and json.loads(body)["error_code"] == 405


def test_hostile_requests(running):
    """Oversize, malformed and half requests are answered or cut, and the endpoint goes on."""
    status, _, body = running.ask("/connectors", "POST", b"x" * (2 << 20))
    assert status in (405, 413)
    for raw in [b"\x00\xff\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"G" * 100_000, b"GET /he"]:
        with socket.create_connection(("127.0.0.1", running.port), timeout=10) as connection:
            try:
                connection.sendall(raw)
            except OSError:
                pass
    idle = [socket.create_connection(("127.0.0.1", running.port)) for _ in range(40)]
    try:
        assert running.json("/health")["status"] == "healthy"
    finally:
        for connection in idle:
            connection.close()


@pytest.mark.parametrize(
    "listen, sentence",
    [
        ("0.0.0.0:0", "nobody is asked who he is"),
        ("127.0.0.1", "allowed is ADDRESS:PORT"),
        ("127.0.0.1:99999", "allowed is ADDRESS:PORT"),
    ],
)
def test_addresses(tmp_path, listen, sentence):
    run = sluice.run_command("run", topology(tmp_path, admin={"listen": listen}), limit_s=30)
    assert run.exit_code == 2 and sentence in run.log


def test_a_taken_port(running, tmp_path):
    listen = f"127.0.0.1:{running.port}"
    run = sluice.run_command("run", topology(tmp_path, admin={"listen": listen}), limit_s=30)
    assert run.exit_code == 1 and "cannot listen" in run.log


def test_readiness_says_what_a_start_fails_of(tmp_path):
    moody = {"path": str(tmp_path / "rows"), "at": "start", "how": "retriable", "times": 1_000_000}
    file = topology(tmp_path, sinks={"moody": {"plugin": "moody", "inputs": ["gen"], "config": moody}})
    plugins = sluice.BINARY.parent / "tests" / "plugins"
    with sluice.Process("run", "--plugin-path", plugins, file) as process:
        running = Running(process)

        def reasons():
            status, _, body = running.ask("/ready")
            assert status == 503
            return {found["node"]: found["why"] for found in json.loads(body)["not_ready"]}

        wait_for(lambda: "tried again: in no mood" in reasons()["moody"], 30, "a start that failed")
        wait_for(lambda: [*reasons()] == ["moody"], 30, "the others to go on")
        status, _, body = running.ask("/connectors/moody", "DELETE")
        assert status == 400 and "at least one sink" in body, body
        config = json.dumps({"connector.class": "stdout", "inputs": "gen"})
        status, _, body = running.ask("/connectors/moody/config", "PUT", config)
        assert status == 409 and "being restarted" in body, body  # Connect's clients ask again
        process.signal(15)
        assert process.wait(30).exit_code == 1
