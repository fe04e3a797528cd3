"""A chapter in which several hosts share the work, come and go, and are killed.

Three processes with host names of their own share bronze, silver and the quarantine: one consumer
group, one topology, one set of tables, one state store. A fourth runs gold as a pipeline of its own,
since an aggregation of scope "host" needs all partitions. In the other kind of chapter the three do
all of it, gold with scope "group". Each of them is started anew when it was killed, as a member that
the group still knows. Beside kills: a host leaves and joins again, a host is stopped for longer than
its session and goes on, the broker is killed and comes back; in the other kind of chapter gold is
paused, stopped and restarted on a host, and told other settings.
"""

import signal
import time

from tests.crash.chapter import STOPPED_LIMIT_S, Broken, Chapter, stopped
from tests.crash.orders import ADMIN, Operator
from tests.support import sluice
from tests.support.servers import wait_for

HOSTS = ("a", "b", "c")
GOLD = "gold"
SESSION_MS = 2000
GROUP = {"session.timeout.ms": SESSION_MS, "heartbeat.interval.ms": 300}
LEAVE_LIMIT_S = 60
READING_LIMIT_S = 10
READING_SHARE = 0.7  # of the victims have read something
POINT_LIMIT_S = 3  # a point that is not reached by then is none of this round
RANDOM_S = 1.5
RANDOM_SHARE = 0.05
STOP_SHARE = 0.2  # of the points before a name is given
# Of all rounds, those with something else before the kill.
EVENTS = (("leave", 0.06), ("stop", 0.06), ("broker", 0.02), ("reload", 0.06))
FEED_STEP_S = 0.2
NAMING = ("renameat2", "rename", "link")
ORDER_S = 2.0  # between two orders
RESUMED_SHARE = 0.7


class Slot:
    """A host with its process."""

    def __init__(self, name, medallion, shim):
        medallion.document["admin"] = ADMIN
        self.name, self.path, self.shim = name, medallion.write(), shim
        self.group = f"sluice-{medallion.document['pipeline']}-events"
        self.process = None
        self.started = 0.0


