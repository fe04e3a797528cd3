"""The topologies of the manual's pages about Azure, run by the names that stand in them: all that
leaves goes through a proxy, behind which Azurite stands for the accounts, and doubles for Entra ID
and Power BI, all with TLS. Changed are Kafka's address, local folders, and whom `https:` trusts.
"""

import contextlib
import json
import re
import shutil
from urllib.parse import urlsplit

import deltalake
import pyarrow
import pytest

from tests.doubles.entra import Entra
from tests.doubles.forward_proxy import ForwardProxy
from tests.doubles.powerbi import PowerBI
from tests.support import events, sluice
from tests.support.medallion import SCHEMA
from tests.support.servers import ROOT

PAGES = ("azure-storage.md", "entra-id.md", "power-bi.md")
WORKSPACE = "f089354e-8366-4e18-aea3-4cb4a3a50b48"
EVENTS = 5_000
TOPIC = "events"


def examples():
    """Pipeline's name to topology; fragments are none."""
    for page in PAGES:
        text = (ROOT / "docs" / "implementation" / page).read_text()
        for block in re.findall(r"^```json\n(.*?)^```", text, re.S | re.M):
            document = json.loads(block)
            if "sources" in document:
                yield document["pipeline"], document


EXAMPLES = dict(examples())
BRONZE = [name for name, document in EXAMPLES.items() if "transforms" not in document]


class Outside:
    """What a topology finds behind the proxy."""

    def __init__(self, lake, stack):
        secrets = lake.ca.parent
        self.lake = lake
        self.entra = stack.enter_context(Entra(secrets=secrets))
        self.metadata = stack.enter_context(Entra())  # of the machine: never behind a proxy
        self.powerbi = stack.enter_context(PowerBI(self.entra, WORKSPACE, secrets=secrets))
        azurite = urlsplit(lake.url).netloc
        self.proxy = stack.enter_context(
            ForwardProxy(
                {
                    "acct.blob.core.windows.net:443": azurite,
                    "onelake.blob.fabric.microsoft.com:443": azurite,
                    "login.microsoftonline.com:443": urlsplit(self.entra.url).netloc,
                    "api.powerbi.com:443": urlsplit(self.powerbi.url).netloc,
                }
            )
        )

    def environment(self, folder):
        token = folder / "federated"
        token.write_text(self.entra.assertion)
        return {
            "https_proxy": f"http://{self.proxy.address}",
            "no_proxy": "",
            "AZURE_TENANT_ID": self.entra.tenant,
            "AZURE_CLIENT_ID": self.entra.client,
            "AZURE_CLIENT_SECRET": self.entra.secret,
            "AZURE_FEDERATED_TOKEN_FILE": str(token),
            "AZURE_POD_IDENTITY_AUTHORITY_HOST": self.metadata.url,
            "POWERBI_SECRET": self.entra.secret,
            "FABRIC_SECRET": self.entra.secret,
        }

    def read(self, account, place, monkeypatch):
        """A table's rows, by delta-rs with a token of its own."""
        with monkeypatch.context() as patch:
            patch.setenv("SSL_CERT_FILE", str(self.lake.ca))
            options = {
                "azure_storage_account_name": account,
                "azure_storage_endpoint": f"{self.lake.url}/{account}",
                "azure_storage_token": self.entra.issue("https://storage.azure.com/.default"),
            }
            table = deltalake.DeltaTable(f"az://{place}", storage_options=options)
            rows = deltalake.QueryBuilder().register("t", table).execute("SELECT * FROM t")
            return pyarrow.table(rows.read_all()).to_pylist()


@pytest.fixture(scope="module")
def lake(secure_azurite):
    secure_azurite.create_container("lake", account="acct")
    secure_azurite.create_container("retail", account="onelake")
    return secure_azurite


@pytest.fixture(scope="module")
def outside(lake):
    with contextlib.ExitStack() as stack:
        yield Outside(lake, stack)


@pytest.fixture(scope="module")
def filled(broker):
    broker.create_topic(TOPIC, 2, **events.TOPIC_CONFIG)
    assert broker.produce(TOPIC, events.records(events.Feed(records=EVENTS))) == EVENTS
    yield broker
    broker.delete_topic(TOPIC)


def run(name, outside, folder, kafka, change=lambda document: None):
    document = json.loads(json.dumps(EXAMPLES[name]))
    document["kafka"]["bootstrap.servers"] = kafka.bootstrap
    change(document)
    document["sources"]["events"]["config"]["start"] = "earliest"
    document["http.ca"] = str(outside.lake.ca)
    if "://" not in document["state"]:
        document["state"] = str(folder / "state")
    shutil.copy(SCHEMA, folder)
    path = folder / "topology.json"
    path.write_text(json.dumps(document))
    env = outside.environment(folder)
    return sluice.run_until_end(path, "--log-level", "debug", env=env)


@pytest.mark.parametrize("name", BRONZE)
def test_each_way_to_storage(filled, outside, tmp_path, monkeypatch, name):
    done = run(name, outside, tmp_path, filled)
    assert done.rows_in("bronze") == EVENTS
    table = EXAMPLES[name]["sinks"]["bronze"]["config"]["table"]
    place = "lake/" + table.partition(".net/")[2]
    assert len(outside.read("acct", place, monkeypatch)) == EVENTS
    assert outside.proxy.tunnels["acct.blob.core.windows.net:443"] > 0


def assert_counts(rows, done):
    """Gold's rows count every event that silver passed on and that was not late."""
    counted = sum(row["events"] for row in rows)
    late = done.node("per_country")["metrics"]["gold_late_rows_total"]
    assert counted == done.rows_out("silver") - late > 0


def test_a_push_dataset(filled, outside, tmp_path):
    done = run("retail-live", outside, tmp_path, filled)
    newest = {}
    for row in outside.powerbi.rows("Retail live", "per country"):
        newest[row["country"], row["window_start"]] = row
    assert_counts(newest.values(), done)
    assert outside.powerbi.counts["unprovoked 429"] == 0
    assert outside.proxy.tunnels["login.microsoftonline.com:443"] > 0


def test_direct_lake(filled, outside, tmp_path, monkeypatch):
    done = run("retail-direct-lake", outside, tmp_path, filled)
    place = "retail/Lake.Lakehouse/Tables/per_country"
    assert_counts(outside.read("onelake", place, monkeypatch), done)


def test_an_eventstream(filled, own_broker, outside, tmp_path):
    """TLS and PLAIN are as in the page; user and password are the broker's."""
    from confluent_kafka import Consumer, TopicPartition

    own_broker.create_topic("es_example", 1)

    def change(document):
        document["sinks"]["eventstream"]["config"]["cluster"] |= {
            "bootstrap.servers": own_broker.sasl,
            "ssl.ca.location": str(own_broker.secrets / "ca.pem"),
            "sasl.username": "sluice",
            "sasl.password": (own_broker.secrets / "password").read_text(),
        }

    try:
        done = run("retail-eventstream", outside, tmp_path, filled, change)
        consumer = Consumer({"bootstrap.servers": own_broker.bootstrap, "group.id": "test"})
        consumer.assign([TopicPartition("es_example", 0, 0)])
        expected = done.rows_out("silver")
        messages = []
        while len(messages) < expected:
            taken = consumer.consume(expected - len(messages), timeout=30)
            assert taken, f"{len(messages)} of {expected}"
            messages += taken
        assert consumer.poll(1) is None
        consumer.close()
        ids = {json.loads(message.value())["event_id"] for message in messages}
        assert 0 < len(ids) <= expected
    finally:
        own_broker.delete_topic("es_example")
