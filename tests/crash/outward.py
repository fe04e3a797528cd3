"""A chapter of one process that also copies what it reads to another topic, exactly once.

Points are then the steps of the copy's transactions, too (transactions.c), and the marks that it
keeps of its positions. In the end a reader of committed records has to find in the copy what is in
the topic, each as often.
"""

import shutil
from collections import Counter

from tests.crash.chapter import PARTITIONS, Broken
from tests.crash.one import MADE_TO_HAPPEN, OVERTAKEN_BEFORE, OneProcess

_OVERTAKEN_BEFORE = OVERTAKEN_BEFORE | {
    "abort_transaction kafka": "commit_transaction kafka",
    "unlink known-mark-temporary": "renameat2 known-mark",
}


class Outward(OneProcess):
    OVERTAKEN_BEFORE = _OVERTAKEN_BEFORE
    MADE_TO_HAPPEN = MADE_TO_HAPPEN | _OVERTAKEN_BEFORE
    NEVER = ("group-delta",)

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.broker.create_topic(self.copy, PARTITIONS)
        self.topics.append(self.copy)

    @property
    def copy(self):
        return f"{self.topic}-copy"

    def _extend(self, document):
        super()._extend(document)
        document["sinks"]["copy"] = {
            "plugin": "kafka",
            "inputs": ["events"],
            "commit.interval": "200ms",
            "config": {"topic": self.copy, "delivery": "exactly-once"},
        }

    def _prepare(self, name, tally):
        if "known-mark" in name:  # as if the process had been killed before it could make them
            shutil.rmtree(self.whole.state / "nodes" / "copy" / "known", ignore_errors=True)
        super()._prepare(name, tally)

    def _verify(self, tally):
        told = super()._verify(tally)
        written, copied = (self.broker.committed(t) for t in (self.topic, self.copy))
        if written != copied:
            lost, more = (written - copied).total(), (copied - written).total()
            raise Broken(f"the copy lacks {lost} records, and has {more} that it must not have")
        return f"{told}; copied {copied.total()}"


def committed(broker, topic):
    """The values of all committed records, to how often they are there."""
    return Counter(message.value() for message in broker.messages(topic))
