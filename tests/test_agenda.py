"""What is sent next, and when, on virtual time: the present first, the past in order, at a pace."""

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from mqtt_http_bridge.core import agenda as agenda_module
from mqtt_http_bridge.core.agenda import (
    LONGEST_START_S,
    LONGEST_WAIT_S,
    MOST_IN_MIND,
    MOST_STORE_FAILURES,
    NEVER,
    SLOW_STEPS_S,
    SUSPECT_FAILURES,
    SUSPECT_TIME_S,
    TRIAL_TIME_S,
    Agenda,
    Choice,
    Parked,
    Waiting,
)
from mqtt_http_bridge.core.backoff import Draw
from mqtt_http_bridge.core.delivery import LONGEST_RETRY_AFTER_S, Route, Verdict

A = frozenset({"A"})

STORED = Verdict(Route.OPEN)
REFUSED = Verdict(Route.OPEN, refused={"A": "Device A not found"})
PARTLY = Verdict(Route.OPEN, owed=A)
ISOLATED = Verdict(Route.OPEN, owed=A, refused={"B": "null"}, is_owed_at_once=True)
NO_ANSWER = Verdict(Route.FAULTY, owed=A)
FAILED = Verdict(Route.FAULTY, owed=A, is_suspect=True)
SHUT = Verdict(Route.SHUT, owed=A)

SPACING_S = 0.1


def longest(low: float, high: float) -> float:
    """A draw that always falls on the longest wait."""
    return high


def make_agenda(*backlog: int, draw: Draw = longest, fresh: int | None = None) -> Agenda:
    """An agenda of ten a second, with the outbox read."""
    agenda = Agenda(1.0 / SPACING_S, draw)
    agenda.add_backlog(backlog)
    if fresh is not None:
        agenda.add_fresh(fresh)
    return agenda


def next_choice(agenda: Agenda, now_s: float) -> tuple[Choice, float]:
    """What comes next, and when."""
    due_s = max(now_s, agenda.next_due_s())
    assert due_s < NEVER, "nothing will ever come"
    choice = agenda.choose(due_s)
    assert choice is not None
    return choice, due_s


def sent_in_order(agenda: Agenda, count: int, verdict: Verdict = STORED) -> list[int]:
    """The numbers of the next `count` entries, each judged at once with `verdict`."""
    numbers, now_s = [], 0.0
    for _ in range(count):
        choice, now_s = next_choice(agenda, now_s)
        assert isinstance(choice, Waiting)
        numbers.append(choice.number)
        agenda.judged(choice.number, verdict, now_s)
    return numbers


def waits_of(agenda: Agenda, verdict: Verdict, count: int) -> list[float]:
    """How long the agenda waits after each of `count` tries that all end with `verdict`."""
    waits, now_s = [], 0.0
    for _ in range(count):
        choice, now_s = next_choice(agenda, now_s)
        assert isinstance(choice, Waiting)
        agenda.judged(choice.number, verdict, now_s)
        waits.append(agenda.next_due_s() - now_s)
    return waits


# --- order ---------------------------------------------------------------------------------------


def test_the_fresh_one_goes_first() -> None:
    """Then the backlog, oldest first."""
    assert sent_in_order(make_agenda(2, 3, 1, fresh=9), 4) == [9, 1, 2, 3]


def test_only_the_freshest_is_fresh() -> None:
    """What was fresh and not sent yet becomes a part of the backlog."""
    agenda = make_agenda(1, fresh=7)
    agenda.add_fresh(8)
    assert sent_in_order(agenda, 3) == [8, 1, 7]


def test_an_entry_is_sent_once_however_it_was_learnt_of() -> None:
    """The outbox lists a new entry before the news of it comes: it is the same one."""
    agenda = make_agenda(1, 2, fresh=2)
    assert sent_in_order(agenda, 2) == [2, 1]
    assert agenda.next_due_s() == NEVER


def test_news_of_an_entry_that_has_failed_already_is_no_news() -> None:
    """An entry that is put off stays so when the news of it comes late."""
    agenda = make_agenda(1)
    sent_in_order(agenda, 1, PARTLY)
    agenda.add_fresh(1)
    assert agenda.next_due_s() == SLOW_STEPS_S[0]


