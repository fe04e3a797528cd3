"""What the dashboard costs the run that it shows, in one run with and without it.

    python -m tests.dashboard.cost        (make dashboard-cost)

A medallion over generated events, as fast as they are taken. In turns of SLUICE_COST_SECONDS (5) the
page's questions are asked and not asked: /v1/status and /v1/events each second, and its two taps.
They come from this process, since a browser beside would take CPU from the run that no operator's
browser takes. Prints what the control loop (a thread of its own) and the looks of the taps (counted
by the lanes) took in both kinds of turns: that is what the page costs, and it is exact whatever else
the machine does. CPU-seconds per million events, in both, are printed beside it: they hold all, and
the noise of all. Medians over SLUICE_COST_TURNS (8) turns of each kind. A figure is never a failure.
"""

import http.client
import json
import os
import re
import statistics
import tempfile
import threading
import time
from pathlib import Path

from tests.dashboard.test_dashboard import medallion, started, write
from tests.support import sluice

SECONDS = float(os.environ.get("SLUICE_COST_SECONDS", "5"))
TURNS = int(os.environ.get("SLUICE_COST_TURNS", "8"))
TAPS = ("per_country/tap?output=&rows=200", "silver/tap?output=rejects&rows=1")


class Page:
    """Asks what the page asks, until it is closed."""

    def __init__(self, port):
        self.port = port
        self.closing = threading.Event()
        self.taps = []
        self.threads = [threading.Thread(target=self.poll)]
        for tap in TAPS:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            connection.request("GET", f"/v1/nodes/{tap}")
            answer = connection.getresponse()
            assert answer.status == 200, answer.read()
            self.taps.append(connection)
            self.threads.append(threading.Thread(target=self.drain, args=[answer]))
        for thread in self.threads:
            thread.start()

    def poll(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        while not self.closing.wait(1):
            for path in ("/v1/status", "/v1/events?after=3"):
                connection.request("GET", path)
                connection.getresponse().read()
        connection.close()

    def drain(self, answer):
        while not self.closing.is_set() and answer.read1(65536):
            pass

    def close(self):
        self.closing.set()
        for thread in self.threads:
            thread.join()
        for tap in self.taps:
            tap.close()


def cpu_s(pid, thread):
    """Of one thread, by the scheduler's own count."""
    return int(Path(f"/proc/{pid}/task/{thread}/schedstat").read_text().split()[0]) / 1e9


def state(process, port):
    """(time, CPU of the process, of the control loop, of taps; rows of the source)"""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", "/v1/status")
    status = json.loads(connection.getresponse().read())
    connection.request("GET", "/metrics")
    metrics = connection.getresponse().read().decode()
    connection.close()
    taps = float(re.search(r"^sluice_tap_cpu_seconds_total (\S+)$", metrics, re.M).group(1))
    rows = sum(o["rows"] for n in status["nodes"] if n["kind"] == "source" for o in n["outputs"])
    cpu = (status["cpu_user_us"] + status["cpu_system_us"]) / 1e6
    return time.monotonic(), cpu, cpu_s(process.pid, process.pid), taps, rows


def turn(process, port, with_page):
    page = Page(port) if with_page else None
    before = state(process, port)
    time.sleep(SECONDS)
    after = state(process, port)
    if page is not None:
        page.close()
    elapsed, cpu, control, taps, rows = (b - a for a, b in zip(before, after))
    shares = {"cpu": cpu / elapsed, "control": control / elapsed, "taps": taps / elapsed}
    return {**shares, "per_million": cpu / rows * 1e6}


def main():
    with tempfile.TemporaryDirectory(prefix="dashboard-cost-") as folder:
        document = medallion(Path(folder))
        del document["sinks"]["live_view"]
        document["sources"]["events"]["config"].pop("rate")
        with sluice.Process("run", write(Path(folder), document)) as process:
            port = started(process)
            turn(process, port, True)  # until everything is warm
            turns = {with_page: [] for with_page in (False, True)}
            for n in range(2 * TURNS):
                turns[n % 2 == 1].append(turn(process, port, n % 2 == 1))
    median = {k: {f: statistics.median(t[f] for t in ts) for f in ts[0]} for k, ts in turns.items()}
    without, beside = median[False], median[True]
    extra = beside["control"] + beside["taps"] - without["control"] - without["taps"]
    cores = os.cpu_count()
    print(f"CPU of the run: {without['cpu']:.2f} cores without the page, {beside['cpu']:.2f} with it")
    print(f"control loop: {without['control']:.2%} of a core without, {beside['control']:.2%} with")
    print(f"taps: {without['taps']:.3%} of a core without, {beside['taps']:.3%} with")
    print(f"the page costs {extra:.3%} of a core, {extra / cores:.3%} of the host's {cores} cores")
    print(
        f"CPU-seconds per million events: {without['per_million']:.3f} without, "
        f"{beside['per_million']:.3f} with, ratio {beside['per_million'] / without['per_million']:.3f}"
    )


if __name__ == "__main__":
    main()
