"""Tests the tool that makes faults: which ones it makes, and which tests it runs."""

import argparse
import ast
import re
import subprocess
import sys
import textwrap
from collections import Counter
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.mutation import __main__ as tool
from tests.mutation.__main__ import EXPLAINED
from tests.mutation.covering import SLOW, file_of, modules, other_tests, own_tests
from tests.mutation.mutants import mutants
from tests.mutation.runs import TOOK_TOO_LONG
from tests.support.places import CHECKOUT

ONE_LINE = {
    "a < b": {"a <= b"},
    "a == b": {"a != b"},
    "a is None": {"a is not None"},
    "x = 3": {"x = 4"},
    "x = 1.5": {"x = 2.5"},
    "x = True": {"x = False"},
    "a + b": {"a - b"},
    "a % b": {"a * b"},
    "b'%08x' % a": set(),
    "a and b": {"a or b"},
    "x += a": {"x -= a"},
    "self.a = b": {"pass"},
    "do()": {"pass"},
    "min(a)": {"max(a)", "pass"},
    "x = ('a', 'b')": {"x = ('b', 'b')", "x = ('a', 'a')"},
    "x: Final = b'a'": set(),
    "def f(a: int | None) -> None: return not a": {"return a"},
    "raise ValueError('a', 3)": set(),
    "'A text.'": set(),
    "x = 'for people'": set(),
}


@pytest.mark.parametrize(("text", "faults"), ONE_LINE.items())
def test_the_faults_of_a_line(text: str, faults: set[str]) -> None:
    """One at a time; none in types, in what is raised, in what is for people."""
    assert {mutant.after for mutant in mutants(text)} == faults


def test_a_mutant_is_the_whole_module_with_one_fault() -> None:
    """It names the line, and what it shows is what differs."""
    text = textwrap.dedent(
        """
        def first(a):
            if a:
                return 1
            return 2
        """
    )
    found = mutants(text)
    assert [mutant.line for mutant in found] == [3, 4, 5]
    assert [mutant.what for mutant in found] == [
        "if a:  ->  if not a:",
        "return 1  ->  return 2",
        "return 2  ->  return 3",
    ]
    for mutant in found:
        assert sum(a != b for a, b in zip(ast.unparse(ast.parse(text)), mutant.text, strict=False))
        compile(mutant.text, "mutant", "exec")


def test_every_module_has_tests() -> None:
    """All of them are files, those that bear its name first; those that are slow exist."""
    named = set[str]()
    for module in modules([]):
        files = own_tests(module) + other_tests(module)
        assert len(set(files)) == len(files) > 0
        for name in files:
            assert (CHECKOUT / name).is_file(), name
        named |= set(files)
    assert own_tests("core/delivery/plan") == ["tests/core/test_plan.py"]
    assert own_tests("adapters/outbox/index") == ["tests/adapters/outbox/test_index.py"]
    texts = "".join((CHECKOUT / name).read_text(encoding="utf-8") for name in named)
    for name in SLOW:
        assert f"def {name}(" in texts, name


def test_all_tests_of_the_outbox_cover_it() -> None:
    """None is left out that would have noticed a fault."""
    module = "adapters/outbox/index"
    found = {path.name for path in (CHECKOUT / "tests/adapters/outbox").glob("test_*.py")}
    assert {name.split("/")[-1] for name in own_tests(module) + other_tests(module)} == found


def test_what_is_explained_is_a_mutant() -> None:
    """Each line names one of today's code, once, and has a reason; all that do not are named."""
    every = EXPLAINED.read_text(encoding="utf-8").splitlines()
    lines = [line for line in every if line and not line.startswith("#")]
    named = [line for line in lines if not line.startswith(" ")]
    there = {
        f"{module}: {mutant.what}"
        for module in {line.partition(": ")[0] for line in named}
        for mutant in mutants((CHECKOUT / file_of(module)).read_text(encoding="utf-8"))
    }
    assert [line for line in named if line not in there] == []
    assert len(set(named)) == len(named)
    for line, reason in pairwise([*lines, ""]):
        assert line.startswith(" ") or reason.startswith("    "), line