def test_fresh_ones_do_not_overtake_the_backlog_that_is_still_in_the_outbox() -> None:
    """With more in the outbox than in mind, what was fresh waits for its turn there."""
    agenda = Agenda(10.0, longest)
    agenda.add_backlog(range(agenda.most_wanted))
    agenda.add_fresh(5000)
    agenda.add_fresh(5001)
    assert sent_in_order(agenda, 3) == [5001, 0, 1]
    assert sent_in_order(agenda, MOST_IN_MIND - 1)[-1] == MOST_IN_MIND
    assert agenda.wants_backlog


def test_what_was_put_off_goes_in_its_old_place() -> None:
    """After a night of 500s the tried ones go with the others: the oldest first."""
    agenda = make_agenda(*range(10))
    sent_in_order(agenda, 4, FAILED)
    agenda.retry([], 1000.0)
    assert sent_in_order(agenda, 10) == list(range(10))


def test_owed_only_because_of_others_is_sent_again_at_once() -> None:
    """What 422 did not name goes as soon as the named device is set aside."""
    agenda = make_agenda(1, 2)
    sent_in_order(agenda, 1, ISOLATED)
    assert next_choice(agenda, 0.0) == (Waiting(1), SPACING_S)


# --- pace ----------------------------------------------------------------------------------------


def test_a_backlog_drains_at_the_pace() -> None:
    """Ten a second, from the first on."""
    agenda, now_s, times = make_agenda(*range(20)), 0.0, []
    for _ in range(20):
        _, now_s = next_choice(agenda, now_s)
        times.append(now_s)
        agenda.judged(0, STORED, now_s)
    assert [later - earlier for earlier, later in pairwise(times)] == pytest.approx([0.1] * 19)


def test_the_pace_does_not_hold_the_fresh_one() -> None:
    """The live value waits for no more than the POST under way."""
    agenda = make_agenda(*range(20))
    next_choice(agenda, 0.0)
    agenda.judged(0, STORED, 0.0)
    agenda.add_fresh(99)
    assert next_choice(agenda, 0.0) == (Waiting(99), 0.0)


@pytest.mark.parametrize(("count", "longest_s"), [(5, 0.4), (1000, LONGEST_START_S)])
def test_the_backlog_starts_at_a_random_time_after_an_outage(count: int, longest_s: float) -> None:
    """Within 30 s, and sooner if draining takes less; the fresh one starts at once."""
    agenda = make_agenda(*range(count))
    _, now_s = next_choice(agenda, 0.0)
    agenda.judged(0, NO_ANSWER, now_s)
    choice, now_s = next_choice(agenda, now_s)
    agenda.judged(0, STORED, now_s)
    assert choice == Waiting(0)
    assert agenda.next_due_s() - now_s == pytest.approx(longest_s)
    agenda.add_fresh(5000)
    assert agenda.next_due_s() <= now_s


def test_a_backlog_without_an_outage_starts_at_once() -> None:
    """There is nobody to come back together with."""
    agenda = make_agenda(*range(10))
    sent_in_order(agenda, 1)
    assert agenda.next_due_s() == SPACING_S


# --- the way to the backend ----------------------------------------------------------------------


def test_back_off_doubles_up_to_its_ceiling() -> None:
    """1 s, 2 s, ... 256 s, then 5 min for ever."""
    waits = waits_of(make_agenda(1), NO_ANSWER, 3000)
    assert waits[:10] == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300]
    assert set(waits[10:]) == {LONGEST_WAIT_S}


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=30))
def test_back_off_has_full_jitter(shares: list[float]) -> None:
    """The whole wait is drawn, from nothing to the ceiling."""
    drawn = iter(shares)
    agenda = make_agenda(1, draw=lambda low, high: low + next(drawn) * (high - low))
    waits = waits_of(agenda, NO_ANSWER, len(shares))
    ceilings = [min(300.0, 2.0**n) for n in range(len(shares))]
    # The pace holds as well, where the draw is nothing or nearly so.
    expected = [max(SPACING_S, s * c) for s, c in zip(shares, ceilings, strict=True)]
    assert waits == pytest.approx(expected)


