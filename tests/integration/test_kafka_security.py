"""TLS and log-ins on a real broker: every topology of the manual's page copies its records, and
whatever is wrong ends the start within seconds, with one sentence, and without the secret."""

import json
import re
import time

import pytest

from tests.support import sluice
from tests.support.servers import ROOT, Kafka, wait_for

PAGE = ROOT / "docs" / "operations" / "kafka-security.md"
EXAMPLES = {
    document["pipeline"]: document
    for document in map(json.loads, re.findall(r"```json\n(.*?)```", PAGE.read_text(), re.S))
}
RECORDS = 1_000
LIMIT_S = 60
REFUSAL_LIMIT_S = 60  # far less than retry.timeout; a start that is refused takes two


@pytest.fixture(scope="module")
def topics(own_broker):
    for name in ("orders", "orders.copy"):
        own_broker.create_topic(name, 2)
    own_broker.produce("orders", [{"value": b"order %d" % i} for i in range(RECORDS)])
    return own_broker


@pytest.fixture
def environment(topics, tmp_path):
    return environment_of(topics, tmp_path)


def environment_of(broker, folder):
    """What the page's topologies take from the environment."""
    secrets = broker.secrets
    token = folder / "token"
    token.write_text(broker.token("sluice", 300))
    return {
        "KAFKA_TLS": broker.tls,
        "KAFKA_MTLS": broker.mtls,
        "KAFKA_SASL": broker.sasl,
        "KAFKA_CA": str(secrets / "ca.pem"),
        "KAFKA_CERTIFICATE": str(secrets / "client.pem"),
        "KAFKA_KEY": str(secrets / "client.key"),
        "KAFKA_USER": "sluice",
        "KAFKA_PASSWORD": (secrets / "password").read_text(),
        "KAFKA_TOKEN_FILE": str(token),
    }


@pytest.fixture(scope="module")
def newer_librdkafka(tmp_path_factory):
    """Environment in which the plugin finds the librdkafka that the Python client brings along."""
    import confluent_kafka

    package = next(iter(confluent_kafka.__path__))
    (library,) = (ROOT / package).parent.glob("confluent_kafka.libs/librdkafka-*.so.1")
    folder = tmp_path_factory.mktemp("librdkafka")
    (folder / "librdkafka.so.1").symlink_to(library)
    return {"LD_LIBRARY_PATH": str(folder)}


def write(folder, name, change=lambda document: None):
    document = json.loads(json.dumps(EXAMPLES[name]))
    document["retry.timeout"] = "1s"
    document["revoke.timeout"] = "60s"  # a broker on a starved machine may take more than ten
    change(document)
    path = folder / "topology.json"
    path.write_text(json.dumps(document))
    return path


def copied(broker):
    return sum(end for _, end in broker.end_offsets("orders.copy").values())


def secrets_of(environment):
    """What must never be seen in any output."""
    token = open(environment["KAFKA_TOKEN_FILE"]).read()
    key = open(environment["KAFKA_KEY"]).read().splitlines()
    return [environment["KAFKA_PASSWORD"], token, token.split(".")[2], key[1], key[5]]


def assert_hidden(run, environment):
    for secret in secrets_of(environment):
        assert secret not in run.log and secret not in run.output


@pytest.mark.parametrize("name", [n for n in EXAMPLES if n != "over-scram"])
def test_each_example_of_the_manual_copies(topics, environment, tmp_path, name):
    before = copied(topics)
    run = sluice.run_until_end(write(tmp_path, name), limit_s=LIMIT_S, env=environment)
    assert run.rows_in("copy") == RECORDS
    assert copied(topics) == before + RECORDS


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_scram_copies_with_a_librdkafka_that_has_it_right(
    topics, environment, newer_librdkafka, tmp_path, mechanism
):
    before = copied(topics)
    path = write(tmp_path, "over-scram", lambda d: d["kafka"].update({"sasl.mechanism": mechanism}))
    sluice.run_until_end(path, limit_s=LIMIT_S, env={**environment, **newer_librdkafka})
    assert copied(topics) == before + RECORDS


