"""A chapter: one topic, one lake, many processes that are killed one after the other.

A producer feeds the topic meanwhile. In the end one run to the end of the data has to succeed, and
the oracle has to find every table as it must be.
"""

import random
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.crash import lake
from tests.crash.points import SIDES
from tests.support import events, sluice
from tests.support.medallion import Medallion
from tests.support.producer import Producer
from tests.support.servers import wait_for

PARTITIONS = 8
SMALL_BURST = 100  # records, so that there is hardly a moment without any
POINT_LIMIT_S = 3  # a point that is not reached by then is none of this round
RARE_LIMIT_S = 12  # for points that most rounds do not reach
RARE_ROUNDS = 2  # of a chapter
SPARE_RATIONS = 16  # of the feed, for the rounds that wait so long
STOP_LIMIT_S = 30
END_LIMIT_S = 300


class Broken(Exception):
    """sluice did what it must not do; the text says what."""


@dataclass
class Tally:
    """Of a whole run of the harness."""

    kills: int = 0
    in_flight: int = 0  # kills with rows in flight
    by_way: dict = field(default_factory=dict)
    missed: dict = field(default_factory=dict)  # (point, side) to how often it was not reached

    def add(self, way, in_flight):
        self.kills += 1
        self.in_flight += in_flight > 0
        self.by_way[way] = self.by_way.get(way, 0) + 1


class RationedProducer(Producer):
    """So much for each round, evenly over `round_s`: no round is without anything to do."""

    def __init__(self, broker, topic, feed, rounds, round_s):
        self._ration = feed.records // (rounds + SPARE_RATIONS) + 1
        self._allowed = 0
        self.round_s = round_s
        super().__init__(broker, topic, feed, self._ration / round_s)

    def next_round(self):
        self._allowed += self._ration

    def _paced(self):
        for number, record in enumerate(self._feed):
            while number >= self._allowed and not self._hurry.is_set():
                self._hurry.wait(0.02)
            if number % SMALL_BURST == 0:
                self._hurry.wait(SMALL_BURST / self._rate)
            yield record


