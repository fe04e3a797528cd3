"""The benchmark's load: a feed of retail events, in a topic and in a file."""

from tests.support import events


def load(broker, topic, count, raw_path):
    """Produces `count` events keyed by device, and writes their values to `raw_path`; their
    bytes."""
    with open(raw_path, "wb", buffering=1 << 20) as raw:

        def kept():
            for record in events.records(events.Feed(records=count)):
                raw.write(record["value"])
                yield record

        delivered = broker.produce(topic, kept(), linger_ms=50, batch_size=1_000_000)
    if delivered != count:
        raise RuntimeError(f"{delivered} of {count} events were delivered")
    return raw_path.stat().st_size
