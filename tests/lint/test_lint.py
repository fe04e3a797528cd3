"""The lint itself: each rule refuses what it is for and takes what is allowed."""

import pytest

from tests.lint.lint import Lint


def faults(path, text):
    lint = Lint()
    lint.check_code(path, ["/* Says what it is for. */"] + text.split("\n"))
    return lint.faults


@pytest.mark.parametrize(
    "path,include",
    [
        ("lib/base/x.c", '"columns/columns.h"'),
        ("lib/parquet/x.c", '"json/json.h"'),
        ("lib/delta/x.c", '"store/store.h"'),
        ("lib/store/x.c", '"http/client.h"'),
        ("lib/json/x.c", '"sluice/services.h"'),
        ("lib/store/x.c", '"../base/base.h"'),
        ("lib/delta/x.c", "<uv.h>"),
        ("plugins/delta-sink/x.c", '"store/store.h"'),
        ("plugins/gold-agg/x.c", "<librdkafka/rdkafka.h>"),
        ("plugins/kafka/x.c", "<cjson/cJSON.h>"),
        ("runtime/host/x.c", '"plugins/kafka/kafka.h"'),
        ("runtime/host/x.c", "<librdkafka/rdkafka.h>"),
        ("sdk/include/sluice/x.h", '"base/base.h"'),
    ],
)
def test_refused_includes(path, include):
    (fault,) = faults(path, f"#include {include}")
    assert fault.startswith(f"{path}:2: ")


@pytest.mark.parametrize(
    "path,include",
    [
        ("lib/base/x.c", '"sluice/error.h"'),
        ("lib/parquet/x.c", '"columns/columns.h"'),
        ("lib/delta/x.c", '"sluice/store.h"'),
        ("lib/delta/x.c", "<cjson/cJSON.h>"),
        ("lib/store/x.c", '"http/http.h"'),
        ("plugins/delta-sink/x.c", '"delta/delta.h"'),
        ("plugins/kafka/x.c", "<librdkafka/rdkafka.h>"),
        ("runtime/host/x.c", '"store/store.h"'),
        ("sdk/include/sluice/x.h", '"sluice/error.h"'),
    ],
)
def test_allowed_includes(path, include):
    assert faults(path, f"#include {include}") == []


def test_lines_and_heads():
    lint = Lint()
    lint.check_code("lib/base/x.c", ["int x;", "x" * 101])
    assert lint.faults == [
        "lib/base/x.c:2: 101 characters; 100 are allowed",
        "lib/base/x.c:1: the file does not begin by saying what it is responsible for",
    ]


def test_function_lengths():
    lint = Lint()
    lint.measure_functions(
        ["static int f(void) {", "    return 1;", "}", "struct s {", "    int x;", "};"]
    )
    assert lint.functions == [3]
