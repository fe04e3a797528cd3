"""A chapter in which one process at a time has the whole medallion, and is killed."""

import math
import signal
import time

from tests.crash import lake
from tests.crash.chapter import Broken, Chapter, stopped
from tests.support import sluice
from tests.support.servers import wait_for

POINT_LIMIT_S = 3  # a point that is not reached by then is none of this round
RARE_LIMIT_S = 12  # for points that most rounds do not reach
RARE_ROUNDS = 2  # of a chapter
STOP_LIMIT_S = 30
RANDOM_SHARE = 0.25
OVERTAKEN = ("replace", "positions")  # lies that harm when another process was faster
NAMING = ("renameat2", "rename", "link")


class OneProcess(Chapter):
    """`shim` counts its points."""

    def __init__(self, broker, shims, folder, seed, records, lie=None):
        super().__init__(broker, folder, seed, records, lie)
        self.shim = shims["one"]
        self.whole = self.medallion()
        self.whole.document["sinks"]["archive"] = lake.archive(folder)
        self.whole.write()
        self.positions = lake.Positions(self.whole)
        self.rare_rounds = 0
        self.first = True

    def to_the_end(self):
        yield self.whole.path, self.shim.environment(self.folder, lie=self.lie)

    def round(self, tally):
        started, before = time.monotonic(), sum(self._versions().values())
        self.shim.forget_consumed()
        way = self._end_one(tally)
        self.first = False
        in_flight = self.positions.in_flight(self.shim.consumed())
        commits = sum(self._versions().values()) - before
        self.tell(tally, f"{way}, {commits} commits", started, in_flight)

    def _process(self, at=None):
        seed = self.rng.randrange(1, 2**31)
        env = self.shim.environment(self.folder, at, seed, self.lie)
        lanes = self.rng.randint(1, 4)
        return sluice.Process("run", "--json", "--set", f"lanes={lanes}", self.whole.path, env=env)

    def _end_one(self, tally):
        """Starts a process and ends it; how, in a few words, the first of which is the way."""
        at, limit_s = self._choose(tally)
        if at is None:
            moment = self.rng.uniform(0.05, 3.0)
            with self._process() as process:
                self.pass_time(process, moment)
                self.kill(process)
            return f"random after {moment:.2f} s"
        name, side, n, action = at
        with self._process(at) as process:
            if action == "stop":
                reached = self._overtake(process)
            else:
                reached = self._reached(process, limit_s)
            if not reached:
                self.kill(process)
        if not reached:
            tally.miss(name, side)
            return f"random where {name} was not reached {n} times"
        return f"{action} {side} {name}, number {n}"

    def _choose(self, tally):
        """The point that has been hit least, as a rule; None: any moment. Folders are made by a
        first process only."""
        if self.rng.random() < RANDOM_SHARE and self.lie is None:
            return None, math.nan
        if self.lie in OVERTAKEN:
            chosen = ("renameat2 log-entry", "before", 1)
        else:
            wanted = lambda point: point.name.startswith("mkdir ") == self.first
            chosen = self.choose(self.shim, tally, wanted)
        if chosen is None:
            return (None, math.nan) if self.lie is None else (_ANY, POINT_LIMIT_S)
        name, side, n = chosen
        reached = self.shim.points().get(name)
        limit_s = POINT_LIMIT_S
        rare = reached is not None and 10 < tally.kills > 5 * reached.reached
        if rare and self.rare_rounds < RARE_ROUNDS:
            self.rare_rounds += 1
            limit_s = RARE_LIMIT_S
        return (name, side, n, self._action(name, side)), limit_s

    def _action(self, name, side):
        if self.lie is not None:
            return "stop" if self.lie in OVERTAKEN else "power"
        if side == "before" and name.split()[0] in NAMING and self.rng.random() < 0.3:
            return "stop"
        return "power" if self.rng.random() < 0.4 else "kill"

    def _reached(self, process, limit_s):
        end = time.monotonic() + limit_s
        while not process.ended() and time.monotonic() < end:
            self.pass_time(process, min(self.producer.round_s, limit_s))
            self.producer.next_round()
        if not process.ended():
            return False
        self.killed(process)
        return True

    def _overtake(self, process):
        """`process` stops right before it gives a file its name. Another one does the work
        meanwhile, and must not be harmed when the first one goes on. True when it did stop."""
        try:
            wait_for(lambda: process.ended() or stopped(process.pid), POINT_LIMIT_S, "the stop")
        except TimeoutError:
            return False
        if process.ended():
            self.killed(process)
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
            self.pass_time(process, self.rng.uniform(0.2, 2.0))
            process.signal(signal.SIGKILL)
            self.keep_log(process.wait(30))  # however it ended: it was fenced, or it was killed
            self.pass_time(second, self.rng.uniform(0.2, 1.0))
            second.signal(signal.SIGKILL)
            done = second.wait(30)
            self.keep_log(done)
            # the first one may have joined the group later: then the second is the one to go
            if done.exit_code != -signal.SIGKILL and "FENCED_INSTANCE_ID" not in done.log:
                raise Broken(f"a process ended by itself: {done.failed_because()}")
            self.no_failure(done)
        return True

    def _versions(self):
        logs = {n: self.whole.table(n) / "_delta_log" for n in ("bronze", "silver_tbl", "gold")}
        return {name: len(list(log.glob("*[0-9].json"))) for name, log in logs.items()}


_ANY = ("write log-temporary", "before", 1, "kill")
