"""Clients that were made for Kafka Connect, against sluice, unchanged.

kafka-connect-py is the library itself. kcctl is a native program that no package registry has: its
requests are replayed here as its interface (org.kcctl.service.KafkaConnectApi) and its commands make
them, paths, queries, bodies and retries after a 409 alike.
"""

import http.client
import json
import time

import pytest
import requests

from tests.integration.test_admin import Running, topology
from tests.support import sluice
from tests.support.servers import wait_for

kafka_connect = pytest.importorskip("kafka_connect")


@pytest.fixture(scope="module")
def running(tmp_path_factory, broker):
    folder = tmp_path_factory.mktemp("clients")
    path = topology(
        folder, state=str(folder / "state"), kafka={"bootstrap.servers": broker.bootstrap}
    )
    with sluice.Process("run", path) as process:
        running = Running(process)
        running.folder = folder
        running.url = f"http://127.0.0.1:{running.port}"
        wait_for(lambda: running.ask("/ready")[0] == 200, 30, "readiness")
        yield running
        process.signal(15)
        assert process.wait(60).exit_code == 0, process.text(1)[-4000:]


def sink(running, name, topic):
    return {
        "connector.class": "bronze-sink",
        "tasks.max": "1",
        "topics": topic,
        "table": str(running.folder / name),
        "errors.tolerance": "all",
    }


def durable(running, name):
    offsets = running.json(f"/connectors/{name}/offsets")["offsets"]
    return sum(o["offset"]["kafka_offset"] for o in offsets)


def fill(broker, new_topic, records=20):
    topic = new_topic(2)
    broker.produce(topic, [{"value": b"%d" % i, "partition": i % 2} for i in range(records)])
    return topic


def test_the_python_client(running, broker, new_topic):
    topic = fill(broker, new_topic)
    client = kafka_connect.KafkaConnect(running.url)
    status = lambda: client.get_connector_status("one")["connector"]["state"]  # noqa: E731
    assert int(client.get_cluster_info()["version"].split(".")[0]) >= 2
    assert "bronze-sink" in [p["class"] for p in client.list_connector_plugins()]
    config = sink(running, "one", topic)
    made = client.create_connector({"name": "one", "config": config})
    assert made["name"] == "one" and made["type"] == "sink" and config.items() - {("tasks.max", "1")} <= made["config"].items()
    told = "tasks.max 1 is without effect" in running.process.text(1)
    assert told == (running.json("/v1/status")["lanes"] > 1)
    assert "one" in client.list_connectors()
    assert client.list_connectors(expand="status")["one"]["status"]["connector"]["state"] == "RUNNING"
    wait_for(lambda: durable(running, "one") == 20, 60, "the topic's rows")
    assert client.list_connector_topics("one") == {"one": {"topics": [topic]}}
    tasks = client.list_connector_tasks("one")
    assert client.get_connector_task_status("one", tasks[-1]["id"]["task"])["state"] == "RUNNING"
    client.pause_connector("one")
    wait_for(lambda: status() == "PAUSED", 30, "PAUSED")
    client.resume_connector("one")
    wait_for(lambda: status() == "RUNNING", 30, "RUNNING")
    client.restart_connector("one")
    client.restart_connector("one", include_tasks=True, only_failed=True)
    wait_for(lambda: status() == "RUNNING", 30, "RUNNING")
    client.restart_connector_task("one", 0)
    wait_for(lambda: status() == "RUNNING", 30, "RUNNING")
    client.stop_connector("one")
    wait_for(lambda: status() == "STOPPED", 30, "STOPPED")
    client.resume_connector("one")
    wait_for(lambda: status() == "RUNNING", 30, "RUNNING")
    changed = {**client.get_connector_config("one"), "commit.interval": "200ms"}
    assert client.update_connector("one", changed)["config"] == changed
    broker.produce(topic, [{"value": b"more", "partition": 0}])
    wait_for(lambda: durable(running, "one") == 21, 60, "one more row")
    client.reset_connector_topics("one")
    client.delete_connector("one")
    assert "one" not in client.list_connectors() and "one-topics" not in client.list_connectors()
    with pytest.raises(requests.HTTPError):
        client.delete_connector("one")


