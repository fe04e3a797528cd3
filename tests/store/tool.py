"""Drives build/tests/tools/store_tool: a store as an object, and what each content is."""

import os
import subprocess
import zlib

import numpy

from tests.support.servers import ROOT

BUILD = os.environ.get("BUILD", "build")
TOOL = ROOT / BUILD / "tests" / "tools" / "store_tool"


def build():
    target = str(TOOL.relative_to(ROOT))
    command = ["make", "-s", f"BUILD={BUILD}", target]
    subprocess.run(command, cwd=ROOT, check=True, stdin=subprocess.DEVNULL)


def content(size, seed):
    """What the tool writes for a seed."""
    i = numpy.arange(size, dtype=numpy.uint64)
    return (i * 7 + i // 251 + seed * 31).astype(numpy.uint8).tobytes()


def checksum(data):
    return f"{zlib.crc32(data):08x}"


class StoreError(Exception):
    """`kind` is the class of the error: "exists", "not_found", ..."""

    def __init__(self, line):
        self.kind, _, message = line.partition(" ")
        super().__init__(message)


class Store:
    """`timeout_ms`: of one attempt of a request; `env`: what the tool's environment has besides."""

    def __init__(self, url, key=None, timeout_ms=None, env=None):
        arguments = [str(TOOL), url] + ([key] if key else [])
        arguments += [str(timeout_ms)] if timeout_ms else []
        self._process = subprocess.Popen(
            arguments,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **(env or {})},
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.stdin.close()
        assert self._process.wait(60) == 0
        self._process.stdout.close()

    def send(self, *words):
        self._process.stdin.write(" ".join(map(str, words)) + "\n")
        self._process.stdin.flush()

    def answer(self):
        line = self._process.stdout.readline().rstrip("\n")
        word, _, rest = line.partition(" ")
        if word != "ok":
            raise StoreError(line)
        return rest

    def ask(self, *words):
        self.send(*words)
        return self.answer()

    def list(self, prefix="-", after="-", recursive=1):
        """[(path, bytes)]"""
        found = self.ask("list", prefix, after, recursive).split()
        return [(path, int(size)) for path, _, size in (item.rpartition(":") for item in found)]
