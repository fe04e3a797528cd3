"""A medallion that the generator feeds, so that its tests need no broker: bronze, silver, and what
the test adds behind it."""

import json
import shutil
import signal

from tests.support.medallion import SCHEMA
from tests.support.sluice import Process


def delta_sink(given, table, **config):
    return {"plugin": "delta-sink", "inputs": [given], "config": {"table": table, **config}}


def gold_agg(window, group_by, aggregates, **config):
    """Behind `silver`; late rows come."""
    config = {
        "time": "ts",
        "window": window,
        "lateness": "20s",
        "group_by": group_by,
        "aggregates": aggregates,
        **config,
    }
    return {"plugin": "gold-agg", "inputs": ["silver"], "config": config}


class Generated:
    """`document` is the topology's JSON, `path` the file that `write` makes of it in `folder`."""

    def __init__(self, folder, records, rate=0, **settings):
        self.folder = folder
        self.path = folder / "topology.json"
        self.state = folder / "state"
        self.document = {
            "pipeline": "generated",
            "state": "state",
            "lanes": 2,
            **settings,
            "sources": {
                "events": {
                    "plugin": "generator",
                    "config": {
                        "count": records,
                        "partitions": 3,
                        "event_rate": 500,
                        "too_late": 0.003,
                        "rate": rate,
                    },
                }
            },
            "transforms": {
                "silver": {
                    "plugin": "silver-validate",
                    "inputs": ["events"],
                    "config": {"schema": SCHEMA.name},
                }
            },
            "sinks": {
                "bronze": {
                    "plugin": "bronze-sink",
                    "inputs": ["events"],
                    "config": {"table": "bronze"},
                }
            },
        }

    def add_gold(self, name, node):
        """With the tables NAME and NAME_late."""
        self.document["transforms"][name] = node
        self.document["sinks"][f"{name}_t"] = delta_sink(name, name, mode="upsert")
        self.document["sinks"][f"{name}_late"] = delta_sink(f"{name}.late", f"{name}_late")
        return self

    def write(self, **source):
        """Makes the files, with other settings of the source; the topology's path."""
        shutil.copy(SCHEMA, self.folder)
        self.document["sources"]["events"]["config"] |= source
        self.path.write_text(json.dumps(self.document))
        return self.path

    def node_state(self, name):
        return self.state / "nodes" / name

    def kill_after(self, node, entries):
        """Runs until the state of a gold-agg has so many entries more, then kills."""
        log = self.node_state(node) / "log"

        def count():
            return len(list(log.glob("*"))) if log.exists() else 0

        wanted = count() + entries
        with Process("run", "--until-end", self.path) as process:
            process.wait_for(lambda: count() >= wanted, 60, f"{wanted} entries of the state")
            process.signal(signal.SIGKILL)
            process.wait(30)
