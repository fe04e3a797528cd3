"""The retail medallion as the tests run it: the topology of the project's first promise.

bronze, silver, quarantine, gold (upsert), and the late records, each in a Delta table below a
folder of the test's; what of it a test changes, it changes in the dict before it is written.
"""

import json
import shutil
from pathlib import Path

from tests.support.servers import ROOT

SCHEMA = ROOT / "deploy" / "demo" / "event.schema.json"
TABLES = {
    "bronze": "bronze/events",
    "silver_tbl": "silver/events",
    "quarantine": "silver/quarantine",
    "gold": "gold/per_country",
    "late": "gold/late",
}
_INPUTS = {
    "bronze": "events",
    "silver_tbl": "silver",
    "quarantine": "silver.rejects",
    "gold": "per_country",
    "late": "per_country.late",
}


class Medallion:
    """A topology in `folder`: `document` is its JSON, `path` the file that `write` makes of it.

    The pipeline is named after the topic, so that tests share no consumer group."""

    def __init__(self, folder, bootstrap, topic, pipeline=None, lake=None):
        """`lake`: URL of a folder for tables and state, instead of `folder`."""
        pipeline = pipeline or f"retail-{topic}"
        self.folder = Path(folder)
        self.path = self.folder / "topology.json"
        self.lake = lake
        self.state = self.folder / "state"
        self.group = f"sluice-{pipeline}-events"
        self.document = {
            "pipeline": pipeline,
            "kafka": {"bootstrap.servers": bootstrap},
            "state": f"{lake}/state" if lake else f"file://{self.state}",
            "sources": {
                "events": {
                    "plugin": "kafka",
                    "config": {"topics": [topic], "start": "earliest"},
                }
            },
            "transforms": {
                "silver": {
                    "plugin": "silver-validate",
                    "inputs": ["events"],
                    "config": {
                        "schema": SCHEMA.name,
                        "deduplicate": {"key": "event_id", "within": "10m"},
                    },
                },
                "per_country": {
                    "plugin": "gold-agg",
                    "inputs": ["silver"],
                    "config": {
                        "time": "ts",
                        "window": {"tumbling": "10s"},
                        "lateness": "60s",
                        "group_by": ["event_type", "country"],
                        "aggregates": {
                            "events": "count()",
                            "revenue": "sum(amount)",
                            "largest": "max(amount)",
                            "p99_ms": "quantile(session.duration_ms, 0.99)",
                        },
                    },
                },
            },
            "sinks": {name: self._sink(name) for name in TABLES},
        }

    def _sink(self, name):
        config = {"table": self.table(name) if self.lake else f"file://{self.table(name)}"}
        if name == "gold":
            config["mode"] = "upsert"
        plugin = "bronze-sink" if name == "bronze" else "delta-sink"
        return {"plugin": plugin, "inputs": [_INPUTS[name]], "config": config}

    def table(self, name):
        """Folder, or URL, of a sink's table."""
        if self.lake:
            return f"{self.lake}/{TABLES[name]}"
        return self.folder / "lake" / TABLES[name]

    def without(self, *names):
        """Takes nodes out, with the sinks that read them."""
        gone = set(names)
        for kind in ("transforms", "sinks"):
            for name in [*self.document[kind]]:
                read = {i.partition(".")[0] for i in self.document[kind][name]["inputs"]}
                if name in gone or read & gone:
                    gone.add(name)
                    del self.document[kind][name]
        return self

    def write(self):
        """Makes the files; the topology's path."""
        self.folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(SCHEMA, self.folder)
        self.path.write_text(json.dumps(self.document, indent=2))
        return self.path
