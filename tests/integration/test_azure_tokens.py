"""Every kind of credential against Azurite over TLS: the whole medallion with its state there, by
bearer tokens of the double of Entra ID (tests/doubles/entra.py), by a SAS and by the account's key.

Tokens that end or are withdrawn while it runs are renewed once for all lanes; and no secret is in
any output, nor in what the admin endpoint answers.
"""

import contextlib
import datetime
import json
import time
from dataclasses import dataclass, field

import pytest

from tests.doubles.entra import Entra
from tests.doubles.fault_proxy import FaultProxy
from tests.integration.test_admin import Running
from tests.oracle.verify import verify
from tests.support import events, sluice
from tests.support.medallion import Medallion
from tests.support.producer import Producer
from tests.support.servers import wait_for

EVENTS = 6_000
LIMIT_S = 120
SCOPE = "https://storage.azure.com/.default"
TOKEN_KINDS = ("client-secret", "workload-identity", "managed-identity")
KINDS = (*TOKEN_KINDS, "default", "sas", "shared-key")
# What an admin endpoint tells; those of a node besides.
PATHS = (
    "/metrics",
    "/v1/status",
    "/v1/topology",
    "/connectors?expand=info&expand=status",
    "/connector-plugins",
    "/admin/loggers",
)


@pytest.fixture(scope="module")
def lake(secure_azurite):
    secure_azurite.create_container("lake")
    return secure_azurite


@pytest.fixture(scope="module")
def topic(broker, new_topic):
    name = new_topic(4)
    feed = events.records(events.Feed(records=EVENTS))
    assert broker.produce(name, feed) == EVENTS
    return name


@pytest.fixture
def entra():
    with Entra() as double:
        yield double


@contextlib.contextmanager
def environment(values):
    """For foreign readers only: sluice is to do without."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in values.items():
            patch.setenv(name, value)
        yield


def sas_of(lake):
    from azure.storage.blob import ContainerSasPermissions, generate_container_sas

    return generate_container_sas(
        lake.account,
        "lake",
        account_key=lake.key,
        permission=ContainerSasPermissions(read=True, write=True, delete=True, list=True),
        expiry=datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1),
    )


@dataclass
class Credential:
    """An entry of "stores", what the process finds in its environment, and what nobody may see."""

    entry: dict
    env: dict = field(default_factory=dict)
    secrets: list = field(default_factory=list)


def federated_token(entra, folder):
    """The file that a workload finds its token in, replaced whole as Kubernetes does."""
    file, new = folder / "federated", folder / "federated.new"
    new.write_text(entra.assertion + "\n")
    new.rename(file)
    return file


def credential_of(kind, lake, entra, folder):
    application = {"tenant": entra.tenant, "client_id": entra.client, "authority": entra.url}
    if kind == "client-secret":
        entry = {**application, "client_secret": "${env:TEST_SECRET}"}
        return Credential({"auth": kind, **entry}, {"TEST_SECRET": entra.secret}, [entra.secret])
    if kind == "workload-identity":
        entry = {**application, "token_file": str(federated_token(entra, folder))}
        return Credential({"auth": kind, **entry}, {}, [entra.assertion])
    if kind == "managed-identity":
        return Credential({"auth": kind, "identity_endpoint": entra.url})
    if kind == "default":
        env = {
            "AZURE_TENANT_ID": entra.tenant,
            "AZURE_CLIENT_ID": entra.client,
            "AZURE_CLIENT_SECRET": entra.secret,
            "AZURE_AUTHORITY_HOST": entra.url,
        }
        return Credential({"auth": kind}, env, [entra.secret])
    if kind == "sas":
        sas = sas_of(lake)
        signature = sas.partition("sig=")[2].partition("&")[0]
        return Credential({"auth": kind, "sas": "${env:TEST_SAS}"}, {"TEST_SAS": sas}, [signature])
    entry = {"auth": kind, "key": "${env:TEST_KEY}"}
    return Credential(entry, {"TEST_KEY": lake.key}, [lake.key])


def medallion_by(credential, lake, broker, topic, folder, name, url=None):
    """Its tables and state in a folder of their own, reached by `url`: the server's or a proxy's."""
    url = url or lake.url
    place = f"{url}/{lake.account}/lake/{name}"
    medallion = Medallion(folder, broker.bootstrap, topic, pipeline=name, lake=place)
    # two entries of one credential, which pays with the same tokens for both
    medallion.document["stores"] = {
        f"{url}/{lake.account}/": credential.entry,
        f"{place}/state/": credential.entry,
    }
    medallion.document["http.ca"] = str(lake.ca)
    medallion.document["sources"]["events"]["config"]["session.timeout.ms"] = 6_000
    return medallion


def expect_right(medallion, lake, records=EVENTS):
    with environment(lake.environment()):
        answer, found = verify(medallion.path)
    assert {name: told for name, told in found.items() if told is not None} == {}
    assert answer.records == records


def assert_hidden(text, credential, entra):
    for secret in [*credential.secrets, *entra.tokens()]:
        assert secret not in text
        # a JWT's signature alone is enough to see that it was shown in part
        assert secret.rpartition(".")[2] not in text


def told_by_admin(path, env):
    """All that the endpoint of a second run says, and the run's log at level debug."""
    with sluice.Process("run", "--log-level", "debug", path, env=env) as process:
        admin = Running(process)
        wait_for(lambda: admin.ask("/ready")[0] == 200, LIMIT_S, "all nodes")
        nodes = admin.json("/connectors")
        assert nodes
        paths = [*PATHS, *(f"/connectors/{n}{p}" for n in nodes for p in ("", "/config", "/status"))]
        answers = [admin.ask(p) for p in paths]
        assert {status for status, _, _ in answers} == {200}
        assert "sluice_http_requests_total{" in answers[0][2]
        process.signal(15)
        run = process.wait(LIMIT_S)
        assert run.exit_code == 0, run.failed_because()
        return "\n".join([run.log, run.output, *(body for _, _, body in answers)])


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_runs_the_medallion(lake, broker, topic, entra, tmp_path, kind):
    credential = credential_of(kind, lake, entra, tmp_path)
    medallion = medallion_by(credential, lake, broker, topic, tmp_path, f"kind-{kind}")
    medallion.document["admin"] = {"listen": "127.0.0.1:0", "enabled": True}
    path = medallion.write()
    run = sluice.run_until_end(path, "--log-level", "debug", env=credential.env)
    assert "request id" in run.log
    expect_right(medallion, lake)
    shown = sluice.run_command("validate", path, env=credential.env)
    assert shown.exit_code == 0, shown.failed_because()
    asked = sum(entra.requests.values())
    assert_hidden(run.log + run.output + shown.log + shown.output, credential, entra)
    assert_hidden(told_by_admin(path, credential.env), credential, entra)
    # one for all nodes and lanes, and for what looks up what ran before
    more = sum(entra.requests.values()) - asked
    assert more == (0 if kind in ("sas", "shared-key") else 1)


