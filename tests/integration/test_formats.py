"""What is kept between runs, in formats of another version or damaged: each is read, or refused by
name with both numbers and what to do; nothing is guessed, nothing crashes. KINDS lists every kind
of file in the state store, and runs with all plugins that keep something there find no other.
"""

import ctypes
import json
import re
import shutil
import signal
import struct
from typing import NamedTuple

import pytest

from tests.integration.test_admin import Running
from tests.support import sluice
from tests.support.medallion import SCHEMA
from tests.support.servers import ROOT, wait_for

COUNT = 12_000
LIMIT_S = 60
NUMBER, HASH = r"\d{20}", "[0-9a-f]{16}"


class Kind(NamedTuple):
    path: str  # below the state store: a regular expression
    today: bytes = b""  # the version as it stands in the file; empty: so are these files
    other: bytes = b""  # the same, of another version
    ours: str = "version 1"
    newer: int = 99


KINDS = {
    "editions": Kind(rf"config/{NUMBER}\.json", b'"format":1', b'"format":%d'),
    "runs": Kind(rf"runs/[^/]+-\d+-{HASH}"),
    "targets": Kind(rf"targets/{NUMBER}\.json", b'"format":1', b'"format":%d'),
    "history": Kind(rf"history/{NUMBER}\.json", b'"format": 1', b'"format": %d'),
    "positions": Kind(rf"nodes/[^/]+/positions/{NUMBER}\.json", b'"version":1', b'"version":%d'),
    "closed files": Kind(
        rf"nodes/[^/]+/closes/{NUMBER}", b"sluice-closes\t1", b"sluice-closes\t%d"
    ),
    "deduplication": Kind(
        rf"nodes/[^/]+/[^/]+/{NUMBER}(-{NUMBER})?\.seg", b"SLDEDUP1", b"SLDEDUP%d", newer=9
    ),
    "aggregates": Kind(rf"nodes/[^/]+/log/{NUMBER}", b"SLGA\x03", b"SLGA%c", "versions 1 to 3"),
    "snapshots": Kind(rf"nodes/[^/]+/base/{NUMBER}-{HASH}", b"SLGB\x01", b"SLGB%c"),
    "partial aggregates": Kind(
        rf"nodes/[^/]+/delta/{HASH}/{NUMBER}", b"SLGA\x03", b"SLGA%c", "versions 1 to 3"
    ),
    # of the kafka plugin
    "seen": Kind(r"nodes/[^/]+/seen/[^/]+/\d+", b"1 ", b"%d "),
    "known": Kind(rf"nodes/[^/]+/known/{HASH}", b"1 sluice/", b"%d sluice/", "versions 0 to 1"),
}
KAFKA = {"seen", "known"}
AT_START = [n for n, k in KINDS.items() if k.today and n not in KAFKA | {"history"}]
REFUSED = [(name, version) for name in AT_START for version in (0, KINDS[name].newer)]


def kinds_in(state):
    """{kind: its files}; a file that is of no kind, or of two, is a fault."""
    found = {}
    for file in state.rglob("*"):
        if file.is_file():
            path = str(file.relative_to(state))
            (kind,) = [n for n, k in KINDS.items() if re.fullmatch(k.path, path)] or [path]
            assert kind in KINDS, f"{path} is in no line of KINDS: has it a version, and a test?"
            found.setdefault(kind, []).append(file)
    return found


def as_version(name, file, version):
    kind = KINDS[name]
    text = file.read_bytes()
    assert kind.today in text
    file.write_bytes(text.replace(kind.today, kind.other % version, 1))


def assert_refused(said, name, file, version):
    assert (
        f"{file.parent.name}/{file.name} has format version {version}, this sluice reads "
        f"{KINDS[name].ours}; run the sluice that wrote it, or a newer one"
    ) in said


