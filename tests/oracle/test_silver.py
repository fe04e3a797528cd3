"""Clock and duplicates on hand-made records, each a few seconds apart."""

import pytest

from tests.oracle import DedupSpec, expect, samples
from tests.oracle.silver import clock
from tests.oracle.spec import duration_us, path_parts

SCHEMA = {
    "properties": {
        "k": {"type": ["string", "null"]},
        "o": {"type": "object", "properties": {"k": {"type": "integer"}}},
    },
    "required": ["k"],
}


def kept_and_duplicates(rows, within, max_ahead=None, key="k"):
    dedup = DedupSpec(key, duration_us(within), duration_us(max_ahead))
    answer = expect(samples.bronze(rows), SCHEMA, dedup)
    places = [
        frame.select("_partition", "_offset").rows()
        for frame in (answer.silver, answer.duplicates, answer.rejected)
    ]
    assert sum(map(len, places)) == answer.records
    return places[:2]


def test_within_w_by_the_clock_including_its_edge():
    a = {"k": "a"}
    rows = [(0, 0, 0, a), (0, 1, 10, a), (0, 2, 21, a)]
    assert kept_and_duplicates(rows, "10s") == [[(0, 0), (0, 2)], [(0, 1)]]


def test_an_occurrence_that_was_not_kept_counts():
    a = {"k": "a"}
    rows = [(0, 0, 0, a), (0, 1, 8, a), (0, 2, 16, a), (0, 3, 27, a)]
    assert kept_and_duplicates(rows, "10s") == [[(0, 0), (0, 3)], [(0, 1), (0, 2)]]


def test_partitions_know_nothing_of_each_other():
    a = {"k": "a"}
    rows = [(0, 0, 0, a), (1, 0, 1, a), (1, 1, 2, a), (0, 1, 2, {"k": "b"})]
    assert kept_and_duplicates(rows, "10s") == [[(0, 0), (0, 1), (1, 0)], [(1, 1)]]


def test_offset_order_counts_not_the_order_of_rows():
    a = {"k": "a"}
    assert kept_and_duplicates([(0, 5, 3, a), (0, 2, 1, a)], "10s") == [[(0, 2)], [(0, 5)]]


def test_a_rejected_record_moves_the_clock_and_is_no_occurrence():
    a = {"k": "a"}
    rows = [(0, 0, 0, a), (0, 1, 100, b"{"), (0, 2, 5, a), (0, 3, 5, a)]
    assert kept_and_duplicates(rows, "10s") == [[(0, 0), (0, 2)], [(0, 3)]]


def test_the_clock_never_goes_back():
    a, b = {"k": "a"}, {"k": "b"}
    rows = [(0, 0, 50, a), (0, 1, 10, b), (0, 2, 55, b), (0, 3, 61, a)]
    assert kept_and_duplicates(rows, "10s") == [[(0, 0), (0, 1), (0, 3)], [(0, 2)]]


def test_one_timestamp_far_ahead_does_not_empty_the_window():
    a, b = {"k": "a"}, {"k": "b"}
    rows = [(0, 0, 0, a), (0, 1, 9000, b), (0, 2, 1, a)]
    assert kept_and_duplicates(rows, "10s") == [[(0, 0), (0, 1), (0, 2)], []]
    assert kept_and_duplicates(rows, "10s", "5s") == [[(0, 0), (0, 1)], [(0, 2)]]


def test_a_null_key_is_never_a_duplicate_and_keys_may_lie_deep():
    rows = [(0, i, i, {"k": None, "o": {"k": i % 2}}) for i in range(3)]
    assert kept_and_duplicates(rows, "10s") == [[(0, 0), (0, 1), (0, 2)], []]
    assert kept_and_duplicates(rows, "10s", key="o.k") == [[(0, 0), (0, 1)], [(0, 2)]]


@pytest.mark.parametrize(
    "times, bound, wanted",
    [
        ([5, 3, 9], None, [5, 5, 9]),
        ([100, 103, 200, 104, 300], 5, [100, 103, 108, 108, 113]),
        ([100, 200, 200, 200], 60, [100, 160, 200, 200]),
        ([None, 100, None, 101], 5, [0, 100, 100, 101]),
        ([None, None], 5, [0, 0]),
        ([], 5, []),
    ],
)
def test_clock(times, bound, wanted):
    assert clock(times, bound).tolist() == wanted


def test_durations_and_paths():
    assert duration_us("1h30m") == 5_400_000_000
    assert duration_us("250ms") == 250_000
    assert duration_us(None) is None
    for wrong in ("10", "s", "1x", "1 s", ""):
        with pytest.raises(ValueError):
            duration_us(wrong)
    assert path_parts("session.duration_ms") == ["session", "duration_ms"]
    assert path_parts("a.`b.c`.d") == ["a", "b.c", "d"]