def test_what_the_route_holds_it_holds_all() -> None:
    """No try is made while the route waits, not even of a fresh entry."""
    agenda = make_agenda(1, 2)
    next_choice(agenda, 0.0)
    agenda.judged(1, NO_ANSWER, 0.0)
    agenda.add_fresh(3)
    assert agenda.choose(0.99) is None
    assert agenda.choose(1.0) == Waiting(3)


@pytest.mark.parametrize(
    ("asked_s", "waited_s"),
    [(None, 1.0), (0.5, 1.0), (120.0, 120.0), (86_400.0, LONGEST_RETRY_AFTER_S), (NEVER, 3600.0)],
)
def test_retry_after_is_obeyed_for_an_hour_at_most(asked_s: float | None, waited_s: float) -> None:
    """It lengthens the wait, never shortens it."""
    verdict = Verdict(Route.FAULTY, owed=A, retry_after_s=asked_s)
    assert waits_of(make_agenda(1), verdict, 1) == [waited_s]


def test_a_setting_to_mend_is_tried_slowly() -> None:
    """1, 5, 15, 60 min, then hourly, without jitter."""
    assert waits_of(make_agenda(1), SHUT, 6) == [60, 300, 900, 3600, 3600, 3600]


def test_each_kind_of_trouble_counts_its_own_failures() -> None:
    """A wrong key found after a night without internet is first tried again in a minute."""
    agenda = make_agenda(1)
    waits_of(agenda, NO_ANSWER, 20)
    assert waits_of(agenda, SHUT, 2) == [60, 300]
    assert waits_of(agenda, NO_ANSWER, 2) == [1, 2]


def test_success_ends_the_back_off() -> None:
    """The next failure starts anew."""
    agenda = make_agenda(*range(3))
    waits_of(agenda, NO_ANSWER, 8)
    sent_in_order(agenda, 1)
    assert waits_of(agenda, NO_ANSWER, 1) == [1.0]


def test_a_wish_to_retry_ends_all_waits() -> None:
    """What is held, put off or parked can go at once."""
    agenda = make_agenda(1, 2, 3)
    sent_in_order(agenda, 1, PARTLY)
    waits_of(agenda, SHUT, 3)
    agenda.retry(["A"], 2000.0)
    agenda.add_backlog([1, 2, 3])
    numbers = sent_in_order(agenda, 3)
    assert numbers == [1, 2, 3]
    assert next_choice(agenda, 2000.0)[0] == Parked("A")


# --- an entry that the backend fails on ----------------------------------------------------------


def test_a_suspect_is_split_after_five_failures_in_ten_minutes() -> None:
    """While others pass, and not before."""
    agenda, now_s, tries = make_agenda(1), 0.0, []
    for fresh in range(2, 30):
        now_s = 30.0 * (fresh - 2)
        while agenda.next_due_s() <= now_s:
            choice, now_s = next_choice(agenda, now_s)
            assert choice in (Waiting(1), Waiting(1, is_split=True))
            tries.append((now_s, choice))
            agenda.judged(1, FAILED, now_s)
        agenda.add_fresh(fresh)
        choice, now_s = next_choice(agenda, now_s)
        assert choice == Waiting(fresh)
        agenda.judged(fresh, STORED, now_s)
    assert [choice for _, choice in tries] == [
        *[Waiting(1)] * SUSPECT_FAILURES,
        Waiting(1, is_split=True),
    ]
    assert tries[-1][0] - tries[0][0] >= SUSPECT_TIME_S


def test_where_nothing_passes_a_split_is_only_a_trial() -> None:
    """A backend that fails on everything is down, or every measurement holds what it fails on."""
    agenda, now_s = make_agenda(1, 2), 0.0
    for _ in range(100):
        choice, now_s = next_choice(agenda, now_s)
        assert isinstance(choice, Waiting)
        assert choice.is_split == choice.is_trial == (now_s >= TRIAL_TIME_S + choice.number - 1)
        agenda.judged(choice.number, FAILED, now_s)
    assert now_s > 2 * TRIAL_TIME_S


