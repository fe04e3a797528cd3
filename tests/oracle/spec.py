"""What an oracle run is told: durations, windows, deduplication and aggregation, as the topology's
JSON spells them. README.md has the definitions."""

import re
from dataclasses import dataclass, field

_UNITS_US = {
    "us": 1,
    "ms": 1_000,
    "s": 1_000_000,
    "m": 60_000_000,
    "h": 3_600_000_000,
    "d": 86_400_000_000,
}
_AGGREGATES = (
    "count sum min max avg stddev stddev_samp stddev_pop count_distinct quantile first last".split()
)


def duration_us(text):
    """ "10s", "1h30m", 250 (milliseconds) to microseconds; None stays None."""
    if text is None:
        return None
    if isinstance(text, int):
        return text * 1_000
    parts = re.findall(r"(\d+)(us|ms|s|m|h|d)", text)
    if not parts or "".join(n + u for n, u in parts) != text:
        raise ValueError(f"not a duration: {text!r}")
    return sum(int(n) * _UNITS_US[u] for n, u in parts)


def path_parts(text):
    """ "session.duration_ms" to its names; a dot inside back quotes belongs to the name."""
    found = re.findall(r"`([^`]+)`|([^.`]+)", text)
    return [quoted or plain for quoted, plain in found]


@dataclass(frozen=True)
class DedupSpec:
    """`within_us` is W. Without `max_ahead_us` the clock's steps have no bound."""

    key: str
    within_us: int
    max_ahead_us: int | None = None

    @staticmethod
    def from_config(config):
        """The `deduplicate` object of silver-validate."""
        return DedupSpec(
            config["key"], duration_us(config["within"]), duration_us(config.get("max_ahead"))
        )


@dataclass(frozen=True)
class Window:
    """kind: tumbling, hopping (size and every), session (size is the gap)."""

    kind: str
    size_us: int
    every_us: int

    @staticmethod
    def from_config(config):
        ((kind, value),) = config.items()
        if kind == "hopping":
            return Window(kind, duration_us(value["size"]), duration_us(value["every"]))
        if kind not in ("tumbling", "session"):
            raise ValueError(f"unknown kind of window: {kind!r}")
        size = duration_us(value)
        return Window(kind, size, size)


@dataclass(frozen=True)
class Aggregate:
    """One output column: `function` over the column at `path` (None for count())."""

    function: str
    path: str | None = None
    q: float | None = None

    @staticmethod
    def from_text(text):
        match = re.fullmatch(r"\s*(\w+)\s*\(\s*([^,()]*?)\s*(?:,\s*([0-9.]+)\s*)?\)\s*", text)
        if not match or match[1] not in _AGGREGATES:
            raise ValueError(f"not an aggregate: {text!r}")
        return Aggregate(match[1], match[2] or None, float(match[3]) if match[3] else None)


@dataclass(frozen=True)
class GoldSpec:
    time: str
    window: Window
    lateness_us: int = 0
    group_by: tuple = ()
    aggregates: dict = field(default_factory=dict)
    max_ahead_us: int | None = None

    @property
    def group_columns(self):
        """The names of the group columns in gold: a.b is called a_b."""
        return ["_".join(path_parts(path)) for path in self.group_by]

    @staticmethod
    def from_config(config):
        """The `config` object of gold-agg."""
        return GoldSpec(
            time=config["time"],
            window=Window.from_config(config["window"]),
            lateness_us=duration_us(config.get("lateness", "0s")),
            group_by=tuple(config.get("group_by", ())),
            aggregates={n: Aggregate.from_text(t) for n, t in config["aggregates"].items()},
            max_ahead_us=duration_us(config.get("max_ahead")),
        )
