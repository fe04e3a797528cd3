"""A plugin that fails at each of its calls, in each way (tests/plugins/moody.c, moody-source.c): what
may pass is tried again, else the node is FAILED with the plugin's words and the others go on; a crash
names the node. The next run ends complete, each row once."""

import json
import signal

import pytest

from tests.lake import readers
from tests.support import sluice

PLUGINS = sluice.BINARY.parent / "tests" / "plugins"
RECORDS, PARTITIONS = 2_000, 2
LIMIT_S = 60
TRANSFORM = ("open", "start", "task", "attach", "process")
SINK = (*TRANSFORM, "recover", "resume", "flush", "commit", "after")
SOURCE = ("open", "start", "resolve", "resume", "task", "attach", "poll", "acknowledge")
CALLS = [
    (role, at)
    for role, calls in (("sink", SINK), ("transform", TRANSFORM), ("source", SOURCE))
    for at in calls
]
# An error of this ends the run before anything is read: the configuration is at fault.
BEFORE_THE_RUN = ("open",)
# No error of these is tried again: they ask nothing of anybody, or nobody waits for an answer.
NOT_TRIED_AGAIN = ("open", "task", "attach", "acknowledge")
# Calls of the source that are not the first ones: some of its rows are read, and lie in the table.
PASSING = {"poll": 10, "acknowledge": 1}


