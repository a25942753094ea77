"""Tests the heap of deadlines, which finds the next one of a thousand members."""

from hypothesis import given
from hypothesis import strategies as st

from mqtt_http_bridge.core.events import NEVER
from mqtt_http_bridge.core.relay.deadlines import Deadlines

TIMES = st.integers(0, 20).map(float)


class Member:
    """Something with a deadline of its own."""

    def __init__(self, due_s: float) -> None:
        self.due_s = due_s


def test_nobody_is_due() -> None:
    """Without members, and with members that are never due, nothing is ever to be done."""
    schedule: Deadlines[Member] = Deadlines()
    schedule.add(Member(NEVER))
    assert schedule.next_s() == NEVER


def taken(schedule: Deadlines[Member]) -> Member:
    """Returns whose turn it is."""
    member = schedule.pop()
    assert member is not None
    return member


@given(st.lists(TIMES, min_size=1, max_size=8), st.lists(st.tuples(st.integers(0, 7), TIMES)))
def test_everybody_is_looked_after_in_time_and_in_order(
    due_s: list[float], changes: list[tuple[int, float]]
) -> None:
    """However deadlines were moved before: each member comes when it is due, in order of adding."""
    members = [Member(each) for each in due_s]
    schedule: Deadlines[Member] = Deadlines()
    for member in members:
        schedule.add(member)
        schedule.bring_forward(member, member.due_s)
    for number, new_s in changes:
        member = members[number % len(members)]
        member.due_s = new_s
        schedule.bring_forward(member, new_s)

    acted: list[tuple[float, int]] = []
    while (now_s := schedule.next_s()) < NEVER:
        member = taken(schedule)
        if member.due_s <= now_s:
            acted.append((now_s, members.index(member)))
            member.due_s = NEVER
        schedule.bring_forward(member, member.due_s)

    last = {n % len(members): s for n, s in changes}
    expected = sorted((last.get(n, s), n) for n, s in enumerate(due_s))
    assert acted == expected


def test_who_is_removed_has_no_turn_any_more() -> None:
    """Its place in the heap comes to nothing; the others have their turns, and one comes anew."""
    leaving, staying = Member(1.0), Member(2.0)
    schedule: Deadlines[Member] = Deadlines()
    for member in (leaving, staying):
        schedule.add(member)
        schedule.bring_forward(member, member.due_s)
    schedule.remove(leaving)
    assert schedule.pop() is None
    assert schedule.next_s() == 2.0
    schedule.add(leaving)
    schedule.bring_forward(leaving, 1.5)
    assert [schedule.pop(), schedule.pop()] == [leaving, staying]
    assert schedule.next_s() == NEVER


def test_what_is_remembered_does_not_grow() -> None:
    """A member that is brought forward now and then has one more entry until that is over."""
    schedule: Deadlines[Member] = Deadlines()
    member = Member(NEVER)
    schedule.add(member)
    now_s = 0.0
    for _ in range(1000):
        for late_s in (30.0, 20.0, 10.0):
            schedule.bring_forward(member, now_s + late_s)
        now_s += 30.0
        while schedule.next_s() <= now_s:
            assert schedule.pop() is member
            schedule.bring_forward(member, now_s + 30.0)
        assert len(schedule._heap) <= 3
