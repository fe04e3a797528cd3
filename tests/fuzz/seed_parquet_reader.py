"""Seed corpus of fuzz_parquet_reader: small files of many shapes, written by pyarrow.

python -m tests.fuzz.seed_parquet_reader FOLDER
"""

import decimal
import random
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tests.parquet import samples

ENCODINGS = {
    pa.bool_(): ["PLAIN", "RLE"],
    pa.int32(): ["PLAIN", "DELTA_BINARY_PACKED", "BYTE_STREAM_SPLIT"],
    pa.int64(): ["PLAIN", "DELTA_BINARY_PACKED", "BYTE_STREAM_SPLIT"],
    pa.float64(): ["PLAIN", "BYTE_STREAM_SPLIT"],
    pa.string(): ["PLAIN", "DELTA_LENGTH_BYTE_ARRAY", "DELTA_BYTE_ARRAY"],
    pa.binary(3): ["PLAIN", "DELTA_BYTE_ARRAY", "BYTE_STREAM_SPLIT"],
}


def one_of_each_encoding(folder):
    for type_, encodings in ENCODINGS.items():
        maker = samples.Values(random.Random(1), type_)
        values = [maker.next() if i % 4 else None for i in range(60)]
        table = pa.table({"c": pa.array(values, type_)})
        for encoding in encodings:
            name = f"{type_}-{encoding}.parquet".replace("[", "").replace("]", "")
            pq.write_table(
                table,
                folder / name,
                use_dictionary=False,
                column_encoding=encoding,
                compression="none",
            )


def one_of_each_conversion(folder):
    times = [None, 0, -1, 1_700_000_000_123]
    decimals = [None, decimal.Decimal(0), decimal.Decimal("-12.5"), decimal.Decimal("99.9")]
    integers = [None, 0, 1, 127]
    table = pa.table(
        {f"t_{unit}": pa.array(times, pa.timestamp(unit, "UTC")) for unit in ("ms", "us", "ns")}
        | {f"d_{p}": pa.array(decimals, pa.decimal128(p, 1)) for p in (5, 15, 30)}
        | {f"i_{t}": pa.array(integers, t) for t in samples.INTEGERS}
        | {"half": pa.array([None, 0.0, 1.5, 6e-8], pa.float16())}
    )
    for name, options in {
        "integers": {"store_decimal_as_integer": True, "use_dictionary": False},
        "bytes": {"store_decimal_as_integer": False},
        "int96": {"use_deprecated_int96_timestamps": True},
    }.items():
        pq.write_table(table, folder / f"conversions-{name}.parquet", store_schema=False, **options)


def random_tables(folder, count=60):
    for seed in range(count):
        rng = random.Random(seed)
        table = samples.table(seed, rng.choice([3, 20]), columns=2, depth=2, batches=1)
        pq.write_table(
            table,
            folder / f"random-{seed}.parquet",
            compression=rng.choice(["none", "none", "snappy", "gzip", "zstd", "lz4"]),
            data_page_version=rng.choice(["1.0", "2.0"]),
            data_page_size=rng.choice([50, 1 << 20]),
            use_dictionary=rng.random() < 0.5,
            store_schema=False,
            write_statistics=rng.random() < 0.3,
        )


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    one_of_each_encoding(target)
    one_of_each_conversion(target)
    random_tables(target)
