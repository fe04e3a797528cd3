"""The program under test: starts it, waits for it, reads what it says of its run.

Its standard output (the summary as JSON) and its log go to files, so that a run that prints much
never waits for the test.
"""

import json
import os
import select
import signal
import subprocess
import tempfile
from pathlib import Path

from tests.support.servers import ROOT, wait_for

BINARY = Path(os.environ.get("SLUICE_BINARY", ROOT / "build" / "sluice"))
RUN_LIMIT_S = 600


class Run:
    """What a run left: exit code, summary, log, and the resources of its process alone."""

    def __init__(self, exit_code, output, log, usage):
        self.exit_code = exit_code
        self.output = output
        self.log = log
        self.cpu_s = usage.ru_utime + usage.ru_stime
        self.peak_rss_bytes = usage.ru_maxrss * 1024

    @property
    def summary(self):
        return json.loads(self.output)

    def node(self, name):
        """A node's numbers in the summary."""
        (found,) = [n for n in self.summary["nodes"] if n["name"] == name]
        return found

    def rows_in(self, name):
        return sum(i["rows"] for i in self.node(name)["inputs"])

    def rows_out(self, name, output=""):
        (rows,) = [o["rows"] for o in self.node(name)["outputs"] if o["name"] == output]
        return rows

    def dropped(self, name, reason=None):
        counts = self.node(name)["dropped"]
        return sum(counts.values()) if reason is None else counts.get(reason, 0)

    def failed_because(self):
        """For a test's message: how it ended, its last lines, each node that failed."""
        lines = [f"exit code {self.exit_code}", *self.log.splitlines()[-20:]]
        if self.output.startswith("{"):
            nodes = self.summary["nodes"]
            lines += [f"{n['name']}: {n['failure']}" for n in nodes if n["failure"] is not None]
        else:
            lines += self.output.splitlines()[-40:]
        return "\n".join(lines)


class Process:
    """A running sluice. Leaving the context kills what is still there.

    `output`: a descriptor that gets its standard output instead of the file.
    """

    def __init__(self, *arguments, env=None, output=None):
        self._files = [tempfile.TemporaryFile() for _ in range(2)]
        self._process = subprocess.Popen(
            [str(BINARY), *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=self._files[0] if output is None else output,
            stderr=self._files[1],
            env={**os.environ, **(env or {})},
        )
        self.pid = self._process.pid
        self._pidfd = os.pidfd_open(self.pid)
        self._run = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._run is None:
            self.signal(signal.SIGKILL)
            self.wait(30)
        os.close(self._pidfd)
        for file in self._files:
            file.close()

    def signal(self, number):
        signal.pidfd_send_signal(self._pidfd, number)

    def text(self, which):
        """So far: 0 standard output, 1 the log."""
        size = os.fstat(self._files[which].fileno()).st_size
        return os.pread(self._files[which].fileno(), size, 0).decode("utf-8", "replace")

    def _tail(self):
        return "\n".join(self.text(1).splitlines()[-20:])

    def ended(self):
        return bool(select.select([self._pidfd], [], [], 0)[0])

    def wait(self, limit_s=RUN_LIMIT_S):
        """The Run; TimeoutError with the log's end when it does not end in time."""
        if self._run is None:
            if not select.select([self._pidfd], [], [], limit_s)[0]:
                raise TimeoutError(f"sluice still runs after {limit_s} s:\n{self._tail()}")
            _, status, usage = os.wait4(self.pid, 0)
            self._process.returncode = os.waitstatus_to_exitcode(status)
            self._run = Run(self._process.returncode, self.text(0), self.text(1), usage)
        return self._run

    def wait_for(self, condition, limit_s, what):
        """As servers.wait_for, but the end of the process ends the waiting, and what it said last is
        told when the time is over."""

        def ended_or_true():
            return condition() or self.ended()

        try:
            wait_for(ended_or_true, limit_s, what)
        except TimeoutError as error:
            raise TimeoutError(f"{error}\n{self._tail()}") from None
        if not condition():
            raise AssertionError(f"ended before {what}: {self.wait().failed_because()}")


def run_command(*arguments, limit_s=RUN_LIMIT_S, env=None):
    """Runs `sluice ARGUMENTS` to its end."""
    with Process(*arguments, env=env) as process:
        return process.wait(limit_s)


def run_until_end(topology, *arguments, limit_s=RUN_LIMIT_S, env=None):
    """`sluice run --until-end`, which has to succeed; the Run."""
    done = run_command(
        "run", "--until-end", "--json", *arguments, topology, limit_s=limit_s, env=env
    )
    assert done.exit_code == 0, done.failed_because()
    return done
