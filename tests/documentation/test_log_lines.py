"""Tests that each log line that asks for action is documented, and each documented line exists."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import mqtt_http_bridge
from mqtt_http_bridge.adapters.backend import reasons
from mqtt_http_bridge.core.broker_failure import BrokerFailure, Cause
from tests.documentation.pages import GAP, code, rows

PACKAGE = Path(mqtt_http_bridge.__file__).parent
LOUD = {"warning", "error", "critical"}
"""The levels of lines that ask for action."""


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
    """Tells whether a call writes a line that asks for action."""
    match call.func:
        case ast.Attribute(value=ast.Name(id="log" | "Log"), attr=attr):
            return attr in LOUD
        case ast.Attribute(value=ast.Name(id="self"), attr="_tell"):
            return True
    return False


@cache
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


@cache
def all_texts() -> str:
    """Every text in the code, GAP for what is filled in."""
    nodes = (node for tree in trees() for node in ast.walk(tree))
    return "\n".join(text_of(n) or "" for n in nodes if isinstance(n, ast.Constant | ast.JoinedStr))


def reasons_of_posts() -> set[str]:
    """The reasons why a POST fails: the first argument of each Trouble, and what is put into it."""
    tree = ast.parse(Path(reasons.__file__).read_text(encoding="utf-8"))
    found: set[str | None] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id="Trouble"), args=[reason, *_]):
                found.add(text_of(reason))
            case ast.Assign(targets=[ast.Name(id="text" | "reason")], value=reason):
                found.add(text_of(reason))
    return {text for text in found if text}


def first_words(reason: str) -> str:
    """The part of a reason by which a person would look it up; empty if all of it is filled in."""
    parts = re.split(rf"{GAP}| \(|: ", reason)
    return next((part.strip() for part in parts if re.search(r"[a-z]{3}", part)), "")


REASONS = {
    first_words(reason)
    for reason in reasons_of_posts() | {str(BrokerFailure(cause, detail=GAP)) for cause in Cause}
} - {""}


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
    ), f"docs/troubleshooting.md: expected a row for {line!r}"


@pytest.mark.parametrize("reason", sorted(REASONS))
def test_every_reason_is_documented(reason: str) -> None:
    """A line that says why there is no connection, or no answer, has a row for that reason."""
    documented = [text for first, *_ in rows("the log says") for text in code(first)]
    assert any(reason in text for text in documented), (
        f"docs/troubleshooting.md: expected a row for {reason!r}"
    )


@pytest.mark.parametrize("documented", DOCUMENTED)
def test_every_documented_line_can_come(documented: str) -> None:
    """Every part of a documented line stands somewhere in the code, or comes from the system."""
    system = {"Connection refused", "No route to host", "Name or service not known"}
    system.add("Timeout (0:00:30)!")
    texts = all_texts()
    for piece in pieces(documented):
        parts = [part.strip() for part in re.split(r": |: ?$", piece)]
        missing = [part for part in parts if part not in texts and part not in system]
        assert missing == [], f"docs/troubleshooting.md {documented!r}: not in the code: {missing}"


def test_loud_lines_are_found() -> None:
    """The search does find what it is for."""
    lines = loud_lines()
    assert any(line.startswith("not delivered") for line in lines)
    assert any(line.startswith("not well") for line in lines)
    assert any("nothing heard for" in line for line in lines)
    assert len(lines) > 8
    assert {"no answer within", "that port uses TLS", "the certificate is not trusted"} <= REASONS
    assert "the broker sent something that is not MQTT" in REASONS
