"""The whole answer for one bronze table: silver, rejects, duplicates, each aggregation's gold."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from tests.oracle import gold as golden
from tests.oracle import silver
from tests.oracle.spec import DedupSpec, GoldSpec


@dataclass
class Answer:
    """Frames in offset order, with the place (`_topic`, `_partition`, `_offset`) of each record.

    silver has the schema's columns besides, rejected `value` and `why`, duplicates nothing more.
    gold: node name to golden.Gold. `specs` are those that gold was computed by.
    """

    records: int
    columns: list
    silver: pl.DataFrame
    rejected: pl.DataFrame
    duplicates: pl.DataFrame
    gold: dict = field(default_factory=dict)
    specs: dict = field(default_factory=dict)


def expect(bronze, schema, dedup=None, golds=None):
    """`bronze`: an Arrow or polars table with value, topic, partition, offset, timestamp (in any
    order).

    `schema`: the JSON Schema as a dict. `dedup`: a DedupSpec or None. `golds`: name to GoldSpec.
    """
    records = silver.in_offset_order(bronze)
    records = silver.with_clock(records, dedup.max_ahead_us if dedup else None)
    rows, refused = silver.valid_rows(records["value"], schema)
    records = records.with_columns(rows)
    reasons = pl.DataFrame(refused, schema={"at": pl.UInt32, "why": pl.String}, orient="row")
    rejected = records[reasons["at"]].select(*silver.PLACE, "value").with_columns(reasons["why"])
    valid = records.filter(pl.col("row").is_not_null())
    valid = valid.select(*silver.PLACE, "_timestamp_us", "_clock_us", "row").unnest("row")
    twice = silver.is_duplicate(valid, dedup) if dedup else pl.repeat(False, len(valid), eager=True)
    kept = valid.filter(~twice)
    return Answer(
        records=len(records),
        columns=list(schema["properties"]),
        silver=kept,
        rejected=rejected,
        duplicates=valid.filter(twice).select(silver.PLACE),
        gold={name: golden.aggregate(kept, spec) for name, spec in (golds or {}).items()},
        specs=dict(golds or {}),
    )


def expect_for_topology(bronze, topology, folder=None):
    """As `expect`, by a topology (a path, or a dict with the `folder` that its paths are relative
    to).

    It has to have one silver-validate; every gold-agg that reads from it is computed.
    """
    if not isinstance(topology, dict):
        folder = Path(topology).parent
        topology = json.loads(Path(topology).read_text())
    nodes = topology["transforms"]
    ((name, config),) = [
        (n, node["config"]) for n, node in nodes.items() if node["plugin"] == "silver-validate"
    ]
    schema = config["schema"]
    if not isinstance(schema, dict):
        schema = json.loads((Path(folder or ".") / schema).read_text())
    dedup = config.get("deduplicate")
    golds = {
        n: GoldSpec.from_config(node["config"])
        for n, node in nodes.items()
        if node["plugin"] == "gold-agg" and name in [input_name(i) for i in node["inputs"]]
    }
    return expect(bronze, schema, DedupSpec.from_config(dedup) if dedup else None, golds)


def input_name(given):
    """The node (or node.output) that an entry of `inputs` names."""
    return given["from"] if isinstance(given, dict) else given
