"""lib/delta for Python tests: runs build/tests/tools/delta_tool, one command at a time."""

import json
import os
import subprocess
from pathlib import Path

import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("SLUICE_BUILD", ROOT / "build"))
TOOL = BUILD / "tests" / "tools" / "delta_tool"


class DeltaError(Exception):
    """Its text is "class: message"."""


class Conflict(DeltaError):
    pass


def build():
    subprocess.run(["make", "-s", str(TOOL.relative_to(ROOT))], cwd=ROOT, check=True)


def start(*arguments):
    """The process, for tests that let several run at once."""
    command = [str(TOOL), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process):
    out, err = process.communicate(timeout=240)
    if process.returncode == 3:
        raise Conflict(err.strip())
    if process.returncode != 0:
        raise DeltaError(err.strip() or f"exit {process.returncode}")
    return json.loads(out) if out.strip() else None


def run(*arguments):
    return finish(start(*arguments))


class Table:
    """A table that delta_tool works on; rows go in as Arrow tables."""

    def __init__(self, folder, scratch):
        self.folder = Path(folder)
        self.scratch = Path(scratch)
        self.count = 0

    def file(self, rows):
        self.count += 1
        path = self.scratch / f"rows-{self.folder.name}-{self.count}.parquet"
        pq.write_table(rows, path)
        return path

    def create(self, rows, partition_by=(), **configuration):
        options = [x for column in partition_by for x in ("-p", column)]
        for name, value in configuration.items():
            options += ["-c", f"{name.replace('__', '.')}={value}"]
        return run("create", *options, self.folder, self.file(rows))

    def append(self, rows, *options):
        return run("append", *options, self.folder, self.file(rows))

    def upsert(self, rows, key, *options):
        keys = [x for column in key for x in ("-k", column)]
        return run("upsert", *keys, *options, self.folder, self.file(rows))

    def tail(self, rows, key, owner, final=False):
        keys = [x for column in key for x in ("-k", column)]
        command = "final" if final else "tail"
        return run(command, *keys, "-o", owner, self.folder, self.file(rows))

    def read(self):
        path = self.scratch / f"read-{self.folder.name}.parquet"
        run("read", self.folder, path)
        return pq.read_table(path)

    def info(self):
        return run("info", self.folder)

    def checkpoint(self):
        return run("checkpoint", self.folder)

    def clean(self, now_ms):
        return run("clean", "-t", now_ms, self.folder)
