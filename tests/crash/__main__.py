"""The crash tests (make crash): the medallion on a real broker, killed over and over.

    python3 -m tests.crash [--lie LIE] [--keep]

Each process is ended by SIGKILL at a random moment; or right before or after the n-th call of one
kind on one kind of file, by SIGKILL or by a power cut, which takes away what was not synced; or it is
stopped there while another process does its work, and then goes on. Producers feed the topic
meanwhile. Chapters of one process run beside chapters of three hosts that come and go, and of a
broker that is killed, too. After each chapter the oracle compares all tables.

With --lie the shim breaks one promise of the file system (`replace:KIND`: put-if-absent of that kind of
files replaces; `sync:KIND`: their fsync does nothing), or the program is a build without the check of
positions (`positions`), and the tests must find that out: the exit code is 0 when they do. `all` are
those of the file system, one after the other.

SLUICE_CRASH_KILLS (90), SLUICE_CRASH_CHAPTER (30 kills), SLUICE_CRASH_SECONDS (no end),
SLUICE_CRASH_SEED (random, printed), SLUICE_CRASH_EVENTS (about 100000 of each chapter),
SLUICE_CRASH_PACE (1.2 seconds of feed for a kill), SLUICE_CRASH_POINTS (a folder that keeps the
counts of the points, for a later run to go on with), SLUICE_CRASH_AIM (so often each point has to
be hit by a kill, before and after its call: the run goes on until that is so, or its seconds are
over; then it has failed if one was hit less often, before and after taken together; 0)
"""

import argparse
import itertools
import math
import os
import random
import shutil
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.crash.chapter import Broken, Tally
from tests.crash.hosts import GOLD, HOSTS, Group, Hosts
from tests.crash.one import OVERTAKEN, InGroup, OneProcess
from tests.crash.outward import Outward, committed
from tests.crash.points import SIDES, Shim, merged, not_interposed, table
from tests.support import sluice
from tests.support.servers import Kafka, wait_for

# fsyncs that a row depends on: of the data, its names and what is known of it. The others (editions,
# marks, history) keep what is compared or told, which the tables do not need.
SYNCED = (
    "data-temporary log-temporary plain-temporary close-record-temporary chain-temporary "
    "segment-temporary table-folder log-folder state-folder"
).split()
FILE_LIES = [*OVERTAKEN, *(f"sync:{kind}" for kind in SYNCED)]
FILE_LIES.remove("positions")
# Side by side, and in each line one after the other.
LINES = ((OneProcess, InGroup, Outward), (Hosts, Group))
IN_FLIGHT_SHARE = 0.5
IN_FLIGHT_FROM = 60  # kills; of fewer the share says little


def _number(name, default, kind=int):
    return kind(os.environ.get(f"SLUICE_CRASH_{name}", default))


class SharedBroker(Kafka):
    """For chapters side by side: while it is away nobody asks it anything."""

    def __init__(self, *arguments, **properties):
        super().__init__(*arguments, **properties)
        self._lock = threading.RLock()
        self.comings_and_goings = 0  # odd while it is away

    def create_topic(self, *arguments, **config):
        with self._lock:
            super().create_topic(*arguments, **config)

    def delete_topic(self, name):
        with self._lock:
            super().delete_topic(name)

    def group_members(self, group):
        with self._lock:
            return super().group_members(group)

    def end_offsets(self, topic):
        with self._lock:
            return super().end_offsets(topic)

    def committed(self, topic):
        """The values of a topic's committed records, to how often they are there."""
        with self._lock:
            return committed(self, topic)

    def die_and_come_back(self, topic):
        """As by a power cut."""
        with self._lock:
            self.comings_and_goings += 1
            self.kill()
            self.start()
            wait_for(lambda: self.end_offsets(topic), 60, "the broker")
            self.comings_and_goings += 1

    def was_there_since(self, comings_and_goings):
        return comings_and_goings % 2 == 0 and comings_and_goings == self.comings_and_goings


class Long:
    """What the lines of a run share: how much is to be done, and what has been."""

    def __init__(self, broker, shims, folder, seed, lie, lines):
        self.broker, self.shims, self.folder, self.lie = broker, shims, folder, lie
        self.lines = lines
        self.tally = Tally()
        self._seed = seed
        self._kills = _number("KILLS", 90)
        self._aim = _number("AIM", 0)
        self._events = _number("EVENTS", 100_000)
        self._began = time.monotonic()
        self._deadline = self._began + _number("SECONDS", "inf", float)
        self._pace = _number("PACE", 1.2, float)
        self._chapters = itertools.count()
        self._missing = {kind for line in lines for kind in line}  # no chapter of it has begun

    def run(self):
        with ThreadPoolExecutor(len(self.lines)) as pool:
            for line in [pool.submit(self._line, kinds) for kinds in self.lines]:
                line.result()

    def _line(self, kinds):
        try:
            for kind in itertools.cycle(kinds):
                late = time.monotonic() > self._deadline or self.tally.broken
                if late or (self._has_killed_enough() and not self._missing):
                    return
                self._missing.discard(kind)
                self._chapter(kind, next(self._chapters))
        except BaseException:
            self.tally.broken = True
            raise

    def _has_killed_enough(self):
        if self.tally.kills < self._kills:
            return False
        points = merged(self.shims.values()).values()
        return all(point.hits(side) >= self._aim for point in points for side in SIDES)

    def _chapter(self, kind, number):
        lake = self.folder / f"chapter-{number}"
        chapter = kind(self.broker, self.shims, lake, self._seed + number, self._events, self.lie)
        print(f"chapter {number}: {kind.__name__}", flush=True)
        left = self._kills - self.tally.kills
        kills = _number("CHAPTER", 30)
        if left <= 0 and self._aim == 0:
            kills //= 2  # it is there for its kind only
        elif left > 0:
            kills = min(kills, left)
        told = chapter.run(kills, self.tally, self._deadline, self._pace)
        print(f"chapter {number}: lost 0, doubled 0, gold exact: {told}", flush=True)
        for topic in chapter.topics:
            self.broker.delete_topic(topic)
        shutil.rmtree(lake)
        minutes = (time.monotonic() - self._began) / 60
        print(
            f"{self.tally.kills} kills in {minutes:.1f} minutes, accounts checked "
            f"{self.tally.checks} times",
            flush=True,
        )


