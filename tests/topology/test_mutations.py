"""Random mutations of valid topologies: each report names the mutated place, and what was meant."""

import glob
import json
import os
import re
from collections import Counter

import pytest

from tests.topology import mutate, runner

HERE = os.path.dirname(os.path.abspath(__file__))
VALID = sorted(glob.glob(os.path.join(HERE, "valid", "*.json")))
COUNT = int(os.environ.get("SLUICE_MUTATIONS", "1000"))
SEED = int(os.environ.get("SLUICE_SEED", "3"))
MEANT_SHARE = 0.95


@pytest.mark.parametrize("file", VALID, ids=os.path.basename)
def test_valid(file):
    done, answer = runner.validate_json(file)
    assert done.returncode == 0, done.stdout
    assert answer["good"] and answer["faults"] == []


def names_the_place(mutation, faults):
    if mutation.path is not None:
        return any(f["path"] == mutation.path for f in faults)
    if mutation.line is not None:
        return any(f["line"] and abs(f["line"] - mutation.line) <= 1 for f in faults)
    return any(mutation.mentions in f["message"] or mutation.mentions in f["path"] for f in faults)


def suggests(mutation, faults):
    said = [re.findall(r'did you mean "([^"]*)"', f["message"]) for f in faults]
    return any(mutation.meant in names for names in said)


def test_mutations(tmp_path):
    trees = [json.load(open(file, encoding="utf-8")) for file in VALID]
    file = tmp_path / "mutated.json"
    lost, meant, suggested, avalanches = [], Counter(), Counter(), 0
    for mutation in mutate.mutations(trees, COUNT, SEED):
        file.write_text(mutation.text, encoding="utf-8")
        done, answer = runner.validate_json(str(file))
        faults = [f for f in answer["faults"] if f["severity"] == "error"]
        assert done.returncode == 2, (mutation, done.stdout, done.stderr)
        assert faults, mutation
        avalanches += len(faults) > 6
        if not names_the_place(mutation, faults):
            lost.append((mutation, faults))
        if mutation.meant is not None:
            meant[mutation.kind] += 1
            suggested[mutation.kind] += suggests(mutation, faults)
    for mutation, faults in lost[:5]:
        print(mutation.kind, mutation.path, mutation.line, mutation.mentions)
        print(json.dumps(faults, indent=2))
    share = sum(suggested.values()) / max(1, sum(meant.values()))
    print(f"{sum(meant.values())} misspelt, {share:.1%} suggested right:", dict(suggested))
    assert not lost, f"{len(lost)} of {COUNT} reports do not name the mutated place"
    assert share >= MEANT_SHARE
    assert avalanches <= COUNT / 100
