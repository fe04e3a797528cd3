"""Verifies the Delta tables that a run of a topology left, against the oracle's answer.

    python -m tests.oracle.verify TOPOLOGY [--reader delta-rs]

Finds the tables by the topology's sinks: bronze by its plugin, the others by what feeds them
(silver, its rejects, each aggregation and its late records). All of bronze has to have been
processed, that is, the run has to have ended. A gold table is compared when its sink upserts; an
append-only one has the final windows only, which depend on when the run ended. Exit code 0: all as
it has to be, 1: not, and how is shown; 2: there is nothing to verify.
"""

import argparse
import json
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tests.lake import readers
from tests.oracle import check
from tests.oracle.answer import expect_for_topology, input_name


def table_path(text, folder):
    """A folder for a `table` option: file:///path, or a path, relative to the topology's folder."""
    if text.startswith("file:"):
        return Path(folder) / unquote(urlsplit(text).path)
    return text if "://" in text else Path(folder) / text


def _sinks(topology, folder):
    """(sink name, plugin, the one input, its table, its config) of each sink with a table."""
    for name, node in topology["sinks"].items():
        config = node.get("config", {})
        if node["plugin"] in ("bronze-sink", "delta-sink") and "table" in config:
            table = table_path(config["table"], folder)
            for given in node["inputs"]:
                yield name, node["plugin"], input_name(given), table, config


def _check_for(answer, silver_node, given, config):
    """The comparison that is due for a table fed by `given`, or None."""
    if given == silver_node:
        return lambda table: check.silver(answer, table)
    if given == f"{silver_node}.rejects":
        return lambda table: check.quarantine(answer, table)
    if given in answer.gold and config.get("mode") == "upsert":
        return lambda table: check.gold(answer, given, table)
    node, _, output = given.partition(".")
    if node in answer.gold and output == "late":
        return lambda table: check.late(answer, node, table)
    return None


def _twice_in(bronze):
    offsets = bronze.select(["topic", "partition", "offset"])
    distinct = offsets.group_by(["topic", "partition", "offset"]).aggregate([]).num_rows
    extra = offsets.num_rows - distinct
    return f"{extra} rows of bronze have the offset of another" if extra else None


def verify(topology_path, reader="delta-rs"):
    """(answer, {sink name: None, or what is wrong}) for a topology file whose run has ended."""
    folder = Path(topology_path).resolve().parent
    topology = json.loads(Path(topology_path).read_text())
    sinks = list(_sinks(topology, folder))
    bronze_tables = [
        (name, table) for name, plugin, _, table, _ in sinks if plugin == "bronze-sink"
    ]
    if len(bronze_tables) != 1:
        raise ValueError(f"one bronze-sink with a table is needed, there are {len(bronze_tables)}")
    bronze = readers.read(bronze_tables[0][1], reader)
    answer = expect_for_topology(bronze, topology, folder)
    (silver_node,) = [
        n for n, node in topology["transforms"].items() if node["plugin"] == "silver-validate"
    ]
    found = {bronze_tables[0][0]: _twice_in(bronze)}
    for name, plugin, given, table, config in sinks:
        compared = _check_for(answer, silver_node, given, config)
        if plugin == "delta-sink" and compared is not None:
            found[name] = compared(readers.read(table, reader))
    return answer, found


def main(argv=None):
    parser = argparse.ArgumentParser(prog="tests.oracle.verify", description=__doc__.split("\n")[0])
    parser.add_argument("topology")
    parser.add_argument("--reader", default="delta-rs", choices=list(readers.READERS))
    arguments = parser.parse_args(argv)
    why = readers.missing(arguments.reader)
    if why:
        print(f"{arguments.reader}: {why}")
        return 2
    answer, found = verify(arguments.topology, arguments.reader)
    print(
        f"bronze {answer.records} = silver {len(answer.silver)} + rejected {len(answer.rejected)}"
        f" + duplicates {len(answer.duplicates)}"
    )
    for node, gold in answer.gold.items():
        print(
            f"{node}: {gold.windows.height} windows, {gold.late.height} late, "
            f"{gold.left_out.height} left out"
        )
    for name, told in found.items():
        print(f"{name}: {'right' if told is None else told}")
    return 1 if any(found.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
