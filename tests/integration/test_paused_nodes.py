"""What the operator has paused or stopped stays so in the next run, until it is resumed: the order
lies in the state store."""

import json

import pytest

from tests.lake import readers
from tests.support import sluice

RECORDS = 20_000


def write_topology(folder):
    document = {
        "pipeline": "paused",
        "state": str(folder / "state"),
        "sources": {"shop": {"plugin": "generator", "config": {"count": RECORDS}}},
        "sinks": {
            name: {
                "plugin": "bronze-sink",
                "inputs": ["shop"],
                "config": {"table": str(folder / name)},
            }
            for name in ("flowing", "held")
        },
    }
    path = folder / "topology.json"
    path.write_text(json.dumps(document))
    return path


def write_targets(folder, number, text):
    path = folder / "state" / "targets" / f"{number:020}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def offsets(table):
    return sorted(readers.read(table).column("offset").to_pylist())


@pytest.mark.parametrize("target", ["PAUSED", "STOPPED"])
def test_a_node_that_was_paused_is_left_out_of_the_next_run(tmp_path, target):
    path = write_topology(tmp_path)
    write_targets(tmp_path, 1, json.dumps({"format": 1, "nodes": {"held": target}}))
    run = sluice.run_until_end(path)
    assert run.node("held")["inputs"][0]["rows"] == 0
    assert run.node("flowing")["inputs"][0]["rows"] == RECORDS
    assert f"is {target.lower()}, as it was told to be" in run.log
    write_targets(tmp_path, 2, json.dumps({"format": 1, "nodes": {}}))
    sluice.run_until_end(path)
    for name in ("flowing", "held"):
        assert offsets(tmp_path / name) == list(range(RECORDS))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "it is no JSON"),
        ('{"nodes": {}}', '"format" or "nodes" is missing'),
        ('{"format": 2, "nodes": {}}', "has format version 2, this sluice reads version 1"),
        ('{"format": 1, "nodes": {"held": "ASLEEP"}}', "a target is none of"),
    ],
)
def test_orders_that_cannot_be_read_are_not_passed_over(tmp_path, text, said):
    path = write_topology(tmp_path)
    written = write_targets(tmp_path, 7, text)
    run = sluice.run_command("run", "--until-end", path)
    assert run.exit_code != 0
    assert str(written) in run.log and said in run.log