class Hosts(Chapter):
    MERGING_SHARE = 1.0  # of the processes come to gold's chain, if any does
    EVENTS = EVENTS

    def __init__(self, broker, shims, folder, seed, records, lie=None):
        super().__init__(broker, shims, folder, seed, records, lie)
        self.slots = self._slots(shims)
        self.fresh = [*self.slots]  # those that have not run yet

    def _slots(self, shims):
        slots = [Slot(h, self._front(), shims[h]) for h in HOSTS]
        return [*slots, Slot(GOLD, self._gold(), shims[GOLD])]

    def _front(self):
        medallion = self.medallion("front").without("per_country")
        medallion.document["sources"]["events"]["config"] |= GROUP
        return medallion

    def _gold(self):
        medallion = self.medallion(GOLD).without("bronze", "silver_tbl", "quarantine")
        medallion.document["sources"]["events"]["config"] |= GROUP
        return medallion

    def to_the_end(self):
        """One host does the rest. As long as the group remembers the others, it leaves their
        partitions to them."""
        for slot in {slot.path: slot for slot in self.slots}.values():
            wait_for(
                lambda: self.broker.group_members(slot.group) == 0,  # noqa: B023
                LEAVE_LIMIT_S,
                f"{slot.group} without members",
            )
            yield slot.path, self._environment(slot)

    def leave(self):
        for slot in self.slots:
            if slot.process is not None:
                slot.process.__exit__()
                slot.process = None

    # ---- one round ----

    def round(self, tally):
        if self.fresh:
            self._make_folders(self.fresh.pop(0), tally)
            return
        for slot in self.slots:
            if slot.process is None:
                self._start(slot)
        self._let_something_happen(tally)
        slot = self.rng.choice(self.slots)
        if self.rng.random() < READING_SHARE:
            self._wait(slot.shim.consumed, READING_LIMIT_S)
        at = self._plan(slot, tally)
        if at is None:
            self._wait(slot.process.ended, self.rng.uniform(0.05, RANDOM_S))
            self._kill(slot, f"random {slot.name}", tally)
            return
        name, side, n, action = at
        slot.shim.arm(at)
        reached = self._reached(slot, action)
        tally.tried(self, name, side, reached)
        if reached:
            self._kill(slot, f"{action} {slot.name} {side} {name}, number {n}", tally)
        else:
            way = f"random {slot.name} where {name} was not reached {n} times"
            self._kill(slot, way, tally)

    def _make_folders(self, slot, tally):
        """Folders are made by the first processes only."""
        chosen = self.choose(slot.shim, tally, lambda point: point.name.startswith("mkdir "))
        name, side, _ = chosen or ("mkdir table-folder", "before", 1)
        self._start(slot, (name, side, 1, "kill"))
        self._wait(slot.process.ended, POINT_LIMIT_S)
        self._kill(slot, f"kill {slot.name} {side} {name}", tally)

    def _environment(self, slot, at=None, seed=1):
        return slot.shim.environment(self.folder, at, seed) | {"SLUICE_CRASH_HOST": slot.name}

    def _start(self, slot, at=None):
        slot.shim.forget_consumed()
        env = self._environment(slot, at, self.rng.randrange(1, 2**31))
        lanes = self.rng.randint(1, 2)
        arguments = ("run", "--json", "--set", f"lanes={lanes}", slot.path)
        slot.process = sluice.Process(*arguments, env=env)
        slot.started = time.monotonic()

    def _plan(self, slot, tally):
        """A power cut takes away names that other hosts have made durable, so only the one that
        is alone with its tables has them."""
        if self.rng.random() < RANDOM_SHARE:
            return None
        merges = self.rng.random() < self.MERGING_SHARE
        wanted = lambda p: _of_a_running(p) and (merges or " chain" not in p.name)
        chosen = self.choose(slot.shim, tally, wanted)
        if chosen is None:
            return None
        name, side, n = chosen
        n = min(n, self.rng.randint(1, 3))
        if side == "before" and name.split()[0] in NAMING and self.rng.random() < STOP_SHARE:
            return name, side, n, "stop"
        power = slot.name == GOLD and self.rng.random() < 0.4
        return name, side, n, "power" if power else "kill"

    def _reached(self, slot, action):
        """Waits until the process has come to its point. One that stopped there goes on after its
        session, for a while."""
        self._wait(lambda: slot.process.ended() or stopped(slot.process.pid), POINT_LIMIT_S)
        if action != "stop" or not stopped(slot.process.pid):
            return slot.process.ended()
        self._go_on_late(slot)
        return True

    def _wait(self, condition, seconds):
        """Time passes, in which there is always something to read."""
        end = fed = time.monotonic()
        end += seconds
        while time.monotonic() < end and not condition():
            if time.monotonic() > fed + FEED_STEP_S:
                self.producer.go_on(FEED_STEP_S)
                fed += FEED_STEP_S
            time.sleep(0.005)

    def _kill(self, slot, way, tally):
        if not slot.process.ended():
            slot.process.signal(signal.SIGKILL)
        self.killed(slot.process)
        slot.process.__exit__()
        slot.process = None
        in_flight = None  # of gold's own pipeline only gold knows
        if slot.name != GOLD:
            in_flight = self.ledger.in_flight(slot.shim.consumed())
        self.tell(tally, way, slot.started, in_flight)

    # ---- what happens beside ----

    def _let_something_happen(self, tally):
        dice = self.rng.random()
        for event, share in self.EVENTS:
            if dice < share:
                getattr(self, f"_{event}")(tally)
                tally.happened(event)
                return
            dice -= share

    def _leave(self, tally):
        """A host leaves as it should, and joins again."""
        slot = self.rng.choice(self.slots)
        slot.process.signal(signal.SIGTERM)
        done = slot.process.wait(STOPPED_LIMIT_S)
        self.keep_log(done)
        if done.exit_code not in (0, -signal.SIGTERM):  # the latter: it had hardly begun
            raise Broken(f"host {slot.name} left with {done.failed_because()}")
        if done.exit_code == 0:
            self.check_accounts(tally, done, alone=False)
        slot.process.__exit__()
        slot.process = None
        self._wait(lambda: False, self.rng.uniform(0, 2 * SESSION_MS / 1000))
        self._start(slot)

    def _stop(self, _tally):
        """A host is stopped at any moment, and goes on."""
        slot = self.rng.choice(self.slots)
        slot.process.signal(signal.SIGSTOP)
        self._go_on_late(slot)

    def _go_on_late(self, slot):
        """Its session is over meanwhile, and others have its partitions. It goes on, finds that
        out, and lives."""
        self._wait(lambda: False, 1.5 * SESSION_MS / 1000)
        slot.process.signal(signal.SIGCONT)
        self._wait(slot.process.ended, self.rng.uniform(0.2, 3.0))

    def _broker(self, _tally):
        """All hosts read by then."""
        self._wait(lambda: all(slot.shim.consumed() for slot in self.slots), READING_LIMIT_S)
        self.broker.die_and_come_back(self.topic)

    def _reload(self, _tally):
        """Of the hosts of one pipeline, one gets another interval of a sink, or all of them."""
        told = self.rng.choice(self.slots)
        self._wait(lambda: told.shim.consumed() or told.process.ended(), READING_LIMIT_S)
        if not told.shim.consumed():
            return  # one that has hardly begun dies of it
        self._change(Operator(told.path, self.rng))
        everybody = self.rng.random() < 0.5
        for slot in self.slots:
            if slot is told or (everybody and slot.path == told.path and slot.shim.consumed()):
                slot.process.signal(signal.SIGHUP)

    def _change(self, operator):
        operator.change_sink()


