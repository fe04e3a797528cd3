"""The dashboard in a real Chromium, over a running sluice: what it shows while all is well, which
sink it blames when one stands still, a failed node, keyboard, phone, and that nothing of it is
fetched from elsewhere.

SLUICE_SCREENSHOTS=FOLDER keeps pictures of what was seen.
"""

import datetime
import http.client
import json
import os
import re
import select
import shutil
import threading
from pathlib import Path

import pytest

from tests.integration.test_admin_access import entry
from tests.support import sluice
from tests.support.servers import ROOT, wait_for

sync_api = pytest.importorskip("playwright.sync_api")
expect = sync_api.expect

LIMIT_MS = 20_000
FLAGS = [
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
AGGREGATION = {
    "time": "ts",
    "window": {"tumbling": "10s"},
    "lateness": "60s",
    "group_by": ["event_type", "country"],
    "aggregates": {"events": "count()", "revenue": "sum(amount)"},
}


class Screen:
    """The reader of a stdout sink, which can stop to read: then the sink stands still."""

    def __init__(self):
        self._read_end, self.write_end = os.pipe()
        self.reading = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._run)
        self.reading.set()
        self._thread.start()

    def _run(self):
        while not self._closed:
            self.reading.wait()
            if select.select([self._read_end], [], [], 0.05)[0]:
                os.read(self._read_end, 1 << 16)

    def close(self):
        self._closed = True
        self.reading.set()
        self._thread.join()
        os.close(self._read_end)
        os.close(self.write_end)


def delta(folder, source, **more):
    config = {"table": str(folder / source), **more}
    return {"plugin": "delta-sink", "inputs": [source], "config": config}


def medallion(folder):
    """The retail medallion, and a live view of silver on the standard output."""
    schema = str(ROOT / "deploy" / "demo" / "event.schema.json")
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    generator = {"rate": 5000, "invalid": 0.002, "duplicates": 0.01, "partitions": 4}
    generator |= {"event_rate": 5000, "start_time": now}  # so that timestamps are of the present
    return {
        "pipeline": "retail",
        "admin": {"listen": "127.0.0.1:0"},
        "state": str(folder / "state"),
        "commit.interval": "200ms",
        "sources": {"events": {"plugin": "generator", "config": generator}},
        "transforms": {
            "silver": {
                "plugin": "silver-validate",
                "inputs": ["events"],
                "config": {"schema": schema, "deduplicate": {"key": "event_id", "within": "1m"}},
            },
            "per_country": {"plugin": "gold-agg", "inputs": ["silver"], "config": AGGREGATION},
        },
        "sinks": {
            "bronze": {
                "plugin": "bronze-sink",
                "inputs": ["events"],
                "config": {"table": str(folder / "bronze")},
            },
            "silver_tbl": delta(folder, "silver"),
            "quarantine": delta(folder, "silver.rejects"),
            "gold": delta(folder, "per_country", mode="upsert"),
            "live_view": {
                "plugin": "stdout",
                "inputs": ["silver"],
                "buffer": "256KiB",
                "config": {},
            },
        },
    }


def started(process):
    """The port of the endpoint, once it listens."""
    found = lambda: re.search(r"http://127\.0\.0\.1:(\d+)", process.text(1))
    process.wait_for(found, 30, "the endpoint's address")
    return int(found().group(1))


def write(folder, document):
    path = folder / "topology.json"
    path.write_text(json.dumps(document))
    return path


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dashboard")
    screen = Screen()
    try:
        path = write(folder, medallion(folder))
        with sluice.Process("run", path, output=screen.write_end) as process:
            yield f"http://127.0.0.1:{started(process)}/", screen
    finally:
        screen.close()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("no chromium")
    with sync_api.sync_playwright() as playwright:
        # an empty profile of its own is what Playwright always starts it with
        made = playwright.chromium.launch(
            executable_path=program, headless=True, chromium_sandbox=False, args=FLAGS
        )
        yield made
        made.close()


@pytest.fixture
def new_page(browser):
    """A function that opens a page; at the end nothing may have been complained of, nor fetched
    from anywhere but the endpoint."""
    contexts, complaints, asked = [], [], []

    def make(url, **options):
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 1000}, **options})
        context.set_default_timeout(LIMIT_MS)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(url)
        return page, url

    yield make
    for context in contexts:
        context.close()
    assert complaints == []
    assert {re.match(r"http://[^/]+", url).group() for url in asked} == {
        re.match(r"http://[^/]+", asked[0]).group()
    }


def picture(page, name):
    folder = os.environ.get("SLUICE_SCREENSHOTS")
    if folder is not None:
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def rates(page):
    """Node -> its rate in the drawing, as a number."""
    found = {}
    for node in page.locator("#graph .node").all():
        text = node.locator(".rate").text_content().removesuffix("/s").replace(",", "")
        found[node.get_attribute("data-node")] = float(text.replace("K", "e3"))
    return found


def ask(url, path, accept):
    connection = http.client.HTTPConnection(url.split("/")[2], timeout=10)
    try:
        connection.request("GET", path, headers={"Accept": accept} if accept else {})
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


