"""Our tables as others read them, theirs as we write to them, and both at the same time."""

import datetime
import json
import math
import random
import shutil

import deltalake
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from tests.delta import rows, tool
from tests.lake import compare, readers

FAST = [name for name in ("delta-rs", "pyarrow", "polars", "duckdb") if not readers.missing(name)]


@pytest.fixture(scope="module", autouse=True)
def built():
    tool.build()


@pytest.fixture
def table(tmp_path):
    return tool.Table(tmp_path / "table", tmp_path)


def check(table, wanted, names=None):
    """Every reader, ours too, sees exactly these rows."""
    for name in names or FAST:
        told = compare.difference(wanted, readers.read(table.folder, name), None, "wanted", name)
        assert told is None, told
    told = compare.difference(wanted, table.read(), None, "wanted", "sluice")
    assert told is None, told


def log_entries(table):
    return sorted(x.name for x in (table.folder / "_delta_log").glob("*.json"))


# ---- ours, read by others ----


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("partition_by", [(), ("yes",), ("day", "text")])
def test_random_tables_read_the_same_everywhere(table, seed, partition_by):
    batches = [rows.make(seed * 10 + i, 40, 40 * i) for i in range(3)]
    table.create(batches[0].slice(0, 0), partition_by)
    for batch in batches:
        table.append(batch)
    wanted = pa.concat_tables(batches)
    if "text" in partition_by:  # an empty partition value is null to Delta
        text = pa.array([x or None for x in wanted["text"].to_pylist()])
        wanted = wanted.set_column(wanted.schema.get_field_index("text"), "text", text)
    check(table, wanted)


@pytest.mark.parametrize(
    "column", ["small", "int", "id", "yes", "day", "at", "money", "text", "double"]
)
def test_partition_columns_of_every_type(table, column):
    batch = rows.make(77, 60)
    if column == "text":
        batch = batch.filter(pc.not_equal(batch["text"], ""))
    if column == "double":  # readers disagree on how to spell these, the protocol is silent
        batch = batch.filter(pc.less(pc.abs(batch["double"]), 1e12))
    table.create(batch.slice(0, 0), (column,))
    table.append(batch)
    # delta-rs hands a negative decimal partition value on to pyarrow as "-1.-25"
    odd = {("polars", "double"), ("duckdb", "double"), ("pyarrow", "money")}
    names = [n for n in FAST if (n, column) not in odd]
    check(table, batch, names)


def test_rows_are_found_by_statistics(table):
    """Filters that skip files by their statistics give what a full read gives."""
    batches = [rows.make(500 + i, 15, 15 * i) for i in range(20)]
    table.create(batches[0].slice(0, 0))
    for batch in batches:
        table.append(batch)
    everything = readers.read(table.folder, "pyarrow")
    r = random.Random(5)
    connection = readers.duckdb_with_delta()
    opened = deltalake.DeltaTable(str(table.folder))
    engine = deltalake.QueryBuilder().register("t", opened)
    connection.register("arrow", everything)  # in a table of its own NaN is ordered as elsewhere
    connection.execute("CREATE TABLE everything AS SELECT * FROM arrow")
    columns = ["id", "text", "int", "day", "at", "money", "double", "single", "small"]
    for column in columns:
        values = [v for v in everything[column].to_pylist() if v is not None]
        values = [v for v in values if not isinstance(v, float) or math.isfinite(v)]
        for value in r.sample(values, 8):
            literal = str(value).replace("'", "''")
            kind = {"day": "DATE", "at": "TIMESTAMPTZ", "text": "VARCHAR"}.get(column)
            literal = f"'{literal}'::{kind}" if kind else f"{value!r}"
            if column == "money":
                literal = f"CAST('{value}' AS DECIMAL(12,2))"
            if column in ("double", "single"):
                literal = f"'{value}'::DOUBLE"
            for operator in ("=", ">=", "<"):
                where = f'WHERE "{column}" {operator} {literal}'
                wanted = connection.execute(f"SELECT count(*) FROM everything {where}").fetchone()
                query = f"SELECT count(*) FROM delta_scan('{table.folder}') {where}"
                assert connection.execute(query).fetchone() == wanted, where
                if kind != "TIMESTAMPTZ":
                    found = engine.execute(f"SELECT count(*) AS n FROM t {where}").read_all()
                    assert pa.table(found)["n"][0].as_py() == wanted[0], where


