"""Seeds of fuzz_runtime_admin: every operation of the OpenAPI document, asked by its users, with
the parameters and bodies that there are, and some that are not quite right."""

import json
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
OPENAPI = os.path.join(HERE, "..", "..", "runtime", "admin", "view", "openapi.json")
VALUES = {"version": "1", "lane": "0", "plugin": "good", "file": "model.js", "logger": "root"}
NODES = ["out", "events", "silver", "gone"]
PARTITION = {"kafka_topic": "events", "kafka_partition": 0}
CONNECTOR = {"connector.class": "good", "inputs": "silver", "table": "lake3"}
BODIES = [
    {"name": "added", "config": CONNECTOR, "initial_state": "PAUSED"},
    {**CONNECTOR, "inputs": "events"},
    {"level": "DEBUG"},
    {"sinks": {"out": {"commit.interval": "5s"}, "bronze": None}},
    {"offsets": [{"partition": PARTITION, "offset": {"kafka_offset": 5}}]},
    {"pipeline": "other", "sources": {}},
]
QUERIES = [
    "?expand=status&expand=info",
    "?dry_run=true",
    "?effective=true",
    "?after=3&wait=true",
    "?rows=500&output=rejects",
    "?input=silver&rows=0",
    "?includeTasks=true&onlyFailed=true",
    "?dry_run=maybe",
]
HEADERS = [
    "Accept: text/html, */*;q=0.1",
    "Accept: application/openmetrics-text; version=1.0.0",
    "Accept: text/plain",
    "Content-Type: application/json",
    "Origin: http://localhost",
    "Origin: http://evil.example",
]
AUTHORIZATIONS = [
    "Bearer ada.secret",
    "Bearer otto.secret",
    "Bearer vera.secret",
    "Bearer ada.x",
    "Basic YWRhOnNlY3JldA==",
]
STRAY = [
    "GET /%2e%2e/%2e%2e/etc/passwd",
    "GET /ui/..%2f..%2fkey",
    "GET /" + "a" * 5000,
    "HEAD /metrics",
    "OPTIONS *",
]


def requests():
    with open(OPENAPI, encoding="utf-8") as source:
        paths = json.load(source)["paths"]
    n = 0
    for path, operations in paths.items():
        for method in sorted(set(operations) & {"get", "put", "post", "patch", "delete"}):
            for turn in range(4):
                yield request(path, method, turn, n)
                n += 1
    for line in STRAY:
        yield f"{line}\nAuthorization: {AUTHORIZATIONS[0]}\n\n"


def request(path, method, turn, n):
    target = re.sub(r"\{(\w+)\}", lambda name: VALUES.get(name[1], NODES[turn]), path)
    query = QUERIES[n % len(QUERIES)] if turn % 2 else ""
    user = AUTHORIZATIONS[n % len(AUTHORIZATIONS) if turn == 3 else 0]
    lines = [f"{method.upper()} {target}{query}", f"Authorization: {user}"]
    if turn > 1:
        lines.append(HEADERS[n % len(HEADERS)])
    body = "" if method == "get" else json.dumps(BODIES[(n + turn) % len(BODIES)])
    return "\n".join(lines) + "\n\n" + body


def main(folder):
    for n, text in enumerate(requests()):
        with open(os.path.join(folder, f"request.{n}"), "w", encoding="utf-8") as seed:
            seed.write(text)


if __name__ == "__main__":
    main(sys.argv[1])
