"""powerbi-sink against the double of the service (tests/doubles/powerbi.py: what it is built from),
with tokens of the double of Entra ID. Limits and pace in virtual time: tests/unit/test_powerbi_limits.c.
"""

import json
import signal
import time

import deltalake
import pytest

from tests.doubles.entra import Entra
from tests.doubles.powerbi import PowerBI
from tests.integration.test_admin import Running
from tests.integration.test_azure_tokens import told_by_admin
from tests.support import events, sluice
from tests.support.medallion import SCHEMA, Medallion
from tests.support.servers import wait_for

WORKSPACE = "f089354e-8366-4e18-aea3-4cb4a3a50b48"
ROWS = 200_000
BACKLOG = 60_000
BATCH_ROWS = 12_000  # more than 1 MiB of its lines has, which is a batch of the file


@pytest.fixture
def entra():
    with Entra() as double:
        yield double


def config(entra, service, **more):
    return {
        "workspace": WORKSPACE,
        "dataset": "Retail live",
        "table": "per country",
        "endpoint": service.url,
        "auth": "client-secret",
        "tenant": entra.tenant,
        "client_id": entra.client,
        "client_secret": "${env:TEST_SECRET}",
        "authority": entra.url,
        **more,
    }


def lines(folder, count):
    """A file of gold-like rows and a topology that sends them to a sink named `live`."""
    file = folder / "rows.jsonl"
    with open(file, "w") as out:
        for i in range(count):
            row = {
                "id": i,
                "country": f"c{i % 40}",
                "revenue": i / 4,
                "open": i % 2 == 0,
                "at": f"2026-11-22T10:{i // 60 % 60:02}:{i % 60:02}Z",
                "price": i % 1000 + i % 100 / 100,
            }
            out.write(json.dumps(row) + "\n")
    schema = {
        "type": "object",
        "properties": {
            "id": {"type": "integer"},
            "country": {"type": "string"},
            "revenue": {"type": "number"},
            "open": {"type": "boolean"},
            "at": {"type": "string", "format": "date-time"},
            "price": {"type": "number", "x-sluice-type": "decimal(12,2)"},
        },
        "required": ["id"],
    }
    (folder / "row.schema.json").write_text(json.dumps(schema))
    return file


def topology(folder, sink, count, **edge):
    file = lines(folder, count)
    document = {
        "pipeline": "live",
        "state": str(folder / "state"),
        "sources": {"lines": {"plugin": "file", "config": {"path": str(file)}}},
        "transforms": {
            "rows": {
                "plugin": "silver-validate",
                "inputs": ["lines"],
                "config": {"schema": "row.schema.json"},
            }
        },
        "sinks": {
            "live": {"plugin": "powerbi-sink", "inputs": [{"from": "rows", **edge}], "config": sink},
            "rejected": {
                "plugin": "file",
                "inputs": ["rows.rejects"],
                "config": {"path": str(folder / "rejected.jsonl")},
            },
        },
    }
    path = folder / "topology.json"
    path.write_text(json.dumps(document, indent=2))
    return path


@pytest.fixture(autouse=True)
def secret(entra, monkeypatch):
    monkeypatch.setenv("TEST_SECRET", entra.secret)


def test_all_rows_without_a_429(entra, tmp_path):
    """200,000 rows; no limit is touched; neither secret nor token is in any output."""
    with PowerBI(entra, WORKSPACE) as service:
        path = topology(tmp_path, config(entra, service), ROWS)
        run = sluice.run_until_end(path, "--log-level", "debug")
        assert service.counts["unprovoked 429"] == 0
        rows = service.rows("Retail live", "per country")
        assert sorted(r["id"] for r in rows) == list(range(ROWS))
        first = next(r for r in rows if r["id"] == 7)
        assert first == {
            "id": 7,
            "country": "c7",
            "revenue": 1.75,
            "open": False,
            "at": "2026-11-22T10:00:07Z",
            "price": 7.07,
            "_topic": first["_topic"],
            "_partition": 0,
            "_offset": first["_offset"],
        }
        assert entra.requests["token"] == 1
        text = run.log + run.output
        assert entra.secret not in text
        assert not [token for token in entra.tokens() if token in text]
        again = sluice.run_until_end(path)
        assert again.rows_in("live") == 0
        assert len(service.datasets) == 1


