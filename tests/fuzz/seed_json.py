"""Seeds of fuzz_json: random records as the random tests make them, one for each variant."""

import random
import sys
from pathlib import Path

from tests.json import generate

SAMPLE = (
    '{"s":"abc","e":"bb","i":6,"n":1.25,"b":true,"t":"2026-11-22T10:00:00.123Z","d":"2026-11-22",'
    '"m":12.5,"x":[1,{"y":null}],"p":"abac","o":{"k":1,"l":[["a"],[]]},'
    '"l":[{"v":1,"w":"x"},{"v":null}]}'
)


def main(folder):
    r = random.Random(1)
    texts = [
        SAMPLE,
        SAMPLE.replace('"s"', '"\\u0073"'),
        '{"a":{"v":1,"next":{}},"b":null,"c":[1,2]}',
    ]
    for _ in range(60):
        schema = generate.random_schema(r)
        texts.append(generate.write(r, generate.random_object(r, schema, 0.1)))
    for number, text in enumerate(texts):
        for variant in range(5):
            data = bytes([variant]) + text.encode()
            (folder / f"seed-{number}-{variant}").write_bytes(data)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
