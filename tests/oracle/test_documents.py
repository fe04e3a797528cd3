"""The oracle's two ways of judging a record: each right by itself, and both the same."""

import datetime
import decimal
import random

import polars as pl
import pytest

from tests.oracle import samples
from tests.oracle.documents import Documents, Refused, date_time_us, parse
from tests.oracle.fast_rows import FastRows, NotFast
from tests.oracle.silver import valid_rows

UTC = datetime.timezone.utc


def judged(values):
    """(rows as dicts or None, reasons by row) of the retail schema."""
    series = pl.Series("value", values, dtype=pl.Binary)
    rows, refused = valid_rows(series, samples.EVENT_SCHEMA)
    return rows.to_list(), dict(refused)


@pytest.mark.parametrize("name", list(samples.faults(1)))
def test_each_fault_is_rejected_by_both_ways(name):
    value = samples.faults(1)[name]
    rows, refused = judged([samples.compact(samples.retail_event(2)), value])
    assert rows[0] is not None and rows[1] is None
    assert list(refused) == [1]


def test_a_valid_event_becomes_its_columns():
    event = samples.retail_event(3, amount=12.5, customer_id=7, ts="2026-11-22T10:00:00.250Z")
    (row,), refused = judged([samples.compact(event)])
    assert not refused
    assert row["amount"] == decimal.Decimal("12.50")
    assert row["ts"] == datetime.datetime(2026, 11, 22, 10, 0, 0, 250_000, UTC)
    assert row["session"] == event["session"]
    assert row["tags"] == ["promo", "app"]
    assert row["customer_id"] == 7


def spellings():
    """The same valid event, written in ways that the fast expression takes or leaves."""
    event = samples.retail_event(4, customer_id=12, amount=3)
    good = samples.compact(event)
    yield good
    yield good.replace(b":12,", b":12.0,").replace(b'"amount":3', b'"amount":3.00')
    yield good.replace(b":12,", b":1.2e1,")
    yield b" \n" + good.replace(b",", b", ") + b"\t"
    yield samples.compact(dict(reversed(event.items())))
    yield good.replace(b'"/cart"', b'"\\u002fcart"')
    yield good[:-1] + b',"unknown":{"deep":[1,2]}}'
    yield good.replace(event["ts"].encode(), event["ts"][:-1].encode() + b"+00:00")


def test_all_spellings_of_one_event_are_the_same_row():
    values = list(spellings())
    rows, refused = judged(values)
    assert not refused
    for value, row in zip(values, rows):
        assert row == rows[0], value


def test_what_may_be_absent_is_null():
    event = samples.retail_event(5)
    for name in ("session", "temperature", "tags"):
        del event[name]
    (row,), refused = judged([samples.compact(event)])
    assert not refused
    assert row["session"] is None and row["temperature"] is None and row["tags"] is None


def mutated(rng, value):
    """A byte changed, dropped, doubled or swapped, or a number or text put in."""
    at = rng.randrange(len(value))
    return [
        value[:at] + bytes([rng.randrange(256)]) + value[at + 1 :],
        value[:at] + value[at + 1 :],
        value[:at] + value[at : at + 1] + value[at:],
        value[:at] + rng.choice([b'"', b",", b"}", b"\\", b"1", b"-", b".", b"e9"]) + value[at:],
    ][rng.randrange(4)]


def test_fast_and_certain_way_agree_on_mutations():
    rng = random.Random(17)
    fast, certain = FastRows(samples.EVENT_SCHEMA), Documents(samples.EVENT_SCHEMA)
    kind = pl.Struct(certain.columns)
    values = [mutated(rng, samples.compact(samples.retail_event(s))) for s in range(4000)]
    values += [samples.compact(samples.retail_event(s)) for s in range(100)]
    rows = fast.columns(pl.Series("value", values, dtype=pl.Binary)).cast(kind).to_list()
    taken = [(v, row) for v, row in zip(values, rows) if row is not None]
    assert len(taken) > 500
    wanted = pl.Series([certain.row(v) for v, _ in taken], dtype=kind).to_list()
    assert [row for _, row in taken] == wanted


def test_fast_way_is_refused_for_schemas_beyond_it():
    for change in ({"pattern": "a"}, {"type": ["string", "null"]}, {"format": "uuid"}):
        schema = {"properties": {"a": {"type": "string", **change}}, "required": ["a"]}
        with pytest.raises(NotFast):
            FastRows(schema)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b" ",
        b"{",
        b"{}x",
        b"01",
        b"+1",
        b"1.",
        b"'a'",
        b"[1,]",
        b"nul",
        b"Infinity",
        b'"\\x41"',
        b"\xef\xbb\xbf{}",
        b'"\xed\xa0\x80"',
        b'"\xc0\xaf"',
        b'{"a":1,"a":1}',
        b"[" * 65 + b"]" * 65,
    ],
)
def test_strict_json(text):
    with pytest.raises(Refused):
        parse(text)


def test_date_times():
    assert date_time_us("1970-01-01T00:00:00Z") == 0
    assert date_time_us("1970-01-01t01:00:00.0000019+01:00") == 1
    assert date_time_us("1969-12-31T23:59:59.5Z") == -500_000
    for text in ("1970-01-01 00:00:00Z", "1970-01-01T00:00:00", "1970-13-01T00:00:00Z"):
        with pytest.raises(Refused):
            date_time_us(text)
