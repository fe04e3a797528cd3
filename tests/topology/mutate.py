"""Random mutations of valid topologies, each with the place that a report must name.

A mutation changes one thing of a topology, as a text or as a tree, and says where the fault is: by
JSON path, or by line for what breaks the syntax. A misspelling also says what was meant.
"""

import copy
import json
import random
import re
import string
from dataclasses import dataclass, field

# What the test plugins and the host know, by kind of place. Lists of (key, type).
TOP = {
    "pipeline": "string",
    "state": "location",
    "lanes": "integer",
    "commit.interval": "duration",
    "shutdown.timeout": "duration",
    "retry.timeout": "duration",
    "memory.max": "size",
    "buffer": "size",
}
OPTIONS = {
    "topics": "list",
    "start": "enum",
    "password": "string",
    "text": "string",
    "count": "integer",
    "ratio": "number",
    "size": "size",
    "wait": "duration",
    "eager": "bool",
    "schema": "string",
    "deduplicate": "object",
    "within": "duration",
    "key": "string",
    "names": "object",
    "table": "location",
    "compression": "enum",
    "first": "integer",
    "servers": "string",
    "embedded": "bool",
    "plugin": "string",
    "inputs": "list",
    "from": "string",
}
TYPES = {**TOP, **OPTIONS}
REQUIRED = {"pipeline", "plugin", "inputs", "topics", "table", "within", "servers", "from"}
# Values that an option of a type never takes.
WRONG = {
    "string": [7, True, None, ["x"], {"x": 1}],
    "location": [7, False, None, ["lake"], {}, "", "file://lake/x", "nosuch://x/y"],
    "integer": ["many", 1.5, True, None, [1], 10**30],
    "number": ["half", False, None, {}],
    "size": ["12 MB", "lots", 1.5, True, None, [1], "1.5MiB", "-1"],
    "duration": [10, "10", "10 s", "soon", None, True, "1s1h", "-5s"],
    "bool": ["true", 1, None, "yes", []],
    "enum": [7, None, "zzzzzz", True],
    "list": [7, None, True, {"a": 1}],
    "object": [7, "x", None, True, [1]],
}


@dataclass
class Mutation:
    kind: str
    text: str
    path: str | None = None  # the fault's JSON path
    line: int | None = None  # or its line, one more or less
    meant: str | None = None  # what a suggestion must name
    mentions: str | None = None  # what some report must quote, wherever it is
    notes: list = field(default_factory=list)


def member(path, key):
    """The path of a member, as sluice writes it."""
    if re.fullmatch(r"[A-Za-z_-][A-Za-z0-9_-]*", key):
        return f"{path}.{key}"
    escaped = key.replace("\\", "\\\\").replace("'", "\\'")
    return f"{path}['{escaped}']"


def walk(value, path="$"):
    """(container, key, path of the member) of everything below."""
    if isinstance(value, dict):
        for key in list(value):
            yield value, key, member(path, key)
            yield from walk(value[key], member(path, key))
    elif isinstance(value, list):
        for i in range(len(value)):
            yield value, i, f"{path}[{i}]"
            yield from walk(value[i], f"{path}[{i}]")


def free(path):
    """True below options that take anything."""
    return ".names." in path or ".anything" in path or "client.id" in path


def options(tree, wanted=None):
    """Members with a known type."""
    return [
        (holder, key, path)
        for holder, key, path in walk(tree)
        if isinstance(key, str) and key in TYPES and not free(path)
        and not re.fullmatch(r"\$\.(sources|transforms|sinks)\.[^.]+", path)
        and (wanted is None or TYPES[key] in wanted)
    ]


