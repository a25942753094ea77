"""Tests what people are shown of names and texts from outside: harmless, and still readable."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqtt_http_bridge.core.words import counted, time_words, times_in, timestamp_words, visible


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


NOON = datetime(2026, 6, 21, 12, 30, tzinfo=UTC)


def test_a_time_has_one_spelling_and_can_be_read_back() -> None:
    """Of whatever zone it was told in."""
    for there in (NOON, NOON.astimezone(timezone(timedelta(hours=5, minutes=30)))):
        assert time_words(there) == "2026-06-21 12:30 UTC"
    assert timestamp_words("2026-06-21T12:30:59.123456+00:00") == "2026-06-21 12:30 UTC"
    assert timestamp_words("soon") == "soon"
    assert timestamp_words("") == "an unknown time"
    text = f"has been stuck since {time_words(NOON)}: no value changes"
    assert times_in([text, text, "12:30 UTC"]) == {"2026-06-21 12:30 UTC": NOON.timestamp()}


def test_what_only_looks_like_a_time_is_none() -> None:
    """A charger may be called anything."""
    assert (
        times_in(["2026-13-45 12:30 UTC", "12026-06-21 12:30 UTC", "2026-06-21 12:30 UTCX"]) == {}
    )


@pytest.mark.parametrize(
    ("count", "regular", "other"),
    [(0, "0 lines", "0 lines were"), (1, "1 line", "1 line was"), (2, "2 lines", "2 lines were")],
)
def test_one_is_told_as_one(count: int, regular: str, other: str) -> None:
    """The verb goes with the noun where there is one."""
    assert counted(count, "line") == regular
    assert counted(count, "line was", "lines were") == other
