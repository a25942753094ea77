"""Tests when a device is suspected: two failures alone, with others stored in between."""

import pytest

from mqtt_http_bridge.core.delivery.evidence import CHANCE_S, Evidence
from mqtt_http_bridge.core.delivery.suspects import Suspects


def convicts(story: str) -> bool:
    """Tells whether B is a culprit after a story.

    `a` another is stored, `b` B is stored, `x` B fails alone, `.` ten seconds pass.
    """
    evidence = Evidence()
    suspects = Suspects(evidence)
    now_s = 0.0
    for word in story:
        if word == ".":
            now_s += 10.0
        elif word == "x":
            suspects.note_failed_alone("B", "500", now_s)
        else:
            evidence.note_stored(word.upper())
            if word == "b":
                suspects.clear("B")
    return suspects.convict("B", now_s) is not None


@pytest.mark.parametrize("story", ["ax.ax.a", "ax.a.a.x.a", "ax.acx.c", "axa.xa", "axx.axx.a"])
def test_a_culprit(story: str) -> None:
    """Stored, failed, stored, failed, stored: ten seconds between the failures at least."""
    assert convicts(story)


@pytest.mark.parametrize(
    "story",
    [
        "",
        "x.x.x",
        "ax",
        "ax.a",
        "ax.ax",
        "ax.x.a",
        "x.ax.a",
        "axax.a",
        "ax.abx.a",
        "ax.ax.ba",
        "bx.bx.b",
        "ax.x.x.x.x.a",
    ],
    ids=[
        "nothing",
        "nothing passes",
        "one failure",
        "one failure, and after",
        "nobody after",
        "nobody in between",
        "nobody before",
        "too close",
        "stored in between",
        "stored after",
        "nobody else passes",
        "an outage",
    ],
)
def test_no_culprit(story: str) -> None:
    """One piece of it missing: nobody is blamed."""
    assert not convicts(story)


def test_a_conviction_ends_the_suspicion() -> None:
    """It is told once, with what the backend said."""
    evidence = Evidence()
    suspects = Suspects(evidence)
    for at_s in (0.0, 10.0):
        evidence.note_stored("A")
        suspects.note_failed_alone("B", f"500 at {at_s:.0f}", at_s)
    evidence.note_stored("A")
    assert "B" in suspects
    refusal = suspects.convict("B", 10.0)
    assert refusal is not None
    assert refusal.said == "500 at 10"
    assert "B" not in suspects
    assert suspects.convict("B", 10.0) is None


def test_evidence_knows_another_whoever_was_last() -> None:
    """The last two devices are enough to tell of another one than any."""
    evidence = Evidence()
    for serial in "ABABB":
        evidence.note_stored(serial)
    assert evidence.has_another_since(2, "B")
    assert not evidence.has_another_since(3, "B")
    assert evidence.has_another_since(4, "A")
    assert evidence.has_another_since(4, "C")


@pytest.mark.parametrize(
    ("failures", "age_s", "is_culprit"),
    [
        (5, 0.0, False),
        (6, 0.0, True),
        (2, CHANCE_S - 1.0, False),
        (2, CHANCE_S, True),
    ],
)
def test_where_it_fails_by_chance_it_takes_more(
    *, failures: int, age_s: float, is_culprit: bool
) -> None:
    """For an hour after the last one."""
    evidence = Evidence()
    suspects = Suspects(evidence)
    evidence.note_chance(100.0)
    for n in range(failures):
        evidence.note_stored("A")
        suspects.note_failed_alone("B", "500", 10.0 * n)
    evidence.note_stored("A")
    assert (suspects.convict("B", 100.0 + age_s) is not None) is is_culprit


def test_evidence_keeps_the_last_two_devices() -> None:
    """Of three, the one that was stored longest ago goes, whenever it came first."""
    evidence = Evidence()
    for serial in "ABAC":
        evidence.note_stored(serial)
    assert evidence.has_another_since(2, "C")
