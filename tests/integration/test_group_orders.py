"""gold-agg with scope group takes the orders that other nodes take, and other settings while it runs;
what has to be the same on all hosts at once is refused with what to do. Gold is exact whatever was
ordered. One host and a generator; several on a broker: test_hosts.py.
"""

import json
import signal

import pytest

from tests.integration.test_admin import Running
from tests.lake import readers
from tests.oracle import check, expect_for_topology
from tests.support import sluice
from tests.support.generated import Generated, gold_agg
from tests.support.servers import wait_for

RECORDS = 100_000
LIMIT_S = 60
ALL_HOSTS = (
    'with "scope": "group" that has to be so on all hosts at once: end sluice on every host of the '
    "pipeline (SIGTERM), then start it with the new topology"
)


def gold(scope):
    aggregates = {"events": "count()", "revenue": "sum(amount)"}
    return gold_agg({"tumbling": "10s"}, ["country"], aggregates, scope=scope)


class Host:
    def __init__(self, made, process):
        self.made, self.process = made, process
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
    admin = {"listen": "127.0.0.1:0"}
    made = Generated(tmp_path, RECORDS, rate=2000, admin=admin, **{"commit.interval": "100ms"})
    made.add_gold("per_country", gold("group"))
    with sluice.Process("run", "--json", made.write()) as process:
        yield Host(made, process)


def assert_exact_in_the_end(host):
    """The rest comes at once; of the settings that were changed those of the file count."""
    host.process.signal(signal.SIGTERM)
    done = host.process.wait(LIMIT_S)
    assert done.exit_code == 0, done.failed_because()
    made = host.made
    made.document = json.loads(made.path.read_text())
    sluice.run_until_end(made.write(rate=0))
    names = ("bronze", "per_country", "per_country_late")
    bronze, results, late = [readers.read(made.folder / name, "delta-rs") for name in names]
    assert bronze.num_rows == RECORDS
    answer = expect_for_topology(bronze, made.document, made.folder)
    assert check.gold(answer, "per_country", results) is None
    assert late.num_rows > 100
    assert check.late(answer, "per_country", late) is None


def test_it_is_paused_stopped_resumed_and_restarted(host):
    host.wait_for_more("per_country_t")
    for what, then in (("pause", "PAUSED"), ("stop", "STOPPED")):
        host.order(what, then)
        here = host.rows("per_country_t")
        host.wait_for_more("bronze")
        assert host.rows("per_country_t") == here
        host.order("resume", "RUNNING")
        host.wait_for_more("per_country_t")
    for _ in range(3):
        host.order("pause", "PAUSED")
        host.order("resume", "RUNNING")
    host.restart()
    host.wait_for_more("per_country_t")
    assert_exact_in_the_end(host)


def test_it_is_told_other_settings_while_it_runs(host):
    host.wait_for_more("per_country_t")
    for settings in ({"keep": "2h", "updates": False}, {"keep": "3h", "updates": True}):
        patch = {"transforms": {"per_country": {"config": settings}}}
        assert host.change(patch)["applied"]
        host.wait_for_more("per_country_t")
    assert_exact_in_the_end(host)


def test_what_has_to_be_so_on_all_hosts_at_once_is_refused(host):
    host.wait_for_more("per_country_t")

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
    host.wait_for_more("per_country_t")
    assert_exact_in_the_end(host)
