"""Tests the plan of delivery, for one GX and for a thousand, with one connection and with many."""

import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mqtt_http_bridge.core.delivery.plan import Job, Kind
from mqtt_http_bridge.core.delivery.refusal import Cause, Refusal
from mqtt_http_bridge.core.delivery.verdict import DeviceFate, Fate, Outcome, Verdict, all_owed
from tests.support.many_gx import Answer, World, fails_on, takes_all

INTERVAL_S = 30.0
NOT_FOUND = Refusal(Cause("not registered", "register it"), "not found")


def fleet(world: World, count: int, *, until_s: float, devices: int = 1) -> None:
    """So many GX devices whose beats are spread over one interval."""
    for n in range(count):
        serials = [f"S{n}.{device}" for device in range(devices)]
        first_s = INTERVAL_S * n / count
        world.measure_every(INTERVAL_S, f"gx{n}", *serials, first_s=first_s, until_s=until_s)


def latencies(world: World, *, after_s: float = 0.0) -> list[float]:
    """Lists the times until each live measurement was stored, shortest first."""
    lives = {sent.number for sent in world.sent if sent.kind is Kind.LIVE}
    return sorted(
        at - world.made_s[number]
        for number, at in world.stored_s.items()
        if number in lives and world.made_s.get(number, -1.0) >= after_s
    )


def assert_all_stored_once(world: World) -> None:
    assert len(set(world.stored)) == len(world.stored)
    assert world.shelf.owed_count == 0
    assert world.shelf.parked_serials == set()


# --- order and pace ------------------------------------------------------------------------------


def test_the_newest_of_each_gx_then_the_past_in_turn() -> None:
    """Over one connection: three live values first, then the oldest of each, round and round."""
    world = World(takes_all)
    for n in range(9):
        world.measure(f"gx{n % 3}", "A")
    world.run_until(10.0)
    order = [(sent.portal_id, sent.number) for sent in world.sent]
    assert [number for _, number in order] == [7, 8, 9, 1, 2, 3, 4, 5, 6]


def test_a_live_value_waits_for_no_more_than_the_posts_under_way() -> None:
    """While a backlog drains as fast as it may."""
    world = World(takes_all, connections=1, post_s=0.5, max_rate_per_s=1000.0)
    for _ in range(200):
        world.measure("gx", "A")
    fleet(world, 4, until_s=60.0)
    world.run_until(60.0)
    assert latencies(world)[-1] <= 0.5 + 4 * 0.5
    assert world.shelf.owed_count < 200


@pytest.mark.parametrize(("connections", "slow"), [(1, 1), (2, 1), (3, 1), (4, 2), (8, 4)])
def test_backlog_takes_at_most_half_of_the_connections(connections: int, slow: int) -> None:
    """With one: the gaps."""
    world = World(takes_all, connections=connections, post_s=1.0, max_rate_per_s=1000.0)
    for n in range(200):
        world.measure(f"gx{n % 20}", "A")
    world.run_until(0.5 + 20.0 / connections)  # The live ones are through.
    world.run_until(world.now_s + 1.0)
    assert sum(job.kind is Kind.BACKLOG for job in world.flying.values()) == slow


def test_the_pace_is_for_the_backlog_of_all_together() -> None:
    """Ten a second, over however many connections; and a live value is not counted."""
    world = World(takes_all, connections=8, post_s=0.01)
    for n in range(500):
        world.measure(f"gx{n % 10}", "A")
    world.run_until(20.0)
    slow = [sent.began_s for sent in world.sent if sent.kind is Kind.BACKLOG]
    assert len(slow) == pytest.approx(200, abs=2)
    assert min(later - earlier for earlier, later in pairwise(slow)) >= 0.0999


def test_an_entry_that_takes_two_posts_counts_twice() -> None:
    """`max_rate` is what the backend sees."""

    def answer(portal_id: str, serials: tuple[str, ...], now_s: float) -> Verdict:
        if len(serials) > 1:
            fates: dict[str, DeviceFate] = dict.fromkeys(serials, Fate.OWED)
            return Verdict(Outcome.REJECTED, fates | {serials[0]: NOT_FOUND}, "422")
        return takes_all(portal_id, serials, now_s)

    world = World(answer, post_s=0.001)
    for _ in range(200):
        world.measure("gx", "A", "B")
    world.run_until(20.0)
    assert len([sent for sent in world.sent if sent.began_s < 19.9]) <= 202