class Chapter:
    """`lie` is one of the shim's lies, for the test of this test."""

    def __init__(self, broker, shim, folder, seed, records, lie=None):
        self.rng = random.Random(seed)
        self.broker, self.shim, self.lie, self.seed = broker, shim, lie, seed
        self.topic = f"crash-{seed}"
        self.feed = events.Feed(records=records, seed=seed)
        self.medallion = Medallion(folder, broker.bootstrap, self.topic)
        self.medallion.document["commit.interval"] = "100ms"
        self.medallion.write()
        self.positions = lake.Positions(self.medallion)
        self.logs = 0
        self.rare_rounds = 0
        self.producer = None
        broker.create_topic(self.topic, PARTITIONS, **events.TOPIC_CONFIG)

    def run(self, kills, tally, deadline, seconds_per_kill):
        """Kills up to `kills` processes, and verifies. What the end's line says, or Broken."""
        producer = self.producer = RationedProducer(self.broker, self.topic, self.feed, kills, seconds_per_kill)
        producer.start()
        try:
            for number in range(kills):
                if time.monotonic() >= deadline:
                    break
                started, before = time.monotonic(), sum(self._versions().values())
                producer.next_round()
                self.shim.forget_consumed()
                way = self._round(tally, number == 0)
                in_flight = self.positions.in_flight(self.shim.consumed())
                tally.add(way.split()[0], in_flight)
                print(
                    f"kill {tally.kills}: {way}; {time.monotonic() - started:.1f} s, "
                    f"{sum(self._versions().values()) - before} commits, "
                    f"{in_flight} rows in flight",
                    flush=True,
                )
        finally:
            producer.finish()
        return self._verify()

    # ---- one round ----

    def _process(self, at=None):
        env = self.shim.environment(
            self.medallion.folder, at, self.rng.randrange(1, 2**31), self.lie
        )
        lanes = self.rng.randint(1, 4)
        return sluice.Process(
            "run", "--json", "--set", f"lanes={lanes}", self.medallion.path, env=env
        )

    def _round(self, tally, first):
        """Starts a process and ends it; how, in a few words, the first of which is the way."""
        if self.rng.random() < 0.3 and self.lie is None or not self.shim.points():
            moment = self.rng.uniform(0.05, 3.0)
            with self._process() as process:
                self._pass_time(process, moment)
                self._kill(process)
            return f"random after {moment:.2f} s"
        at, limit_s = self._choose(tally, first)
        with self._process(at) as process:
            if at[3] == "stop":
                reached = self._overtake(process)
            else:
                reached = self._reached(process, limit_s)
            if not reached:
                self._kill(process)
        name, side, n, action = at
        if not reached:
            tally.missed[name, side] = tally.missed.get((name, side), 0) + 1
            return f"random where {name} was not reached {n} times"
        return f"{action} {side} {name}, number {n}"

    def _choose(self, tally, first):
        """The point that has been hit least, as a rule. Folders are made by a first process only."""
        points = self.shim.points()
        sides = [
            (point, side)
            for point in points.values()
            for side in SIDES
            if point.name.startswith("mkdir ") == first
        ]
        self.rng.shuffle(sides)
        if self.lie == "replace":
            sides = [s for s in sides if s[0].name == "renameat2 log-entry" and s[1] == "before"]
        if not sides:
            return ("write log-temporary", "before", 1, "kill"), POINT_LIMIT_S
        point, side = min(sides, key=lambda s: _weight(s, tally))
        n = self.rng.randint(1, max(1, min(20, point.reached // (4 * tally.kills + 4))))
        limit_s = POINT_LIMIT_S
        if 10 < tally.kills > 5 * point.reached and self.rare_rounds < RARE_ROUNDS:
            self.rare_rounds += 1
            limit_s = RARE_LIMIT_S
        return (point.name, side, n, self._action(point, side)), limit_s

    def _action(self, point, side):
        if self.lie is not None:
            return "stop" if self.lie == "replace" else "power"
        named = point.name.split()[0] in ("renameat2", "rename", "link")
        if side == "before" and named and self.rng.random() < 0.3:
            return "stop"
        return "power" if self.rng.random() < 0.4 else "kill"

    # ---- ends ----

    def _pass_time(self, process, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end and not process.ended():
            time.sleep(0.01)

    def _kill(self, process):
        process.signal(signal.SIGKILL)
        self._killed(process)

    def _keep_log(self, done):
        self.logs += 1
        (self.medallion.folder / f"log-{self.logs}.txt").write_text(done.log)

    def _killed(self, process):
        done = process.wait(30)
        self._keep_log(done)
        if done.exit_code != -signal.SIGKILL:
            raise Broken(f"a process ended by itself: {done.failed_because()}")

    def _reached(self, process, limit_s):
        end = time.monotonic() + limit_s
        while not process.ended() and time.monotonic() < end:
            self._pass_time(process, min(self.producer.round_s, limit_s))
            self.producer.next_round()
        if not process.ended():
            return False
        self._killed(process)
        return True

    def _overtake(self, process):
        """`process` stops right before it gives a file its name. Another one does the work
        meanwhile, and must not be harmed when the first one goes on. True when it did stop."""

        def stopped():
            return process.ended() or _state(process.pid) == "T"

        try:
            wait_for(stopped, POINT_LIMIT_S, "the stop")
        except TimeoutError:
            return False
        if process.ended():
            self._killed(process)
        before = self._versions()
        with self._process() as second:
            try:
                second.wait_for(
                    lambda: all(n > before[name] for name, n in self._versions().items()),
                    STOP_LIMIT_S,
                    "commits of the second process",
                )
            except AssertionError as error:
                raise Broken(str(error)) from error
            except TimeoutError:
                pass  # all has been produced and processed
            process.signal(signal.SIGCONT)
            self._pass_time(process, self.rng.uniform(0.2, 2.0))
            process.signal(signal.SIGKILL)
            self._keep_log(process.wait(30))  # however it ended: it was fenced, or it was killed
            self._pass_time(second, self.rng.uniform(0.2, 1.0))
            self._kill(second)
        return True

    def _versions(self):
        logs = {n: self.medallion.table(n) / "_delta_log" for n in ("bronze", "silver_tbl", "gold")}
        return {name: len(list(log.glob("*[0-9].json"))) for name, log in logs.items()}

    # ---- the end ----

    def _verify(self):
        env = self.shim.environment(self.medallion.folder, lie=self.lie)
        done = sluice.run_command(
            "run", "--until-end", "--json", self.medallion.path, env=env, limit_s=END_LIMIT_S
        )
        if done.exit_code != 0:
            raise Broken(f"the run to the end failed: {done.failed_because()}")
        try:
            found, told = lake.wrong(self.medallion, self.broker.end_offsets(self.topic))
        except Exception as error:  # a reader that cannot read the table
            raise Broken(f"a table cannot be read: {error}") from error
        if found:
            raise Broken("\n".join(f"{name}: {text}" for name, text in found.items()))
        return told


def _weight(point_side, tally):
    """Small for what is to be hit next: what is rarely reached is not tried in every round."""
    point, side = point_side
    return point.hits(side) + 2 * tally.missed.get((point.name, side), 0)


def _state(pid):
    """The state letter of a process, as ps shows it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return "X"
