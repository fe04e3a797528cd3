"""The crash test on Azurite: tables and state of the whole medallion lie there, behind a proxy.

    python3 -m tests.crash.azurite [--kills 20] [--chapter 12] [--seed N] [--seconds S] [--patient 0]

One process at a time; it is ended by SIGKILL at a random moment, or when the n-th request of one
kind ("PUT log-entry") comes to the proxy: before the server gets it, or when the server has acted
and the answer is not yet on its way. Some writes are stopped on their way: they reach the server
when the next process is at work already. All the while some requests meet a fault: 503, 429, a
reset, an answer that is lost, that comes in pieces, byte by byte, or never. In `--patient`
rounds of each chapter the process is killed only when it has got over one of the last two.

After each chapter one run to the end of the data; then delta-rs reads the tables over HTTP, and the
oracle compares all of them. Which kinds of requests there are is not written down anywhere: they are
those that sluice has made.
"""

import argparse
import math
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.crash.accounts import Ledger
from tests.crash.chapter import Broken, Chapter, Tally
from tests.crash.points import ACTIONS, SIDES, Point, Shim, table
from tests.doubles.fault_proxy import FAULTS, FaultProxy
from tests.faults.http import kind_of
from tests.support import sluice
from tests.support.medallion import Medallion
from tests.support.servers import Azurite, Kafka, wait_for

CONTAINER = "crash"
KEY = "SLUICE_CRASH_ACCOUNT_KEY"
SILENT = ("mute", "loris")
FAULT_SHARE = 0.06
SILENT_SHARE = 0.01  # of the faults
PACE_S = 6.0  # in which a ration of the feed comes
FEED_STEP_S = 0.1
READING_SHARE = 0.75  # of the processes have read something before they are ended
READING_LIMIT_S = 30
RANDOM_SHARE = 0.3
RANDOM_S = 3.0
STOP_SHARE = 0.4  # of the writes that are to end a process
POINT_LIMIT_S = 4  # a point that is not reached by then is none of this round
LATE_REQUESTS = 30  # of the next process, until a write that was stopped goes on
LATE_LIMIT_S = 20
PATIENCE_LIMIT_S = 240  # the longest time-out is 120 s
IN_FLIGHT_SHARE = 0.5
IN_FLIGHT_FROM = 60  # kills


class Points(FaultProxy):
    """The proxy that knows kinds of requests, and ends a process at one of them."""

    def __init__(self, upstream, seed):
        super().__init__(upstream, share=FAULT_SHARE, seed=seed)
        self._points = {}
        self._at = None  # (kind, side, n, action, how the process is ended)
        self._seen = 0  # of that kind, since it was armed
        self._wanted = None  # a fault that the next entry of a table's log meets
        self._process = 0  # how many have been started
        self._requests = Counter()  # by process
        self._held = 0  # writes that are stopped on their way
        self.quiet = False

    def points(self):
        """As Shim.points."""
        with self._lock:
            return dict(sorted(self._points.items()))

    def next_process(self):
        with self._lock:
            self._process += 1
            self._at = self._wanted = None

    def requests(self):
        with self._lock:
            return self._requests[self._process]

    def arm(self, kind, side, n, action, end):
        with self._lock:
            self._at, self._seen = (kind, side, n, action, end), 0

    def want(self, fault):
        """The next entry of a table's log meets it."""
        with self._lock:
            self._wanted = fault

    def held(self):
        with self._lock:
            return self._held

    def _draw(self, command, path):
        kind = kind_of(command, path)
        with self._lock:
            self._requests[self._process] += 1
            point = self._points.get(kind)
            if point is None:
                point = self._points[kind] = Point.never(kind)
            point.reached += 1
            if self._at is not None and self._at[0] == kind:
                self._seen += 1
                if self._seen == self._at[2]:
                    return self._fire(point)
            if self._wanted is not None and kind == "PUT log-entry":
                fault, self._wanted = self._wanted, None
                self.counts[fault] += 1
                return fault
            return self._by_chance()

    def _by_chance(self):
        fault = None
        if not self.quiet and self._random.random() < self._share:
            silent = self._random.random() < SILENT_SHARE
            fault = self._random.choice(SILENT if silent else FAULTS)
        self.counts[fault] += 1
        return fault

    def _fire(self, point):
        """Under the lock. What happens to the request, as FaultProxy._draw has it."""
        _, side, _, action, end = self._at
        self._at = None
        point.fired[side, action] += 1
        if side == "after":
            return lambda forward: (forward(), end())
        if action == "kill":
            return lambda forward: end()
        number = self._process
        self._held += 1
        return lambda forward: self._late(forward, end, number)

    def _late(self, forward, end, number):
        """The process ends, its request goes on behind requests of the next one."""
        end()
        limit = time.monotonic() + LATE_LIMIT_S
        while time.monotonic() < limit and not self.quiet:
            with self._lock:
                if self._process > number and self._requests[self._process] >= LATE_REQUESTS:
                    break
            time.sleep(0.01)
        forward()
        with self._lock:
            self._held -= 1


