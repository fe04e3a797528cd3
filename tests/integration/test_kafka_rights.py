"""Rights that are missing, on a real broker with ACLs: whoever is not allowed something fails at once,
with one sentence that says who wants to do what and which right to grant, and goes on after a
restart once that is granted."""

import itertools
import json
import re

import pytest

from tests.support import sluice

LIMIT_S = 60
RECORDS = 100
USER = "sluice"
_numbers = itertools.count(1)


class Copy:
    """A topology that copies a topic exactly once, by a user who has no right at all."""

    def __init__(self, broker, folder):
        self._broker, self._folder = broker, folder
        self.pipeline = f"rights-{next(_numbers)}"
        self.source, self.target = f"{self.pipeline}-in", f"{self.pipeline}-out"
        group, positions = f"sluice-{self.pipeline}-in", f"sluice/{self.pipeline}/out"
        self.rights = {
            "read": ("READ", "TOPIC", self.source, False),
            "join": ("READ", "GROUP", group, False),
            "write": ("WRITE", "TOPIC", self.target, False),
            "begin": ("WRITE", "TRANSACTIONAL_ID", positions, True),
            "keep": ("READ", "GROUP", f"{positions}/", True),
            "commit": ("READ", "TOPIC", self.target, False),
        }
        self.sentences = {
            "read": (f'read the topic "{self.source}"', "READ on it"),
            "join": (f'join the group "{group}"', "READ on it"),
            "write": (
                f'write to the topic "{self.target}"',
                "WRITE on it, and READ to commit positions under its name",
            ),
            "begin": (
                f'use the transactional id "{positions}/[^"]+"',
                f'WRITE on it, and on those that begin with "{positions}"',
            ),
            "keep": (
                f'keep a position in the group "{positions}/in/in/{self.source}/[01]"',
                f'READ on the groups that begin with "{positions}/"',
            ),
            "commit": (
                f'commit positions under the topic "{self.target}"',
                "READ on it, beside WRITE",
            ),
        }

    def write(self, sink=None, **top):
        secrets = self._broker.secrets
        document = {
            "pipeline": self.pipeline,
            "state": str(self._folder / "state"),
            "commit.interval": "100ms",
            "kafka": {
                "bootstrap.servers": self._broker.sasl,
                "security.protocol": "sasl_ssl",
                "ssl.ca.location": str(secrets / "ca.pem"),
                "sasl.mechanism": "PLAIN",
                "sasl.username": USER,
                "sasl.password": (secrets / "password").read_text(),
            },
            "sources": {"in": {"plugin": "kafka", "config": {"topics": [self.source]}}},
            "sinks": {
                "out": {
                    "plugin": "kafka",
                    "inputs": ["in"],
                    "config": {"topic": self.target, "delivery": "exactly-once", **(sink or {})},
                }
            },
            **top,
        }
        path = self._folder / "topology.json"
        path.write_text(json.dumps(document))
        return path

    def allow(self, name, operation=None):
        usual, kind, resource, prefixed = self.rights[name]
        self._broker.allow(USER, operation or usual, kind, resource, prefixed)

    def refusal(self, name):
        action, right = self.sentences[name]
        return (
            rf'{self._broker.sasl} does not allow the user "{USER}" to {action} '
            rf"\(Broker: [A-Za-z ]+ authorization failed\): grant {right}.*, then restart the node"
        )

    def copied(self):
        return sum(1 for _ in self._broker.messages(self.target))


@pytest.fixture
def copy(own_broker, tmp_path):
    copy = Copy(own_broker, tmp_path)
    for name in (copy.source, copy.target):
        own_broker.create_topic(name, 2)
    own_broker.produce(copy.source, [{"value": b"%d" % i} for i in range(RECORDS)])
    try:
        # a right of somebody ends everybody else's
        for kind in ("TOPIC", "GROUP", "TRANSACTIONAL_ID"):
            own_broker.allow("nobody", "ALL", kind, "*")
        own_broker.allow("nobody", "ALL", "BROKER", "kafka-cluster")
        yield copy
    finally:
        own_broker.forget_rights()


def test_each_right_is_asked_for_until_all_are_granted(copy):
    path = copy.write(**{"restart.after": "100ms"})
    with sluice.Process("run", "--until-end", "--json", path) as process:
        for name in ("read", "join", "write", "begin", "keep", "commit"):
            node = "in" if name in ("read", "join") else "out"
            failed = re.compile(f"ERROR {node}: (FAILED|cannot be restarted): .*{copy.refusal(name)}")
            process.wait_for(lambda f=failed: f.search(process.text(1)), LIMIT_S, name)
            copy.allow(name)
        done = process.wait(LIMIT_S)
    assert done.exit_code == 0, done.failed_because()
    assert copy.copied() == RECORDS


LESSER = [
    ("read", "in", "DESCRIBE", {}),
    ("join", "in", "DESCRIBE", {}),
    ("begin", "out", "DESCRIBE", {}),
    ("keep", "out", "DESCRIBE", {}),
    ("write", "out", "DESCRIBE", {}),
    ("write", "out", "DESCRIBE", {"delivery": "at-least-once"}),
]


@pytest.mark.parametrize("name, node, lesser, sink", LESSER)
def test_a_lesser_right_is_not_enough(copy, name, node, lesser, sink):
    """What is found out only later: the resource may be seen, but not used."""
    for right in copy.rights:
        copy.allow(right, lesser if right == name else None)
    if sink:
        copy.sentences["write"] = (copy.sentences["write"][0], "WRITE on it")
    run = sluice.run_command("run", "--until-end", "--json", copy.write(sink), limit_s=LIMIT_S)
    assert run.exit_code == 1, run.failed_because()
    assert re.search(copy.refusal(name), run.node(node)["failure"]), run.node(node)["failure"]
    assert len(re.findall(f" ERROR {node}: .*authorization failed", run.log)) == 1, run.log
    assert copy.copied() == 0
