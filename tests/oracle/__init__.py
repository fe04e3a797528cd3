"""What sluice has to answer, computed on its own from the bronze table: see README.md."""

from tests.oracle.answer import Answer, expect, expect_for_topology  # noqa: F401
from tests.oracle.spec import DedupSpec, GoldSpec, Window  # noqa: F401
