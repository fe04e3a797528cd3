"""The Parquet reader against files of Spark: both list forms, every timestamp type, its codecs."""

import glob

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.lake import readers
from tests.parquet import reader

CONF = ["spark.sql.parquet.writeLegacyFormat", "spark.sql.parquet.outputTimestampType"]

ROWS = """
    SELECT id, CAST(id AS STRING) s, IF(id % 3 = 0, NULL, ARRAY(id, NULL, id + 1)) l,
      NAMED_STRUCT('x', id, 'y', ARRAY(NAMED_STRUCT('z', CAST(id AS STRING)))) st,
      MAP(CONCAT('k', id), IF(id % 2 = 0, NULL, id)) m, ARRAY(ARRAY(id), ARRAY()) ll,
      TIMESTAMP_SECONDS(1700000000 + id * 77) t, DATE_ADD(DATE '2000-01-01', CAST(id AS INT)) dt,
      CAST(id / 7 AS DECIMAL(9, 3)) d9, CAST(id / 7 AS DECIMAL(17, 3)) d17,
      CAST(id / 7 AS DECIMAL(30, 3)) d30, CAST(id AS BYTE) b8, CAST(id AS SHORT) b16,
      id % 2 = 0 bo, CAST(id AS FLOAT) f, CAST(id AS DOUBLE) d, CAST(id AS BINARY) bin
    FROM RANGE(100)"""


@pytest.fixture(scope="module")
def spark():
    """The process's one session, left as it was found: nobody but its owner may stop it."""
    why = readers.missing("spark")
    if why is not None:
        pytest.skip(why)
    reader.build()
    session = readers.spark_session()
    hadoop = session._jsc.hadoopConfiguration()
    before = {key: session.conf.get(key) for key in CONF}
    yield session
    for key, value in before.items():
        session.conf.set(key, value)
    hadoop.unset("parquet.writer.version")


def expected(path):
    table = pq.read_table(path, coerce_int96_timestamp_unit="us")
    micros = table["t"].cast(pa.timestamp("us")).cast(pa.timestamp("us", "UTC"))
    return table.set_column(table.schema.get_field_index("t"), "t", micros)


@pytest.mark.parametrize("legacy", ["false", "true"])
@pytest.mark.parametrize("timestamps", ["INT96", "TIMESTAMP_MICROS", "TIMESTAMP_MILLIS"])
@pytest.mark.parametrize(
    "version,codec",
    [
        ("PARQUET_1_0", "snappy"),
        ("PARQUET_1_0", "lz4"),
        ("PARQUET_1_0", "lz4raw"),
        ("PARQUET_2_0", "zstd"),
    ],
)
def test_spark_files(spark, legacy, timestamps, version, codec, tmp_path):
    spark.conf.set("spark.sql.parquet.writeLegacyFormat", legacy)
    spark.conf.set("spark.sql.parquet.outputTimestampType", timestamps)
    spark._jsc.hadoopConfiguration().set("parquet.writer.version", version)
    folder = tmp_path / "out"
    spark.sql(ROWS).coalesce(1).write.option("compression", codec).parquet(str(folder))
    (path,) = glob.glob(f"{folder}/*.parquet")
    assert reader.difference(expected(path), reader.rows(path)) is None
