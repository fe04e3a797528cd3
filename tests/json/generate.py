"""Random JSON Schemas, and random texts for them: valid ones, and ones with every kind of fault."""

import json
import string

NAMES = [
    "id",
    "name",
    "value",
    "größe",
    "a b",
    "x.y",
    "flag",
    "when",
    "n",
    "deep",
    "list",
    "q'uote",
    "t\tab",
]
WORDS = [
    "",
    "a",
    "abc",
    "page_view",
    "ümlaut",
    "日本",
    "😀",
    'quo"te',
    "back\\slash",
    "sla/sh",
    "nul\u0000",
    "x" * 70,
    "0123456789abcdef" * 2,
    "\u2028",
]


class Raw(str):
    """Text to be written as it is."""


def random_schema(r, depth=0):
    """A schema for an object with a few properties."""
    properties = {
        n: random_column(r, depth) for n in r.sample(NAMES, r.randint(1, 6 if depth == 0 else 3))
    }
    schema = {"type": "object", "properties": properties}
    if r.random() < 0.7:
        schema["required"] = [n for n in properties if r.random() < 0.5]
    if r.random() < 0.3:
        schema["additionalProperties"] = r.random() < 0.5
    if depth == 0 and r.random() < 0.25:
        beyond_the_decoder(r, schema)
    return schema


def beyond_the_decoder(r, schema):
    """Keywords that only the full validator checks."""
    name = r.choice(list(schema["properties"]))
    kind = r.randrange(6)
    if kind == 0:
        schema["minProperties"] = r.randint(0, 3)
    elif kind == 1:
        schema["dependentRequired"] = {name: [r.choice(NAMES)]}
    elif kind == 2:
        schema["not"] = {"required": sorted({r.choice(NAMES), name})}
    elif kind == 3:
        schema["if"] = {"required": [name]}
        schema["then"] = {"maxProperties": r.randint(1, 6)}
    elif kind == 4:
        schema["allOf"] = [{"required": [name]}, {"maxProperties": 5}]
    else:
        schema["anyOf"] = [{"required": [name]}, {"minProperties": 3}]


def nullable(r, schema):
    if r.random() < 0.25 and isinstance(schema.get("type"), str):
        schema["type"] = [schema["type"], "null"]
        if "enum" in schema and r.random() < 0.5:
            schema["enum"].append(None)
    return schema


def random_column(r, depth):
    kind = r.choice(
        "string string integer integer number boolean date-time date decimal object list any ref".split()
    )
    if kind == "object" and depth < 2:
        return nullable(r, random_schema(r, depth + 1))
    if kind == "list" and depth < 2:
        column = {"type": "array", "items": random_column(r, depth + 1)}
        if r.random() < 0.4:
            column["minItems"] = r.randint(0, 2)
            column["maxItems"] = r.randint(2, 4)
        if r.random() < 0.1:
            column["uniqueItems"] = True
        return nullable(r, column)
    if kind == "any":
        return r.choice(
            [
                {},
                True,
                {"type": ["string", "integer"]},
                {"type": "object"},
                {"x-sluice-type": "json"},
                {"anyOf": [{"type": "integer", "minimum": 5}, {"type": "null"}]},
                {"oneOf": [{"type": "string"}, {"type": "null"}]},
                {"anyOf": [{"type": "string"}, {"minimum": 3}]},
            ]
        )
    if kind == "ref":
        return {"$ref": "#/$defs/" + r.choice(["small", "node"])}
    return nullable(r, scalar(r, kind))


DEFS = {
    "small": {"type": "integer", "minimum": 0, "maximum": 100},
    "node": {
        "type": "object",
        "properties": {"v": {"type": "integer"}, "next": {"$ref": "#/$defs/node"}},
    },
}


