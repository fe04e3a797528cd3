"""lib/json against other implementations."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"


def make(target):
    """Builds one of lib/json's test programs."""
    subprocess.run(["make", "-s", target], cwd=ROOT, check=True)
