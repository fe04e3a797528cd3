"""The Parquet writer's files in Spark, which tells what it read by files of its own."""

import glob
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.parquet import plain, samples, test_writer, writer


@pytest.fixture(scope="module")
def spark():
    sql = pytest.importorskip("pyspark.sql", reason="run deploy/dev/python-env.sh spark")
    if shutil.which("java") is None:
        pytest.skip("Spark needs Java")
    writer.build()
    builder = sql.SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false")
    builder = builder.config("spark.driver.bindAddress", "127.0.0.1")
    builder = builder.config("spark.driver.host", "127.0.0.1")
    builder = builder.config("spark.sql.session.timeZone", "UTC")
    # days before 1582 as they are stored, without the Julian calendar of Spark 2
    builder = builder.config("spark.sql.parquet.datetimeRebaseModeInRead", "CORRECTED")
    builder = builder.config("spark.sql.parquet.datetimeRebaseModeInWrite", "CORRECTED")
    session = builder.config("spark.sql.parquet.outputTimestampType", "TIMESTAMP_MICROS").getOrCreate()
    yield session
    session.stop()


def by_spark(spark, path, folder):
    read = spark.read.parquet(str(path))
    read.coalesce(1).write.parquet(str(folder))
    parts = glob.glob(f"{folder}/*.parquet")
    return pa.concat_tables([pq.read_table(p) for p in sorted(parts)])


@pytest.mark.parametrize("vectorized", ["true", "false"])
@pytest.mark.parametrize("seed", range(12))
def test_random_tables(spark, vectorized, seed, tmp_path):
    spark.conf.set("spark.sql.parquet.enableVectorizedReader", vectorized)
    table = samples.table(seed + 300, 300, columns=12, delta=True)
    path = tmp_path / "rows.parquet"
    writer.write(path, table, **test_writer.options_of(seed))
    back = by_spark(spark, path, tmp_path / "out")
    assert plain.difference(plain.columns(table), plain.columns(back)) is None


def test_delta_encodings(spark, tmp_path):
    """Flat columns of the encodings that Spark learnt last, with nulls, over several pages."""
    n = 40000
    texts = [None if i % 7 == 0 else t for i, t in enumerate(test_writer.random_hex(n))]
    numbers = [None if i % 11 == 0 else 10**12 + i * i for i in range(n)]
    table = pa.table({"s": texts, "b": pa.array([t and t.encode() for t in texts]), "n": numbers,
                      "i": pa.array([i * 3 for i in range(n)], pa.int32())})
    writer.write(tmp_path / "f.parquet", table, page_version=2, page_bytes=1 << 16)
    encodings = {e for i in range(4) for e in test_writer.chunk(tmp_path / "f.parquet", i).encodings}
    assert {"DELTA_BINARY_PACKED", "DELTA_LENGTH_BYTE_ARRAY"} <= encodings
    back = by_spark(spark, tmp_path / "f.parquet", tmp_path / "out")
    assert plain.difference(plain.columns(table), plain.columns(back)) is None
