"""The crash tests (make crash): the medallion on a real broker, killed over and over.

    python3 -m tests.crash [--lie replace|sync-files|sync-folders|positions] [--keep]

Each process is ended by SIGKILL at a random moment; or right before or after the n-th call of one
kind on one kind of file, by SIGKILL or by a power cut, which takes away what was not synced; or it is
stopped there while another process does its work, and then goes on. Producers feed the topic
meanwhile. Chapters of one process take turns with chapters of three hosts that come and go, and of
a broker that is killed, too. After each chapter the oracle compares all tables.

With --lie the shim breaks a promise of the file system, or the program is a build without the check
of positions (`positions`), and the tests must find that out: the exit code is 0 when they do.

SLUICE_CRASH_KILLS (90), SLUICE_CRASH_CHAPTER (30 kills), SLUICE_CRASH_SECONDS (no end),
SLUICE_CRASH_SEED (random, printed), SLUICE_CRASH_EVENTS (200000 of each chapter),
SLUICE_CRASH_PACE (1.2 seconds of feed for a kill), SLUICE_CRASH_POINTS (a folder that keeps the
counts of the points, for a later run to go on with)
"""

import argparse
import math
import os
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.crash.chapter import Broken, Tally
from tests.crash.hosts import GOLD, HOSTS, Group, Hosts
from tests.crash.one import OneProcess
from tests.crash.points import Shim, merged, not_interposed, table
from tests.support import sluice
from tests.support.servers import Kafka

LIES = ["replace", "sync-files", "sync-folders", "positions"]
KINDS = (OneProcess, Hosts, Group, OneProcess)
IN_FLIGHT_SHARE = 0.5
IN_FLIGHT_FROM = 60  # kills; of fewer the share says little
HITS = 20  # of each point, in a long run
HITS_FROM = 1000  # kills


def _number(name, default, kind=int):
    return kind(os.environ.get(f"SLUICE_CRASH_{name}", default))


def _chapters(broker, shims, folder, seed, lie, tally):
    """Kinds of chapters take turns; with a lie there is only the first."""
    kills = _number("KILLS", 90)
    events = _number("EVENTS", 200_000)
    deadline = time.monotonic() + _number("SECONDS", "inf", float)
    pace = _number("PACE", 1.2, float)
    number, began = 0, time.monotonic()
    while tally.kills < kills and time.monotonic() < deadline:
        lake = folder / f"chapter-{number}"
        kind = KINDS[number % len(KINDS)] if lie is None else KINDS[0]
        chapter = kind(broker, shims, lake, seed + number, events, lie)
        print(f"chapter {number}: {kind.__name__}", flush=True)
        todo = min(_number("CHAPTER", 30), kills - tally.kills)
        told = chapter.run(todo, tally, deadline, pace)
        print(f"chapter {number}: lost 0, doubled 0, gold exact: {told}", flush=True)
        broker.delete_topic(chapter.topic)
        shutil.rmtree(lake)
        number += 1
        minutes = (time.monotonic() - began) / 60
        print(
            f"{tally.kills} kills in {minutes:.1f} minutes, accounts checked {tally.checks} times",
            flush=True,
        )


def _rarely_hit(points):
    """The points that a long run has not hit often enough."""
    hits = {p.name: p.hits("before") + p.hits("after") for p in points.values()}
    return [f"{name} {n}" for name, n in hits.items() if n < HITS]


def _verdict(tally, shims):
    points = merged(shims.values())
    print("\n".join(table(points)))
    if tally.kills >= HITS_FROM:
        print(f"hit fewer than {HITS} times: {', '.join(_rarely_hit(points)) or 'none'}")
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


def run(folder, lie):
    """True when all was as it has to be."""
    library = sluice.BINARY.parent / "tests" / "crash" / "preload.so"
    past = not_interposed(library, sluice.BINARY.parent / "lib" / "libsl_store.a")
    if past:
        print(f"lib/store calls {', '.join(past)}, which {library.name} does not interpose")
        return False
    seed = _number("SEED", random.randrange(1, 1_000_000))
    print(f"SLUICE_CRASH_SEED={seed}, in {folder}", flush=True)
    counts = Path(_number("POINTS", folder, str))
    counts.mkdir(exist_ok=True)
    shims = {name: Shim(library, counts / f"points-{name}") for name in ("one", *HOSTS, GOLD)}
    tally = Tally()
    with Kafka(folder / "broker", group_min_session_timeout_ms=1000) as broker:
        try:
            _chapters(broker, shims, folder, seed, lie, tally)
            if lie is None:
                _verdict(tally, shims)
        except Broken as error:
            print(f"after kill {tally.kills}, SLUICE_CRASH_SEED={seed}: {error}", flush=True)
            return False
    return True


def main():
    parser = argparse.ArgumentParser(prog="tests.crash", description=__doc__.splitlines()[0])
    parser.add_argument("--lie", choices=LIES)
    parser.add_argument("--keep", action="store_true", help="keep the folder, whatever comes of it")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="sluice-crash-"))
    right = run(folder, arguments.lie)
    if arguments.lie is not None:
        print(f"the lie was {'NOT ' if right else ''}found out")
        right = not right
    elif not right:
        arguments.keep = True
    if arguments.keep:
        print(f"left in {folder}")
    else:
        shutil.rmtree(folder)
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
