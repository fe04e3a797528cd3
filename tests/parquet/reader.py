"""Our Parquet reader for Python tests, by build/tests/tools/parquet_to_json, and how its rows
compare with Python values."""

import base64
import decimal
import json
import math
import os
import struct
import subprocess
from pathlib import Path

import pyarrow as pa

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("SLUICE_BUILD", ROOT / "build"))
TOOL = BUILD / "tests" / "tools" / "parquet_to_json"


class ReadError(Exception):
    """Its text is "class: message"."""


def build():
    subprocess.run(["make", "-s", str(TOOL.relative_to(ROOT))], cwd=ROOT, check=True)


def run(path, *options):
    done = subprocess.run([TOOL, *options, path], capture_output=True, timeout=120, check=False)
    if done.returncode != 0:
        raise ReadError(done.stderr.decode(errors="replace").strip() or f"exit {done.returncode}")
    return done.stdout.decode()


def rows(path, *options):
    """Each row as parsed JSON, numbers as Decimal so that nothing is lost."""
    lines = run(path, *options).split("\n")
    number = decimal.Decimal
    return [json.loads(x, parse_int=number, parse_float=number) for x in lines if x]


def about(path):
    return json.loads(run(path, "--about"))


def _timestamp(value, utc):
    text = value.replace(tzinfo=None, microsecond=0).isoformat()
    if value.microsecond % 1000:
        text += f".{value.microsecond:06d}"
    elif value.microsecond:
        text += f".{value.microsecond // 1000:03d}"
    return text + ("Z" if utc else "")


def _same_float(type_, want, got):
    if not math.isfinite(want):
        return got is None
    got = float(got)
    if pa.types.is_float32(type_) or pa.types.is_float16(type_):
        return struct.pack("<f", want) == struct.pack("<f", got)
    return struct.pack("<d", want) == struct.pack("<d", got)


def _same_map(type_, want, got):
    if len(want) != len(got):
        return False
    pairs = zip(want, got)
    return all(
        same(type_.key_type, k, e["key"]) and same(type_.item_type, v, e["value"])
        for (k, v), e in pairs
    )


def same(type_, want, got):
    """Is `got`, a value of rows(), what pyarrow's to_pylist() says of that type?"""
    t = pa.types
    if want is None:
        return got is None
    if t.is_floating(type_):
        return _same_float(type_, want, got)
    if got is None:
        return False
    if t.is_struct(type_):
        fields = [type_.field(i) for i in range(type_.num_fields)]
        return list(got) == [f.name for f in fields] and all(
            same(f.type, want[f.name], got[f.name]) for f in fields
        )
    if t.is_map(type_):
        return _same_map(type_, want, got)
    if t.is_list(type_) or t.is_large_list(type_):
        return len(want) == len(got) and all(
            same(type_.value_type, w, g) for w, g in zip(want, got)
        )
    if t.is_timestamp(type_):
        return got == _timestamp(want, type_.tz is not None)
    if t.is_date(type_):
        return got == want.isoformat()
    if isinstance(want, bytes):
        return base64.b64decode(got) == want
    return got == want


def difference(table, got):
    """None, or a sentence about the first difference of a pyarrow table and rows()."""
    if len(got) != table.num_rows:
        return f"{table.num_rows} rows expected, {len(got)} read"
    for name, column in zip(table.column_names, table.columns):
        for i, want in enumerate(column.to_pylist()):
            if name not in got[i]:
                return f"{name} is missing"
            if not same(column.type, want, got[i][name]):
                return f"{name}[{i}] of {column.type}: {want!r} expected, {got[i][name]!r} read"
    return None
