"""The command line without a broker: help, inspect, the JSON Schema, logs, terminals, secrets."""

import json
import os
import pty
import re
import select
import subprocess

import jsonschema
import pytest

from tests.topology import runner

HERE = os.path.dirname(os.path.abspath(__file__))
MEDALLION = os.path.join(HERE, "valid", "medallion.json")
SHORT = os.path.join(HERE, "valid", "short.json")
COMMANDS = ["run", "validate", "inspect", "version"]
PATH = ["--plugin-path", runner.TEST_PLUGINS]


# ---- usage


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("form", ["{} --help", "{} -h", "help {}", "{} --no-such-option"])
def test_help(command, form):
    done = runner.run(form.format(command).split())
    if "no-such" in form:
        assert done.returncode == 2 and done.stdout == ""
        assert "unknown option --no-such-option" in done.stderr
        assert f"Try: sluice {command} --help" in done.stderr
    else:
        assert done.returncode == 0 and done.stderr == ""
        assert done.stdout.startswith(f"Usage: sluice {command}")


def test_overview():
    done = runner.run(["--help"])
    assert done.returncode == 0
    assert all(f"  {command}" in done.stdout for command in COMMANDS)
    assert runner.run([]).returncode == 2
    assert 'did you mean "validate"?' in runner.run(["validte"]).stderr


def test_bad_usage():
    for args in (["run"], ["run", "a", "b"], ["run", "--set"], ["run", "--until-end=1", "a"]):
        done = runner.run(args)
        assert done.returncode == 2 and done.stdout == "" and done.stderr
    done = runner.run(["run", "--log-level=loud", SHORT])
    assert done.returncode == 2 and "error, warn, info, debug" in done.stderr


def test_version():
    done = runner.run(["version", "--json"])
    with open(os.path.join(runner.ROOT, "VERSION"), encoding="utf-8") as file:
        assert json.loads(done.stdout)["version"] == file.read().strip()


def test_a_file_that_is_not_there():
    done, answer = runner.validate_json("/no/such/file.json")
    assert done.returncode == 2 and not answer["good"]
    assert "No such file" in answer["faults"][0]["message"]


def test_a_plugin_folder_that_is_not_there(tmp_path):
    for args in (["inspect"], ["validate", SHORT], ["run", SHORT]):
        done = runner.run([*args, "--plugin-path", "/no/such/folder"])
        assert done.returncode == 2 and "there is no folder /no/such/folder" in done.stderr
    args = ["--set", 'plugin.path=["/no/such/folder"]']
    done, answer = runner.validate_json(SHORT, args)
    assert done.returncode == 2
    assert answer["faults"][0]["path"] == "$['plugin.path'][0]"
    good = runner.run(["validate", SHORT, "--set", f"plugin.path={runner.TEST_PLUGINS}"])
    assert good.returncode == 0


# ---- validate


def test_validate_says_what_each_input_does_when_it_is_full():
    sink = '{"plugin":"stdout","inputs":["numbers"],"when_full":"drop_newest"}'
    text = runner.run(["validate", *PATH, "--set", f"sinks.table={sink}", SHORT]).stdout
    assert "when full: drop_newest)" in text
    assert "when full: block)" in runner.run(["validate", *PATH, SHORT]).stdout


@pytest.mark.parametrize("listen", ["nonsense", "127.0.0.1:99999", "0.0.0.0:8083"])
def test_validate_checks_the_address_of_the_endpoint(listen):
    done, answer = runner.validate_json(SHORT, ["--set", f"admin.listen={listen}"])
    assert done.returncode == 2 and not answer["good"]
    (fault,) = [f for f in answer["faults"] if f["severity"] == "error"]
    assert fault["path"] == "$.admin" and f'admin.listen is "{listen}"' in fault["message"]


def test_what_is_quoted_of_a_file_does_not_reach_the_terminal_as_it_is(tmp_path):
    file = tmp_path / "topology.json"
    file.write_text('{"pipeline": "a\\u001b[31m\\nb", "sources": {}, "sinks": {}}')
    text = runner.run(["validate", str(file)]).stderr
    assert 'found "a?[31m?b"' in text and "\033" not in text


# ---- inspect


def test_inspect_lists_plugins_and_what_is_wrong():
    done = runner.run(["inspect", "--json", *PATH])
    found = {p["name"]: p for p in json.loads(done.stdout)}
    assert done.returncode == 0
    assert found["good"]["roles"] == ["source", "transform", "sink"]
    assert "1.1" in found["newer-minor"]["error"]
    text = runner.run(["inspect", *PATH]).stdout
    assert re.search(r"^good +1\.2\.3 +source, transform, sink +does nothing", text, re.M)


