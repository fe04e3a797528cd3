"""The development servers: a real broker that takes, keeps and gives messages, and Azurite."""

import shutil

import pytest

from tests.support.servers import Azurite, Kafka

confluent_kafka = pytest.importorskip("confluent_kafka")
deltalake = pytest.importorskip("deltalake")
pa = pytest.importorskip("pyarrow")


def consumed(bootstrap, topic, count):
    """`count` (partition, offset, key, value, timestamp) of the topic, in the order of arrival."""
    consumer = confluent_kafka.Consumer(
        {"bootstrap.servers": bootstrap, "group.id": "reader", "auto.offset.reset": "earliest"}
    )
    consumer.subscribe([topic])
    got = []
    try:
        while len(got) < count:
            messages = consumer.consume(count, timeout=30)
            assert messages, f"{len(got)} of {count} messages within 30 s"
            for m in messages:
                assert m.error() is None
                got.append((m.partition(), m.offset(), m.key(), m.value(), m.timestamp()[1]))
        consumer.commit(asynchronous=False)
    finally:
        consumer.close()
    return got


@pytest.mark.skipif(shutil.which("java") is None, reason="no java for a real broker")
def test_a_broker_keeps_port_and_messages_over_a_kill(tmp_path):
    with Kafka(tmp_path / "kafka", message_max_bytes=67108864) as kafka:
        kafka.create_topic("events", 4, max_message_bytes=67108864)
        records = [
            {"key": b"k%d" % (i % 9), "value": b"v%d" % i, "timestamp": 1_000_000 + i}
            for i in range(1000)
        ]
        assert kafka.produce("events", records) == 1000
        bootstrap, first_pid = kafka.bootstrap, kafka.pid
        kafka.kill()
        kafka.start()
        assert kafka.bootstrap == bootstrap and kafka.pid != first_pid
        large = {"value": b"x" * 50_000_000, "partition": 2}
        assert kafka.produce("events", [large], message_max_bytes=67108864) == 1
        ends = kafka.end_offsets("events")
        assert sum(after - first for first, after in ends.values()) == 1001
        got = consumed(kafka.bootstrap, "events", 1001)
        small = sorted((k, v, t) for _, _, k, v, t in got if len(v) < 10)
        assert small == sorted((r["key"], r["value"], r["timestamp"]) for r in records)
        kafka.delete_group("reader")
        kafka.delete_topic("events")


@pytest.mark.skipif(shutil.which("node") is None, reason="no node for Azurite")
def test_azurite_holds_a_delta_table(tmp_path, monkeypatch):
    with Azurite(tmp_path / "azurite") as azurite:
        azurite.create_container("lake")
        azurite.create_container("lake")
        for name, value in azurite.environment().items():
            monkeypatch.setenv(name, value)
        deltalake.write_deltalake("az://lake/t", pa.table({"a": [1, 2]}))
        assert deltalake.DeltaTable("az://lake/t").to_pyarrow_table().num_rows == 2
