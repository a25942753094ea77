"""Tests the cache for topics: it holds the latest ones, and drops the oldest."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqtt_http_bridge.core.venus import readings, superseded
from mqtt_http_bridge.core.venus.topic_cache import (
    LEAST_ROOM,
    LONGEST_TOPIC,
    MOST_ROOM,
    ROOM_PER_GX,
    TopicCache,
)

ROOM = 4


@pytest.fixture
def cache() -> TopicCache[str, int]:
    """A small one."""
    cache: TopicCache[str, int] = TopicCache()
    cache.room = ROOM
    return cache


def look_up(cache: TopicCache[str, int], topic: str) -> int | None:
    """As those who use it look something up."""
    found = cache.new.get(topic)
    return cache.recall(topic) if found is None else found


def test_the_oldest_is_given_up(cache: TopicCache[str, int]) -> None:
    """And what was used meanwhile is not."""
    for number in range(3 * ROOM):
        cache.remember(str(number), number)
        assert look_up(cache, "0") == 0
    assert look_up(cache, "1") is None
    assert look_up(cache, str(3 * ROOM - 1)) == 3 * ROOM - 1


def test_what_fits_is_always_found(cache: TopicCache[str, int]) -> None:
    """Going round: where one too many would make each be missed, half of them still fit."""
    for _ in range(5):
        for number in range(ROOM):
            if look_up(cache, str(number)) is None:
                cache.remember(str(number), number)
    assert [look_up(cache, str(number)) for number in range(ROOM)] == list(range(ROOM))


@given(st.lists(st.integers(0, 30), max_size=200))
def test_it_is_bounded_and_never_wrong(numbers: list[int]) -> None:
    """Whatever comes, in whatever order."""
    cache: TopicCache[str, int] = TopicCache()
    cache.room = ROOM
    for number in numbers:
        found = look_up(cache, str(number))
        assert found in (None, number)
        if found is None:
            assert cache.remember(str(number), number) == number
        assert len(cache.new) <= ROOM
        assert len(cache) <= 2 * ROOM
        assert look_up(cache, str(number)) == number
    cache.clear()
    assert len(cache) == 0


def test_room_is_made_by_what_is_subscribed_to() -> None:
    """It grows with the GX devices, and never shrinks: others may go on using it."""
    cache: TopicCache[str, int] = TopicCache()
    cache.make_room(1)
    assert cache.room == LEAST_ROOM
    cache.make_room(400)
    assert cache.room == 400 * ROOM_PER_GX
    cache.make_room(3)
    assert cache.room == 400 * ROOM_PER_GX


def test_room_has_a_limit() -> None:
    """Anybody can make up GX devices, and topics."""
    cache: TopicCache[str, int] = TopicCache()
    cache.make_room(10_000)
    assert cache.room == MOST_ROOM
    longest = "x" * LONGEST_TOPIC
    for topic in (longest, longest + "x"):
        assert cache.remember(topic, 1) == 1
    assert list(cache.new) == [longest]


def test_those_of_the_dialect_grow_too() -> None:
    """Both caches: of where a topic points, and of whether it outdates what was said before."""
    readings.make_room(401)
    superseded.make_room(401)
    assert readings._PLACES.room >= 401 * ROOM_PER_GX
    assert superseded._FLEETING.room >= 401 * ROOM_PER_GX
