"""What comes with sluice for those who watch it: alert rules, Grafana's dashboard, /metrics itself.
promtool is on the PATH, or where deploy/dev/promtool.sh puts it."""

import http.client
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support import sluice
from tests.support.servers import ROOT

ALERTS = ROOT / "deploy" / "prometheus"
GRAFANA = ROOT / "deploy" / "grafana" / "sluice.json"
UNIT = ROOT / "deploy" / "systemd" / "sluice@.service"
METRIC = re.compile(r"\b(?:sluice|process)_[a-z_]+")


def promtool(*arguments, text=None):
    deps = Path(os.environ.get("SLUICE_DEPS", ROOT / "build" / "deps"))
    program = shutil.which("promtool") or deps / "promtool"
    if not Path(program).exists():
        pytest.skip("no promtool: deploy/dev/promtool.sh")
    done = subprocess.run(
        [program, *map(str, arguments)], input=text, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def metrics(tmp_path_factory):
    """The text of /metrics of a pipeline with rejects and a commit."""
    folder = tmp_path_factory.mktemp("metrics")
    schema = str(ROOT / "deploy" / "demo" / "event.schema.json")
    document = {
        "pipeline": "metrics",
        "admin": {"listen": "127.0.0.1:0"},
        "commit.interval": "100ms",
        "sources": {"shop": {"plugin": "generator", "config": {"rate": 2000}}},
        "transforms": {
            "silver": {
                "plugin": "silver-validate",
                "inputs": ["shop"],
                "config": {"schema": schema},
            }
        },
        "sinks": {
            "good": {
                "plugin": "delta-sink",
                "inputs": ["silver"],
                "config": {"table": str(folder / "good")},
            }
        },
    }
    (folder / "topology.json").write_text(json.dumps(document))

    def ask(port):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        connection.close()
        return text

    with sluice.Process("run", folder / "topology.json") as process:
        found = lambda: re.search(r"http://127\.0\.0\.1:(\d+)", process.text(1))
        process.wait_for(found, 30, "the endpoint's address")
        port = int(found().group(1))
        process.wait_for(lambda: 'quantile="0.99"' in ask(port), 30, "a commit")
        yield ask(port)


def test_metrics_follow_the_conventions(metrics):
    promtool("check", "metrics", text=metrics)


def test_alert_rules():
    promtool("check", "rules", ALERTS / "alerts.yml")
    promtool("test", "rules", ALERTS / "alerts.test.yml")


def names(metrics):
    return set(re.findall(r"^# TYPE (\S+)", metrics, re.M))


def test_alerts_ask_for_metrics_that_there_are(metrics):
    rules = re.sub(r"alert: \w+", "", (ALERTS / "alerts.yml").read_text())
    asked = set(METRIC.findall(rules))
    assert len(asked) >= 6 and asked <= names(metrics)


def expressions():
    panels = json.loads(GRAFANA.read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel["targets"]]


def test_grafanas_queries_are_promql_over_metrics_that_there_are(metrics, tmp_path):
    asked = {name for expr in expressions() for name in METRIC.findall(expr)}
    assert len(asked) > 12 and asked <= names(metrics)
    rules = [
        {"record": f"r{n}", "expr": expr.replace("$__rate_interval", "5m")}
        for n, expr in enumerate(expressions())
    ]
    file = tmp_path / "rules.json"  # JSON is YAML
    file.write_text(json.dumps({"groups": [{"name": "grafana", "rules": rules}]}))
    promtool("check", "rules", file)


def test_grafanas_panels_do_not_overlap():
    panels = json.loads(GRAFANA.read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert at["x"] + at["w"] <= 24 and not cells & taken, panel["title"]
        taken |= cells


def test_the_unit_is_one_that_systemd_takes(tmp_path):
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("no systemd-analyze")
    unit = tmp_path / "sluice@.service"
    unit.write_text(UNIT.read_text().replace("/usr/local/bin/sluice", str(sluice.BINARY.resolve())))
    instance = tmp_path / "sluice@retail.service"
    done = subprocess.run(
        [analyze, "verify", "--man=no", "--recursive-errors=no", instance],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0 and done.stderr == "", done.stderr
