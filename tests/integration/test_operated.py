"""The medallion on a real broker while everything that the endpoint offers is asked of it at once:
orders to nodes, changes of the topology, taps, scrapes, `sluice top`. Then it is stopped, and a last
run goes on to the end: every table is what the oracle computes from bronze, whatever was asked.

The sanitizers' test of the whole program as well: with SLUICE_BINARY of such a build their findings
make its exit code another one. SLUICE_OPERATED_S: how long it is asked (6 s).
"""

import collections
import http.client
import json
import os
import random
import signal
import subprocess

from tests.integration.test_admin import Running
from tests.lake import readers
from tests.oracle import check, expect_for_topology
from tests.support import events, sluice
from tests.support.medallion import TABLES, Medallion
from tests.support.producer import Producer
from tests.support.servers import wait_for
from tests.support.threads import Threads

SECONDS = float(os.environ.get("SLUICE_OPERATED_S", "6"))
RECORDS = 60_000
LIMIT_S = 120
SEED = int(os.environ.get("SLUICE_SEED", "1"))
LOOKS = [
    "/",
    "/health",
    "/ready",
    "/metrics",
    "/connectors?expand=status&expand=info",
    "/connectors/gold/status",
    "/connectors/gold/offsets",
    "/connectors/events/topics",
    "/connectors/nowhere",
    "/connector-plugins",
    "/v1/status",
    "/v1/topology?effective=true",
    "/v1/topology/history",
    "/v1/events?after=1",
    "/v1/bundle",
    "/v1/openapi.json",
]
TAPS = [
    "/v1/nodes/events/tap?rows=3",
    "/v1/nodes/silver/tap?rows=500",
    "/v1/nodes/silver/tap?output=rejects",
    "/v1/nodes/gold/tap",
    "/v1/nodes/bronze/tap?input=events",
]
ORDERS = [("POST", "restart"), ("PUT", "pause"), ("PUT", "stop"), ("PUT", "resume")]
# What a run must have taken on, however often it answered that something else is under way.
TAKEN_ON = {("look", 200), ("tap", 200), ("top", True), ("change", 200), ("create", 201)}
TAKEN_ON |= {("delete", 204), ("restart", 204), ("pause", 202), ("stop", 202), ("resume", 202)}


class Operators(Threads):
    """Each asks one kind of thing again and again."""

    def __init__(self, port, folder):
        self.port, self.folder = port, folder
        self.random = random.Random(SEED)
        self.answers = collections.Counter()
        kinds = [self.look] * 3 + [self.order] * 2 + [self.tap] * 3
        kinds += [self.change, self.create, self.top]
        super().__init__((kind.__name__, self.repeat(kind)) for kind in kinds)

    def ask(self, kind, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LIMIT_S)
        try:
            connection.request(method, path, None if body is None else json.dumps(body))
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        self.answers[kind, answer.status] += 1
        assert answer.status < 500 or path == "/ready", (path, text)
        return answer.status

    def look(self):
        self.ask("look", "GET", self.random.choice(LOOKS))

    def order(self):
        method, verb = self.random.choice(ORDERS)
        node = self.random.choice(["events", "silver", "per_country", *TABLES])
        self.ask(verb, method, f"/connectors/{node}/{verb}")
        if verb in ("pause", "stop"):
            self.done.wait(0.2)
            self.ask("resume", "PUT", f"/connectors/{node}/resume")

    def change(self):
        interval = {"commit.interval": f"{self.random.randint(50, 500)}ms"}
        name = self.random.choice([*TABLES])
        self.ask("change", "PATCH", "/v1/topology", {"sinks": {name: interval}})
        self.done.wait(0.2)

    def create(self):
        """A sink that comes and goes."""
        config = {
            "connector.class": "bronze-sink",
            "inputs": "events",
            "tasks.max": "1",
            "table": str(self.folder / "extra"),
        }
        self.ask("create", "POST", "/connectors", {"name": "extra", "config": config})
        self.done.wait(0.3)
        self.ask("delete", "DELETE", "/connectors/extra")

    def tap(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
        try:
            connection.request("GET", self.random.choice(TAPS))
            answer = connection.getresponse()
            self.answers["tap", answer.status] += 1
            for _ in range(self.random.randint(0, 4)):
                answer.read1(65536)
        except TimeoutError:
            self.answers["tap", "nothing flowed"] += 1
        finally:
            connection.close()

    def top(self):
        command = [sluice.BINARY, "top", "--json", "--admin", f"http://127.0.0.1:{self.port}"]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            self.answers["top", process.stdout.readline() != b""] += 1
            process.terminate()


def resume_all(operators):
    """What was paused or stopped stays so in the next run."""
    for name in ("events", "silver", "per_country", *TABLES):
        wait_for(
            lambda: operators.ask("resume", "PUT", f"/connectors/{name}/resume") in (202, 204),  # noqa: B023
            LIMIT_S,
            f"{name} resumed",
        )


def operated(medallion, producer):
    """One run, stopped in an orderly way while records come; what was asked of it."""
    with sluice.Process("run", medallion.write(), "--set", "lanes=3") as process:
        running = Running(process)
        producer.start()
        with Operators(running.port, medallion.folder) as operators:
            operators.done.wait(SECONDS)
            wait_for(lambda: set(operators.answers) >= TAKEN_ON or operators.faults, LIMIT_S, TAKEN_ON)
        resume_all(operators)
        process.signal(signal.SIGTERM)
        done = process.wait(LIMIT_S)
    print(sorted(operators.answers.items(), key=str), done.log, sep="\n")
    assert done.exit_code == 0, done.failed_because()
    return operators


def test_whatever_is_asked_of_it_the_tables_are_right(broker, new_topic, tmp_path):
    topic = new_topic(4)
    medallion = Medallion(tmp_path, broker.bootstrap, topic)
    medallion.document["commit.interval"] = "100ms"
    medallion.document["admin"] = {"listen": "127.0.0.1:0"}
    producer = Producer(broker, topic, events.Feed(records=RECORDS), rate=RECORDS / (SECONDS + 2))
    operators = operated(medallion, producer)
    assert operators.faults == []
    producer.finish()
    sluice.run_until_end(medallion.path, limit_s=LIMIT_S)
    tables = {name: readers.read(medallion.table(name)) for name in TABLES}
    assert tables["bronze"].num_rows == RECORDS
    assert check.bronze(tables["bronze"], broker.end_offsets(topic)) is None
    answer = expect_for_topology(tables["bronze"], medallion.document, medallion.folder)
    assert check.silver(answer, tables["silver_tbl"]) is None
    assert check.quarantine(answer, tables["quarantine"]) is None
    assert check.gold(answer, "per_country", tables["gold"]) is None
    assert check.late(answer, "per_country", tables["late"]) is None