@pytest.mark.parametrize(
    "accept, html",
    [
        (None, False),
        ("*/*", False),
        ("application/json", False),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", True),
        ("text/*;q=0.9, application/json; q=0.3", True),
        ("text/html;q=0.1, application/json", False),
        ("text/html;q=0, */*", False),
        (";;,,q=;q=", False),
    ],
)
def test_browsers_get_the_page_and_clients_get_connects_answer(running, accept, html):
    status, headers, body = ask(running[0], "/", accept)
    assert status == 200
    if html:
        assert headers["Content-Type"] == "text/html; charset=utf-8"
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy
    else:
        assert headers["Content-Type"] == "application/json" and "version" in json.loads(body)


def test_every_file_of_the_page_is_served(running):
    for file in (ROOT / "dashboard").iterdir():
        status, _, body = ask(running[0], f"/ui/{file.name}", None)
        assert status == 200 and body == file.read_bytes(), file
    assert ask(running[0], "/ui/none.js", None)[0] == 404
    assert ask(running[0], "/ui/..%2findex.html", None)[0] == 404


def test_a_newcomer_sees_the_flow_and_who_holds_it_back(running, new_page):
    url, screen = running
    page, _ = new_page(url)
    document = medallion(Path())
    names = [name for kind in ("sources", "transforms", "sinks") for name in document[kind]]
    expect(page.locator("#graph .node")).to_have_count(len(names))
    expect(page.locator("#graph .edges path")).to_have_count(len(names) - 1)
    expect(page.locator("#verdict")).to_contain_text("Everything flows", timeout=LIMIT_MS)
    wait_for(lambda: all(rates(page)[n] > 100 for n in ("events", "silver", "bronze")), 20, "rates")
    expect(page.locator("#tiles")).to_contain_text("duplicates")
    expect(page).to_have_title("retail · sluice")
    layers = {"bronze": "bronze", "silver_tbl": "silver", "quarantine": "silver", "gold": "gold"}
    for node, layer in layers.items():
        expect(page.locator(f'[data-node="{node}"]')).to_have_class(re.compile(rf"\b{layer}\b"))
    expect(page.locator("#gold-title")).to_contain_text("per_country", timeout=LIMIT_MS)
    page.locator("#gold-column").select_option("revenue")
    expect(page.locator("#gold-rows li").first).to_contain_text(re.compile(r"\d"))
    expect(page.locator("#reject-reasons")).to_contain_text("silver: ", timeout=LIMIT_MS)
    expect(page.locator("#reject-samples li").first).to_contain_text("partition", timeout=LIMIT_MS)
    expect(page.locator("#events")).to_contain_text("http://127.0.0.1")
    picture(page, "flowing")
    dark, _ = new_page(url, color_scheme="dark")
    expect(dark.locator("#verdict")).to_contain_text("Everything flows", timeout=LIMIT_MS)
    expect(dark.locator("#reject-samples li").first).to_be_visible(timeout=LIMIT_MS)
    picture(dark, "flowing-dark")
    dark.close()
    screen.reading.clear()
    try:
        edge = page.locator('[data-edge="silver>live_view"]')
        expect(edge).to_have_class("full", timeout=LIMIT_MS)
        expect(page.locator("#verdict")).to_contain_text("live_view holds back events")
        expect(page.locator('[data-node="live_view"] .note')).to_contain_text("holds back events")
        expect(page.locator("#graph .culprit")).to_have_count(1)
        expect(page.locator("#rows tr.held")).to_contain_text("live_view")
        wait_for(lambda: rates(page)["events"] == 0, 20, "everything to stand still")
        picture(page, "held-back")
        dark, _ = new_page(url, color_scheme="dark")
        expect(dark.locator('[data-edge="silver>live_view"]')).to_have_class("full")
        picture(dark, "held-back-dark")
    finally:
        screen.reading.set()
    wait_for(lambda: rates(page)["events"] > 100, 20, "it to go on")


def test_the_keyboard_reaches_every_node(running, new_page):
    page, _ = new_page(running[0])
    page.locator('[data-node="events"]').focus()
    reached = lambda: page.evaluate("document.activeElement.dataset.node")
    page.keyboard.press("ArrowRight")
    assert reached() in ("silver", "bronze")
    page.locator('[data-node="silver"]').focus()
    page.keyboard.press("Enter")
    expect(page.locator("#detail-title")).to_have_text("silver (silver-validate)")
    expect(page.locator("#detail")).to_contain_text("silver_duplicates_total")
    expect(page.locator("#detail")).to_contain_text("event.schema.json")
    assert reached() == "silver"
    picture(page, "detail")
    page.keyboard.press("Enter")
    expect(page.locator("#detail")).to_be_hidden()


def boxes(page):
    """Node -> the place of its box on the page."""
    nodes = page.locator("#graph .node").all()
    return {n.get_attribute("data-node"): n.locator(".box").bounding_box() for n in nodes}


