"""Seeds of fuzz_runtime_topology: the test topologies, good and faulty, and some with --set."""

import glob
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
FILES = sorted(glob.glob(os.path.join(HERE, "..", "topology", "*", "*.json")))
SETS = [
    b"sources.events.config.count=7",
    b"memory.max=1GiB",
    b"good.client.id=${env:SLUICE_FUZZ}",
    b"sinks.bronze.inputs.0=silver.rejects",
]


def main(folder):
    for file in FILES:
        with open(file, "rb") as source:
            text = source.read()
        name = os.path.join(folder, os.path.basename(file))
        with open(name, "wb") as seed:
            seed.write(text)
        if os.path.basename(os.path.dirname(file)) == "valid":
            with open(name + ".set", "wb") as seed:
                seed.write(b"\0".join([text, *SETS]))


if __name__ == "__main__":
    main(sys.argv[1])
