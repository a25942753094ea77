"""Tests that each docstring begins by saying what its thing does, or what it holds.

"What the log is told of a GX" leaves its reader to guess the rest of the sentence. "Logs changes of
a GX" does not.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import mqtt_http_bridge
from tests.support.places import ROOT

PACKAGE = Path(mqtt_http_bridge.__file__).parent
FOLDERS = (PACKAGE, ROOT / "tests", ROOT / "service")
QUESTIONS = {"whether", "what", "who", "whom", "whose", "how", "where", "when", "which", "why"}


def name_of(path: Path) -> str:
    """Returns the path below the root: the package may be installed elsewhere."""
    if path.is_relative_to(PACKAGE):
        return f"{PACKAGE.name}/{path.relative_to(PACKAGE)}"
    return str(path.relative_to(ROOT))


def texts(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yields line and text of each docstring, those of attributes and constants included."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            for statement in node.body:
                match statement:
                    case ast.Expr(value=ast.Constant(value=str(text))):
                        yield statement.lineno, text


def questions(source: str) -> list[tuple[int, str]]:
    """Finds the docstrings that begin with a word of a question."""
    return [
        (line, text.partition("\n")[0])
        for line, text in texts(ast.parse(source))
        if text.split(maxsplit=1)[:1] and text.split()[0].lower().strip(",:") in QUESTIONS
    ]


FILES = {name_of(path): path for folder in FOLDERS for path in folder.rglob("*.py")}


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_docstring_says_what_its_thing_does(name: str) -> None:
    """None begins with Whether, What, Who, How, Where, When, Which or Why."""
    assert questions(FILES[name].read_text(encoding="utf-8")) == []


def test_questions_are_found() -> None:
    """In modules, classes, functions, attributes and constants, wherever they stand."""
    source = '''"""What a module is."""
LIMIT = 1
"""How much."""
class A:
    """Holds something."""
    x = 1
    """Where it is.

    More of it."""
    def f(self):
        """Whether it is."""
        self.y = 2
        """Whoever it is."""
'''
    assert sorted(questions(source)) == [
        (1, "What a module is."),
        (3, "How much."),
        (7, "Where it is."),
        (11, "Whether it is."),
    ]
    assert len(FILES) > 400