class RemoteLedger(Ledger):
    """By the SDK for Python, past the proxy."""

    def __init__(self, medallion, azurite):
        super().__init__(medallion)
        from azure.storage.blob import ContainerClient

        self._container = ContainerClient(
            f"{azurite.url}/{azurite.account}",
            CONTAINER,
            {"account_name": azurite.account, "account_key": azurite.key},
        )

    def log(self, name):
        place = self._medallion.table(name).partition(f"/{CONTAINER}/")[2]
        for blob in self._container.list_blobs(name_starts_with=f"{place}/_delta_log/"):
            number, _, kind = blob.name.rpartition("/")[2].partition(".")
            if number.isdigit() and kind == "json":
                yield (blob.name, blob.etag), lambda b=blob.name: self._text(b)

    def _text(self, name):
        return self._container.download_blob(name).readall().decode()

    def commits(self):
        """Of bronze and silver, so far."""
        return sum(1 for name in ("bronze", "silver_tbl") for _ in self.log(name))


class OnAzurite(Chapter):
    def __init__(self, broker, azurite, proxy, library, folder, seed, records):
        self.azurite, self.proxy = azurite, proxy
        super().__init__(broker, {"azurite": proxy}, folder, seed, records)
        self.path = self.whole.write()
        self.shim = Shim(library, folder / "counts")
        self.until, self.patient = math.inf, []

    def new_ledger(self):
        return RemoteLedger(self.whole, self.azurite)

    def medallion(self, name=None):
        url = f"{self.proxy.url}/{self.azurite.account}"
        place = f"{url}/{CONTAINER}/{self.topic}"
        medallion = Medallion(self.folder, self.broker.bootstrap, self.topic, lake=place)
        secret = {"auth": "shared-key", "key": f"${{env:{KEY}}}"}
        medallion.document["stores"] = {f"{url}/": secret}
        medallion.document["commit.interval"] = "300ms"
        return medallion

    def round(self, tally):
        started = time.monotonic()
        self.shim.forget_consumed()
        with self._process() as process:
            # last: what they leave makes the next starts long
            is_patient = tally.kills >= self.until - len(self.patient)
            way = self._patience(process) if is_patient else self._end_one(process, tally)
        in_flight = self.ledger.in_flight(self.shim.consumed())
        self.tell(tally, f"{way}, {self.proxy.requests()} requests", started, in_flight)

    def _process(self):
        self.proxy.next_process()
        env = self.shim.environment(self.folder)
        lanes = self.rng.randint(1, 4)
        return sluice.Process("run", "--json", "--set", f"lanes={lanes}", self.path, env=env)

    def _end_one(self, process, tally):
        """Ends it; how, in a few words, the first of which is the way."""
        is_reading = self.rng.random() < READING_SHARE
        if is_reading:
            self._wait(process, READING_LIMIT_S, self.shim.consumed)
        at = None
        if self.rng.random() >= RANDOM_SHARE:
            at = self.choose(self.proxy, tally, lambda p: not is_reading or "PUT" in p.name)
        if at is None:
            moment = self.rng.uniform(0.05, RANDOM_S)
            self._feed(process, moment)
            self.kill(process)
            return f"random after {moment:.2f} s{' of reading' if is_reading else ''}"
        name, side, _ = at
        n = self.rng.randint(1, 3)
        is_late = side == "before" and name.startswith("PUT") and self.rng.random() < STOP_SHARE
        action = "stop" if is_late else "kill"
        self.proxy.arm(name, side, n, action, lambda: process.signal(signal.SIGKILL))
        self._feed(process, POINT_LIMIT_S)
        tally.tried(self, name, side, process.ended())
        if process.ended():
            self.killed(process)
            return f"{action} {side} {name}, number {n}"
        self.kill(process)
        return f"random where {name} was not reached {n} times"

    def _patience(self, process):
        """It is killed when it has committed again behind an answer that did not come."""
        fault, given_up = self.patient.pop(), self.proxy.counts["given up"]
        self.proxy.want(fault)
        self._feed(process, PATIENCE_LIMIT_S, lambda: self.proxy.counts["given up"] > given_up)
        after = self.ledger.commits() + 4
        is_over = lambda: self.ledger.commits() >= after or not self.producer.is_alive()
        self._feed(process, PATIENCE_LIMIT_S, is_over)
        if process.ended() or not is_over():
            raise Broken(f"no commits behind {fault}: {process.text(1)[-2000:]}")
        self.kill(process)
        return f"patient behind {fault}"

    def _wait(self, process, seconds, is_enough):
        end = time.monotonic() + seconds
        while time.monotonic() < end and not process.ended() and not is_enough():
            self.pass_time(process, min(FEED_STEP_S, end - time.monotonic()))

    def _feed(self, process, seconds, is_enough=lambda: False):
        """Time passes, in which there is always something to read."""

        def step():
            self.producer.go_on(FEED_STEP_S)
            return is_enough()

        self._wait(process, seconds, step)

    def leave(self):
        """Writes that are still on their way arrive before the end is judged."""
        self.proxy.quiet = True
        wait_for(lambda: self.proxy.held() == 0, 2 * LATE_LIMIT_S, "writes that were stopped")
        self.proxy.next_process()

    def to_the_end(self):
        yield self.path, {}