def test_what_is_explained_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless another fault looks the same, which a test may notice."""
    monkeypatch.setattr(tool, "CHECKOUT", tmp_path)
    monkeypatch.setattr(tool, "EXPLAINED", tmp_path / "explained.txt")
    module = tmp_path / file_of("core/some")
    module.parent.mkdir(parents=True)
    module.write_text("x = 3\ny = 5\ndo()\ndo()\n", encoding="utf-8")
    (tmp_path / "explained.txt").write_text(
        "core/some: x = 3  ->  x = 4\n    A reason.\ncore/some: do()  ->  pass\n    Another.\n"
    )
    tried = list[str]()

    class Tests:
        def __init__(self, *_: object, is_quick: bool) -> None:
            assert is_quick

        def fate(self, _path: Path, mutant: str, _sound: str) -> str:
            tried.append(mutant)
            return "survived" if mutant.endswith("pass") else "noticed"

    monkeypatch.setattr(tool, "_Tests", Tests)
    counts = Counter[str]()
    options = argparse.Namespace(list=False, sample=None, quick=True)
    copy: Any = SimpleNamespace(put=lambda path, text: None)
    tool._try_module(copy, "core/some", options, counts, float("inf"))
    assert sorted(text.split("\n")[1:] for text in tried) == [
        ["y = 5", "do()", "pass"],
        ["y = 5", "pass", "do()"],
        ["y = 6", "do()", "do()"],
    ]
    assert counts == {"explained": 2, "noticed": 2}


def test_those_that_noticed_a_fault_meet_the_next_one_first(tmp_path: Path) -> None:
    """Most faults of a module are noticed by the same few tests; slow ones are none of them."""
    runs = list[tuple[str, list[str]]]()
    noticed = {"bad": "tests/a.py::test_b[x y]", "worse": f"tests/a.py::{SLOW[0]}"}

    class Stage:
        log = tmp_path / "log"

        def put(self, _path: Path, text: str) -> None:
            self.text = text

        def run(self, arguments: list[str], _limit_s: float) -> int:
            runs.append((self.text, arguments))
            if self.text == "slow" and len(arguments) == 1:
                return TOOK_TOO_LONG
            test = noticed.get(self.text)
            self.log.write_text(f"FAILED {test} - AssertionError: no" if test else "", "utf-8")
            return 1 if test else 0

    copy: Any = Stage()
    tests = tool._Tests(copy, "core/backoff", is_quick=True)
    module = file_of("core/backoff")
    assert tests.fate(module, "bad", "sound") == "noticed"
    del runs[:]
    assert tests.fate(module, "worse", "sound") == "noticed"
    assert tests.fate(module, "good", "sound") == "survived"
    first = ["tests/a.py::test_b"]
    assert tests.fate(module, "slow", "sound") == "survived"  # The others have more time.
    assert [arguments for text, arguments in runs if len(arguments) == 1] == [first] * 3
    assert [runs[0], runs[1]] == [("worse", first), ("good", first)]
    slow = " or ".join(SLOW)
    assert not [arguments for _, arguments in runs if arguments[-1] == slow]
    tool._Tests(copy, "core/backoff", is_quick=False).fate(module, "good", "sound")
    assert runs[-1][1][-1] == slow


def test_modules_are_named_in_either_way() -> None:
    """As modules or as files, one or all below."""
    assert modules(["core.delivery.plan"]) == modules(["mqtt_http_bridge/core/delivery/plan.py"])
    assert "core/delivery/plan" in modules(["core.delivery"])
    with pytest.raises(SystemExit, match="expected modules below core and adapters/outbox"):
        modules(["adapters/broker"])


@pytest.mark.once
def test_a_run() -> None:
    """Of a copy: what it changes is nothing here, and the sample is always the same."""
    command = [sys.executable, "-m", "tests.mutation", "core/backoff", "--sample", "2"]
    before = (CHECKOUT / "mqtt_http_bridge/core/backoff.py").read_bytes()
    found = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    told = r"   core/backoff: 2 noticed\n2 noticed, in \d+ min\n"
    assert re.fullmatch(told, found.stdout), found
    assert found.returncode == 0
    assert (CHECKOUT / "mqtt_http_bridge/core/backoff.py").read_bytes() == before