def test_others_pass_also_where_a_device_of_theirs_is_refused() -> None:
    """An unregistered charger in every measurement does not keep a suspect from being split."""
    agenda, now_s = make_agenda(1), 0.0
    for number in range(2, 2 + SUSPECT_FAILURES):
        choice, now_s = next_choice(agenda, now_s)
        assert choice == Waiting(1)
        agenda.judged(1, FAILED, now_s)
        agenda.add_fresh(number)
        choice, now_s = next_choice(agenda, now_s)
        agenda.judged(number, REFUSED, now_s)
        now_s = max(now_s, 150.0 * (number - 1))
    assert agenda.choose(now_s) == Waiting(1, is_split=True)


def test_a_suspect_holds_others_only_for_the_back_off() -> None:
    """They overtake it; its next try is minutes away."""
    agenda = make_agenda(1, 2, 3)
    sent_in_order(agenda, 1, FAILED)
    assert sent_in_order(agenda, 2) == [2, 3]
    assert agenda.next_due_s() == agenda_module.SUSPECT_WAIT_S


def test_what_a_device_owes_by_itself_holds_nobody() -> None:
    """A store fault of one device, and then of nothing but that device, is its own."""
    agenda = make_agenda(1)
    assert waits_of(agenda, PARTLY, 1) == [60]
    assert waits_of(agenda, FAILED, 2) == [300, 900]
    agenda.add_fresh(2)
    assert agenda.next_due_s() == -NEVER


def test_an_entry_that_owes_too_often_is_to_be_set_aside() -> None:
    """Five times: then it is for the sender to park what is owed."""
    agenda, now_s = make_agenda(1), 0.0
    for _ in range(MOST_STORE_FAILURES):
        assert not agenda.has_tried_enough(1)
        _, now_s = next_choice(agenda, now_s)
        agenda.judged(1, PARTLY, now_s)
    assert agenda.has_tried_enough(1)
    agenda.missed(1)
    assert not agenda.has_tried_enough(1)


# --- what is parked ------------------------------------------------------------------------------


def parked_agenda(*serials: str) -> Agenda:
    """An agenda with nothing but something parked of each of `serials`, refused at 0 s."""
    agenda = make_agenda(1)
    next_choice(agenda, 0.0)
    agenda.judged(1, Verdict(Route.OPEN, refused=dict.fromkeys(serials, "no")), 0.0)
    return agenda


def test_a_parked_device_is_tried_slowly() -> None:
    """1, 5, 15, 60 min after each refusal, then hourly."""
    agenda, now_s, times = parked_agenda("A"), 0.0, [0.0]
    for _ in range(6):
        choice, now_s = next_choice(agenda, now_s)
        assert choice == Parked("A")
        times.append(now_s)
        agenda.judged_parked("A", REFUSED, now_s)
    assert [b - a for a, b in pairwise(times)] == [60, 300, 900, 3600, 3600, 3600]


def test_each_device_is_tried_by_itself() -> None:
    """One that is still refused does not slow down another."""
    agenda = parked_agenda("A", "B")
    for serial, verdict in (("A", REFUSED), ("B", STORED)):
        choice, now_s = next_choice(agenda, 60.0)
        assert choice == Parked(serial)
        agenda.judged_parked(serial, verdict, now_s)
    assert next_choice(agenda, 60.2)[0] == Parked("B")


def test_what_is_parked_drains_once_it_is_taken() -> None:
    """At the pace, until nothing is parked any more."""
    agenda, now_s = parked_agenda("A"), 60.0
    for _ in range(5):
        choice, later_s = next_choice(agenda, now_s)
        assert choice == Parked("A")
        assert later_s <= now_s + SPACING_S + 1e-6
        now_s = later_s
        agenda.judged_parked("A", STORED, now_s)
    agenda.missed_parked("A")
    assert agenda.next_due_s() == NEVER