def wait_for_tokens(runs, count):
    for _, entra, *_, process in runs:
        asked = entra.requests
        process.wait_for(lambda: sum(asked.values()) >= count, LIMIT_S, "tokens")  # noqa: B023


def test_tokens_that_end_are_renewed_in_time(lake, broker, new_topic, tmp_path):
    """Three pipelines at once, one for each kind, with tokens that last 4 s: none is ever refused.
    The federated token is replaced meanwhile, too."""
    topic, rate = new_topic(4), 200
    feed = Producer(broker, topic, events.Feed(records=EVENTS), rate)
    with contextlib.ExitStack() as stack:
        started = time.monotonic()
        runs = []
        for kind in TOKEN_KINDS:
            entra = stack.enter_context(Entra(lifetime_s=4))
            folder = tmp_path / kind
            folder.mkdir()
            credential = credential_of(kind, lake, entra, folder)
            medallion = medallion_by(credential, lake, broker, topic, folder, f"short-{kind}")
            medallion.document["lanes"] = 2
            arguments = ("run", "--log-level", "debug", medallion.write())
            process = stack.enter_context(sluice.Process(*arguments, env=credential.env))
            runs.append((kind, entra, folder, credential, medallion, process))
        feed.start()
        wait_for_tokens(runs, 2)
        for kind, entra, folder, *_ in runs:
            if kind == "workload-identity":
                entra.assertion = "eyJ.another.federated-token"
                federated_token(entra, folder)
        wait_for_tokens(runs, 4)
        feed.finish()
        for _, entra, _, credential, medallion, process in runs:
            process.signal(15)
            run = process.wait(LIMIT_S)
            assert run.exit_code == 0, run.failed_because()
            lives = (time.monotonic() - started) / entra.lifetime_s
            assert sum(entra.requests.values()) <= 2 * lives + 2, "each replaced once, at half time"
            assert "answer 401" not in run.log and "answer 403" not in run.log
            assert_hidden(run.log + run.output, credential, entra)
            sluice.run_until_end(medallion.path, env=credential.env)
            expect_right(medallion, lake)


@pytest.fixture
def checking(lake, entra):
    """Azurite behind a service that knows which tokens are withdrawn, and answers 401 as Azure's."""

    def authorized(value):
        return entra.valid(value.removeprefix("Bearer "), SCOPE)

    secrets = lake.ca.parent
    with FaultProxy(lake.url, share=0, secrets=secrets, authorized=authorized) as proxy:
        yield proxy


