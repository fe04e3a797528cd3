"""The Parquet reader against files of pyarrow, DuckDB and polars: random schemas and data, every
encoding, codec and page version, compared row by row with what pyarrow reads."""

import decimal
import os
import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.parquet import reader, samples

SEEDS = int(os.environ.get("SLUICE_PARQUET_SEEDS", "200"))
CODECS = ["none", "snappy", "gzip", "zstd", "lz4"]
ENCODINGS = {
    "BOOLEAN": ["PLAIN", "RLE"],
    "INT32": ["PLAIN", "DELTA_BINARY_PACKED", "BYTE_STREAM_SPLIT"],
    "INT64": ["PLAIN", "DELTA_BINARY_PACKED", "BYTE_STREAM_SPLIT"],
    "FLOAT": ["PLAIN", "BYTE_STREAM_SPLIT"],
    "DOUBLE": ["PLAIN", "BYTE_STREAM_SPLIT"],
    "BYTE_ARRAY": ["PLAIN", "DELTA_LENGTH_BYTE_ARRAY", "DELTA_BYTE_ARRAY"],
    "FIXED_LEN_BYTE_ARRAY": ["PLAIN", "DELTA_BYTE_ARRAY", "BYTE_STREAM_SPLIT"],
}


@pytest.fixture(scope="module", autouse=True)
def built():
    reader.build()


def leaf_encodings(rng, table, path, options):
    """A random encoding for each column that the table has in Parquet."""
    pq.write_table(table.slice(0, 1), path, **options)
    schema = pq.ParquetFile(path).schema
    leaves = [schema.column(i) for i in range(len(schema.names))]
    return {leaf.path: rng.choice(ENCODINGS[leaf.physical_type]) for leaf in leaves}


def writer_options(rng, table, path):
    options = {
        "compression": rng.choice(CODECS),
        "data_page_version": rng.choice(["1.0", "2.0"]),
        "data_page_size": rng.choice([100, 2000, 1 << 20]),
        "row_group_size": rng.choice([7, 100, 1 << 20]),
        "write_batch_size": rng.choice([1, 13, 1024]),
        "write_page_checksum": rng.random() < 0.5,
        "use_dictionary": rng.random() < 0.5,
        "dictionary_pagesize_limit": rng.choice([64, 1 << 20]),
        "store_decimal_as_integer": rng.random() < 0.5,
        "use_compliant_nested_type": rng.random() < 0.7,
    }
    if not options["use_dictionary"] and rng.random() < 0.8:
        options["column_encoding"] = leaf_encodings(rng, table, path, options)
    return options


def reader_options(rng):
    options = ["--rows", str(rng.choice([1, 3, 64, 1000, 65536]))]
    options += ["--read-bytes", str(rng.choice([1, 50, 4096, 1 << 20]))]
    return options + (["--memory"] if rng.random() < 0.3 else [])


@pytest.mark.parametrize("seed", range(SEEDS))
def test_random_tables(seed, tmp_path):
    rng = random.Random(seed)
    table = samples.table(seed, rng.choice([5, 50, 400]), columns=4)
    path = tmp_path / "t.parquet"
    options = writer_options(rng, table, path)
    pq.write_table(table, path, **options)
    got = reader.rows(path, *reader_options(rng))
    assert reader.difference(table, got) is None, options


@pytest.mark.parametrize("seed", range(1000, 1010))
def test_random_tables_of_many_pages(seed, tmp_path):
    """Rows, pages and the reader's blocks of 1,024 levels cross in every way."""
    rng = random.Random(seed)
    table = samples.table(seed, 5000, columns=3)
    path = tmp_path / "t.parquet"
    options = writer_options(rng, table, path)
    options["row_group_size"] = rng.choice([3000, 1 << 20])
    options["data_page_size"] = rng.choice([3000, 50000, 1 << 20])
    pq.write_table(table, path, **options)
    rows = rng.choice(["500", "1023", "1024", "1025", "65536"])
    got = reader.rows(path, "--rows", rows, "--read-bytes", rng.choice(["100", "4096"]))
    assert reader.difference(table, got) is None, options


def plain_table(rows=5000):
    rng = random.Random(1)
    return pa.table(
        {
            "i": pa.array([rng.choice([None, i * 7]) for i in range(rows)], pa.int64()),
            "s": [rng.choice([None, f"text {i % 50}", "x" * (i % 40)]) for i in range(rows)],
            "b": [rng.choice([None, True, False]) for _ in range(rows)],
            "l": [rng.choice([None, [], [i, None], list(range(i % 9))]) for i in range(rows)],
            "m": pa.array(
                [rng.choice([None, [], [("a", i), ("b", None)]]) for i in range(rows)],
                pa.map_(pa.string(), pa.int64()),
            ),
            "d": pa.array(
                [rng.choice([None, decimal.Decimal(i).scaleb(-2)]) for i in range(rows)],
                pa.decimal128(20, 2),
            ),
        }
    )


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("dictionary", [True, False])
def test_codecs_and_page_versions(codec, version, dictionary, tmp_path):
    table = plain_table()
    path = tmp_path / "t.parquet"
    pq.write_table(
        table,
        path,
        compression=codec,
        data_page_version=version,
        use_dictionary=dictionary,
        data_page_size=4000,
        write_page_checksum=True,
    )
    assert reader.difference(table, reader.rows(path, "--rows", "777")) is None


