"""What an operator does to a pipeline while it runs: another edition of the schema, other intervals,
nodes that are paused and go on. The same rows come out, whatever he does and whenever the process
dies meanwhile.
"""

import http.client
import json
import os
import re
import signal
import threading
from pathlib import Path

from tests.support.medallion import SCHEMA

ANSWER_LIMIT_S = 20
# Of these nobody says that rows of them are in flight.
PAUSED = ("per_country", "gold", "late", "quarantine", "archive", "slow")
KEPT_TARGETS = 10  # versions
ADMIN = {"listen": "127.0.0.1:0"}
NOWHERE = "file:///dev/null/table"  # no folder can be made there


class Operator:
    """`path`: the topology's file, beside it the schema's."""

    def __init__(self, path, rng):
        self.path, self.rng = path, rng
        self._editions = 1
        self._asking = []

    # ---- files ----

    def change_schema(self):
        """Another edition, by which the same rows come out."""
        self._editions += 1
        path = self.path.parent / SCHEMA.name
        schema = json.loads(path.read_text()) | {"$comment": f"edition {self._editions}"}
        _replace(path, json.dumps(schema))

    def change_sink(self):
        document = json.loads(self.path.read_text())
        name, change = self._other_interval(document)
        document["sinks"][name] |= change
        _replace(self.path, json.dumps(document, indent=2))

    def change_gold(self):
        """Settings by which the same rows come out."""
        document = json.loads(self.path.read_text())
        gold = document["transforms"]["per_country"]
        gold["commit.interval"] = "150ms" if gold.get("commit.interval") != "150ms" else "120ms"
        gold["config"]["keep"] = self.rng.choice(("1m", "1h", "2h"))
        _replace(self.path, json.dumps(document, indent=2))

    def _other_interval(self, document):
        name = self.rng.choice(sorted(document["sinks"]))
        now = document["sinks"][name].get("commit.interval")
        return name, {"commit.interval": "150ms" if now != "150ms" else "120ms"}

    # ---- orders to a process that reads already ----

    def reload(self, process):
        """The topology is read anew, with a change."""
        self.rng.choice((self.change_schema, self.change_sink, self.change_gold))()
        process.signal(signal.SIGHUP)

    def reload_schema(self, process):
        self.change_schema()
        process.signal(signal.SIGHUP)

    def patch(self, process):
        name, change = self._other_interval(json.loads(self.path.read_text()))
        body = json.dumps({"sinks": {name: change}})
        self._ask(process, "PATCH", "/v1/topology", body)

    def add_what_fails(self, process):
        """A sink that cannot be opened: all is put back as it was, the topology's file, too."""
        sink = {"plugin": "bronze-sink", "inputs": ["events"], "config": {"table": NOWHERE}}
        body = json.dumps({"sinks": {"nowhere": sink}})
        self._ask(process, "PATCH", "/v1/topology", body)

    def pause_or_resume(self, process):
        document = json.loads(self.path.read_text())
        nodes = [n for n in PAUSED if n in document["sinks"] or n in document["transforms"]]
        paused = self._targets(Path(document["state"].removeprefix("file://")))[1]
        orders = [f"{n}/resume" if n in paused else f"{n}/pause" for n in nodes]
        orders += [f"{n}/stop" for n in nodes if n not in paused]
        if len(paused) > 2:
            orders = [o for o in orders if o.endswith("resume")]
        self._ask(process, "PUT", f"/connectors/{self.rng.choice(orders)}")

    def order_gold(self, process, what):
        """what: pause, stop, resume or restart"""
        method = "POST" if what == "restart" else "PUT"
        self._ask(process, method, f"/connectors/per_country/{what}")

    def _ask(self, process, method, path, body=None):
        """By a thread: the process may die before it answers."""
        address = re.search(r"http://127\.0\.0\.1:(\d+)", process.text(1))
        if address is not None:
            arguments = (int(address[1]), method, path, body)
            self._asking.append(threading.Thread(target=_ask, args=arguments))
            self._asking[-1].start()

    def has_been_answered(self):
        """Waits for what was asked of processes that are no more."""
        for thread in self._asking:
            thread.join()
        self._asking.clear()

    def let_all_go_on(self, state):
        """Between two processes: nothing is paused any more. `state`: the state store's folder."""
        number, paused = self._targets(state)
        if paused:
            text = json.dumps({"format": 1, "nodes": {}})
            _replace(state / "targets" / f"{number + 1:020}.json", text)

    def repeat_targets(self, state):
        """As if he had said the same so often that old versions are deleted with the next order."""
        number, paused = self._targets(state)
        text = json.dumps({"format": 1, "nodes": paused})
        (state / "targets").mkdir(parents=True, exist_ok=True)
        for following in range(number + 1, number + 1 + KEPT_TARGETS):
            _replace(state / "targets" / f"{following:020}.json", text)

    @staticmethod
    def _targets(state):
        """(number of the last version of what is paused, nodes)"""
        paths = sorted((state / "targets").glob("[0-9]*.json"))
        if not paths:
            return 0, {}
        return int(paths[-1].stem), json.loads(paths[-1].read_text())["nodes"]


def _replace(path, text):
    fresh = path.with_name(f"fresh-{path.name}")
    fresh.write_text(text)
    os.replace(fresh, path)


def _ask(port, method, path, body):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_LIMIT_S)
    try:
        connection.request(method, path, body, {"Content-Type": "application/merge-patch+json"})
        connection.getresponse().read()
    except (OSError, http.client.HTTPException):
        pass  # it was killed
    finally:
        connection.close()
