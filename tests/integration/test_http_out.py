"""What leaves by HTTP: by which proxies, how it is counted, and by which ids it is found again."""

import base64
import json
import re
from urllib.parse import urlsplit

import deltalake
import pytest

from tests.doubles.entra import Entra
from tests.doubles.fault_proxy import FaultProxy
from tests.doubles.forward_proxy import ForwardProxy
from tests.integration.test_admin import Running
from tests.support import sluice
from tests.support.servers import wait_for

ROWS = 500
LIMIT_S = 60
LOGIN = "petra:pass-word-9c1"
REQUEST_ID = re.compile(r"(PUT|GET|HEAD) https?://\S+: answer \d{3}.*, request id [0-9a-f-]{36}$", re.M)


@pytest.fixture(autouse=True)
def no_other_proxy(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def topology(folder, server, entry, place, url=None, **source):
    """A generator and a table on Azurite; `entry` pays."""
    base = f"{url or server.url}/{server.account}/"
    document = {
        "pipeline": "out",
        "admin": {"listen": "127.0.0.1:0"},
        "commit.interval": "100ms",
        "stores": {base: entry},
        "sources": {"shop": {"plugin": "generator", "config": source or {"count": ROWS}}},
        "sinks": {
            "table": {
                "plugin": "bronze-sink",
                "inputs": ["shop"],
                "config": {"table": f"{base}out/{place}"},
            }
        },
    }
    if server.secure:
        document["http.ca"] = str(server.ca)
    path = folder / "topology.json"
    path.write_text(json.dumps(document))
    return path


def by_key(server):
    return {"auth": "shared-key", "key": server.key}


def rows_of(server, place, monkeypatch):
    with monkeypatch.context() as patch:
        for name, value in server.environment().items():
            patch.setenv(name, value)
        adds = deltalake.DeltaTable(f"az://out/{place}").get_add_actions(flatten=True)
        return sum(adds["num_records"].to_pylist())


def test_https_goes_through_a_tunnel(secure_azurite, tmp_path, monkeypatch):
    """The proxy has a log-in, which is not shown; the log-in at Azure does not reach it."""
    secure_azurite.create_container("out")
    path = topology(tmp_path, secure_azurite, by_key(secure_azurite), "tunnel")
    with ForwardProxy() as proxy:
        env = {"HTTPS_PROXY": f"http://{LOGIN}@{proxy.address}"}
        run = sluice.run_until_end(path, "--log-level", "debug", env=env)
        assert set(proxy.tunnels) == {urlsplit(secure_azurite.url).netloc}
        encoded = base64.b64encode(LOGIN.encode()).decode()
        assert proxy.logins == {f"Basic {encoded}"}
    assert rows_of(secure_azurite, "tunnel", monkeypatch) == ROWS
    for secret in (LOGIN, LOGIN.partition(":")[2], encoded):
        assert secret not in run.log + run.output


def test_http_goes_by_a_proxy_and_no_proxy_makes_exceptions(azurite, tmp_path, monkeypatch):
    azurite.create_container("out")
    with ForwardProxy() as proxy:
        env = {"http_proxy": f"http://{proxy.address}"}
        sluice.run_until_end(topology(tmp_path, azurite, by_key(azurite), "by"), env=env)
        assert set(proxy.requests) == {urlsplit(azurite.url).netloc}
        asked = sum(proxy.requests.values())
        env["no_proxy"] = "127.0.0.1"
        sluice.run_until_end(topology(tmp_path, azurite, by_key(azurite), "past"), env=env)
        assert sum(proxy.requests.values()) == asked
    assert rows_of(azurite, "by", monkeypatch) == rows_of(azurite, "past", monkeypatch) == ROWS


def test_the_metadata_service_is_never_asked_by_a_proxy(secure_azurite, tmp_path):
    """It speaks for the machine that asks; a proxy's answer would be that of the proxy's machine."""
    secure_azurite.create_container("out")
    with ForwardProxy() as proxy, Entra() as entra:
        entry = {"auth": "managed-identity", "identity_endpoint": entra.url}
        path = topology(tmp_path, secure_azurite, entry, "metadata")
        env = {f"{scheme}_proxy": f"http://{proxy.address}" for scheme in ("http", "https")}
        sluice.run_until_end(path, env=env)
        assert entra.requests["identity"] > 0
        assert sum(proxy.requests.values()) == 0 and sum(proxy.tunnels.values()) > 0


def test_requests_are_counted_by_host_and_status(azurite, tmp_path):
    """As the proxy has answered them; each stands in the log at level debug with Azure's id."""
    azurite.create_container("out")
    faults = ("busy", "throttled")
    with FaultProxy(azurite.url, share=0.2, seed=5, faults=faults) as proxy:
        path = topology(tmp_path, azurite, by_key(azurite), "counted", url=proxy.url, rate=2000)
        host = urlsplit(proxy.url).netloc

        def counted(admin):
            text = admin.ask("/metrics")[2]
            found = re.findall(
                rf'sluice_http_requests_total{{host="{host}",status="(\w+)"}} (\d+)', text
            )
            return {status: int(count) for status, count in found}

        def as_answered(admin):
            told = counted(admin)
            return all(
                told.get(status, 0) >= 5 and told[status] == proxy.counts[fault]
                for fault, status in (("busy", "503"), ("throttled", "429"))
            )

        with sluice.Process("run", "--log-level", "debug", path) as process:
            admin = Running(process)
            wait_for(lambda: as_answered(admin), LIMIT_S, "counts as the proxy has them")
            told = counted(admin)
            assert told["201"] > 5 and set(told) <= {"200", "201", "206", "404", "429", "503"}
            seconds = rf'sluice_http_request_seconds_total{{host="{host}",status="201"}} \d+\.\d{{6}}'
            assert re.search(seconds, admin.ask("/metrics")[2])
            process.signal(15)
            run = process.wait(LIMIT_S)
            assert run.exit_code == 0, run.failed_because()
        assert len(REQUEST_ID.findall(run.log)) > 20