def misspell(rng, word):
    """One slip of the fingers, two in long words; never a swap of two equal letters."""
    for _ in range(100):
        letters = list(word)
        for _ in range(2 if len(word) >= 9 and rng.random() < 0.3 else 1):
            i = rng.randrange(len(letters))
            slip = rng.choice(["delete", "insert", "replace", "swap"])
            if slip == "delete" and len(letters) > 3:
                del letters[i]
            elif slip == "insert":
                letters.insert(i, rng.choice(string.ascii_lowercase))
            elif slip == "swap" and i + 1 < len(letters):
                letters[i], letters[i + 1] = letters[i + 1], letters[i]
            else:
                letters[i] = rng.choice(string.ascii_lowercase)
        made = "".join(letters)
        if made != word and made.strip("."):
            return made
    raise AssertionError(word)


def rename(holder, old, new):
    items = [(new if k == old else k, v) for k, v in holder.items()]
    holder.clear()
    holder.update(items)


def parent_of(path):
    return re.sub(r"(\.[^.\[\]']+|\['[^']*'\])$", "", path)


def dump(tree):
    return json.dumps(tree, indent=2, ensure_ascii=False) + "\n"


# ---- mutations of the tree; each returns None when the topology has no place for it


def misspelt_key(rng, tree):
    places = [p for p in options(tree) if len(p[1]) >= 4]
    places += [(tree, key, f"$.{key}") for key in ("sources", "sinks") if key in tree]
    places += [p for p in walk(tree) if p[1] in ("config", "when_full") and not free(p[2])]
    holder, key, path = rng.choice(places)
    new = misspell(rng, key)
    if new in holder or new in TYPES:
        return None
    rename(holder, key, new)
    return Mutation("misspelt key", dump(tree), member(parent_of(path), new), meant=key)


def misspelt_plugin(rng, tree):
    holder, key, path = rng.choice([p for p in walk(tree) if p[1] == "plugin"])
    meant = holder[key]
    holder[key] = misspell(rng, meant)
    return Mutation("misspelt plugin", dump(tree), path, meant=meant)


def inputs_of(tree):
    return [
        (holder, key, path)
        for holder, key, path in walk(tree)
        if re.search(r"\.inputs\[\d+\]$", path) and isinstance(holder[key], str)
    ]


def misspelt_input(rng, tree):
    holder, key, path = rng.choice(inputs_of(tree))
    meant = holder[key]
    new = misspell(rng, meant)
    if new.count(".") != meant.count(".") or new.split(".")[0] in names_of(tree):
        return None
    holder[key] = new
    return Mutation("misspelt input", dump(tree), path, meant=meant)


def names_of(tree):
    return [n for k in ("sources", "transforms", "sinks") for n in tree.get(k, {})]


def misspelt_enum(rng, tree):
    places = options(tree, {"enum"})
    if not places:
        return None
    holder, key, path = rng.choice(places)
    meant = holder[key]
    holder[key] = misspell(rng, meant)
    return Mutation("misspelt value", dump(tree), path, meant=meant)


def renamed_node(rng, tree):
    kind = rng.choice(["sources", "transforms"])
    if kind not in tree:
        return None
    name = rng.choice(list(tree[kind]))
    new = misspell(rng, name)
    if new in names_of(tree) or not re.fullmatch(r"[a-z_][a-z0-9_-]*", new):
        return None
    rename(tree[kind], name, new)
    return Mutation("renamed node", dump(tree), mentions=new)


def wrong_type(rng, tree):
    holder, key, path = rng.choice(options(tree))
    holder[key] = rng.choice(WRONG[TYPES[key]])
    return Mutation("wrong value", dump(tree), path)


def out_of_range(rng, tree):
    bad = {
        "lanes": [0, -1, 1000],
        "count": [0, 1001, -5],
        "ratio": [-0.1, 1.5, 1e300],
        "size": [0, "2GiB", "1B"],
        "wait": ["2h", "1us"],
        "commit.interval": ["1us", "2h"],
        "buffer": [1, "1B"],
        "first": [10, -1],
    }
    places = [p for p in options(tree) if p[1] in bad]
    if not places:
        return None
    holder, key, path = rng.choice(places)
    holder[key] = rng.choice(bad[key])
    return Mutation("out of range", dump(tree), path)


