"""The Parquet writer's files in Spark, which tells what it read by files of its own."""

import glob

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.lake import readers
from tests.parquet import plain, samples, test_writer, writer


CONF = {
    # days before 1582 as they are stored, without the Julian calendar of Spark 2
    "spark.sql.parquet.datetimeRebaseModeInRead": "CORRECTED",
    "spark.sql.parquet.datetimeRebaseModeInWrite": "CORRECTED",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    "spark.sql.session.timeZone": "UTC",
}


@pytest.fixture(scope="module")
def spark():
    """The process's one session, which the readers of Delta tables share."""
    why = readers.missing("spark")
    if why is not None:
        pytest.skip(why)
    writer.build()
    session = readers.spark_session()
    for key, value in CONF.items():
        session.conf.set(key, value)
    yield session
    for key in [*CONF, "spark.sql.parquet.enableVectorizedReader"]:
        if key != "spark.sql.session.timeZone":
            session.conf.unset(key)


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
