"""Taps: rows of an edge as they flow, masked, sampled, while somebody looks at them."""

import http.client
import json
import socket
import time

import jsonschema
import pytest

from tests.integration.test_admin import Running, topology
from tests.integration.test_admin_access import bearer, entry
from tests.support import sluice
from tests.support.servers import ROOT, wait_for

LIMIT_S = 30


class Tap:
    """An answer of server-sent events, read one by one. The place of a client that has gone is free
    once the endpoint has noticed: `patient` waits for it."""

    def __init__(self, running, node, query="", headers=None, patient=True):
        self.port = running.port
        self.path = f"/v1/nodes/{node}/tap{query}"
        self.headers = headers or {}
        wait_for(lambda: self.ask() != 429 or not patient, LIMIT_S, "a free place")

    def ask(self):
        self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LIMIT_S)
        self.connection.request("GET", self.path, headers=self.headers)
        self.answer = self.connection.getresponse()
        return self.answer.status

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()

    def lines(self):
        while True:
            line = self.answer.readline()
            if not line:
                return
            yield line.decode().rstrip("\n")

    def looks(self):
        """Each look, as JSON."""
        event = None
        for line in self.lines():
            if line.startswith("event: "):
                event = line.removeprefix("event: ")
            elif line.startswith("data: "):
                assert event == "rows"
                yield json.loads(line.removeprefix("data: "))
            else:
                assert line in ("", ":")


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tap")
    path = topology(folder, tap={"mask": ["customer_id", "country"]})
    document = json.loads(path.read_text())
    document["sources"]["gen"]["config"]["invalid"] = 0.05
    path.write_text(json.dumps(document))
    with sluice.Process("run", path) as process:
        running = Running(process)
        wait_for(lambda: running.ask("/ready")[0] == 200, LIMIT_S, "readiness")
        yield running
        process.signal(15)
        assert process.wait(LIMIT_S).exit_code == 0


def test_typed_rows(running):
    with Tap(running, "silver") as tap:
        assert tap.answer.status == 200
        assert tap.answer.headers["Content-Type"] == "text/event-stream"
        look = next(tap.looks())
    assert look["node"] == "silver" and look["output"] == "" and look["source"] == "gen"
    assert 0 < len(look["rows"]) <= look["batch_rows"]
    schema = json.loads((ROOT / "deploy" / "demo" / "event.schema.json").read_text())
    for row in look["rows"]:
        assert set(schema["properties"]) <= set(row)
        assert row["country"] == "***" and row["event_id"] != "***"


def test_raw_records_are_masked_inside_of_their_json(running):
    with Tap(running, "gen") as tap:
        rows = [row for _, look in zip(range(3), tap.looks()) for row in look["rows"]]
    good = [row["value"] for row in rows if isinstance(row["value"], dict)]
    assert good and all(value.get("country", "***") == "***" for value in good)
    assert all(isinstance(row["value"], dict) or row["value"] == "***" for row in rows)
    assert any(value["event_id"] != "***" for value in good if "event_id" in value)


def test_rejects_do_not_quote_what_is_masked(running):
    with Tap(running, "silver", "?output=rejects") as tap:
        row = next(tap.looks())["rows"][0]
    assert row["detail"] == "***" and row["reason"] not in ("", "***")


def test_a_sink_shows_what_it_takes(running):
    with Tap(running, "bad") as tap:
        look = next(tap.looks())
        assert (look["node"], look["output"]) == ("silver", "rejects")
    with Tap(running, "silver", "?input=gen") as tap:
        assert next(tap.looks())["node"] == "gen"


def test_looks_are_as_described(running):
    document = running.json("/v1/openapi.json")
    schema = document["components"]["schemas"]["Look"]
    with Tap(running, "silver") as tap:
        jsonschema.validate(next(tap.looks()), schema)


def test_the_rate_is_bounded(running):
    with Tap(running, "silver", "?rows=3") as tap:
        started, rows = time.monotonic(), 0
        for look in tap.looks():
            rows += len(look["rows"])
            if rows >= 7:
                break
        assert rows == 7 and time.monotonic() - started > 1.9


@pytest.mark.parametrize(
    "path, status",
    [
        ("none/tap", 404),
        ("silver/tap?output=none", 404),
        ("silver/tap?input=none", 404),
        ("bad/tap?output=", 404),
        ("gen/tap?input=gen", 404),
        ("silver/tap?output=&input=gen", 400),
        ("silver/tap?rows=0", 400),
        ("silver/tap?rows=501", 400),
        ("silver/tap?rows=many", 400),
    ],
)
def test_what_is_refused(running, path, status):
    running.json(f"/v1/nodes/{path}", status)


def test_there_are_eight_and_the_places_come_free(running):
    """Clients that go leave their places to others; the pipeline goes on throughout."""
    rows = lambda: sum(n["inputs"][0]["rows"] for n in running.json("/v1/status")["nodes"] if n["inputs"])
    for _ in range(2):
        taps = []
        try:

            def full():
                taps.append(Tap(running, "silver", patient=False))
                return taps[-1].answer.status == 429

            wait_for(full, LIMIT_S, "the limit")
            assert sum(tap.answer.status == 200 for tap in taps) <= 8
            assert all(next(tap.looks()) for tap in taps[-9:-1])
        finally:
            for tap in taps:
                tap.connection.close()
        before = rows()
        wait_for(lambda: rows() > before, LIMIT_S, "rows")

        with Tap(running, "silver") as tap:
            assert tap.answer.status == 200


