"""The command line as a client of a running sluice: status, top, orders, plan, apply, offsets."""

import json
import os
import pty
import re
import select
import signal
import subprocess

import pytest

from tests.integration.test_admin import Running, restarts, topology
from tests.support import sluice
from tests.support.servers import wait_for


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    folder = tmp_path_factory.mktemp("client")
    with sluice.Process("run", topology(folder)) as process:
        running = Running(process)
        wait_for(lambda: running.ask("/ready")[0] == 200, 30, "readiness")
        wait_for(lambda: running.json("/v1/status")["nodes"][-1]["commits"] > 0, 30, "commits")
        yield running
        process.signal(15)
        assert process.wait(30).exit_code == 0


def client(running, *arguments):
    return sluice.run_command(
        *arguments, "--admin", f"http://127.0.0.1:{running.port}", limit_s=30
    )


def test_status_is_a_table(running):
    done = client(running, "status")
    assert done.exit_code == 0, done.log
    totals, empty, titles, *rows = done.output.splitlines()
    assert totals.startswith("up ") and empty == ""
    assert re.split(r"\s{2,}", titles)[:6] == ["NODE", "KIND", "STATE", "ROWS", "ROWS/S", "LAG"]
    cells = {row.split()[0]: re.split(r"\s{2,}", row) for row in rows}
    assert sorted(cells) == ["bad", "bronze", "gen", "good", "silver"]
    assert cells["gen"][1:3] == ["source", "running"]
    assert all(int(c[3].replace(",", "")) > 0 for c in cells.values())
    assert cells["bronze"][5].endswith(" %")
    assert "\033" not in done.output


def test_status_as_json(running):
    done = client(running, "status", "--json")
    assert done.exit_code == 0, done.log
    assert [n["name"] for n in done.summary["nodes"]] == running.json("/connectors")


def rates(running):
    """Rows a second that flow into each node now; of the source, out of it."""
    nodes = running.json("/v1/status")["nodes"]
    edges = {n["name"]: n["inputs"] or n["outputs"] for n in nodes}
    return {name: sum(e["rows_per_second"] for e in of) for name, of in edges.items()}


def test_rates_are_those_of_now(running):
    wait_for(lambda: min(rates(running).values()) > 0, 30, "rows over every edge")
    assert client(running, "pause", "good").exit_code == 0
    wait_for(lambda: rates(running)["good"] == 0, 30, "no rows to a paused node")
    assert rates(running)["silver"] > 0
    done = client(running, "status")
    (row,) = [row for row in done.output.splitlines() if row.startswith("good ")]
    assert re.split(r"\s{2,}", row)[2:5:2] == ["paused", "0"], row
    assert client(running, "resume", "good").exit_code == 0
    wait_for(lambda: rates(running)["good"] > 0, 30, "rows to a resumed node")


def test_restart(running):
    before = restarts(running, "good")
    done = client(running, "restart", "good")
    assert done.exit_code == 0, done.log
    wait_for(lambda: restarts(running, "good") > before, 30, "the restart's end")


def test_orders(running):
    def state():
        return running.json("/connectors/good/status")["connector"]["state"]

    for order, then in (("pause", "PAUSED"), ("stop", "STOPPED"), ("resume", "RUNNING")):
        done = client(running, order, "good")
        assert done.exit_code == 0 and done.output == "", done.log
        wait_for(lambda: state() == then, 30, then)
    done = client(running, "resume", "good", "--json")
    assert done.exit_code == 0 and done.summary["connector"]["state"] == "RUNNING", done.log


def test_offsets(running):
    done = client(running, "offsets", "bronze", "--json")
    assert done.exit_code == 0, done.log
    there = running.json("/connectors/bronze/offsets")["offsets"]
    assert [o["partition"] for o in done.summary["offsets"]] == [o["partition"] for o in there]
    done = client(running, "offsets", "bronze")
    titles, *rows = done.output.splitlines()
    assert titles.split() == ["TOPIC", "PARTITION", "NEXT", "OFFSET"] and len(rows) == len(there)
    assert all(int(row.split()[-1]) > 0 for row in rows)


def changed(running, tmp_path):
    """The topology that runs, with a slower bronze, in a file."""
    document = running.json("/v1/topology")
    document["sinks"]["bronze"]["commit.interval"] = "3s"
    path = tmp_path / "next.json"
    path.write_text(json.dumps(document, indent=2))
    return path


def test_plan(running, tmp_path):
    path = changed(running, tmp_path)
    done = client(running, "plan", path)
    assert done.exit_code == 0, done.log
    assert "bronze" in done.output and "commit.interval" in done.output
    assert "4 nodes are kept" in done.output
    done = client(running, "plan", path, "--json")
    actions = {n["name"]: n["action"] for n in done.summary["plan"]["nodes"]}
    assert actions.pop("bronze") == "changed" and set(actions.values()) == {"kept"}
    assert done.summary["applied"] is False
    assert "commit.interval" not in running.json("/v1/topology")["sinks"]["bronze"]