def test_what_waited_from_before_the_start_is_not_live() -> None:
    """A fleet that starts with a backlog: what is measured now does not wait behind it."""
    world = World(takes_all, connections=8, post_s=0.1)
    for n in range(3000):
        world.shelf.add(f"gx{n % 1000}", (f"S{n % 1000}.0",))
    world.plan.find([f"gx{n}" for n in range(1000)], 0.0)
    fleet(world, 100, until_s=30.0)
    world.run_until(31.0)
    assert latencies(world)[-1] <= 0.2 + 1e-6  # Its own POST, and one of its backlog before.
    slow = [sent.number for sent in world.sent if sent.kind is Kind.BACKLOG]
    assert min(slow) > 2000  # The newest of each first.


@pytest.mark.parametrize("outage_s", [70.0, 3600.0])
@pytest.mark.parametrize("outcome", [Outcome.UNAVAILABLE, Outcome.UNREACHABLE, Outcome.FAILED])
def test_a_fleet_is_served_within_one_interval_of_the_backends_return(
    outage_s: float, outcome: Outcome
) -> None:
    """Each GX by its own live value, as spread as the beats are, the backlog later."""
    away = (30.0, 30.0 + outage_s)

    def answer(portal_id: str, serials: tuple[str, ...], now_s: float) -> Verdict:
        if away[0] <= now_s < away[1]:
            return all_owed(outcome, serials, "away")
        return takes_all(portal_id, serials, now_s)

    world = World(answer, connections=8, post_s=0.05)
    fleet(world, 20, until_s=away[1] + INTERVAL_S)
    world.run_until(away[1])
    before = len(world.stored)
    world.run_until(away[1] + INTERVAL_S + 1.0)
    back = {portal_id for portal_id, _, _ in world.stored[before:]}
    assert len(back) == 20
    first = world.sent[
        [s.began_s >= away[1] and s.outcome is Outcome.JUDGED for s in world.sent].index(True)
    ]
    assert first.began_s - away[1] <= INTERVAL_S / 20 + 0.1
    world.run_until(away[1] + 1000.0)
    assert_all_stored_once(world)


