"""The Parquet writer: random tables of every type, read back by Arrow, DuckDB, polars, delta-rs and
our own reader; statistics; the choice of encodings; errors."""

import decimal
import math
import os
import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.parquet import plain, reader, samples, writer

SEEDS = int(os.environ.get("SLUICE_PARQUET_SEEDS", "200"))


@pytest.fixture(scope="module", autouse=True)
def built():
    writer.build()
    reader.build()


def options_of(seed):
    rng = random.Random(seed)
    return {
        "codec": rng.choice(["zstd", "zstd", "snappy", "lz4", "none"]),
        "level": rng.choice([1, 1, -5, 3]),
        "page_version": rng.choice([1, 2]),
        "page_bytes": rng.choice([1 << 10, 1 << 13, 1 << 20]),
        "row_group_bytes": rng.choice([1, 1 << 16, 32 << 20]),
        "dictionary_bytes": rng.choice([0, 100, 1 << 20]),
        "plain_encodings": rng.choice([0, 0, 0, 1]),
        "append_rows": rng.choice([0, 1, 7, 1000]),
    }


def by_duckdb(path):
    import duckdb

    connection = duckdb.connect()
    connection.execute("SET timezone = 'UTC'")
    return connection.sql(f"SELECT * FROM '{path}'").to_arrow_table()


def by_polars(path):
    import polars

    return polars.read_parquet(path).to_arrow()


def by_delta_rs(path):
    """The file as the only one of a Delta table."""
    import deltalake

    deltalake.convert_to_deltalake(str(path.parent))
    opened = deltalake.DeltaTable(str(path.parent))
    rows = deltalake.QueryBuilder().register("t", opened).execute("SELECT * FROM t")
    return pa.table(rows.read_all())


def check(table, path, read):
    assert plain.difference(plain.columns(table), plain.columns(read(path))) is None


@pytest.mark.parametrize("seed", range(SEEDS))
def test_random_tables(seed, tmp_path):
    table = samples.table(seed, 300)
    path = tmp_path / "rows.parquet"
    summary = writer.write(path, table, **options_of(seed))
    assert summary["rows"] == table.num_rows
    assert summary["bytes"] == path.stat().st_size
    back = pq.read_table(path)
    assert back.schema.remove_metadata() == table.schema
    check(table, path, pq.read_table)
    check(table, path, by_duckdb)
    check(table, path, by_polars)
    assert reader.difference(table, reader.rows(path)) is None


