"""Reads the documents for the tests of this folder."""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from tests.support.places import ROOT

GAP = "…"
"""Stands for whatever is filled in."""


@dataclass(frozen=True)
class Page:
    """A document: its path below the root of the repository, and its text."""

    path: Path
    text: str

    @property
    def name(self) -> str:
        """The path as other documents and failures name it."""
        return str(self.path.relative_to(ROOT))


@cache
def pages() -> list[Page]:
    """Every document that a person may read."""
    paths = [*ROOT.glob("*.md"), *sorted((ROOT / "docs").rglob("*.md"))]
    return [Page(path, path.read_text(encoding="utf-8")) for path in paths]


every_page = pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)


def page(name: str) -> Page:
    """The document at this path below the root."""
    (found,) = [page for page in pages() if page.name == name]
    return found


def rows(head: str) -> list[list[str]]:
    """The cells of all tables whose head begins like this; all of them are in one document."""
    found = [page for page in pages() if f"\n| {head}" in page.text]
    names = [page.name for page in found]
    assert len(found) == 1, f"expected one document with the head {head!r}, found it in {names}"
    cells = []
    for table in found[0].text.split(f"\n| {head}")[1:]:
        for line in table.split("\n")[2:]:
            if not line.startswith("|"):
                break
            cells.append([cell.strip() for cell in line.strip("|").split(" | ")])
    return cells


def code(text: str) -> list[str]:
    """Returns what stands in backticks."""
    return re.findall(r"`([^`]+)`", text)


def prose(text: str) -> str:
    """A document without what it shows between three backticks."""
    return re.sub(r"(?ms)^ *```.*?^ *```$", "", text)