def scalar(r, kind):
    if kind == "integer":
        column = {"type": "integer"}
        if r.random() < 0.4:
            column[r.choice(["minimum", "exclusiveMinimum"])] = r.choice([0, -5, 1.5, -1e3])
        if r.random() < 0.3:
            column[r.choice(["maximum", "exclusiveMaximum"])] = r.choice([100, 2**40, 9.5])
        if r.random() < 0.2:
            column["multipleOf"] = r.choice([2, 5, 10])
        if r.random() < 0.1:
            column = {"type": "integer", "enum": [1, 2.0, 3]}
        return column
    if kind == "number":
        column = {"type": "number"}
        if r.random() < 0.4:
            column[r.choice(["minimum", "exclusiveMinimum"])] = r.choice([0, -5, 1.5])
            column[r.choice(["maximum", "exclusiveMaximum"])] = r.choice([100, 9.5, 1e10])
        if r.random() < 0.2:
            column["multipleOf"] = r.choice([0.5, 0.25, 2])
        return column
    if kind == "decimal":
        precision = r.randint(1, 38)
        column = {
            "type": "number",
            "x-sluice-type": f"decimal({precision},{r.randint(0, precision)})",
        }
        if r.random() < 0.3:
            column["minimum"] = r.choice([0, -10, 0.5])
        return column
    if kind == "boolean":
        return (
            {"type": "boolean"}
            if r.random() < 0.8
            else {"const": r.random() < 0.5, "type": "boolean"}
        )
    if kind in ("date-time", "date"):
        return {"type": "string", "format": kind}
    column = {"type": "string"}
    choice = r.random()
    if choice < 0.2:
        column["enum"] = r.sample(WORDS, r.randint(1, 5))
    elif choice < 0.4:
        column["minLength"] = r.randint(0, 3)
        column["maxLength"] = r.randint(3, 40)
    elif choice < 0.5:
        column["pattern"] = r.choice(["^[a-z_]*$", "a", "^.{0,4}$", "[0-9]+"])
    return column


# ---- texts ----


def number_text(r):
    """A number as JSON may spell it; integers and others, of any size."""
    forms = [
        lambda: str(r.randint(-20, 120)),
        lambda: str(r.randint(-(2**63) - 2, 2**63 + 2)),
        lambda: r.choice(
            ["0", "-0", "0.0", "-0.0", "1e2", "1.0", "100e-2", "5E+0", "12.50", "1e-2"]
        ),
        lambda: r.choice(
            [str(2**63 - 1), str(-(2**63)), str(2**63), "1e19", "123456789012345678901234567890"]
        ),
        lambda: f"{r.uniform(-1000, 1000):.{r.randint(0, 17)}f}",
        lambda: repr(r.uniform(-1e10, 1e10) * 10.0 ** r.randint(-300, 290)),
        lambda: r.choice(
            ["1e308", "1e-320", "2.2250738585072011e-308", "1e400", "-1e999", "4.9e-324"]
        ),
        lambda: str(r.randint(0, 99))
        + "."
        + "".join(r.choice("0123456789") for _ in range(r.randint(1, 40))),
        lambda: str(r.randint(-9, 9)) + "e" + str(r.randint(-30, 30)),
    ]
    return Raw(r.choice(forms)())


def random_value(r, schema, wrong=0.04):
    """Mostly a value that fits the schema."""
    if r.random() < wrong:
        return anything(r, 2)
    if schema is True or not schema:
        return anything(r, 2)
    if "$ref" in schema:
        return random_value(r, DEFS[schema["$ref"].split("/")[-1]], 0.2)
    for word in ("anyOf", "oneOf"):
        if word in schema and "type" not in schema:
            return random_value(r, r.choice(schema[word]), wrong)
    if "enum" in schema and r.random() < 0.9:
        return r.choice(schema["enum"])
    if "const" in schema and r.random() < 0.9:
        return schema["const"]
    kind = schema.get("type", "string")
    if isinstance(kind, list):
        kind = r.choice(kind)
    if kind == "null":
        return None
    if kind == "boolean":
        return r.random() < 0.5
    if kind == "integer":
        return (
            Raw(r.choice([str(r.randint(-3, 130)), str(r.randint(-10, 10) * 10), "7.0", "2e1"]))
            if r.random() < 0.8
            else number_text(r)
        )
    if kind == "number":
        return (
            Raw(f"{r.uniform(-5, 100):.{r.randint(0, 4)}f}") if r.random() < 0.7 else number_text(r)
        )
    if kind == "array":
        return [random_value(r, schema.get("items", True), wrong) for _ in range(r.randint(0, 4))]
    if kind == "object":
        return random_object(r, schema, wrong)
    return text_value(r, schema.get("format"))


