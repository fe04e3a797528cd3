"""What comes with sluice for those who watch it: alert rules, Grafana's dashboard, /metrics itself.
promtool is on the PATH, or where deploy/dev/promtool.sh puts it."""

import http.client
import json
import os
import re
import shutil
import ssl
import subprocess
import time
from pathlib import Path

import pytest
from prometheus_client import parser as exposition
from prometheus_client.openmetrics import parser as openmetrics

from tests.support import sluice
from tests.support.servers import ROOT

ALERTS = ROOT / "deploy" / "prometheus"
GRAFANA = ROOT / "deploy" / "grafana" / "sluice.json"
UNIT = ROOT / "deploy" / "systemd" / "sluice@.service"
PROMETHEUS_ASKS = (
    "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
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
def answers(tmp_path_factory):
    """/metrics, and what it answers to who prefers OpenMetrics, of a pipeline with rejects and a commit."""
    folder = tmp_path_factory.mktemp("metrics")
    schema = str(ROOT / "deploy" / "demo" / "event.schema.json")
    made = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj /CN=a"
    subprocess.run(
        ["openssl", *made.split(), "-keyout", folder / "key.pem", "-out", folder / "cert.pem"],
        check=True,
        capture_output=True,
        timeout=60,
    )
    document = {
        "pipeline": "metrics",
        "admin": {"listen": "127.0.0.1:0", "tls.cert": "cert.pem", "tls.key": "key.pem"},
        "state": str(folder / "state"),
        "commit.interval": "100ms",
        "sources": {"shop": {"plugin": "generator", "config": {"rate": 2000, "invalid": 0.1}}},
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

    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE

    def ask(port, accept="text/plain"):
        connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=10, context=context)
        connection.request("GET", "/metrics", headers={"Accept": accept})
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer.headers["Content-Type"], text

    with sluice.Process("run", folder / "topology.json") as process:
        found = lambda: re.search(r"https://127\.0\.0\.1:(\d+)", process.text(1))
        process.wait_for(found, 30, "the endpoint's address")
        port = int(found().group(1))
        whole = ['quantile="0.99"', "sluice_state_disk_bytes ", "sluice_rejected_rows_total{"]
        process.wait_for(lambda: all(w in ask(port)[1] for w in whole), 30, "a commit")
        yield ask(port)[1], ask(port, PROMETHEUS_ASKS)


@pytest.fixture(scope="module")
def metrics(answers):
    return answers[0]


def test_metrics_follow_the_conventions(metrics):
    promtool("check", "metrics", text=metrics)


def test_open_metrics_for_who_prefers_it(answers):
    content_type, text = answers[1]
    assert content_type == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    families = {f.name: f for f in openmetrics.text_string_to_metric_families(text)}
    plain = {f.name: f for f in exposition.text_string_to_metric_families(answers[0])}
    assert set(families) == set(plain)
    assert {n: f.type for n, f in families.items()} == {n: f.type for n, f in plain.items()}
    assert families["sluice_input_rows"].type == "counter"


def samples(metrics, name):
    (family,) = [f for f in exposition.text_string_to_metric_families(metrics) if f.name == name]
    return family.samples


def test_what_operators_ask_for_is_there(metrics):
    """Issue by issue: rows, bytes and batches by edge, errors by reason, latency by sink, ..."""
    value = lambda name, **labels: sum(
        s.value for s in samples(metrics, name) if labels.items() <= s.labels.items()
    )
    for what in ("rows", "batches", "bytes"):
        assert value(f"sluice_input_{what}", node="good", input="silver") > 0
        assert value(f"sluice_output_{what}", node="shop", output="") > 0
    reasons = {s.labels["reason"] for s in samples(metrics, "sluice_rejected_rows")}
    assert len(reasons) > 3 and value("sluice_rejected_rows") > 0
    assert value("sluice_node_failures") == 0 and value("sluice_node_process_retries") == 0
    buckets = [
        (float(s.labels["le"]), s.value)
        for s in samples(metrics, "sluice_durable_latency_seconds")
        if s.name.endswith("_bucket") and s.labels["node"] == "good"
    ]
    assert buckets == sorted(buckets) and buckets[-1][0] == float("inf") and buckets[-1][1] > 0
    assert [n for _, n in buckets] == sorted(n for _, n in buckets)
    loops = {s.labels["loop"]: s.value for s in samples(metrics, "sluice_loop_lag_seconds")}
    assert {"control", "lane-0"} <= set(loops) and all(0 <= lag < 60 for lag in loops.values())
    assert 0 < value("sluice_state_disk_free_bytes") <= value("sluice_state_disk_bytes")
    ends = value("sluice_credential_expires_timestamp_seconds", credential="admin.tls.cert")
    assert 29 * 86400 < ends - time.time() < 31 * 86400
    assert value("sluice_source_record_age_seconds", node="shop") >= 0


def test_alert_rules():
    promtool("check", "rules", ALERTS / "alerts.yml")
    promtool("test", "rules", ALERTS / "alerts.test.yml")


def names(metrics):
    """Samples, and families of which there may be none: who says nothing of its end has no lag."""
    return set(re.findall(r"^(?:# TYPE )?(\w+)[{ ]", metrics, re.M))


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
