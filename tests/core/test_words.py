"""Tests what people are shown of names and texts from outside: harmless, and still readable."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqtt_http_bridge.core.words import visible


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Süd ☀ 62.5 V", "Süd ☀ 62.5 V"),
        ("a\nb\r\tc", r"a\nb\r\tc"),
        ("\x1b[31mred\x07", r"\x1b[31mred\x07"),
        ("\x85\u2028\u2029", r"\x85\u2028\u2029"),
        ("\u202eabc", r"\u202eabc"),
        ("\ud800", r"\ud800"),
        ("", ""),
    ],
    ids=ascii,
)
def test_control_characters_are_made_visible(text: str, expected: str) -> None:
    """Line breaks of every kind, escapes, what turns the direction of writing; nothing else."""
    assert visible(text) == expected


@given(st.text())
def test_nothing_gets_out_of_its_line(text: str) -> None:
    """Whatever it is; and what is harmless already stays as it is."""
    shown = visible(text)
    assert shown.isprintable()
    assert visible(shown) == shown
