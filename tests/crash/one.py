"""A chapter in which one process at a time has the whole medallion, and is killed."""

import json
import os
import signal
import time
from pathlib import Path

from tests.crash import lake
from tests.crash.chapter import Broken, Chapter, stopped
from tests.support import sluice
from tests.support.medallion import SCHEMA
from tests.support.servers import wait_for

POINT_LIMIT_S = 3  # a point that is not reached by then is none of this round
RARE_LIMIT_S = 8  # snapshots come every hundred commits
STOP_LIMIT_S = 30
CLEAN_LIMIT_S = 60
RANDOM_SHARE = 0.06  # points that are not reached add to them
CLEAN_SHARE = 0.06  # of the rounds: before the kill, a process ends as it should
# What a process does with these it does when it is told to stop.
AT_THE_END = ("seen-mark", "seen-mark-temporary", "unlink run-mark")
# What a process that was overtaken takes away, and where it was stopped before that.
OVERTAKEN_BEFORE = {
    "unlink chain-temporary": "renameat2 chain-entry",
    "unlink close-record-temporary": "renameat2 close-record",
    "unlink config-edition-temporary": "renameat2 config-edition",
    "unlink log-temporary": "renameat2 log-entry",
    "unlink segment-temporary": "renameat2 segment",
}
LEFTOVER = ".sluice-tmp-of-a-killed-process"
A_DAY_S = 25 * 3600
OVERTAKEN = ("replace", "positions")  # lies that harm when another process was faster
NAMING = ("renameat2", "rename", "link")


