"""Compares what a run left in its tables with the oracle's answer.

Each function returns None when all is as it has to be, else a text that shows what is not: so that
a test says `assert check.silver(answer, table) is None`. Tables are Arrow tables of any reader
(tests/lake).
"""

import polars as pl

from tests.lake import compare

SHOWN = 5
# Relative error of avg, stddev and sums of doubles: their exact value, rounded differently.
ROUNDING = 1e-9
# Relative error that is allowed to the values of a quantile.
QUANTILE_ERROR = 0.01 + ROUNDING
# count_distinct is exact up to here, then five standard deviations of a HyperLogLog's 0.81 %.
DISTINCT_EXACT = 1024
DISTINCT_ERROR = 5 * 0.0081
_PLACE = {"_topic": pl.String, "_partition": pl.Int32, "_offset": pl.Int64}


def _shown(frame):
    return "\n".join(f"  {row}" for row in frame.head(SHOWN).to_dicts())


def _frame(table):
    return table if isinstance(table, pl.DataFrame) else pl.from_arrow(table)


def _with_place(frame):
    return frame.with_columns([pl.col(n).cast(k) for n, k in _PLACE.items()])


def bronze(table, delivered):
    """Every delivered offset once. `delivered`: partition to (first, next) offset, without gaps."""
    frame = _frame(table.select(["partition", "offset"]))
    found = frame.group_by("partition").agg(
        pl.len().alias("rows"),
        pl.col("offset").n_unique().alias("offsets"),
        pl.col("offset").min().alias("first"),
        (pl.col("offset").max() + 1).alias("next"),
    )
    by_partition = {row.pop("partition"): row for row in found.to_dicts()}
    told = []
    for partition, (first, following) in sorted(delivered.items()):
        count = following - first
        wanted = {"rows": count, "offsets": count, "first": first, "next": following}
        got = by_partition.pop(partition, None if count else wanted)
        if got != wanted:
            told.append(f"partition {partition}: {got}, delivered were {wanted}")
    told += [f"partition {p} was not produced to: {got}" for p, got in by_partition.items()]
    return "\n".join(told) or None


def silver(answer, table):
    """The kept records, with every column of the schema and their places."""
    names = [*answer.columns, *_PLACE]
    absent = [n for n in names if n not in table.schema.names]
    if absent:
        return f"silver has no column {', '.join(absent)}; it has {', '.join(table.schema.names)}"
    got = _with_place(_frame(table.select(names))).to_arrow()
    return compare.difference(answer.silver.select(names).to_arrow(), got, None, "oracle", "silver")


def quarantine(answer, table):
    """The rejected records, by place and raw bytes, each with a reason."""
    got = _frame(table.select(["topic", "partition", "offset", "value", "reason"]))
    unexplained = got.filter(pl.col("reason").is_null() | (pl.col("reason") == "")).height
    if unexplained:
        return f"{unexplained} quarantined records have no reason"
    got = got.select(
        *[pl.col(n[1:]).cast(k).alias(n) for n, k in _PLACE.items()],
        pl.col("value").cast(pl.Binary),
    )
    wanted = answer.rejected.select(*_PLACE, "value")
    told = compare.difference(wanted.to_arrow(), got.to_arrow(), None, "oracle", "quarantine")
    if told is None:
        return None
    why = answer.rejected.select(*_PLACE, "why")
    missed = why.join(got, on=list(_PLACE), how="anti")
    return f"{told}\nnot quarantined, though:\n{_shown(missed)}"


def accounts(answer, silver_rows, quarantined, duplicates):
    """records = silver + rejected + duplicates, and each as the oracle counts it."""
    wanted = {
        "silver": len(answer.silver),
        "quarantine": len(answer.rejected),
        "duplicates": len(answer.duplicates),
    }
    got = {"silver": silver_rows, "quarantine": quarantined, "duplicates": duplicates}
    told = [f"{n}: {got[n]}, the oracle has {wanted[n]}" for n in wanted if got[n] != wanted[n]]
    if sum(got.values()) != answer.records:
        told.append(f"{got} add up to {sum(got.values())}, bronze has {answer.records} records")
    return "\n".join(told) or None


