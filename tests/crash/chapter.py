"""A chapter: one topic, one lake, many processes that are killed one after the other.

What all kinds of chapters share: a producer that feeds the topic meanwhile, the choice of the next
point, and the end, when one run of each pipeline to the end of the data has to succeed, and the
oracle has to find every table as it must be. one.py has one process at a time, hosts.py several.
"""

import random
import signal
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.crash import accounts, lake
from tests.crash.accounts import Ledger
from tests.crash.points import SIDES, merged
from tests.support import events, sluice
from tests.support.medallion import Medallion
from tests.support.producer import Producer

PARTITIONS = 8
SMALL_BURST = 50  # records, so that there is hardly a moment without any
SPARE_RATIONS = 16  # of what a chapter is to have, for the rounds that wait so long
ENDLESS = 8  # the feed has so many times more
POURED = 3  # rations
END_LIMIT_S = 300
SHUTDOWN_S = 100  # of a clean stop: longer than a broker that was killed needs to come back
STOPPED_LIMIT_S = SHUTDOWN_S + 20
ENOUGH = 20  # hits of each side of a point, behind which others are wanted


class Broken(Exception):
    """sluice did what it must not do; the text says what."""


@dataclass
class Tally:
    """Of a whole run of the harness, by chapters side by side."""

    kills: int = 0
    measured: int = 0  # kills of which it is known whether rows were in flight
    in_flight: int = 0  # of these, those with some
    by_way: dict = field(default_factory=dict)
    events: dict = field(default_factory=dict)  # what happened beside kills, to how often
    tries: dict = field(default_factory=dict)  # (kind of chapter, point, side) to how often
    misses: dict = field(default_factory=dict)  # of these, how often it was not reached
    checks: int = 0  # of the accounts
    broken: bool = False  # a chapter has failed, the others need not go on
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, way, in_flight):
        """The kill's number."""
        with self.lock:
            self.kills += 1
            if in_flight is not None:
                self.measured += 1
                self.in_flight += in_flight > 0
            self.by_way[way] = self.by_way.get(way, 0) + 1
            return self.kills

    def happened(self, event, times=1):
        with self.lock:
            self.events[event] = self.events.get(event, 0) + times

    def checked(self):
        with self.lock:
            self.checks += 1

    def tried(self, chapter, name, side, reached):
        key = (type(chapter).__name__, name, side)
        with self.lock:
            self.tries[key] = self.tries.get(key, 0) + 1
            self.misses[key] = self.misses.get(key, 0) + (not reached)

    def odds(self, chapter, name, side):
        """How likely the point is reached in such a chapter, as far as is known; never nothing, so
        that what is rare gets its turns once the others have had theirs."""
        key = (type(chapter).__name__, name, side)
        return max(0.01, 1 - self.misses.get(key, 0) / (self.tries.get(key, 0) + 1))


class RationedProducer(Producer):
    """So much for each round, evenly over `round_s`: no round is without anything to do. What no
    round has asked for is not produced. `records`: about so many for all rounds."""

    def __init__(self, broker, topic, feed, records, rounds, round_s):
        self._ration = records // (rounds + SPARE_RATIONS) + 1
        self._allowed = self._at_once = 0
        self.round_s = round_s
        super().__init__(broker, topic, feed, self._ration / round_s)

    def next_round(self):
        self._allowed += self._ration

    def go_on(self, seconds):
        """A longer round has so much more."""
        self._allowed += round(self._ration * seconds / self.round_s)

    def pour(self):
        """As much as for some rounds, at once."""
        self._allowed += POURED * self._ration
        self._at_once = self._allowed

    def _paced(self):
        for number, record in enumerate(self._feed):
            while number >= self._allowed:
                if self._hurry.is_set():
                    return
                self._hurry.wait(0.02)
            if number % SMALL_BURST == 0 and number >= self._at_once:
                self._hurry.wait(SMALL_BURST / self._rate)
            yield record