def test_on_a_phone_nothing_is_wider_than_the_screen(running, new_page):
    page, _ = new_page(running[0], viewport={"width": 390, "height": 844}, color_scheme="dark")
    expect(page.locator("#tiles")).to_contain_text("duplicates")
    expect(page.locator("#graph .node").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    placed = boxes(page)
    assert all(box["x"] + box["width"] <= 390 for box in placed.values()), placed
    lines = sorted(placed.values(), key=lambda box: box["y"])
    assert all(a["y"] + a["height"] < b["y"] for a, b in zip(lines, lines[1:])), placed
    for above, below in (("events", "silver"), ("silver", "per_country"), ("per_country", "gold")):
        assert placed[above]["y"] < placed[below]["y"] and placed[above]["x"] < placed[below]["x"]
    picture(page, "phone")
    page.set_viewport_size({"width": 1000, "height": 700})
    wait_for(lambda: boxes(page)["gold"]["x"] > 600, 10, "the drawing from left to right")
    assert all(box["x"] + box["width"] <= 1000 for box in boxes(page).values())


def test_a_failed_node_says_why_and_can_be_restarted(tmp_path, new_page):
    table = tmp_path / "broken"
    bronze = {"plugin": "bronze-sink", "inputs": ["shop"]}
    document = {
        "pipeline": "failing",
        "admin": {"listen": "127.0.0.1:0"},
        "commit.interval": "100ms",
        "retry.timeout": "200ms",
        "sources": {"shop": {"plugin": "generator", "config": {"rate": 1000}}},
        "sinks": {
            "sound": {**bronze, "config": {"table": str(tmp_path / "sound")}},
            "broken": {**bronze, "config": {"table": str(table)}},
        },
    }
    with sluice.Process("run", write(tmp_path, document)) as process:
        page, _ = new_page(f"http://127.0.0.1:{started(process)}/")
        log = table / "_delta_log"
        process.wait_for(lambda: len(list(log.glob("*.json"))) > 1, 20, "the first commits")
        away = table.rename(tmp_path / "away")
        table.write_text("a file where the table's folder was")
        expect(page.locator('[data-node="broken"]')).to_contain_text("FAILED", timeout=LIMIT_MS)
        expect(page.locator("#failures")).to_contain_text(str(table))
        expect(page.locator("#verdict")).to_contain_text("Failed: broken")
        page.locator('[data-node="broken"]').click()
        picture(page, "failed")
        table.unlink()
        away.rename(table)
        page.get_by_role("button", name="Restart broken").click()
        expect(page.locator("#verdict")).to_contain_text("Everything flows", timeout=LIMIT_MS)


def shop(folder, **more):
    return {
        "pipeline": "orders",
        "admin": {"listen": "127.0.0.1:0", **more},
        "commit.interval": "100ms",
        "sources": {"shop": {"plugin": "generator", "config": {"rate": 1000}}},
        "sinks": {
            name: {"plugin": "bronze-sink", "inputs": ["shop"], "config": {"table": str(folder / name)}}
            for name in ("one", "two")
        },
    }


def buttons(page):
    return [b.inner_text() for b in page.locator("#orders button").all() if b.is_visible()]


def test_a_node_is_paused_stopped_and_resumed(tmp_path, new_page):
    with sluice.Process("run", write(tmp_path, shop(tmp_path))) as process:
        page, _ = new_page(f"http://127.0.0.1:{started(process)}/")
        page.locator('[data-node="two"]').click()
        expect(page.get_by_role("button", name="Pause two")).to_be_visible(timeout=LIMIT_MS)
        assert buttons(page) == ["Pause two", "Stop two", "Restart two"]
        page.get_by_role("button", name="Pause two").click()
        expect(page.locator("#verdict")).to_contain_text("By order: two (paused)", timeout=LIMIT_MS)
        expect(page.locator('#graph [data-node="two"]')).to_contain_text("PAUSED")
        assert buttons(page) == ["Stop two", "Resume two"]
        picture(page, "paused")
        page.get_by_role("button", name="Stop two").click()
        expect(page.locator("#verdict")).to_contain_text("By order: two (stopped)", timeout=LIMIT_MS)
        page.get_by_role("button", name="Resume two").click()
        expect(page.locator("#verdict")).to_contain_text("Everything flows", timeout=LIMIT_MS)


def test_a_viewer_has_no_buttons(tmp_path, browser):
    user, token = entry("looker", "viewer", "--token")
    (tmp_path / "users.json").write_text(json.dumps({"users": [user]}))
    document = shop(tmp_path, users=str(tmp_path / "users.json"))
    with sluice.Process("run", write(tmp_path, document)) as process:
        headers = {"Authorization": f"Bearer {token}"}
        with browser.new_context(extra_http_headers=headers) as context:
            page = context.new_page()
            page.goto(f"http://127.0.0.1:{started(process)}/")
            page.locator('[data-node="two"]').click()
            expect(page.locator("#detail-title")).to_contain_text("two", timeout=LIMIT_MS)
            expect(page.locator("#detail")).to_contain_text("running")
            assert buttons(page) == []