def test_brotli_is_refused_by_name(tmp_path):
    path = tmp_path / "t.parquet"
    pq.write_table(plain_table(10), path, compression="brotli")
    with pytest.raises(reader.ReadError, match=r'^unsupported: .*column "i", row group 0.*BROTLI'):
        reader.rows(path)


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Berlin"])
def test_timestamps(unit, zone, tmp_path):
    values = [None, 0, -1, 1, 1_700_000_123, -62_135_596_800]
    table = pa.table({"t": pa.array(values, pa.timestamp(unit, zone))})
    path = tmp_path / "t.parquet"
    pq.write_table(table, path)
    micros = (
        pa.compute.floor_temporal(table["t"], unit="microsecond") if unit == "ns" else table["t"]
    )
    expected = micros.cast(pa.timestamp("us", "UTC" if zone else None))
    assert reader.difference(pa.table({"t": expected}), reader.rows(path)) is None


def test_int96(tmp_path):
    values = [None, 0, -1, 1_700_000_000_123_456, -2_208_988_800_000_000, 4_102_444_800_999_999]
    table = pa.table({"t": pa.array(values, pa.timestamp("us", "UTC"))})
    path = tmp_path / "t.parquet"
    pq.write_table(table, path, use_deprecated_int96_timestamps=True)
    assert reader.difference(table, reader.rows(path)) is None


def test_half_floats(tmp_path):
    import numpy as np

    values = np.array([0.0, -0.0, 1.5, 65504, 6e-8, 0.333, np.inf, -np.inf], np.float16)
    table = pa.table({"h": pa.array(values)})
    path = tmp_path / "t.parquet"
    pq.write_table(table, path)
    assert reader.difference(table, reader.rows(path)) is None


@pytest.mark.parametrize("precision", [1, 4, 9, 10, 18, 19, 38])
@pytest.mark.parametrize("as_integer", [True, False])
def test_decimals(precision, as_integer, tmp_path):
    largest = 10**precision - 1
    with decimal.localcontext(decimal.Context(prec=50)):
        values = [None] + [decimal.Decimal(v).scaleb(-1) for v in (0, 1, -1, largest, -largest)]
    table = pa.table({"d": pa.array(values, pa.decimal128(precision, 1))})
    path = tmp_path / "t.parquet"
    pq.write_table(table, path, store_decimal_as_integer=as_integer)
    assert reader.difference(table, reader.rows(path)) is None


def test_chosen_columns(tmp_path):
    element = {"x": 1, "y": "a", "deep": {"z": [1, 2], "w": None}}
    table = pa.table({"a": [1, 2], "s": [element, None], "l": [[element], None], "b": ["p", "q"]})
    path = tmp_path / "t.parquet"
    pq.write_table(table, path)
    assert reader.rows(path, "--columns", "b,s.deep.z,s.x") == [
        {"s": {"x": 1, "deep": {"z": [1, 2]}}, "b": "p"},
        {"s": None, "b": "q"},
    ]
    with pytest.raises(reader.ReadError, match=r"^config: .*deep"):
        reader.rows(path, "--columns", "s.deap.z")


def test_no_columns_and_no_rows(tmp_path):
    path = tmp_path / "t.parquet"
    pq.write_table(
        pa.table({"a": pa.array([], pa.int32()), "l": pa.array([], pa.list_(pa.int8()))}), path
    )
    assert reader.rows(path) == []
    pq.write_table(pa.table({}), path)
    assert reader.rows(path) == []


def test_statistics(tmp_path):
    table = pa.table(
        {
            "i": pa.array([3, None, -5], pa.int32()),
            "u": pa.array([2**63, 1, None], pa.uint64()),
            "s": ["b", None, "a"],
            "f": [0.0, 2.5, None],
            "d": pa.array(
                [None, decimal.Decimal("1.5"), decimal.Decimal("-2.0")], pa.decimal128(30, 1)
            ),
            "t": pa.array([None, 1, 1_000_000], pa.timestamp("ms", "UTC")),
            "b": [True, None, False],
            "n": pa.array([None, None, None], pa.int64()),
        }
    )
    path = tmp_path / "t.parquet"
    pq.write_table(table, path)
    about = reader.about(path)
    columns = about["row_groups"][0]["columns"]
    bounds = {name: (c["min"], c["max"], c["nulls"]) for name, c in columns.items()}
    assert bounds == {
        "i": (-5, 3, 1),
        "u": (1, 2**63, 1),
        "s": ("a", "b", 1),
        "f": (0, 2.5, 1),
        "d": (-2.0, 1.5, 1),
        "t": ("1970-01-01T00:00:00.001Z", "1970-01-01T00:16:40Z", 1),
        "b": (False, True, 1),
        "n": (None, None, 3),
    }
    assert [columns[name]["field"] for name in table.column_names] == list(range(8))