def test_a_client_that_does_not_read_holds_nobody_up(running):
    with Tap(running, "gen", "?rows=500"):
        taken = lambda: running.json("/v1/status")["nodes"][0]["outputs"][0]["rows"]
        before = taken()
        wait_for(lambda: taken() > before + 4000, LIMIT_S, "rows, whoever reads")


def test_a_restarted_node_is_seen_again(running):
    with Tap(running, "silver") as tap:
        looks = tap.looks()
        before = next(looks)
        assert running.ask("/connectors/silver/restart", "POST")[0] == 204
        for look in looks:
            if look["next_offset"] > before["next_offset"] + 3000:
                break


def test_who_may_look(tmp_path):
    users = [entry(role, role, "--token") for role in ("viewer", "operator")]
    (tmp_path / "users.json").write_text(json.dumps({"users": [user for user, _ in users]}))
    listen = {"listen": "127.0.0.1:0", "users": str(tmp_path / "users.json")}
    with sluice.Process("run", topology(tmp_path, admin=listen)) as process:
        running = Running(process)
        wait_for(lambda: running.ask("/ready")[0] == 200, LIMIT_S, "readiness")
        assert running.ask("/v1/nodes/silver/tap")[0] == 401
        assert running.ask("/v1/nodes/silver/tap", headers=bearer(users[0][1]))[0] == 403
        with Tap(running, "silver", headers=bearer(users[1][1])) as tap:
            row = next(tap.looks())["rows"][0]
            assert row["country"] != "***"
            assert "audit: operator at 127.0.0.1 looks at rows: /v1/nodes/silver/tap" in process.text(1)
            process.signal(15)  # its end ends the tap
            assert process.wait(LIMIT_S).exit_code == 0


def test_a_change_of_the_users_ends_taps(tmp_path):
    """Also of a client that does not read, whose end is only queued: beats pass over it."""
    users = [entry(role, "operator", "--token") for role in ("staying", "going")]
    path = tmp_path / "users.json"
    path.write_text(json.dumps({"users": [user for user, _ in users]}))
    listen = {"listen": "127.0.0.1:0", "users": str(path)}
    with sluice.Process("run", topology(tmp_path, admin=listen)) as process:
        running = Running(process)
        staying = bearer(users[0][1])
        wait_for(lambda: running.ask("/ready")[0] == 200, LIMIT_S, "readiness")
        with Tap(running, "silver", headers=bearer(users[1][1])) as tap:
            looks = tap.looks()
            next(looks)
            with Tap(running, "gen", "?rows=500", headers=staying) as deaf:
                deaf.connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                path.write_text(json.dumps({"users": [users[0][0]]}))
                anew = "the file of admin.users has changed"
                wait_for(
                    lambda: running.ask("/connectors", headers=staying)[0] == 200
                    and anew in process.text(1),
                    LIMIT_S,
                    "the change",
                )
                assert sum(1 for _ in looks) >= 0  # to its end
                began = time.monotonic()
                wait_for(lambda: time.monotonic() - began > 3.5, LIMIT_S, "a beat")
                assert running.ask("/health")[0] == 200
        process.signal(15)
        assert process.wait(LIMIT_S).exit_code == 0


@pytest.mark.parametrize(
    "more, status",
    [
        ({"tap": {"enabled": False}}, 403),
        ({"admin": {"listen": "127.0.0.1:0", "insecure": True}}, 403),
        ({"admin": {"listen": "127.0.0.1:0", "insecure": True}, "tap": {}}, 404),
    ],
)
def test_it_can_be_forbidden(tmp_path, more, status):
    with sluice.Process("run", topology(tmp_path, **more)) as process:
        Running(process).json("/v1/nodes/none/tap", status)
        process.signal(15)
        process.wait(LIMIT_S)


def tap(running, *arguments):
    url = f"http://127.0.0.1:{running.port}"
    return sluice.run_command("tap", *arguments, "--admin", url, limit_s=LIMIT_S)


def test_the_command_prints_rows(running):
    done = tap(running, "silver", "--rows", "100", "--count", "25")
    assert done.exit_code == 0, done.log
    rows = [json.loads(line) for line in done.output.splitlines()]
    assert len(rows) == 25 and all(row["country"] == "***" for row in rows)
    done = tap(running, "silver.rejects", "--count", "1", "--json")
    assert done.exit_code == 0 and json.loads(done.output)["output"] == "rejects"
    done = tap(running, "silver.rejects", "--output", "")
    assert done.exit_code == 2 and "--output" in done.log
    done = tap(running, "bad", "--count", "1", "--json")
    assert done.exit_code == 0 and json.loads(done.output)["output"] == "rejects"


def test_the_command_says_what_cannot_be(running):
    for arguments, sentence in [
        (["none"], "not found; the nodes are"),
        (["silver.late"], 'no output "late"; its outputs: "silver", "silver.rejects" (404)'),
        (["silver", "--input", "a b"], 'no input "a b"; its inputs: "gen" (404)'),
        (["silver", "--rows", "x"], 'rows is "x"'),
        (["silver", "--count", "0"], 'allowed is a number from 1'),
    ]:
        done = tap(running, *arguments)
        assert done.exit_code in (1, 2) and sentence in done.log, done.log
