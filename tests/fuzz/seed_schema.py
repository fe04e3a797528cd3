"""Seeds of fuzz_schema: random schemas with a record each, and the official suite's groups."""

import json
import random
import sys
from pathlib import Path

from tests.json import generate

SUITE = Path("build/deps/json-schema-test-suite/tests/draft2020-12")


def main(folder):
    r = random.Random(2)
    for number in range(80):
        schema = {**generate.random_schema(r), "$defs": generate.DEFS}
        text = generate.write(r, generate.random_object(r, schema, 0.1))
        data = json.dumps(schema).encode() + b"\0" + text.encode()
        (folder / f"random-{number}").write_bytes(data)
    for path in sorted(SUITE.glob("*.json")):
        for number, group in enumerate(json.loads(path.read_text(encoding="utf-8"))):
            instance = group["tests"][0]["data"]
            data = json.dumps(group["schema"]).encode() + b"\0" + json.dumps(instance).encode()
            (folder / f"{path.stem}-{number}").write_bytes(data)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