def test_no_secret_is_told_by_the_endpoint(entra, tmp_path):
    with PowerBI(entra, WORKSPACE) as service:
        path = topology(tmp_path, config(entra, service), 10)
        document = json.loads(path.read_text())
        document["admin"] = {"listen": "127.0.0.1:0"}
        path.write_text(json.dumps(document))
        text = told_by_admin(path, {})
        assert "Retail live" in text
        assert entra.tokens()
        assert not [secret for secret in (entra.secret, *entra.tokens()) if secret in text]


def test_trouble_loses_nothing(entra, tmp_path):
    """429, 503 and lost answers: every row arrives; only what had no answer arrives twice."""
    troubles = ("throttled", "busy", "cut", "lost")
    with PowerBI(entra, WORKSPACE, provoke=0.3, troubles=troubles, seed=3) as service:
        path = topology(tmp_path, config(entra, service), ROWS)
        run = sluice.run_until_end(path)
        assert run.exit_code == 0
        assert all(service.counts[trouble] > 0 for trouble in troubles)
        assert service.counts["unprovoked 429"] == 0
        stored = service.counts["rows"]
        kept = {r["id"] for r in service.rows("Retail live", "per country")}
        # the table keeps the newest 200,000: what came twice has pushed others out
        assert len(kept) >= ROWS - (stored - ROWS)
        assert ROWS < stored <= ROWS + 10_000 * service.counts["lost"]


def test_killed_it_repeats_no_more_than_a_commit(entra, tmp_path):
    """Each time right behind an accepted POST, whose place is not stored yet, as a rule: all rows
    are there, and each kill has repeated at most the rows of one commit on the one lane that has
    the file: 10,000 and one batch."""
    kills, post, rows = 4, 10_000, 60_000
    with PowerBI(entra, WORKSPACE) as service:
        sink = config(entra, service, retention="none")
        path = topology(tmp_path, sink, rows)
        for _ in range(kills):
            with sluice.Process("run", path) as process:
                accepted = service.counts["accepted"]
                process.wait_for(lambda: service.counts["accepted"] > accepted, 60, "a POST")  # noqa: B023
                process.signal(signal.SIGKILL)
                process.wait(30)
        sluice.run_until_end(path)
        ids = [row["id"] for row in service.rows("Retail live", "per country")]
        assert set(ids) == set(range(rows))
        assert len(ids) - rows <= kills * (post + BATCH_ROWS)
        print(f"{len(ids) - rows} rows came twice in {kills} kills")
        assert service.counts["unprovoked 429"] == 0


class Backlog:
    """Bronze, silver and a live sink behind silver, which get `BACKLOG` records at once."""

    def __init__(self, folder, broker, topic, sink):
        self.broker, self.topic, self.produced = broker, topic, 0
        medallion = Medallion(folder, broker.bootstrap, topic).without("per_country")
        document = medallion.document
        document["admin"] = {"listen": "127.0.0.1:0"}
        document["memory.max"] = "256MiB"
        # push datasets have no nested columns
        columns = ("event_id", "device_id", "country", "amount")
        schema = json.loads(SCHEMA.read_text())
        schema["properties"] = {name: schema["properties"][name] for name in columns}
        schema["required"] = ["event_id"]
        (folder / "flat.schema.json").write_text(json.dumps(schema))
        document["transforms"]["silver"]["config"] = {"schema": "flat.schema.json"}
        document["sinks"]["live"] = {
            "plugin": "powerbi-sink",
            "inputs": [{"from": "silver", "buffer": "256KiB", "when_full": "detach"}],
            "config": sink,
        }
        self.tables = [medallion.table(name) for name in ("bronze", "silver_tbl", "quarantine")]
        self.path = medallion.write()

    def rows(self):
        """Of bronze, silver and the quarantine."""
        found = []
        for table in self.tables:
            rows = 0
            if (table / "_delta_log").is_dir():
                adds = deltalake.DeltaTable(str(table)).get_add_actions(flatten=True)
                rows = sum(adds["num_records"].to_pylist())
            found.append(rows)
        return found

    def is_done(self):
        bronze, silver, quarantine = self.rows()
        return bronze == silver + quarantine == self.produced

    def pause(self, admin):
        assert admin.ask("/connectors/events/pause", "PUT")[0] == 202
        state = lambda: admin.json("/connectors/events/status")["connector"]["state"]
        wait_for(lambda: state() == "PAUSED", 60, "the source paused")

    def seconds(self, process, admin):
        """From the moment the source may read until bronze and silver have all of it."""
        feed = events.records(events.Feed(records=BACKLOG, seed=self.produced))
        self.produced += self.broker.produce(self.topic, feed)
        began = time.monotonic()
        assert admin.ask("/connectors/events/resume", "PUT")[0] == 202
        process.wait_for(self.is_done, 120, "bronze and silver")
        return time.monotonic() - began


