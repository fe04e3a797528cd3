"""From silver to gold: watermarks, late records, windows and aggregates (README.md).

Works on polars frames of kept records in offset order with the columns `_topic`, `_partition`,
`_offset`, `_timestamp_us` beside the schema's. A quantile comes with its bounds: NAME__lo and
NAME__hi hold the values at the whole ranks below and above q·(n−1), between which every definition
of a quantile lies.
"""

from dataclasses import dataclass

import polars as pl

from tests.oracle.silver import column_at

_PARTITION = ["_topic", "_partition"]
_DATETIME = pl.Datetime("us", "UTC")
_INT64 = 2**63
_DDOF = {"stddev": 1, "stddev_samp": 1, "stddev_pop": 0}


@dataclass
class Gold:
    """windows: window_start, window_end, the groups, the aggregates. late, left_out: records, the
    latter without event time or too far ahead."""

    windows: pl.DataFrame
    late: pl.DataFrame
    left_out: pl.DataFrame


def _with_watermark(rows, spec):
    """`_time_us`, and `_watermark_us`: null before a partition's first record."""
    highest = pl.col("_time_us").cum_max().shift(1).over(_PARTITION)
    return rows.with_columns((highest - spec.lateness_us).alias("_watermark_us"))


def _is_left_out(spec):
    if spec.max_ahead_us is None:
        return pl.col("_time_us").is_null()
    limit = pl.col("_timestamp_us") + spec.max_ahead_us
    return pl.col("_time_us").is_null() | (pl.col("_time_us") > limit).fill_null(False)


def _last_end(window):
    """The end of the last window that holds the record."""
    time = pl.col("_time_us")
    if window.kind == "session":
        return time + window.size_us
    return (time // window.every_us) * window.every_us + window.size_us


def _per_window(rows, window):
    """One row for each open window of each record: `_start` and `_end`."""
    if window.kind == "session":
        return rows
    newest = (pl.col("_time_us") // window.every_us) * window.every_us
    parts = []
    for back in range(-(-window.size_us // window.every_us)):
        part = rows.with_columns((newest - back * window.every_us).alias("_start"))
        part = part.with_columns((pl.col("_start") + window.size_us).alias("_end"))
        # Of a size that is no multiple of `every`, the last candidate may end before the record.
        open_still = (pl.col("_end") > pl.col("_watermark_us")).fill_null(True)
        parts.append(part.filter(open_still & (pl.col("_end") > pl.col("_time_us"))))
    return pl.concat(parts)


def _sessions(rows, window, groups):
    """Adds `_start` and `_end` by gaps within each group."""
    by = [pl.col(g) for g in groups] or [pl.lit(0)]
    rows = rows.sort([*groups, "_time_us"])
    gap = pl.col("_time_us") - pl.col("_time_us").shift(1).over(by)
    number = (gap >= window.size_us).fill_null(True).cast(pl.Int64).cum_sum()
    rows = rows.with_columns(number.alias("_session"))
    key = [*groups, "_session"]
    start = pl.col("_time_us").min().over(key).alias("_start")
    end = (pl.col("_time_us").max().over(key) + window.size_us).alias("_end")
    return rows.with_columns(start, end).drop("_session")


def _sum(column, kind):
    """Integers as long, decimal(p,s) as decimal(p+10,s): null when the sum does not fit."""
    if kind.is_float():
        return column.cast(pl.Float64).sum()
    if kind.is_integer():
        total = column.cast(pl.Int128).sum()
        return pl.when((total >= -_INT64) & (total < _INT64)).then(total)
    total = column.cast(pl.Decimal(38, kind.scale)).sum()
    digits = min(38, kind.precision + 10)
    fits = total.to_physical().abs() < pl.lit(10**digits, dtype=pl.Int128)
    return pl.when(fits).then(total)


def _at_rank(column, rank):
    """The value at a (computed) rank among the values that are not null."""
    last = column.count().cast(pl.Int64) - 1
    return column.drop_nulls().sort().get(rank.clip(0, last), null_on_oob=True)


def _quantile(name, column, q):
    rank = q * (column.count() - 1)
    return [
        _at_rank(column, rank.round().cast(pl.Int64)).alias(name),
        _at_rank(column, rank.floor().cast(pl.Int64)).alias(f"{name}__lo"),
        _at_rank(column, rank.ceil().cast(pl.Int64)).alias(f"{name}__hi"),
    ]


def _moment(function, column):
    numbers = column.cast(pl.Float64)
    return numbers.mean() if function == "avg" else numbers.std(ddof=_DDOF[function])


def _aggregate(name, aggregate, column, kind):
    """Expressions for one output column, over the input column named `column`."""
    function = aggregate.function
    if function == "count":
        return [(pl.len() if column is None else pl.col(column).count()).alias(name)]
    column = pl.col(column)
    if function == "quantile":
        return _quantile(name, column, aggregate.q)
    some = column.count() > 0
    if function == "sum":
        found = pl.when(some).then(_sum(column, kind))
    elif function == "avg" or function in _DDOF:
        found = _moment(function, column)
    elif function == "count_distinct":
        found = column.drop_nulls().n_unique()
    elif function in ("first", "last"):
        kept = column.drop_nulls()
        found = kept.first() if function == "first" else kept.last()
    else:
        found = column.min() if function == "min" else column.max()
    return [found.alias(name)]


def _aggregated(rows, spec, groups):
    inputs, expressions = [], []
    for number, (name, aggregate) in enumerate(spec.aggregates.items()):
        column = None if aggregate.path is None else f"_in{number}"
        if column is not None:
            inputs.append(column_at(aggregate.path).alias(column))
        expressions.append((name, aggregate, column))
    ordered = rows.with_columns(inputs).sort(["_time_us", "_partition", "_offset"])
    kinds = ordered.schema
    wanted = [e for n, a, c in expressions for e in _aggregate(n, a, c, kinds.get(c))]
    keys = ["_start", "_end", *groups]
    found = ordered.group_by(keys, maintain_order=True).agg(wanted)
    return found.select(
        pl.col("_start").cast(_DATETIME).alias("window_start"),
        pl.col("_end").cast(_DATETIME).alias("window_end"),
        *[pl.col(g).alias(n) for g, n in zip(groups, spec.group_columns)],
        *[c for c in found.columns if c not in keys],
    ).sort(["window_start", "window_end", *spec.group_columns])


def aggregate(rows, spec):
    """Gold for the kept records `rows`, in offset order."""
    time = column_at(spec.time).dt.cast_time_unit("us").to_physical().alias("_time_us")
    rows = rows.with_columns(time)
    left_out = rows.filter(_is_left_out(spec))
    rows = _with_watermark(rows.filter(~_is_left_out(spec)), spec)
    is_late = (_last_end(spec.window) <= pl.col("_watermark_us")).fill_null(False)
    late = rows.filter(is_late)
    groups = [f"_group{i}" for i in range(len(spec.group_by))]
    kept = rows.filter(~is_late).with_columns(
        [column_at(path).alias(g) for g, path in zip(groups, spec.group_by)]
    )
    if spec.window.kind == "session":
        kept = _sessions(kept, spec.window, groups)
    else:
        kept = _per_window(kept, spec.window)
    helpers = ["_time_us", "_watermark_us"]
    return Gold(
        _aggregated(kept, spec, groups),
        late.drop(helpers),
        left_out.drop("_time_us"),
    )