@pytest.fixture(scope="module")
def older_broker(tmp_path_factory):
    """Kafka 3.9, the last whose brokers take SCRAM from librdkafka 2.0."""
    pytest.importorskip("confluent_kafka")
    with Kafka(tmp_path_factory.mktemp("older"), secure=True, version="3.9.1") as kafka:
        for name in ("orders", "orders.copy"):
            kafka.create_topic(name, 2)
        kafka.produce("orders", [{"value": b"order %d" % i} for i in range(RECORDS)])
        yield kafka


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_scram_with_the_librdkafka_that_is_installed(older_broker, tmp_path, mechanism):
    environment = environment_of(older_broker, tmp_path)
    before = copied(older_broker)

    def run(change=lambda document: None):
        def both(document):
            document["kafka"]["sasl.mechanism"] = mechanism
            change(document)

        path = write(tmp_path, "over-scram", both)
        return sluice.run_command(
            "run", "--until-end", "--json", path, limit_s=LIMIT_S, env=environment
        )

    refused = run(lambda document: wrong_password(document, older_broker))
    assert refused.exit_code == 1
    for node in ("orders", "copy"):
        failure = refused.node(node)["failure"]
        assert re.search(r"does not let the user .* in by SCRAM", failure), failure
    assert_hidden(refused, environment)
    assert copied(older_broker) == before
    done = run()
    assert done.exit_code == 0, done.failed_because()
    assert copied(older_broker) == before + RECORDS


def test_a_node_has_a_cluster_of_its_own(broker, new_topic, topics, environment, tmp_path):
    """From one cluster to another, each record once: the positions lie where the records go."""
    source, target = new_topic(2), f"{topics.folder.name}-other"
    topics.create_topic(target, 2)

    def change(document):
        document["pipeline"] = f"between-{source}"
        document["state"] = str(tmp_path / "state")
        own = document["kafka"]
        document["kafka"] = {"bootstrap.servers": broker.bootstrap}
        document["sources"]["orders"]["config"]["topics"] = [source]
        document["sinks"]["copy"]["config"] = {
            "topic": target,
            "delivery": "exactly-once",
            "cluster": own,
        }

    path = write(tmp_path, "over-plain", change)
    for run in (1, 2):
        broker.produce(source, [{"value": b"%d" % i} for i in range(RECORDS)])
        done = sluice.run_until_end(path, limit_s=LIMIT_S, env=environment)
        assert done.rows_in("copy") == RECORDS
        assert_hidden(done, environment)
        ends = topics.end_offsets(target).values()
        assert run * RECORDS < sum(end for _, end in ends) <= run * (RECORDS + 20)  # and marks
    shown = sluice.run_command("validate", path, limit_s=LIMIT_S, env=environment)
    assert shown.exit_code == 0 and '"sasl.password":"***"' in shown.log + shown.output
    assert_hidden(shown, environment)


@pytest.mark.parametrize("name", ["over-plain", "over-tokens", "over-mutual-tls"])
def test_no_secret_is_seen_with_all_debugging_on(topics, environment, tmp_path, name):
    path = write(tmp_path, name, lambda d: d["kafka"].update(debug="all"))
    run = sluice.run_command(
        "run", "--until-end", "--json", "--log-level=debug", path, limit_s=LIMIT_S, env=environment
    )
    assert run.exit_code == 0, run.failed_because()
    assert "librdkafka" in run.log
    assert_hidden(run, environment)
    shown = sluice.run_command("validate", path, limit_s=LIMIT_S, env=environment)
    assert_hidden(shown, environment)


def port_of(address):
    return address.rpartition(":")[2]


def other_ca(document, broker):
    document["kafka"]["ssl.ca.location"] = str(broker.secrets / "other-ca.pem")


def other_host(document, broker):
    document["kafka"]["bootstrap.servers"] = f"localhost:{port_of(broker.tls)}"


def no_tls(document, broker):
    document["kafka"] = {"bootstrap.servers": broker.tls}


def tls_where_there_is_none(document, broker):
    document["kafka"]["bootstrap.servers"] = broker.bootstrap


def no_certificate(document, broker):
    del document["kafka"]["ssl.certificate.location"], document["kafka"]["ssl.key.location"]


def foreign_certificate(document, broker):
    for option, file in (("certificate", "other-ca.pem"), ("key", "other-ca.key")):
        document["kafka"][f"ssl.{option}.location"] = str(broker.secrets / file)


def no_log_in(document, broker):
    document["kafka"]["bootstrap.servers"] = broker.sasl


def wrong_password(document, broker):
    document["kafka"]["sasl.password"] = "not-the-password-7f3a"


def forged_token(document, broker):
    file = broker.secrets / "forged"
    file.write_text(broker.token("sluice", 300)[:-8] + "AAAAAAAA")
    document["kafka"]["sasl.oauthbearer.token.file"] = str(file)


def old_token(document, broker):
    file = broker.secrets / "old"
    file.write_text(broker.token("sluice", -100))
    document["kafka"]["sasl.oauthbearer.token.file"] = str(file)


def no_token(document, broker):
    document["kafka"]["sasl.oauthbearer.token.file"] = str(broker.secrets / "nowhere")


