"""A chapter in which one process at a time has the whole medallion, and is killed."""

import signal
import time

from tests.crash import aged, lake
from tests.crash.chapter import STOPPED_LIMIT_S, Broken, Chapter, stopped
from tests.crash.orders import ADMIN, Operator
from tests.crash.points import Point
from tests.support import sluice
from tests.support.servers import wait_for

POINT_LIMIT_S = 3  # a point that is not reached by then is none of this round
READING_LIMIT_S = 5
RARE_LIMIT_S = 8  # snapshots come with so many changes; what comes at an end takes a while
STOP_LIMIT_S = 30
RANDOM_SHARE = 0.04  # points that are not reached add to them
CLEAN_SHARE = 0.05  # of the rounds: before the kill, a process ends as it should
ORDER_SHARE = 0.15  # of the processes get an order of the operator's before their end
GO_ON_SHARE = 0.5  # of the rounds begin with nothing paused, and all where that would be in the way
HELD = ("chain", "group-delta", "plain", "close-record", "kafka", "known-mark")
SLOW_SHARE = 0.3  # of the processes have a slow disk below one sink
MAKING_FOLDERS = 2  # rounds of a chapter
# What a process does with these it does when it is told to stop.
AT_THE_END = ("seen-mark", "seen-mark-temporary", "unlink run-mark")
# What a process that was overtaken takes away, and where it was stopped before that.
OVERTAKEN_BEFORE = {
    "unlink chain-temporary": "renameat2 chain-entry",
    "unlink close-record-temporary": "renameat2 close-record",
    "unlink config-edition-temporary": "renameat2 config-edition",
    "unlink group-delta-temporary": "renameat2 group-delta",
    "unlink log-temporary": "renameat2 log-entry",
    "unlink plain-temporary": "renameat2 plain-file",
    "unlink segment-temporary": "renameat2 segment",
    "unlink targets-temporary": "renameat2 targets",
}
# What can be reached from the beginning, since it is made to happen; once another point has been.
MADE_TO_HAPPEN = OVERTAKEN_BEFORE | {
    "unlink data-file": "renameat2 checkpoint",
    "unlink log-entry": "renameat2 checkpoint",
    "renameat2 history": "renameat2 run-mark",
    "renameat2 targets": "renameat2 run-mark",
    "rename topology": "renameat2 run-mark",
    "unlink topology-temporary": "renameat2 run-mark",
    "unlink targets": "renameat2 targets",
    "unlink history": "renameat2 history",
    "unlink checkpoint": "rename last-checkpoint",
    "unlink close-record": "renameat2 close-record",
    "unlink chain-entry": "rename chain-base",
    "unlink chain-base": "rename chain-base",
    "unlinkat chain-base-temporary": "rename chain-base",
}
MADE_TO_HAPPEN_IN_GROUP = {
    "unlink group-delta": "renameat2 group-delta",
    "unlinkat group-delta-temporary": "renameat2 group-delta",
}
# What the cleaning of a table removes, some time after its beginning.
CLEANING = ("unlink data-file", "unlink log-entry", "unlink checkpoint", "unlinkat data-temporary")
# What is removed beside old entries of gold's chain, and how many snapshots it must have for that.
CHAIN_CLEANING = {
    "unlink chain-entry": 1,
    "unlink chain-base": 2,
    "unlinkat chain-base-temporary": 1,
    "unlink group-delta": 1,
    "unlinkat group-delta-temporary": 1,
}
# What is written when the operator says so, to a process that reads.
ORDERED = {
    "targets": Operator.pause_or_resume,
    "history": Operator.patch,
    "topology": Operator.patch,
    "top-folder": Operator.patch,
}
ORDERS = (
    Operator.reload,
    Operator.patch,
    Operator.pause_or_resume,
    Operator.add_what_fails,
)
UNTIL_CLEANING_S = 900  # tables are cleaned when a process has run so long
SLOW = {"SLUICE_CRASH_SLOW": "/lake/slow/ 300"}  # ms for each file
# Lies that harm when another process was faster, and where that has to be.
OVERTAKEN = {"positions": "renameat2 log-entry"} | {
    f"replace:{kind}": f"renameat2 {kind}" for kind in ("log-entry", "chain-entry")
}
NAMING = ("renameat2", "rename", "link", "commit_transaction")


