"""Tests when the clock is trusted, and how long nothing is sent before that."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqtt_http_bridge.core.clock_trust import AGREES_S, PATIENCE_S, Asked, ClockTrust
from mqtt_http_bridge.core.events import Moment

TRUE = datetime(2026, 6, 14, 10, 30, tzinfo=UTC)
"""The time that the backend's clock shows at second 0."""


def asked(
    at_s: float,
    *,
    ahead_s: float = 0.0,
    took_s: float = 0.0,
    has_date: bool = True,
    is_answered: bool = True,
) -> Asked:
    """The backend was asked at `at_s` by a clock that is ahead by so much."""

    def moment(s: float) -> Moment:
        return Moment(s, TRUE + timedelta(seconds=s + ahead_s))

    date = (TRUE + timedelta(seconds=at_s + took_s / 2)).replace(microsecond=0)
    return Asked(moment(at_s), moment(at_s + took_s), date if has_date else None, is_answered)


def test_a_synchronised_kernel_is_trusted_at_once() -> None:
    """Without a word, and without a question to anybody."""
    trust = ClockTrust()
    assert trust.hear_kernel(is_synchronised=True) == []
    assert trust.is_trusted


def test_a_kernel_that_is_not_synchronised_says_nothing() -> None:
    """Nor does it wait for ever: the backend may agree."""
    trust = ClockTrust()
    assert trust.hear_kernel(is_synchronised=False) == []
    assert not trust.is_trusted
    assert trust.hear_backend(asked(0.0)) == []
    assert trust.is_trusted


@pytest.mark.parametrize("year", [1, 9999])
@pytest.mark.parametrize("offset_h", [-23, 0, 23])
def test_whatever_the_backend_takes_for_the_time(year: int, offset_h: int) -> None:
    """It is another one than ours, and nothing more."""
    odd = datetime(year, 12, 31, 23, 59, 59, tzinfo=timezone(timedelta(hours=offset_h)))
    trust = ClockTrust()
    now = Moment(0.0, TRUE)
    (line,) = trust.hear_backend(Asked(now, now, odd, is_answered=True))
    assert "the backend's: waiting up to 10 min" in line.text
    assert not trust.is_trusted


@pytest.mark.parametrize(
    ("ahead_s", "is_trusted"), [(4.9, True), (-4.9, True), (6.5, False), (-6.5, False)]
)
def test_five_seconds_are_agreement(ahead_s: float, is_trusted: bool) -> None:
    """Either way; a Date is cut off to a second, and that is on our side."""
    trust = ClockTrust()
    trust.hear_backend(asked(0.0, ahead_s=ahead_s))
    assert trust.is_trusted is is_trusted


@given(st.floats(0.0, 60.0), st.floats(-AGREES_S, AGREES_S))
def test_a_slow_answer_accuses_no_clock(took_s: float, ahead_s: float) -> None:
    """The Date is of some moment between asking and hearing."""
    trust = ClockTrust()
    trust.hear_backend(asked(100.0, ahead_s=ahead_s, took_s=took_s))
    assert trust.is_trusted


def test_a_clock_that_is_set_within_ten_minutes() -> None:
    """It is waited for, both halves are told, and it is trusted as soon as it agrees."""
    trust = ClockTrust()
    (line,) = trust.hear_backend(asked(0.0, ahead_s=-42.0))
    assert line.level == "WARNING"
    assert line.text.startswith("the clock of this machine is 42 s behind the backend's: ")
    assert trust.hear_backend(asked(300.0, ahead_s=-42.0)) == []
    assert not trust.is_trusted
    (line,) = trust.hear_backend(asked(302.0, ahead_s=0.2))
    assert (line.level, trust.is_trusted) == ("INFO", True)


def test_a_kernel_that_becomes_synchronised_ends_the_wait() -> None:
    """Told, as the wait was."""
    trust = ClockTrust()
    trust.hear_backend(asked(0.0, ahead_s=3600.0))
    assert len(trust.hear_kernel(is_synchronised=True)) == 1
    assert trust.is_trusted


@pytest.mark.parametrize("has_date", [True, False], ids=["another time", "no time"])
def test_after_ten_minutes_it_counts_as_it_is(*, has_date: bool) -> None:
    """Told, with what to do; from the first answer on."""
    trust = ClockTrust()
    options = {"ahead_s": 42.0, "has_date": has_date}
    assert len(trust.hear_backend(asked(50.0, **options))) == 1  # type: ignore[arg-type]
    assert trust.hear_backend(asked(50.0 + PATIENCE_S - 1, **options)) == []  # type: ignore[arg-type]
    assert not trust.is_trusted
    (line,) = trust.hear_backend(asked(50.0 + PATIENCE_S, **options))  # type: ignore[arg-type]
    assert trust.is_trusted
    assert (line.level, "NTP" in line.text) == ("WARNING", True)


def test_without_a_connection_it_is_never_trusted() -> None:
    """A day without internet is no reason: the clock is set when the internet is back."""
    trust = ClockTrust()
    for at_s in range(0, 86_400, 60):
        away = asked(float(at_s), has_date=False, is_answered=False)
        assert trust.hear_backend(away) == []
        assert not trust.is_trusted
        assert trust.wait_s <= 10.0
    trust.hear_backend(asked(86_400.0))
    assert trust.is_trusted


def test_the_limits_are_those_that_are_promised() -> None:
    """Are five seconds and ten minutes: the log and the documents tell them."""
    assert (AGREES_S, PATIENCE_S) == (5.0, 600.0)


def exactly(behind_s: float) -> Asked:
    """Gives an answer without delay, to a clock that is so much behind the backend's."""
    moment = Moment(100.0, TRUE - timedelta(seconds=behind_s))
    return Asked(moment, moment, TRUE, is_answered=True)


@pytest.mark.parametrize(("behind_s", "is_trusted"), [(5.0, True), (5.001, False)])
def test_five_seconds_agree(behind_s: float, *, is_trusted: bool) -> None:
    """Trusts it at five seconds, and at no millisecond more."""
    trust = ClockTrust()
    trust.hear_backend(exactly(behind_s))
    assert trust.is_trusted is is_trusted


def test_a_clock_that_fits_is_ahead_by_nothing() -> None:
    """Fits any time within the second of a Date, which is cut off to whole ones."""
    assert [exactly(-ahead_s).ahead_s for ahead_s in (0.0, 0.5, 1.0, 1.5)] == [0.0, 0.0, 0.0, 0.5]


def test_the_waits_grow_while_nothing_answers() -> None:
    """Grow up to ten seconds; a backend that answers once is asked often again."""
    trust, waits = ClockTrust(), []
    for is_answered in (False, False, False, False, True):
        waits.append(trust.wait_s)
        trust.hear_backend(asked(0.0, has_date=False, is_answered=is_answered))
    assert waits == [2.0, 4.0, 8.0, 10.0, 10.0]
    assert trust.wait_s == 2.0
