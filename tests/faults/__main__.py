"""The fault tests (make faults): every call of lib/store fails once, by every error it can have.

    python3 -m tests.faults [--often N] [--only TEXT]

A line for each fault says what came of it. In the end "N passed, N failed".
SLUICE_FAULTS_SEED chooses which of many equal calls fail (random, printed).
"""

import argparse
import os
import random
import shutil
import sys
import tempfile
from pathlib import Path

from tests.faults import http
from tests.faults.faults import Bench, not_listed
from tests.faults.lake import Broken
from tests.support.servers import Azurite


def attempts(folder, seed, often):
    """(fault, what runs it) of every fault: of the file system, then of the store by HTTP."""
    bench = Bench(folder, seed)
    for fault in (*bench.faults(often), *bench.lasting()):
        yield fault, bench
    with Azurite(folder / "azurite") as azurite, http.Listing(azurite.url) as proxy:
        azurite.create_container("faults")
        os.environ.update({**azurite.environment(), http.KEY: azurite.key})
        by_http = http.HttpBench(folder / "place", bench.truth, azurite, proxy)
        for fault in by_http.faults():
            yield fault, by_http


def main():
    parser = argparse.ArgumentParser(prog="tests.faults", description=__doc__.splitlines()[0])
    parser.add_argument("--often", type=int, default=1, help="later calls of a kind that fail, too")
    parser.add_argument("--only", default="", help="faults whose line has this text")
    arguments = parser.parse_args()
    past = not_listed()
    if past:
        print(f"lib/store calls {', '.join(past)}, which the shim does not see")
        return 1
    seed = int(os.environ.get("SLUICE_FAULTS_SEED", random.randrange(1, 1_000_000)))
    folder = Path(tempfile.mkdtemp(prefix="sluice-faults-"))
    print(f"SLUICE_FAULTS_SEED={seed}, in {folder}", flush=True)
    passed, failed = 0, 0
    for fault, bench in attempts(folder, seed, arguments.often):
        if arguments.only not in fault.told:
            continue
        try:
            print(f"{fault.told}: {bench.run(fault)}", flush=True)
            passed += 1
        except Broken as error:
            failed += 1
            kept = folder / f"failed-{failed}"
            shutil.move(folder / "place", kept)
            print(f"FAILED {fault.told}: {error}\n  left in {kept}; at {fault.text!r}", flush=True)
    print(f"{passed} passed, {failed} failed")
    if not failed:
        shutil.rmtree(folder)
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
