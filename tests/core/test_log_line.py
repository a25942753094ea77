"""Tests the lines of the log: printable, of bounded length, and without secrets."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqtt_http_bridge.core.log_line import MOST_CHARACTERS, MOST_LINES, clean_line, log_lines
from mqtt_http_bridge.core.redaction import Redaction
from mqtt_http_bridge.core.settings import Secret

KEY = "canary-5f3a"
REDACTION = Redaction([Secret(KEY)])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Dach Süd 1", "Dach Süd 1"),
        ("a\nERROR b\r\tc", "a\\nERROR b\\r\\tc"),
        ("\x1b[31mred\x07\x00", "\\x1b[31mred\\x07\\x00"),
        ("\u202eright to left\u2028", "\\u202eright to left\\u2028"),
        ("half a character \udcff", "half a character \\udcff"),
    ],
)
def test_what_cannot_be_printed_is_made_visible(text: str, expected: str) -> None:
    """Nothing from outside ends a line, begins another, or speaks to the terminal."""
    assert clean_line(text, REDACTION) == expected


@pytest.mark.parametrize("length", [999, 1000, 1001, 4000, 5000, 1_000_000])
def test_a_line_has_1000_characters_at_most(length: int) -> None:
    """A line that is cut says how long it was."""
    line = clean_line("x" * length, REDACTION)
    if length <= MOST_CHARACTERS:
        assert line == "x" * length
    else:
        assert len(line) == MOST_CHARACTERS
        assert line.endswith(f"xxx ... ({length} characters)")


@pytest.mark.parametrize("start", [*range(970, 1001), *range(3980, 4300, 7)])
def test_cutting_leaves_no_part_of_a_secret(start: int) -> None:
    """Wherever it stands, also where so many others shrink that a cut one would come into sight."""
    escaped = "".join(f"\\u{ord(each):04x}" for each in KEY)
    for text in ("x" * start + KEY * 900, KEY * (start // len(KEY)) + escaped * 900):
        line = clean_line(text, REDACTION)
        assert "can" not in line
        assert "\\u0063\\u0061" not in line


def test_a_traceback_is_indented_line_by_line() -> None:
    """None of its lines passes for one of the log, and the end of a long one is kept."""
    traceback = f"Traceback (most recent call last):\nERROR\x1b {KEY}"
    assert log_lines("CRITICAL ", "it\ndied", traceback, REDACTION) == [
        "CRITICAL it\\ndied",
        "  Traceback (most recent call last):",
        "  ERROR\\x1b ***",
    ]
    lines = log_lines("", "", "\n".join(map(str, range(1000))), REDACTION)
    assert len(lines) == MOST_LINES + 1
    assert lines[-1] == "  999"
    assert log_lines("INFO ", "well", "", REDACTION) == ["INFO well"]


@given(st.text(max_size=3000), st.text(max_size=50))
def test_whatever_comes_the_lines_are_fit(before: str, after: str) -> None:
    """Printable, short, no secret."""
    for line in log_lines("INFO ", before + KEY + after, f"{before}{json.dumps(KEY)}", REDACTION):
        assert line.isprintable()
        assert len(line) <= MOST_CHARACTERS
        assert KEY not in line