class Kept:
    """A lake with all kinds of state that need no broker, in a folder of the test's."""

    def __init__(self, folder, count=COUNT):
        self.folder = folder
        self.state = folder / "state"
        self.topology = folder / "topology.json"
        self.write(count)

    def write(self, count, keep="1h"):
        silver = {"schema": SCHEMA.name, "deduplicate": {"key": "event_id", "within": "1h"}}

        def gold(group_by, **config):  # so many groups that there is a snapshot
            config = {"time": "ts", "window": {"tumbling": "10s"}, "group_by": [group_by], **config}
            config["aggregates"] = {"n": "count()", "first": "first(event_id)"}
            return {"plugin": "gold-agg", "inputs": ["silver"], "config": config}

        def file(given, name):
            return {"plugin": "file", "inputs": [given], "config": {"path": name}}

        document = {
            "pipeline": "p",
            "state": "state",
            "admin": {"listen": "127.0.0.1:0"},
            "sources": {
                "events": {"plugin": "generator", "config": {"count": count, "partitions": 1}}
            },
            "transforms": {
                "silver": {"plugin": "silver-validate", "inputs": ["events"], "config": silver},
                "agg": gold("event_id", keep=keep),
                "shared": gold("country", scope="group"),
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
                "out": file("silver", "out.jsonl"),
                "no": file("silver.rejects", "no.jsonl"),
                "of_all": file("shared", "of_all.jsonl"),
            },
        }
        self.topology.write_text(json.dumps(document))

    def run(self):
        return sluice.run_command(
            "run", "--until-end", "--json", "--set", "retry.timeout=1s", self.topology, limit_s=60
        )

    def file(self, name):
        """The newest file of a kind."""
        return max(kinds_in(self.state)[name])


def ordered_about(kept):
    """Runs with a pause and a change through the endpoint, which are kept as well; the kinds of
    files while it ran."""
    with sluice.Process("run", "--json", kept.topology) as process:
        admin = Running(process)

        def ask(method, path, body=None, status=202):
            kind = {"Content-Type": "application/merge-patch+json"}
            got, _, said = admin.ask(path, method, body, kind)
            assert got == status, said

        wait_for(lambda: admin.ask("/ready")[0] == 200, LIMIT_S, "readiness")
        ask("PUT", "/connectors/plain/pause")
        ask("PUT", "/connectors/plain/resume")
        change = {"transforms": {"agg": {"config": {"keep": "2h"}}}}
        ask("PATCH", "/v1/topology", json.dumps(change), 200)
        runs = [file for file in kept.state.glob("runs/*") if not file.name.startswith(".")]
        process.signal(signal.SIGTERM)
        done = process.wait(LIMIT_S)
        assert done.exit_code == 0, done.failed_because()
    return runs


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kept")
    shutil.copy(SCHEMA, folder)
    kept = Kept(folder)
    kept.runs = ordered_about(kept)
    kept.write(COUNT, keep="2h")
    done = kept.run()
    assert done.exit_code == 0, done.failed_because()
    return kept


@pytest.fixture
def kept(finished, tmp_path):
    folder = tmp_path / "kept"
    shutil.copytree(finished.folder, folder)
    return Kept(folder)


def told(done):
    """What a failed run says."""
    assert done.exit_code in (1, 2), done.failed_because()
    assert "signal" not in done.log
    return done.failed_because()


def test_every_kind_of_file_is_known(finished):
    assert [re.fullmatch(KINDS["runs"].path, f"runs/{f.name}") is None for f in finished.runs] == [
        False
    ]
    assert set(kinds_in(finished.state)) | {"runs"} == set(KINDS) - KAFKA


def test_who_writes_to_the_state_store_is_in_these_runs():
    """The runs here show what these write; whoever else does so is to be in them, and in KINDS."""

    def sources(folder, what):
        files = (ROOT / folder).rglob("*.c")
        return {str(f.relative_to(ROOT / folder)) for f in files if re.search(what, f.read_text())}

    plugins = {f.partition("/")[0] for f in sources("plugins", r"\bstate_store\(")}
    assert plugins == {"bronze-sink", "gold-agg", "kafka", "silver-validate"}
    assert sources("runtime", r"\bops->put\(|\bversions_put\(") == {
        "admin/change/history.c",
        "delivery/keeper.c",
        "host/editions.c",
        "host/targets.c",
        "host/versions.c",
    }


@pytest.mark.parametrize("name, version", REFUSED)
def test_another_version_is_refused_with_both_numbers(kept, name, version):
    file = kept.file(name)
    as_version(name, file, version)
    assert_refused(told(kept.run()), name, file, version)


@pytest.mark.parametrize("version", [0, 99])
def test_a_history_of_another_version_is_refused(kept, version):
    file = kept.file("history")
    as_version("history", file, version)
    with sluice.Process("run", "--json", kept.topology) as process:
        status, _, body = Running(process).ask("/v1/topology/history")
    assert status == 500
    assert_refused(json.loads(body)["message"], "history", file, version)


