"""From bronze to silver: which records are valid, which of those are duplicates (README.md)."""

import numpy as np
import polars as pl

from tests.oracle.documents import Documents, Refused
from tests.oracle.fast_rows import FastRows, NotFast
from tests.oracle.spec import path_parts

PLACE = ["_topic", "_partition", "_offset"]
_PARTITION = ["_topic", "_partition"]
_CHUNK_ROWS = 100_000


def in_offset_order(bronze):
    """The columns of a bronze table (Arrow or polars) that the oracle reads, sorted by place."""
    frame = (
        bronze
        if isinstance(bronze, pl.DataFrame)
        else pl.from_arrow(bronze.select(["value", "topic", "partition", "offset", "timestamp"]))
    )
    return frame.select(
        pl.col("topic").cast(pl.String).alias("_topic"),
        pl.col("partition").cast(pl.Int32).alias("_partition"),
        pl.col("offset").cast(pl.Int64).alias("_offset"),
        _as_us(frame["timestamp"]).alias("_timestamp_us"),
        pl.col("value").cast(pl.Binary),
    ).sort(PLACE)


def _as_us(timestamps):
    if timestamps.dtype == pl.Int64:
        return timestamps
    return timestamps.cast(pl.Datetime("us", "UTC")).to_physical()


def valid_rows(values, schema):
    """A struct series of the schema's columns for a Binary series: null where a record is rejected.

    And a list of (row, why) of the rejected ones.
    """
    documents = Documents(schema)
    kind = pl.Struct(documents.columns)
    try:
        fast = FastRows(schema)
    except NotFast:
        fast = None
    parts, refused = [], []
    for first in range(0, len(values), _CHUNK_ROWS):
        chunk = values.slice(first, _CHUNK_ROWS)
        if fast is None:
            rows = pl.Series("row", [None] * len(chunk), dtype=kind)
        else:
            rows = fast.columns(chunk).cast(kind)
        undecided = rows.is_null().arg_true().to_list()
        slow = []
        for at in undecided:
            try:
                slow.append((at, documents.row(chunk[at])))
            except Refused as why:
                refused.append((first + at, str(why)))
        parts.append(_with_rows(rows, slow, kind))
    if not parts:
        return pl.Series("row", [], dtype=kind), refused
    return pl.concat(parts, rechunk=True), refused


def _with_rows(rows, found, kind):
    """`rows` with the values of `found`, a list of (row, dict), put in."""
    if not found:
        return rows
    filled = pl.Series("found", [row for _, row in found], dtype=kind)
    spots = pl.Series("at", [at for at, _ in found], dtype=pl.UInt32)
    joined = (
        pl.DataFrame({"row": rows})
        .with_row_index("at")
        .join(
            pl.DataFrame({"at": spots, "found": filled, "is_found": [True] * len(found)}),
            on="at",
            how="left",
            maintain_order="left",
        )
    )
    chosen = pl.when(pl.col("is_found")).then(pl.col("found")).otherwise(pl.col("row"))
    return joined.select(chosen.alias("row"))["row"]


def clock(timestamps_us, max_ahead_us=None):
    """The clock of one partition at each of its records; None stands for a missing timestamp."""
    times = np.asarray(
        [-1 if t is None else t for t in timestamps_us]
        if isinstance(timestamps_us, list)
        else timestamps_us,
        dtype=np.int64,
    )
    if len(times) == 0:
        return times
    known = np.flatnonzero(times >= 0)
    if len(known) == 0:
        return np.zeros_like(times)
    result = np.maximum.accumulate(np.where(times >= 0, times, 0))
    if max_ahead_us is None:
        return result
    first = known[0]
    if not np.any(np.diff(result[first:]) > max_ahead_us):
        return result
    now = int(times[first])
    for at in range(first, len(times)):
        now = max(now, min(int(times[at]), now + max_ahead_us))
        result[at] = now
    return result


def with_clock(records, max_ahead_us):
    """`records` (of in_offset_order) with the column `_clock_us`."""
    times = records["_timestamp_us"].fill_null(-1).to_numpy()
    result = np.zeros(len(times), dtype=np.int64)
    lengths = records.group_by(_PARTITION, maintain_order=True).len()["len"]
    first = 0
    for length in lengths:
        result[first : first + length] = clock(times[first : first + length], max_ahead_us)
        first += length
    return records.with_columns(pl.Series("_clock_us", result))


def column_at(path):
    """A polars expression for a dotted path into structs."""
    names = path_parts(path)
    expression = pl.col(names[0])
    for name in names[1:]:
        expression = expression.struct.field(name)
    return expression


def is_duplicate(valid, dedup):
    """A boolean series for the valid records, in offset order, which have `_clock_us`."""
    keyed = valid.select(*_PARTITION, "_clock_us", column_at(dedup.key).alias("_key"))
    before = pl.col("_clock_us").shift(1).over([*_PARTITION, "_key"])
    near = (pl.col("_clock_us") - before) <= dedup.within_us
    return keyed.select((pl.col("_key").is_not_null() & near).fill_null(False).alias("dup"))["dup"]