class Refused(Exception):
    pass


class Kcctl:
    """The requests of kcctl's KafkaConnectApi, under the commands that make them."""

    def __init__(self, port):
        self.port = port

    def ask(self, method, path, body=None):
        began = time.monotonic()
        while True:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
            headers = {"Accept": "application/json", "Content-Type": "application/json"}
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            text = answer.read().decode()
            connection.close()
            # @Retry(delay = 100, maxDuration = 30_000, retryOn = KafkaConnectConflictException)
            if answer.status != 409 or time.monotonic() - began > 30:
                break
            time.sleep(0.1)
        if answer.status >= 400:
            raise Refused(json.loads(text)["message"])
        return json.loads(text) if text else None

    def info(self):
        return self.ask("GET", "/")

    def get_plugins(self):
        return self.ask("GET", "/connector-plugins?connectorsOnly=true")

    def get_connectors(self):
        return self.ask("GET", "/connectors?expand=info&expand=status")

    def apply(self, name, config):
        if name in self.ask("GET", "/connectors/"):
            return self.ask("PUT", f"/connectors/{name}/config", json.dumps(config))
        return self.ask("POST", "/connectors/", json.dumps({"name": name, "config": config}))

    def dry_run(self, config):
        plugin = config["connector.class"]
        return self.ask(
            "PUT", f"/connector-plugins/{plugin}/config/validate", json.dumps({**config, "name": "dummy-name"})
        )

    def describe(self, name):
        for path in ("", "/status", "/config", "/tasks", "/topics"):
            self.ask("GET", f"/connectors/{name}{path}")
        return self.ask("GET", f"/connectors/{name}/status")["connector"]["state"]

    def patch(self, name, put, remove=()):
        config = self.ask("GET", f"/connectors/{name}/config")
        config.update(put)
        for key in remove:
            config.pop(key)
        return self.ask("PUT", f"/connectors/{name}/config", json.dumps(config))

    def order(self, what, name):
        self.ask("POST" if what == "restart" else "PUT", f"/connectors/{name}/{what}")

    def delete(self, name):
        self.ask("DELETE", f"/connectors/{name}")


def test_kcctls_requests(running, broker, new_topic):
    topic = fill(broker, new_topic)
    kcctl = Kcctl(running.port)
    # what kcctl needs of a worker: 2.3 for expand, 2.5 for topics
    assert tuple(int(part) for part in kcctl.info()["version"].split(".")[:2]) >= (2, 5)
    assert all(p.keys() >= {"class", "type", "version"} for p in kcctl.get_plugins())
    config = sink(running, "two", topic)
    assert kcctl.dry_run(config)["error_count"] == 0
    assert kcctl.apply("two", config)["name"] == "two"
    assert kcctl.get_connectors()["two"]["status"]["connector"]["state"] == "RUNNING"
    wait_for(lambda: durable(running, "two") == 20, 60, "the topic's rows")
    assert kcctl.describe("two") == "RUNNING"
    for what, then in [("pause", "PAUSED"), ("resume", "RUNNING"), ("stop", "STOPPED"), ("resume", "RUNNING")]:
        kcctl.order(what, "two")
        wait_for(lambda: kcctl.describe("two") == then, 30, then)
    kcctl.order("restart", "two")
    wait_for(lambda: kcctl.describe("two") == "RUNNING", 30, "RUNNING")
    changed = kcctl.patch("two", {"commit.interval": "200ms"}, ["errors.tolerance"])["config"]
    assert changed["commit.interval"] == "200ms" and "errors.tolerance" not in changed
    assert kcctl.apply("two", {**config, "buffer": "8MiB"})["config"]["buffer"] == "8MiB"
    with pytest.raises(Refused, match="unknown key"):
        kcctl.patch("two", {"bufffer": "8MiB"})
    with pytest.raises(Refused, match="^Failed to find any class that implements Connector"):
        kcctl.apply("three", {"connector.class": "FileStreamSink", "topics": topic})
    with pytest.raises(Refused, match="lie with its data"):
        kcctl.ask("DELETE", "/connectors/two/offsets")
    kcctl.delete("two")
    with pytest.raises(Refused, match="not found"):
        kcctl.describe("two")