def missing_key(rng, tree):
    places = [p for p in options(tree) if p[1] in REQUIRED]
    places += [(tree, key, f"$.{key}") for key in ("sources", "sinks")]
    holder, key, path = rng.choice(places)
    del holder[key]
    return Mutation("missing key", dump(tree), path)


def extra_key(rng, tree):
    places = [
        (value, path)
        for value, path in [(tree, "$")] + [(h[k], p) for h, k, p in walk(tree)]
        if isinstance(value, dict)
        and not free(path + ".")
        and not re.fullmatch(r"\$\.(sources|transforms|sinks)", path)
    ]
    holder, path = rng.choice(places)
    key = "".join(rng.choice("qxzvw") for _ in range(8))
    holder[key] = rng.choice([1, "x", {}, None])
    return Mutation("unknown key", dump(tree), member(path, key))


def cycle(rng, tree):
    nodes = [n for n in tree.get("transforms", {}) if tree["transforms"][n]["plugin"] == "stateful"]
    nodes += [
        n
        for n, node in tree.get("transforms", {}).items()
        if node["plugin"] == "good" and len(node["inputs"]) == 1
    ]
    if not nodes:
        return None
    name = rng.choice(nodes)
    below = downstream(tree, name)
    other = rng.choice(below)
    tree["transforms"][name]["inputs"].append(other)
    return Mutation("cycle", dump(tree), mentions="cycle: ", notes=[name, other])


def reads(node):
    for item in node.get("inputs", []):
        yield (item if isinstance(item, str) else item["from"]).split(".")[0]


def downstream(tree, name):
    """`name` and the transforms that hang on it and do not stand among its direct inputs already."""
    found = [name]
    for _ in tree["transforms"]:
        for other, node in tree["transforms"].items():
            if other not in found and any(r in found for r in reads(node)):
                found.append(other)
    direct = set(reads(tree["transforms"][name]))
    return [n for n in found if n not in direct]


def input_from_sink(rng, tree):
    holder, key, path = rng.choice(inputs_of(tree))
    holder[key] = rng.choice(list(tree["sinks"]))
    return Mutation("input from a sink", dump(tree), path)


def dangling_output(rng, tree):
    holder, key, path = rng.choice(inputs_of(tree))
    holder[key] = holder[key].split(".")[0] + ".nowhere"
    return Mutation("unknown output", dump(tree), path)


def input_twice(rng, tree):
    places = [p for p in walk(tree) if p[1] == "inputs" and isinstance(p[0][p[1]][0], str)]
    holder, key, path = rng.choice(places)
    holder[key].append(holder[key][0])
    return Mutation("input twice", dump(tree), f"{path}[{len(holder[key]) - 1}]")


def too_many_inputs(rng, tree):
    places = [
        (name, node)
        for name, node in tree["sinks"].items()
        if node["plugin"] == "good" and list(reads(node)) != [next(iter(tree["sources"]))]
    ]
    if not places:
        return None
    name, node = rng.choice(places)
    node["inputs"].append(next(iter(tree["sources"])))
    return Mutation("too many inputs", dump(tree), f"$.sinks.{name}.inputs")


def one_table(rng, tree):
    tables = [(n, s) for n, s in tree["sinks"].items() if "table" in s.get("config", {})]
    if len(tables) < 2:
        return None
    (first, a), (second, b) = rng.sample(tables, 2)
    b["config"]["table"] = a["config"]["table"].replace("lake/", "lake/./") + "/"
    names = list(tree["sinks"])
    later = max(first, second, key=names.index)
    return Mutation("one table for two", dump(tree), f"$.sinks.{later}.config.table")


