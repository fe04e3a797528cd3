"""What the tests of whole runs share: the program, one broker for all of them, topics of their own.

Numbers a machine may want otherwise: SLUICE_EVENTS, records of the acceptance run (2,000,000 is
what the product promises; the default keeps CI short).
"""

import itertools
import os
import shutil

import pytest

from tests.support import events, sluice
from tests.support.servers import Azurite, Kafka

LARGE_BYTES = 67_108_864
EVENTS = int(os.environ.get("SLUICE_EVENTS", "200000"))
_topic_numbers = itertools.count(1)


@pytest.fixture(scope="session", autouse=True)
def program():
    if not sluice.BINARY.exists():
        pytest.fail(f"{sluice.BINARY} is not built; run make")
    return sluice.BINARY


@pytest.fixture(scope="session")
def broker(tmp_path_factory):
    """A real broker that takes messages of 64 MiB."""
    pytest.importorskip("confluent_kafka")
    if shutil.which("java") is None:
        pytest.skip("no java for a real broker")
    folder = tmp_path_factory.mktemp("broker")
    limits = {
        "message_max_bytes": LARGE_BYTES,
        "replica_fetch_max_bytes": LARGE_BYTES,
        "socket_request_max_bytes": 2 * LARGE_BYTES,
        # members of killed runs are forgotten soon
        "group_min_session_timeout_ms": 1000,
    }
    with Kafka(folder, **limits) as kafka:
        yield kafka


@pytest.fixture(scope="session")
def own_broker(tmp_path_factory):
    """A second broker, which tests may stop and break, with TLS and log-ins besides.

    It has an authorizer, by which everybody may do everything until somebody grants a right."""
    pytest.importorskip("confluent_kafka")
    for program in ("java", "openssl"):
        if shutil.which(program) is None:
            pytest.skip(f"no {program} for a broker with TLS")
    folder = tmp_path_factory.mktemp("own-broker")
    rights = {
        "authorizer_class_name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "allow_everyone_if_no_acl_found": "true",
        "super_users": "User:ANONYMOUS",
    }
    with Kafka(folder, secure=True, group_min_session_timeout_ms=1000, **rights) as kafka:
        yield kafka


@pytest.fixture(scope="session")
def azurite(tmp_path_factory):
    """Azure's own emulator of Blob storage."""
    if shutil.which("npm") is None:
        pytest.skip("no npm for Azurite")
    with Azurite(tmp_path_factory.mktemp("azurite")) as server:
        yield server


@pytest.fixture(scope="session")
def secure_azurite(tmp_path_factory):
    """One that speaks TLS and takes bearer tokens."""
    for program in ("npm", "openssl"):
        if shutil.which(program) is None:
            pytest.skip(f"no {program} for Azurite with TLS")
    with Azurite(tmp_path_factory.mktemp("secure-azurite"), secure=True) as server:
        yield server


@pytest.fixture(scope="session")
def new_topic(broker):
    """A function that makes a topic for a feed; its name."""

    def make(partitions=8, **config):
        name = f"events-{next(_topic_numbers)}"
        broker.create_topic(name, partitions, **events.TOPIC_CONFIG, **config)
        return name

    return make