def test_inspect_one_plugin():
    done = runner.run(["inspect", "good", "--json", *PATH])
    plugin = json.loads(done.stdout)
    assert plugin["section"] == "good" and plugin["version"] == "1.2.3"
    assert plugin["roles"]["transform"]["outputs"] == ["", "rejects", "late"]
    options = {o["name"]: o for o in plugin["roles"]["source"]["options"]}
    assert options["wait"]["type"] == "duration" and options["wait"]["default"] == "10s"
    assert (options["count"]["min"], options["count"]["max"]) == (1, 1000)
    assert options["start"]["values"] == ["earliest", "latest", "timestamp"]
    assert options["topics"]["required"] and options["old_count"]["deprecated"]
    nested = {o["name"]: o for o in plugin["roles"]["transform"]["options"]}["deduplicate"]
    assert [o["name"] for o in nested["options"]] == ["within", "key"]
    text = runner.run(["inspect", "good", *PATH]).stdout
    for name in [*options, "deduplicate.within"]:
        assert f"    {name}  (" in text


def test_inspect_a_plugin_that_is_not_there():
    done = runner.run(["inspect", "goood", *PATH])
    assert done.returncode == 2 and 'did you mean "good"?' in done.stderr


# ---- the JSON Schema of topologies


@pytest.fixture(scope="module")
def schema():
    made = json.loads(runner.run(["inspect", "--topology-schema", *PATH]).stdout)
    jsonschema.Draft202012Validator.check_schema(made)
    return jsonschema.Draft202012Validator(made)


@pytest.mark.parametrize("name", os.listdir(os.path.join(HERE, "valid")))
def test_schema_takes_what_is_valid(schema, name):
    with open(os.path.join(HERE, "valid", name), encoding="utf-8") as file:
        assert [e.message for e in schema.iter_errors(json.load(file))] == []


@pytest.mark.parametrize(
    "name",
    [
        "unknown-top-key", "unknown-node-key", "unknown-option", "unknown-nested-option",
        "missing-plugin-key", "missing-inputs", "missing-required-option", "type-integer",
        "type-enum", "type-duration-text", "type-size", "type-bool", "range-integer",
    ],
)  # fmt: skip
def test_schema_refuses_what_is_faulty(schema, name):
    with open(os.path.join(HERE, "faults", name + ".json"), encoding="utf-8") as file:
        document = json.load(file)
    if name == "missing-required-option":
        document["sources"]["events"]["config"] = {}
    assert list(schema.iter_errors(document))


# ---- logs and terminals


def run_short(*args, env=None):
    return runner.run(["run", "--until-end", *PATH, *args, SHORT], env=env)


def test_run_ends_with_a_summary():
    done = run_short()
    assert done.returncode == 0
    assert re.search(r"^Ran .* lanes?: 0 rows read", done.stdout)
    assert re.search(r"^  sink      table \(good\): 0 rows written", done.stdout, re.M)
    assert "\033" not in done.stdout + done.stderr
    summary = json.loads(run_short("--json").stdout)
    assert [n["name"] for n in summary["nodes"]] == ["numbers", "table"]


def test_warnings_are_log_lines():
    sink = '{"plugin":"stateful","inputs":["numbers"]}'
    text = run_short("--set", f"sinks.table={sink}").stderr
    line = next(l for l in text.splitlines() if "without" in l)
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z WARN  ", line)
    done = run_short("--set", f"sinks.table={sink}", "--log-format=json")
    lines = [json.loads(l) for l in done.stderr.splitlines()]
    assert any(l["level"] == "warn" and "nobody keeps" in l["message"] for l in lines)
    quiet = run_short("--set", f"sinks.table={sink}", "--log-level=error").stderr
    assert "WARN" not in quiet


def test_a_sink_whose_rows_nobody_commits_fails():
    sink = '{"plugin":"no-commit","inputs":["numbers"]}'
    source = '{"plugin":"generator","config":{"count":10}}'
    done = run_short("--set", f"sources.numbers={source}", "--set", f"sinks.table={sink}")
    assert done.returncode == 1 and "no operation node.commit" in done.stderr