def _slow(folder):
    """A table beside bronze that is left behind when its disk is slow, and catches up alone."""
    return {
        "plugin": "bronze-sink",
        "inputs": [{"from": "events", "when_full": "detach", "buffer": "96KiB"}],
        "config": {"table": f"file://{folder}/lake/slow"},
    }


class OneProcess(Chapter):
    OVERTAKEN_BEFORE = OVERTAKEN_BEFORE
    MADE_TO_HAPPEN = MADE_TO_HAPPEN
    NEVER = ("group-delta", "kafka", "known-mark")  # points of other kinds of chapters
    EDITION_ORDERED = 0.5  # of the editions are stored while the process runs, not when it starts

    def __init__(self, broker, shims, folder, seed, records, lie=None):
        super().__init__(broker, shims, folder, seed, records, lie)
        self.shim = shims["one"]
        self._extend(self.whole.document)
        self.whole.write()
        self.operator = Operator(self.whole.path, self.rng)
        self.rounds = 0

    def _extend(self, document):
        document["admin"] = ADMIN
        document["sinks"]["archive"] = lake.archive(self.folder)
        document["sinks"]["slow"] = _slow(self.folder)
        if self.rng.random() < 0.5:  # behind the outbox, too
            gold = {"from": "per_country", "when_full": "detach", "buffer": "64KiB"}
            document["sinks"]["gold"]["inputs"] = [gold]
        # segments are of no use soon, and deleted
        document["transforms"]["silver"]["config"]["deduplicate"]["keep"] = "10m"
        # many groups, so that gold's chain of changes is replaced by a snapshot every second
        document["transforms"]["per_country"]["config"]["group_by"].append("device_id")

    def to_the_end(self):
        self.operator.let_all_go_on(self.whole.state)
        yield self.whole.path, self.shim.environment(self.folder, lie=self.lie)

    def round(self, tally):
        if self.rng.random() < CLEAN_SHARE and self.lie is None:
            self._end_cleanly(tally)
        started, before = time.monotonic(), sum(self._versions().values())
        self.shim.forget_consumed()
        way = self._end_one(tally)
        self.operator.has_been_answered()
        self.rounds += 1
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
            done = process.wait(STOPPED_LIMIT_S)
        self.keep_log(done)
        if done.exit_code not in (0, -signal.SIGTERM):  # the latter: it had hardly begun
            raise Broken(f"a process ended by itself: {done.failed_because()}")
        # one that is told to stop while it finishes another edition's work has nothing to say
        if done.exit_code == 0 and (done.output or "is finished first" not in done.log):
            self.check_accounts(tally, done)
            tally.happened("fallen behind", _detached(done))
        tally.happened("clean end")

    # ---- what has to be so that a point can be reached ----

    def candidates(self, shim):
        points = super().candidates(shim)
        for name, before in self.MADE_TO_HAPPEN.items():
            if before in points and name not in points:
                points[name] = Point.never(name)
        snapshots = aged.snapshots(self.whole.state)
        out = aged.nothing_to_clean(self.whole.state)
        out |= {name for name, n in CHAIN_CLEANING.items() if snapshots < n}
        out |= {name for name in points if any(what in name for what in self.NEVER)}
        return {name: point for name, point in points.items() if name not in out}

    def _prepare(self, name, tally):
        """Before the process is started."""
        if name.startswith("unlink"):
            self.ledger.books()  # what is cleaned then is known
            if name in CHAIN_CLEANING:
                aged.repeat_entries(self.whole.state, self.rng)
            elif name == "unlink history":
                aged.repeat_history(self.whole.state)
            elif name == "unlink close-record":
                aged.repeat_closes(self.whole.state, self.rng)
            aged.let_a_day_pass(self.folder / "lake", self.folder / "state")
            tally.happened("a day passed")
        held = any(what in name for what in HELD)
        if name == "unlink targets":
            self.operator.repeat_targets(self.whole.state)
        elif held or (self.lie is None and self.rng.random() < GO_ON_SHARE):
            self.operator.let_all_go_on(self.whole.state)

    def _order(self, process, name, tally):
        """To one that reads already. `name`: the point that is to be reached, or None."""
        if not self._reads(process):
            return
        kind = "" if name is None else name.split()[1].removesuffix("-temporary")
        order = ORDERED.get(kind)
        if kind == "config-edition":
            order = Operator.reload_schema
        if name == "unlink topology-temporary":
            order = Operator.add_what_fails
        if order is None:
            order = self.rng.choice(ORDERS)
        order(self.operator, process)
        tally.happened(order.__name__.replace("_", " "))

    def _reads(self, process):
        end = time.monotonic() + READING_LIMIT_S
        while time.monotonic() < end and not process.ended() and not self.shim.consumed():
            time.sleep(0.01)
        return not process.ended() and bool(self.shim.consumed())

    def _process(self, at=None):
        seed = self.rng.randrange(1, 2**31)
        env = self.shim.environment(self.folder, at, seed, self.lie)
        if self.lie is None and self.rng.random() < SLOW_SHARE:
            env |= SLOW
        if at is not None and at[0] in CLEANING:
            env["SLUICE_CRASH_AHEAD"] = str(UNTIL_CLEANING_S)
        lanes = self.rng.randint(1, 4)
        return sluice.Process("run", "--json", "--set", f"lanes={lanes}", self.whole.path, env=env)

    def _end_one(self, tally):
        """Starts a process and ends it; how, in a few words, the first of which is the way. None:
        it has ended before its point, as it should."""
        at = self._choose(tally)
        edition = at is not None and "config-edition" in at[0]
        share = self.EDITION_ORDERED if edition else ORDER_SHARE
        ordered = self.lie is None and self.rng.random() < share
        if at is None:
            moment = self.rng.uniform(0.05, 3.0)
            with self._process() as process:
                if ordered:
                    self._order(process, None, tally)
                self.pass_time(process, moment)
                self.kill(process)
            return f"random after {moment:.2f} s"
        name, side, n, action = at
        self._prepare(name, tally)
        since = self.broker.comings_and_goings
        if name in self.OVERTAKEN_BEFORE:
            reached, ended_well = self._end_overtaken(at, tally)
        else:
            reached, ended_well = self._end_at(at, ordered, tally)
        if reached or self.broker.was_there_since(since):  # else that says nothing of the point
            tally.tried(self, name, side, reached)
        if ended_well:
            return None
        if not reached:
            return f"random where {name} was not reached {n} times"
        return f"{action} {side} {name}, number {n}"

    def _end_overtaken(self, at, tally):
        """(whether it came there, whether it ended before, as it should)"""
        stop_at = self.OVERTAKEN_BEFORE[at[0]]
        if "config-edition" in at[0]:
            self.operator.change_schema()
        with self._process((stop_at, "before", 1, "stop")) as process:
            if "targets" in at[0]:
                reached = self._overtake_order(process, at, tally)
            else:
                reached = self._overtake(process, at, stop_at)
            return reached, self._is_gone(process)

    def _stops(self, process):
        """Whether it comes to where it is to be stopped, or ends, in time."""
        try:
            wait_for(lambda: process.ended() or stopped(process.pid), POINT_LIMIT_S, "the stop")
        except TimeoutError:
            return False
        return True

    def _overtake_order(self, process, at, tally):
        """`process` stops right before it stores what the operator says. Another host stores what it
        was told meanwhile, for which the files stand in. True when it came to `at` behind that."""
        self._order(process, at[0], tally)
        if not self._stops(process):
            return False
        fired = self._fired(at)
        self.operator.repeat_targets(self.whole.state)
        self.shim.arm(at)
        process.signal(signal.SIGCONT)
        self.pass_time(process, POINT_LIMIT_S)
        self.kill(process)
        return self._fired(at) > fired

    def _end_at(self, at, ordered, tally):
        """As above. With `ordered`, or where only the operator can bring it there, it gets an order
        before."""
        name, _, _, action = at
        late = _is_ordered(name, ordered) and self.lie is None
        if not late and "config-edition" in name:
            self.operator.change_schema()
            tally.happened("configuration changed")
        with self._process(None if late else at) as process:
            if late and self._reads(process):
                self.shim.arm(at)
                self._order(process, name, tally)
            reached = self._overtake(process) if action == "stop" else self._reached(process, name)
            return reached, self._is_gone(process)

    def _is_gone(self, process):
        """In any case; true when it has ended by itself and well."""
        if process.ended():
            return process.wait().exit_code == 0
        self.kill(process)
        return False

    def _choose(self, tally):
        """(point, side, n, action); None: any moment. Folders are made by a first process only."""
        if self.rng.random() < RANDOM_SHARE and self.lie is None:
            return None
        if self.lie in OVERTAKEN:
            chosen = (OVERTAKEN[self.lie], "before", 1)
        else:
            first = self.rounds < MAKING_FOLDERS
            wanted = lambda point: point.name.startswith("mkdir ") == first
            chosen = self.choose(self.shim, tally, wanted)
        if chosen is None:
            return None if self.lie is None else _ANY
        name, side, n = chosen
        if name in self.OVERTAKEN_BEFORE:
            return name, side, 1, "kill"
        return name, side, n, self._action(name, side)

    def _action(self, name, side):
        if self.lie is not None:
            return "stop" if self.lie in OVERTAKEN else "power"
        names = side == "before" and name.split()[0] in NAMING and not name.endswith(AT_THE_END)
        if names and self.rng.random() < 0.3:
            return "stop"
        return "power" if self.rng.random() < 0.4 else "kill"

    def _reached(self, process, name):
        """Waits for the point. Where it is one of the end, the process is told to stop."""
        told = not name.endswith(AT_THE_END)
        is_rare = name.startswith("unlink ") or "chain-base" in name
        limit_s = RARE_LIMIT_S if is_rare or not told else POINT_LIMIT_S
        end = time.monotonic() + limit_s
        while not process.ended() and time.monotonic() < end:
            if "chain-base" in name and name not in CHAIN_CLEANING:
                self.producer.pour()
            self.pass_time(process, min(self.producer.round_s, limit_s))
            self.producer.next_round()
            if not told and self._reads(process):  # one that has hardly begun dies of it
                process.signal(signal.SIGTERM)
                told = True
        if not process.ended() or process.wait().exit_code == 0:
            return False
        self.killed(process)
        return True

    def _overtake(self, process, then=None, stop_at=None):
        """`process` stops right before it gives a file its name, at `stop_at`. Another one does the
        work meanwhile, and must not be harmed when the first one goes on. True when it did stop;
        with `then`, a point, when it came to that behind it, since the name was taken."""
        if not self._stops(process):
            return False
        if process.ended():
            self.killed(process)
        before = self._versions()
        fired, passed = self._fired(then), self._passed(stop_at)
        with self._process() as second:
            try:
                second.wait_for(
                    lambda: all(n > before[name] for name, n in self._versions().items())
                    and (stop_at is None or self._passed(stop_at) > passed),
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

    def _passed(self, name):
        """How often processes have come to a point so far."""
        point = self.shim.points().get(name)
        return 0 if point is None else point.reached

    def _versions(self):
        logs = {n: self.whole.table(n) / "_delta_log" for n in ("bronze", "silver_tbl")}
        last = {name: max(log.glob("*[0-9].json"), default=None) for name, log in logs.items()}
        return {name: -1 if path is None else int(path.stem) for name, path in last.items()}


class InGroup(OneProcess):
    """The same, gold with scope "group": by deltas of a host, here the only one."""

    MADE_TO_HAPPEN = MADE_TO_HAPPEN | MADE_TO_HAPPEN_IN_GROUP
    NEVER = ("kafka", "known-mark")
    EDITION_ORDERED = 0  # what gold reads of is changed between two processes only

    def _extend(self, document):
        super()._extend(document)
        document["transforms"]["per_country"]["config"]["scope"] = "group"


def _is_ordered(name, by_chance):
    """Whether a process comes to this point when it was given an order; `by_chance`: to be given
    one."""
    kind = name.split()[1].removesuffix("-temporary")
    if kind != "history" and name.startswith(("mkdir", "unlinkat")):
        return False  # of the start
    if kind in ("run-mark", "known-mark"):
        return False  # these, too
    if name.startswith("unlink ") and kind not in ORDERED:
        return False  # by what is prepared before the start
    return by_chance or kind in ORDERED


def _detached(done):
    """How often a sink has fallen behind alone."""
    inputs = [i for node in done.summary["nodes"] for i in node["inputs"]]
    return sum(i["buffer"].get("detached_times", 0) for i in inputs)


_ANY = ("write log-temporary", "before", 1, "kill")
