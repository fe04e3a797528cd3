"""The rules that compilers do not check: who may include what, and how long things may be.

    python3 tests/lint/lint.py          (make lint)

The include rules are those of the architecture: libraries stand alone on their neighbours below,
plugins never reach the host's store and network, the runtime names no plugin's library. Prints each
fault as FILE:LINE: what is wrong, what is allowed; then a line of figures. Exit code 1 when there is
a fault.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE_FOLDERS = ["sdk", "lib", "runtime", "plugins", "dashboard", "tests"]
CODE = {".c", ".h", ".cc"}
TEXT = CODE | {".py", ".sh", ".mk", ".js", ".html", ".css", ".md"}
MAX_FILE_LINES = 1200
MAX_LINE_CHARACTERS = 100
LONG_FUNCTION_LINES = 50
LONG_FUNCTIONS_SHARE = 0.1

# Which libraries a library may include besides itself: "x" is its folder, "x/y.h" one header of it.
LIBRARIES = {
    "base": set(),
    "columns": {"base"},
    "json": {"base", "columns"},
    "parquet": {"base", "columns"},
    "window": {"base", "columns"},
    "delta": {"base", "columns", "parquet"},
    "http": {"base"},
    "store": {"base", "http/http.h"},
}
# The public headers that are declarations only, so that a library may speak of them.
PURE_DECLARATIONS = {"error.h", "arrow.h", "batch.h", "store.h", "http.h"}
HOST_ONLY = {"store", "http"}  # credentials, connections and limits are the host's

# Headers of other people's libraries that belong to one part: pattern, folders, why.
BOUND = [
    (r"librdkafka/", ["plugins/kafka/", "tests/"], "librdkafka is the kafka plugin's"),
    (
        r"uv\.h$",
        ["runtime/", "tests/"],
        "what needs a loop takes a table of timers and descriptors",
    ),
    (
        r"(cjson/)?cJSON\.h$",
        [
            "runtime/",
            "lib/delta/",
            "lib/json/",
            "lib/http/",
            "plugins/powerbi-sink/dataset.c",
            "tests/",
        ],
        "never on the data path",
    ),
    (r"curl/", ["lib/http/", "tests/"], "connections are lib/http's"),
    (r"microhttpd\.h$", ["runtime/admin/", "tests/"], "the admin endpoint's"),
]

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
LITERAL = re.compile(r'^\s*".*"[;,)]*$')  # a text that has no place to break
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX)\b")
FUNCTION = re.compile(r"^[A-Za-z_].*\)\s*\{$|^[A-Za-z ].*[^;]\{$")


class Lint:
    """Gathers faults ("FILE:LINE: text") and the lengths of functions."""

    def __init__(self):
        self.faults = []
        self.files = 0
        self.functions = []

    def fault(self, path, line, text):
        self.faults.append(f"{path}:{line}: {text}")

    # ---- includes ----

    def check_bound(self, path, line, header):
        for pattern, folders, why in BOUND:
            if re.match(pattern, header) and not any(path.startswith(f) for f in folders):
                self.fault(
                    path, line, f"includes <{header}>: {why}; allowed in {', '.join(folders)}"
                )

    def check_library(self, path, line, header, library):
        folder = header.split("/")[0]
        allowed = LIBRARIES[library]
        if folder == "sluice":
            if header.split("/")[1] not in PURE_DECLARATIONS:
                known = ", ".join(sorted(PURE_DECLARATIONS))
                self.fault(path, line, f'a library includes "{header}": of the SDK only {known}')
        elif folder in LIBRARIES and folder != library and not {folder, header} & allowed:
            self.fault(
                path,
                line,
                f'lib/{library} includes "{header}": it may use {sorted(allowed) or "no library"}',
            )
        elif "/" in header and folder not in LIBRARIES:
            self.fault(path, line, f'lib/{library} includes "{header}", which is no library')

    def check_plugin(self, path, line, header):
        folder = header.split("/")[0]
        if folder in HOST_ONLY:
            self.fault(
                path, line, f'a plugin includes "{header}": it uses the service of its host instead'
            )
        elif "/" in header and folder != "sluice" and folder not in LIBRARIES:
            self.fault(path, line, f'a plugin includes "{header}": it may use the SDK and lib/')

    def check_sdk(self, path, line, header):
        folder = header.split("/")[0]
        if folder in LIBRARIES or folder in ("runtime", "plugins"):
            self.fault(path, line, f'the SDK includes "{header}": it stands on nothing but libc')

    def check_include(self, path, line, quote, header):
        parts = path.split("/")
        self.check_bound(path, line, header)
        if quote == "<" and not header.startswith("sluice/"):
            return
        if ".." in header.split("/") and parts[0] != "tests":
            self.fault(path, line, f'includes "{header}": paths begin at a root, not at ".."')
        elif parts[0] == "lib":
            if parts[1] not in LIBRARIES:
                self.fault(path, line, f"lib/{parts[1]} has no include rule in tests/lint/lint.py")
            else:
                self.check_library(path, line, header, parts[1])
        elif parts[0] == "plugins":
            self.check_plugin(path, line, header)
        elif parts[0] == "sdk":
            self.check_sdk(path, line, header)
        elif parts[0] == "runtime" and header.startswith("plugins/"):
            self.fault(path, line, f'the runtime includes "{header}": it names no plugin')

    # ---- sizes ----

    def measure_functions(self, lines):
        start = None
        for i, line in enumerate(lines):
            if (
                start is None
                and FUNCTION.match(line)
                and not line.startswith(("struct", "enum", "union", "typedef"))
            ):
                start = i
            elif start is not None and line == "}":
                self.functions.append(i - start + 1)
                start = None
            elif start is not None and line.startswith("}"):
                start = None

    def check_code(self, path, lines):
        for i, line in enumerate(lines, 1):
            include = INCLUDE.match(line)
            if include:
                self.check_include(path, i, include[1], include[2])
            if len(line) > MAX_LINE_CHARACTERS and not LITERAL.match(line):
                self.fault(path, i, f"{len(line)} characters; {MAX_LINE_CHARACTERS} are allowed")
        if not lines or not lines[0].startswith("/*"):
            self.fault(path, 1, "the file does not begin by saying what it is responsible for")
        self.measure_functions(lines)

    def check_file(self, path):
        lines = (ROOT / path).read_text(encoding="utf-8").splitlines()
        self.files += 1
        if len(lines) > MAX_FILE_LINES:
            self.fault(path, len(lines), f"{len(lines)} lines; {MAX_FILE_LINES} are allowed")
        for i, line in enumerate(lines, 1):
            if UNFINISHED.search(line) and path != "tests/lint/lint.py":
                self.fault(path, i, "says that something is unfinished")
        if Path(path).suffix in CODE:
            self.check_code(path, lines)

    def check_functions(self):
        long = sum(n > LONG_FUNCTION_LINES for n in self.functions)
        if self.functions and long > LONG_FUNCTIONS_SHARE * len(self.functions):
            self.faults.append(
                f"{long} of {len(self.functions)} functions are longer than "
                f"{LONG_FUNCTION_LINES} lines; "
                f"one in {round(1 / LONG_FUNCTIONS_SHARE)} may be"
            )


def sources():
    for folder in SOURCE_FOLDERS + ["deploy", "docs", "dashboard"]:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in TEXT and path.is_file() and "node_modules" not in path.parts:
                yield path.relative_to(ROOT).as_posix()


def main():
    lint = Lint()
    for path in sources():
        lint.check_file(path)
    lint.check_functions()
    print("\n".join(lint.faults), end="\n" if lint.faults else "")
    lengths = sorted(lint.functions) or [0]
    print(
        f"lint: {lint.files} files, {len(lint.functions)} functions of "
        f"{lengths[len(lengths) // 2]} lines at the median and {lengths[len(lengths) * 9 // 10]} "
        f"at the 90th percentile, {len(lint.faults)} faults"
    )
    return 1 if lint.faults else 0


if __name__ == "__main__":
    sys.exit(main())
