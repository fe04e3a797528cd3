"""Faults: which there are, and what has to come of each.

No list of calls is kept here: an undisturbed run lists those that lib/store makes (inject.c), and
each is made to fail by every error that the system's manual has for it.
"""

import errno
import os
import random
import re
import shutil
from collections import Counter
from dataclasses import dataclass

from tests.crash.points import defined, undefined
from tests.faults import lake
from tests.faults.lake import Broken
from tests.support import sluice

LIBRARY = sluice.BINARY.parent / "tests" / "faults" / "inject.so"
STORE = sluice.BINARY.parent / "lib" / "libsl_store.a"
# What lib/store calls beside the file system: memory, text, time, ciphers, XML, the process, flags of
# a descriptor, and the parts of the project. Whatever is not of this kind has to be seen.
_NO_FILE = re.compile(
    r"(sl_|mem|str|pthread_|EVP_|XML_|__ctype|gmtime|time)\w*|HMAC|__errno_location|calloc|malloc|realloc|"
    r"free|qsort|explicit_bzero|getrandom|getpid|getcwd|snprintf|dirfd|fcntl"
)
_NAMES = ("ENOSPC", "EIO", "EACCES", "EROFS")
# By call: (mode, error). "after" has acted, and says that it has not.
ERRORS = {
    "create": [("before", e) for e in (*_NAMES, "EMFILE")] + [("after", "EIO")],
    "open": [("before", e) for e in ("EIO", "EACCES", "EMFILE")],
    "open-folder": [("before", e) for e in ("EIO", "EACCES", "EMFILE")],
    "write": [("before", "ENOSPC"), ("before", "EIO"), ("after", "ENOSPC"), ("short", "EIO")],
    "fsync": [("before", "EIO"), ("before", "ENOSPC"), ("after", "EIO")],
    "fdatasync": [("before", "EIO"), ("before", "ENOSPC"), ("after", "EIO")],
    "link": [("before", e) for e in _NAMES] + [("after", "EIO")],
    "rename": [("before", e) for e in _NAMES] + [("after", "EIO")],
    "renameat2": [("before", e) for e in _NAMES] + [("after", "EIO")],
    "unlink": [("before", "EIO"), ("before", "EACCES"), ("after", "EIO")],
    "unlinkat": [("before", "EIO"), ("before", "EROFS")],
    "mkdir": [("before", e) for e in _NAMES] + [("after", "EIO")],
    "close": [("after", "EIO"), ("after", "ENOSPC")],
    "pread": [("before", "EIO"), ("short", "EIO")],
    "stat": [("before", "EIO"), ("before", "EACCES")],
    "fstat": [("before", "EIO")],
    "fstatat": [("before", "EIO"), ("before", "EACCES")],
    "opendir": [("before", e) for e in ("EIO", "EACCES", "EMFILE")],
    "readdir": [("before", "EIO")],
}
# Calls that go on failing, as one disk or one process has it: (name, faults from the n-th on).
_CHANGES = ("create", "write", "fsync", "fdatasync", "rename", "renameat2", "mkdir", "unlink")
LASTING = {
    "disk full": [(c, "before", "ENOSPC") for c in ("create", "write", "mkdir")],
    "read-only": [(c, "before", "EROFS") for c in _CHANGES if c not in ("write", "fsync")],
    "bad disk": [(c, "before", "EIO") for c in _CHANGES],
    "no descriptors": [(c, "before", "EMFILE") for c in ("create", "open", "opendir")],
    "short writes": [("write", "short", "EIO")],
}
# Where a run begins: with nothing, behind an earlier run, on a file system without RENAME_NOREPLACE.
STARTS = ("fresh", "again", "link")
_NO_NOREPLACE = f"renameat2 * 1 0 before {errno.EINVAL}"
# One of the four classes of errors has to be told by words, not by a number.
_SENTENCE = re.compile(r"cannot [a-z -]+ \S+|other writers|no random bytes|time", re.I)


@dataclass(frozen=True)
class Fault:
    start: str
    text: str  # of SLUICE_FAULT_AT
    told: str


def not_listed():
    """Calls of lib/store that may go into the file system and that the shim does not see: all that
    it calls, but for what surely does not."""
    called = undefined(STORE) - defined(LIBRARY)
    return sorted(name for name in called if not _NO_FILE.fullmatch(name))


def judge(done, fired):
    """What came of a run, in a few words; Broken when it ended in no decent way."""
    if not fired:
        return "not reached"
    if done.exit_code == 0:
        return "went on"
    if done.exit_code != 1:
        raise Broken(done.failed_because())
    nodes = done.summary["nodes"] if done.output.startswith("{") else []
    failures = {node["name"]: node["failure"] for node in nodes if node["failure"]}
    said = failures.values() or [line for line in done.log.splitlines() if " ERROR " in line][-1:]
    if not said or not all(_SENTENCE.search(text) for text in said):
        raise Broken(f"nobody says why: {failures}: {done.failed_because()}")
    return f"FAILED: {', '.join(failures)}" if failures else "did not start"


