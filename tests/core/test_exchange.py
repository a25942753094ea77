"""Tests sending an entry: how many POSTs, in which parts, and what becomes of each device."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqtt_http_bridge.core.delivery.exchange import Exchange, Group
from mqtt_http_bridge.core.delivery.refusal import FAILS_ALONE, Refusal
from mqtt_http_bridge.core.delivery.verdict import Fate, Outcome, Verdict, all_owed

REFUSAL = Refusal(FAILS_ALONE, "500")


def stored(group: Group) -> Verdict:
    return Verdict(Outcome.JUDGED, dict.fromkeys(group, Fate.STORED))


def failing_on(*culprits: str) -> Callable[[Group], Verdict]:
    """A backend that fails on whatever names one of them."""

    def answer(group: Group) -> Verdict:
        if set(group) & set(culprits):
            return all_owed(Outcome.FAILED, group, "500")
        return stored(group)

    return answer


def lead(exchange: Exchange, answer: Callable[[Group], Verdict]) -> list[Group]:
    """Leads it to its end; returns what was sent."""
    sent = []
    while (group := exchange.next_group()) is not None:
        sent.append(group)
        exchange.take_in(group, answer(group))
        assert len(sent) < 100
    return sent


def test_as_a_rule_it_is_one_post() -> None:
    """All in one, in the order of the entry; a serial that is there twice is named once."""
    exchange = Exchange("ABAC")
    assert lead(exchange, stored) == [("A", "B", "C")]
    assert exchange.stored == set("ABC")
    assert not exchange.owed
    assert not exchange.refused
    assert exchange.is_answered


def test_a_backend_that_is_down_is_asked_twice_and_then_once() -> None:
    """And another device has its turn each time."""
    down = failing_on(*"ABC")
    assert lead(Exchange("ABC"), down) == [tuple("ABC"), ("A",)]
    for probe in range(5):
        exchange = Exchange("ABC", probe=probe, is_failing=True)
        assert lead(exchange, down) == [("ABC"[probe % 3],)]
        assert exchange.owed == set("ABC")
        assert not exchange.is_answered


def test_a_backend_that_is_back_takes_the_rest_at_once() -> None:
    """One device shows it, and the others follow in one."""
    exchange = Exchange("ABC", probe=1, is_failing=True)
    assert lead(exchange, stored) == [("B",), ("A", "C")]
    assert exchange.stored == set("ABC")


def test_a_culprit_is_found_by_halves() -> None:
    """As soon as one device has passed; all others are stored meanwhile."""
    exchange = Exchange("ABCDEFGH")
    sent = lead(exchange, failing_on("F"))
    assert sent == [*map(tuple, ["ABCDEFGH", "A", "BCDEFGH", "BCD", "EFGH", "EF", "E", "F", "GH"])]
    assert exchange.failed_alone == {"F"}
    assert exchange.stored == set("ABCDEGH")


def test_where_others_pass_it_goes_on_by_halves() -> None:
    """Another GX has shown that the backend is up: every device is looked at."""
    exchange = Exchange("ABC", is_failing=True, is_up=True)
    assert lead(exchange, failing_on(*"ABC")) == [("A",), ("B", "C"), ("B",), ("C",)]
    assert exchange.failed_alone == set("ABC")
    assert not exchange.is_answered


def test_a_culprit_that_is_the_probe_is_found_the_next_time() -> None:
    """Two POSTs fail, and that is all for now; then another is the probe."""
    assert lead(Exchange("AB"), failing_on("A")) == [("A", "B"), ("A",)]
    exchange = Exchange("AB", probe=1, is_failing=True)
    assert lead(exchange, failing_on("A")) == [("B",), ("A",)]
    assert exchange.stored == {"B"}
    assert exchange.failed_alone == {"A"}


def test_suspects_go_last_and_alone() -> None:
    """The others do not wait for them; while nothing passes, each has its turn."""
    assert lead(Exchange("ABC", apart="A"), stored) == [("B", "C"), ("A",)]
    down = failing_on("A")
    assert lead(Exchange("AB", apart="AB", is_failing=True), down) == [("A",)]
    assert lead(Exchange("AB", apart="AB", is_failing=True, probe=1), down) == [("B",), ("A",)]


def test_what_is_known_is_not_asked() -> None:
    """Refused devices are refused, those for later are owed, and neither is sent."""
    exchange = Exchange("ABC", refused={"A": REFUSAL}, later="C")
    assert lead(exchange, stored) == [("B",)]
    assert exchange.stored == {"B"}
    assert exchange.owed == {"C"}
    assert exchange.refused == {"A": REFUSAL}


def test_nothing_to_send_is_no_post() -> None:
    """And says nothing of the backend."""
    exchange = Exchange("A", refused={"A": REFUSAL})
    assert exchange.next_group() is None
    assert (exchange.posts, exchange.is_answered, exchange.is_failed) == (0, False, False)


def test_the_rest_of_what_was_turned_down_goes_at_once() -> None:
    """422: without the devices that are named."""

    def answer(group: Group) -> Verdict:
        if "B" in group:
            fates = {s: REFUSAL if s == "B" else Fate.OWED for s in group}
            return Verdict(Outcome.REJECTED, fates, "B")
        return stored(group)

    exchange = Exchange("ABC")
    assert lead(exchange, answer) == [tuple("ABC"), ("A", "C")]
    assert exchange.stored == {"A", "C"}
    assert exchange.refused == {"B": REFUSAL}


@pytest.mark.parametrize(
    "outcome", [o for o in Outcome if o not in (Outcome.JUDGED, Outcome.REJECTED, Outcome.FAILED)]
)
def test_any_other_trouble_is_the_end(outcome: Outcome) -> None:
    """Everything that was stored is stored, and the rest is owed."""
    answers = iter([stored(("A",)), all_owed(outcome, "BC", "no")])
    exchange = Exchange("ABC", is_failing=True)
    assert lead(exchange, lambda group: next(answers)) == [("A",), ("B", "C")]
    assert exchange.stored == {"A"}
    assert exchange.owed == {"B", "C"}


def test_a_backend_that_wants_a_pause_gets_it() -> None:
    """A 500 with Retry-After is no reason to send parts."""
    pause = all_owed(Outcome.FAILED, "AB", "500", retry_after_s=60.0)
    assert lead(Exchange("AB"), lambda group: pause) == [("A", "B")]


def test_a_try_is_sent_as_it_is() -> None:
    """A parked report goes whole, and once."""
    assert lead(Exchange("AB", is_whole=True), failing_on("A")) == [("A", "B")]


@given(st.sets(st.sampled_from("ABCDEFGHIJ")), st.integers(0, 9))
def test_every_culprit_is_found_and_everybody_else_is_stored(
    culprits: set[str], first: int
) -> None:
    """Within as many turns as there are culprits and one more, however many there are."""
    serials, turns, failing = "ABCDEFGHIJ", 0, False
    fates: dict[str, Fate] = {}
    found: set[str] = set()
    while turns <= len(culprits) + 1:
        exchange = Exchange(
            [s for s in serials if s not in fates], probe=first + turns, is_failing=failing
        )
        lead(exchange, failing_on(*culprits))
        fates |= dict.fromkeys(exchange.stored, Fate.STORED)
        found |= exchange.failed_alone
        failing = not exchange.is_answered
        turns += 1
    assert fates.keys() == set(serials) - culprits
    assert found <= culprits
    if len(culprits) < len(serials):
        assert found == culprits