@pytest.mark.parametrize("damage", ["empty", "half", "noise", "another format"])
@pytest.mark.parametrize("name", AT_START)
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
    assert f"{file.parent.name}/{file.name}" in told(kept.run())


def checked(text):
    hash_of = ctypes.CDLL("libxxhash.so.0").XXH3_64bits
    hash_of.restype, hash_of.argtypes = ctypes.c_uint64, [ctypes.c_char_p, ctypes.c_size_t]
    return text + struct.pack("<Q", hash_of(text, len(text)))


@pytest.mark.parametrize("name", ["aggregates", "snapshots", "partial aggregates"])
def test_another_version_of_what_is_inside_is_refused(kept, name):
    """Files of this version that hold a table of another."""
    holders = [f for f in kinds_in(kept.state)[name] if b"SLWT\x01" in f.read_bytes()]
    assert holders
    for file in holders:
        file.write_bytes(checked(file.read_bytes()[:-8].replace(b"SLWT\x01", b"SLWT\x63", 1)))
    if name == "partial aggregates":  # those that are merged are not read again
        shutil.rmtree(kept.state / "nodes" / "shared" / "log")
        (kept.folder / "of_all.jsonl").unlink()
        shutil.rmtree(kept.state / "nodes" / "of_all")
    said = told(kept.run())
    assert ": the table of aggregates has format version 99, this sluice reads version 1; " in said
    assert any(f"{f.parent.name}/{f.name}: the table" in said for f in holders)


def older(entry, version):
    """An entry of the aggregates' chain as older versions had it: before 3 it did not say what was
    sent, before 2 its streams had no flags."""
    at = 4 + 1 + 6 * 8
    parts = [entry[:4], bytes([version]), entry[5:at]]
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
    return checked(b"".join(parts) + entry[at:-8])


@pytest.mark.parametrize("version", [1, 2])
def test_an_older_chain_of_aggregates_is_read(kept, version):
    """A host's, a group's, and the partial aggregates of its hosts."""
    files = kinds_in(kept.state)
    for file in files["aggregates"] + files["partial aggregates"]:
        file.write_bytes(older(file.read_bytes(), version))
    kept.write(2 * COUNT)
    done = kept.run()
    assert done.exit_code == 0, done.failed_because()
    assert min(done.rows_in(name) for name in ("out", "gold", "of_all")) > 0


def commit_as(broker, group, topic, metadata):
    from confluent_kafka import Consumer, TopicPartition

    consumer = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": group})
    place = TopicPartition(topic, 0, 10, metadata=metadata)
    consumer.commit(offsets=[place], asynchronous=False)
    consumer.close()


def test_what_the_kafka_plugin_keeps(broker, new_topic, tmp_path):
    source, target = new_topic(1), new_topic(1)
    sink = {"topic": target, "delivery": "exactly-once"}
    document = {
        "pipeline": f"kept-{source}",
        "state": "state",
        "kafka": {"bootstrap.servers": broker.bootstrap},
        "sources": {"rows": {"plugin": "kafka", "config": {"topics": [source]}}},
        "sinks": {"copy": {"plugin": "kafka", "inputs": ["rows"], "config": sink}},
    }
    path = tmp_path / "topology.json"
    path.write_text(json.dumps(document))

    def run():
        broker.produce(source, [{"value": b"%d" % i} for i in range(10)])
        return sluice.run_command("run", "--until-end", "--json", path, limit_s=LIMIT_S)

    done = run()
    assert done.exit_code == 0, done.failed_because()
    files = kinds_in(tmp_path / "state")
    assert set(files) == {"editions", *KAFKA}
    (seen,), (known,) = files["seen"], files["known"]

    for version in (0, 99):  # only a safeguard: reading goes on
        as_version("seen", seen, version)
        done = run()
        assert done.exit_code == 0, done.failed_because()
        assert_refused(done.log, "seen", seen, version)

    position = f"sluice/kept-{source}/copy/rows/rows/{source}/0"
    commit_as(broker, position, target, "sluice 2 at somebody")
    said = f'group "{position}" has format version 2, this sluice reads version 1; run the sluice'
    assert said in told(run())

    mark = known.read_bytes()
    broker.delete_group(position)
    known.write_bytes(mark.removeprefix(b"1 ").rstrip())  # version 0
    assert "offsets.retention.minutes" in told(run())
    known.write_bytes(mark)
    as_version("known", known, 99)
    assert_refused(told(run()), "known", known, 99)
