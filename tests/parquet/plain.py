"""Tables as plain Python values, so that what different readers make of one file can be compared."""

import datetime as dt
import decimal
import math
import struct


def plain(value):
    """NaN equals itself, -0.0 is not 0.0, times with a zone are UTC, maps are lists of pairs."""
    if isinstance(value, float):
        return "nan" if math.isnan(value) else struct.pack("<d", value)
    if isinstance(value, decimal.Decimal):
        with decimal.localcontext(decimal.Context(prec=50)):
            return ("decimal", value.normalize() if value else decimal.Decimal(0))
    if isinstance(value, dt.datetime) and value.tzinfo is not None:
        return ("utc", value.astimezone(dt.timezone.utc).replace(tzinfo=None))
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, tuple):
        return {"key": plain(value[0]), "value": plain(value[1])}
    if isinstance(value, list):
        return [plain(v) for v in value]
    return value


def columns(table):
    """Name to list of plain values."""
    return {name: [plain(v) for v in table.column(name).to_pylist()] for name in table.column_names}


def difference(expected, actual):
    """None, or a sentence about the first difference of two results of columns()."""
    if list(expected) != list(actual):
        return f"columns {list(expected)} and {list(actual)}"
    for name, values in expected.items():
        if len(values) != len(actual[name]):
            return f"{name}: {len(values)} rows and {len(actual[name])}"
        for i, (a, b) in enumerate(zip(values, actual[name])):
            if a != b:
                return f"{name}[{i}]: {a!r} and {b!r}"
    return None
