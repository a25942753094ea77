"""Tests when announced GX devices are woken: spread over one interval."""

from mqtt_http_bridge.core.relay.wake_slots import WakeSlots


def test_each_is_woken_in_the_middle_of_the_largest_gap() -> None:
    """Wakes the first at once, the others within the interval that it began."""
    slots = WakeSlots(32.0)
    found = [slots.next_s(100.0) for _ in range(8)]
    assert found == [100.0, 116.0, 108.0, 124.0, 104.0, 120.0, 112.0, 128.0]


def test_a_moment_that_is_over_is_now() -> None:
    """Wakes at once whoever comes after the moment that was left."""
    slots = WakeSlots(32.0)
    assert [slots.next_s(at_s) for at_s in (100.0, 101.0, 110.0, 110.0)] == [
        100.0,
        116.0,
        110.0,
        124.0,
    ]


def test_after_an_interval_it_begins_anew() -> None:
    """Wakes at once whoever comes then, and the next one half an interval later."""
    slots = WakeSlots(32.0)
    slots.next_s(100.0)
    assert slots.next_s(131.9) == 131.9
    assert [slots.next_s(132.0), slots.next_s(132.0)] == [132.0, 148.0]
