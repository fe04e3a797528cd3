"""Our Parquet writer for Python tests, by build/tests/tools/parquet_writer_shim.so."""

import ctypes
import json
import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("SLUICE_BUILD", ROOT / "build"))
SHIM = BUILD / "tests" / "tools" / "parquet_writer_shim.so"

DEFAULTS = {
    "codec": "zstd",
    "level": 1,
    "page_version": 1,
    "page_bytes": 1 << 20,
    "row_group_bytes": 32 << 20,
    "dictionary_bytes": 1 << 20,
    "plain_encodings": 0,
    "append_rows": 0,
}


class WriteError(Exception):
    pass


class _Options(ctypes.Structure):
    _fields_ = [
        ("codec", ctypes.c_char_p),
        ("level", ctypes.c_int32),
        ("page_version", ctypes.c_int32),
        ("page_bytes", ctypes.c_uint64),
        ("row_group_bytes", ctypes.c_uint64),
        ("dictionary_bytes", ctypes.c_uint64),
        ("plain_encodings", ctypes.c_int32),
        ("append_rows", ctypes.c_int32),
    ]


class _ArrowSchema(ctypes.Structure):
    """The Arrow C data interface's ArrowSchema; pyarrow fills it."""


_ArrowSchema._fields_ = [
    ("format", ctypes.c_char_p),
    ("name", ctypes.c_char_p),
    ("metadata", ctypes.c_void_p),
    ("flags", ctypes.c_int64),
    ("n_children", ctypes.c_int64),
    ("children", ctypes.c_void_p),
    ("dictionary", ctypes.c_void_p),
    ("release", ctypes.CFUNCTYPE(None, ctypes.POINTER(_ArrowSchema))),
    ("private_data", ctypes.c_void_p),
]


class _ArrowArray(ctypes.Structure):
    pass


_ArrowArray._fields_ = [
    ("length", ctypes.c_int64),
    ("null_count", ctypes.c_int64),
    ("offset", ctypes.c_int64),
    ("n_buffers", ctypes.c_int64),
    ("n_children", ctypes.c_int64),
    ("buffers", ctypes.c_void_p),
    ("children", ctypes.c_void_p),
    ("dictionary", ctypes.c_void_p),
    ("release", ctypes.CFUNCTYPE(None, ctypes.POINTER(_ArrowArray))),
    ("private_data", ctypes.c_void_p),
]

_library = None


def build():
    subprocess.run(["make", "-s", str(SHIM.relative_to(ROOT))], cwd=ROOT, check=True)


def _load():
    global _library
    if _library is None:
        _library = ctypes.CDLL(str(SHIM))
        _library.shim_write.restype = ctypes.c_void_p
        _library.shim_write.argtypes = [
            ctypes.c_char_p,
            ctypes.POINTER(_ArrowSchema),
            ctypes.POINTER(ctypes.POINTER(_ArrowArray)),
            ctypes.c_int32,
            ctypes.POINTER(_Options),
        ]
        _library.shim_free.argtypes = [ctypes.c_void_p]
    return _library


def write(path, table, **options):
    """Writes a pyarrow table's batches; the summary that the writer gives, as a dictionary."""
    unknown = set(options) - set(DEFAULTS)
    assert not unknown, unknown
    values = {**DEFAULTS, **options}
    values["codec"] = values["codec"].encode()
    library = _load()
    schema = _ArrowSchema()
    table.schema._export_to_c(ctypes.addressof(schema))
    arrays = []
    try:
        for batch in table.to_batches():
            array = _ArrowArray()
            batch._export_to_c(ctypes.addressof(array))
            arrays.append(array)
        pointers = (ctypes.POINTER(_ArrowArray) * max(1, len(arrays)))(
            *[ctypes.pointer(a) for a in arrays]
        )
        answer = library.shim_write(
            str(path).encode(), schema, pointers, len(arrays), _Options(**values)
        )
        text = ctypes.string_at(answer).decode()
        library.shim_free(answer)
    finally:
        for array in arrays:
            array.release(ctypes.pointer(array))
        schema.release(ctypes.pointer(schema))
    if text.startswith("!"):
        raise WriteError(text[1:])
    return json.loads(text)