def test_a_withdrawn_token_is_replaced_once(
    lake, checking, broker, new_topic, entra, tmp_path
):
    topic = new_topic(4)
    credential = credential_of("client-secret", lake, entra, tmp_path)
    medallion = medallion_by(
        credential, lake, broker, topic, tmp_path, "withdrawn", url=checking.url
    )
    medallion.document["commit.interval"] = "100ms"
    path = medallion.write()
    feed = Producer(broker, topic, events.Feed(records=EVENTS), 300)
    times = 3
    with sluice.Process("run", "--log-level", "debug", path, env=credential.env) as process:
        process.wait_for(lambda: checking.counts[None] >= 20, LIMIT_S, "the start")
        assert entra.requests["token"] == 1
        feed.start()
        for number in range(1, times + 1):
            later = checking.counts["refused"] + 1
            entra.forget()
            process.wait_for(lambda: checking.counts["refused"] >= later, LIMIT_S, "a 401")
            process.wait_for(
                lambda: entra.requests["token"] >= 1 + number, LIMIT_S, "the next token"
            )
            enough = checking.counts[None] + 50
            process.wait_for(lambda: checking.counts[None] >= enough, LIMIT_S, "requests by it")
        feed.finish()
        process.signal(15)
        run = process.wait(LIMIT_S)
        assert run.exit_code == 0, run.failed_because()
    assert entra.requests["token"] == 1 + times
    sluice.run_until_end(path, env=credential.env)
    direct = json.loads(path.read_text().replace(checking.url, lake.url))
    path.write_text(json.dumps(direct))
    expect_right(medallion, lake)


def test_a_service_that_takes_no_token_is_asked_twice(lake, checking, entra, tmp_path):
    """A 401 behind a new token is final, and says what to look at."""
    table = f"{checking.url}/{lake.account}/lake/refused"
    document = {
        "pipeline": "refused",
        "http.ca": str(lake.ca),
        "stores": {table: credential_of("managed-identity", lake, entra, tmp_path).entry},
        "sources": {"events": {"plugin": "generator", "config": {"count": 10}}},
        "sinks": {
            "bronze": {"plugin": "bronze-sink", "inputs": ["events"], "config": {"table": table}}
        },
    }
    path = tmp_path / "topology.json"
    path.write_text(json.dumps(document))
    entra.valid = lambda token, scope: False
    run = sluice.run_command("run", "--until-end", "--log-level=debug", path, limit_s=LIMIT_S)
    assert run.exit_code == 1
    assert_hidden(run.log + run.output, Credential({}), entra)
    assert "answers 401 InvalidAuthenticationInfo" in run.log
    assert "check that this machine has a managed identity, and its roles" in run.log
    assert (checking.counts["refused"], entra.requests["identity"]) == (2, 2)


def test_a_wrong_signature_is_not_shown_either(lake, entra, tmp_path):
    credential = credential_of("sas", lake, entra, tmp_path)
    (signature,) = credential.secrets
    credential.secrets = [signature.swapcase()]
    sas = credential.env["TEST_SAS"].replace(signature, signature.swapcase())
    table = f"{lake.url}/{lake.account}/lake/wrong"
    document = {
        "pipeline": "wrong",
        "http.ca": str(lake.ca),
        "stores": {table: credential.entry},
        "sources": {"events": {"plugin": "generator", "config": {"count": 10}}},
        "sinks": {
            "bronze": {"plugin": "bronze-sink", "inputs": ["events"], "config": {"table": table}}
        },
    }
    path = tmp_path / "topology.json"
    path.write_text(json.dumps(document))
    arguments = ("run", "--until-end", "--log-level=debug", path)
    run = sluice.run_command(*arguments, limit_s=LIMIT_S, env={"TEST_SAS": sas})
    assert run.exit_code == 1
    assert "answers 403" in run.log and "check the SAS, its rights and its end" in run.log
    assert_hidden(run.log + run.output, credential, entra)


def test_the_certificate_has_to_be_trusted(lake, entra, tmp_path):
    table = f"{lake.url}/{lake.account}/lake/untrusted"
    document = {
        "pipeline": "untrusted",
        "stores": {table: credential_of("managed-identity", lake, entra, tmp_path).entry},
        "sources": {"events": {"plugin": "generator", "config": {"count": 10}}},
        "sinks": {
            "bronze": {"plugin": "bronze-sink", "inputs": ["events"], "config": {"table": table}}
        },
    }
    path = tmp_path / "topology.json"
    path.write_text(json.dumps(document))
    run = sluice.run_command("run", "--until-end", path, limit_s=LIMIT_S)
    assert run.exit_code == 1
    assert "the server's certificate is not trusted" in run.log
