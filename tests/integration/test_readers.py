"""Foreign readers and writers of our tables, and our writing to theirs.

Many runs with short commits, so that each log has checkpoints and gold many upserts; then every
reader there is (tests/lake/readers.py) has to see the same rows in each table. Then delta-rs and
Spark append to our table and sluice goes on; then sluice appends to tables that they made.
"""

import itertools

import deltalake
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from tests.lake import compare, readers
from tests.oracle import check, expect_for_topology
from tests.support import events, sluice
from tests.support.medallion import TABLES, Medallion

RUNS = 12
RECORDS = 36_000
MORE = 2_000
FAST = [name for name in readers.READERS if name != "spark"]


def needs_spark():
    return pytest.mark.skipif(
        readers.missing("spark") is not None, reason=str(readers.missing("spark"))
    )


def checkpoints(table):
    return sorted((table / "_delta_log").glob("*.checkpoint*.parquet"))


@pytest.fixture(scope="module")
def lake(broker, new_topic, tmp_path_factory):
    """(medallion, topic, rest of the feed), with a dozen runs behind it."""
    topic = new_topic()
    medallion = Medallion(tmp_path_factory.mktemp("readers"), broker.bootstrap, topic)
    medallion.document["commit.interval"] = "20ms"
    medallion.write()
    feed = events.records(events.Feed(records=RECORDS + 4 * MORE))
    for _ in range(RUNS):
        broker.produce(topic, itertools.islice(feed, RECORDS // RUNS))
        sluice.run_until_end(medallion.path)
    return medallion, topic, feed


@pytest.mark.parametrize("name", TABLES)
def test_every_reader_sees_the_same_rows(lake, name):
    medallion, _, _ = lake
    table = medallion.table(name)
    assert checkpoints(table), "no checkpoint, so nothing is proved of them"
    rows, used, told = compare.same_in_all_readers(table, FAST)
    assert not told, "\n".join(told)
    assert rows.num_rows > 0
    assert used == FAST


def test_the_rows_that_they_see_are_right(lake):
    medallion, _, _ = lake
    tables = {n: readers.read(medallion.table(n), "duckdb") for n in TABLES}
    answer = expect_for_topology(tables["bronze"], medallion.document, medallion.folder)
    assert tables["bronze"].num_rows == RECORDS
    assert check.silver(answer, tables["silver_tbl"]) is None
    assert check.quarantine(answer, tables["quarantine"]) is None
    assert check.gold(answer, "per_country", tables["gold"]) is None
    assert check.late(answer, "per_country", tables["late"]) is None


@needs_spark()
@pytest.mark.parametrize("name", TABLES)
def test_spark_sees_the_same_rows(lake, name):
    medallion, _, _ = lake
    table = medallion.table(name)
    found = compare.difference(
        readers.read(table), readers.read(table, "spark"), None, "delta-rs", "spark"
    )
    assert found is None


def with_delta_rs(table, rows):
    deltalake.write_deltalake(str(table), rows, mode="append")


def with_spark(table, rows):
    spark = readers.spark_session()
    template = spark.read.format("delta").load(str(table))
    folder = table.parent / "from-test"
    deltalake.write_deltalake(str(folder), rows, mode="overwrite")
    given = spark.read.format("delta").load(str(folder)).select(template.columns)
    given.write.format("delta").mode("append").save(str(table))


def marked(rows, topic):
    """The rows as if they were of another topic, so that a test finds them again."""
    at = rows.schema.get_field_index("_topic")
    return rows.set_column(at, rows.schema.field(at), pa.array([topic] * rows.num_rows))


@pytest.mark.parametrize(
    "append, who",
    [(with_delta_rs, "delta-rs"), pytest.param(with_spark, "spark", marks=needs_spark())],
)
def test_others_append_to_our_table_and_we_go_on(lake, broker, append, who):
    medallion, topic, feed = lake
    table = medallion.table("silver_tbl")
    ours = deltalake.DeltaTable(str(table)).to_pyarrow_table().slice(0, 500)
    append(table, marked(ours, who))
    broker.produce(topic, itertools.islice(feed, MORE))
    sluice.run_until_end(medallion.path)
    rows, _, told = compare.same_in_all_readers(table)
    assert not told, "\n".join(told)
    theirs = pc.is_in(rows["_topic"], pa.array(["delta-rs", "spark"], pa.large_string()))
    assert rows.filter(pc.equal(rows["_topic"], who)).num_rows == 500
    bronze = readers.read(medallion.table("bronze"))
    answer = expect_for_topology(bronze, medallion.document, medallion.folder)
    assert check.silver(answer, rows.filter(pc.invert(theirs))) is None


def made_by_delta_rs(table, like, **options):
    deltalake.write_deltalake(str(table), like.schema.empty_table(), **options)


def made_by_spark(table, like, **options):
    sample = table.parent / f"{table.name}-sample"
    deltalake.write_deltalake(str(sample), like)
    written = readers.spark_session().read.format("delta").load(str(sample)).write.format("delta")
    if "partition_by" in options:
        written = written.partitionBy(*options["partition_by"])
    written.save(str(table))


@pytest.mark.parametrize("partition_by", [None, ["country"]], ids=["plain", "partitioned"])
@pytest.mark.parametrize(
    "make", [made_by_delta_rs, pytest.param(made_by_spark, marks=needs_spark())]
)
def test_we_append_to_tables_of_others(lake, broker, tmp_path, make, partition_by):
    medallion, topic, _ = lake
    few = deltalake.DeltaTable(str(medallion.table("silver_tbl"))).to_pyarrow_table().slice(0, 40)
    few = marked(few, "before")
    own = Medallion(tmp_path, broker.bootstrap, topic, "appends")
    own.without("per_country")
    make(own.table("silver_tbl"), few, **({"partition_by": partition_by} if partition_by else {}))
    had = readers.read(own.table("silver_tbl")).num_rows
    sluice.run_until_end(own.write())
    rows, _, told = compare.same_in_all_readers(own.table("silver_tbl"))
    assert not told, "\n".join(told)
    bronze = readers.read(own.table("bronze"))
    answer = expect_for_topology(bronze, own.document, own.folder)
    before = pc.equal(rows["_topic"], "before")
    assert rows.filter(before).num_rows == had
    assert check.silver(answer, rows.filter(pc.invert(before))) is None
