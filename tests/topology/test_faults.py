"""Hand-made faulty topologies: faults/NAME.json must give exactly the lines of faults/NAME.txt.

The expected file may begin with "args: ..." (more arguments, as a shell would split them) and
"env: NAME=VALUE"; then come the exit code and the lines on stderr.
"""

import glob
import os
import shlex

import pytest

from tests.topology import runner

FAULTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "faults")
NAMES = sorted(os.path.basename(f)[: -len(".json")] for f in glob.glob(FAULTS + "/*.json"))


def read_expected(name):
    with open(os.path.join(FAULTS, name + ".txt"), encoding="utf-8") as file:
        lines = file.read().splitlines()
    args, env = [], {}
    while lines and not lines[0].startswith("exit: "):
        key, _, value = lines.pop(0).partition(": ")
        if key == "args":
            args = shlex.split(value)
        else:
            env.update([value.split("=", 1)])
    return args, env, int(lines.pop(0)[len("exit: ") :]), lines


def test_there_are_enough():
    assert len(NAMES) >= 60


@pytest.mark.parametrize("name", NAMES)
def test_fault(name):
    args, env, code, lines = read_expected(name)
    done = runner.validate(name + ".json", args, FAULTS, env)
    assert runner.neutral(done.stderr).splitlines() == lines
    assert done.returncode == code