def test_metadata(tmp_path):
    table = pa.table({"a": [1]}).replace_schema_metadata({"k": "väl", "k2": ""})
    path = tmp_path / "t.parquet"
    pq.write_table(table, path)
    values = [reader.run(path, "--metadata", key) for key in ("k", "k2", "k3")]
    assert values == ["väl\n", "\n", "(none)\n"]
    assert reader.about(path)["created_by"].startswith("parquet-cpp-arrow")


def test_duckdb_files(tmp_path):
    duckdb = pytest.importorskip("duckdb")
    path = tmp_path / "t.parquet"
    for version in ("V1", "V2"):
        for codec in ("uncompressed", "snappy", "gzip", "zstd", "lz4_raw"):
            duckdb.sql(f"""COPY (SELECT i::INTEGER i, i::UTINYINT small, i * 1.5::DOUBLE d,
                        'text ' || i % 17 s,
                        CASE WHEN i % 3 = 0 THEN NULL ELSE [i, NULL, i + 1] END l,
                        {{'x': i, 'y': [{{'z': 'n' || i}}]}} st, MAP {{'k' || i: i}} m,
                        TIMESTAMPTZ '2024-01-01 00:00:00Z' + INTERVAL (i) SECOND t,
                        (i / 7)::DECIMAL(18, 3) n, i % 2 = 0 b,
                        DATE '2000-01-01' + i::INTEGER the_day
                    FROM range(200) r(i))
                    TO '{path}' (FORMAT parquet, CODEC '{codec}', PARQUET_VERSION '{version}',
                                 ROW_GROUP_SIZE 2048)""")
            expected = pq.read_table(path)
            assert reader.difference(expected, reader.rows(path, "--rows", "33")) is None, (
                codec,
                version,
            )


def test_polars_files(tmp_path):
    polars = pytest.importorskip("polars")
    path = tmp_path / "t.parquet"
    frame = polars.DataFrame(
        {
            "i": list(range(300)),
            "s": [None if i % 5 == 0 else "text" * (i % 4) for i in range(300)],
            "l": [None if i % 7 == 0 else list(range(i % 5)) for i in range(300)],
            "st": [{"a": i, "b": [{"c": str(i)}]} for i in range(300)],
            "d": [i / 3 for i in range(300)],
        }
    )
    for codec in ("uncompressed", "snappy", "gzip", "zstd", "lz4"):
        frame.write_parquet(path, compression=codec, row_group_size=97, data_page_size=500)
        expected = pq.read_table(path)
        assert reader.difference(expected, reader.rows(path)) is None, codec


def test_delta_checkpoint_of_delta_rs(tmp_path):
    deltalake = pytest.importorskip("deltalake")
    for i in range(3):
        rows = pa.table({"a": [i, None], "p": ["x", "y"], "l": [[1], None]})
        deltalake.write_deltalake(tmp_path, rows, mode="append", partition_by=["p"])
    deltalake.DeltaTable(tmp_path).delete("a = 1")
    deltalake.DeltaTable(tmp_path).create_checkpoint()
    (path,) = (tmp_path / "_delta_log").glob("*.checkpoint.parquet")
    assert reader.difference(pq.ParquetFile(path).read(), reader.rows(path)) is None
    actions = reader.rows(path, "--columns", "add.path,add.partitionValues,protocol")
    added = [a["add"]["partitionValues"] for a in actions if a["add"] is not None]
    assert sorted(v[0]["value"] for v in added) == ["x", "x", "y", "y", "y"]
    (protocol,) = [a["protocol"] for a in actions if a["protocol"] is not None]
    assert (protocol["minReaderVersion"], protocol["minWriterVersion"]) == (1, 2)


def damage(rng, data):
    """Bytes changed, cut out, doubled: mostly in the footer, where sizes and counts stand."""
    data = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 8])):
        at = rng.randrange(len(data))
        kind = rng.random()
        if kind < 0.7:
            data[at] = rng.choice([rng.randrange(256), 0, 0xFF, 0x7F, 0x80])
        elif kind < 0.85:
            del data[at : at + rng.choice([1, 4, 100])]
        else:
            data[at:at] = data[at : at + rng.choice([1, 4, 100])]
    return bytes(data)


@pytest.mark.parametrize("seed", range(20))
def test_damaged_files(seed, tmp_path):
    """Rows or an error of a named class; never a signal, never a hang."""
    rng = random.Random(seed)
    table = samples.table(seed, 50, columns=3)
    path = tmp_path / "t.parquet"
    pq.write_table(table, path, **writer_options(rng, table, path))
    whole = path.read_bytes()
    for _ in range(20):
        path.write_bytes(damage(rng, whole))
        try:
            reader.run(path, *reader_options(rng))
        except reader.ReadError as error:
            assert str(error).split(":")[0] in ("corrupt", "unsupported"), error
