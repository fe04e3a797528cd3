"""The crash tests' check of the accounts is checked: right books pass, each wrong number does not."""

import json
from dataclasses import replace
from types import SimpleNamespace

import polars as pl
import pytest

from tests.crash import accounts
from tests.crash.accounts import Book, Count, Ledger

SINKS = {"bronze": (10, 0), "silver_tbl": (7, 1), "quarantine": (2, 1)}  # rows, dropped


def _books():
    return {n: Book({0: Count(10, 10, rows, dropped)}, rows) for n, (rows, dropped) in SINKS.items()}


def _with(name, **changes):
    books = _books()
    books[name].counts[0] = replace(books[name].counts[0], **changes)
    return books


def test_right_books():
    assert list(accounts.wrong_books(_books())) == []
    assert list(accounts.wrong_since(_books(), _books())) == []


def test_sinks_at_different_offsets_need_not_agree():
    assert list(accounts.wrong_books(_with("quarantine", next_offset=12, records=12))) == []


@pytest.mark.parametrize(
    ("name", "changes", "told"),
    [
        ("bronze", {"rows": 9}, "10 records, 9 rows"),
        ("silver_tbl", {"records": 9}, "10 offsets, 9 records"),
        ("silver_tbl", {"rows": 12}, "more rows than records"),
        ("silver_tbl", {"rows": 8}, "8 rows, its files hold 7"),
        ("silver_tbl", {"dropped": 2}, "2 or 1 duplicates"),
        ("quarantine", {"rows": 3}, "3 in quarantine"),
    ],
)
def test_a_wrong_number_is_found(name, changes, told):
    assert any(told in line for line in accounts.wrong_books(_with(name, **changes)))


def test_going_back_is_found():
    assert list(accounts.wrong_since(_books(), {n: Book() for n in SINKS}))
    assert list(accounts.wrong_since(_books(), _with("silver_tbl", dropped=0)))


def test_a_table_s_log_is_folded(tmp_path):
    def entry(number, *actions):
        path = tmp_path / "_delta_log" / f"{number:020}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n".join(json.dumps(action) for action in actions))

    def txn(what, n):
        return {"txn": {"appId": f"p/silver_tbl/silver/events/topic/3{what}", "version": n}}

    def add(path, rows):
        return {"add": {"path": path, "stats": json.dumps({"numRecords": rows})}}

    entry(0, txn("", 4), txn("#records", 4), txn("#rows", 4), add("a", 4))
    entry(1, txn("", 9), txn("#records", 9), txn("#rows", 7), txn("#dropped", 2), add("b", 3))
    entry(2, {"remove": {"path": "a"}}, {"remove": {"path": "b"}}, add("c", 7))
    ledger = Ledger(SimpleNamespace(table=lambda _name: tmp_path))
    assert ledger.books()["silver_tbl"] == Book({3: Count(9, 9, 7, 2)}, 7)
    assert ledger.in_flight({3: 12}) == 3
    assert ledger.in_flight({2: 5, 3: 9}) == 5
    for number in range(3):  # cleaned
        (tmp_path / "_delta_log" / f"{number:020}.json").unlink()
    entry(3, {"remove": {"path": "c"}}, add("d", 7))
    assert ledger.books()["silver_tbl"] == Book({3: Count(9, 9, 7, 2)}, 7)


def _summary(**changes):
    reader = {
        "node": "silver_tbl",
        "next_offset": 10,
        "records": 10,
        "rows": 7,
        "dropped": 1,
        "elsewhere": 2,
        "in_flight": 0,
    } | changes
    return {"accounts": [{"partition": 0, "records": 10, "readers": [reader]}]}


def _wrong(summary, through=True):
    return accounts.wrong_summary(summary, _books(), alone=True, through=through)


def test_a_right_summary():
    assert _wrong(_summary()) is None


@pytest.mark.parametrize(
    "changes", [{"in_flight": 1}, {"elsewhere": 1}, {"rows": 6, "elsewhere": 3}, {"records": 9}]
)
def test_a_wrong_summary_is_found(changes):
    assert _wrong(_summary(**changes)) is not None


def test_a_sink_that_was_behind_may_be_behind_at_a_stop():
    """But what was read is somewhere."""
    summary, ahead = _summary(), _summary()["accounts"][0]["readers"][0]
    summary["accounts"][0] |= {"records": 12}
    summary["accounts"][0]["readers"] = [
        ahead | {"in_flight": 2},
        ahead | {"node": "other", "records": 12, "next_offset": 12, "elsewhere": 4},
    ]
    assert _wrong(summary, through=False) is None
    assert "in flight at the end" in _wrong(summary)
    del summary["accounts"][0]["readers"][1]
    assert "no sink has more than 10" in _wrong(summary, through=False)


def test_the_end_is_compared_with_the_oracle():
    def frame(rows):
        return pl.DataFrame({"_partition": [0] * rows}, schema={"_partition": pl.Int32})

    answer = SimpleNamespace(silver=frame(7), rejected=frame(2), duplicates=frame(1))
    assert accounts.wrong_in_the_end(_books(), {0: (0, 10)}, answer) is None
    assert accounts.wrong_in_the_end(_books(), {0: (0, 11)}, answer) is not None
    answer.duplicates = frame(2)
    assert accounts.wrong_in_the_end(_books(), {0: (0, 10)}, answer) is not None