REFUSALS = [
    ("over-tls", other_ca, r"signed by an authority that is not known here.*ssl\.ca\.location"),
    ("over-tls", other_host, r"certificate of localhost:\d+ is made out to another host name"),
    ("over-tls", no_tls, r'"security\.protocol" is plaintext.*its port wants TLS'),
    ("over-tls", tls_where_there_is_none, r"its port does not speak TLS"),
    ("over-tls", no_log_in, r'"security\.protocol" is ssl.*its port wants SASL'),
    ("over-mutual-tls", no_certificate, r"refuses our side of TLS.*ssl\.certificate\.location"),
    ("over-mutual-tls", foreign_certificate, r"refuses our side of TLS"),
    ("over-plain", wrong_password, r"does not let the user .* in by PLAIN.*sasl\.password"),
    ("over-scram", wrong_password, r"does not let the user .* in by SCRAM.*librdkafka 2\.6\.1"),
    ("over-tokens", forged_token, r"refuses our token.*invalid_token"),
    ("over-tokens", old_token, r"no token to log in.*expired \d+ s ago"),
    ("over-tokens", no_token, r"no token to log in.*cannot be read: No such file"),
]


@pytest.mark.parametrize(
    "name, change, sentence", REFUSALS, ids=[f"{n}-{c.__name__}" for n, c, _ in REFUSALS]
)
def test_each_refusal_is_one_clear_sentence(
    topics, environment, tmp_path, name, change, sentence
):
    """Source and sink, each by its own client."""
    path = write(tmp_path, name, lambda d: change(d, topics))
    began = time.monotonic()
    run = sluice.run_command(
        "run", "--until-end", "--json", path, limit_s=LIMIT_S, env=environment
    )
    took = time.monotonic() - began
    assert run.exit_code == 1, run.failed_because()
    for node in ("orders", "copy"):
        failure = run.node(node)["failure"]
        assert failure is not None and re.search(sentence, failure), failure
    assert took < REFUSAL_LIMIT_S
    assert_hidden(run, environment)
    assert "not-the-password" not in run.log + run.output


def test_tokens_are_renewed_while_it_runs(topics, environment, tmp_path):
    """The broker ends each connection with its token: what comes after the first one's end is
    copied only by a client that has fetched another."""
    life_s = 6
    file = tmp_path / "short-token"
    renewed = 0

    def renew():
        nonlocal renewed
        renewed = time.monotonic()
        (tmp_path / "next").write_text(topics.token("sluice", life_s))
        (tmp_path / "next").rename(file)

    renew()
    first = renewed
    before = copied(topics)
    path = write(tmp_path, "over-tokens")
    env = {**environment, "KAFKA_TOKEN_FILE": str(file)}
    with sluice.Process("run", "--json", path, env=env) as process:
        process.wait_for(lambda: copied(topics) == before + RECORDS, LIMIT_S, "the first copy")

        def two_lives_later():
            if time.monotonic() - renewed > 1:
                renew()
            return time.monotonic() - first > 2 * life_s

        wait_for(two_lives_later, 10 * life_s, "the end of the first tokens")
        topics.produce("orders", [{"value": b"late"}])
        process.wait_for(lambda: copied(topics) == before + RECORDS + 1, LIMIT_S, "the late one")


@pytest.mark.parametrize(
    "section, sentence",
    [
        ({"security.protocol": "sasl_ssl"}, 'without "sasl.mechanism"'),
        ({"sasl.mechanism": "PLAIN"}, '"security.protocol" is plaintext'),
        (
            {"security.protocol": "sasl_ssl", "sasl.mechanism": "OAUTHBEARER"},
            'no "sasl.oauthbearer.token.file"',
        ),
        ({"sasl.oauthbearer.token.file": "token"}, 'needs "sasl.mechanism": "OAUTHBEARER"'),
        ({"sasl.oauthbearer.method": "oidc"}, "is not supported"),
    ],
)
def test_what_does_not_fit_is_found_by_validate(tmp_path, section, sentence):
    def change(document):
        document["kafka"] = {"bootstrap.servers": "127.0.0.1:1", **section}

    run = sluice.run_command("validate", write(tmp_path, "over-tls", change), limit_s=LIMIT_S)
    assert run.exit_code == 2
    assert sentence in run.log + run.output


def test_a_password_does_not_stand_in_a_node(tmp_path):
    def change(document):
        document["sinks"]["copy"]["config"]["sasl.password"] = "hush-77"

    run = sluice.run_command("validate", write(tmp_path, "over-tls", change), limit_s=LIMIT_S)
    assert run.exit_code == 2
    assert 'belongs into the section "kafka"' in run.log + run.output
    assert "hush-77" not in run.log + run.output
