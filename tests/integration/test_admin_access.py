"""Who may ask the admin endpoint, and change something: users, roles, TLS, browsers, the audit."""

import base64
import json
import re
import socket
import ssl
import subprocess
import threading
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.integration.test_admin import Running, topology
from tests.support import sluice
from tests.support.servers import wait_for

PASSWORD = "correct horse battery"
ROLES = ["viewer", "operator", "admin"]


def entry(name, role, *options):
    """(the entry, the token or None)"""
    made = subprocess.run(
        [str(sluice.BINARY), "admin-user", *options, name, role],
        input=PASSWORD + "\n",
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    found = re.search(r"^token: (\S+)$", made.stderr, re.M)
    return json.loads(made.stdout), found.group(1) if found else None


def basic(name, password=PASSWORD):
    text = base64.b64encode(f"{name}:{password}".encode()).decode()
    return {"Authorization": f"Basic {text}"}


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture(scope="module")
def users(tmp_path_factory):
    """(the file, token by role)"""
    made = [entry(f"{role}-token", role, "--token") for role in ROLES]
    with_password, no_token = entry("petra", "operator")
    assert no_token is None
    path = tmp_path_factory.mktemp("users") / "users.json"
    path.write_text(json.dumps({"users": [e for e, _ in made] + [with_password]}))
    assert PASSWORD not in path.read_text()
    return path, {role: token for role, (_, token) in zip(ROLES, made)}


@pytest.fixture(scope="module")
def guarded(users, tmp_path_factory):
    folder = tmp_path_factory.mktemp("guarded")
    listen = {"listen": "127.0.0.1:0", "users": str(users[0])}
    with sluice.Process("run", topology(folder, admin=listen)) as process:
        running = Running(process)
        wait_for(lambda: running.ask("/ready")[0] == 200, 30, "readiness")
        yield running
        process.signal(15)
        assert process.wait(30).exit_code == 0


def test_without_credentials(guarded):
    status, headers, body = guarded.ask("/connectors")
    assert status == 401 and json.loads(body)["error_code"] == 401
    assert headers["WWW-Authenticate"].startswith("Basic realm=")
    assert guarded.ask("/connectors/good/restart", "POST")[0] == 401
    assert guarded.ask("/metrics")[0] == 401
    assert guarded.ask("/health")[0] == 200 and guarded.ask("/ready")[0] == 200


@pytest.mark.parametrize(
    "role, restart, log_level",
    [("viewer", 403, 403), ("operator", 204, 403), ("admin", 409, 200)],
)
def test_roles(guarded, users, role, restart, log_level):
    who = bearer(users[1][role])
    assert guarded.ask("/connectors", headers=who)[0] == 200
    plugin = "/connector-plugins/bronze-sink/config/validate"
    assert guarded.ask(plugin, "PUT", "{}", who)[0] == 200
    status, _, body = guarded.ask("/connectors/good/restart", "POST", headers=who)
    assert status == restart or (restart == 409 and status == 204), body
    level = '{"level": "INFO"}'
    assert guarded.ask("/admin/loggers/root", "PUT", level, who)[0] == log_level
    audit = f"audit: {role}-token at 127.0.0.1: POST /connectors/good/restart: {status}"
    assert audit in guarded.process.text(1)


def test_passwords(guarded):
    for headers, status in [
        (basic("petra"), 200),
        (basic("petra", "wrong"), 401),
        (basic("viewer-token"), 401),
        (basic("nobody"), 401),
        ({"Authorization": "Basic !!!!"}, 401),
        ({"Authorization": "Bearer petra." + PASSWORD}, 401),
        ({"Authorization": "Digest x"}, 401),
    ]:
        assert guarded.ask("/connectors", headers=headers)[0] == status, headers
    assert PASSWORD not in guarded.process.text(1)


def test_failed_logins_are_limited_and_known_ones_go_on(guarded, users):
    """Who has logged in before is not shut out by those who guess."""
    who = bearer(users[1]["viewer"])
    assert guarded.ask("/connectors", headers=who)[0] == 200
    guess = bearer("viewer-token." + "0" * 64)
    wait_for(lambda: guarded.ask("/connectors", headers=guess)[0] == 429, 30, "the limit")
    status, headers, _ = guarded.ask("/connectors", headers=guess)
    assert status == 429 and headers["Retry-After"] == "1"
    assert guarded.ask("/connectors", headers=who)[0] == 200


def test_the_command_line_has_a_token(guarded, users):
    url = f"http://127.0.0.1:{guarded.port}"
    done = sluice.run_command("status", "--admin", url, limit_s=30)
    assert done.exit_code == 1 and "(401); a user's token is taken from SLUICE_ADMIN_TOKEN" in done.log
    token = {"SLUICE_ADMIN_TOKEN": users[1]["viewer"]}
    done = sluice.run_command("status", "--admin", url, limit_s=30, env=token)
    assert done.exit_code == 0, done.log
    done = sluice.run_command("restart", "good", "--admin", url, limit_s=30, env=token)
    assert done.exit_code == 1 and "operator (403)" in done.log


def test_pages_of_others_change_nothing(tmp_path):
    with sluice.Process("run", topology(tmp_path)) as process:
        running = Running(process)
        wait_for(lambda: running.ask("/ready")[0] == 200, 30, "readiness")
        own = f"127.0.0.1:{running.port}"
        path = "/connectors/good/restart?onlyFailed=true"
        for headers, status in [
            ({"Origin": "http://evil.example"}, 403),
            ({"Origin": "null"}, 403),
            ({"Origin": f"http://{own}"}, 202),
            ({"Host": "evil.example"}, 403),
            ({"Host": "127.evil.example"}, 403),
            ({"Host": f"localhost:{running.port}"}, 202),
        ]:
            assert running.ask(path, "POST", headers=headers)[0] == status, headers
        assert running.ask("/v1/topology", headers={"Host": "evil.example"})[0] == 403
        process.signal(15)
        process.wait(30)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    made = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=sluice"
    subprocess.run(
        ["openssl", *made.split(), "-addext", "subjectAltName=IP:127.0.0.1"]
        + ["-keyout", folder / "key.pem", "-out", folder / "cert.pem"],
        check=True,
        capture_output=True,
        timeout=60,
    )
    return folder / "cert.pem", folder / "key.pem"


def test_tls(users, certificate, tmp_path):
    admin = {
        "listen": "0.0.0.0:0",
        "users": str(users[0]),
        "tls.cert": str(certificate[0]),
        "tls.key": str(certificate[1]),
    }
    with sluice.Process("run", topology(tmp_path, admin=admin)) as process:
        address = re.compile(r"https://0\.0\.0\.0:(\d+)")
        process.wait_for(lambda: address.search(process.text(1)), 30, "its address")
        url = "https://127.0.0.1:" + address.search(process.text(1)).group(1)
        context = ssl.create_default_context(cafile=str(certificate[0]))
        with urllib.request.urlopen(url + "/health", timeout=10, context=context) as answer:
            assert answer.status == 200
        done = sluice.run_command(
            *["status", "--admin", url, "--ca", certificate[0]],
            limit_s=30,
            env={"SLUICE_ADMIN_TOKEN": users[1]["viewer"]},
        )
        assert done.exit_code == 0 and "bronze" in done.output, done.log
        assert "without TLS" not in process.text(1)
        process.signal(15)
        assert process.wait(30).exit_code == 0


@pytest.mark.parametrize(
    "admin, sentence",
    [
        ({"listen": "0.0.0.0:0"}, "nobody is asked who he is"),
        ({"users": "none.json"}, "none.json cannot be read"),
        ({"tls.cert": "cert.pem"}, "tls.key is missing"),
        ({"tls.client_ca": "ca.pem"}, "which takes TLS"),
        ({"tls.cert": "topology.json", "tls.key": "topology.json"}, "a certificate (PEM)"),
        ({"users": "topology.json"}, "holds no users"),
        ({"users": "twice.json"}, 'entry 2: its "name" stands there twice'),
        ({"users": "plain.json"}, "has to be a hash as sluice admin-user makes it"),
        ({"users": "role.json"}, "allowed are viewer, operator, admin"),
    ],
)
def test_what_is_refused(users, tmp_path, admin, sentence):
    good = json.loads(users[0].read_text())["users"][0]
    for name, entries in {
        "twice": [good, good],
        "plain": [{"name": "a", "role": "admin", "password": "secret"}],
        "role": [{**good, "role": "root"}],
    }.items():
        (tmp_path / f"{name}.json").write_text(json.dumps({"users": entries}))
    run = sluice.run_command(
        "run", topology(tmp_path, admin={"listen": "127.0.0.1:0", **admin}), limit_s=30
    )
    assert run.exit_code == 2 and sentence in run.log, run.log


def openssl(folder, *arguments):
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True, timeout=60)


