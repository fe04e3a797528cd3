"""The OpenAPI document that the endpoint serves: it names every route and no other, and schemathesis
finds no answer that it does not describe."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from tests.integration.test_admin import Running, topology
from tests.integration.test_admin_access import entry
from tests.support import sluice
from tests.support.servers import ROOT, wait_for

ROUTE = re.compile(r'^    \{ACCESS_(\w+), "([A-Z]+)", "([^"]*)", \w+\},$', re.M)
# Whether a document is good, and a node's positions can be altered, is more than a schema says.
CHANGES = ["POST /connectors", "PATCH /connectors/{node}/offsets", "DELETE /connectors/{node}/offsets"] + [
    f"{method} {path}" for method in ("PUT", "PATCH") for path in ("/connectors/{node}/config", "/v1/topology")
]
WHOLE = '[[operations]]\ninclude-name = "%s"\nchecks.positive_data_acceptance.enabled = false\n'
EXAMPLES = os.environ.get("SLUICE_OPENAPI_EXAMPLES", "12")


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    folder = tmp_path_factory.mktemp("openapi")
    user, token = entry("tester", "admin", "--token")
    (folder / "users.json").write_text(json.dumps({"users": [user]}))
    listen = {"listen": "127.0.0.1:0", "users": str(folder / "users.json")}
    with sluice.Process("run", topology(folder, admin=listen)) as process:
        running = Running(process)
        running.token = token
        wait_for(lambda: running.ask("/ready")[0] == 200, 30, "readiness")
        yield running
        process.signal(15)
        assert process.wait(30).exit_code == 0


@pytest.fixture(scope="module")
def document(running):
    who = {"Authorization": f"Bearer {running.token}"}
    status, headers, body = running.ask("/v1/openapi.json", headers=who)
    assert status == 200 and headers["Content-Type"] == "application/json"
    return json.loads(body)


def operations(document):
    """{(method, path with * for a parameter): whether it is open to everybody}"""
    return {
        (method.upper(), re.sub(r"\{\w+\}", "*", path).strip("/")): of.get("security") == []
        for path, item in document["paths"].items()
        for method, of in item.items()
        if method != "parameters"
    }


def test_it_names_the_routes_that_there_are(document):
    table = (ROOT / "runtime" / "admin" / "routes.c").read_text()
    routes = {(method, path): role == "NOBODY" for role, method, path in ROUTE.findall(table)}
    assert len(routes) == table.count("    {ACCESS_")
    assert operations(document) == routes


def test_its_references_lead_somewhere(document):
    def references(value):
        if isinstance(value, dict):
            yield from [value["$ref"]] if "$ref" in value else []
            value = list(value.values())
        if isinstance(value, list):
            for item in value:
                yield from references(item)

    used = set(references(document))
    made = {f"#/components/{kind}/{name}" for kind, of in document["components"].items() for name in of}
    assert used | {f"#/components/securitySchemes/{s}" for s in ("basic", "bearer")} == made
    for name, schema in document["components"]["schemas"].items():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_without_credentials_nothing_else_is_open(running, document):
    for (method, path), is_open in operations(document).items():
        status, _, _ = running.ask(f"/{path.replace('*', '0')}", method)
        assert (status == 200) if is_open else (status == 401), (method, path)


def test_schemathesis_finds_nothing(running, tmp_path):
    (tmp_path / "schemathesis.toml").write_text(
        "[parameters]\n" 'node = "good"\nlane = 0\nplugin = "bronze-sink"\nlogger = "root"\nfile = "model.js"\nversion = 1\n'
        + "".join(WHOLE % name for name in CHANGES)
    )
    done = subprocess.run(
        [Path(sys.executable).parent / "schemathesis", "--config-file=schemathesis.toml", "run"]
        + [f"http://127.0.0.1:{running.port}/v1/openapi.json", "--header"]
        + [f"Authorization: Bearer {running.token}", "--max-examples", EXAMPLES, "--seed", "1"]
        # who fails to log in too often gets 429, which that check does not expect
        + ["--exclude-checks", "ignored_auth", "--continue-on-failure"]
        + ["--exclude-path", "/v1/nodes/{node}/tap"],  # an answer without an end
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-20000:] + done.stderr
