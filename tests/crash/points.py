"""The shim's side of the harness: its environment, and the points that it has counted.

A point is a call on a kind of path ("renameat2 log-entry"), at which a process can be ended or
stopped before or after. Which points there are is not written down anywhere: they are those that
the shim has seen sluice pass.
"""

import struct
import subprocess
from dataclasses import dataclass

_ROW = struct.Struct("48s7Q")  # struct row of preload.c
_CONSUMED = struct.Struct("64q")  # behind the rows
_ORDER = struct.Struct("Q88s")  # struct order, behind that
_BEHIND = _CONSUMED.size + _ORDER.size
SIDES = ("before", "after")
ENDS = ("kill", "power")
ACTIONS = (*ENDS, "stop")
# What changes files; of these, what lib/store calls has to be interposed.
CHANGING = set(
    "open openat open64 openat64 creat write pwrite pwrite64 writev pwritev fsync fdatasync "
    "sync_file_range link linkat symlink symlinkat rename renameat renameat2 unlink unlinkat remove "
    "mkdir mkdirat rmdir truncate ftruncate fallocate posix_fallocate copy_file_range sendfile "
    "fopen fwrite mkstemp mkostemp mkdtemp".split()
)
# Of librdkafka's, what writes records or belongs to transactions.
WRITING = set(
    "rd_kafka_init_transactions rd_kafka_begin_transaction rd_kafka_send_offsets_to_transaction "
    "rd_kafka_commit_transaction rd_kafka_abort_transaction rd_kafka_produce rd_kafka_producev "
    "rd_kafka_produceva rd_kafka_produce_batch rd_kafka_flush".split()
)


@dataclass
class Point:
    name: str
    reached: int
    fired: dict  # (side, action) to a number

    @classmethod
    def never(cls, name):
        """One that nobody has come to yet."""
        return cls(name, 0, {(side, action): 0 for side in SIDES for action in ACTIONS})

    def hits(self, side):
        """How often a process has ended there. One that was stopped there went on."""
        return sum(self.fired[side, action] for action in ENDS)

    def hits_of_both(self):
        return sum(self.hits(side) for side in SIDES)

    def add(self, other):
        self.reached += other.reached
        for key, n in other.fired.items():
            self.fired[key] += n


class Shim:
    """`folder` is what it watches, `counts` the file that its counts are kept in."""

    def __init__(self, library, counts):
        self.library, self.counts = library, counts

    def environment(self, folder, at=None, seed=1, lie=None):
        """`at`: (point's name, side, n, action)."""
        env = {
            "LD_PRELOAD": str(self.library),
            "SLUICE_CRASH_FOLDER": str(folder),
            "SLUICE_CRASH_COUNTS": str(self.counts),
            "SLUICE_CRASH_SEED": str(seed),
        }
        if at is not None:
            env["SLUICE_CRASH_AT"] = "{} {} {} {}".format(*at)
        if lie is not None:
            env["SLUICE_CRASH_LIE"] = lie
        return env

    def points(self):
        """Those that have been reached, by name."""
        if not self.counts.exists():
            return {}
        found = {}
        keys = [(side, action) for side in SIDES for action in ACTIONS]
        rows = self.counts.read_bytes()[:-_BEHIND]
        for name, reached, *fired in _ROW.iter_unpack(rows):
            if reached:
                text = name.rstrip(b"\0").decode()
                found[text] = Point(text, reached, dict(zip(keys, fired)))
        return dict(sorted(found.items()))

    def forget_consumed(self):
        """To be called before a process starts."""
        if self.counts.exists():
            with open(self.counts, "r+b") as file:
                file.seek(-_BEHIND, 2)
                file.write(bytes(_CONSUMED.size))

    def arm(self, at):
        """The process that runs is to end there, counted from now on. It must have begun."""
        with open(self.counts, "r+b", buffering=0) as file:
            file.seek(-_ORDER.size, 2)
            number, _ = _ORDER.unpack(file.read(_ORDER.size))
            file.seek(-_ORDER.size + 8, 2)
            file.write("{} {} {} {}".format(*at).encode().ljust(_ORDER.size - 8, b"\0"))
            file.seek(-_ORDER.size, 2)
            file.write(struct.pack("Q", number + 1))

    def consumed(self):
        """Partition to the next offset that the process would have read."""
        if not self.counts.exists():
            return {}
        following = _CONSUMED.unpack(self.counts.read_bytes()[-_BEHIND : -_ORDER.size])
        return {p: offset for p, offset in enumerate(following) if offset > 0}


def _lines(*command):
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\n")
    return [line for line in lines if line.strip()]


def undefined(archive):
    """The names that the objects of an archive, or a shared object, take from elsewhere."""
    lines = _lines("nm", "-u", str(archive))
    return {line.split()[-1].partition("@")[0] for line in lines if line.split()[0] in ("U", "w")}


def defined(library):
    """The names that a shared object interposes."""
    lines = _lines("nm", "-D", "--defined-only", str(library))
    return {line.split()[-1].partition("@")[0] for line in lines}


def not_interposed(library, build):
    """Calls past the shim: what changes files in lib/store, which alone writes tables and state,
    and what writes to topics in the kafka plugin."""
    made = undefined(build / "lib" / "libsl_store.a") & CHANGING
    made |= undefined(build / "plugins" / "kafka.so") & WRITING
    return sorted(made - defined(library))


def merged(shims):
    """The points of several shims, added up."""
    found = {}
    for shim in shims:
        for name, point in shim.points().items():
            if name in found:
                found[name].add(point)
            else:
                found[name] = point
    return dict(sorted(found.items()))


def table(points):
    """Lines for people: each point with how often it was reached, how often processes ended there,
    right before it and right after it, how many of them by a power cut, and how many were stopped."""
    lines = [f"{'point':36} {'reached':>9} {'ended':>6} {'before':>7} {'after':>6} {'power':>6} stopped"]
    for point in points.values():
        power, stop = (sum(point.fired[s, a] for s in SIDES) for a in ("power", "stop"))
        lines.append(
            f"{point.name:36} {point.reached:9} {point.hits_of_both():6}"
            f" {point.hits('before'):7} {point.hits('after'):6} {power:6} {stop:7}"
        )
    return lines
