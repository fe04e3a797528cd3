"""The documentation against the program: every topology that it shows is valid, every option of a
plugin stands in the plugin's README with its default, every link leads somewhere."""

import json
import re
import shutil
from pathlib import Path

import pytest

from tests.topology import runner

ROOT = Path(runner.ROOT)
PAGES = sorted(
    page
    for pattern in ("*.md", "docs/**/*.md", "plugins/*/README.md", "sdk/**/*.md")
    for page in ROOT.glob(pattern)
)
SCHEMA = ROOT / "deploy" / "demo" / "event.schema.json"  # what the examples speak of
BLOCK = re.compile(r"^```json\n(.*?)^```", re.S | re.M)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"```.*?```|`[^`\n]*`", re.S)


def name_of(page):
    return str(page.relative_to(ROOT))


def topologies():
    """(page and number, document) of every topology that the documentation shows."""
    for page in PAGES:
        for i, block in enumerate(BLOCK.findall(page.read_text())):
            document = json.loads(block)
            if "sources" in document:
                yield pytest.param(document, id=f"{name_of(page)}#{i}")


def plugins():
    return sorted(page.parent.name for page in ROOT.glob("plugins/*/README.md"))


@pytest.mark.parametrize("document", list(topologies()))
def test_every_example_is_valid(document, tmp_path):
    shutil.copy(SCHEMA, tmp_path)
    file = tmp_path / "topology.json"
    file.write_text(json.dumps(document))
    done = runner.run(["validate", str(file)], folder=tmp_path)
    assert done.returncode == 0, done.stderr


def options(plugin):
    """(path, name, default) of each option; what an object's parts are called stands behind a dot."""
    description = json.loads(runner.run(["inspect", "--json", plugin]).stdout)
    tables = [role["options"] for role in description["roles"].values()]
    tables.append(description.get("section_options") or [])
    found = {}

    def walk(table, prefix):
        for option in table:
            if not option["rest"]:
                path = prefix + option["name"]
                found.setdefault((path, option["name"]), set()).add(option.get("default"))
                walk(option.get("options", []), f"{prefix}{option['name']}.")

    for table in tables:
        walk(table, "")
    return found


def documented_defaults(text):
    """option: the defaults that the tables' second column gives it in as many words."""
    shown = {}
    for row in text.splitlines():
        if not row.startswith("| `"):
            continue
        _, first, second, *_ = re.split(r" *\| *", row)
        names = re.findall(r"`([^`]+)`", first)
        for name in names:
            # several options in one row have several defaults: not compared
            shown.setdefault(name, set()).add(second.strip("`") if len(names) == 1 else None)
    return shown


@pytest.mark.parametrize("plugin", plugins())
def test_every_option_is_documented(plugin):
    text = (ROOT / "plugins" / plugin / "README.md").read_text()
    shown = documented_defaults(text)
    faults = []
    for (path, name), defaults in options(plugin).items():
        if path not in shown:
            # a part of an object, shown by example or as the same option elsewhere
            if f'"{name}":' not in text and name not in shown:
                faults.append(f"{path} is not documented")
        elif None not in shown[path] and not defaults - {None} <= shown[path]:
            faults.append(f"{path}: the default is {defaults}, the README says {shown[path]}")
    assert not faults, "\n".join(faults)


def anchors(page):
    """The anchors of a page's headings, as GitHub makes them."""
    heads = re.findall(r"^#+ (.*)$", CODE.sub("", page.read_text()), re.M)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_link_is_dead(page):
    for link in LINK.findall(CODE.sub("", page.read_text())):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{name_of(page)}: {link}"
        assert not anchor or anchor in anchors(target), f"{name_of(page)}: {link}"


def test_the_index_names_every_page():
    index = ROOT / "docs" / "README.md"
    links = LINK.findall(index.read_text())
    linked = {(index.parent / link.partition("#")[0]).resolve() for link in links}
    pages = {*ROOT.glob("docs/**/*.md"), *ROOT.glob("plugins/*/README.md")} - {index}
    assert not {name_of(page) for page in pages - linked}