def _judge_hits(points, aim):
    """Says which points were hit less often than is aimed at, and which never. Raises Broken then."""
    hits = {name: [point.hits(side) for side in SIDES] for name, point in points.items()}
    few = [f"{name} {sum(n)}" for name, n in hits.items() if sum(n) < aim]
    of_side = [f"{name} {min(n)}" for name, n in hits.items() if sum(n) >= aim > min(n)]
    never = [name for name, n in hits.items() if sum(n) == 0]
    print(f"come to, but never hit: {', '.join(never) or 'none'}")
    if aim > 0:
        print(f"hit fewer than {aim} times: {', '.join(few) or 'none'}")
        print(f"before or after them fewer than {aim} times: {', '.join(of_side) or 'none'}")
        least = min((sum(n) for n in hits.values()), default=0)
        met = "missed" if few else "met"
        print(f"the aim of {aim} hits of each point is {met}: {len(hits)} points, at least {least}")
    if few:
        raise Broken(f"{len(few)} points were hit fewer than {aim} times")


def _verdict(tally, shims):
    points = merged(shims.values())
    print("\n".join(table(points)))
    ways = ", ".join(f"{way} {n}" for way, n in sorted(tally.by_way.items()))
    beside = ", ".join(f"{event} {n}" for event, n in sorted(tally.events.items()))
    share = tally.in_flight / max(1, tally.measured)
    print(
        f"{tally.kills} kills ({ways}), {math.floor(100 * share)} % of "
        f"{tally.measured} with rows in flight"
    )
    print(f"beside them: {beside or 'nothing'}; accounts checked {tally.checks} times")
    if tally.kills >= IN_FLIGHT_FROM and share < IN_FLIGHT_SHARE:
        raise Broken(f"only {share:.0%} of the kills had rows in flight: they prove too little")
    _judge_hits(points, _number("AIM", 0))


def _was_told(lie, shims):
    """Whether a process has come to a call that the lie is about."""
    what, _, kind = lie.partition(":")
    calls = {"sync": ("fsync", "fdatasync"), "replace": ("link", "renameat2")}.get(what)
    points = merged(shims.values())
    return calls is None or any(f"{call} {kind}" in points for call in calls)


def run(folder, lie):
    """True when all was as it has to be."""
    library = sluice.BINARY.parent / "tests" / "crash" / "preload.so"
    past = not_interposed(library, sluice.BINARY.parent)
    if past:
        sys.exit(f"{', '.join(past)} are called, which {library.name} does not interpose")
    seed = _number("SEED", random.randrange(1, 1_000_000))
    print(f"SLUICE_CRASH_SEED={seed}, in {folder}", flush=True)
    counts = Path(_number("POINTS", folder, str))
    counts.mkdir(parents=True, exist_ok=True)
    shims = {name: Shim(library, counts / f"points-{name}") for name in ("one", *HOSTS, GOLD)}
    lines = LINES if lie is None else ((OneProcess,),)
    with SharedBroker(folder / "broker", group_min_session_timeout_ms=1000) as broker:
        long = Long(broker, shims, folder, seed, lie, lines)
        try:
            long.run()
            if lie is None:
                _verdict(long.tally, shims)
        except Broken as error:
            kills = long.tally.kills
            print(f"after kill {kills}, SLUICE_CRASH_SEED={seed}: {error}", flush=True)
            return lie is not None and not _was_told(lie, shims)
    return True


def _is_found_out(folder, lie):
    right = run(folder, lie)
    print(f"the lie {lie} was {'NOT ' if right else ''}found out", flush=True)
    return not right


def main():
    parser = argparse.ArgumentParser(prog="tests.crash", description=__doc__.splitlines()[0])
    parser.add_argument("--lie", choices=["all", "positions", *FILE_LIES])
    parser.add_argument("--keep", action="store_true", help="keep the folder, whatever comes of it")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="sluice-crash-"))
    keep = arguments.keep
    if arguments.lie is None:
        right = run(folder, None)
        keep = keep or not right
    else:
        lies = FILE_LIES if arguments.lie == "all" else [arguments.lie]
        folders = [folder / lie.replace(":", "-") for lie in lies]
        right = all([_is_found_out(each, lie) for each, lie in zip(folders, lies)])
    if keep:
        print(f"left in {folder}")
    else:
        shutil.rmtree(folder)
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