def test_positions_and_provenance_are_seen_by_others(table):
    batch = rows.make(1, 5)
    table.create(batch)
    table.append(batch, "-x", "sluice/p/n/i/s/t/0:-1:9007199254740993", "-x", "b:-1:4")
    assert table.info()["positions"] == {"sluice/p/n/i/s/t/0": 9007199254740993, "b": 4}
    opened = deltalake.DeltaTable(str(table.folder))
    assert opened.transaction_version("sluice/p/n/i/s/t/0") == 9007199254740993
    last = opened.history(1)[0]
    assert last["engineInfo"].startswith("sluice/") and last["isBlindAppend"] is True
    assert opened.protocol().min_reader_version == 1
    assert opened.protocol().min_writer_version == 2
    with pytest.raises(tool.Conflict, match="is 4"):
        table.append(batch, "-x", "b:3:8")
    assert table.append(batch, "-x", "b:4:8")["version"] == 2


def test_checkpoints_are_read_by_others(table):
    batch = rows.make(3, 7)
    table.create(batch, ("yes",))
    table.append(batch, "-x", "a:-1:0", "-n", 34)
    log = table.folder / "_delta_log"
    hint = json.loads((log / "_last_checkpoint").read_text())
    assert hint["version"] == 30 and hint["numOfAddFiles"] > 30
    for name in log_entries(table):
        if int(name[:20]) < 30:
            (log / name).unlink()
    check(table, pa.concat_tables([batch] * 34))
    assert deltalake.DeltaTable(str(table.folder)).transaction_version("a") == 33
    assert table.info()["version"] == 34


def test_columns_are_added(table):
    old = rows.make(1, 20).select(["id", "text", "nested"])
    new = rows.make(2, 20, 20)
    table.create(old)
    table.append(old)
    with pytest.raises(tool.DeltaError, match="config: .*evolution"):
        table.append(new)
    table.append(new, "-e")
    table.append(old)
    padded = old
    for field in new.schema:
        if field.name not in old.schema.names:
            padded = padded.append_column(field, pa.nulls(20, field.type))
    padded = padded.select(new.schema.names)
    check(table, pa.concat_tables([padded, new, padded]))


def test_fields_of_structs_are_added(table):
    small = pa.table({"s": pa.array([{"x": 1}, None], pa.struct([("x", pa.int64())]))})
    deep = pa.struct([("q", pa.date32())])
    grown = pa.struct([("y", pa.string()), ("x", pa.int64()), ("z", deep)])
    day = datetime.date(2024, 2, 29)
    large = pa.table({"s": pa.array([{"x": 2, "y": "b", "z": {"q": day}}, None], grown)})
    table.create(small)
    table.append(small)
    table.append(large, "-e")
    wanted = pa.struct([("x", pa.int64()), ("y", pa.string()), ("z", deep)])
    values = [{"x": 1}, None, {"x": 2, "y": "b", "z": {"q": day}}, None]
    check(table, pa.table({"s": pa.array(values, wanted)}))


# ---- upserts ----


def model_upsert(model, batch, key, delete=None):
    for row in batch.to_pylist():
        name = tuple(row[k] for k in key)
        if delete is not None and row[delete] is None:
            model.pop(name, None)
        else:
            model[name] = row


@pytest.mark.parametrize("partition_by", [(), ("yes",)])
def test_upserts_equal_a_model(table, partition_by):
    r = random.Random(11)
    model = {}
    empty = rows.make(0, 0)
    table.create(empty, partition_by)
    for i in range(14):
        batch = rows.make(900 + i, 30)
        ids = pa.array([r.randrange(60) for _ in range(30)], pa.int64())
        batch = batch.set_column(0, rows.SCHEMA.field("id"), ids)
        options = ("-d", "text") if i % 3 == 2 else ()
        table.upsert(batch, ["id"], *options)
        model_upsert(model, batch, ["id"], "text" if options else None)
        if i % 5 == 4:
            check(table, pa.Table.from_pylist(list(model.values()), schema=rows.SCHEMA))
    table.checkpoint()
    table.upsert(batch, ["id"])
    model_upsert(model, batch, ["id"])
    check(table, pa.Table.from_pylist(list(model.values()), schema=rows.SCHEMA))