def test_detach_leaves_bronze_and_silver_at_full_speed(entra, broker, new_topic, tmp_path):
    """The same backlog twice in one run: while the service takes rows, and while it takes none. It
    has all of them once it goes on."""
    with PowerBI(entra, WORKSPACE) as service:
        topic = new_topic(4)
        backlog = Backlog(tmp_path, broker, topic, config(entra, service, retention="none"))
        with sluice.Process("run", "--json", backlog.path) as process:
            admin = Running(process)
            wait_for(lambda: admin.ask("/ready")[0] == 200, 60, "all nodes")
            backlog.pause(admin)
            taken = backlog.seconds(process, admin)
            backlog.pause(admin)
            service.provoke(1.0, ("throttled",))
            refused = backlog.seconds(process, admin)
            print(f"{BACKLOG} records: {taken:.2f} s; with Power BI stopped {refused:.2f} s")
            assert service.counts["throttled"] > 0
            service.provoke(0.0)
            silver = backlog.rows()[1]

            def complete():
                rows = service.rows("Retail live", "per country")
                return len({(r["_partition"], r["_offset"]) for r in rows}) == silver

            process.wait_for(complete, 120, "all rows in Power BI")
            process.signal(signal.SIGTERM)
            assert process.wait(60).exit_code == 0
        rows = service.rows("Retail live", "per country")
        assert len(rows) == silver, "nothing was repeated, since nothing broke"
    assert refused <= 5 * taken + 5, "bronze and silver were held back"


def test_tokens_are_renewed(entra, tmp_path):
    entra.lifetime_s = 1
    with PowerBI(entra, WORKSPACE) as service:
        path = topology(tmp_path, config(entra, service), 30_000)
        sluice.run_until_end(path)
        assert service.counts["rows"] == 30_000
    assert entra.requests["token"] >= 1


def test_coalesce_sends_the_newest_of_each_key(entra, tmp_path):
    with PowerBI(entra, WORKSPACE, provoke=0.5, troubles=("throttled",), seed=1) as service:
        sink = config(entra, service, coalesce=True, key=["country"])
        sluice.run_until_end(topology(tmp_path, sink, 50_000))
        rows = service.rows("Retail live", "per country")
        assert len(rows) < 20_000
        newest = {r["country"]: r["id"] for r in rows}
        assert newest == {f"c{i % 40}": i for i in range(49_960, 50_000)}


def test_long_texts_are_records_at_fault(entra, tmp_path):
    with PowerBI(entra, WORKSPACE) as service:
        path = topology(tmp_path, config(entra, service), 3)
        with open(tmp_path / "rows.jsonl", "a") as out:
            out.write(json.dumps({"id": 3, "country": "é" * 4000}) + "\n")
            out.write(json.dumps({"id": 4, "country": "x" * 4001}) + "\n")
        run = sluice.run_command("run", "--until-end", path)
        assert run.exit_code == 1
        assert "country" in run.failed_because() and "4000" in run.failed_because()
        document = json.loads(path.read_text())
        document["sinks"]["live"]["errors.tolerance"] = "all"
        path.write_text(json.dumps(document))
        assert sluice.run_until_end(path).exit_code == 0
        rows = service.rows("Retail live", "per country")
        assert {r["id"] for r in rows} == {0, 1, 2, 3}


REFUSED = {
    10: ("too_long", {"country": "\U0001f600" * 2001}),
    11: ("number", {"id": 2**63 - 1}),
    12: ("number", {"id": -(2**63)}),
    13: ("number", {"price": 2e15}),
    14: ("date", {"at": "1899-12-31T23:59:59Z"}),
}
TAKEN = {
    20: {"country": "\U0001f600" * 2000},
    21: {"id": 2**63 - 2},
    22: {"price": -9e14},
    23: {"at": "9999-12-31T23:59:59Z"},
}


