"""Tests entries that are retried by themselves, each at its time."""

import pytest

from mqtt_http_bridge.core.delivery.trials import (
    MOST_FAILURES,
    MOST_FAILURES_BY_CHANCE,
    Trials,
)
from mqtt_http_bridge.core.events import NEVER


@pytest.mark.parametrize(
    ("by_chance", "most"), [(False, MOST_FAILURES), (True, MOST_FAILURES_BY_CHANCE)]
)
def test_what_cannot_be_stored_has_so_many_tries(*, by_chance: bool, most: int) -> None:
    """Twice as many where the backend fails on what it stores later: one in ten, for example."""
    trials = Trials()
    for failures in range(most):
        assert trials.is_last(7, by_chance=by_chance) is (failures + 1 == most)
        assert trials.has_failed(7) is (failures > 0)
        trials.note_failed(7, 1, 0.0)
    assert MOST_FAILURES_BY_CHANCE == 2 * MOST_FAILURES
    trials.forget(7)
    assert not trials.has_failed(7)


def test_what_is_forgotten_is_as_if_it_had_never_been() -> None:
    """Is neither due any more, nor known to have failed as a whole, by either memory."""
    trials = Trials()
    trials.put_off(7, 10.0)
    assert not trials.is_its_own_fault(7, 1)
    trials.forget(7)
    assert 7 not in trials
    assert trials.next_due_s() == NEVER
    assert trials.pop_due(10.0) is None
    assert not trials.is_its_own_fault(7, 2)
    trials.note_failed(7, 2, 0.0)
    trials.forget(7)
    assert not trials.is_its_own_fault(7, 3)


def test_a_hundred_that_failed_as_a_whole_are_remembered() -> None:
    """Lets one more push out the first: an outage has thousands, and is nobody's fault."""
    trials = Trials()
    for number in range(100):
        assert not trials.is_its_own_fault(number, 1)
    assert trials.is_its_own_fault(0, 2)
    trials = Trials()
    for number in range(101):
        assert not trials.is_its_own_fault(number, 1)
    assert not trials.is_its_own_fault(0, 2)