def test_what_is_parked_waits_for_all_that_waits() -> None:
    """And never holds it: whatever comes of a try, the others go on."""
    agenda = parked_agenda("A")
    agenda.retry(["A"], 5.0)
    agenda.add_backlog([2, 3])
    assert sent_in_order(agenda, 2) == [2, 3]
    _, now_s = next_choice(agenda, 5.0)
    agenda.judged_parked("A", FAILED, now_s)
    agenda.add_fresh(4)
    assert agenda.next_due_s() <= now_s


def test_a_parked_device_loses_no_turn_to_a_broken_route() -> None:
    """A try without an answer says nothing of the device; it goes once there are answers."""
    agenda = parked_agenda("A")
    agenda.retry(["A"], 100.0)
    now_s = 100.0
    for _ in range(5):
        _, now_s = next_choice(agenda, now_s)
        agenda.judged_parked("A", NO_ANSWER, now_s)
    agenda.add_fresh(2)
    _, now_s = next_choice(agenda, now_s)
    agenda.judged(2, STORED, now_s)
    assert next_choice(agenda, now_s) == (Parked("A"), now_s)


def test_a_refusal_does_not_hasten_a_device_that_is_parked() -> None:
    """New measurements of it are refused all the time; its next try stays where it is."""
    agenda = parked_agenda("A")
    agenda.add_fresh(2)
    next_choice(agenda, 59.0)
    agenda.judged(2, REFUSED, 59.0)
    assert agenda.next_due_s() == 60.0


# --- the backlog in mind -------------------------------------------------------------------------


def test_no_more_is_held_in_mind_than_needed() -> None:
    """A week's backlog comes from the outbox a thousand at a time."""
    agenda = Agenda(10.0, longest)
    outbox = list(range(20_160))
    asked = []
    while agenda.wants_backlog:
        asked.append(agenda.most_wanted)
        agenda.add_backlog(outbox[: agenda.most_wanted])
        done = sent_in_order(agenda, min(MOST_IN_MIND + 1, len(outbox)))
        del outbox[: len(done)]
    assert not outbox
    assert set(asked) == {MOST_IN_MIND + 1}


def test_a_thousand_fresh_ones_spill_into_the_outbox() -> None:
    """Without an answer for hours the numbers in mind stay bounded, and none is forgotten."""
    agenda = make_agenda()
    for number in range(3 * MOST_IN_MIND):
        agenda.add_fresh(number)
    assert sent_in_order(agenda, MOST_IN_MIND + 1)[1:] == list(range(MOST_IN_MIND))
    assert agenda.wants_backlog


def test_a_thousand_that_are_put_off_do_not_hide_the_others() -> None:
    """The outbox is asked for more than those, and not over and over again."""
    agenda = Agenda(1000.0, longest)
    outbox = range(3 * MOST_IN_MIND)
    agenda.add_backlog(outbox[: agenda.most_wanted])
    sent_in_order(agenda, MOST_IN_MIND + 1, PARTLY)
    agenda.add_backlog(outbox[: agenda.most_wanted])
    assert not agenda.wants_backlog
    assert agenda.choose(59.0) == Waiting(MOST_IN_MIND + 1)


# --- any history ---------------------------------------------------------------------------------

VERDICTS = [STORED, REFUSED, PARTLY, ISOLATED, NO_ANSWER, FAILED, SHUT]


