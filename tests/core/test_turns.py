"""Tests the order in which GX devices are served: none twice, none forgotten, none outdated."""

import pytest

from mqtt_http_bridge.core.delivery.evidence import Evidence
from mqtt_http_bridge.core.delivery.gx import Gx
from mqtt_http_bridge.core.delivery.refusal import Cause, Refusal
from mqtt_http_bridge.core.delivery.turns import Turns
from mqtt_http_bridge.core.events import NEVER
from tests.support.many_gx import Shelf

REFUSED = Refusal(Cause("not registered", "register it"), "not found")


class Queues:
    """Turns of a few GX devices, by name; nothing is owed, as nobody here looks."""

    def __init__(self, *names: str) -> None:
        evidence = Evidence()
        self.gxs = {name: Gx(name, "", Shelf(), evidence) for name in names}
        self.turns = Turns(self.gxs)

    def place(self, *names: str, now_s: float = 0.0) -> None:
        for name in names:
            self.turns.place(self.gxs[name], now_s)

    def measure(self, *names: str) -> None:
        """Each has one more new measurement."""
        for name in names:
            self.gxs[name].newest += 1
        self.place(*names)

    def look_at(self, name: str, *due_s: float) -> None:
        for each in due_s:
            self.turns.look_at(self.gxs[name], each)

    def park(self, name: str, serial: str, due_s: float) -> None:
        """A device is to be tried at `due_s`."""
        parked = self.gxs[name].parked
        if serial not in parked:
            parked.note_refused(serial, REFUSED, 1, 0.0)
        parked[serial].due_s = due_s
        self.turns.schedule_tries(self.gxs[name])

    def live(self) -> list[str]:
        """All that are live, as they would be chosen."""
        found = []
        while (gx := self.turns.pop_live()) is not None:
            gx.tried = gx.newest
            found.append(gx.portal_id)
        return found

    def backlog(self) -> list[str]:
        found = []
        while (gx := self.turns.pop_backlog()) is not None:
            found.append(gx.portal_id)
        return found

    def tries(self, now_s: float) -> list[tuple[str, str]]:
        found = []
        while (popped := self.turns.pop_try(now_s)) is not None:
            found.append((popped[0].portal_id, popped[1]))
        return found


# --- live and backlog ----------------------------------------------------------------------------


def test_who_waits_longest_is_served_first() -> None:
    """Those with a new measurement by when it came, and the backlogs by when they were placed."""
    queues = Queues("a", "b", "c", "d")
    queues.place("d", "c")
    queues.measure("b", "a")
    assert queues.live() == ["b", "a"]
    assert queues.backlog() == ["d", "c"]
    assert queues.live() == queues.backlog() == []


def test_a_second_measurement_neither_doubles_a_turn_nor_loses_it() -> None:
    """A GX that measures faster than it is served is not put behind the others each time."""
    queues = Queues("a", "b")
    queues.measure("a", "b", "a", "a")
    assert queues.live() == ["a", "b"]
    queues.place("a", "b", "a")
    assert queues.backlog() == ["a", "b"]


def test_who_was_served_goes_behind_the_others() -> None:
    """So the backlogs drain in turn."""
    queues = Queues("a", "b")
    queues.place("a", "b")
    gx = queues.turns.pop_backlog()
    assert gx is queues.gxs["a"]
    queues.place("a")
    assert queues.backlog() == ["b", "a"]


def test_one_that_is_being_sent_of_has_no_turn() -> None:
    """It is placed again when that is over; its earlier place is skipped."""
    queues = Queues("a", "b", "c")
    queues.measure("a", "b")
    queues.gxs["a"].is_flying = True
    queues.gxs["c"].is_flying = True
    queues.place("c")
    queues.measure("c")
    assert queues.live() == ["b"]
    assert queues.backlog() == []
    assert queues.turns.later_due_s == NEVER


def test_a_live_turn_is_outdated_once_the_measurement_was_sent() -> None:
    """As a part of the backlog, for example."""
    queues = Queues("a", "b")
    queues.measure("a", "b")
    queues.gxs["a"].tried = queues.gxs["a"].newest
    assert queues.live() == ["b"]


def test_a_backlog_that_has_to_wait_is_placed_later() -> None:
    """Not before its time, and then behind those that are there."""
    queues = Queues("a", "b")
    queues.gxs["a"].due_s = 5.0
    queues.place("a", "b", now_s=1.0)
    queues.turns.recall(4.9)
    assert queues.turns.later_due_s == 5.0
    queues.turns.recall(5.0)
    assert queues.backlog() == ["b", "a"]
    assert queues.turns.later_due_s == NEVER


def test_a_measurement_does_not_wait_for_the_backlog() -> None:
    """That of its own GX may have to."""
    queues = Queues("a")
    queues.gxs["a"].due_s = 5.0
    queues.measure("a")
    assert queues.live() == ["a"]


