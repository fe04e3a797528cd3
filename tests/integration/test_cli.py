"""The command line as an operator meets it: summaries that add up, exit codes, logs, secrets."""

import json
import re
import subprocess

import pytest

from tests.support import events, sluice
from tests.support.medallion import Medallion
from tests.support.servers import ROOT

RECORDS = 5_000
SECRET = "hunter2-cannot-be-seen"


@pytest.fixture(scope="module")
def topic(broker, new_topic):
    name = new_topic()
    broker.produce(name, events.records(events.Feed(records=RECORDS)))
    return name


@pytest.fixture
def medallion(broker, topic, tmp_path):
    return Medallion(tmp_path, broker.bootstrap, topic)


def number(text):
    return int(text.replace(",", ""))


def flows(summary):
    """name: (rows in, [rows out, ...]) of the summary's lines "N rows in = A out + B rejects"."""
    found = {}
    for line in summary.splitlines():
        match = re.match(r"\s*transform\s+(\S+) .*?: ([\d,]+) rows in = (.*?)(?:, [\d,]+ had|$)", line)
        if match:
            parts = [number(p.split()[0]) for p in match[3].split(" + ")]
            found[match[1]] = (number(match[2]), parts)
    return found


def test_the_summary_of_a_run_adds_up(medallion):
    done = sluice.run_command("run", "--until-end", medallion.write())
    assert done.exit_code == 0, done.failed_because()
    taken, parts = flows(done.output)["silver"]
    assert taken == sum(parts) == RECORDS
    for name in ("events", "bronze"):
        (rows,) = re.findall(rf"^\s*\S+\s+{name} \(\S+\): ([\d,]+) rows", done.output, re.M)
        assert number(rows) == RECORDS, name
    for words in ("CPU-s", "per million rows", "/s", "of memory"):
        assert words in done.output, words


def test_the_summary_as_json_says_the_same(medallion):
    run = sluice.run_until_end(medallion.write())
    assert {n["name"] for n in run.summary["nodes"]} == {
        *medallion.document["sources"],
        *medallion.document["transforms"],
        *medallion.document["sinks"],
    }
    assert run.rows_in("silver") == RECORDS
    out = run.rows_out("silver") + run.rows_out("silver", "rejects") + run.dropped("silver")
    assert out == RECORDS
    assert all(n["state"] == "drained" and n["failure"] is None for n in run.summary["nodes"])
    cpu_us = run.summary["cpu_user_us"] + run.summary["cpu_system_us"]
    assert 0 < cpu_us / 1e6 <= run.cpu_s + 0.05


def test_progress_without_a_terminal_is_lines_of_log(medallion):
    done = sluice.run_command("run", "--until-end", medallion.write())
    assert "\r" not in done.log and "\033" not in done.log + done.output


def test_a_log_as_json_is_one_object_a_line(medallion):
    done = sluice.run_command(
        "run", "--until-end", "--log-format=json", "--log-level=debug", medallion.write()
    )
    assert done.exit_code == 0, done.failed_because()
    lines = done.log.splitlines()
    assert lines
    for line in lines:
        entry = json.loads(line)
        assert {"time", "level", "message"} <= set(entry), line
        assert entry["level"] in ("error", "warn", "info", "debug")


def test_exit_code_2_for_a_bad_topology_and_for_bad_usage(medallion):
    medallion.document["sinks"]["bronze"]["inputs"] = ["evnts"]
    done = sluice.run_command("run", "--until-end", medallion.write())
    assert done.exit_code == 2
    assert "topology.json:" in done.log and "evnts" in done.log and '"events"' in done.log
    for arguments in ([], ["rum"], ["run"], ["run", "--untilend", "x"], ["run", "/no/such/file"]):
        assert sluice.run_command(*arguments).exit_code == 2, arguments


def test_exit_code_1_when_the_run_fails(medallion):
    """A file stands where the folder of the nodes' state has to be: the nodes with state fail,
    bronze does not."""
    medallion.write()
    medallion.state.mkdir()
    (medallion.state / "nodes").write_text("no folder")
    done = sluice.run_command(
        "run", "--until-end", "--json", "--set", "retry.timeout=0s", medallion.path
    )
    assert done.exit_code == 1, done.failed_because()
    assert done.node("silver")["state"] == "failed"
    assert "state" in done.node("silver")["failure"]
    assert done.rows_in("bronze") == RECORDS