def late(answer, node, table):
    """The late records of an aggregation, by place."""
    wanted = answer.gold[node].late.select(list(_PLACE)).to_arrow()
    got = _with_place(_frame(table.select(list(_PLACE)))).to_arrow()
    return compare.difference(wanted, got, None, "oracle", "late")


def _near(got, low, high, relative):
    """got within [low, high], widened by a relative error; both null is near, too."""
    slack = relative * pl.max_horizontal(low.abs(), high.abs()) + 1e-12
    inside = (got >= low - slack) & (got <= high + slack)
    return (
        pl.when(got.is_null() | low.is_null()).then(got.is_null() & low.is_null()).otherwise(inside)
    )


def _exact_form(kind):
    """The type in which values of `kind` are compared, whatever width a table gives them."""
    if isinstance(kind, pl.Decimal):
        return pl.Decimal(38, kind.scale)
    if kind.is_integer():
        return pl.Int128
    return kind


def _same_value(name, aggregate, kinds):
    """An expression: is the column `name`, got as `got:name`, right?"""
    got, wanted = pl.col(f"got:{name}"), pl.col(name)
    doubles = got.cast(pl.Float64), wanted.cast(pl.Float64)
    if aggregate.function == "quantile":
        low, high = (pl.col(f"{name}__{side}").cast(pl.Float64) for side in ("lo", "hi"))
        return _near(doubles[0], low, high, QUANTILE_ERROR)
    if aggregate.function == "count_distinct":
        many = _near(doubles[0], doubles[1], doubles[1], DISTINCT_ERROR)
        return pl.when(wanted > DISTINCT_EXACT).then(many).otherwise(doubles[0] == doubles[1])
    if aggregate.function == "avg" or aggregate.function.startswith("stddev"):
        return _near(doubles[0], doubles[1], doubles[1], ROUNDING)
    if aggregate.function == "sum" and kinds[name].is_float():
        return _near(doubles[0], doubles[1], doubles[1], ROUNDING)
    form = _exact_form(kinds[name])
    return got.cast(form).eq_missing(wanted.cast(form))


def gold(answer, node, table):
    """The windows of an aggregation: exact where the aggregate is, near where it is a sketch."""
    wanted, spec = answer.gold[node].windows, answer.specs[node]
    keys = ["window_start", "window_end", *spec.group_columns]
    names = [*keys, *spec.aggregates]
    absent = [n for n in names if n not in table.schema.names]
    if absent:
        return f"gold has no column {', '.join(absent)}; it has {', '.join(table.schema.names)}"
    got = _frame(table.select(names)).with_columns([pl.col(k).cast(wanted.schema[k]) for k in keys])
    twice = got.filter(pl.struct(keys).is_duplicated())
    if twice.height:
        return f"{twice.height} rows of gold share their key with another:\n{_shown(twice)}"
    got = got.rename({n: f"got:{n}" for n in spec.aggregates})
    told = []
    for what, left, right in (("missing in gold", wanted, got), ("only in gold", got, wanted)):
        alone = left.join(right, on=keys, how="anti", nulls_equal=True)
        if alone.height:
            told.append(f"{alone.height} windows {what}:\n{_shown(alone)}")
    both = wanted.join(got, on=keys, how="inner", nulls_equal=True)
    for name, aggregate in spec.aggregates.items():
        wrong = both.filter(~_same_value(name, aggregate, wanted.schema))
        if wrong.height:
            columns = [c for c in wrong.columns if c in keys or name in (c.split("__")[0], c[4:])]
            told.append(
                f"{wrong.height} windows differ in {name}:\n{_shown(wrong.select(columns))}"
            )
    return "\n".join(told) or None
