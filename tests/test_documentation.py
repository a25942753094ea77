"""The README and the code say the same: what one has, the other has, too."""

import argparse
import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

import mqtt_http_bridge
from mqtt_http_bridge import cli_grammar
from mqtt_http_bridge.adapters.config import load
from mqtt_http_bridge.core.metrics import METRICS
from mqtt_http_bridge.core.schema import KEYS

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
EXAMPLE = ROOT / "config.yaml.example"
PACKAGE = Path(mqtt_http_bridge.__file__).parent

LOUD = {"warning", "error", "critical"}
"""The levels of lines that ask for action."""
GAP = "…"
"""Stands for whatever is filled in."""


def rows(head: str) -> list[list[str]]:
    """The cells of the table under the line that starts with `head`."""
    _, found, rest = README.partition(f"\n| {head}")
    assert found, f"README.md: expected a table with the head {head!r}"
    lines = rest.split("\n")[2:]
    cells = []
    for line in lines:
        if not line.startswith("|"):
            break
        cells.append([cell.strip() for cell in line.strip("|").split(" | ")])
    return cells


def code(cell: str) -> list[str]:
    """What stands in backticks."""
    return re.findall(r"`([^`]+)`", cell)


# --- verbs ---------------------------------------------------------------------------------------


def verbs(parser: argparse.ArgumentParser | None = None, prefix: str = "") -> Iterator[str]:
    """All verbs, those of `outbox` with it before them."""
    for action in (parser or cli_grammar.parser())._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, verb in action.choices.items():
                inner = list(verbs(verb, f"{name} "))
                yield from inner or [prefix + name]


def documented_verbs() -> set[str]:
    """Those of the table of commands; `outbox list`, `show NUMBER` names two."""
    found = set()
    pattern = r"^(?:mqtt-http-bridge )?([a-z]+(?: [a-z]+)?)"
    for first, *_ in rows("command"):
        words = [re.findall(pattern, c)[0] for c in code(first)]
        group = words[0].split()[0]
        found |= {w if w == words[0] or " " in w else f"{group} {w}" for w in words}
    return found


def test_every_verb_is_documented_and_every_documented_verb_is_there() -> None:
    """The table of commands is that of the program."""
    assert documented_verbs() == set(verbs())


def test_every_verb_has_help() -> None:
    """Each option of each verb has a text."""

    def check(parser: argparse.ArgumentParser) -> None:
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                assert {a.dest for a in action._choices_actions if a.help} == set(action.choices)
                for verb in action.choices.values():
                    check(verb)
            else:
                assert action.help, f"{parser.prog}: {action.dest} has no help"

    check(cli_grammar.parser())


def test_documented_options_exist() -> None:
    """An option that the table of commands names is one of the verb in its row."""
    texts = {}

    def collect(parser: argparse.ArgumentParser) -> None:
        texts[parser.prog] = parser.format_help()
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                for verb in action.choices.values():
                    collect(verb)

    collect(cli_grammar.parser())
    for first, second in rows("command"):
        verb = re.findall(r"mqtt-http-bridge [a-z]+", first)[0]
        text = "".join(said for prog, said in texts.items() if prog.startswith(verb))
        for option in re.findall(r"--[a-z-]+", first + second):
            assert option in text, f"{verb}: {option} is documented and not there"


# --- config --------------------------------------------------------------------------------------


def test_every_key_is_documented_and_every_documented_key_is_there() -> None:
    """The table of the README is that of the schema."""
    assert [code(first)[0] for first, *_ in rows("key")] != []
    assert {code(first)[0] for first, *_ in rows("key")} == set(KEYS)


def test_the_example_has_every_key() -> None:
    """Each key stands in the example, if only in a comment, and no other does."""
    text = EXAMPLE.read_text(encoding="utf-8")
    found, section = set(), ""
    for line in text.splitlines():
        if match := re.match(r"([a-z]+):$", line):
            section = match[1]
        elif match := re.match(r"  (?:# )?(?!auto:)([a-z_]+):(?: |$)", line):
            found.add(f"{section}.{match[1]}")
    assert found == set(KEYS)


def test_the_example_works(tmp_path: Path) -> None:
    """With the two values it asks for, it is a config, and the same as one with only those."""
    document = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))
    needed = {"backend": {"url": "https://solar.example.org", "api_key": "key"}}
    document["backend"] |= needed["backend"]
    for name, content in (("whole.yaml", document), ("least.yaml", needed)):
        (tmp_path / name).write_text(yaml.safe_dump(content), encoding="utf-8")
    assert load(tmp_path / "whole.yaml", {}) == load(tmp_path / "least.yaml", {})


