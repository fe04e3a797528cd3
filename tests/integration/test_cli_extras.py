"""What the command line has around its commands: the log, the bundle, completion, the manual page."""

import json
import re
import shutil
import subprocess

import jsonschema
import pytest

from tests.integration.test_admin import Running, topology
from tests.support import sluice
from tests.support.servers import ROOT, wait_for

HELP_OPTION = re.compile(r"^  (--[a-z-]+)(?: ([A-Z=/]+))?\s+(.+)$", re.M)


def output(*arguments):
    done = sluice.run_command(*arguments, limit_s=30)
    assert done.exit_code == 0, done.log
    return done.output


def commands():
    return re.findall(r"^  ([a-z-]+) ", output("--help"), re.M)


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    folder = tmp_path_factory.mktemp("extras")
    path = topology(folder)
    document = json.loads(path.read_text())
    document["sinks"]["good"]["config"]["table"] = "${env:TABLE}"
    path.write_text(json.dumps(document))
    secret = folder / "do-not-tell"
    with sluice.Process("run", path, env={"TABLE": str(secret)}) as process:
        running = Running(process)
        running.secret = str(secret)
        wait_for(lambda: running.ask("/ready")[0] == 200, 30, "readiness")
        yield running
        process.signal(15)
        assert process.wait(30).exit_code == 0


def client(running, *arguments):
    return output(*arguments, "--admin", f"http://127.0.0.1:{running.port}")


def test_logs(running):
    assert running.ask("/connectors/bad/restart", "POST")[0] == 204
    lines = client(running, "logs").splitlines()
    assert any("audit: somebody at 127.0.0.1: POST /connectors/bad/restart: 204" in x for x in lines)
    assert all(re.match(r"\d{4}-\d\d-\d\dT\S+Z (INFO |WARN |ERROR) ", line) for line in lines)
    events = [json.loads(line) for line in client(running, "logs", "--json").splitlines()]
    assert [e["number"] for e in events[: len(lines)]] == list(range(1, len(lines) + 1))
    later = running.json(f"/v1/events?after={events[-1]['number'] - 1}")
    assert later[0] == events[-1]
    running.json("/v1/events?after=x", 400)


def test_logs_are_followed(running):
    url = f"http://127.0.0.1:{running.port}"
    with sluice.Process("logs", "--follow", "--admin", url) as follower:
        wait_for(lambda: "admin" in follower.text(0), 30, "the lines so far")
        assert running.ask("/connectors/bad/restart?onlyFailed=true", "POST")[0] == 202
        wait_for(lambda: "bad/restart: 202" in follower.text(0), 30, "the next one")


def test_the_bundle_tells_no_secrets(running, tmp_path):
    file = tmp_path / "bundle.json"
    assert client(running, "bundle", file) == ""
    text = file.read_text()
    assert running.secret not in text and json.loads(client(running, "bundle")).keys()
    document = running.json("/v1/openapi.json")
    answer = document["paths"]["/v1/bundle"]["get"]["responses"]["200"]
    schema = answer["content"]["application/json"]["schema"]
    schema["components"] = document["components"]
    jsonschema.validate(json.loads(text), schema)
    url = f"http://127.0.0.1:{running.port}"
    again = sluice.run_command("bundle", file, "--admin", url, limit_s=30)
    assert again.exit_code == 1 and "it exists" in again.log


def test_bash_completes_commands_and_options(tmp_path):
    script = tmp_path / "sluice.bash"
    script.write_text(output("completion", "bash"))

    def complete(*words):
        program = (
            f"source {script}; COMP_WORDS=({' '.join(words)}); COMP_CWORD={len(words) - 1}; "
            "_sluice; printf '%s\\n' \"${COMPREPLY[@]}\""
        )
        done = subprocess.run(
            ["bash", "-uc", program], capture_output=True, text=True, cwd=ROOT, timeout=30
        )
        assert done.returncode == 0 and done.stderr == "", done.stderr
        return done.stdout.split()

    assert set(complete("sluice", "''")) == {*commands(), "help"}
    assert complete("sluice", "res") == ["resume", "restart"]
    for command in commands():
        wanted = {name for name, _, _ in HELP_OPTION.findall(output(command, "--help"))}
        assert set(complete("sluice", command, "--")) == wanted
    assert "deploy/demo" in complete("sluice", "validate", "deploy/de")


def test_zsh_takes_its_completion(tmp_path):
    script = output("completion", "zsh")
    assert script.startswith("#compdef sluice\n")
    for command in commands():
        assert f"\n    '{command}:" in script and f"\n    {command})\n" in script
    if shutil.which("zsh") is not None:
        subprocess.run(["zsh", "-n"], input=script, text=True, check=True, timeout=30)
    assert sluice.run_command("completion", "fish", limit_s=30).exit_code == 2


def test_the_manual_page_says_what_help_says():
    page = output("man")
    plain = re.sub(r"\\f[IRB]", "", page).replace("\\-", "-").replace("\\&", "")
    for command in commands():
        text = output(command, "--help")
        usage = text.splitlines()[0].removeprefix("Usage: sluice ").replace("[OPTION]... ", "")
        part = plain.split(f".SS sluice {usage.replace(' [OPTION]...', '')}\n", 1)
        assert len(part) == 2, usage
        part = part[1].split(".SS ")[0]
        assert text.splitlines()[2] in part
        for name, value, doc in HELP_OPTION.findall(text):
            if name != "--help":
                assert f".B {name}{' ' + value if value else ''}\n{doc}\n" in part, name
    if shutil.which("man") is not None:
        done = subprocess.run(
            ["man", "--warnings", "-l", "-"], input=page, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0 and "warning" not in done.stderr, done.stderr


def test_they_are_installed(tmp_path):
    done = subprocess.run(
        ["make", "-s", "install", f"PREFIX={tmp_path}", f"BUILD={sluice.BINARY.parent}"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    for path in ("man/man1/sluice.1", "bash-completion/completions/sluice", "zsh/site-functions/_sluice"):
        assert (tmp_path / "share" / path).stat().st_size > 1000
