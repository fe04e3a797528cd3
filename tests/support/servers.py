"""Real servers for tests: an Apache Kafka broker and Azurite, by the scripts of deploy/dev.

Each is a context manager that starts the server in a folder of the test's, and stops it on leaving.
Everything about ports, readiness and stopping is the scripts' matter; what is here is what a test
then does with the server: topics, messages, end offsets, containers.
"""

import base64
import datetime
import email.utils
import hashlib
import hmac
import http.client
import ssl
import subprocess
import time
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parents[2]
DEV = ROOT / "deploy" / "dev"


def _run(script, *arguments):
    command = ["bash", str(DEV / script), *map(str, arguments)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} exited with {done.returncode}:\n{done.stderr}")
    return done.stdout


def _read_env(folder):
    lines = (Path(folder) / "env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


def wait_for(condition, limit_s, what):
    """The condition's first true value; TimeoutError, which names `what`, after `limit_s`."""
    end = time.monotonic() + limit_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= end:
            raise TimeoutError(f"{what}: not within {limit_s} s")
        time.sleep(0.02)


class Kafka:
    """A broker. `properties` are further broker properties. Restarting keeps port and data.

    `version` is that of another Kafka. A `secure` one has further listeners: `tls`, `mtls` and `sasl` are their addresses, `secrets` is
    the folder of certificates and passwords (deploy/dev/kafka/secure.sh)."""

    def __init__(self, folder, secure=False, version=None, **properties):
        self.folder = Path(folder)
        self.options = ["--secure"] if secure else []
        self.options += ["--version", version] if version else []
        self.secure = secure
        self.tls = self.mtls = self.sasl = self.secrets = None
        self.properties = {name.replace("_", "."): value for name, value in properties.items()}
        self.bootstrap = None
        self.pid = None

    def start(self):
        settings = [part for k, v in self.properties.items() for part in ("--set", f"{k}={v}")]
        _run("kafka.sh", "start", self.folder, *settings, *self.options)
        env = _read_env(self.folder)
        self.bootstrap, self.pid = env["BOOTSTRAP"], int(env["PID"])
        if self.secure:
            self.tls, self.mtls = env["BOOTSTRAP_TLS"], env["BOOTSTRAP_MTLS"]
            self.sasl, self.secrets = env["BOOTSTRAP_SASL"], Path(env["SECRETS"])
        return self

    def stop(self):
        _run("kafka.sh", "stop", self.folder)

    def kill(self):
        """Ends the broker as a power cut would."""
        _run("kafka.sh", "kill", self.folder)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    def token(self, subject, seconds):
        """A signed token for SASL OAUTHBEARER that is good for so long."""
        return _run("kafka.sh", "token", self.folder, subject, seconds).strip()

    def _admin(self):
        from confluent_kafka.admin import AdminClient

        return AdminClient({"bootstrap.servers": self.bootstrap})

    def create_topic(self, name, partitions=1, **config):
        """`config`: topic properties with `_` for `.`, for example max_message_bytes=67108864."""
        from confluent_kafka.admin import NewTopic

        settings = {k.replace("_", "."): str(v) for k, v in config.items()}
        topic = NewTopic(name, num_partitions=partitions, replication_factor=1, config=settings)
        admin = self._admin()
        admin.create_topics([topic])[name].result(30)
        wait_for(
            lambda: (
                len(getattr(admin.list_topics(timeout=10).topics.get(name), "partitions", ()))
                == partitions
            ),
            30,
            f"topic {name} with {partitions} partitions",
        )

    def delete_topic(self, name):
        admin = self._admin()
        admin.delete_topics([name])[name].result(30)
        wait_for(lambda: name not in admin.list_topics(timeout=10).topics, 30, f"{name} deleted")

    def delete_group(self, group):
        admin = self._admin()  # a client that is dropped never completes its futures
        admin.delete_consumer_groups([group])[group].result(30)

    def committed_offset(self, group, topic, partition=0):
        """None: the group has none there."""
        from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition

        admin = self._admin()  # a client that is dropped never completes its futures
        asked = ConsumerGroupTopicPartitions(group, [TopicPartition(topic, partition)])
        (found,) = admin.list_consumer_group_offsets([asked])[group].result(30).topic_partitions
        return None if found.offset < 0 else found.offset

    def group_members(self, group):
        """How many there are; dead ones count until their session is over."""
        admin = self._admin()  # a client that is dropped never completes its futures
        described = admin.describe_consumer_groups([group])[group].result(30)
        return len(described.members)

    def allow(self, user, operation, kind, name, prefixed=False):
        """Grants a right, by the names of AclOperation and ResourceType, and waits until it holds.
        Needs an authorizer among the properties."""
        from confluent_kafka.admin import AclBinding, AclBindingFilter
        from confluent_kafka.admin import AclOperation, AclPermissionType
        from confluent_kafka.admin import ResourcePatternType, ResourceType

        pattern = ResourcePatternType.PREFIXED if prefixed else ResourcePatternType.LITERAL
        right = (ResourceType[kind], name, pattern, f"User:{user}", "*")
        right += (AclOperation[operation], AclPermissionType.ALLOW)
        admin = self._admin()
        (granted,) = admin.create_acls([AclBinding(*right)]).values()
        granted.result(30)
        seen = AclBindingFilter(*right)
        wait_for(lambda: admin.describe_acls(seen).result(30), 30, f"the right {right}")

    def forget_rights(self):
        """Takes back all that were granted."""
        from confluent_kafka.admin import AclBindingFilter, AclOperation, AclPermissionType
        from confluent_kafka.admin import ResourcePatternType, ResourceType

        every = AclBindingFilter(
            ResourceType.ANY, None, ResourcePatternType.ANY, None, None,
            AclOperation.ANY, AclPermissionType.ANY,
        )  # fmt: skip
        admin = self._admin()
        (forgotten,) = admin.delete_acls([every]).values()
        forgotten.result(30)
        wait_for(lambda: not admin.describe_acls(every).result(30), 30, "no rights")

    def end_offsets(self, topic, isolation="read_uncommitted"):
        """Partition to (first, next) offset."""
        from confluent_kafka import Consumer, TopicPartition

        settings = {"group.id": "end-offsets", "isolation.level": isolation}
        consumer = Consumer({"bootstrap.servers": self.bootstrap, **settings})
        try:
            partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
            return {
                p: consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=10)
                for p in sorted(partitions)
            }
        finally:
            consumer.close()

    def has_ended_transactions(self, topic):
        """Whether all that were written to the topic have their markers in it.

        Brokers of Kafka 4 that are killed before that may forget them for good: who finishes the
        transaction takes a partition that has no leader at that moment for one that was deleted
        (KRaftMetadataCache.getPartitionLeaderEndpoint).
        """
        return self.end_offsets(topic, "read_committed") == self.end_offsets(topic)

    def messages(self, topic, isolation="read_committed"):
        """Yields the messages that the topic holds now, as that isolation sees them; of each partition
        in their order."""
        from confluent_kafka import Consumer, KafkaError, TopicPartition

        partitions = self.end_offsets(topic)
        consumer = Consumer(
            {
                "bootstrap.servers": self.bootstrap,
                "group.id": "look",
                "isolation.level": isolation,
                "enable.partition.eof": True,
                "enable.auto.commit": False,
            }
        )
        consumer.assign([TopicPartition(topic, p, 0) for p in partitions])
        ended = set()
        try:
            while len(ended) < len(partitions):
                for message in consumer.consume(10_000, 1):
                    if message.error() is None:
                        yield message
                    elif message.error().code() == KafkaError._PARTITION_EOF:
                        ended.add(message.partition())
        finally:
            consumer.close()


    def produce(self, topic, records, **config):
        """Delivers an iterable of dicts: value, and if wanted key, partition, timestamp (ms),
        headers.

        Returns the number delivered; the first refusal is raised.
        """
        from confluent_kafka import KafkaException, Producer

        settings = {"bootstrap.servers": self.bootstrap, "linger.ms": 20}
        settings.update({k.replace("_", "."): v for k, v in config.items()})
        producer = Producer(settings)
        failed = []

        def delivered(error, _):
            if error is not None and not failed:
                failed.append(error)

        count = 0
        for record in records:
            while True:
                try:
                    producer.produce(topic, on_delivery=delivered, **record)
                    break
                except BufferError:
                    producer.poll(0.1)
            count += 1
            if count % 1000 == 0:
                producer.poll(0)
        left = producer.flush(120)
        if failed:
            raise KafkaException(failed[0])
        if left:
            raise TimeoutError(f"{left} of {count} messages were not delivered within 120 s")
        return count


