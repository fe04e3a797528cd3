"""Reads a Delta table with readers that are not ours, each into an Arrow table of one common form.

    delta-rs   the Rust implementation, by its own query engine (Rust Parquet reader)
    pyarrow    the log by delta-rs, the files by Arrow C++
    polars     the log by delta-rs, the files by polars' Parquet reader
    duckdb     the log by delta-kernel, the files by DuckDB's Parquet reader
    spark      Delta's own implementation; what it read comes back as Parquet files of its own

A reader whose packages are not installed is missing, and `missing()` says why, so that a test can
say so when it skips. How two results are compared is compare.py's matter.
"""

import atexit
import importlib.util
import os
import shutil
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

import pyarrow as pa

ROOT = Path(__file__).resolve().parents[2]
SPARK_JARS = Path(os.environ.get("SLUICE_DEPS", ROOT / "build" / "deps")) / "spark-jars"
SPARK_HINT = "run deploy/dev/python-env.sh spark"
CORE_HINT = "run deploy/dev/python-env.sh"


def _by_delta_rs(table, version):
    import deltalake

    opened = deltalake.DeltaTable(str(table), version=version)
    rows = deltalake.QueryBuilder().register("t", opened).execute("SELECT * FROM t")
    return pa.table(rows.read_all())


def _by_pyarrow(table, version):
    import deltalake

    return deltalake.DeltaTable(str(table), version=version).to_pyarrow_table()


def _by_polars(table, version):
    import polars

    return polars.read_delta(str(table), version=version).to_arrow()


def _duckdb_extension():
    """The extension file inside its wheel, or None."""
    spec = importlib.util.find_spec("duckdb_extension_delta")
    if spec is None:
        return None
    for folder in spec.submodule_search_locations:
        for path in sorted(Path(folder).rglob("delta.duckdb_extension")):
            return path
    return None


def duckdb_with_delta():
    """A DuckDB connection that knows delta_scan(); for tests that want to query by SQL."""
    import duckdb

    connection = duckdb.connect(config={"allow_unsigned_extensions": "true"})
    connection.execute(f"LOAD '{_duckdb_extension()}'")
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def _by_duckdb(table, version):
    connection = duckdb_with_delta()
    try:
        options = "" if version is None else f", version => {int(version)}"
        query = f"SELECT * FROM delta_scan(?{options})"
        return connection.execute(query, [str(table)]).to_arrow_table()
    finally:
        connection.close()


_spark = None


def spark_session():
    """One local Spark with Delta for this process, offline: its jars come from build/deps.

    Two cores, 2 GiB; it ends with the process. Tests may use it to write tables, too.
    """
    global _spark
    if _spark is not None:
        return _spark
    from pyspark.sql import SparkSession

    scratch = tempfile.mkdtemp(prefix="sluice-spark-")
    atexit.register(shutil.rmtree, scratch, ignore_errors=True)
    settings = {
        "spark.jars": ",".join(str(jar) for jar in sorted(SPARK_JARS.glob("*.jar"))),
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
        "spark.sql.shuffle.partitions": "2",
        "spark.databricks.delta.snapshotPartitions": "2",  # of 50: the logs are small
        "spark.sql.warehouse.dir": f"{scratch}/warehouse",
        "spark.local.dir": scratch,
        "spark.driver.memory": "2g",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.log.level": "ERROR",
    }
    builder = SparkSession.builder.master("local[2]").appName("sluice-tests")
    for name, value in settings.items():
        builder = builder.config(name, value)
    _spark = builder.getOrCreate()
    atexit.register(_spark.stop)
    return _spark


