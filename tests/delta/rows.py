"""Random rows of every type that Delta tables of ours have, with nulls and extremes."""

import datetime
import decimal
import random

import pyarrow as pa

ENTRY = pa.struct([pa.field("a", pa.int32()), pa.field("b", pa.string())])
SCHEMA = pa.schema(
    [
        pa.field("id", pa.int64(), nullable=False),
        pa.field("text", pa.string()),
        pa.field("small", pa.int8()),
        pa.field("short", pa.int16()),
        pa.field("int", pa.int32()),
        pa.field("single", pa.float32()),
        pa.field("double", pa.float64()),
        pa.field("yes", pa.bool_()),
        pa.field("bytes", pa.binary()),
        pa.field("day", pa.date32()),
        pa.field("at", pa.timestamp("us", "UTC")),
        pa.field("money", pa.decimal128(12, 2)),
        pa.field("large", pa.decimal128(38, 6)),
        pa.field("nested", pa.struct([pa.field("x", pa.int64()), pa.field("deep", ENTRY)])),
        pa.field("list", pa.list_(pa.field("element", pa.string()))),
        pa.field("entries", pa.list_(pa.field("element", ENTRY))),
        pa.field("map", pa.map_(pa.string(), pa.int64())),
    ]
)
ALPHABET = "aZ09 _-/\\\"'%=#?&+:.,;\u00e9\u20ac\U0001f600\u0001\n~"


def _text(r, longest=48):
    return "".join(r.choice(ALPHABET) for _ in range(r.randrange(longest)))


def _number(r, bits):
    edge = 1 << (bits - 1)
    return r.choice([r.randrange(-edge, edge), 0, edge - 1, -edge, r.randrange(100)])


def _entry(r):
    return {"a": r.choice([None, _number(r, 32)]), "b": r.choice([None, _text(r)])}


def _decimal(r, precision, scale):
    return decimal.Decimal(r.randrange(-(10**precision) + 1, 10**precision)).scaleb(-scale)


def _instant(r):
    first = datetime.datetime(1900, 1, 1, tzinfo=datetime.timezone.utc)
    return first + datetime.timedelta(microseconds=r.randrange(7_000_000_000_000_000))


def row(r, number):
    values = {
        "id": number,
        "text": _text(r),
        "small": _number(r, 8),
        "short": _number(r, 16),
        "int": _number(r, 32),
        "single": float(r.randrange(-1000, 1000)) / 8,
        "double": r.choice([r.gauss(0, 1e9), -0.0, 1e300, float("nan"), float("inf"), 0.1]),
        "yes": r.random() < 0.5,
        "bytes": r.randbytes(r.randrange(20)),
        "day": datetime.date(1900, 1, 1) + datetime.timedelta(days=r.randrange(80000)),
        "at": _instant(r),
        "money": _decimal(r, 12, 2),
        "large": _decimal(r, 38, 6),
        "nested": {"x": _number(r, 64), "deep": r.choice([None, _entry(r)])},
        "list": [r.choice([None, _text(r)]) for _ in range(r.randrange(4))],
        "entries": [r.choice([None, _entry(r)]) for _ in range(r.randrange(3))],
        "map": [(f"k{i}", r.choice([None, i])) for i in range(r.randrange(3))],
    }
    return {k: v if k == "id" or r.random() < 0.85 else None for k, v in values.items()}


def make(seed, n, first=0):
    r = random.Random(seed)
    return pa.Table.from_pylist([row(r, first + i) for i in range(n)], schema=SCHEMA)
