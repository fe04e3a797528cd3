"""Compares what several readers see in one Delta table, or two tables, as multisets of rows.

The comparison is exact and knows nothing of order: DuckDB's EXCEPT ALL, both ways, over Arrow
tables of one common form (readers.normalised), nested columns included. NaN equals NaN, and -0.0
equals 0.0.

    python -m tests.lake.compare TABLE [TABLE2] [--readers delta-rs,duckdb] [--version N]
                                 [--columns a,b] [--fingerprint]

compares every available reader of TABLE, and TABLE2 where given, with the first. Exit code 0: all
the same; 1: they differ (the schemas or some rows are shown); 2: fewer than two things to compare.
"""

import argparse
import json
import sys

from tests.lake import readers

SHOWN_ROWS = 5


def _quoted(name):
    return '"' + name.replace('"', '""') + '"'


def schema_difference(left, right):
    """None when both have the same columns (order aside) of the same types, else a sentence."""
    a, b = ({f.name: str(f.type) for f in t.schema} for t in (left, right))
    parts = [
        f"{n}: {a.get(n, 'absent')} / {b.get(n, 'absent')}"
        for n in {**a, **b}
        if a.get(n) != b.get(n)
    ]
    return "columns differ: " + "; ".join(parts) if parts else None


def _except_all(connection, names, left, right):
    columns = ", ".join(_quoted(n) for n in names)
    query = f"SELECT {columns} FROM {left} EXCEPT ALL SELECT {columns} FROM {right}"
    count = connection.execute(f"SELECT count(*) FROM ({query})").fetchone()[0]
    sample = connection.execute(f"{query} LIMIT {SHOWN_ROWS}").to_arrow_table() if count else None
    return count, sample


def _shown(sample):
    return ["  " + json.dumps(row, default=repr, ensure_ascii=False) for row in sample.to_pylist()]


def difference(left, right, columns=None, left_name="left", right_name="right"):
    """None when both Arrow tables hold the same multiset of rows, else a text that shows how not.

    `columns` limits the comparison; both tables are brought to the common form first.
    """
    import duckdb

    left, right = readers.normalised(left), readers.normalised(right)
    if columns is not None:
        left, right = left.select(columns), right.select(columns)
    told = schema_difference(left, right)
    if told is not None:
        return f"{left_name} / {right_name}: {told}"
    names = left.schema.names
    connection = duckdb.connect()
    try:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("l", left)
        connection.register("r", right)
        only_left, left_rows = _except_all(connection, names, "l", "r")
        only_right, right_rows = _except_all(connection, names, "r", "l")
    finally:
        connection.close()
    if only_left == 0 and only_right == 0:
        return None
    lines = [f"{left_name} has {left.num_rows} rows, {right_name} {right.num_rows}"]
    for name, count, rows in (
        (left_name, only_left, left_rows),
        (right_name, only_right, right_rows),
    ):
        if count:
            lines.append(f"{count} rows only in {name}, for example:")
            lines += _shown(rows)
    return "\n".join(lines)


def fingerprint(table, columns=None):
    """(rows, hash): the same for the same multiset of rows, whatever its order."""
    import duckdb

    table = readers.normalised(table)
    names = sorted(columns if columns is not None else table.schema.names)
    if table.num_rows == 0:
        return 0, "0"
    connection = duckdb.connect()
    try:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("t", table)
        row = ", ".join(_quoted(n) for n in names)
        count, total = connection.execute(
            f"SELECT count(*), sum(hash({row})::HUGEINT) FROM t"
        ).fetchone()
        return count, format(int(total), "x")
    finally:
        connection.close()


def same_in_all_readers(table, names=None, version=None):
    """Reads `table` with every available reader of `names`; (Arrow table, readers used,
    differences).

    `differences` is a list of texts, empty when all agree with the first reader.
    """
    used = [n for n in (names or readers.READERS) if readers.missing(n) is None]
    if not used:
        raise RuntimeError("no reader of Delta tables is installed; " + readers.CORE_HINT)
    first = readers.read(table, used[0], version)
    told = []
    for name in used[1:]:
        found = difference(first, readers.read(table, name, version), None, used[0], name)
        if found is not None:
            told.append(found)
    return first, used, told


def _arguments(argv):
    parser = argparse.ArgumentParser(prog="tests.lake.compare", description=__doc__.split("\n")[0])
    parser.add_argument("table", help="folder or URL of a Delta table")
    parser.add_argument("other", nargs="?", help="a second table to compare with the first")
    parser.add_argument("--readers", default=",".join(readers.READERS), help="default: all")
    parser.add_argument("--version", type=int, help="of TABLE; default: the newest")
    parser.add_argument(
        "--columns", help="compare only these, comma-separated, with a second table"
    )
    parser.add_argument("--fingerprint", action="store_true", help="print a hash of TABLE's rows")
    return parser.parse_args(argv)


def main(argv=None):
    arguments = _arguments(argv)
    names = arguments.readers.split(",")
    unknown = [n for n in names if n not in readers.READERS]
    if unknown:
        print(f"unknown reader {unknown[0]}; there are: {', '.join(readers.READERS)}")
        return 2
    for name in names:
        if readers.missing(name) is not None:
            print(f"skipped {name}: {readers.missing(name)}")
    first, used, told = same_in_all_readers(arguments.table, names, arguments.version)
    if arguments.other is not None:
        columns = arguments.columns.split(",") if arguments.columns else None
        other = readers.read(arguments.other, used[0])
        found = difference(first, other, columns, arguments.table, arguments.other)
        told += [found] if found is not None else []
    elif len(used) < 2:
        print(f"only {used[0]} is available: nothing to compare with")
        return 2
    print("\n".join(told) if told else f"the same {first.num_rows} rows in {', '.join(used)}")
    if arguments.fingerprint:
        print("fingerprint %d %s" % fingerprint(first))
    return 1 if told else 0


if __name__ == "__main__":
    sys.exit(main())