def unset_variable(rng, tree):
    places = [p for p in options(tree, {"string", "duration", "size", "location"})]
    holder, key, path = rng.choice(places)
    holder[key] = rng.choice(["${env:SLUICE_TEST_UNSET}", "x${file:/nonexistent}", "${what}", "${env:"])
    return Mutation("bad reference", dump(tree), path)


def detached_transform(rng, tree):
    """The test plugin's transforms keep no position, so nothing can be detached at their inputs."""
    if not tree.get("transforms"):
        return None
    name = rng.choice(sorted(tree["transforms"]))
    if tree["transforms"][name]["plugin"] != "good":
        return None
    for index, of in enumerate(tree["transforms"][name]["inputs"]):
        if not isinstance(of, str):
            return None
    tree["transforms"][name]["inputs"][0] = {"from": tree["transforms"][name]["inputs"][0], "when_full": "detach"}
    return Mutation("detached transform", dump(tree), member(f"$.transforms", name) + ".inputs[0].when_full")


def misplaced_option(rng, tree):
    places = [p for p in walk(tree) if p[1] == "config" and isinstance(p[0][p[1]], dict)]
    holder, key, path = rng.choice(places)
    if not holder[key]:
        return None
    name = rng.choice(list(holder[key]))
    holder[name] = holder[key].pop(name)
    return Mutation("option beside config", dump(tree), member(parent_of(path), name))


# ---- mutations of the text


def line_of(text, at):
    return text.count("\n", 0, at) + 1


def positions(text, characters):
    """Where these characters stand outside of strings."""
    found, inside = [], False
    for i, c in enumerate(text):
        if c == '"' and (i == 0 or text[i - 1] != "\\"):
            inside = not inside
        elif not inside and c in characters:
            found.append(i)
    return found


def lost_mark(rng, tree):
    text = dump(tree)
    at = rng.choice(positions(text, ",:"))
    return Mutation("lost mark", text[:at] + text[at + 1 :], line=line_of(text, at))


def wrong_bracket(rng, tree):
    text = dump(tree)
    at = rng.choice(positions(text, "}]"))
    other = "]" if text[at] == "}" else "}"
    return Mutation("wrong bracket", text[:at] + other + text[at + 1 :], line=line_of(text, at))


def lost_quote(rng, tree):
    text = dump(tree)
    at = rng.choice([m.start() for m in re.finditer('"', text)])
    return Mutation("lost quote", text[:at] + text[at + 1 :], line=line_of(text, at))


def stray_character(rng, tree):
    text = dump(tree)
    at = rng.choice(positions(text, "{[,"))
    stray = rng.choice("}];=@%,\x01\x7f")
    return Mutation("stray character", text[: at + 1] + stray + text[at + 1 :], line=line_of(text, at))


def doubled_key(rng, tree):
    text = dump(tree)
    lines = text.split("\n")
    simple = [i for i, l in enumerate(lines) if re.fullmatch(r'\s*"[^"]+": [^{\[]+,', l)]
    if not simple:
        return None
    i = rng.choice(simple)
    lines.insert(i + 1, lines[i])
    return Mutation("doubled key", "\n".join(lines), line=i + 2)


MUTATIONS = [
    misspelt_key, misspelt_key, misspelt_key, misspelt_plugin, misspelt_input, misspelt_input,
    misspelt_enum, renamed_node, wrong_type, wrong_type, wrong_type, out_of_range, missing_key,
    extra_key, cycle, input_from_sink, dangling_output, input_twice, too_many_inputs, one_table,
    unset_variable, detached_transform, misplaced_option, lost_mark, wrong_bracket, lost_quote,
    stray_character, doubled_key,
]  # fmt: skip


def mutations(trees, n, seed):
    """`n` mutations, the same for the same seed."""
    rng = random.Random(seed)
    made = 0
    while made < n:
        mutation = rng.choice(MUTATIONS)(rng, copy.deepcopy(rng.choice(trees)))
        if mutation is not None:
            made += 1
            yield mutation
