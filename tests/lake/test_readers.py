"""The readers and the comparison, on a table by delta-rs with columns of every Delta type."""

import datetime
import decimal

import pytest

pa = pytest.importorskip("pyarrow")
deltalake = pytest.importorskip("deltalake")

from tests.lake import compare, readers  # noqa: E402

UTC = datetime.timezone.utc


def rows(first, count):
    """Rows with nested columns, nulls at every level, and values at the edges of their types."""
    return [
        {
            "id": i,
            "small": None if i % 7 == 0 else i % 100,
            "name": None if i % 5 == 0 else f"größe {i} \U0001f680",
            "raw": bytes([i % 256, 0, 255]),
            "amount": decimal.Decimal(i * 37 - 5000).scaleb(-2),
            "wide": decimal.Decimal(10**38 - 1 - i),
            "at": datetime.datetime(2026, 11, 22, 10, 0, 0, i % 1000000, UTC),
            "day": datetime.date(1969, 12, 31) + datetime.timedelta(days=i),
            "rate": [0.1 * i, float("inf"), -0.0, float("nan")][i % 4],
            "yes": [True, False, None][i % 3],
            "session": None if i % 6 == 0 else {"page": f"/p{i}", "steps": [{"n": i}, None]},
            "tags": None if i % 4 == 0 else [[], ["a"], ["b", None]][i % 3],
            "labels": None if i % 9 == 0 else [("k", i), ("l", None)],
        }
        for i in range(first, first + count)
    ]


SCHEMA = pa.schema(
    [
        ("id", pa.int64()),
        ("small", pa.int16()),
        ("name", pa.string()),
        ("raw", pa.binary()),
        ("amount", pa.decimal128(12, 2)),
        ("wide", pa.decimal128(38, 0)),
        ("at", pa.timestamp("us", tz="UTC")),
        ("day", pa.date32()),
        ("rate", pa.float64()),
        ("yes", pa.bool_()),
        (
            "session",
            pa.struct(
                [
                    ("page", pa.string()),
                    ("steps", pa.list_(pa.struct([("n", pa.int64())]))),
                ]
            ),
        ),
        ("tags", pa.list_(pa.string())),
        ("labels", pa.map_(pa.string(), pa.int64())),
    ]
)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lake") / "t"
    for first in (0, 300):
        data = pa.Table.from_pylist(rows(first, 300), schema=SCHEMA)
        deltalake.write_deltalake(str(folder), data, mode="append", partition_by=["yes"])
    deltalake.DeltaTable(str(folder)).create_checkpoint()
    deltalake.write_deltalake(
        str(folder), pa.Table.from_pylist(rows(600, 5), schema=SCHEMA), mode="append"
    )
    return folder


def written():
    return pa.Table.from_pylist(rows(0, 605), schema=SCHEMA)


@pytest.mark.parametrize("name", list(readers.READERS))
def test_reader_sees_what_was_written(table, name):
    why = readers.missing(name)
    if why:
        pytest.skip(f"{name}: {why}")
    assert compare.difference(written(), readers.read(table, name)) is None


@pytest.mark.parametrize("name", list(readers.READERS))
def test_reader_sees_an_older_version(table, name):
    why = readers.missing(name)
    if why:
        pytest.skip(f"{name}: {why}")
    assert readers.read(table, name, version=0).num_rows == 300


def test_command_line_tells_sameness_and_difference(table, tmp_path, capsys):
    other = tmp_path / "other"
    changed = rows(0, 605)
    changed[17]["session"]["steps"][0]["n"] = -1
    deltalake.write_deltalake(str(other), pa.Table.from_pylist(changed, schema=SCHEMA))
    chosen = ["--readers", "delta-rs,pyarrow,duckdb"]
    assert compare.main([str(table), *chosen]) == 0
    assert "the same 605 rows in delta-rs" in capsys.readouterr().out
    assert compare.main([str(table), str(other), *chosen]) == 1
    out = capsys.readouterr().out
    assert "1 rows only in" in out and '"n": -1' in out


def test_one_row_more_or_twice_is_a_difference():
    data = written()
    assert compare.difference(data, data.slice(0, 604)) is not None
    twice = pa.concat_tables([data.slice(0, 1), data.slice(0, 1), data.slice(2)])
    told = compare.difference(data, twice)
    assert "1 rows only in left" in told and "1 rows only in right" in told


def test_order_and_chunks_and_spelling_of_types_do_not_matter():
    data = written()
    turned = data.take(list(range(604, -1, -1)))
    parts = [turned.slice(i, 11) for i in range(0, 605, 11)]
    spelt = pa.concat_tables(parts)
    spelt = spelt.set_column(2, "name", spelt["name"].dictionary_encode())
    spelt = spelt.set_column(3, "raw", spelt["raw"].cast(pa.large_binary()))
    assert compare.difference(data, spelt) is None
    assert compare.fingerprint(data) == compare.fingerprint(spelt)
    assert compare.fingerprint(data) != compare.fingerprint(data.slice(1))


def test_a_missing_column_and_another_type_are_told():
    data = written()
    assert "name" in compare.difference(data, data.drop_columns(["name"]))
    other = data.set_column(1, "small", data["small"].cast(pa.int64()))
    assert "small: int16 / int64" in compare.difference(data, other)
