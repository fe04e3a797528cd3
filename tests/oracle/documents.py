"""Strict JSON and the schema, record by record: the oracle's slow and certain way.

`Documents` knows one JSON Schema. It says of one value whether it is valid, by Python's
`jsonschema` and by what the columns can hold, and turns a valid one into the values of its
columns. Schemas of plain columns are covered: string, integer, number, boolean, date-time, date,
decimal(P,S), objects with properties, arrays.
"""

import datetime
import decimal
import json
import math
import re

import jsonschema
import polars as pl

_UTC = datetime.timezone.utc
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=_UTC)
_DATE_TIME = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt](\d{2}:\d{2}:\d{2})(?:\.(\d+))?(?:[Zz]|([+-])(\d{2}):(\d{2}))",
    re.ASCII,
)
_DECIMAL = re.compile(r"decimal\((\d+),\s*(\d+)\)")
_MAX_DEPTH = 64


class Refused(Exception):
    """A value that is not accepted; the argument says why."""


def _refuse_constant(name):
    raise Refused(f"{name} is not JSON")


def _object_without_twins(pairs):
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Refused("a key occurs twice")
    return found


_decoder = json.JSONDecoder(
    object_pairs_hook=_object_without_twins,
    parse_float=decimal.Decimal,
    parse_constant=_refuse_constant,
)


def _check_text(value, depth=1):
    """Escapes can spell half of a surrogate pair, which is not Unicode text."""
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            raise Refused("a lone surrogate") from None
    elif isinstance(value, (dict, list)):
        if depth > _MAX_DEPTH:
            raise Refused(f"deeper than {_MAX_DEPTH}")
        for item in [*value.keys(), *value.values()] if isinstance(value, dict) else value:
            _check_text(item, depth + 1)


def parse(raw):
    """The document in `raw` (bytes or None); raises Refused. Fractions come as Decimal."""
    if raw is None:
        raise Refused("no value")
    try:
        text = raw.decode("utf-8")
        body = text.strip(" \t\r\n")
        document, end = _decoder.raw_decode(body)
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise Refused(str(error)) from None
    if end != len(body):
        raise Refused("bytes follow the value")
    _check_text(document)
    return document


def _is_integer(_, value):
    if isinstance(value, bool):
        return False
    return isinstance(value, int) or isinstance(value, decimal.Decimal) and value % 1 == 0


_Validator = jsonschema.validators.extend(
    jsonschema.Draft202012Validator,
    type_checker=jsonschema.Draft202012Validator.TYPE_CHECKER.redefine("integer", _is_integer),
)


def _types(schema):
    kind = schema.get("type")
    return [kind] if isinstance(kind, str) else list(kind or ())


def column_type(schema):
    """The polars type of a property's column."""
    annotated = _DECIMAL.fullmatch(schema.get("x-sluice-type", ""))
    if annotated:
        return pl.Decimal(int(annotated[1]), int(annotated[2]))
    kinds = [k for k in _types(schema) if k != "null"]
    if len(kinds) != 1:
        raise ValueError(f"the oracle does not know columns of {schema}")
    kind = kinds[0]
    if kind == "object":
        return pl.Struct({n: column_type(s) for n, s in schema["properties"].items()})
    if kind == "array":
        return pl.List(column_type(schema["items"]))
    if kind == "string":
        return {
            "date-time": pl.Datetime("us", "UTC"),
            "date": pl.Date,
        }.get(schema.get("format"), pl.String)
    return {"integer": pl.Int64, "number": pl.Float64, "boolean": pl.Boolean}[kind]


def date_time_us(text):
    """RFC 3339 to microseconds since the epoch; digits beyond microseconds are cut."""
    match = _DATE_TIME.fullmatch(text)
    try:
        moment = datetime.datetime.fromisoformat(f"{match[1]}T{match[2]}+00:00")
    except (TypeError, ValueError):
        raise Refused(f"no date-time: {text}") from None
    seconds = (moment - _EPOCH) // datetime.timedelta(seconds=1)
    if match[4]:
        offset = int(match[5]) * 3600 + int(match[6]) * 60
        seconds += -offset if match[4] == "+" else offset
    return seconds * 1_000_000 + int((match[3] or "0")[:6].ljust(6, "0"))


def _as_integer(value):
    number = int(value)
    if not -(2**63) <= number < 2**63:
        raise Refused(f"{value} is beyond int64")
    return number


def _as_double(value):
    number = float(value)
    if math.isinf(number):
        raise Refused(f"{value} is beyond double")
    return number


def _as_decimal(value, kind):
    number = decimal.Decimal(value)
    with decimal.localcontext() as context:
        context.prec = 1000
        unscaled = number.scaleb(kind.scale)
        if unscaled % 1 != 0 or abs(unscaled) >= 10**kind.precision:
            raise Refused(f"{value} does not fit decimal({kind.precision},{kind.scale})")
    return number


def cell(value, schema, kind):
    """A valid JSON value as that of its column; raises Refused where the column is too small."""
    if value is None:
        return None
    if isinstance(kind, pl.Struct):
        properties = schema["properties"]
        return {f.name: cell(value.get(f.name), properties[f.name], f.dtype) for f in kind.fields}
    if isinstance(kind, pl.List):
        return [cell(item, schema["items"], kind.inner) for item in value]
    if isinstance(kind, pl.Decimal):
        return _as_decimal(value, kind)
    if kind == pl.Int64:
        return _as_integer(value)
    if kind == pl.Float64:
        return _as_double(value)
    if isinstance(kind, pl.Datetime):
        return _EPOCH + datetime.timedelta(microseconds=date_time_us(value))
    if kind == pl.Date:
        return datetime.date.fromisoformat(value)
    return value


class Documents:
    """`schema` is a JSON Schema (draft 2020-12) as a dict, of objects with `properties`."""

    def __init__(self, schema):
        self.properties = schema["properties"]
        self.columns = {n: column_type(s) for n, s in self.properties.items()}
        exact = json.loads(json.dumps(schema), parse_float=decimal.Decimal)
        formats = jsonschema.FormatChecker(formats=("date-time", "date"))
        if "date-time" not in formats.checkers:
            raise RuntimeError("jsonschema checks no date-time; rfc3339-validator is not installed")
        self._validator = _Validator(exact, format_checker=formats)

    def row(self, raw):
        """Column name to value for one valid record; raises Refused."""
        document = parse(raw)
        error = next(self._validator.iter_errors(document), None)
        if error is not None:
            raise Refused(f"{error.json_path}: {error.message[:200]}")
        return {n: cell(document.get(n), self.properties[n], k) for n, k in self.columns.items()}