class AnyHistory(RuleBasedStateMachine):
    """An agenda, an outbox that is a set of numbers, and anything that can happen to both."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0
        self.agenda = Agenda(10.0, longest)
        self.outbox: set[int] = set()
        self.parked: Counter[str] = Counter()
        self.news: list[int] = []
        self.choice: Choice | None = None
        self.next_number = 1
        self.patience = agenda_module.MOST_IN_MIND
        agenda_module.MOST_IN_MIND = 3  # type: ignore[misc]

    def teardown(self) -> None:
        agenda_module.MOST_IN_MIND = self.patience  # type: ignore[misc]
        self.settle()
        self.drain()

    # What can happen.

    @rule(count=st.integers(1, 6))
    def measure(self, count: int) -> None:
        """Entries reach the outbox; the news of them may come later."""
        numbers = range(self.next_number, self.next_number + count)
        self.next_number += count
        self.outbox.update(numbers)
        self.news.extend(numbers)

    @precondition(lambda self: self.choice is None)
    @rule()
    def hear(self) -> None:
        for number in self.news:
            self.agenda.add_fresh(number)
        self.news.clear()

    @rule()
    def look(self) -> None:
        self.refill()

    @precondition(lambda self: self.choice is None)
    @rule(wait_s=st.sampled_from([0.0, 0.1, 1.0, 60.0, 4000.0]))
    def choose(self, wait_s: float) -> None:
        self.now_s += wait_s
        self.refill()
        self.choice = self.agenda.choose(self.now_s)
        if self.choice is None:
            assert self.agenda.next_due_s() > self.now_s or self.agenda.wants_backlog

    @precondition(lambda self: self.choice is not None)
    @rule(verdict=st.sampled_from(VERDICTS), took_s=st.sampled_from([0.0, 0.5, 60.0]))
    def judge(self, verdict: Verdict, took_s: float) -> None:
        """An answer comes, and outbox and agenda hear of it, as the sender has it."""
        self.now_s += took_s
        choice, self.choice = self.choice, None
        if isinstance(choice, Parked):
            self.judge_parked(choice.serial, verdict)
        elif isinstance(choice, Waiting):
            self.judge_waiting(choice.number, verdict)

    @precondition(lambda self: len(self.outbox) > 1)
    @rule()
    def drop(self) -> None:
        """Somebody, or the need for room, removes the oldest entry."""
        self.outbox.remove(min(self.outbox))

    @precondition(lambda self: self.choice is None)
    @rule()
    def retry(self) -> None:
        self.agenda.retry(list(self.parked), self.now_s)

    # What always holds.

    @invariant()
    def nothing_is_forgotten(self) -> None:
        """Each entry is known to the agenda, or the agenda knows that it has to ask."""
        agenda = self.agenda
        known = {*agenda._backlog, agenda._fresh, *(number for _, number in agenda._later)}
        known |= {*self.news, self.choice.number if isinstance(self.choice, Waiting) else None}
        assert all(number in known or number > agenda._horizon for number in self.outbox)

    @invariant()
    def nothing_is_known_twice(self) -> None:
        agenda = self.agenda
        known = [*agenda._backlog, *(number for _, number in agenda._later)]
        known += [] if agenda._fresh is None else [agenda._fresh]
        assert len(known) == len(set(known))

    # How the sender treats it.

    def refill(self) -> None:
        if self.choice is None and self.agenda.wants_backlog:
            self.agenda.add_backlog(sorted(self.outbox)[: self.agenda.most_wanted])

    def judge_waiting(self, number: int, verdict: Verdict) -> None:
        if number not in self.outbox:
            self.agenda.missed(number)
            return
        self.parked.update(verdict.refused.keys())
        if not verdict.owed:
            self.outbox.remove(number)
        self.agenda.judged(number, verdict, self.now_s)

    def judge_parked(self, serial: str, verdict: Verdict) -> None:
        if not self.parked[serial]:
            self.agenda.missed_parked(serial)
            return
        if verdict.is_done:
            self.parked[serial] -= 1
        self.agenda.judged_parked(serial, verdict, self.now_s)

    def settle(self) -> None:
        if self.choice is not None:
            self.judge(STORED, 0.0)
        self.hear()

    def drain(self) -> None:
        """With a backend that takes everything, all is sent: whatever has happened before."""
        for _ in range(20 * (self.next_number + self.parked.total() + 10)):
            self.refill()
            if self.agenda.next_due_s() == NEVER:
                break
            self.choice, self.now_s = next_choice(self.agenda, self.now_s)
            self.judge(STORED, 0.0)
        assert not self.outbox
        assert not self.parked.total()


TestAnyHistory = AnyHistory.TestCase
TestAnyHistory.settings = settings(max_examples=300, stateful_step_count=60)