# --- later ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("due_s", [(3.0, 7.0), (7.0, 3.0), (3.0, 3.0), (7.0, 5.0, 3.0)])
def test_the_earliest_look_counts(due_s: tuple[float, ...]) -> None:
    """And it is one look: what was wanted for later is outdated by then."""
    queues = Queues("a")
    queues.look_at("a", *due_s)
    assert queues.turns.later_due_s == 3.0
    queues.turns.recall(3.0)
    assert queues.backlog() == ["a"]
    assert queues.turns.later_due_s == NEVER
    queues.turns.recall(100.0)
    assert queues.backlog() == []


def test_one_that_was_looked_at_may_be_looked_at_again() -> None:
    """Also later than a look that is outdated."""
    queues = Queues("a")
    queues.look_at("a", 7.0, 3.0)
    queues.turns.recall(3.0)
    queues.look_at("a", 9.0)
    assert queues.turns.later_due_s == 9.0
    assert queues.backlog() == ["a"]
    queues.turns.recall(8.0)
    assert queues.backlog() == []
    queues.turns.recall(9.0)
    assert queues.backlog() == ["a"]


def test_each_is_placed_at_its_own_time() -> None:
    """By that time, whoever was put off first."""
    queues = Queues("a", "b", "c")
    queues.look_at("c", 3.0)
    queues.look_at("a", 2.0)
    queues.look_at("b", 1.0)
    queues.turns.recall(2.5)
    assert queues.backlog() == ["b", "a"]
    assert queues.turns.later_due_s == 3.0


# --- tries ---------------------------------------------------------------------------------------


def test_tries_come_by_their_time() -> None:
    """Of whichever GX, and none before it is due."""
    queues = Queues("a", "b")
    queues.park("a", "A1", 3.0)
    queues.park("a", "A2", 1.0)
    queues.park("b", "B1", 2.0)
    assert queues.tries(0.9) == []
    assert queues.tries(2.0) == [("a", "A2"), ("b", "B1")]
    assert queues.tries(3.0) == [("a", "A1")]
    assert queues.tries(100.0) == []


@pytest.mark.parametrize("earlier_s", [1.0, 4.0])
def test_a_try_that_was_brought_forward_comes_once(earlier_s: float) -> None:
    """After a request to retry everything, the old time no longer counts."""
    queues = Queues("a")
    queues.park("a", "A1", 5.0)
    queues.park("a", "A1", earlier_s)
    assert queues.tries(earlier_s) == [("a", "A1")]
    assert queues.tries(100.0) == []


def test_a_try_that_was_put_off_is_looked_at_once_and_then_in_time() -> None:
    """While new reports are refused each interval, that is no new look each time."""
    queues = Queues("a")
    queues.park("a", "A1", 5.0)
    for due_s in (6.0, 7.0, 8.0):
        queues.park("a", "A1", due_s)
    assert queues.tries(5.0) == [("a", "A1")]
    queues.turns.schedule_tries(queues.gxs["a"])
    assert queues.tries(7.9) == []
    assert queues.tries(8.0) == [("a", "A1")]


def test_a_device_that_is_free_is_not_tried() -> None:
    """Nor does its old time count for what is parked of it afterwards."""
    queues = Queues("a")
    queues.park("a", "A1", 5.0)
    queues.gxs["a"].parked.forget("A1")
    assert queues.turns.slow_due_s == NEVER
    assert queues.tries(100.0) == []
    queues.park("a", "A1", 5.0)
    queues.gxs["a"].parked.forget("A1")
    queues.park("a", "A1", 9.0)
    assert queues.tries(8.0) == []
    assert queues.tries(9.0) == [("a", "A1")]


# --- when to look --------------------------------------------------------------------------------


def test_when_something_may_be_due() -> None:
    """At once while anybody has a turn, at its time where that is known, and else never."""
    queues = Queues("a", "b")
    turns = queues.turns
    assert (turns.live_due_s, turns.slow_due_s, turns.later_due_s) == (NEVER, NEVER, NEVER)
    queues.park("a", "A1", 5.0)
    assert turns.slow_due_s == 5.0
    queues.place("b")
    assert turns.slow_due_s == -NEVER
    queues.measure("a")
    assert (turns.live_due_s, turns.later_due_s) == (-NEVER, NEVER)
    queues.live()
    queues.backlog()
    assert (turns.live_due_s, turns.slow_due_s) == (NEVER, 5.0)


def test_what_is_asked_for_again_is_kept_once() -> None:
    """Keeps one mark, though each measurement asks: they would pile up for an hour."""
    queues = Queues("a")
    for _ in range(3):
        queues.look_at("a", 5.0)
        queues.park("a", "A", 5.0)
    assert len(queues.turns._later) == len(queues.turns._tries) == 1
