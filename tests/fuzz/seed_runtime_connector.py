"""Seeds of fuzz_runtime_connector: connectors of the test topologies, by topics, inputs, with keys of
their own, nested options, references, and what Kafka Connect's workers do."""

import glob
import json
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
DOCUMENTS = sorted(glob.glob(os.path.join(HERE, "..", "topology", "valid", "*.json")))
CONFIGS = [
    {"connector.class": "good", "topics": "events, orders", "tasks.max": "3"},
    {"connector.class": "good", "inputs": "events", "buffer": "8MiB", "when_full": "detach"},
    {"connector.class": "good", "inputs": '[{"from": "events", "when_full": "detach"}]'},
    {"connector.class": "good", "name": "x", "node.buffer": "1MiB", "list": "a,b", "a.b.c": "1"},
    {"connector.class": "picky", "topics": ["events"], "errors.tolerance": "all"},
    {"connector.class": "good", "transforms": "a", "transforms.a.type": "Cast"},
    {"connector.class": "stateful", "inputs": "events", "config": "{}", "secret": "${env:X}"},
    {"connector.class": "none"},
    {},
]


def main(folder):
    for file in DOCUMENTS:
        with open(file, "rb") as source:
            text = source.read()
        names = [name for kind in ("sources", "transforms", "sinks") for name in nodes(text, kind)]
        for n, config in enumerate(CONFIGS):
            name = names[n % len(names)] if names and n % 2 else "added"
            parts = [text, name.encode(), json.dumps(config).encode()]
            with open(os.path.join(folder, f"{os.path.basename(file)}.{n}"), "wb") as seed:
                seed.write(b"\0".join(parts))


def nodes(text, kind):
    try:
        return list(json.loads(text).get(kind, {}))
    except ValueError:
        return []


if __name__ == "__main__":
    main(sys.argv[1])
