"""Tests that speakers are found without looking at each message, and never invented."""

import pytest

from mqtt_http_bridge.adapters.broker import signs_of_life
from mqtt_http_bridge.adapters.broker.signs_of_life import (
    EVERY_S,
    MOST_SPEAKERS,
    SMALL_BYTES,
    SPOKE,
    SignsOfLife,
)
from mqtt_http_bridge.core.venus import topics
from mqtt_http_bridge.core.venus.superseded import Received
from tests.bench.traffic import publish_frame

ONE, TWO = "N/gx/solarcharger/1/", "N/gx/solarcharger/2/"


def signs(*speakers: str) -> SignsOfLife:
    """Returns what looks for these speakers."""
    made = SignsOfLife(topics.speaker_of)
    for speaker in speakers or (ONE, TWO):
        made.learn(f"{speaker}Mode")
    return made


def found(
    data: bytes,
    *,
    wanted: list[Received] | None = None,
    made: SignsOfLife | None = None,
    now_s: float = 0.0,
    start: int = 0,
    stop: int | None = None,
) -> list[str]:
    """Returns who is found in `data`."""
    made = made or signs()
    end = len(data) if stop is None else stop
    messages = made.found(data, start, end, wanted or [], now_s)
    assert {(payload, retained) for _, payload, retained in messages} <= {(SPOKE, False)}
    return [topic for topic, _, _ in messages]


@pytest.mark.parametrize("length", [1, 60, 90, 91, 92, 93, 94, 95, 96, 97, 98, 99, 100, 2000])
def test_who_spoke_is_found_whatever_the_length(length: int) -> None:
    """One byte or two tell it; before the message may stand anything."""
    for before in (b"", publish_frame(f"{TWO}Mode", b""), publish_frame("x", b"y" * 300)):
        assert found(before + publish_frame(f"{ONE}Mode", b"x" * length)) == [ONE]


@pytest.mark.parametrize("name", ["Mode", "x" * 90, "x" * 110, "x" * 150])
def test_a_goodbye_is_no_sign_of_life(name: str) -> None:
    """However many there are of them; one value among them is."""
    goodbye = publish_frame(ONE + name, b"")
    assert found(goodbye * 30) == []
    assert found(goodbye + publish_frame(ONE + name, b"1") + goodbye) == [ONE]


def test_what_is_retained_is_no_sign_of_life() -> None:
    """It may be a month old."""
    assert found(publish_frame(f"{ONE}Mode", b"1", is_retained=True) * 3) == []


def test_who_is_heard_anyway_is_not_told_again() -> None:
    """Unless what is heard is what the broker has kept."""
    data = publish_frame(f"{ONE}Mode", b"1") + publish_frame(f"{TWO}Mode", b"1")
    heard: Received = (f"{ONE}Pv/V", b"1", False)
    assert found(data, wanted=[heard]) == [TWO]
    assert found(data, wanted=[(heard[0], heard[1], True)]) == [ONE, TWO]


def test_a_text_that_looks_like_a_topic_is_none() -> None:
    """In a payload, or in the middle of another topic, or cut off."""
    assert found(publish_frame("x", f"....{ONE}Mode: 1".encode())) == []
    assert found(publish_frame(f"y/{ONE}Mode", b"1")) == []
    assert found(ONE.encode() + b"1") == []
    data = publish_frame(f"{ONE}Mode", b"1")
    assert found(data, start=1) == []
    assert found(data, stop=10) == []


def test_a_flood_is_searched_now_and_then() -> None:
    """A small receive is always searched: it costs next to nothing."""
    made = signs()
    small = publish_frame(f"{ONE}Mode", b"1")
    flood = small * (SMALL_BYTES // len(small) + 1)
    assert found(flood, made=made, now_s=10.0) == [ONE]
    assert found(flood, made=made, now_s=10.0 + EVERY_S / 2) == []
    assert found(small, made=made, now_s=10.0 + EVERY_S / 2) == [ONE]
    assert found(flood, made=made, now_s=10.0 + EVERY_S) == [ONE]


def test_speakers_are_bounded_and_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker may invent as many as it likes."""
    assert MOST_SPEAKERS >= 1000
    monkeypatch.setattr(signs_of_life, "MOST_SPEAKERS", 1)
    made = signs(ONE, TWO)
    data = publish_frame(f"{ONE}Mode", b"1") + publish_frame(f"{TWO}Mode", b"1")
    assert found(data, made=made) == [ONE]
    made.forget()
    assert found(data, made=made) == []