class OneProcess(Chapter):
    def __init__(self, broker, shims, folder, seed, records, lie=None):
        super().__init__(broker, shims, folder, seed, records, lie)
        self.shim = shims["one"]
        self.whole.document["sinks"]["archive"] = lake.archive(folder)
        # many groups, so that gold's chain of changes is replaced by a snapshot every second
        self.whole.document["transforms"]["per_country"]["config"]["group_by"].append("device_id")
        self.whole.write()
        self.editions = 1
        self.first = True

    def to_the_end(self):
        yield self.whole.path, self.shim.environment(self.folder, lie=self.lie)

    def round(self, tally):
        if self.rng.random() < CLEAN_SHARE and self.lie is None:
            self._end_cleanly(tally)
        started, before = time.monotonic(), sum(self._versions().values())
        self.shim.forget_consumed()
        way = self._end_one(tally)
        self.first = False
        if way is None:
            return
        in_flight = self.ledger.in_flight(self.shim.consumed())
        commits = sum(self._versions().values()) - before
        self.tell(tally, f"{way}, {commits} commits", started, in_flight)

    def _end_cleanly(self, tally):
        """By SIGTERM: what it then says of its accounts has to be what the tables have."""
        with self._process() as process:
            self.pass_time(process, self.rng.uniform(0.3, 2.0))
            process.signal(signal.SIGTERM)
            done = process.wait(CLEAN_LIMIT_S)
        self.keep_log(done)
        if done.exit_code not in (0, -signal.SIGTERM):  # the latter: it had hardly begun
            raise Broken(f"a process ended by itself: {done.failed_because()}")
        if done.exit_code == 0:
            self.check_accounts(tally, done)
        tally.happened("clean end")

    # ---- what has to be so that a point can be reached ----

    def _prepare(self, name, tally):
        if "config-edition" in name:
            self._change_configuration()
            tally.happened("configuration changed")
        if name.startswith("unlink"):
            self._let_a_day_pass()
            tally.happened("a day passed")

    def _change_configuration(self):
        """Another edition, by which the same rows come out."""
        self.editions += 1
        path = self.whole.folder / SCHEMA.name
        schema = json.loads(path.read_text()) | {"$comment": f"edition {self.editions}"}
        path.write_text(json.dumps(schema))

    def _let_a_day_pass(self):
        """Between two processes: whatever is only kept for a while may go, so in each folder what
        a process leaves behind that is killed while it writes."""
        for top in ("lake", "state"):
            for folder, _, names in os.walk(self.folder / top):
                Path(folder, LEFTOVER).touch()
                for name in [*names, LEFTOVER]:
                    path = os.path.join(folder, name)
                    status = os.stat(path)
                    os.utime(path, (status.st_atime - A_DAY_S, status.st_mtime - A_DAY_S))

    def _process(self, at=None):
        seed = self.rng.randrange(1, 2**31)
        env = self.shim.environment(self.folder, at, seed, self.lie)
        lanes = self.rng.randint(1, 4)
        return sluice.Process("run", "--json", "--set", f"lanes={lanes}", self.whole.path, env=env)

    def _end_one(self, tally):
        """Starts a process and ends it; how, in a few words, the first of which is the way. None:
        it has ended before its point, as it should."""
        at = self._choose(tally)
        if at is None:
            moment = self.rng.uniform(0.05, 3.0)
            with self._process() as process:
                self.pass_time(process, moment)
                self.kill(process)
            return f"random after {moment:.2f} s"
        name, side, n, action = at
        self._prepare(name, tally)
        stop_at = OVERTAKEN_BEFORE.get(name)
        with self._process(at if stop_at is None else (stop_at, "before", 1, "stop")) as process:
            if stop_at is not None:
                reached = self._overtake(process, at)
            elif action == "stop":
                reached = self._overtake(process)
            else:
                reached = self._reached(process, name)
            ended_well = process.ended() and process.wait().exit_code == 0
            if not process.ended():
                self.kill(process)
        tally.tried(self, name, side, reached)
        if ended_well:
            return None
        if not reached:
            return f"random where {name} was not reached {n} times"
        return f"{action} {side} {name}, number {n}"

    def _choose(self, tally):
        """(point, side, n, action); None: any moment. Folders are made by a first process only."""
        if self.rng.random() < RANDOM_SHARE and self.lie is None:
            return None
        if self.lie in OVERTAKEN:
            chosen = ("renameat2 log-entry", "before", 1)
        else:
            wanted = lambda point: point.name.startswith("mkdir ") == self.first
            chosen = self.choose(self.shim, tally, wanted)
        if chosen is None:
            return None if self.lie is None else _ANY
        name, side, n = chosen
        if name in OVERTAKEN_BEFORE:
            return name, side, 1, "kill"
        return name, side, n, self._action(name, side)

    def _action(self, name, side):
        if self.lie is not None:
            return "stop" if self.lie in OVERTAKEN else "power"
        if side == "before" and name.split()[0] in NAMING and self.rng.random() < 0.3:
            return "stop"
        return "power" if self.rng.random() < 0.4 else "kill"

    def _reached(self, process, name):
        """Waits for the point. Where it is one of the end, the process is told to stop."""
        limit_s = RARE_LIMIT_S if "chain-base" in name else POINT_LIMIT_S
        end = time.monotonic() + limit_s
        told = not name.endswith(AT_THE_END)
        while not process.ended() and time.monotonic() < end:
            self.pass_time(process, min(self.producer.round_s, limit_s))
            self.producer.next_round()
            if not told and not process.ended():
                process.signal(signal.SIGTERM)
                told = True
        if not process.ended() or process.wait().exit_code == 0:
            return False
        self.killed(process)
        return True

    def _overtake(self, process, then=None):
        """`process` stops right before it gives a file its name. Another one does the work
        meanwhile, and must not be harmed when the first one goes on. True when it did stop; with
        `then`, a point, when it came to that behind it."""
        try:
            wait_for(lambda: process.ended() or stopped(process.pid), POINT_LIMIT_S, "the stop")
        except TimeoutError:
            return False
        if process.ended():
            self.killed(process)
        before = self._versions()
        fired = self._fired(then)
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
            if then is not None:
                self.shim.arm(then)
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
        return then is None or self._fired(then) > fired

    def _fired(self, at):
        """How often the point of a plan has ended a process so far."""
        if at is None:
            return 0
        point = self.shim.points().get(at[0])
        return 0 if point is None else point.hits(at[1])

    def _versions(self):
        logs = {n: self.whole.table(n) / "_delta_log" for n in ("bronze", "silver_tbl", "gold")}
        return {name: len(list(log.glob("*[0-9].json"))) for name, log in logs.items()}


_ANY = ("write log-temporary", "before", 1, "kill")