EC = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes".split()


@pytest.fixture(scope="module")
def clients(tmp_path_factory):
    """A folder with an authority, certificates of petra and otto that it has signed, one for
    servers only, and one that somebody else has signed."""
    folder = tmp_path_factory.mktemp("clients")
    for ca in ("ca", "other-ca"):
        made = ["-x509", *EC, "-days", "2", "-subj", f"/CN={ca}"]
        openssl(folder, "req", *made, "-keyout", f"{ca}.key", "-out", f"{ca}.pem")
    for name, ca, purpose in [
        ("petra", "ca", "clientAuth"),
        ("otto", "ca", "clientAuth"),
        ("server", "ca", "serverAuth"),
        ("stranger", "other-ca", "clientAuth"),
    ]:
        openssl(folder, "req", *EC, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", "csr")
        (folder / "purpose").write_text(f"extendedKeyUsage={purpose}\n")
        signed = ["-CA", f"{ca}.pem", "-CAkey", f"{ca}.key", "-extfile", "purpose", "-days", "2"]
        openssl(folder, "x509", "-req", "-in", "csr", *signed, "-out", f"{name}.pem")
    return folder


def started_with_tls(process):
    address = re.compile(r"https://127\.0\.0\.1:(\d+)")
    process.wait_for(lambda: address.search(process.text(1)), 30, "its address")
    return "https://127.0.0.1:" + address.search(process.text(1)).group(1)


@pytest.mark.parametrize("with_users", [False, True])
def test_mutual_tls(users, certificate, clients, tmp_path, with_users):
    admin = {
        "listen": "127.0.0.1:0",
        "tls.cert": str(certificate[0]),
        "tls.key": str(certificate[1]),
        "tls.client_ca": str(clients / "ca.pem"),
    }
    if with_users:
        document = json.loads(users[0].read_text())
        document["users"].append({"name": "otto", "role": "viewer", "certificate": True})
        (tmp_path / "users.json").write_text(json.dumps(document))
        admin["users"] = str(tmp_path / "users.json")
    with sluice.Process("run", topology(tmp_path, admin=admin)) as process:
        url = started_with_tls(process)

        def asked(name, *order, token=None):
            shown = ["--cert", clients / f"{name}.pem", "--key", clients / f"{name}.key"]
            env = {"SLUICE_ADMIN_TOKEN": token} if token else None
            arguments = [*order, "--admin", url, "--ca", certificate[0], *(shown if name else [])]
            return sluice.run_command(*arguments, limit_s=30, env=env)

        for name in (None, "stranger", "server"):
            done = asked(name, "status")
            assert done.exit_code == 1 and "certificate is needed" in done.log, (name, done.log)
        context = ssl.create_default_context(cafile=str(certificate[0]))
        with urllib.request.urlopen(url + "/health", timeout=10, context=context) as answer:
            assert answer.status == 200  # a probe has no certificate
        if not with_users:
            assert asked("petra", "status").exit_code == 0
            assert asked("petra", "restart", "good").exit_code == 0
        else:
            assert "(401)" in asked("petra", "status").log  # no such user without a password
            assert asked("petra", "status", token=users[1]["viewer"]).exit_code == 0
            assert asked("otto", "status").exit_code == 0
            assert "operator (403)" in asked("otto", "restart", "good").log
        process.signal(15)
        assert process.wait(30).exit_code == 0


def test_the_loop_turns_while_a_password_is_checked(guarded):
    """Log-ins are checked beside the control loop: many at once, and others are answered meanwhile."""
    with ThreadPoolExecutor(8) as pool:
        wrong = [pool.submit(guarded.ask, "/connectors", headers=basic("petra", f"{n}")) for n in range(8)]
        assert guarded.ask("/health")[0] == 200
        assert {answer.result()[0] for answer in wrong} <= {401, 429}
    assert guarded.ask("/connectors", headers=basic("petra"))[0] in (200, 429)


def test_the_users_are_read_anew(users, tmp_path):
    path = tmp_path / "users.json"
    all_users = json.loads(users[0].read_text())["users"]
    path.write_text(json.dumps({"users": all_users}))
    admin = {"listen": "127.0.0.1:0", "users": str(path)}
    with sluice.Process("run", topology(tmp_path, admin=admin)) as process:
        running = Running(process)
        status = lambda role: running.ask("/connectors", headers=bearer(users[1][role]))[0]
        assert [status(role) for role in ROLES] == [200] * 3
        path.write_text(json.dumps({"users": [u for u in all_users if u["role"] != "viewer"]}))
        wait_for(lambda: status("viewer") == 401, 30, "the change")
        assert status("admin") == 200
        path.write_text("{")
        wait_for(lambda: status("admin") == 200 and "stay as they were" in process.text(1), 30, "a word")
        path.write_text(json.dumps({"users": all_users}))
        wait_for(lambda: status("viewer") == 200, 30, "the next change")
        process.signal(15)
        assert process.wait(30).exit_code == 0


def test_insecure_is_said_and_warned_of(tmp_path):
    admin = {"listen": "0.0.0.0:0", "insecure": True}
    with sluice.Process("run", topology(tmp_path, admin=admin)) as process:
        process.wait_for(lambda: "without TLS" in process.text(1), 30, "the warning")
        process.signal(15)
        process.wait(30)


def burst(running, requests):
    """The statuses of so many requests for /health, sent without waiting for answers."""
    request = b"GET /health HTTP/1.1\r\nHost: localhost\r\n"
    sent = request + b"\r\n"
    last = request + b"Connection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", running.port), timeout=30) as connection:
        sender = threading.Thread(target=connection.sendall, args=[sent * (requests - 1) + last])
        sender.start()
        answers = b"".join(iter(lambda: connection.recv(1 << 16), b""))
        sender.join()
    return [int(status) for status in re.findall(rb"^HTTP/1.1 (\d+) ", answers, re.M)], answers


def test_too_many_requests_are_refused_and_soon_answered_again(guarded):
    seen = set()

    def refused():
        statuses, answers = burst(guarded, 3000)
        seen.update(statuses)
        assert len(statuses) == 3000 and (429 not in seen or b"Retry-After: 1" in answers)
        return 429 in seen

    wait_for(refused, 60, "the limit")
    assert seen == {200, 429}
    wait_for(lambda: guarded.ask("/health")[0] == 200, 30, "an answer")