def test_upserts_by_several_columns_and_nulls(table):
    kinds = pa.schema([("a", pa.string()), ("b", pa.date32()), ("v", pa.int64())])
    day = datetime.date(2020, 1, 1)
    first = [("x", day, 1), (None, day, 2), ("x", None, 3), (None, None, 4), ("", day, 5)]
    second = [(None, day, 12), ("", day, 15), (None, None, 14), ("y", None, 16)]

    def batch(values):
        return pa.Table.from_pylist([dict(zip("abv", v)) for v in values], schema=kinds)

    table.create(batch([]))
    table.upsert(batch(first), ["a", "b"])
    assert table.upsert(batch(second), ["a", "b"])["deleted"] == 3
    wanted = [first[0], first[2], *second]
    check(table, batch(wanted))


def test_tails_are_replaced_and_become_final(table):
    kinds = pa.schema([("k", pa.int64()), ("n", pa.int64())])

    def batch(values):
        return pa.Table.from_pylist([{"k": k, "n": n} for k, n in values], schema=kinds)

    table.create(batch([]))
    table.tail(batch([(1, 1), (2, 1)]), ["k"], "gold")
    table.tail(batch([(2, 2), (3, 1)]), ["k"], "gold")
    assert table.info()["tails"] == 1
    check(table, batch([(1, 1), (2, 2), (3, 1)]))
    assert table.tail(batch([(1, 9)]), ["k"], "gold", final=True)["tail"] == 2
    check(table, batch([(1, 9), (2, 2), (3, 1)]))
    table.checkpoint()
    table.tail(batch([(3, 8), (2, 7)]), ["k"], "gold", final=True)
    assert table.info() == {**table.info(), "tails": 0, "rows": 3}
    check(table, batch([(1, 9), (2, 7), (3, 8)]))


# ---- theirs, written by us ----


def test_we_go_on_in_delta_rs_tables(table):
    first, second, third = (rows.make(40 + i, 25, 25 * i) for i in range(3))
    first, second, third = (x.drop_columns(["map"]) for x in (first, second, third))
    deltalake.write_deltalake(str(table.folder), first, partition_by=["yes"])
    table.append(second, "-x", "a:-1:7")
    opened = deltalake.DeltaTable(str(table.folder))
    deltalake.write_deltalake(opened, third, mode="append")
    opened.delete("id % 3 = 0")
    opened.create_checkpoint()
    table.append(first, "-x", "a:7:9")
    kept = pa.concat_tables([first, second, third])
    kept = kept.filter(pa.array([x % 3 != 0 for x in kept["id"].to_pylist()]))
    check(table, pa.concat_tables([kept, first]))
    assert table.info()["positions"] == {"a": 9}
    table.checkpoint()
    opened = deltalake.DeltaTable(str(table.folder))
    opened.optimize.compact()
    table.append(second)
    check(table, pa.concat_tables([kept, first, second]))


def test_features_that_we_lack_are_refused_before_writing(table):
    batch = pa.table({"id": pa.array([1], pa.int64())})
    feed = {"delta.enableChangeDataFeed": "true"}
    deltalake.write_deltalake(str(table.folder), batch, configuration=feed)
    before = sorted(table.folder.rglob("*"))
    with pytest.raises(tool.DeltaError, match="unsupported: .*changeDataFeed"):
        table.append(batch)
    assert sorted(table.folder.rglob("*")) == before
    assert table.info()["writable"] is False


# ---- at the same time ----


def test_racing_writers_lose_nothing(table):
    """Two processes of ours that move positions, a third without, and delta-rs, on one table."""
    batch = pa.table({"id": pa.array(range(3), pa.int64()), "who": ["x"] * 3})
    table.create(batch)
    file = table.file(batch)
    running = [
        tool.start("append", "-n", 60, "-x", f"{name}:-1:0", table.folder, file) for name in "ab"
    ]
    running.append(tool.start("append", "-n", 40, table.folder, file))
    patient = deltalake.CommitProperties(max_commit_retries=1000)
    for _ in range(15):
        deltalake.write_deltalake(
            str(table.folder), batch, mode="append", commit_properties=patient
        )
    for process in running:
        tool.finish(process)
    info = table.info()
    assert info["positions"] == {"a": 59, "b": 59}
    assert info["version"] == 175 and info["rows"] == 3 * 175
    check(table, pa.concat_tables([batch] * 175))