def test_a_thousand_gx_devices_over_eight_connections() -> None:
    """100 ms a POST: nothing grows in ten minutes, and p99 is below 5 s beside a backlog."""
    world = World(takes_all, connections=8, post_s=0.1)
    for n in range(3000):
        world.shelf.add(f"gx{n % 1000}", (f"S{n % 1000}.0",))
    world.plan.find([f"gx{n}" for n in range(1000)], 0.0)
    fleet(world, 1000, until_s=600.0)
    world.run_until(602.0)
    found = latencies(world)
    assert len(found) == 1000 * 20
    assert found[len(found) * 99 // 100] < 5.0
    assert world.shelf.owed_count < 10


# --- keys ----------------------------------------------------------------------------------------


def test_a_revoked_key_delays_nobody_else() -> None:
    """The GX of that key is tried after 1, 5, 15, 60 min; the others do not notice."""

    def answer(portal_id: str, serials: tuple[str, ...], now_s: float) -> Verdict:
        if portal_id == "gx0":
            return all_owed(Outcome.KEY_REFUSED, serials, "401")
        return takes_all(portal_id, serials, now_s)

    world = World(answer, connections=2)
    world.plan._key_of = lambda portal_id: portal_id
    fleet(world, 4, until_s=4000.0)
    world.run_until(4000.0)
    assert latencies(world)[-1] < 0.5
    tries = [sent.began_s for sent in world.sent if sent.portal_id == "gx0"]
    assert tries == pytest.approx([0.0, 60.1, 360.2, 1260.3], abs=1.0)
    assert world.plan.held_keys == ["gx0"]
    assert len(world.plan._turns._later) < 4  # However often it has measured meanwhile.
    world.answer = takes_all
    world.plan.release_key("gx0", world.now_s)
    world.run_until(4200.0)
    assert_all_stored_once(world)


def fails_once() -> Answer:
    """A backend that has a bad moment."""
    failures = iter([all_owed(Outcome.FAILED, ("A",), "500")])
    return lambda *post: next(failures, takes_all(*post))


def test_after_a_single_failure_too_the_backlog_starts_by_lot() -> None:
    """All GX devices would else begin at once on a backend that has just got up."""
    gaps_s = []
    for seed in range(20):
        world = World(fails_once(), seed=seed)
        for _ in range(200):
            world.measure("gx", "A")
        world.run_until(120.0)
        failed, first, second, *_ = world.sent
        assert (failed.outcome, first.outcome) == (Outcome.FAILED, Outcome.JUDGED)
        gaps_s.append(second.began_s - first.began_s)
    assert min(gaps_s) < 5.0
    assert 15.0 < max(gaps_s) < 20.5


def test_a_wish_to_retry_ends_the_pause_of_a_backlog() -> None:
    """Ends it at once: the backlog of a GX whose backend failed may have minutes to wait."""
    is_mended = False

    def answer(portal_id: str, serials: tuple[str, ...], now_s: float) -> Verdict:
        if is_mended:
            return takes_all(portal_id, serials, now_s)
        return all_owed(Outcome.FAILED, serials, "500")

    world = World(answer)
    for _ in range(3):
        world.measure("gx", "A")
    while world.flying or world.plan.next_due_s() < world.now_s + 5.0:
        world.run_until(world.now_s + 1.0)
    is_mended = True
    world.plan.retry(world.now_s)
    world.run_until(world.now_s + 1.0)
    assert_all_stored_once(world)


def test_a_device_that_comes_and_goes_leaves_no_tries_behind() -> None:
    """Refused and stored in turn, for hours: what is due is looked at once."""

    def answer(portal_id: str, serials: tuple[str, ...], now_s: float) -> Verdict:
        if now_s % 60.0 < 30.0:
            return Verdict(Outcome.JUDGED, dict.fromkeys(serials, NOT_FOUND), "not found")
        return takes_all(portal_id, serials, now_s)

    world = World(answer)
    fleet(world, 1, until_s=20_000.0)
    world.run_until(20_000.0)
    assert len(world.plan._turns._tries) < 5


def test_a_parked_report_that_the_disk_does_not_give_is_asked_for_every_10_s() -> None:
    """A disk in trouble is not asked ten times a second; and the device is not forgotten."""
    world = World(lambda *post: Verdict(Outcome.JUDGED, {"A": NOT_FOUND}, "not found"))
    world.measure("gx", "A")
    world.run_until(1.0)
    assert world.shelf.parked_serials == {"A"}
    asked_s = list[float]()

    def give_nothing(job: Job) -> None:
        assert job.kind is Kind.TRY
        asked_s.append(world.now_s)

    world.shelf.serials = give_nothing  # type: ignore[method-assign]
    world.run_until(100.0)
    assert len(asked_s) > 2
    assert {round(later - earlier, 6) for earlier, later in pairwise(asked_s)} == {10.0}


# --- a backend that fails on some --------------------------------------------------------------


@pytest.mark.parametrize(("count", "connections"), [(1, 1), (10, 1), (10, 8)])
@pytest.mark.parametrize("culprits", [{"S0.2"}, {"S0.0"}, {"S0.0", "S0.2"}])
def test_an_inverter_without_an_owner_delays_nobody(
    count: int, connections: int, culprits: set[str]
) -> None:
    """One or two of three on one GX, for 24 min: each other report is stored within seconds."""
    world = World(fails_on(*culprits), connections=connections)
    fleet(world, count, until_s=1440.0, devices=3)
    world.run_until(1500.0)
    stored = {(number, serial) for _, number, serial in world.stored}
    wanted = {
        (number, f"S{(number - 1) % count}.{device}")
        for number in world.made_s
        for device in range(3)
    }
    assert {missing for _, missing in wanted - stored} == culprits
    assert max(at_s - world.made_s[number] for number, at_s in world.stored_s.items()) < 2.0
    assert world.shelf.parked_serials == culprits
    assert len(world.sent) < len(world.made_s) + 20
    assert sum(bool(culprits & set(sent.serials)) for sent in world.sent) < 8 + 6 * len(culprits)


@pytest.mark.parametrize(("count", "connections"), [(1, 1), (10, 4)])
def test_chance_failures_park_nobody(count: int, connections: int) -> None:
    """500 for one POST in ten, whatever is in it, for 10,000 measurements of three devices."""
    lots = random.Random(count)

    def answer(portal_id: str, serials: tuple[str, ...], now_s: float) -> Verdict:
        if lots.random() < 0.1:
            return all_owed(Outcome.FAILED, serials, "500")
        return takes_all(portal_id, serials, now_s)

    world = World(answer, connections=connections)
    until_s = 10_000 * INTERVAL_S / count
    fleet(world, count, until_s=until_s, devices=3)
    while world.now_s < until_s:
        world.run_until(world.now_s + 300.0)
        assert world.shelf.parked_serials == set()
    world.answer = takes_all
    world.run_until(until_s + 3600.0)
    assert_all_stored_once(world)
    assert len(world.made_s) == 10_000
    assert latencies(world)[9900] < 5.0


def test_what_is_live_is_sent_of_a_suspect_too() -> None:
    """The past of a device that the backend seems to fail on waits 10 s, its present never."""
    world = World(fails_on("B"))
    for at_s in (0.0, 5.0):
        world.at(at_s, lambda: world.measure("gx", "A", "B"))
    world.run_until(9.0)
    alone = [(sent.kind, sent.number) for sent in world.sent if sent.serials == ("B",)]
    assert alone == [(Kind.LIVE, 1), (Kind.LIVE, 2)]


def test_a_culprit_is_found_though_the_backend_fails_by_chance_too() -> None:
    """It takes some minutes more."""
    lots = random.Random(3)

    def answer(portal_id: str, serials: tuple[str, ...], now_s: float) -> Verdict:
        if "S0.1" in serials or lots.random() < 0.1:
            return all_owed(Outcome.FAILED, serials, "500")
        return takes_all(portal_id, serials, now_s)

    world = World(answer)
    fleet(world, 1, until_s=3600.0, devices=3)
    world.run_until(600.0)
    assert world.shelf.parked_serials == {"S0.1"}
    world.run_until(3700.0)
    assert world.shelf.parked_serials == {"S0.1"}


# --- anything at all -----------------------------------------------------------------------------


@st.composite
def weathers(draw: st.DrawFn) -> tuple[int, int, int, float]:
    """A seed, GX devices, connections, and the share of POSTs that go wrong."""
    return (
        draw(st.integers(0, 10_000)),
        draw(st.integers(1, 5)),
        draw(st.integers(1, 4)),
        draw(st.floats(0.0, 0.9)),
    )


TROUBLES = (
    Outcome.FAILED,
    Outcome.UNAVAILABLE,
    Outcome.UNREACHABLE,
    Outcome.OVERLOADED,
    Outcome.MISCONFIGURED,
    Outcome.KEY_REFUSED,
)


@settings(max_examples=60)
@given(weathers())
def test_whatever_happens_everything_is_stored_once_in_the_end(
    weather: tuple[int, int, int, float],
) -> None:
    """Troubles of each kind at random; then a day of good weather, and nothing is left."""
    seed, count, connections, share = weather
    lots = random.Random(seed)
    bad_until_s = 900.0

    def answer(portal_id: str, serials: tuple[str, ...], now_s: float) -> Verdict:
        if now_s > bad_until_s or lots.random() > share:
            return takes_all(portal_id, serials, now_s)
        if lots.random() < 0.6:
            return all_owed(lots.choice(TROUBLES), serials, "bad weather")
        kinds: list[DeviceFate] = [Fate.STORED, Fate.OWED, NOT_FOUND]
        return Verdict(Outcome.JUDGED, {s: lots.choice(kinds) for s in serials}, "some of it")

    world = World(answer, connections=connections, seed=seed)
    fleet(world, count, until_s=bad_until_s, devices=3)
    world.run_until(86_400.0)
    assert_all_stored_once(world)
    assert len(world.stored) == 3 * len(world.made_s)


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.sets(st.integers(0, 11), max_size=11))
def test_whoever_the_backend_fails_on_everybody_else_flows(seed: int, bad: set[int]) -> None:
    """Twelve devices of four GX devices: the healthy are stored within two intervals each time."""
    devices = [f"S{n}.{device}" for n in range(4) for device in range(3)]
    culprits = {devices[n] for n in bad}
    world = World(fails_on(*culprits), connections=2, seed=seed)
    fleet(world, 4, until_s=600.0, devices=3)
    world.run_until(660.0)
    stored = {(number, serial) for _, number, serial in world.stored}
    for number in world.made_s:
        gx = (number - 1) % 4
        for serial in {f"S{gx}.{device}" for device in range(3)} - culprits:
            assert (number, serial) in stored
    for number, at_s in world.stored_s.items():
        assert at_s - world.made_s[number] < 2 * INTERVAL_S
    assert world.shelf.parked_serials == culprits
    assert world.shelf.owed_count == 0
    # Fixed, they deliver all that is parked, each report once.
    world.answer = takes_all
    world.run_until(2 * 86_400.0)
    assert_all_stored_once(world)
    assert len(world.stored) == 3 * len(world.made_s)
