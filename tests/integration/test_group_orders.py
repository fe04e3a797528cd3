"""gold-agg with scope group takes the orders that other nodes take, and other settings while it runs;
what has to be the same on all hosts at once is refused with what to do. Gold is exact whatever was
ordered. One host and a generator; several on a broker: test_hosts.py.
"""

import json
import shutil
import signal

import pytest

from tests.integration.test_admin import Running
from tests.lake import readers
from tests.oracle import check, expect_for_topology
from tests.support import sluice
from tests.support.servers import ROOT, wait_for

RECORDS = 100_000
LIMIT_S = 60
ALL_HOSTS = (
    'with "scope": "group" that has to be so on all hosts at once: end sluice on every host of the '
    "pipeline (SIGTERM), then start it with the new topology"
)


def gold(scope):
    return {
        "plugin": "gold-agg",
        "inputs": ["silver"],
        "config": {
            "time": "ts",
            "window": {"tumbling": "10s"},
            "lateness": "20s",
            "group_by": ["country"],
            "aggregates": {"events": "count()", "revenue": "sum(amount)"},
            "scope": scope,
        },
    }


def topology(rate):
    def sink(given, name, **config):
        return {"plugin": "delta-sink", "inputs": [given], "config": {"table": name, **config}}

    return {
        "pipeline": "orders",
        "state": "state",
        "lanes": 2,
        "commit.interval": "100ms",
        "admin": {"listen": "127.0.0.1:0"},
        "sources": {
            "events": {
                "plugin": "generator",
                "config": {
                    "count": RECORDS,
                    "partitions": 3,
                    "event_rate": 500,
                    "too_late": 0.003,
                    "rate": rate,
                },
            }
        },
        "transforms": {
            "silver": {
                "plugin": "silver-validate",
                "inputs": ["events"],
                "config": {"schema": "event.schema.json"},
            },
            "per_country": gold("group"),
        },
        "sinks": {
            "bronze": {"plugin": "bronze-sink", "inputs": ["events"], "config": {"table": "bronze"}},
            "gold": sink("per_country", "gold", mode="upsert"),
            "late": sink("per_country.late", "late"),
        },
    }


class Host:
    def __init__(self, folder, process):
        self.folder, self.process = folder, process
        self.admin = Running(process)
        wait_for(lambda: self.admin.ask("/ready")[0] == 200, LIMIT_S, "readiness")

    def order(self, what, then):
        got, _, body = self.admin.ask(f"/connectors/per_country/{what}", "PUT")
        assert got == 202, body
        self.wait_until(then)

    def restart(self):
        got, _, body = self.admin.ask("/connectors/per_country/restart", "POST")
        assert got in (202, 204), body
        self.wait_until("RUNNING")

    def wait_until(self, state):
        def is_so():
            return self.admin.json("/connectors/per_country/status")["connector"]["state"] == state

        wait_for(is_so, LIMIT_S, state)

    def change(self, patch, status=200, dry=False):
        path = "/v1/topology" + ("?dry_run=true" if dry else "")
        kind = {"Content-Type": "application/merge-patch+json"}
        got, _, body = self.admin.ask(path, "PATCH", json.dumps(patch), kind)
        assert got == status, body
        return json.loads(body)

    def rows(self, name):
        nodes = {n["name"]: n for n in self.admin.json("/v1/status")["nodes"]}
        return sum(i["rows"] for i in nodes[name]["inputs"])

    def wait_for_more(self, name):
        before = self.rows(name)
        wait_for(lambda: self.rows(name) > before, LIMIT_S, f"more rows of {name}")


@pytest.fixture
def host(tmp_path):
    shutil.copy(ROOT / "deploy" / "demo" / "event.schema.json", tmp_path)
    path = tmp_path / "topology.json"
    path.write_text(json.dumps(topology(rate=2000)))
    with sluice.Process("run", "--json", path) as process:
        yield Host(tmp_path, process)


def assert_exact_in_the_end(host):
    """The rest comes at once."""
    host.process.signal(signal.SIGTERM)
    done = host.process.wait(LIMIT_S)
    assert done.exit_code == 0, done.failed_because()
    path = host.folder / "topology.json"
    document = json.loads(path.read_text())
    document["sources"]["events"]["config"]["rate"] = 0
    path.write_text(json.dumps(document))
    sluice.run_until_end(path)
    table = {n: readers.read(host.folder / n, "delta-rs") for n in document["sinks"]}
    assert table["bronze"].num_rows == RECORDS
    answer = expect_for_topology(table["bronze"], document, host.folder)
    assert check.gold(answer, "per_country", table["gold"]) is None
    assert table["late"].num_rows > 100
    assert check.late(answer, "per_country", table["late"]) is None


def test_it_is_paused_stopped_resumed_and_restarted(host):
    host.wait_for_more("gold")
    for what, then in (("pause", "PAUSED"), ("stop", "STOPPED")):
        host.order(what, then)
        here = host.rows("gold")
        host.wait_for_more("bronze")
        assert host.rows("gold") == here
        host.order("resume", "RUNNING")
        host.wait_for_more("gold")
    for _ in range(3):
        host.order("pause", "PAUSED")
        host.order("resume", "RUNNING")
    host.restart()
    host.wait_for_more("gold")
    assert_exact_in_the_end(host)


def test_it_is_told_other_settings_while_it_runs(host):
    host.wait_for_more("gold")
    for settings in ({"keep": "2h", "updates": False}, {"keep": "3h", "updates": True}):
        patch = {"transforms": {"per_country": {"config": settings}}}
        assert host.change(patch)["applied"]
        host.wait_for_more("gold")
    assert_exact_in_the_end(host)


def test_what_has_to_be_so_on_all_hosts_at_once_is_refused(host):
    host.wait_for_more("gold")

    def refused(patch):
        for dry in (True, False):
            answer = host.change(patch, 200 if dry else 409, dry)
            yield answer["plan"]["refusal"] if dry else answer["message"]

    cases = [
        ({"per_country": {"config": {"scope": "host"}}}, "per_country: its scope changes"),
        ({"another": gold("group")}, "another: it is added"),
        ({"silver": {"config": {"rescue": True}}}, "per_country: what it reads changes"),
    ]
    for patch, why in cases:
        for said in refused({"transforms": patch}):
            assert f"{why}, and {ALL_HOSTS}" in said

    others = {"config": {"aggregates": {"largest": "max(amount)"}}}
    said = host.change({"transforms": {"per_country": others}}, 400)["message"]
    assert "the state was written with other windows, group columns or aggregates" in said
    host.wait_for_more("gold")
    assert_exact_in_the_end(host)
