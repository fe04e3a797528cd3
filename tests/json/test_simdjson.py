"""lib/json's strict parser accepts, refuses and reads what simdjson does."""

import shutil
import subprocess

import pytest

from tests.json import BUILD, make


@pytest.mark.parametrize("seed", range(4))
def test_simdjson_agrees(seed):
    if (
        shutil.which("g++") is None
        or subprocess.run(
            ["g++", "-E", "-x", "c++", "-"], input=b"#include <simdjson.h>", capture_output=True
        ).returncode
    ):
        pytest.skip("simdjson's headers are not installed (libsimdjson-dev)")
    make("build/tests/json_simdjson")
    run = subprocess.run(
        [BUILD / "tests/json_simdjson", "50000", str(seed + 1)], capture_output=True, timeout=300
    )
    assert run.returncode == 0, run.stdout.decode(errors="replace")[-4000:]
