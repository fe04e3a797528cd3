"""A sink that cannot write its table fails after retry.timeout, alone; once it can, it is restarted
and ends complete, every row once."""

import json
import os

from tests.lake import readers
from tests.support import sluice

RECORDS = 60_000
LIMIT_S = 60


def topology(folder, **keys):
    document = {
        "pipeline": "restart",
        "commit.interval": "100ms",
        "retry.timeout": "500ms",
        **keys,
        "sources": {
            "shop": {"plugin": "generator", "config": {"count": RECORDS, "rate": 20_000}},
        },
        "sinks": {
            name: {
                "plugin": "bronze-sink",
                "inputs": ["shop"],
                "config": {"table": str(folder / name)},
            }
            for name in ("sound", "broken")
        },
    }
    path = folder / "topology.json"
    path.write_text(json.dumps(document))
    return path


def entries(folder):
    return sorted(f.name for f in (folder / "_delta_log").glob("*.json"))


def offsets(table):
    return sorted(readers.read(table).column("offset").to_pylist())


def break_table(table):
    """From now on nothing can be written there, whoever asks (root may write into a read-only folder)."""
    os.rename(table, str(table) + ".away")
    table.write_text("a file where the table's folder was")


def mend_table(table):
    table.unlink()
    os.rename(str(table) + ".away", table)


def test_a_sink_comes_back_once_its_table_can_be_written(tmp_path):
    path = topology(tmp_path, **{"restart.after": "200ms", "restart.attempts": 100})
    sound, broken = tmp_path / "sound", tmp_path / "broken"
    with sluice.Process("run", "--until-end", "--json", path) as process:
        process.wait_for(lambda: len(entries(broken)) > 3, LIMIT_S, "the first commits")
        break_table(broken)
        process.wait_for(lambda: "broken: FAILED" in process.text(1), LIMIT_S, "the failure")
        there = len(entries(sound))
        process.wait_for(lambda: len(entries(sound)) > there + 3, LIMIT_S, "the others' commits")
        mend_table(broken)
        done = process.wait(LIMIT_S)
    assert done.exit_code == 0, done.failed_because()
    assert done.node("broken")["restarts"] >= 1
    assert done.node("broken")["failure"] is None
    assert offsets(sound) == list(range(RECORDS))
    assert offsets(broken) == list(range(RECORDS))


def test_without_a_restart_it_stays_failed_and_the_next_run_completes_it(tmp_path):
    path = topology(tmp_path)
    sound, broken = tmp_path / "sound", tmp_path / "broken"
    with sluice.Process("run", "--until-end", "--json", path) as process:
        process.wait_for(lambda: len(entries(broken)) > 3, LIMIT_S, "the first commits")
        break_table(broken)
        done = process.wait(LIMIT_S)
    assert done.exit_code == 1
    assert "a file stands where a folder is to be" in done.node("broken")["failure"]
    assert offsets(sound) == list(range(RECORDS))
    mend_table(broken)
    sluice.run_until_end(path)
    assert offsets(broken) == list(range(RECORDS))


def test_a_sink_that_cannot_start_leaves_the_others_alone_and_comes_back(tmp_path):
    path = topology(tmp_path, **{"restart.after": "200ms", "restart.attempts": 100})
    sound, broken = tmp_path / "sound", tmp_path / "broken"
    broken.write_text("a file where the table's folder is to be")
    with sluice.Process("run", "--until-end", "--json", path) as process:
        process.wait_for(lambda: "broken: FAILED" in process.text(1), LIMIT_S, "the failure")
        process.wait_for(lambda: sound.exists(), LIMIT_S, "the other's table")
        process.wait_for(lambda: len(entries(sound)) > 3, LIMIT_S, "the others' commits")
        broken.unlink()
        done = process.wait(LIMIT_S)
    assert done.exit_code == 0, done.failed_because()
    assert done.node("broken")["restarts"] >= 1
    assert offsets(sound) == list(range(RECORDS))
    assert offsets(broken) == list(range(RECORDS))


def test_a_sink_that_never_starts_fails_the_run_and_nobody_else(tmp_path):
    path = topology(tmp_path)
    broken = tmp_path / "broken"
    broken.write_text("a file where the table's folder is to be")
    done = sluice.run_command("run", "--until-end", "--json", path, limit_s=LIMIT_S)
    assert done.exit_code == 1
    assert done.node("broken")["failure"].startswith("cannot start: ")
    assert offsets(tmp_path / "sound") == list(range(RECORDS))
    broken.unlink()
    sluice.run_until_end(path)
    assert offsets(broken) == list(range(RECORDS))
