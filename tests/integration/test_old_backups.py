"""The state of gold-agg is put back from an old backup, whole or a part of it, while its readers'
tables are newer: it is refused with both numbers, and nothing is committed to those tables, in that
run or the next; after what the message says to do, all is as if nothing had been.
"""

import re
import shutil

import pytest

from tests.lake import readers
from tests.oracle import check, expect_for_topology
from tests.support import sluice
from tests.support.generated import Generated, gold_agg

RECORDS = 60_000
TABLES = ("per_country", "per_country_late")
# what is put back: (scope, folders of the node's state, the refusal with both numbers)
BEHIND = r"a reader of per_country(?:.late)? has results below (\d+), the state only below (\d+): "
APART = (
    r"the state goes on with number (\d+) of the partial aggregates of "
    r"sluice/generated/per_country/\S+, of which those that are there end with number (\d+): log/ and delta/ of "
)
CASES = {
    "host": ("host", ["log"], BEHIND),
    "group": ("group", ["log", "delta"], BEHIND),
    "group, the chain": ("group", ["log"], BEHIND),
    "group, the deltas": ("group", ["delta"], APART),
}


class Restored:
    """Killed, the state copied; run to the end, and some of that copy put back."""

    def __init__(self, folder, scope, parts):
        aggregates = {"events": "count()", "revenue": "sum(amount)"}
        self.made = Generated(folder, RECORDS, **{"commit.interval": "100ms"})
        self.made.add_gold(
            "per_country", gold_agg({"tumbling": "10s"}, ["country"], aggregates, scope=scope)
        )
        self.state = self.made.node_state("per_country")
        self.newest = folder / "newest"
        self.made.write(rate=15_000)
        self.made.kill_after("per_country", 5)
        shutil.copytree(self.state, folder / "backup")
        sluice.run_until_end(self.made.write(rate=0))
        shutil.copytree(self.state, self.newest)
        for part in parts:
            shutil.rmtree(self.state / part)
            shutil.copytree(folder / "backup" / part, self.state / part)

    def commits(self):
        return {
            table: sorted(f.name for f in (self.made.folder / table / "_delta_log").iterdir())
            for table in TABLES
        }

    def run(self):
        return sluice.run_command("run", "--until-end", "--json", self.made.path, limit_s=120)

    def assert_exact(self):
        names = ("bronze", *TABLES)
        bronze, results, late = [readers.read(self.made.folder / n, "delta-rs") for n in names]
        assert bronze.num_rows == RECORDS
        answer = expect_for_topology(bronze, self.made.document, self.made.folder)
        assert check.gold(answer, "per_country", results) is None
        assert check.late(answer, "per_country", late) is None


@pytest.mark.parametrize("name", CASES)
def test_it_is_refused_with_both_numbers(name, tmp_path):
    scope, parts, said = CASES[name]
    restored = Restored(tmp_path, scope, parts)
    before = restored.commits()
    numbers = []
    for _ in range(2):
        run = restored.run()
        assert run.exit_code == 1, run.failed_because()
        found = re.search(said, run.node("per_country")["failure"])
        assert found, run.failed_because()
        numbers.append(tuple(map(int, found.groups())))
        assert restored.commits() == before
    assert numbers[0][0] > numbers[0][1] and numbers[0] == numbers[1]

    shutil.rmtree(restored.state)
    if name.startswith("group, "):  # the newest state comes back
        shutil.copytree(restored.newest, restored.state)
        sluice.run_until_end(restored.made.path)
        restored.assert_exact()
    else:
        for table in TABLES:
            shutil.rmtree(tmp_path / table)
        sluice.run_until_end(restored.made.path)
        restored.assert_exact()
