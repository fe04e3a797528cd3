"""Small bronze tables for the oracle's own tests, and retail events with a feed's faults."""

import json
import random
from pathlib import Path

import polars as pl

ROOT = Path(__file__).resolve().parents[2]
EVENT_SCHEMA = json.loads((ROOT / "deploy" / "demo" / "event.schema.json").read_text())
START_US = 1_795_341_600_000_000  # 2026-11-22T10:00:00Z
SECOND = 1_000_000


def bronze(rows):
    """`rows`: (partition, offset, Kafka time in seconds or None, value as bytes, dict or None)."""
    return pl.DataFrame(
        {
            "value": [json.dumps(v).encode() if isinstance(v, dict) else v for *_, v in rows],
            "topic": ["t"] * len(rows),
            "partition": [r[0] for r in rows],
            "offset": [r[1] for r in rows],
            "timestamp": [None if r[2] is None else int(r[2] * SECOND) for r in rows],
        },
        schema={
            "value": pl.Binary,
            "topic": pl.String,
            "partition": pl.Int32,
            "offset": pl.Int64,
            "timestamp": pl.Int64,
        },
    )


def iso(seconds):
    """A time as a schema's date-time; whole milliseconds."""
    moment = pl.Series([round(seconds * SECOND)]).cast(pl.Datetime("us"))
    return moment.dt.strftime("%Y-%m-%dT%H:%M:%S%.3fZ")[0]


def retail_event(seed, **changes):
    """A valid retail event as a dict, the same for the same seed."""
    rng = random.Random(seed)
    event = {
        "event_id": f"{rng.getrandbits(128):032x}",
        "ts": iso(1_795_341_600 + rng.randrange(10_000) / 1000),
        "device_id": f"dev-{rng.randrange(20000):05d}",
        "customer_id": rng.randrange(1, 5_000_000),
        "event_type": rng.choice(["page_view", "add_to_cart", "purchase", "refund", "sensor"]),
        "amount": rng.randrange(1, 50_000) / 100,
        "currency": "EUR",
        "country": rng.choice(["DE", "FR"]),
        "session": {
            "id": f"s-{rng.getrandbits(32):08x}",
            "page": "/cart",
            "duration_ms": rng.randrange(120_000),
        },
        "temperature": rng.randrange(-100, 450) / 10,
        "tags": ["promo", "app"],
    }
    event.update(changes)
    return event


def compact(event):
    """As feeds write it: without white space."""
    return json.dumps(event, separators=(",", ":"), ensure_ascii=False).encode()


def faults(seed):
    """One event with each fault of a real feed, by name; all of them have to be rejected."""
    event = retail_event(seed)
    good = compact(event)
    kind, cents = event["event_type"].encode(), b'"amount":'
    return {
        "truncated": good[: len(good) // 2],
        "missing_event_id": compact({k: v for k, v in event.items() if k != "event_id"}),
        "bad_enum": good.replace(b'"event_type":"%s"' % kind, b'"event_type":"???"'),
        "negative_amount": good.replace(cents, cents + b"-"),
        "bad_ts": good.replace(b'"ts":"', b'"ts":"not-a-time '),
        "wrong_type": compact({**event, "customer_id": "x" + str(event["customer_id"])}),
        "garbage": b"\xff" + good,
        "empty": b"",
        "no value": None,
        "an array": b"[" + good + b"]",
        "two documents": good + good,
        "twice the same key": good[:-1] + b',"country":"DE"}',
        "too many digits": compact({**event, "amount": 0.125}),
        "too large an amount": good.replace(cents, cents + b"99999999999"),
        "too large an integer": compact({**event, "customer_id": 2**63}),
        "short id": compact({**event, "event_id": event["event_id"][1:]}),
        "no day of the calendar": compact({**event, "ts": "2026-02-30T10:00:00Z"}),
        "null": compact({**event, "country": None}),
        "nan": good.replace(b'"temperature":', b'"temperature":NaN,"x":'),
        "lone surrogate": good.replace(b'"/cart"', b'"\\ud800"'),
        "control character": good.replace(b'"/cart"', b'"/ca\trt"'),
    }