def test_a_plugin_that_does_not_open_is_a_bad_topology():
    file = os.path.join(HERE, "faults", "plugin-fails-in-open.json")
    done = runner.run(["run", *PATH, file])
    assert done.returncode == 2 and done.stdout == ""
    assert f'{file}:5: $.sinks.first.config: "sand" is not what' in done.stderr


def on_terminal(args, env=None):
    """What a command prints when its output and errors are a terminal."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [runner.SLUICE, *args],
        stdin=subprocess.DEVNULL,
        stdout=slave,
        stderr=slave,
        env={**os.environ, "TERM": "xterm", **(env or {})},
    )
    os.close(slave)
    text = b""
    while select.select([master], [], [], runner.LIMIT_S)[0]:
        try:
            chunk = os.read(master, 4096)
        except OSError:  # the other side is closed
            break
        if not chunk:
            break
        text += chunk
    os.close(master)
    process.wait(runner.LIMIT_S)
    return text.decode()


def test_colours_only_on_a_terminal():
    faulty = os.path.join(HERE, "faults", "unknown-option.json")
    args = ["validate", *PATH, faulty]
    assert "\033[31merror\033[0m" in on_terminal(args)
    assert "\033" not in on_terminal(args, {"NO_COLOR": "1"})
    assert "\033" not in on_terminal(args, {"TERM": "dumb"})
    assert "\033" not in runner.run(args).stderr


def test_progress_on_a_terminal(tmp_path):
    file = tmp_path / "topology.json"
    generator = {"plugin": "generator", "config": {"count": 30000, "rate": 20000}}
    sink = {"plugin": "good", "inputs": ["events"], "config": {"table": "lake"}}
    file.write_text(
        json.dumps({"pipeline": "p", "sources": {"events": generator}, "sinks": {"out": sink}})
    )
    text = on_terminal(["run", "--until-end", *PATH, str(file)])
    status = re.findall(r"\r\033\[K(\[[#-]{10}\] [ \d]{3} %[^\r]*)", text)
    assert status and "rows read" in status[0]
    assert all(len(line.split("\n")[0]) < 80 for line in status[:-1])
    assert "30,000 rows read" in text.split("\033[K")[-1]


# ---- secrets


def test_values_of_references_are_never_shown(tmp_path):
    secret = "correct-horse-battery"
    (tmp_path / "secret").write_text(secret + "\n")
    with open(MEDALLION, encoding="utf-8") as file:
        document = json.load(file)
    config = document["sources"]["events"]["config"]
    config["password"] = f"${{file:{tmp_path}/secret}}"
    config["text"] = "x ${env:SLUICE_TEST_SECRET} y"
    document["good"]["client.id"] = "${env:SLUICE_TEST_SECRET}"
    document["sinks"]["bronze"]["config"]["table"] = "/lake/${env:SLUICE_TEST_SECRET}/bronze"
    document["state"] = "${env:SLUICE_TEST_SECRET}"
    document["sinks"]["console"] = {
        "plugin": "fails-open",
        "inputs": ["events"],
        "config": {"text": "${env:SLUICE_TEST_SECRET}"},
    }
    file = tmp_path / "topology.json"
    env = {"SLUICE_TEST_SECRET": secret}
    for with_fault in (True, False):
        if not with_fault:
            del document["sinks"]["console"]
        file.write_text(json.dumps(document))
        for args in (
            ["validate"],
            ["validate", "--json"],
            ["validate", "--set", "sinks.silver_tbl.config.table=/lake/${env:SLUICE_TEST_SECRET}/bronze"],
            ["validate", "--set", "sources.events.config.count=${env:SLUICE_TEST_SECRET}"],
            ["run", "--until-end", "--log-level=debug", "--log-format=json"],
        ):
            done = runner.run([*args, *PATH, str(file)], env=env)
            assert secret not in done.stdout + done.stderr, args


def test_a_secret_option_is_not_shown_anywhere(tmp_path):
    late = '{"plugin":"good","inputs":["silver.late"],"config":{"table":"late"}}'
    sets = ["--set", "transforms.per_country.plugin=good", "--set", f"sinks.late={late}"]
    for args in (["validate"], ["validate", "--json"], ["run", "--until-end", "--json"]):
        done = runner.run([*args, *PATH, "--set", f"state={tmp_path}", MEDALLION, *sets])
        assert done.returncode == 0, done.stderr
        assert "hunter2" not in done.stdout + done.stderr
    kept = [p.read_text() for p in tmp_path.rglob("*") if p.is_file()]
    assert kept and not any("hunter2" in text for text in kept)
