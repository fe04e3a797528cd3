"""Faults of the store that is reached by HTTP: the same layers with tables and state on Azurite,
behind a proxy. An undisturbed run lists the requests by kind, and each kind fails once in each way."""

import itertools
import re
from collections import Counter
from urllib.parse import parse_qs, urlsplit

from tests.doubles.fault_proxy import FaultProxy
from tests.faults import lake
from tests.faults.faults import Fault, judge
from tests.faults.lake import Broken

FAULTS = ("busy", "throttled", "reset", "acted")
KEY = "SLUICE_FAULTS_ACCOUNT_KEY"
_KINDS = (
    (r"_delta_log/\d{20}\.json$", "log-entry"),
    (r"_delta_log/.*checkpoint", "checkpoint"),
    (r"\.parquet$", "data-file"),
    (r"\.seg$", "segment"),
    (r"state/nodes/[^/]+/log/", "chain-entry"),
    (r"state/", "state"),
    (r"", "folder"),
)


def kind_of(command, target):
    """ "PUT log-entry", "GET folder list": the method, what it is about, the operation."""
    parts = urlsplit(target)
    query = parse_qs(parts.query)
    path = query.get("prefix", [""])[0] or parts.path
    about = next(kind for pattern, kind in _KINDS if re.search(pattern, path))
    return " ".join([command, about, *query.get("comp", [])])


class Listing(FaultProxy):
    """Counts the requests by kind; the n-th of one kind, or all from there on, meet a fault."""

    def __init__(self, upstream):
        super().__init__(upstream, share=0)
        self.expect(None, 0, None, False)

    def expect(self, kind, n, fault, lasting):
        with self._lock:
            self.calls, self.fired = Counter(), 0
            self._kind, self._n, self._fault, self._lasting = kind, n, fault, lasting

    def _draw(self, command, path):
        kind = kind_of(command, path)
        with self._lock:
            self.calls[kind] += 1
            count = self.calls[kind]
            due = count == self._n or (self._lasting and count > self._n)
            if kind != self._kind or not due:
                return None
            self.fired += 1
            return self._fault


class HttpBench:
    """`folder` for topologies; `truth` as in faults.Bench; `azurite` has a container "faults", and
    its key is in the environment under KEY."""

    def __init__(self, folder, truth, azurite, proxy, seed=0):
        self.folder, self.truth, self.azurite, self.proxy = folder, truth, azurite, proxy
        self._numbers = itertools.count(seed)
        self.calls = None
        told = self._attempt()
        if told != "not reached":
            raise Broken(f"a run without faults: {told}")
        self.calls = dict(sorted(proxy.calls.items()))

    def faults(self):
        """Each kind of request in each way, at the first and in the middle; and for good."""
        for kind, count in self.calls.items():
            for fault in FAULTS:
                for n in sorted({1, 1 + count // 2}):
                    yield Fault("http", (kind, n, fault, False), f"http: {kind}, number {n}: {fault}")
            yield Fault("http", (kind, 1, "busy", True), f"http: {kind}, all: busy")

    def run(self, fault):
        """As faults.Bench.run."""
        self.proxy.expect(*fault.text)
        return self._attempt()

    def _attempt(self):
        place = f"run-{next(self._numbers)}"
        server = f"{self.azurite.account}/faults/{place}"
        url = f"{self.azurite.url}/{server}"

        def onto(base):
            """Puts tables and state below a server, and leaves the plain files out."""

            def change(document):
                document["state"] = f"{base}/{server}/state"
                secret = {"auth": "shared-key", "key": f"${{env:{KEY}}}"}
                document["stores"] = {f"{base}/{self.azurite.account}/": secret}
                document["commit.interval"] = "100ms"
                del document["sinks"]["archive"]
                for name, table in lake.TABLES.items():
                    config = document["sinks"][name]["config"]
                    config["table"] = f"{base}/{server}/lake/{table}"

            return change

        done = lake.run(self.folder, lake.EVENTS, change=onto(self.proxy.url))
        told = judge(done, self.proxy.fired)
        fired = self.proxy.fired
        if done.exit_code != 0:
            again = lake.run(self.folder, lake.EVENTS, change=onto(self.azurite.url))
            if again.exit_code != 0:
                raise Broken(f"the run after it failed: {again.failed_because()}")
        self.truth.compare_tables(url)
        return told if fired else "not reached"