@pytest.mark.parametrize("seed", range(SEEDS // 10))
def test_random_tables_in_delta_rs(seed, tmp_path):
    table = samples.table(seed, 300, delta=True)
    if table.num_rows == 0:
        pytest.skip("delta-rs converts no empty file")
    path = tmp_path / "rows.parquet"
    writer.write(path, table, **options_of(seed))
    check(table, path, by_delta_rs)


@pytest.mark.parametrize("seed", range(4))
def test_many_rows(seed, tmp_path):
    """Several pages of the usual size, dictionaries that are given up."""
    table = samples.table(seed + 5000, 30000, columns=5, depth=2, batches=2)
    path = tmp_path / "rows.parquet"
    writer.write(path, table, page_version=1 + seed % 2)
    check(table, path, pq.read_table)
    check(table, path, by_polars)


def chunk(path, column=0, group=0):
    return pq.ParquetFile(path).metadata.row_group(group).column(column)


# ---- statistics ----


def bound_of(type_, text):
    """A bound of the summary as a Python value."""
    if pa.types.is_decimal(type_):
        number = int.from_bytes(bytes.fromhex(text), "little", signed=True)
        with decimal.localcontext(decimal.Context(prec=50)):
            return decimal.Decimal(number).scaleb(-type_.scale)
    if pa.types.is_binary(type_) or pa.types.is_fixed_size_binary(type_):
        return bytes.fromhex(text)
    if pa.types.is_string(type_):
        return bytes.fromhex(text).decode()
    if pa.types.is_floating(type_):
        return float(text)
    return int(text)


def check_bounds(type_, values, about):
    """`about`: a column of the summary."""
    assert about["nulls"] == sum(v is None for v in values)
    known = [v for v in values if v is not None and v == v]
    assert about["nan"] == any(v is not None and v != v for v in values)
    if not known:
        assert "min" not in about and "max" not in about
        return
    if pa.types.is_date32(type_) or pa.types.is_timestamp(type_):
        unit = pa.int32() if pa.types.is_date32(type_) else pa.int64()
        known = pa.array(known, type_).cast(unit).to_pylist()
    low, high = min(known), max(known)
    got_low = bound_of(type_, about["min"])
    if about["min_exact"]:
        assert got_low == low
    else:
        assert len(bytes.fromhex(about["min"])) <= 64 and got_low < low
    if "max" not in about:
        return
    got_high = bound_of(type_, about["max"])
    if about["max_exact"]:
        assert got_high == high
    else:
        assert len(bytes.fromhex(about["max"])) <= 64 and got_high > high


@pytest.mark.parametrize("seed", range(SEEDS))
def test_statistics(seed, tmp_path):
    table = samples.table(seed + 20000, 200, depth=0)
    path = tmp_path / "rows.parquet"
    summary = writer.write(path, table, **options_of(seed))
    assert [c["path"] for c in summary["columns"]] == [[n] for n in table.column_names]
    for name, about in zip(table.column_names, summary["columns"]):
        check_bounds(table.schema.field(name).type, table.column(name).to_pylist(), about)
    footer = pq.ParquetFile(path).metadata
    for index, name in enumerate(table.column_names):
        chunks = [footer.row_group(g).column(index) for g in range(footer.num_row_groups)]
        check_footer_bounds(table, name, chunks)


def check_footer_bounds(table, name, chunks):
    """Each chunk's bounds hold for its rows."""
    first = 0
    for c in chunks:
        values = table.column(name).slice(first, c.num_values).to_pylist()
        first += c.num_values
        statistics = c.statistics
        assert statistics.null_count == sum(v is None for v in values)
        known = [v for v in values if v is not None]
        if any(v != v for v in known):
            assert not statistics.has_min_max
        elif statistics.has_min_max and not pa.types.is_binary(table.schema.field(name).type):
            low, high = statistics.min, statistics.max
            assert all(low <= v <= high for v in known)


def test_long_strings_are_cut_at_characters(tmp_path):
    table = pa.table({"a": ["é" * 40, "zz"], "b": ["a", "\U0010ffff" * 20], "c": ["a", "é" * 31 + "x\u007f\u007f"]})
    a, b, c = writer.write(tmp_path / "f", table)["columns"]
    assert bytes.fromhex(a["max"]).decode() == "\u00e9" * 31 + "\u00ea" and not a["max_exact"]
    assert bytes.fromhex(a["min"]).decode() == "zz" and a["min_exact"]
    assert "max" not in b
    assert bytes.fromhex(c["max"]).decode() > "é" * 31 + "x\u007f\u007f"


def test_zeros_and_nan(tmp_path):
    table = pa.table({"zeros": [0.0, -0.0], "nan": [1.0, math.nan], "only": [math.nan, math.nan]})
    zeros, nan, only = writer.write(tmp_path / "f", table)["columns"]
    assert math.copysign(1, float(zeros["min"])) == -1 and math.copysign(1, float(zeros["max"])) == 1
    assert (nan["min"], nan["max"], nan["nan"]) == ("1", "1", 1)
    assert "min" not in only and only["nan"] == 1
    assert not chunk(tmp_path / "f", 1).statistics.has_min_max


# ---- encodings, pages, row groups ----


def random_hex(n):
    rng = random.Random(1)
    return ["%032x" % rng.getrandbits(128) for _ in range(n)]


def random_of(n, values):
    rng = random.Random(2)
    return [rng.choice(values) for _ in range(n)]


@pytest.mark.parametrize(
    "values,expected",
    [
        (random_hex(20000), "DELTA_LENGTH_BYTE_ARRAY"),
        (random_of(20000, ["DE", "FR", "GB"]), "RLE_DICTIONARY"),
        (["events"] * 20000, "RLE_DICTIONARY"),
        (list(range(10**12, 10**12 + 20000)), "DELTA_BINARY_PACKED"),
        ([random.Random(i).getrandbits(62) for i in range(20000)], "PLAIN"),
        ([random.Random(i).random() for i in range(20000)], "PLAIN"),
        (random_of(20000, [i / 10 for i in range(450)]), "RLE_DICTIONARY"),
    ],
)
def test_encodings_follow_the_data(values, expected, tmp_path):
    path = tmp_path / "f"
    writer.write(path, pa.table({"c": values}))
    encodings = set(chunk(path).encodings)
    assert encodings - {"RLE", "PLAIN"} == {expected} - {"PLAIN"}
    check(pa.table({"c": values}), path, pq.read_table)


def test_plain_encodings(tmp_path):
    table = pa.table({"n": list(range(20000)), "s": random_hex(20000), "few": random_of(20000, "ab")})
    writer.write(tmp_path / "f", table, plain_encodings=1)
    used = {e for i in range(3) for e in chunk(tmp_path / "f", i).encodings}
    assert used == {"PLAIN", "RLE", "RLE_DICTIONARY"}


def test_a_dictionary_that_outgrows_its_use_is_given_up(tmp_path):
    values = random_of(80000, ["%03d" % i for i in range(100)]) + random_hex(80000)
    table = pa.table({"c": values})
    writer.write(tmp_path / "f", table)
    encodings = set(chunk(tmp_path / "f").encodings)
    assert encodings == {"PLAIN", "RLE", "RLE_DICTIONARY", "DELTA_LENGTH_BYTE_ARRAY"}
    check(table, tmp_path / "f", pq.read_table)


def test_row_groups_are_bounded_by_bytes(tmp_path):
    table = pa.table({"c": random_hex(200000)})
    summary = writer.write(tmp_path / "f", table, row_group_bytes=1 << 20)
    footer = pq.ParquetFile(tmp_path / "f").metadata
    assert footer.num_row_groups == summary["row_groups"] > 2
    sizes = [footer.row_group(i).column(0).total_compressed_size for i in range(footer.num_row_groups)]
    assert max(sizes) < 1 << 20


def test_large_values(tmp_path):
    rng = random.Random(3)
    table = pa.table({"c": [rng.randbytes(n) for n in (5, 40 << 20, 0, 3 << 20, 100)]})
    writer.write(tmp_path / "f", table)
    check(table, tmp_path / "f", pq.read_table)


def test_no_rows(tmp_path):
    table = samples.table(3, 10).slice(0, 0)
    assert writer.write(tmp_path / "f", table)["row_groups"] == 0
    assert pq.read_table(tmp_path / "f").num_rows == 0


def test_created_by(tmp_path):
    writer.write(tmp_path / "f", pa.table({"c": [1]}))
    created_by = pq.ParquetFile(tmp_path / "f").metadata.created_by
    assert created_by == "sluice version " + (writer.ROOT / "VERSION").read_text().strip()


# ---- errors ----


def test_null_in_a_required_column(tmp_path):
    required = pa.field("x", pa.int32(), nullable=False)
    column = pa.StructArray.from_arrays([pa.array([1, None], pa.int32())], fields=[required])
    with pytest.raises(writer.WriteError, match="record: column s.x holds a null"):
        writer.write(tmp_path / "f", pa.table({"s": column}))


@pytest.mark.parametrize(
    "options,message",
    [
        ({"level": 99}, "config: zstd has no level 99; use -131072 to 22"),
        ({"page_version": 3}, "config: Parquet data page version 3: use 1 or 2"),
        ({"page_bytes": 10}, "config: Parquet pages of 10 bytes: use 1024 to 268435456"),
        ({"row_group_bytes": 0}, "config: Parquet row groups of 0 bytes"),
    ],
)
def test_bad_options(options, message, tmp_path):
    with pytest.raises(writer.WriteError) as caught:
        writer.write(tmp_path / "f", pa.table({"c": [1]}), **options)
    assert str(caught.value).startswith(message)


def test_a_struct_without_fields(tmp_path):
    table = pa.table({"s": pa.array([{}], pa.struct([]))})
    with pytest.raises(writer.WriteError, match="config: struct s has no fields"):
        writer.write(tmp_path / "f", table)
