"""Messages that nobody should send: each ends in quarantine with its reason, and nothing else
stops.

Whether a message is bad, and what its neighbours become, the oracle says; here stands which
messages, and that the reason names the right kind of fault.
"""

import random

import pytest

from tests.integration.conftest import LARGE_BYTES
from tests.lake import readers
from tests.oracle import check, expect_for_topology, samples
from tests.support import sluice
from tests.support.events import START_MS
from tests.support.medallion import Medallion

HUGE_BYTES = 50_000_000
GOOD = samples.compact(samples.retail_event(1))


def _field(name, value):
    return samples.compact(samples.retail_event(2, **{name: value}))


def _deep(opening, closing, levels):
    return GOOD[:-1] + b',"deep":' + opening * levels + b"1" + closing * levels + b"}"


# name: (value, words of which the reason or its detail has one)
BAD = {
    "truncated": (GOOD[: len(GOOD) // 2], ("end", "truncated", "incomplete")),
    "cut inside a string": (GOOD[: GOOD.index(b'"dev-') + 3], ("end", "unterminated", "string")),
    "binary": (random.Random(3).randbytes(1_000), ("utf", "json", "character", "expected")),
    "a zero byte": (b"\0", ("json", "character", "expected")),
    "gzip": (b"\x1f\x8b\x08\0\0\0\0\0\0\3", ("json", "character", "expected")),
    "bad UTF-8": (GOOD.replace(b'"/cart"', b'"/\xc3\x28"'), ("utf",)),
    "overlong UTF-8": (GOOD.replace(b'"/cart"', b'"\xc0\xaf"'), ("utf",)),
    "lone surrogate": (GOOD.replace(b'"/cart"', b'"\\ud800"'), ("surrogate",)),
    "a byte order mark": (b"\xef\xbb\xbf" + GOOD, ("json", "character", "expected", "mark")),
    "trailing bytes": (GOOD + b"{}", ("trailing", "after")),
    "two documents": (GOOD + b"\n" + GOOD, ("trailing", "after")),
    "a key twice": (GOOD[:-1] + b',"country":"DE"}', ("twice", "duplicate")),
    "empty": (b"", ("empty", "end")),
    "white space": (b" \n\t", ("empty", "end")),
    "tombstone": (None, ("null", "no value", "tombstone", "empty")),
    "deep arrays": (b"[" * 100_000, ("deep", "depth", "nest")),
    "deep objects": (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, ("deep", "depth", "nest")),
    "deep inside": (_deep(b"[", b"]", 100_000), ("deep", "depth", "nest")),
    "no object": (b'"just a text"', ("type", "object")),
    "NaN": (GOOD.replace(b'"amount":', b'"amount":NaN,"x":'), ("number", "expected", "json")),
    "leading zero": (GOOD.replace(b'"customer_id":', b'"customer_id":0'), ("number", "zero")),
    "wrong type": (_field("customer_id", "7"), ("type", "integer")),
    "null": (_field("country", None), ("type", "null", "string")),
    "too large an integer": (_field("customer_id", 2**63), ("range", "int64", "integer")),
    "too many digits": (_field("amount", 99_999_999_999.0), ("decimal", "range", "digits")),
    "no time": (_field("ts", "2026-02-30T10:00:00Z"), ("date-time", "format")),
    "missing": (samples.faults(5)["missing_event_id"], ("required", "event_id")),
}


def _huge():
    filler = b"x" * HUGE_BYTES
    return {
        "50 MB without an end": (GOOD[: GOOD.index(b"/cart")] + filler, ("end", "size", "large")),
        "50 MB in a short field": (
            GOOD.replace(b'"device_id":"', b'"device_id":"%s' % filler),
            ("maxlength", "long", "size", "large"),
        ),
        "50 MB of zero bytes": (bytes(HUGE_BYTES), ("json", "character", "expected", "large")),
    }


@pytest.fixture(scope="module")
def lake(broker, new_topic, tmp_path_factory):
    """Bad messages between good ones, in two partitions; (topology, run, name by place)."""
    topic = new_topic(2, max_message_bytes=LARGE_BYTES)
    bad = {**BAD, **_huge()}
    records, names, following = [], {}, [0, 0]
    for number, (name, (value, _)) in enumerate(bad.items()):
        partition = number % 2
        names[(partition, following[partition])] = name
        good = samples.compact(samples.retail_event(1_000 + number))
        for content in (value, good):
            place = {"partition": partition, "timestamp": START_MS + number}
            records.append({"key": b"k", "value": content, **place})
            following[partition] += 1
    broker.produce(topic, records, message_max_bytes=LARGE_BYTES)
    medallion = Medallion(tmp_path_factory.mktemp("bad"), broker.bootstrap, topic)
    medallion.document["sources"]["events"]["config"].update(
        {"fetch.message.max.bytes": LARGE_BYTES, "receive.message.max.bytes": 2 * LARGE_BYTES}
    )
    run = sluice.run_until_end(medallion.write())
    return medallion, run, names, {name: words for name, (_, words) in bad.items()}


def test_bad_messages_are_quarantined_and_good_ones_are_not(lake, broker):
    medallion, _, names, words = lake
    bronze = readers.read(medallion.table("bronze"))
    assert bronze.num_rows == 2 * len(words)
    answer = expect_for_topology(bronze, medallion.document, medallion.folder)
    places = {(r["_partition"], r["_offset"]) for r in answer.rejected.to_dicts()}
    assert places == set(names), "the oracle rejects others than the bad ones"
    assert check.silver(answer, readers.read(medallion.table("silver_tbl"))) is None
    assert check.quarantine(answer, readers.read(medallion.table("quarantine"))) is None


def test_the_reason_names_the_fault(lake):
    medallion, _, names, words = lake
    unclear = []
    columns = ["reason", "path", "detail", "partition", "offset"]
    for row in readers.read(medallion.table("quarantine")).select(columns).to_pylist():
        name = names[(row["partition"], row["offset"])]
        told = f"{row['reason']} {row['path']} {row['detail']}".lower()
        if not any(word in told for word in words[name]):
            unclear.append(f"{name}: {told[:200]}")
    assert not unclear, "\n".join(unclear)


def test_quarantine_keeps_the_bytes_and_the_tombstone(lake):
    medallion, _, names, _ = lake
    rows = readers.read(medallion.table("quarantine")).to_pylist()
    by_name = {names[(r["partition"], r["offset"])]: r["value"] for r in rows}
    assert by_name["tombstone"] is None
    assert by_name["binary"] == BAD["binary"][0]
    assert len(by_name["50 MB of zero bytes"]) == HUGE_BYTES