def test_apply(running, tmp_path):
    path = changed(running, tmp_path)
    before = running.json("/v1/topology")
    done = client(running, "apply", path)
    assert done.exit_code == 0, done.log
    assert "commit.interval" in done.output and done.output.endswith("Applied.\n")
    assert running.json("/v1/topology")["sinks"]["bronze"]["commit.interval"] == "3s"
    path.write_text(json.dumps(before))
    done = client(running, "apply", path, "--json")
    assert done.exit_code == 0 and done.summary["applied"] is True, done.log
    assert running.json("/v1/topology") == before


def test_plan_against_a_file(running, tmp_path):
    old = tmp_path / "old.json"
    old.write_text(json.dumps(running.json("/v1/topology")))
    path = changed(running, tmp_path)
    done = sluice.run_command("plan", path, "--from", old, "--json", limit_s=30)
    assert done.exit_code == 0, done.log
    assert [n["name"] for n in done.summary["nodes"] if n["action"] != "kept"] == ["bronze"]
    done = sluice.run_command("plan", path, "--from", old, limit_s=30)
    assert "4 nodes are kept" in done.output
    path.write_text("{}")
    done = sluice.run_command("plan", path, "--from", old, limit_s=30)
    assert done.exit_code == 2 and "$.pipeline" in done.log


def test_what_cannot_be_done_is_said(running, tmp_path):
    done = client(running, "restart", "a b?")
    assert done.exit_code == 2 and "Connector a b? not found; the nodes are " in done.log
    done = client(running, "restart", "brnze")
    assert done.exit_code == 2 and "Connector brnze not found; did you mean bronze? (404)" in done.log
    path = tmp_path / "bad.json"
    path.write_text('{"pipeline": "admin-test",\n "sinks": []}')
    done = client(running, "apply", path)
    assert done.exit_code == 2 and "line 2, column 11: $.sinks: found an array" in done.log
    done = sluice.run_command("status", "--admin", "http://127.0.0.1:1", limit_s=30)
    assert done.exit_code == 1 and "127.0.0.1:1" in done.log and "--admin URL" in done.log
    done = sluice.run_command("status", "--admin", "no url", limit_s=30)
    assert done.exit_code != 0 and done.log.startswith("sluice: ")


def test_what_anybody_sends_is_no_line_of_its_own(running):
    config = {"connector.class": "stdout", "inputs": "shop", "tasks.max": "1"}
    body = json.dumps({"name": "x\nFORGED\x1b[2J", "config": config})
    assert running.ask("/connectors", "POST", body)[0] == 400
    assert running.ask("/connectors/%1b%5d0%07%0aFORGED/restart", "POST")[0] == 404
    for told in (client(running, "logs").output, running.process.text(1)):
        assert "FORGED" in told and "\x1b" not in told
        assert not any(line.startswith("FORGED") for line in told.splitlines())


def test_top_without_a_terminal_prints_once(running):
    done = client(running, "top")
    assert done.exit_code == 0 and "HELD BACK BY" in done.output and "\033" not in done.output


def test_top_prints_lines_for_programs(running):
    command = [sluice.BINARY, "top", "--json", "--admin", f"http://127.0.0.1:{running.port}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        first, second = (json.loads(process.stdout.readline()) for _ in range(2))
        process.terminate()
        assert process.wait(30) == 0
    assert [n["name"] for n in first["nodes"]] == [n["name"] for n in second["nodes"]]
    assert second["elapsed_us"] > first["elapsed_us"]


class Terminal:
    """`sluice top` on a terminal of its own."""

    def __init__(self, running):
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen(
            [str(sluice.BINARY), "top", "--admin", f"http://127.0.0.1:{running.port}"],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**os.environ, "TERM": "xterm"},
        )
        os.close(slave)
        self.shown = b""

    def drawn(self):
        while select.select([self.master], [], [], 0)[0]:
            try:
                got = os.read(self.master, 65536)
            except OSError:
                break
            if not got:
                break
            self.shown += got
        return self.shown.count(b"\033[H\033[J")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait(30)
        os.close(self.master)


@pytest.mark.parametrize("end", ["q", "signal"])
def test_top_draws_until_it_is_told_to_end(running, end):
    with Terminal(running) as terminal:
        wait_for(lambda: terminal.drawn() >= 3, 30, "three drawings")
        if end == "q":
            os.write(terminal.master, b"q")
        else:
            terminal.process.send_signal(signal.SIGINT)
        wait_for(lambda: terminal.process.poll() is not None, 30, "its end")
        assert terminal.process.returncode == 0
        terminal.drawn()
        assert terminal.shown.endswith(b"\033[?25h\033[?1049l")
        assert b"bronze" in terminal.shown


def test_who_holds_whom_back(tmp_path):
    """A sink slower than its source holds it back, and the table says so."""
    path = topology(tmp_path)
    document = json.loads(path.read_text())
    document["sources"]["gen"]["config"] = {}
    document["sinks"] = {"bronze": {**document["sinks"]["bronze"], "buffer": "1KiB"}}
    document["transforms"] = {}
    path.write_text(json.dumps(document))
    with sluice.Process("run", path) as process:
        running = Running(process)

        def row():
            done = client(running, "status")
            assert done.exit_code == 0, done.log + process.text(1)
            (line,) = [x for x in done.output.splitlines() if x.startswith("gen ")]
            return line

        wait_for(lambda: row().endswith(" bronze"), 30, "the source waits for bronze")
        process.signal(signal.SIGTERM)
        process.wait(30)
