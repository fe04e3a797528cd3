"""Runs build/sluice on topologies and reads what it says."""

import json
import os
import re
import subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(ROOT, os.environ.get("BUILD", "build"))
SLUICE = os.environ.get("SLUICE_BINARY", os.path.join(BUILD, "sluice"))
TEST_PLUGINS = os.path.join(BUILD, "tests", "plugins")
LIMIT_S = 60


def run(args, folder=None, env=None):
    """The finished process of `sluice ARGS`, run in `folder`."""
    return subprocess.run(
        [SLUICE, *args],
        cwd=folder,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


def validate(file, args=(), folder=None, env=None):
    return run(
        ["validate", "--plugin-path", TEST_PLUGINS, *args, file], folder=folder, env=env
    )


def validate_json(file, args=(), folder=None, env=None):
    """The process and its parsed answer."""
    done = validate(file, ["--json", *args], folder, env)
    return done, json.loads(done.stdout)


def neutral(text):
    """What was printed, without what belongs to this machine."""
    text = text.replace(TEST_PLUGINS, "PLUGINS").replace(ROOT, "ROOT")
    return re.sub(r"Searched: .*", "Searched: ...", text)