class Chapter:
    """`shims` count the points of all chapters; `lie`: one of their lies, for the test of this
    test."""

    def __init__(self, broker, shims, folder, seed, records, lie=None):
        self.rng = random.Random(seed)
        self.shims = shims
        self.broker, self.folder, self.lie, self.seed = broker, folder, lie, seed
        self.topic = f"crash-{seed}"
        self.topics = [self.topic]  # that the chapter leaves
        self.records = records
        span_s = ENDLESS * events.Feed.span_s
        self.feed = events.Feed(records=ENDLESS * records, span_s=span_s, seed=seed)
        self.logs = 0
        self.kills = 0
        self.producer = None
        broker.create_topic(self.topic, PARTITIONS, **events.TOPIC_CONFIG)
        self.whole = self.medallion()
        self.ledger = self.new_ledger()

    def __str__(self):
        return type(self).__name__

    def medallion(self, name=None):
        """The whole topology in the chapter's folder, committing often. `name` sets its pipeline
        and its state apart from the others'."""
        medallion = Medallion(self.folder, self.broker.bootstrap, self.topic)
        document = medallion.document
        document["commit.interval"] = "100ms"
        document["shutdown.timeout"] = f"{SHUTDOWN_S}s"
        if name is not None:
            document["pipeline"] += f"-{name}"
            document["state"] = f"file://{medallion.state}/{name}"
            medallion.path = medallion.folder / f"{name}.json"
        return medallion

    def new_ledger(self):
        return Ledger(self.whole)

    def run(self, kills, tally, deadline, seconds_per_kill):
        """Kills up to `kills` processes, and verifies. What the end's line says, or Broken."""
        producer = self.producer = RationedProducer(
            self.broker, self.topic, self.feed, self.records, kills, seconds_per_kill
        )
        producer.start()
        try:
            while self.kills < kills and time.monotonic() < deadline and not tally.broken:
                producer.next_round()
                self.round(tally)
        finally:
            self.leave()
            producer.finish()
        return self._verify(tally)

    # ---- what each kind of chapter does in its own way ----

    def round(self, tally):
        """Something that ends with a kill more, as a rule."""
        raise NotImplementedError

    def leave(self):
        """Ends what still runs, whatever has happened."""

    def to_the_end(self):
        """(topology's path, environment) of each run that finishes the work."""
        raise NotImplementedError

    # ---- for them ----

    def tell(self, tally, way, started, in_flight):
        """`in_flight`: rows, or None when that is not known. After each kill, the accounts."""
        self.kills += 1
        number = tally.add(way.split()[0], in_flight)
        rows = "" if in_flight is None else f", {in_flight} rows in flight"
        seconds = time.monotonic() - started
        print(f"kill {number}: {self}: {way}; {seconds:.1f} s{rows}", flush=True)
        self.check_accounts(tally)

    def check_accounts(self, tally, done=None, alone=True, through=False):
        """As the tables have them; `done`: and a process that has ended as it should, `alone` or
        beside others, and `through` with all data."""
        try:
            wrong = self.ledger.wrong()
            if wrong is None and done is not None:
                wrong = accounts.wrong_summary(
                    done.summary, self.ledger.books(), alone, through
                )
        except (ValueError, KeyError) as error:
            raise Broken(f"the accounts cannot be read: {error!r}") from error
        if wrong is not None:
            raise Broken(wrong)
        tally.checked()

    def candidates(self, shim):
        """What can be hit here: all that `shim` has passed."""
        return shim.points()

    def choose(self, shim, tally, wanted=lambda point: True):
        """(name of the point, side, n) of what can be hit, is wanted, and lacks most hits of all
        chapters, as far as it can be expected to be reached. None: nothing."""
        points = self.candidates(shim)
        sides = [(p, side) for p in points.values() for side in SIDES if wanted(p)]
        if not sides:
            return None
        hits = merged(self.shims.values())

        def gain(point_side):
            point, side = point_side
            known = hits.get(point.name, point)
            lacking = max(0.1, ENOUGH - known.hits(side)) + max(0, ENOUGH - known.hits_of_both())
            return lacking * tally.odds(self, point.name, side)

        self.rng.shuffle(sides)
        point, side = max(sides, key=gain)
        lives = sum(p.hits_of_both() for p in points.values()) + 1
        often = point.reached // (4 * lives)
        # what is taken away is taken away late, and all at once
        n = 1 if point.name.startswith("unlink") else self.rng.randint(1, max(1, min(20, often)))
        return point.name, side, n

    def keep_log(self, done):
        self.logs += 1
        (self.folder / f"log-{self.logs}.txt").write_text(done.log)

    def killed(self, process):
        """The process that was to be killed has ended, and so."""
        done = process.wait(30)
        self.keep_log(done)
        if done.exit_code != -signal.SIGKILL:
            raise Broken(f"a process ended by itself: {done.failed_because()}")
        self.no_failure(done)

    def no_failure(self, done):
        """Nodes of a process whose place another one has taken may fail, no others."""
        failed = [line for line in done.log.splitlines() if ": FAILED: " in line]
        if failed and "FENCED_INSTANCE_ID" not in done.log:
            raise Broken("\n".join(["a node failed before the kill:", *failed]))

    def kill(self, process):
        process.signal(signal.SIGKILL)
        self.killed(process)

    def pass_time(self, process, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end and not process.ended():
            time.sleep(0.01)

    # ---- the end ----

    def _verify(self, tally):
        for path, env in self.to_the_end():
            command = ("run", "--until-end", "--json", path)
            done = sluice.run_command(*command, env=env, limit_s=END_LIMIT_S)
            if done.exit_code != 0:
                raise Broken(f"the run to the end of {path.name} failed: {done.failed_because()}")
            self.check_accounts(tally, done, through=True)
        try:
            delivered = self.broker.end_offsets(self.topic)
            found, told = lake.wrong(self.whole, delivered, self.ledger)
        except Exception as error:  # a reader that cannot read the table
            raise Broken(f"a table cannot be read: {error}") from error
        if found:
            raise Broken("\n".join(f"{name}: {text}" for name, text in found.items()))
        return told


def stopped(pid):
    """By SIGSTOP."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    except FileNotFoundError:
        return False