def test_two_writers_of_one_position(table):
    """Of commits that go from the same position exactly one holds."""
    batch = pa.table({"id": pa.array([1], pa.int64())})
    table.create(batch)
    for i in range(8):
        moves = f"a:{i - 1}:{i}"
        running = [
            tool.start("append", "-x", moves, table.folder, table.file(batch)) for _ in range(3)
        ]
        won = 0
        for process in running:
            try:
                tool.finish(process)
                won += 1
            except tool.Conflict:
                pass
        assert won == 1
    assert table.info()["rows"] == 8


def test_clean_up_leaves_a_good_table(table):
    batch = rows.make(8, 10)
    table.create(batch)
    table.append(batch, "-n", 25)
    table.upsert(batch, ["id"])
    files = len(list(table.folder.glob("sluice-*.parquet")))
    assert table.clean(int(datetime.datetime.now().timestamp() * 1000))["data_files"] == 0
    later = datetime.datetime.now() + datetime.timedelta(days=3)
    cleaned = table.clean(int(later.timestamp() * 1000))
    assert cleaned["data_files"] == files - 1 and cleaned["log_entries"] > 15
    check(table, batch)


# ---- Spark ----


@pytest.fixture(scope="module")
def spark():
    why = readers.missing("spark")
    if why is not None:
        pytest.skip(why)
    return readers.spark_session()


def test_spark_and_we_write_one_table(spark, table, tmp_path):
    first, second, third = (rows.make(60 + i, 30, 30 * i) for i in range(3))
    table.create(first, ("yes",))
    table.append(first, "-x", "a:-1:3", "-n", 12)
    wanted = pa.concat_tables([first] * 12)
    check(table, wanted, [*FAST, "spark"])
    source = tmp_path / "theirs.parquet"
    pq.write_table(second, source)
    frame = spark.read.parquet(str(source))
    frame.write.format("delta").mode("append").save(str(table.folder))
    table.append(third, "-x", "a:47:50")
    wanted = pa.concat_tables([wanted, second, third])
    check(table, wanted, [*FAST, "spark"])
    table.upsert(second, ["id"])
    check(table, wanted, [*FAST, "spark"])
    table.checkpoint()
    check(table, wanted, ["spark"])


def test_we_write_to_tables_of_spark(spark, table, tmp_path):
    first, second = (rows.make(70 + i, 30, 30 * i) for i in range(2))
    source = tmp_path / "theirs.parquet"
    pq.write_table(first, source)
    spark.conf.set("spark.databricks.delta.checkpoint.partSize", "4")
    frame = spark.read.parquet(str(source)).repartition(6)
    try:
        for _ in range(11):
            writer = frame.write.format("delta").partitionBy("day").mode("append")
            writer.save(str(table.folder))
    finally:
        spark.conf.unset("spark.databricks.delta.checkpoint.partSize")
    log = table.folder / "_delta_log"
    assert list(log.glob("*.checkpoint.0000000001.*.parquet")), "a multi-part checkpoint"
    for name in log_entries(table):
        if int(name[:20]) < 10:
            (log / name).unlink()
    table.append(second, "-x", "a:-1:3", "-n", 2)
    wanted = pa.concat_tables([first] * 11 + [second] * 2)
    check(table, wanted, [*FAST, "spark"])
    table.checkpoint()
    check(table, wanted, [*FAST, "spark"])


def test_the_copy_is_a_table_too(table, tmp_path):
    """Paths in the log are relative: a copied folder is the same table."""
    batch = rows.make(9, 20)
    table.create(batch, ("text",))
    table.append(batch)
    copy = tool.Table(tmp_path / "a copy", tmp_path)
    shutil.copytree(table.folder, copy.folder)
    told = compare.difference(table.read(), copy.read())
    assert told is None, told
