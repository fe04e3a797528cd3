"""A feed that goes on while the program under test is stopped, killed and started again."""

import threading

from tests.support import events

BURST = 500


class Producer(threading.Thread):
    """Feeds the topic in bursts until all is delivered, about `rate` records a second."""

    def __init__(self, broker, topic, feed, rate=10_000):
        super().__init__(daemon=True)
        self._broker, self._topic, self._rate = broker, topic, rate
        self._feed = events.records(feed)
        self._hurry = threading.Event()
        self._failure = None

    def _paced(self):
        for number, record in enumerate(self._feed):
            if number % BURST == 0:
                self._hurry.wait(BURST / self._rate)
            yield record

    def run(self):
        try:
            self._broker.produce(self._topic, self._paced())
        except Exception as error:
            self._failure = error

    def finish(self, limit_s=120):
        """Waits until everything is delivered, at full speed."""
        self._hurry.set()
        self.join(limit_s)
        assert not self.is_alive(), "the producer has not ended"
        if self._failure is not None:
            raise self._failure