class Azurite:
    """Azure's storage emulator. `url` is its Blob endpoint without the account.

    A `secure` one speaks TLS, with a certificate signed by the authority in the file `ca`, and takes
    bearer tokens besides its key."""

    def __init__(self, folder, secure=False):
        self.folder = Path(folder)
        self.secure = secure
        self.ca = self.folder.resolve() / "secrets" / "ca.pem" if secure else None
        self.url = self.account = self.key = self.pid = None

    def start(self):
        _run("azurite.sh", "start", self.folder, *(["--secure"] if self.secure else []))
        env = _read_env(self.folder)
        self.url, self.account = env["AZURITE_BLOB_STORAGE_URL"], env["AZURE_STORAGE_ACCOUNT"]
        self.key, self.pid = env["AZURE_STORAGE_KEY"], int(env["PID"])
        return self

    def stop(self):
        _run("azurite.sh", "stop", self.folder)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    def environment(self):
        """What delta-rs and DuckDB look for to reach this server, as environment variables."""
        trusted = {"SSL_CERT_FILE": str(self.ca)} if self.secure else {}
        return {
            **trusted,
            "AZURITE_BLOB_STORAGE_URL": self.url,
            "AZURE_STORAGE_ACCOUNT_NAME": self.account,
            "AZURE_STORAGE_ACCOUNT_KEY": self.key,
            "AZURE_STORAGE_USE_EMULATOR": "true",
        }

    def _connection(self):
        address = urlsplit(self.url).netloc
        if not self.secure:
            return http.client.HTTPConnection(address, timeout=30)
        trusted = ssl.create_default_context(cafile=self.ca)
        return http.client.HTTPSConnection(address, timeout=30, context=trusted)

    def create_container(self, name, account=None):
        """Create Container, with a SharedKey signature; one that exists is left as it is. `account`:
        another than `self.account`."""
        account = account or self.account
        headers = {
            "x-ms-date": email.utils.format_datetime(
                datetime.datetime.now(datetime.timezone.utc), usegmt=True
            ),
            "x-ms-version": "2021-12-02",
        }
        canonical_headers = "".join(f"{k}:{v}\n" for k, v in sorted(headers.items()))
        # The emulator's account stands in the path, and so twice in the canonical resource.
        resource = f"/{account}/{account}/{name}\nrestype:container"
        to_sign = "PUT\n" + "\n" * 11 + canonical_headers + resource
        digest = hmac.new(base64.b64decode(self.key), to_sign.encode(), hashlib.sha256).digest()
        signature = base64.b64encode(digest).decode()
        headers["Authorization"] = f"SharedKey {account}:{signature}"
        connection = self._connection()
        try:
            path = f"/{account}/{name}?restype=container"
            connection.request("PUT", path, headers={**headers, "Content-Length": "0"})
            answer = connection.getresponse()
            body = answer.read().decode("utf-8", "replace")
        finally:
            connection.close()
        if answer.status not in (201, 409):
            raise RuntimeError(f"creating container {name}: HTTP {answer.status}: {body}")
