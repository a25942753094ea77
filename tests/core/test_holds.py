"""Tests what waits, and for how long: everything, a key, or all but live measurements."""

import pytest

from mqtt_http_bridge.core.delivery.holds import Holds
from mqtt_http_bridge.core.delivery.verdict import Outcome, Verdict, all_owed

KEY = "a key"


def longest(low: float, high: float) -> float:
    return high


def trouble(outcome: Outcome, retry_after_s: float | None = None) -> Verdict:
    return all_owed(outcome, "A", "no", retry_after_s=retry_after_s)


def waits(outcome: Outcome, what: str, count: int) -> list[float]:
    """Returns how long `what` waits after each of so many failures in a row."""
    holds, now_s, found = Holds(longest), 1000.0, []
    for _ in range(count):
        holds.take_in(trouble(outcome), KEY, began_s=now_s, now_s=now_s)
        until_s = holds.key_until_s(KEY) if what == "key" else getattr(holds, what)
        found.append(until_s - now_s)
        now_s = until_s
    return found


DOUBLING = [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]


@pytest.mark.parametrize(
    ("outcome", "what", "expected"),
    [
        (Outcome.UNAVAILABLE, "backlog_until_s", DOUBLING),
        (Outcome.UNREACHABLE, "backlog_until_s", DOUBLING),
        (Outcome.OVERLOADED, "all_until_s", DOUBLING),
        (Outcome.MISCONFIGURED, "all_until_s", [60, 300, 300, 300]),
        (Outcome.KEY_REFUSED, "key", [60, 300, 900, 3600, 3600]),
    ],
)
def test_each_trouble_holds_what_the_table_says(
    outcome: Outcome, what: str, expected: list[float]
) -> None:
    """For so long, and longer with each failure in a row."""
    assert waits(outcome, what, len(expected)) == expected


@pytest.mark.parametrize("outcome", [Outcome.UNAVAILABLE, Outcome.UNREACHABLE])
def test_what_is_live_is_not_held_by_a_time_out(outcome: Outcome) -> None:
    """It is the probe; nor does a key wait."""
    holds = Holds(longest)
    holds.take_in(trouble(outcome), KEY, began_s=0.0, now_s=0.0)
    assert holds.all_until_s < 0
    assert holds.key_until_s(KEY) < 0
    assert holds.is_in_trouble


def test_a_wrong_key_holds_no_other() -> None:
    """And nobody is in trouble for it."""
    holds = Holds(longest)
    holds.take_in(trouble(Outcome.KEY_REFUSED), KEY, began_s=0.0, now_s=0.0)
    assert holds.key_until_s("another") < 0
    assert max(holds.all_until_s, holds.backlog_until_s) < 0
    assert not holds.is_in_trouble
    assert holds.held_keys == [KEY]
    holds.release_key(KEY)
    assert holds.key_until_s(KEY) < 0


@pytest.mark.parametrize(("asked_s", "waited_s"), [(600.0, 600.0), (90_000.0, 3600.0), (0.0, 0.0)])
@pytest.mark.parametrize("outcome", [Outcome.UNAVAILABLE, Outcome.OVERLOADED, Outcome.FAILED])
def test_retry_after_holds_everything(outcome: Outcome, asked_s: float, waited_s: float) -> None:
    """For an hour at most, and never less than the back-off of what has one for all."""
    holds = Holds(lambda low, high: low)
    holds.take_in(trouble(outcome, asked_s), KEY, began_s=0.0, now_s=0.0)
    assert holds.all_until_s == waited_s


def test_what_was_under_way_does_not_end_a_pause() -> None:
    """An `ok` that comes after the backend has asked for a pause had been sent before."""
    holds = Holds(longest)
    holds.take_in(trouble(Outcome.OVERLOADED, 60.0), KEY, began_s=0.0, now_s=1.0)
    holds.take_in(Verdict(Outcome.JUDGED, {}), KEY, began_s=0.5, now_s=1.5)
    assert holds.all_until_s == 61.0


def test_of_what_was_under_way_at_one_time_one_failure_counts() -> None:
    """Eight POSTs that time out together are one time-out."""
    holds = Holds(longest)
    for n in range(8):
        holds.take_in(trouble(Outcome.UNAVAILABLE), KEY, began_s=0.0, now_s=30.0 + n / 10)
    assert holds.backlog_until_s <= 30.0 + 0.7 + 1.0
    holds.take_in(trouble(Outcome.UNAVAILABLE), KEY, began_s=40.0, now_s=70.0)
    assert holds.backlog_until_s == 72.0


@pytest.mark.parametrize("outcome", [Outcome.JUDGED, Outcome.REJECTED, Outcome.FAILED])
def test_an_answer_of_the_backend_ends_the_back_off(outcome: Outcome) -> None:
    """It is there; the next failure starts anew. A 500 may be about one device."""
    holds = Holds(longest)
    for now_s in (0.0, 10.0, 20.0):
        holds.take_in(trouble(Outcome.UNAVAILABLE), KEY, began_s=now_s, now_s=now_s)
    holds.take_in(trouble(outcome), KEY, began_s=30.0, now_s=30.0)
    assert holds.backlog_until_s < 0
    assert not holds.is_in_trouble
    holds.take_in(trouble(Outcome.UNAVAILABLE), KEY, began_s=40.0, now_s=40.0)
    assert holds.backlog_until_s == 41.0


def test_each_kind_of_trouble_counts_its_own_failures() -> None:
    """Something else that answers after a night without internet is asked again in a minute."""
    holds = Holds(longest)
    for n in range(20):
        holds.take_in(trouble(Outcome.UNREACHABLE), KEY, began_s=n * 1e3, now_s=n * 1e3)
    holds.take_in(trouble(Outcome.MISCONFIGURED), KEY, began_s=5e4, now_s=5e4)
    assert holds.all_until_s == 5e4 + 60.0


def test_a_person_ends_all_of_it() -> None:
    """Everything that was held is sent now."""
    holds = Holds(longest)
    for outcome in (Outcome.MISCONFIGURED, Outcome.KEY_REFUSED, Outcome.UNAVAILABLE):
        holds.take_in(trouble(outcome, 500.0), KEY, began_s=0.0, now_s=0.0)
    holds.release_all()
    assert max(holds.all_until_s, holds.backlog_until_s, holds.key_until_s(KEY)) < 0
    assert not holds.is_in_trouble


def test_a_key_that_is_taken_starts_anew() -> None:
    """The next refusal of it is the first one again."""
    holds = Holds(longest)
    for now_s in (0.0, 100.0, 1000.0):
        holds.take_in(trouble(Outcome.KEY_REFUSED), KEY, began_s=now_s, now_s=now_s)
    holds.take_in(Verdict(Outcome.JUDGED, {}), KEY, began_s=2000.0, now_s=2000.0)
    assert holds.held_keys == []
    holds.take_in(trouble(Outcome.KEY_REFUSED), KEY, began_s=3000.0, now_s=3000.0)
    assert holds.key_until_s(KEY) == 3060.0
