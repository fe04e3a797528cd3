"""Threads beside a test, that work until they are told to end."""

import threading

JOIN_LIMIT_S = 120


class Threads:
    """One thread for each (name, work), from the begin of the context to its end, where `done` is set:
    work looks at it. What work raises ends its thread, and stands in `faults` with its name: the test
    shows it."""

    def __init__(self, works):
        self.done = threading.Event()
        self.faults = []
        self._threads = [
            threading.Thread(target=self._safely, args=(name, work), name=name) for name, work in works
        ]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        for thread in self._threads:
            thread.join(JOIN_LIMIT_S)
        alive = [thread.name for thread in self._threads if thread.is_alive()]
        assert not alive, alive

    def _safely(self, name, work):
        try:
            work()
        except Exception as error:
            self.faults.append((name, error))

    def repeat(self, work):
        """A work that does `work` again and again."""

        def repeated():
            while not self.done.is_set():
                work()

        return repeated
