"""Random schemas and records: lib/json agrees, row by row and reject by reject, with Python's json
and jsonschema, and with pyarrow on the values of the columns."""

import decimal
import json
import os
import random
import subprocess

import pyarrow as pa
import pytest

from tests.json import BUILD, generate, make
from tests.json.oracle import Oracle, Refused, date_time_us

SYNTAX = (
    "empty too_large too_deep truncated trailing_bytes bad_syntax bad_number bad_escape bad_utf8 "
    "lone_surrogate control_character duplicate_key"
).split()
SEEDS = int(os.environ.get("JSON_SEEDS", "200"))


@pytest.fixture(scope="session", autouse=True)
def tool():
    make("build/tests/tools/json_columns")


def decode(schema_path, lines, *options):
    """What the tool prints for each line."""
    run = subprocess.run(
        [BUILD / "tests/tools/json_columns", schema_path, *options],
        input=b"".join(line + b"\n" for line in lines),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 0, run.stderr.decode()
    return [json.loads(line, parse_float=decimal.Decimal) for line in run.stdout.splitlines()]


def as_oracle(oracle, value, schema, inside=()):
    """A printed value in the oracle's types: times to microseconds, JSON text parsed."""
    recursive = schema is not True and "$ref" in schema and schema["$ref"] in inside
    if schema is not True and "$ref" in schema:
        inside = (*inside, schema["$ref"])
    schema = oracle.resolve(schema)
    kinds = schema.get("type")
    kinds = [k for k in ([kinds] if isinstance(kinds, str) else kinds or []) if k != "null"]
    if value is None:
        return None
    plain = len(kinds) == 1 and schema.get("x-sluice-type") != "json" and not recursive
    if not plain or (kinds == ["object"] and "properties" not in schema):
        return json.loads(value)
    if kinds == ["array"]:
        return [as_oracle(oracle, v, schema["items"], inside) for v in value]
    if kinds == ["object"]:
        return {n: as_oracle(oracle, value[n], s, inside) for n, s in schema["properties"].items()}
    if schema.get("format") == "date-time":
        return date_time_us(value)
    if kinds == ["number"]:
        return decimal.Decimal(value) if "x-sluice-type" in schema else float(value)
    return value


def arrow_type(oracle, schema, inside=()):
    """The column's type as pyarrow knows it; None where it holds JSON text."""
    if schema is not True and "$ref" in schema:
        if schema["$ref"] in inside:
            return None
        inside = (*inside, schema["$ref"])
    schema = oracle.resolve(schema)
    kinds = schema.get("type")
    kinds = [k for k in ([kinds] if isinstance(kinds, str) else kinds or []) if k != "null"]
    if len(kinds) != 1 or schema.get("x-sluice-type") == "json":
        return None
    if kinds[0] == "number" and "x-sluice-type" in schema:
        precision, scale = schema["x-sluice-type"][8:-1].split(",")
        return pa.decimal128(int(precision), int(scale))
    if kinds[0] == "array":
        inner = arrow_type(oracle, schema["items"], inside) if "items" in schema else None
        return None if inner is None else pa.list_(inner)
    if kinds[0] == "object":
        fields = [
            (n, arrow_type(oracle, s, inside)) for n, s in schema.get("properties", {}).items()
        ]
        return pa.struct(fields) if fields and all(t for _, t in fields) else None
    if kinds[0] == "string":
        return pa.int64() if schema.get("format") == "date-time" else pa.string()
    return {"integer": pa.int64(), "number": pa.float64(), "boolean": pa.bool_()}[kinds[0]]


def check_columns(oracle, schema, rows):
    """pyarrow makes the same columns of the rows that were printed as of those expected."""
    for name, column in schema["properties"].items():
        kind = arrow_type(oracle, column)
        if kind is not None:
            found = pa.array([row[0][name] for row in rows], kind)
            wanted = pa.array([row[1][name] for row in rows], kind)
            assert found.equals(wanted), name


@pytest.mark.parametrize("seed", range(SEEDS))
def test_random(seed, tmp_path):
    r = random.Random(seed)
    schema = {**generate.random_schema(r), "$defs": generate.DEFS}
    path = tmp_path / "schema.json"
    path.write_text(json.dumps(schema, ensure_ascii=r.random() < 0.5), encoding="utf-8")
    lines = []
    for _ in range(150):
        text = generate.write(r, generate.random_object(r, schema, 0.03))
        lines.append(generate.damaged(r, text) if r.random() < 0.15 else text.encode())
    oracle = Oracle(schema)
    answers = decode(path, lines)
    assert len(answers) == len(lines)
    rows = []
    for line, answer in zip(lines, answers):
        try:
            wanted = oracle.row(line)
        except Refused as why:
            assert "reason" in answer, (line, f"accepted, but: {why}", schema)
            assert (answer["reason"] in SYNTAX) == why.syntax, (line, answer, str(why))
            continue
        assert "row" in answer, (line, answer, schema)
        found = as_oracle(oracle, answer["row"], schema)
        assert found == wanted, (line, schema)
        rows.append((found, wanted))
    check_columns(oracle, schema, rows)
