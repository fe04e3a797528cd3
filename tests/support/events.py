"""A feed of retail events for tests on a real broker: the schema of deploy/demo, keyed by device.

Everything that a feed can do to a pipeline, in stated shares: records that break the schema or JSON
itself, copies of earlier records inside and outside the window of deduplication, events that come
late but in time, and events that come too late. The same seed gives the same feed. A record's Kafka
timestamp is its arrival in the feed's own time, so that a day's feed can be produced in seconds;
the topic has to be made with TOPIC_CONFIG, or the broker refuses or deletes such times.
"""

import random
import time
from dataclasses import dataclass

TOPIC_CONFIG = {
    "retention_ms": -1,
    "message_timestamp_before_max_ms": 2**63 - 1,
    "message_timestamp_after_max_ms": 2**63 - 1,
}
START_MS = 1_795_341_600_000  # 2026-11-22T10:00:00Z
_TYPES = (
    ["page_view"] * 60 + ["add_to_cart"] * 20 + ["purchase"] * 12 + ["refund"] * 3 + ["sensor"] * 5
)
_COUNTRIES = (
    ("DE", "EUR"),
    ("FR", "EUR"),
    ("US", "USD"),
    ("GB", "GBP"),
    ("JP", "JPY"),
    ("BR", "BRL"),
    ("IN", "INR"),
)
_PAGES = ("/", "/search", "/product", "/cart", "/checkout", "/account")
_TAGS = ("promo", "mobile", "web", "app", "beta", "vip")


@dataclass(frozen=True)
class Feed:
    """`span_s` is how long the feed lasts in its own time; shares are of all records.

    Half of the `duplicates` copy a record at most 0.8 `within_s` old, half one 1.2 to 2 times as
    old as that. Late events are up to 0.8 `lateness_s` behind, too late ones at least
    `lateness_s` + 60 s.
    """

    records: int
    span_s: int = 7_800
    seed: int = 7
    invalid: float = 0.002
    duplicates: float = 0.01
    late: float = 0.01
    too_late: float = 0.002
    within_s: int = 600
    lateness_s: int = 60
    devices: int = 20_000


class _Clock:
    """Formats times; most events of a feed share their second with others."""

    def __init__(self):
        self._seconds = {}

    def iso(self, ms):
        second, rest = divmod(ms, 1000)
        text = self._seconds.get(second)
        if text is None:
            text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            self._seconds[second] = text
        return f"{text}.{rest:03d}Z"


def _event(rng, ts, devices):
    """(device, event as JSON), both as bytes."""
    pick = rng.random
    device = f"dev-{int(pick() * devices):05d}"
    country, currency = _COUNTRIES[int(pick() * 7)]
    cents = 1 + int(pick() * 49_999)
    text = (
        f'{{"event_id":"{rng.getrandbits(128):032x}","ts":"{ts}","device_id":"{device}",'
        f'"customer_id":{1 + int(pick() * 4_999_999)},"event_type":"{_TYPES[int(pick() * 100)]}",'
        f'"amount":{cents // 100}.{cents % 100:02d},"currency":"{currency}","country":"{country}",'
        f'"session":{{"id":"s-{rng.getrandbits(32):08x}","page":"{_PAGES[int(pick() * 6)]}",'
        f'"duration_ms":{int(pick() * 120_000)}}},"temperature":{pick() * 55 - 10:.1f},'
        f'"tags":["{_TAGS[int(pick() * 3)]}","{_TAGS[3 + int(pick() * 3)]}"]}}'
    )
    return device.encode(), text.encode()


def _broken(rng, text):
    """One of the seven faults of a real feed."""
    kind = int(rng.random() * 7)
    if kind == 0:
        return text[: len(text) // 2]
    if kind == 1:
        return b"{" + text[text.index(b'"ts"') :]
    if kind == 2:
        start = text.index(b'"event_type":"') + 14
        return text[:start] + b"???" + text[text.index(b'"', start) :]
    if kind == 3:
        return text.replace(b'"amount":', b'"amount":-')
    if kind == 4:
        return text.replace(b'"ts":"', b'"ts":"not-a-time ')
    if kind == 5:
        return text.replace(b'"customer_id":', b'"customer_id":"x').replace(
            b',"event_type"', b'","event_type"'
        )
    return b"\xff" + text


class _Past:
    """The valid originals of the last 2 W, by arrival; each is copied at most once."""

    def __init__(self, feed):
        self._per_s = feed.records / feed.span_s
        self._within_s = feed.within_s
        self._size = int(2 * feed.within_s * self._per_s) + 2
        self._ring = [None] * self._size

    def keep(self, number, original):
        self._ring[number % self._size] = original

    def take(self, rng, number):
        """An original of the right age, or None when there is none (any more)."""
        inside = rng.random() < 0.5
        low, high = (0.0, 0.8) if inside else (1.2, 2.0)
        age_s = (low + rng.random() * (high - low)) * self._within_s
        back = max(1, int(age_s * self._per_s))
        if back > number or back >= self._size:
            return None
        at = (number - back) % self._size
        original, self._ring[at] = self._ring[at], None
        return original


def records(feed):
    """Yields the feed's records as Kafka.produce takes them: key, value, timestamp."""
    rng, clock, past = random.Random(feed.seed), _Clock(), _Past(feed)
    too_late_s = feed.lateness_s + 60
    for number in range(feed.records):
        arrival_ms = START_MS + number * feed.span_s * 1000 // feed.records
        fate = rng.random()
        original = past.take(rng, number) if fate < feed.duplicates else None
        if original is not None:
            past.keep(number, None)
            yield {"key": original[0], "value": original[1], "timestamp": arrival_ms}
            continue
        behind_s, fate = 0.2 * rng.random(), rng.random()
        if fate < feed.too_late:
            behind_s += too_late_s + 600 * rng.random()
        elif fate < feed.too_late + feed.late:
            behind_s += 0.8 * feed.lateness_s * rng.random()
        key, value = _event(rng, clock.iso(arrival_ms - int(behind_s * 1000)), feed.devices)
        if rng.random() < feed.invalid:
            past.keep(number, None)
            value = _broken(rng, value)
        else:
            past.keep(number, (key, value))
        yield {"key": key, "value": value, "timestamp": arrival_ms}