def test_keys_in_the_text_exist() -> None:
    """Whatever looks like a key of ours, anywhere in the README, is one."""
    sections = {key.partition(".")[0] for key in KEYS}
    for name in re.findall(r"`([a-z]+\.[a-z_]+)(?:: [^`]*)?`", README):
        if name.partition(".")[0] in sections:
            assert name in {*KEYS, "status.json"}, f"README.md: {name} is no key"


# --- metrics -------------------------------------------------------------------------------------


def test_every_metric_is_documented_and_every_documented_metric_is_there() -> None:
    """Name, type and meaning in the README are those of the page."""
    found = {code(first)[0]: (kind, says) for first, kind, says in rows("metric")}
    assert found == {name: (metric.kind, metric.says) for name, metric in METRICS.items()}


@pytest.mark.parametrize("name", METRICS)
def test_metrics_are_named_as_prometheus_asks(name: str) -> None:
    """Counters end in _total, and nothing else does; times are timestamps in seconds."""
    assert name.endswith("_total") == (METRICS[name].kind == "counter")
    assert ("timestamp" in name) == name.endswith("_timestamp_seconds")
    assert not re.search(r"_(kwh|kw|ms|minutes|kb)(_|$)", name)


# --- the log -------------------------------------------------------------------------------------


def text_of(node: ast.expr) -> str | None:
    """A text in the code with GAP for what is filled in, or None for what is no text."""
    match node:
        case ast.Constant(value=str(value)):
            return re.sub(r"%[-.0-9]*[a-z]", GAP, value)
        case ast.JoinedStr(values=values):
            return "".join(text_of(value) or GAP for value in values)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return (text_of(left) or GAP) + (text_of(right) or GAP)
    return None


def trees() -> Iterator[ast.Module]:
    """The syntax of every module."""
    for path in PACKAGE.rglob("*.py"):
        yield ast.parse(path.read_text(encoding="utf-8"))


def is_loud(call: ast.Call) -> bool:
    """Whether a call writes a line that asks for action."""
    match call.func:
        case ast.Attribute(value=ast.Name(id="log" | "Log"), attr=attr):
            return attr in LOUD
        case ast.Attribute(value=ast.Name(id="self"), attr="_tell"):
            return True
    return False


def loud_lines() -> set[str]:
    """The texts of all lines that ask for action; those with no words of their own are left out."""
    found = set()
    for tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and is_loud(node) and node.args:
                text = text_of(node.args[0])
                if text and re.search(r"[a-z]{3}", text):
                    found.add(text)
    return found


def all_texts() -> str:
    """Every text in the code, GAP for what is filled in."""
    nodes = (node for tree in trees() for node in ast.walk(tree))
    return "\n".join(text_of(n) or "" for n in nodes if isinstance(n, ast.Constant | ast.JoinedStr))


def pieces(text: str) -> list[str]:
    """The words of a documented line between its dots."""
    return [piece.strip(" :") for piece in text.split("...") if piece.strip(" :")]


DOCUMENTED = [code(first)[0] for first, *_ in rows("the log says")]


@pytest.mark.parametrize("line", sorted(loud_lines()))
def test_every_line_that_asks_for_action_is_documented(line: str) -> None:
    """Some row of the table begins with words of this line."""
    words = [piece for piece in line.split(GAP) if re.search(r"[a-z]{3}", piece)]
    assert any(
        piece in line or any(word.strip(" :") in documented for word in words)
        for documented in DOCUMENTED
        for piece in pieces(documented)[:1]
    ), f"README.md, the log says: expected a row for {line!r}"


@pytest.mark.parametrize("documented", DOCUMENTED)
def test_every_documented_line_can_come(documented: str) -> None:
    """Every part of a documented line stands somewhere in the code, or comes from the system."""
    system = {"Connection refused"}
    texts = all_texts()
    for piece in pieces(documented):
        parts = [part.strip() for part in re.split(r": |: ?$", piece)]
        missing = [part for part in parts if part not in texts and part not in system]
        assert missing == [], f"README.md, the log says {documented!r}: not in the code: {missing}"


def test_loud_lines_are_found() -> None:
    """The search does find what it is for."""
    lines = loud_lines()
    assert any(line.startswith("not delivered") for line in lines)
    assert any(line.startswith("still owed") for line in lines)
    assert any("nothing heard for" in line for line in lines)
    assert len(lines) > 8


# --- files ---------------------------------------------------------------------------------------


def test_pictures_and_links_lead_somewhere() -> None:
    """What the README refers to in this repository is there."""
    for target in re.findall(r'(?:\]\(|src=")([^)":#]+)[)"]', README):
        if "//" not in target:
            assert (ROOT / target).exists(), target


def test_no_picture_is_large() -> None:
    """The pictures are small."""
    for picture in (ROOT / "docs").glob("*.png"):
        assert picture.stat().st_size < 150_000