def test_what_a_dataset_does_not_take_leaves_on_rejects(entra, tmp_path):
    with PowerBI(entra, WORKSPACE) as service:
        path = topology(tmp_path, config(entra, service), 5)
        schema = json.loads((tmp_path / "row.schema.json").read_text())
        schema["properties"]["price"]["x-sluice-type"] = "decimal(30,6)"
        (tmp_path / "row.schema.json").write_text(json.dumps(schema))
        rows = {i: {"id": i, **row} for i, row in TAKEN.items()}
        rows |= {i: {"id": i, **row} for i, (_, row) in REFUSED.items()}
        with open(tmp_path / "rows.jsonl", "a") as out:
            out.writelines(json.dumps(row) + "\n" for row in rows.values())
        document = json.loads(path.read_text())
        document["sinks"]["live"]["errors.tolerance"] = "all"
        document["sinks"]["not"] = {
            "plugin": "file",
            "inputs": ["live.rejects"],
            "config": {"path": str(tmp_path / "not.jsonl")},
        }
        path.write_text(json.dumps(document))
        for _ in range(2):  # the second run has nothing to do
            assert sluice.run_until_end(path).exit_code == 0
            stored = {row["id"] for row in service.rows("Retail live", "per country")}
            assert stored == {0, 1, 2, 3, 4, *TAKEN} - {21} | {2**63 - 2}
            found = [json.loads(line) for line in (tmp_path / "not.jsonl").read_text().splitlines()]
            assert [row["reason"] for row in found] == [why for why, _ in REFUSED.values()]
        assert found[0]["path"] == "$.country" and "4000 characters" in found[0]["detail"]
        assert all(row["topic"].endswith("rows.jsonl") for row in found)


@pytest.mark.parametrize(
    "change, sentence",
    [
        ({"client_secret": "wrong"}, "AADSTS7000215"),
        ({"workspace": "0000"}, "404"),
        ({"endpoint": "http://10.0.0.1:1"}, "endpoint is"),
        ({"workspace": "../x"}, "workspace is"),
        ({"coalesce": True}, '"coalesce" needs to know'),
    ],
)
def test_what_is_wrong_is_said(entra, tmp_path, change, sentence):
    with PowerBI(entra, WORKSPACE) as service:
        path = topology(tmp_path, config(entra, service, **change), 3)
        run = sluice.run_command("run", "--until-end", path, limit_s=60)
        assert run.exit_code in (1, 2)
        assert sentence in run.log
        assert entra.secret not in run.log + run.output


def test_columns_are_checked_before_anything_runs(tmp_path, entra):
    with PowerBI(entra, WORKSPACE) as service:
        path = topology(tmp_path, config(entra, service), 3)
        schema = json.loads((tmp_path / "row.schema.json").read_text())
        schema["properties"]["tags"] = {"type": "array", "items": {"type": "string"}}
        (tmp_path / "row.schema.json").write_text(json.dumps(schema))
        run = sluice.run_command("validate", path)
        assert run.exit_code == 2
        assert '"tags" is array<string>' in run.log
        del schema["properties"]["tags"]
        schema["properties"] |= {f"n{i}": {"type": "integer"} for i in range(75)}
        (tmp_path / "row.schema.json").write_text(json.dumps(schema))
        run = sluice.run_command("validate", path)
        assert run.exit_code == 2
        assert "a table of a push dataset has at most 75" in run.log
        assert sum(service.counts.values()) == 0 and not service.datasets


def test_waits_are_seen_and_end_at_a_signal(entra, tmp_path):
    """Held back by a long Retry-After, sluice still stops when told, and says what is not done."""
    with PowerBI(entra, WORKSPACE, provoke=1.0, troubles=("throttled",)) as service:
        path = topology(tmp_path, config(entra, service), 5)
        document = json.loads(path.read_text())
        document["shutdown.timeout"] = "1s"
        path.write_text(json.dumps(document))
        with sluice.Process("run", path) as process:
            wait_for(lambda: service.counts["throttled"] > 1, 60, "a 429")
            process.signal(15)
            assert process.wait(30).exit_code == 1
            assert "shutdown.timeout" in process.text(1)