def _by_spark(table, version):
    import pyarrow.parquet

    reader = spark_session().read.format("delta")
    if version is not None:
        reader = reader.option("versionAsOf", int(version))
    folder = tempfile.mkdtemp(prefix="sluice-spark-rows-")
    try:
        # toPandas() would lose nested types, collect() is slow: let it write what it has read.
        reader.load(str(table)).write.mode("overwrite").parquet(folder)
        return pyarrow.parquet.read_table(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _lacks(*modules):
    gone = [m for m in modules if importlib.util.find_spec(m) is None]
    return f"no Python package {', '.join(gone)}" if gone else None


def _why_no_duckdb():
    why = _lacks("duckdb")
    if why is None and _duckdb_extension() is None:
        why = "no Python package duckdb_extension_delta"
    return f"{why}; {CORE_HINT}" if why else None


def _why_no_spark():
    why = _lacks("pyspark")
    if why is None and not any(SPARK_JARS.glob("delta-spark_*.jar")):
        why = f"no Delta jars in {SPARK_JARS}"
    if why is None and shutil.which("java") is None:
        why = "no java"
    return f"{why}; {SPARK_HINT}" if why else None


def _why_no(*modules):
    why = _lacks(*modules)
    return f"{why}; {CORE_HINT}" if why else None


READERS = {
    "delta-rs": (_by_delta_rs, lambda: _why_no("deltalake")),
    "pyarrow": (_by_pyarrow, lambda: _why_no("deltalake")),
    "polars": (_by_polars, lambda: _why_no("deltalake", "polars")),
    "duckdb": (_by_duckdb, _why_no_duckdb),
    "spark": (_by_spark, _why_no_spark),
}


def missing(name):
    """None when the reader can be used, else the reason and what to do about it."""
    return READERS[name][1]()


def available():
    return [name for name in READERS if missing(name) is None]


def address(table):
    """What readers call a table: a path, or az:// for the URL of one on Azurite, whose account they
    take from the environment (tests.support.servers.Azurite.environment)."""
    if str(table).startswith(("http://", "https://")):
        _, container, path = urlsplit(str(table)).path.lstrip("/").split("/", 2)
        return f"az://{container}/{path}"
    return table


def read(table, reader="delta-rs", version=None):
    """The table's rows (at `version`, or the newest) as an Arrow table in the common form."""
    return normalised(READERS[reader][0](address(table), version))


def _common_type(kind):
    """The one type that stands for all the spellings that readers have for a Delta type."""
    types = pa.types
    if types.is_dictionary(kind):
        return _common_type(kind.value_type)
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return pa.large_string()
    binary = (types.is_binary, types.is_large_binary, types.is_binary_view)
    if any(test(kind) for test in binary) or types.is_fixed_size_binary(kind):
        return pa.large_binary()
    if types.is_timestamp(kind):
        return pa.timestamp("us", tz="UTC" if kind.tz else None)
    if types.is_decimal(kind):
        return pa.decimal128(kind.precision, kind.scale)
    if types.is_struct(kind):
        return pa.struct([pa.field(f.name, _common_type(f.type)) for f in kind])
    if types.is_map(kind):
        return _map_as_list(_common_type(kind.key_type), _common_type(kind.item_type))
    if any(t(kind) for t in (types.is_list, types.is_large_list, types.is_list_view)):
        return pa.large_list(pa.field("element", _common_type(kind.value_type)))
    return kind


def _map_as_list(key, value):
    entry = pa.struct([pa.field("key", key), pa.field("value", value)])
    return pa.large_list(pa.field("element", entry))


def _cast(array, wanted):
    """Arrow's own cast has no way from a map to a list, nor into all nested types."""
    if array.type.equals(wanted):
        return array
    kind = array.type
    if pa.types.is_dictionary(kind):
        return _cast(array.dictionary_decode(), wanted)
    if pa.types.is_struct(kind):
        children = [_cast(array.field(i), wanted.field(i).type) for i in range(kind.num_fields)]
        mask = array.is_null()
        return pa.StructArray.from_arrays(children, fields=list(wanted), mask=mask)
    if pa.types.is_map(kind):
        entries = pa.StructArray.from_arrays(
            [
                _cast(array.keys, wanted.value_type.field(0).type),
                _cast(array.items, wanted.value_type.field(1).type),
            ],
            fields=list(wanted.value_type),
        )
        return _list_of(array, entries, wanted)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return _list_of(array, _cast(array.values, wanted.value_type), wanted)
    return array.cast(wanted)


def _list_of(array, values, wanted):
    offsets = _unsliced(array.offsets.cast(pa.int64()))
    mask = array.is_null() if array.null_count else None
    return pa.LargeListArray.from_arrays(offsets, values, type=wanted, mask=mask)


def normalised(table):
    """The same rows with one Arrow type for each Delta type; without nullability and metadata."""
    names, columns = [], []
    for field, column in zip(table.schema, table.columns):
        wanted = _common_type(field.type)
        chunks = [_cast(_unsliced(chunk), wanted) for chunk in column.chunks]
        names.append(field.name)
        columns.append(pa.chunked_array(chunks, type=wanted))
    return pa.table(columns, names=names)


def _unsliced(array):
    """Child arrays of a sliced array do not know of the slice; a copy has none."""
    return pa.concat_arrays([array]) if array.offset == 0 else pa.concat_arrays([array[:0], array])
