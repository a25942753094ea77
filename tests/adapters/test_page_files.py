"""Tests the files of the page: few, small, readable, and unable to run a text."""

import re
from pathlib import Path

import pytest

from mqtt_http_bridge.adapters import status_page
from mqtt_http_bridge.adapters.status_page import FILES, file_resource

DIRECTORY = Path(status_page.__file__).parent
MOST_BYTES = 60_000
SCRIPTS = sorted(name for name in FILES.values() if name.endswith(".js"))


def read(name: str) -> str:
    """Reads one of them."""
    return (DIRECTORY / name).read_text(encoding="utf-8")


def test_each_file_has_a_path_and_no_other_is_there() -> None:
    """All that is packed is served."""
    found = {path.name for path in DIRECTORY.iterdir() if path.suffix in (".html", ".css", ".js")}
    assert found == set(FILES.values())
    for path, name in FILES.items():
        assert path in ("/", f"/{name}")
        assert file_resource(name).answer() == (200, read(name).encode())


def test_all_together_they_are_small() -> None:
    """A GX has little room, and a phone little patience."""
    assert sum((DIRECTORY / name).stat().st_size for name in FILES.values()) <= MOST_BYTES


@pytest.mark.parametrize("name", FILES.values())
def test_it_may_load_and_run_nothing_else(name: str) -> None:
    """The policy has no exception, and the files need none."""
    ((header, policy),) = file_resource(name).headers
    assert header == "Content-Security-Policy"
    assert "unsafe" not in policy
    assert policy.startswith("default-src 'none'")
    addresses = re.findall(r"https?://[\w./]+", read(name))
    assert set(addresses) <= {"http://www.w3.org/2000/svg"}  # It is a name, and never asked.


def test_the_frame_has_nothing_inline() -> None:
    """No style, no script, no handler."""
    frame = read("page.html")
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", frame)
    assert re.findall(r"<script[^>]*>(.*?)</script>", frame, re.DOTALL) == [""]


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_text_only_becomes_text(name: str) -> None:
    """Nothing that a device says is taken for markup or for a program."""
    ways = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|eval\(|new Function"
    assert re.findall(ways, read(name)) == []


@pytest.mark.parametrize("name", ["plot.js", "words.js"])
def test_what_is_pure_knows_no_page(name: str) -> None:
    """Numbers in, numbers and texts out."""
    assert (
        re.findall(r"^import|document\b|window\b|fetch\(|Date\.now|new Date\(\)", read(name)) == []
    )
