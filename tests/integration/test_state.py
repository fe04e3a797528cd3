"""State does not grow with what has passed: it follows W and the windows that are open.

What is no longer needed stays in the state store for a while, `keep`, for sinks that lag behind;
of deduplication this time is the feed's, so that a feed of two hours shows its end. Of gold-agg it
is the wall clock's, a day by default, so here its live state is looked at.
"""

import itertools

from tests.support import events, sluice
from tests.support.medallion import Medallion

PARTS = 6
RECORDS = 90_000


def bytes_below(folder):
    return sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())


def test_the_state_levels_off(broker, new_topic, tmp_path):
    """A feed of 2 h 10 min in six runs; W and `keep` are 10 minutes each, so that the first part
    fills them."""
    topic = new_topic()
    medallion = Medallion(tmp_path, broker.bootstrap, topic)
    medallion.document["transforms"]["silver"]["config"]["deduplicate"]["keep"] = "10m"
    medallion.write()
    feed = events.records(events.Feed(records=RECORDS))
    stored, tables, windows = [], [], []
    for _ in range(PARTS):
        broker.produce(topic, itertools.islice(feed, RECORDS // PARTS))
        run = sluice.run_until_end(medallion.path)
        stored.append(bytes_below(medallion.state / "nodes" / "silver"))
        tables.append(run.node("silver")["metrics"]["deduplication_table_bytes"])
        windows.append(run.node("per_country")["metrics"]["gold_state_bytes"])
    for what, sizes in (("segments", stored), ("tables", tables), ("windows", windows)):
        assert 0 < sizes[-1] < 1.5 * sizes[1], f"bytes of {what} after each part: {sizes}"