def text_value(r, form):
    if form == "date":
        return r.choice(
            [
                "2026-11-22",
                "1969-12-31",
                "0001-01-01",
                "2024-02-29",
                "2023-02-29",
                "2026-13-01",
                "20261122",
                "2026-1-1",
            ]
        )
    if form == "date-time":
        return r.choice(
            [
                "2026-11-22T10:00:00Z",
                "2026-11-22T10:00:00.123Z",
                "1969-12-31T23:59:59.999999Z",
                "2026-11-22T10:00:00.5+01:30",
                "2000-02-29T00:00:00-11:00",
                "2026-11-22T10:00:00.123456Z",
                "2026-11-22T10:00:00",
                "2026-02-30T10:00:00Z",
                "2026-11-22 10:00:00Z",
                "nonsense",
                "2026-11-22T24:00:00Z",
                "2026-11-22T10:60:00Z",
                "2026-11-22T10:00:00.Z",
            ]
        )
    if r.random() < 0.5:
        return r.choice(WORDS)
    return "".join(r.choice(string.ascii_lowercase + "_é") for _ in range(r.randint(0, 45)))


def random_object(r, schema, wrong):
    members = []
    for name, column in schema.get("properties", {}).items():
        needed = name in schema.get("required", ())
        if r.random() < (0.98 if needed else 0.7):
            members.append((name, random_value(r, column, wrong)))
    if r.random() < 0.15:
        members.append((r.choice(["unknown", "other", "ünknown"]), anything(r, 2)))
    if r.random() < 0.1:
        r.shuffle(members)
    if members and r.random() < 0.01:
        members.append(r.choice(members))  # a key twice
    return Members(members)


class Members(list):
    """An object's members: a key may come twice."""


def anything(r, depth):
    kind = r.randrange(8 if depth > 0 else 6)
    if kind == 6:
        return [anything(r, depth - 1) for _ in range(r.randint(0, 3))]
    if kind == 7:
        return Members((r.choice(NAMES), anything(r, depth - 1)) for _ in range(r.randint(0, 2)))
    return [None, True, False, number_text(r), r.choice(WORDS), text_value(r, "date-time")][kind]


def write(r, value):
    """JSON text, with random white space and escapes, in one line."""
    space = lambda: (
        r.choice(["", "", "", "", " ", "\t", "  "]) if r.random() < 0.2 else ""
    )  # noqa: E731
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, Members):
        inner = ",".join(
            f"{space()}{write(r, k)}{space()}:{space()}{write(r, v)}{space()}" for k, v in value
        )
        return "{" + inner + "}"
    if isinstance(value, list):
        return "[" + ",".join(space() + write(r, v) + space() for v in value) + "]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=r.random() < 0.3)
    return json.dumps(value)


def damaged(r, text):
    """Bytes that mostly are no JSON any more."""
    data = bytearray(text.encode())
    kind = r.randrange(9)
    at = r.randrange(len(data)) if data else 0
    if kind == 0:
        del data[at:]
    elif kind == 1 and data:
        data[at] = r.choice(b'"\\{}[]:,x0 \xff\x80\x01')
    elif kind == 2:
        data[at:at] = r.choice(
            [b",", b"}", b"\xc3", b"\xed\xa0\x80", b"\\", b"\x00", b"0", b"-", b"."]
        )
    elif kind == 3:
        data += r.choice([b" x", b"{}", b"\x00", b",", b"   "])
    elif kind == 4 and data:
        del data[at]
    elif kind == 5:
        return r.choice(
            [
                b"",
                b"  ",
                b"null",
                b"[]",
                b"[{}]",
                b'"text"',
                b"12",
                b"nul",
                b"\xef\xbb\xbf{}",
                b"{,}",
                b"{",
                b'{"a"',
                b"\xff",
            ]
        )
    elif kind == 6:
        return bytes(data).replace(b'":', b'":\\ud800', 1)
    elif kind == 7:
        return bytes(data).replace(b'"', b'"\\ud83d', 1)
    else:
        return b"[" * 200
    return bytes(data).replace(b"\n", b" ")