def test_a_broker_that_is_not_there_is_an_error_in_one_sentence(medallion):
    medallion.document["kafka"]["bootstrap.servers"] = "127.0.0.1:1"
    done = sluice.run_command(
        "run", "--until-end", "--set", "retry.timeout=1s", medallion.write(), limit_s=120
    )
    assert done.exit_code == 1, done.failed_because()
    assert "127.0.0.1:1" in done.log


@pytest.mark.parametrize("command", ["run", "validate", "inspect", "version"])
def test_help_is_everywhere(command):
    done = sluice.run_command(command, "--help")
    assert done.exit_code == 0 and f"sluice {command}" in done.output


def test_version():
    done = sluice.run_command("version")
    assert done.exit_code == 0
    assert (ROOT / "VERSION").read_text().strip() in done.output


def test_values_of_the_environment_and_of_files_work_and_are_never_shown(medallion, tmp_path):
    """The broker's address comes from the environment; a password, a path and a property that
    librdkafka refuses at debug level would all be good places to give a secret away."""
    bootstrap = medallion.document["kafka"]["bootstrap.servers"]
    (tmp_path / "secret").write_text(SECRET + "\n")
    medallion.document["kafka"].update(
        {
            "bootstrap.servers": "${env:TEST_BOOTSTRAP}",
            "sasl.password": f"${{file:{tmp_path}/secret}}",
            "ssl.key.password": "a-plain-secret-option",
            "client.id": "id-${env:TEST_SECRET}-${env:NOT_THERE:-default}",
            "debug": "broker,security,cgrp",
        }
    )
    path = medallion.write()
    env = {"TEST_BOOTSTRAP": bootstrap, "TEST_SECRET": SECRET + "-env"}
    outputs = []
    for arguments in (
        ("run", "--until-end", "--log-level=debug", path),
        ("run", "--until-end", "--json", "--log-format=json", "--log-level=debug", path),
        ("validate", path),
        ("validate", "--json", path),
    ):
        done = sluice.run_command(*arguments, env=env)
        assert done.exit_code == 0, done.failed_because()
        outputs.append(done.output + done.log)
    assert "silver" in outputs[0]
    for text in outputs:
        for hidden in (SECRET, "a-plain-secret-option", bootstrap):
            assert hidden not in text


def test_secrets_do_not_show_in_errors(medallion, tmp_path):
    medallion.document["kafka"]["sasl.password"] = SECRET
    medallion.document["kafka"]["session.timeout.ms"] = "${env:TEST_SECRET}"
    medallion.document["sources"]["events"]["config"]["start"] = "${env:TEST_SECRET}"
    for command in (["validate"], ["validate", "--json"], ["run", "--until-end"]):
        done = sluice.run_command(*command, medallion.write(), env={"TEST_SECRET": SECRET + "-e"})
        assert done.exit_code == 2
        assert "session.timeout.ms" in done.output + done.log
        assert SECRET not in done.output + done.log


def test_too_few_open_files_are_said_at_once():
    """Before anything else is looked at."""
    limited = ["bash", "-c", 'ulimit -n 48; exec "$0" run any.json', str(sluice.BINARY)]
    done = subprocess.run(limited, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1, done.stderr
    assert "at most 48 files may be open" in done.stderr and "ulimit" in done.stderr


def test_a_missing_variable_is_named(medallion):
    medallion.document["kafka"]["bootstrap.servers"] = "${env:SURELY_NOT_SET}"
    done = sluice.run_command("validate", medallion.write())
    assert done.exit_code == 2 and "SURELY_NOT_SET" in done.log


def test_set_changes_a_value(medallion, tmp_path):
    other = tmp_path / "other" / "bronze"
    sluice.run_until_end(medallion.write(), "--set", f"sinks.bronze.config.table=file://{other}")
    assert (other / "_delta_log").is_dir()
    assert not medallion.table("bronze").exists()