# What a process passes when it starts, ends, cleans or is told something only, or hardly ever.
BESIDE = ("mkdir ", "unlinkat ", "run-mark", "config-ed", "seen-mark")
ORDERED = ("targets", "history", "topology", "top-folder")
RARELY = ("unlink segment", "unlink data-file", "chain-base", "chain-base-temporary")


def _of_a_running(point):
    beside = any(what in point.name for what in BESIDE + ORDERED)
    return not beside and not point.name.endswith(RARELY)


class Group(Hosts):
    """Three hosts, all of which aggregate; one of them merges."""

    MERGING_SHARE = 0.2
    EVENTS = (*EVENTS, ("order", 0.15))

    def _slots(self, shims):
        return [Slot(h, self._whole(), shims[h]) for h in HOSTS]

    def _whole(self):
        medallion = self.medallion("group")
        medallion.document["sources"]["events"]["config"] |= GROUP
        medallion.document["transforms"]["per_country"]["config"]["scope"] = "group"
        return medallion

    def _change(self, operator):
        self.rng.choice((operator.change_sink, operator.change_gold))()

    def _order(self, _tally):
        """A host's share of gold is paused, stopped or restarted, and mostly goes on; if not, hosts
        that start from now on wait, too."""
        told = self.rng.choice(self.slots)
        self._wait(lambda: told.shim.consumed() or told.process.ended(), READING_LIMIT_S)
        operator = Operator(told.path, self.rng)
        what = self.rng.choice(("pause", "stop", "restart"))
        operator.order_gold(told.process, what)
        self._wait(told.process.ended, self.rng.uniform(0, ORDER_S))
        if what != "restart" and self.rng.random() < RESUMED_SHARE:
            operator.order_gold(told.process, "resume")
            self._wait(told.process.ended, self.rng.uniform(0, ORDER_S))
        operator.has_been_answered()

    def _let_something_happen(self, tally):
        """Whoever was left paused goes on sooner or later."""
        if self.rng.random() < RESUMED_SHARE:
            operator = Operator(self.slots[0].path, self.rng)
            for slot in self.slots:
                if slot.shim.consumed():
                    operator.order_gold(slot.process, "resume")
            operator.has_been_answered()
        super()._let_something_happen(tally)

    def to_the_end(self):
        Operator(self.slots[0].path, self.rng).let_all_go_on(self.folder / "state" / "group")
        return super().to_the_end()
