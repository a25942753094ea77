"""Tests the list of changes: fifty at most, however often something is repeated."""

import pytest

from mqtt_http_bridge.core.status.changes import (
    MOST_CHANGES,
    MOST_CHARACTERS,
    Change,
    Changes,
    Tone,
    from_json,
    to_json,
)


def test_the_last_fifty_are_kept() -> None:
    """The oldest go first."""
    changes = Changes()
    for n in range(60):
        changes.add(Change(float(n), f"change {n}"))
    assert [each.at for each in changes.view()] == [float(n) for n in range(10, 60)]
    assert len(changes.view()) == MOST_CHANGES


def test_what_comes_and_goes_all_night_pushes_nothing_out() -> None:
    """It is told once each way, with how often and since when."""
    changes = Changes()
    changes.add(Change(0.0, "the clock was set"))
    for n in range(100):
        changes.add(Change(10.0 + n, f"lost at {n}", kind="lost"))
        changes.add(Change(10.5 + n, "back", Tone.GOOD))
    clock, lost, back = changes.view()
    assert clock.text == "the clock was set"
    assert (lost.text, lost.count, lost.first, lost.at) == ("lost at 99", 100, 10.0, 109.0)
    assert (back.tone, back.count) == (Tone.GOOD, 100)


def test_the_same_after_much_else_is_another() -> None:
    """Last week's does not count as this morning's."""
    changes = Changes()
    for text in ("lost", *"abcdef", "lost"):
        changes.add(Change(1.0, text))
    assert [each.count for each in changes.view()] == [1] * 8


def test_a_text_is_cut() -> None:
    """Nobody fills the page."""
    changes = Changes()
    changes.add(Change(1.0, "x" * 10_000))
    assert len(changes.view()[0].text) == MOST_CHARACTERS


def test_they_come_back_from_a_file() -> None:
    """All of each."""
    changes = Changes()
    for text in ("a", "b", "a"):
        changes.add(Change(1.5, text, Tone.WARNING, "k" + text))
    assert from_json(to_json(changes.view())) == changes.view()
    assert Changes(from_json(to_json(changes.view()))).view() == changes.view()


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"changes": 1}',
        b'{"changes": [1]}',
        b'{"changes": [{"at":"nan","text":"","tone":"good","kind":"","count":1,"first":0}]}',
        b'{"changes": [{"at": 1, "text": "", "tone": "loud", "kind": "", "count": 1}]}',
        b"\xff\xfe",
        b"[" * 100_000,
    ],
)
def test_another_file_is_none(text: bytes) -> None:
    """It is overlooked, and raises nothing."""
    assert from_json(text) == ()
