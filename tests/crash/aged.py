"""What has to lie in the lake and in the state for a long time before it is cleaned away.

Between two processes of a chapter that time is made to have passed: files become a day old, in each
folder lies what a process leaves behind that is killed while it writes, and the numbers of closed
plain files, of an aggregation's chain and of the topology's history stand right before the one at
which old ones are deleted, as if the same had been recorded, or nothing had happened, that often.
"""

import ctypes
import json
import os
import secrets
import struct
from pathlib import Path

A_DAY_S = 25 * 3600
LEFTOVER = ".sluice-tmp-of-a-killed-process"
LEFT_DATA = "sluice-of-a-killed-process.parquet"
# Old ones are deleted with each so manieth.
CLOSES = 256
ENTRIES = 600
KEPT_CHANGES = 200  # of the topology
_HEAD = struct.Struct("<5sqQQqqQ6qqqq")  # of an entry, up to the number of its streams
_EMPTY = struct.pack("<3q", 0, 0, 0)  # no changes, no results, no late rows
_xxhash = ctypes.CDLL("libxxhash.so.0")
_xxhash.XXH3_64bits.restype = ctypes.c_uint64


def let_a_day_pass(*tops):
    for folder, _, names in (place for top in tops for place in os.walk(top)):
        is_table = (Path(folder) / "_delta_log").is_dir()
        left = [LEFTOVER, LEFT_DATA] if is_table else [LEFTOVER]
        for name in left:
            Path(folder, name).touch()
        for name in {*names, *left}:
            path = os.path.join(folder, name)
            status = os.stat(path)
            os.utime(path, (status.st_atime - A_DAY_S, status.st_mtime - A_DAY_S))


def repeat_closes(state, rng):
    """With one of the next records of closed files old ones are deleted."""
    _repeat(_closes(state), CLOSES, rng, lambda text, _: text)


def repeat_entries(state, rng):
    """The same for the chain of gold-agg, whose further entries say that nothing has happened."""
    _repeat(state / "nodes" / "per_country" / "log", ENTRIES, rng, _nothing_new)


def repeat_history(state):
    """With the next change of the topology the oldest is forgotten."""
    for last in _numbered(state / "history")[-1:]:
        entry = json.loads(last.read_text())
        for n in range(int(last.stem) + 1, KEPT_CHANGES + 1):
            path = last.with_name(f"{n:020}{last.suffix}")
            path.write_text(json.dumps(entry | {"number": n}))


def snapshots(state):
    """How many the chain has, of which all but the last may go."""
    return len(_numbered(state / "nodes" / "per_country" / "base"))


def nothing_to_clean(state):
    """Points of cleaning that none of these can bring near: nothing has been recorded yet."""
    folders = {
        "unlink close-record": _closes(state),
        "unlink history": state / "history",
        "unlinkat history-temporary": state / "history",
        "unlinkat targets-temporary": state / "targets",
    }
    return {name for name, folder in folders.items() if not _numbered(folder)}


def _closes(state):
    return state / "nodes" / "archive" / "closes"


def _repeat(folder, every, rng, following):
    """Up to shortly before the number at which something is done; nothing where nothing is."""
    for last in _numbered(folder)[-1:]:
        data, number = last.read_bytes(), int(last.name)
        end = (number // every + 1) * every - rng.randint(0, 2)
        for n in range(number + 1, end):
            last.with_name(f"{n:020}").write_bytes(following(data, n))


def _numbered(folder):
    return sorted(folder.glob("[0-9]*"))


def _nothing_new(last, number):
    """An entry behind `last`, of the format of plugins/gold-agg/chain.c."""
    magic, _, _, fingerprint, watermark, base, token, *places = _HEAD.unpack_from(last)
    _, result, result_sent, _, late, late_sent, _, newest, streams = places
    end = _HEAD.size
    for _ in range(streams):
        (name_bytes,) = struct.unpack_from("<q", last, end)
        end += 8 + name_bytes + 4 * 8
    head = _HEAD.pack(
        magic, number, secrets.randbits(64), fingerprint, watermark, base, token,
        result, result, result_sent, late, late, late_sent, 0, newest, streams,
    )  # fmt: skip
    body = head + last[_HEAD.size : end] + _EMPTY
    return body + struct.pack("<Q", _xxhash.XXH3_64bits(body, ctypes.c_size_t(len(body))))