def moody(folder, role, config):
    """The node that fails."""
    if role == "source":
        places = {"count": RECORDS // PARTITIONS, "partitions": PARTITIONS}
        passing = {"passing": PASSING[config["at"]]} if config.get("at") in PASSING else {}
        return {"plugin": "moody-source", "config": {**places, **passing, **config}}
    return {"plugin": "moody", "inputs": ["shop"], "config": {"path": str(folder / "rows"), **config}}


def topology(folder, role, **config):
    def table(plugin, name, of):
        return {"plugin": plugin, "inputs": [of], "config": {"table": str(folder / name)}}

    document = {
        "pipeline": "moody",
        "state": str(folder / "state"),
        "commit.interval": "20ms",
        "retry.timeout": "30s",
        "sources": {
            "shop": {
                "plugin": "generator",
                "config": {"count": RECORDS, "partitions": PARTITIONS, "rate": 20_000},
            }
        },
    }
    document.setdefault(f"{role}s", {})["moody"] = moody(folder, role, config)
    document.setdefault("sinks", {})["sound"] = table("bronze-sink", "sound", "shop")
    if role != "sink":
        document["sinks"]["behind"] = table("delta-sink", "behind", "moody")
    path = folder / "topology.json"
    path.write_text(json.dumps(document))
    return path


def run(path):
    return sluice.run_command(
        "run", "--until-end", "--json", "--plugin-path", PLUGINS, path, limit_s=LIMIT_S
    )


def assert_each_once(places):
    assert len(places) == len(set(places)) == RECORDS


def of_a_table(folder):
    columns = readers.read(folder).select(["partition", "offset"]).to_pydict()
    return [*zip(columns["partition"], columns["offset"])]


def assert_complete(folder, role):
    assert_each_once(of_a_table(folder / "sound"))
    if role != "sink":
        assert_each_once(of_a_table(folder / "behind"))
    else:
        lines = (folder / "rows").read_text().splitlines()
        assert_each_once([tuple(line.split()[1:]) for line in lines if line.startswith("row ")])


@pytest.mark.parametrize(
    ("role", "at", "how"),
    [(*call, "fatal") for call in CALLS]
    + [("sink", at, how) for at in ("process", "flush", "commit") for how in ("record", "config")]
    + [("source", at, how) for at in ("poll", "acknowledge") for how in ("record", "config")],
)
def test_a_node_that_fails_says_why_and_the_others_go_on(tmp_path, role, at, how):
    done = run(topology(tmp_path, role, at=at, how=how))
    assert done.exit_code in (1, 2), done.failed_because()
    if at in BEFORE_THE_RUN:
        assert "moody" in done.log and "in no mood" in done.log
    else:
        assert "in no mood" in done.node("moody")["failure"]
        assert_each_once(of_a_table(tmp_path / "sound"))
    done = run(topology(tmp_path, role))
    assert done.exit_code == 0, done.failed_because()
    assert_complete(tmp_path, role)


@pytest.mark.parametrize(("role", "at"), [c for c in CALLS if c[1] not in NOT_TRIED_AGAIN])
def test_what_may_pass_is_tried_again(tmp_path, role, at):
    done = run(topology(tmp_path, role, at=at, how="retriable", times=3))
    assert done.exit_code == 0, done.failed_because()
    assert_complete(tmp_path, role)


@pytest.mark.parametrize(("role", "at"), CALLS)
def test_a_crash_names_the_node(tmp_path, role, at):
    done = run(topology(tmp_path, role, at=at, how="crash"))
    assert done.exit_code == -signal.SIGABRT, done.failed_because()
    assert "moody" in done.log
    done = run(topology(tmp_path, role))
    assert done.exit_code == 0, done.failed_because()
    assert_complete(tmp_path, role)


def test_a_stop_ends_though_a_plugin_hangs_while_it_is_closed(tmp_path):
    path = topology(tmp_path, "sink", at="close", how="hang")
    document = json.loads(path.read_text()) | {"shutdown.timeout": "2s"}
    path.write_text(json.dumps(document))
    with sluice.Process("run", "--json", "--plugin-path", PLUGINS, path) as process:
        rows = tmp_path / "rows"
        process.wait_for(lambda: rows.exists() and "row" in rows.read_text(), LIMIT_S, "rows")
        process.signal(signal.SIGTERM)
        done = process.wait(LIMIT_S)
    assert done.exit_code == 1, done.failed_because()
    assert "shutdown.timeout has passed" in done.log
    done = run(topology(tmp_path, "sink"))
    assert done.exit_code == 0, done.failed_because()
    assert_complete(tmp_path, "sink")


def rows_in(table):
    return len(of_a_table(table)) if [*table.glob("_delta_log/*.json")] else 0


@pytest.mark.parametrize("at", [at for at in SOURCE if at not in BEFORE_THE_RUN])
def test_a_source_that_failed_is_restarted_and_goes_on_where_it_was(tmp_path, at):
    path = topology(tmp_path, "source", at=at, times=1 if at == "acknowledge" else 2)
    document = json.loads(path.read_text()) | {"restart.after": "100ms", "restart.attempts": 10}
    path.write_text(json.dumps(document))
    with sluice.Process("run", "--json", "--plugin-path", PLUGINS, path) as process:
        process.wait_for(lambda: "moody: restarted" in process.text(1), LIMIT_S, "a restart")
        for name in ("sound", "behind"):
            process.wait_for(lambda: rows_in(tmp_path / name) == RECORDS, LIMIT_S, name)
        process.signal(signal.SIGTERM)
        done = process.wait(LIMIT_S)
    assert done.exit_code == 0, done.failed_because()
    assert "in no mood" in done.log
    assert_complete(tmp_path, "source")


def test_a_source_that_fails_for_longer_than_it_is_tried_again(tmp_path):
    path = topology(tmp_path, "source", at="poll", how="retriable", times=1_000_000)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"retry.timeout": "1s"}))
    done = run(path)
    assert done.exit_code == 1, done.failed_because()
    assert "in no mood" in done.node("moody")["failure"] and "trying again in" in done.log
    assert_each_once(of_a_table(tmp_path / "sound"))
    done = run(topology(tmp_path, "source"))
    assert done.exit_code == 0, done.failed_because()
    assert_complete(tmp_path, "source")


@pytest.mark.parametrize("at", ["start", "resolve", "resume", "poll"])
def test_a_source_that_falls_silent_holds_up_nobody(tmp_path, at):
    path = topology(tmp_path, "source", at=at, how="silent", times=1_000_000)
    limits = {"retry.timeout": "1s", "revoke.timeout": "1s", "shutdown.timeout": "2s"}
    path.write_text(json.dumps(json.loads(path.read_text()) | limits))
    with sluice.Process("run", "--json", "--plugin-path", PLUGINS, path) as process:
        process.wait_for(lambda: rows_in(tmp_path / "sound") == RECORDS, LIMIT_S, "other rows")
        process.signal(signal.SIGTERM)
        done = process.wait(LIMIT_S)
    # one that has nothing to read is no failure; who owes an answer cannot be closed
    assert ("moody: FAILED" in done.log and "it has not answered for" in done.log) == (at != "poll")
    assert done.exit_code == (0 if at == "poll" else 1), done.failed_because()
    done = run(topology(tmp_path, "source"))
    assert done.exit_code == 0, done.failed_because()
    assert_complete(tmp_path, "source")
