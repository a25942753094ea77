"""Tests how a refusal of the backend is written into the outbox, and read again."""

import pytest

from mqtt_http_bridge.core.delivery.refusal import (
    FAILS_ALONE,
    NEVER_STORED,
    UNKNOWN,
    UNREADABLE,
    Cause,
    Refusal,
    read_refusal,
    reason_of,
    refusal_of,
)

NOT_FOUND = Cause("not found", "register it")
CAUSES = (NOT_FOUND,)
OURS = (FAILS_ALONE, NEVER_STORED, UNREADABLE)


@pytest.mark.parametrize("cause", [*OURS, NOT_FOUND], ids=lambda cause: cause.code)
@pytest.mark.parametrize("said", ["", "500", 'no: {"such": thing}', "größer"])
def test_it_outlives_the_process(cause: Cause, said: str) -> None:
    """Reads the same again, under whatever dialect; a text with a colon is kept whole."""
    refusal = Refusal(cause, said)
    assert read_refusal(str(refusal), CAUSES) == refusal


def test_each_cause_has_its_own_word() -> None:
    """Keeps the words that stand in the outbox: another one would make another cause of it."""
    codes = [cause.code for cause in (*OURS, UNKNOWN)]
    assert codes == ["fails", "never stored", "unreadable", "unknown"]


def test_a_cause_is_of_the_device_and_of_no_setting_unless_it_says_so() -> None:
    """Sends nobody to look at the key for a trouble that has nothing to do with it."""
    assert not any(cause.is_of_key or cause.is_of_serial for cause in (*OURS, NOT_FOUND))


@pytest.mark.parametrize("text", ["", "later: 42", "by hand", "{}", "{", '["A"]', "[" * 9999])
def test_what_nobody_can_read_is_unknown(text: str) -> None:
    """Keeps the words as they are."""
    assert read_refusal(text, CAUSES) == Refusal(UNKNOWN, text)
    assert refusal_of("A", text, CAUSES) == Refusal(UNKNOWN, text)


def test_one_reason_for_all_is_told_once() -> None:
    """Reads like that of one device, and holds for whichever is asked about."""
    refusal = Refusal(NOT_FOUND, "größer: {")
    reason = reason_of({"A": refusal, "B": refusal})
    assert reason == "not found: größer: {"
    assert refusal_of("A", reason, CAUSES) == refusal_of("B", reason, CAUSES) == refusal


def test_several_reasons_are_told_by_device() -> None:
    """Keeps letters as they are: a person reads the outbox."""
    refusals = {
        "A": Refusal(NOT_FOUND, "größer"),
        "B": Refusal(FAILS_ALONE, "500"),
        "C": Refusal(FAILS_ALONE, "500"),
    }
    reason = reason_of(refusals)
    assert "größer" in reason
    assert {serial: refusal_of(serial, reason, CAUSES) for serial in refusals} == refusals
    assert refusal_of("D", reason, CAUSES) == Refusal(UNKNOWN, reason)
