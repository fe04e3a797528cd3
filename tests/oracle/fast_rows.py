"""The oracle's fast way into columns: one regular expression, made from the schema.

It matches a *subset* of the valid records: those written compactly, with the properties in the
schema's order, no escapes in strings, and numbers of few digits. What matches is valid and its
groups are the values; what does not match is judged by documents.py, so that a fault here can only
be to accept too much. The tests compare both ways record by record.
"""

import re

import polars as pl

from tests.oracle.documents import column_type

_TEXT = r'[^"\\\x00-\x1f]'
_INTEGER = r"-?(?:0|[1-9][0-9]{0,17})"
_NUMBER = r"-?(?:0|[1-9][0-9]{0,8})(?:\.[0-9]{1,6})?"
_DATE_TIME = (
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,6})?Z"
)
# Keywords that the expression or the range check below honours; any other means: no fast way.
_KNOWN = {
    "string": {"type", "format", "minLength", "maxLength", "enum"},
    "integer": {"type", "minimum", "maximum"},
    "number": {"type", "minimum", "maximum", "x-sluice-type"},
    "boolean": {"type"},
    "object": {"type", "properties", "required"},
    "array": {"type", "items"},
}
_NOTES = {"title", "description", "$schema", "$id", "$comment", "examples"}


class NotFast(Exception):
    """The schema asks for something that the expression cannot say."""


class _Pattern:
    """Collects, while the expression is built: groups, value expressions, and range checks."""

    def __init__(self):
        self.groups = 0
        self.checks = []

    def capture(self, inside):
        name = f"g{self.groups}"
        self.groups += 1
        return f"(?P<{name}>{inside})", pl.col(name)

    def scalar(self, inside, schema, kind):
        """A captured value whose conversion may fail, and its range."""
        text, group = self.capture(inside)
        if isinstance(kind, pl.Datetime):
            value = group.str.to_datetime(
                "%Y-%m-%dT%H:%M:%S%.fZ", time_unit="us", time_zone="UTC", strict=False
            )
        else:
            value = group.cast(kind, strict=False)
        self.checks.append(group.is_null() | value.is_not_null())
        for keyword, outside in (("minimum", value.lt), ("maximum", value.gt)):
            if keyword in schema:
                self.checks.append(group.is_null() | ~outside(pl.lit(schema[keyword])))
        return text, value

    def string(self, schema):
        if "enum" in schema:
            if any(re.search(r'["\\]|[\x00-\x1f]', v) for v in schema["enum"]):
                raise NotFast("enum with escapes")
            text, group = self.capture("|".join(re.escape(v) for v in schema["enum"]))
        else:
            low, high = schema.get("minLength", 0), schema.get("maxLength", "")
            text, group = self.capture(f"{_TEXT}{{{low},{high}}}")
        return f'"{text}"', group

    def strings(self, schema):
        if set(schema["items"]) != {"type"} or schema["items"]["type"] != "string":
            raise NotFast("array of other than plain strings")
        one = f'"{_TEXT}*"'
        text, group = self.capture(rf"\[(?:{one}(?:,{one})*)?\]")
        items = group.str.slice(2).str.head(-2).str.split('","')
        empty = pl.lit([], dtype=pl.List(pl.String))
        return text, pl.when(group == "[]").then(empty).otherwise(items)

    def value(self, schema):
        kind = schema.get("type")
        known = _KNOWN.get(kind) if isinstance(kind, str) else None
        if known is None or set(schema) - known - _NOTES:
            raise NotFast(f"keywords of {schema}")
        if kind == "object":
            return self.members(schema)
        if kind == "array":
            return self.strings(schema)
        if kind == "boolean":
            text, group = self.capture("true|false")
            return text, group == "true"
        if kind == "string" and schema.get("format") == "date-time":
            text, value = self.scalar(_DATE_TIME, {}, column_type(schema))
            return f'"{text}"', value
        if kind == "string":
            if "format" in schema:
                raise NotFast("format")
            return self.string(schema)
        pattern = _INTEGER if kind == "integer" else _NUMBER
        column = column_type(schema)
        if isinstance(column, pl.Decimal):
            fraction = rf"(?:\.[0-9]{{1,{column.scale}}})?" if column.scale else ""
            pattern = rf"-?(?:0|[1-9][0-9]{{0,{column.precision}}}){fraction}"
        return self.scalar(pattern, schema, column)

    def members(self, schema):
        """An object's properties in order; the first is required, so that commas are plain."""
        required = schema.get("required", ())
        texts, values, marker = [], [], None
        for name, inner in schema["properties"].items():
            first_group = self.groups
            text, value = self.value(inner)
            member = f'{"" if not texts else ","}"{re.escape(name)}":{text}'
            if name not in required:
                if marker is None:
                    raise NotFast("an optional property comes first")
                member = f"(?:{member})?"
            elif marker is None:
                marker = pl.col(f"g{first_group}")
            texts.append(member)
            values.append(value.alias(name))
        if marker is None:
            raise NotFast("an object without required properties")
        whole = pl.struct(values)
        return r"\{" + "".join(texts) + r"\}", pl.when(marker.is_not_null()).then(whole)


class FastRows:
    """Raises NotFast when the schema is beyond it."""

    def __init__(self, schema):
        pattern = _Pattern()
        text, self._rows = pattern.members(schema)
        self._expression = rf"\A{text}\z"
        self._checks = pl.all_horizontal(pattern.checks) if pattern.checks else pl.lit(True)

    def columns(self, values):
        """`values`: a polars Binary series. A struct series named "row": null where undecided."""
        groups = _text(values).str.extract_groups(self._expression).struct.unnest()
        return groups.select(pl.when(self._checks).then(self._rows).alias("row"))["row"]


def _text(values):
    """As strings, null where the bytes are not UTF-8."""
    try:
        return values.cast(pl.String)
    except pl.exceptions.PolarsError:
        return pl.Series(values.name, [_decoded(v) for v in values], dtype=pl.String)


def _decoded(value):
    try:
        return None if value is None else value.decode("utf-8")
    except UnicodeDecodeError:
        return None
