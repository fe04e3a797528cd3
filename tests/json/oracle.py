"""What a record must become, by Python's json, jsonschema and decimal."""

import datetime
import decimal
import json
import math
import re

import jsonschema

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)


class Refused(Exception):
    """syntax: the text is no JSON; else it does not fit."""

    def __init__(self, why, syntax=False):
        super().__init__(why)
        self.syntax = syntax


class Spelled(float):
    """A number with a fraction or an exponent, and its text."""

    def __new__(cls, text):
        self = super().__new__(cls, text)
        self.text = text
        return self


def _members(pairs):
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Refused("a key twice", True)
    return found


def _constant(name):
    raise Refused(name, True)


def _check_depth(text, limit=64):
    depth, inside, skip = 0, False, False
    for c in text:
        if skip:
            skip = False
        elif inside:
            skip, inside = c == "\\", c != '"'
        elif c == '"':
            inside = True
        elif c in "[{":
            depth += 1
            if depth > limit:
                raise Refused("too deep", True)
        elif c in "]}":
            depth -= 1


def parse(data):
    try:
        text = data.decode("utf-8")
        _check_depth(text)
        if text.startswith("\ufeff"):
            raise Refused("a byte order mark", True)
        value = json.loads(
            text, object_pairs_hook=_members, parse_constant=_constant, parse_float=Spelled
        )
        json.dumps(value, ensure_ascii=False).encode("utf-8")  # lone surrogates fail
        return value
    except (ValueError, RecursionError) as error:
        raise Refused(str(error), True) from None


def _is_integer(checker, value):
    """By the number as it is spelled: to a double, 1e-400 would be 0."""
    if isinstance(value, Spelled):
        exact = decimal.Decimal(value.text)
        return exact == exact.to_integral_value()
    return isinstance(value, int) and not isinstance(value, bool)


_Validator = jsonschema.validators.extend(
    jsonschema.Draft202012Validator,
    type_checker=jsonschema.Draft202012Validator.TYPE_CHECKER.redefine("integer", _is_integer),
)


class Oracle:
    def __init__(self, schema):
        self.schema = schema
        self.validator = _Validator(
            schema, format_checker=jsonschema.FormatChecker(["date-time", "date"])
        )

    def row(self, data):
        value = parse(data)
        try:
            error = next(self.validator.iter_errors(value), None)
        except OverflowError:  # jsonschema's multipleOf of an infinity
            raise Refused("beyond double") from None
        if error is not None:
            raise Refused(error.message)
        return self.convert(value, self.schema)

    def resolve(self, schema):
        """The schema that gives the column's type, and whether it is of one kind."""
        if schema is True:
            return {}
        if "$ref" in schema:
            return self.schema["$defs"][schema["$ref"].split("/")[-1]]
        for word in ("anyOf", "oneOf"):
            branches = schema.get(word, ())
            if "type" not in schema and len(branches) == 2 and {"type": "null"} in branches:
                return next(b for b in branches if b != {"type": "null"})
        return schema

    def convert(self, value, schema, inside=()):
        if schema is not True and "$ref" in schema and schema["$ref"] in inside:
            return value  # recursive: JSON text
        if schema is not True and "$ref" in schema:
            inside = (*inside, schema["$ref"])
        schema = self.resolve(schema)
        if value is None:
            return None
        kinds = schema.get("type")
        kinds = [k for k in ([kinds] if isinstance(kinds, str) else kinds or []) if k != "null"]
        if len(kinds) != 1 or schema.get("x-sluice-type") == "json":
            return value
        return getattr(self, "as_" + kinds[0])(value, schema, inside)

    def as_string(self, value, schema, inside):
        if schema.get("format") == "date-time":
            return date_time_us(value)
        return value

    def as_integer(self, value, schema, inside):
        number = int(decimal.Decimal(value.text)) if isinstance(value, Spelled) else value
        if not -(2**63) <= number < 2**63:
            raise Refused("beyond int64")
        return number

    def as_number(self, value, schema, inside):
        match = re.fullmatch(r"decimal\((\d+),(\d+)\)", schema.get("x-sluice-type", ""))
        if match is None:
            try:
                number = float(value)
            except OverflowError:
                raise Refused("beyond double") from None
            if math.isinf(number):
                raise Refused("beyond double")
            return number
        with decimal.localcontext(prec=2000, Emin=-2000, Emax=2000):
            exact = decimal.Decimal(value.text if isinstance(value, Spelled) else value)
            scaled = exact.scaleb(int(match[2]))
            if scaled != scaled.to_integral_value() or abs(scaled) >= 10 ** int(match[1]):
                raise Refused("too many digits")
            return exact.quantize(decimal.Decimal(1).scaleb(-int(match[2])))

    def as_boolean(self, value, schema, inside):
        return value

    def as_array(self, value, schema, inside):
        if "items" not in schema:
            return value
        return [self.convert(v, schema["items"], inside) for v in value]

    def as_object(self, value, schema, inside):
        if "properties" not in schema:
            return value
        return {n: self.convert(value.get(n), s, inside) for n, s in schema["properties"].items()}


def date_time_us(text):
    when = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    return (when - EPOCH) // datetime.timedelta(microseconds=1)