class Bench:
    """Runs faults below `folder`. `seed` chooses which of many equal calls fails."""

    def __init__(self, folder, seed=0):
        self.folder = folder
        self.rng = random.Random(seed)
        self.truth = lake.Truth(folder / "truth")
        self.calls = {}
        lake.run(folder / "half", lake.HALF)
        lake.leave_leftovers(folder / "half")
        for start in STARTS:
            self.calls[start] = self._list(start)

    def _environment(self, place, at, listed, clock=None):
        env = {
            "LD_PRELOAD": str(LIBRARY),
            "SLUICE_FAULT_FOLDER": str(place),
            "SLUICE_FAULT_LIST": str(listed),
        }
        if at:
            env["SLUICE_FAULT_AT"] = at
        if clock:
            env["SLUICE_FAULT_CLOCK"] = clock
        return env

    def _place(self, start):
        place = self.folder / "place"
        shutil.rmtree(place, ignore_errors=True)
        if start == "again":
            shutil.copytree(self.folder / "half", place)
        return place

    def _list(self, start):
        """{(call, kind): how often} of an undisturbed run."""
        listed = self.folder / f"calls-{start}"
        at = _NO_NOREPLACE if start == "link" else None
        place = self._place(start)
        done = lake.run(place, lake.EVENTS, self._environment(place, at, listed))
        if done.exit_code != 0:
            raise Broken(f"{start}: a run without faults failed: {done.failed_because()}")
        self.truth.compare(place)
        lines = listed.read_text().splitlines()
        return Counter(tuple(line.lstrip("!").split()) for line in lines)

    # ---- which ----

    def points(self, start):
        """Calls of one start that no earlier start has shown, too."""
        before = STARTS[: STARTS.index(start)]
        seen = {point for s in before for point in self.calls[s]}
        return {p: n for p, n in sorted(self.calls[start].items()) if p not in seen}

    def faults(self, often=1):
        """Every fault: each error of each call on each kind of file, at the first such call and
        at `often` later ones."""
        for start in STARTS:
            for (call, kind), count in self.points(start).items():
                for mode, name in ERRORS[call]:
                    for n in self._numbers(count, often):
                        yield self._fault(start, call, kind, n, mode, name)

    def one_of(self, call):
        """Some fault of a call."""
        start = self.rng.choice([s for s in STARTS if any(c == call for c, _ in self.points(s))])
        kinds = [(kind, n) for (c, kind), n in self.points(start).items() if c == call]
        kind, count = self.rng.choice(kinds)
        mode, name = self.rng.choice(ERRORS[call])
        return self._fault(start, call, kind, self.rng.randint(1, 1 + count // 3), mode, name)

    def _numbers(self, count, often):
        later = range(2, count + 1)
        return [1, *sorted(self.rng.sample(later, min(often, len(later))))]

    @staticmethod
    def _fault(start, call, kind, n, mode, name):
        return Fault(
            start,
            f"{call} {kind} {n} 1 {mode} {getattr(errno, name)}",
            f"{start}: {call} {kind}, number {n}: {name} {mode}",
        )

    def lasting(self):
        """Faults that stay from a moment on, and some that go away after a while."""
        for name, parts in LASTING.items():
            for n, count in ((1, 0), (self.rng.randint(5, 40), 0), (self.rng.randint(5, 40), 5)):
                at = (f"{c} * {n} {count} {mode} {getattr(errno, e)}" for c, mode, e in parts)
                times = "on" if count == 0 else f"on, {count} times"
                yield Fault("fresh", ";".join(at), f"{name}, from number {n} {times}")

    # ---- what comes of it ----

    def run(self, fault):
        """How it went, in a few words: the run went on, or which nodes failed. Broken otherwise."""
        place, listed = self._place(fault.start), self.folder / "listed"
        listed.unlink(missing_ok=True)
        at = f"{_NO_NOREPLACE};{fault.text}" if fault.start == "link" else fault.text
        done = lake.run(place, lake.EVENTS, self._environment(place, at, listed))
        calls = listed.read_text() if listed.exists() else ""
        fired = sum(line.startswith("!") for line in calls.splitlines())
        told = judge(done, fired)
        lake.readable(place)
        if done.exit_code != 0:
            again = lake.run(place, lake.EVENTS)
            if again.exit_code != 0:
                raise Broken(f"the run after it failed: {again.failed_because()}")
        self.truth.compare(place)
        return told

    def jump(self, hours, period_ms):
        """A run while the wall clock jumps."""
        place = self._place("fresh")
        env = self._environment(place, None, os.devnull, f"{hours * 3600} {period_ms}")
        done = lake.run(place, lake.EVENTS, env)
        if done.exit_code != 0:
            raise Broken(done.failed_because())
        self.truth.compare(place)