def _verdict(tally, proxy):
    print("\n".join(table(proxy.points())))
    ways = ", ".join(f"{way} {n}" for way, n in sorted(tally.by_way.items()))
    met = ", ".join(f"{fault} {n}" for fault, n in sorted(proxy.counts.items(), key=str) if fault)
    share = tally.in_flight / max(1, tally.measured)
    print(f"{tally.kills} kills ({ways}), {100 * share:.0f} % with rows in flight")
    print(f"faults: {met}; without: {proxy.counts[None]}")
    print(f"accounts checked {tally.checks} times")
    if tally.kills >= IN_FLIGHT_FROM and share < IN_FLIGHT_SHARE:
        raise Broken(f"only {share:.0%} of the kills had rows in flight: they prove too little")


def _chapters(broker, azurite, folder, options, tally):
    library = sluice.BINARY.parent / "tests" / "crash" / "preload.so"
    deadline = time.monotonic() + options.seconds
    with Points(azurite.url, options.seed) as proxy:
        number = 0
        while tally.kills < options.kills and time.monotonic() < deadline:
            place = folder / f"chapter-{number}"
            place.mkdir()
            proxy.quiet = False
            seed = options.seed + number
            chapter = OnAzurite(broker, azurite, proxy, library, place, seed, options.events)
            chapter.patient = [SILENT[(number + i) % 2] for i in range(options.patient)]
            todo = min(options.chapter, options.kills - tally.kills)
            chapter.until = tally.kills + todo
            told = chapter.run(todo, tally, deadline, PACE_S)
            print(f"chapter {number}: lost 0, doubled 0, gold exact: {told}", flush=True)
            broker.delete_topic(chapter.topic)
            number += 1
        _verdict(tally, proxy)


def run(folder, options):
    """True when all was as it has to be."""
    print(f"seed {options.seed}, in {folder}", flush=True)
    tally = Tally()
    with Azurite(folder / "azurite") as azurite, Kafka(
        folder / "broker", group_min_session_timeout_ms=1000
    ) as broker:
        azurite.create_container(CONTAINER)
        os.environ.update({**azurite.environment(), KEY: azurite.key})
        try:
            _chapters(broker, azurite, folder, options, tally)
        except Broken as error:
            print(f"after kill {tally.kills}, seed {options.seed}: {error}", flush=True)
            return False
    return True


def main():
    parser = argparse.ArgumentParser(prog="tests.crash.azurite", description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--chapter", type=int, default=12, help="kills of a chapter")
    parser.add_argument("--seed", type=int, default=random.randrange(1, 1_000_000))
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--events", type=int, default=80_000, help="of a chapter")
    parser.add_argument("--patient", type=int, default=0, help="patient rounds of a chapter")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="sluice-crash-azurite-"))
    right = run(folder, options)
    if right:
        shutil.rmtree(folder)
    else:
        print(f"left in {folder}")
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
