"""A sink that is added to a pipeline which has run: where it begins (`start`), on a real broker,
killed before it is through. What the others have stays as it is."""

import json
import signal

import pytest

from tests.lake import readers
from tests.support import sluice

LIMIT_S = 60
PARTITIONS = 2
BEFORE, BETWEEN, AFTER = 600, 400, 200  # records of each partition


class Pipeline:
    def __init__(self, folder, broker, topic):
        self.folder, self.broker, self.topic = folder, broker, topic
        self.produced = 0
        self.document = {
            "pipeline": f"added-{topic}",
            "kafka": {"bootstrap.servers": broker.bootstrap},
            "state": f"file://{folder}/state",
            "commit.interval": "50ms",
            "sources": {
                "events": {"plugin": "kafka", "config": {"topics": [topic], "start": "earliest"}}
            },
            "sinks": {},
        }
        self.add("first")

    def add(self, name, **keys):
        table = {"table": f"file://{self.folder / name}"}
        self.document["sinks"][name] = {
            "plugin": "bronze-sink",
            "inputs": ["events"],
            "config": table,
            **keys,
        }

    def produce(self, count):
        self.broker.produce(
            self.topic,
            ({"value": b"%d" % n, "partition": p} for n in range(count) for p in range(PARTITIONS)),
        )

    def write(self):
        path = self.folder / "topology.json"
        path.write_text(json.dumps(self.document))
        return path

    def offsets(self, name):
        """By partition, sorted."""
        table = readers.read(self.folder / name).to_pydict()
        places = sorted(zip(table["partition"], table["offset"]))
        return [[o for p, o in places if p == number] for number in range(PARTITIONS)]

    def commits(self, name):
        return len(list((self.folder / name / "_delta_log").glob("*.json")))

    def kill_after_a_commit_of(self, name):
        with sluice.Process("run", self.write()) as process:
            process.wait_for(lambda: self.commits(name) > 0, LIMIT_S, f"a commit of {name}")
            process.signal(signal.SIGKILL)
            process.wait(LIMIT_S)


@pytest.fixture
def pipeline(broker, new_topic, tmp_path):
    """One that has run, with records that nobody has read yet."""
    made = Pipeline(tmp_path, broker, new_topic(PARTITIONS))
    made.produce(BEFORE)
    sluice.run_until_end(made.write(), limit_s=LIMIT_S)
    made.produce(BETWEEN)
    return made


@pytest.mark.parametrize(
    ("start", "begins"),
    [("earliest", 0), ("with_others", BEFORE), ("latest", BEFORE + BETWEEN), (None, 0)],
)
def test_an_added_sink_begins_where_it_says(pipeline, start, begins):
    pipeline.add("added", **({} if start is None else {"start": start}))
    pipeline.kill_after_a_commit_of("added" if start != "latest" else "first")
    if start == "latest":  # where that was is known for good only once it is durable
        sluice.run_until_end(pipeline.write(), limit_s=LIMIT_S)
    pipeline.produce(AFTER)
    sluice.run_until_end(pipeline.write(), limit_s=LIMIT_S)
    end = BEFORE + BETWEEN + AFTER
    assert pipeline.offsets("added") == [[*range(begins, end)]] * PARTITIONS
    assert pipeline.offsets("first") == [[*range(end)]] * PARTITIONS


def test_validate_names_what_start_may_be(pipeline):
    pipeline.add("added", start="newest")
    done = sluice.run_command("validate", pipeline.write(), limit_s=LIMIT_S)
    assert done.exit_code == 2
    assert '"with_others"' in done.log + done.output
