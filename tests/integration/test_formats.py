"""What is kept between runs, in formats of another version or damaged: each is read, or refused by name
with both numbers; nothing is guessed, nothing crashes.
"""

import ctypes
import json
import shutil
import struct

import pytest

from tests.support import sluice
from tests.support.servers import ROOT

COUNT = 3000
# name: (files below the state's nodes, the version of today as it stands in them, what else may be
# found there, and is older, in the words of the refusal)
FORMATS = {
    "positions": ("out/positions/*.json", b'"version":1', b'"version":%d', 1),
    "closed files": ("plain/closes/*", b"sluice-closes\t1", b"sluice-closes\t%d", 1),
    "deduplication": ("silver/*/*.seg", b"SLDEDUP1", b"SLDEDUP%d", 1),
    "aggregates": ("agg/log/*", b"SLGA\x03", b"SLGA%c", 3),
}
REFUSED = [(name, version) for name, f in FORMATS.items() for version in (0, f[3] + 1)]


class Kept:
    """A lake with all kinds of state, in a folder of the test's."""

    def __init__(self, folder, count=COUNT):
        self.folder = folder
        self.topology = folder / "topology.json"
        self.write(count)

    def write(self, count):
        silver = {"schema": "event.schema.json", "deduplicate": {"key": "event_id", "within": "1h"}}
        gold = {
            "time": "ts",
            "window": {"tumbling": "10s"},
            "group_by": ["country"],
            "aggregates": {"n": "count()"},
        }
        document = {
            "pipeline": "p",
            "state": "state",
            "sources": {
                "events": {"plugin": "generator", "config": {"count": count, "partitions": 1}}
            },
            "transforms": {
                "silver": {"plugin": "silver-validate", "inputs": ["events"], "config": silver},
                "agg": {"plugin": "gold-agg", "inputs": ["silver"], "config": gold},
            },
            "sinks": {
                "gold": {
                    "plugin": "delta-sink",
                    "inputs": ["agg"],
                    "config": {"table": "gold", "mode": "upsert"},
                },
                "plain": {
                    "plugin": "bronze-sink",
                    "inputs": ["events"],
                    "config": {"table": "plain", "format": "jsonl"},
                },
                "out": {"plugin": "file", "inputs": ["silver"], "config": {"path": "out.jsonl"}},
                "no": {"plugin": "file", "inputs": ["silver.rejects"], "config": {"path": "no.jsonl"}},
            },
        }
        self.topology.write_text(json.dumps(document))

    def run(self):
        return sluice.run_command(
            "run", "--until-end", "--json", "--set", "retry.timeout=1s", self.topology, limit_s=60
        )

    def file(self, name):
        """The newest file of a format."""
        return max((self.folder / "state" / "nodes").glob(FORMATS[name][0]))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kept")
    shutil.copy(ROOT / "deploy" / "demo" / "event.schema.json", folder)
    done = Kept(folder).run()
    assert done.exit_code == 0, done.failed_because()
    return folder


@pytest.fixture
def kept(finished, tmp_path):
    folder = tmp_path / "kept"
    shutil.copytree(finished, folder)
    return Kept(folder)


def told(done):
    """What a failed run says."""
    assert done.exit_code in (1, 2), done.failed_because()
    assert "signal" not in done.log
    return done.failed_because()


@pytest.mark.parametrize("name, version", REFUSED)
def test_another_version_is_refused_with_both_numbers(kept, name, version):
    _, today, other, ours = FORMATS[name]
    file = kept.file(name)
    text = file.read_bytes()
    assert today in text
    file.write_bytes(text.replace(today, other % version, 1))
    said = told(kept.run())
    assert f"format version {version}" in said
    assert f"version {ours}" in said or f"versions up to {ours}" in said
    assert file.name.removesuffix(".seg").removesuffix(".json") in said


@pytest.mark.parametrize("damage", ["empty", "half", "noise", "another format"])
@pytest.mark.parametrize("name", FORMATS)
def test_damage_is_named(kept, name, damage):
    file = kept.file(name)
    text = file.read_bytes()
    middle = len(text) // 2
    other = kept.file("positions" if name != "positions" else "aggregates").read_bytes()
    file.write_bytes(
        {
            "empty": b"",
            "half": text[:middle],
            "noise": text[:middle] + bytes(b ^ 0xA5 for b in text[middle:]),
            "another format": other,
        }[damage]
    )
    assert file.name.removesuffix(".seg").removesuffix(".json") in told(kept.run())


def older(entry, version):
    """An entry of the aggregates' chain as older versions had it: before 3 it did not say what was
    sent, before 2 its streams had no flags."""
    at = 4 + 1 + 6 * 8
    head = bytearray(entry[:at])
    head[4] = version
    parts = [bytes(head)]
    for _ in range(2):
        parts.append(entry[at : at + 16])
        at += 3 * 8
    parts.append(entry[at : at + 3 * 8])
    (streams,) = struct.unpack_from("<q", entry, at + 16)
    at += 3 * 8
    for _ in range(streams):
        (key,) = struct.unpack_from("<q", entry, at)
        end = at + 8 + key + 4 * 8
        parts.append(entry[at : end - (8 if version < 2 else 0)])
        at = end
    text = b"".join(parts) + entry[at:-8]
    hash_of = ctypes.CDLL("libxxhash.so.0").XXH3_64bits
    hash_of.restype, hash_of.argtypes = ctypes.c_uint64, [ctypes.c_char_p, ctypes.c_size_t]
    return text + struct.pack("<Q", hash_of(text, len(text)))


@pytest.mark.parametrize("version", [1, 2])
def test_an_older_chain_of_aggregates_is_read(kept, version):
    file = kept.file("aggregates")
    file.write_bytes(older(file.read_bytes(), version))
    kept.write(2 * COUNT)
    done = kept.run()
    assert done.exit_code == 0, done.failed_because()
    assert done.rows_in("out") > 0 and done.rows_in("gold") > 0
