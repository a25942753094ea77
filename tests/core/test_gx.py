"""Tests the state of one GX in delivery: which entry is next, and what an exchange leaves of it."""

from mqtt_http_bridge.core.delivery.evidence import Evidence
from mqtt_http_bridge.core.delivery.exchange import Exchange
from mqtt_http_bridge.core.delivery.gx import Gx
from mqtt_http_bridge.core.delivery.trials import MOST_FAILURES
from mqtt_http_bridge.core.delivery.verdict import Fate, Outcome, Verdict
from tests.support.many_gx import Shelf

PORTAL = "gx"


def gx_with(entries: int) -> Gx:
    """One with so many entries that are owed, numbered from 1."""
    shelf = Shelf()
    for _ in range(entries):
        shelf.add(PORTAL, ("A",))
    return Gx(PORTAL, "", shelf, Evidence())


def test_the_newest_begins_but_for_one_that_is_put_off() -> None:
    """While the backend fails the newest goes first; if it waits for its own turn, the oldest."""
    gx = gx_with(3)
    gx.failures = 1
    assert gx.next_backlog(0.0, newest_first=False) == 3
    gx.trials.put_off(3, 100.0)
    assert gx.next_backlog(0.0, newest_first=False) == 1
    assert gx_with(0).next_backlog(0.0, newest_first=True) is None


def test_what_was_not_tried_stays_owed_when_the_rest_is_set_aside() -> None:
    """A could not be stored for the last time; B was left for later."""
    gx = gx_with(1)
    for number in range(1, MOST_FAILURES + 1):
        exchange = Exchange("AB", later="B")
        group = exchange.next_group()
        assert group == ("A",)
        verdict = Verdict(Outcome.JUDGED, {"A": Fate.OWED}, "A: Failed to store")
        exchange.take_in(group, verdict)
        settlement = gx.settle(1, exchange, lambda low, high: high, 0.0)
        if number < MOST_FAILURES:
            assert settlement.owed == {"A", "B"}
            assert not settlement.refused
    assert settlement.owed == {"B"}
    assert set(settlement.refused) == {"A"}
