"""The state store does not grow with what has passed: it follows the windows that are open."""

import itertools

from tests.support import events, sluice
from tests.support.medallion import Medallion

PARTS = 4
RECORDS = 80_000


def bytes_below(folder):
    return sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())


def test_the_state_levels_off(broker, new_topic, tmp_path):
    """A feed of 2 h 10 min in four runs; W is 10 minutes, so that the first part fills it."""
    topic = new_topic()
    medallion = Medallion(tmp_path, broker.bootstrap, topic)
    medallion.write()
    feed = events.records(events.Feed(records=RECORDS))
    sizes = []
    for _ in range(PARTS):
        broker.produce(topic, itertools.islice(feed, RECORDS // PARTS))
        sluice.run_until_end(medallion.path)
        sizes.append(bytes_below(medallion.state))
    assert sizes[-1] < 1.5 * sizes[1], f"bytes of state after each quarter: {sizes}"
