"""Tests when all is well, at the limits of each value that decides it."""

from typing import Any

import pytest

from mqtt_http_bridge.core.events import Moment
from mqtt_http_bridge.core.status.owed_ages import MOST_READ, SOON_S, OwedAges
from mqtt_http_bridge.core.status.problem import Kind
from mqtt_http_bridge.core.status.reasons import MOST_ALIKE
from mqtt_http_bridge.core.status.well import WAIT, well
from mqtt_http_bridge.core.views import (
    BackendView,
    GxDelivery,
    GxOwed,
    HeardBefore,
    OutboxView,
    ParkedView,
    RelayView,
    SiteView,
    StatusView,
    Unstored,
)
from tests.support.virtual import PORTAL, moment

NOW = moment(10_000.0)
STORED = GxDelivery(newest=8, tried=NOW, is_answered=True, stored=NOW)
SITE = SiteView(PORTAL, "barn", heard_s=10_000.0, chargers=(), measured_s=10_000.0)


def status(
    *,
    site: SiteView = SITE,
    delivery: GxDelivery = STORED,
    owed: GxOwed | None = None,
    interval_s: float = 30.0,
    **others: Any,
) -> StatusView:
    """A service that is well, but for what is given."""
    gx = {} if owed is None else {PORTAL: owed}
    return StatusView(
        version="1",
        started=moment(0.0),
        now=NOW,
        relay=RelayView(NOW, is_connected=True, sites=(site,)),
        backend=BackendView(moment=NOW, is_taking=True, gx={PORTAL: delivery}),
        outbox=OutboxView(gx=gx, looked_s=NOW.monotonic_s),
        interval_s=interval_s,
        **others,
    )


def kinds(found: StatusView) -> list[Kind]:
    """Returns why it is not well."""
    return [problem.kind for problem in well(found).problems]


def test_it_is_well() -> None:
    """The others here differ from this by one thing."""
    assert kinds(status()) == []


@pytest.mark.parametrize(("started_s", "text"), [(9_990.0, "yet: "), (0.0, "no answer yet")])
def test_a_service_that_has_just_started_misses_nothing(started_s: float, text: str) -> None:
    """Tells that it may be too early to say, in the first minute alone."""
    found = status()
    relay = found.relay._replace(is_connected=False)
    found = found._replace(relay=relay, started=moment(started_s))
    (problem,) = (p for p in well(found).problems if p.kind is Kind.NO_CONNECTION)
    assert text in problem.text
    assert ("just" in problem.text) is (started_s > 0.0)


def test_one_gx_that_is_heard_is_enough_of_a_connection() -> None:
    """Complains of nobody who was told of and never heard."""
    found = status()
    other = SITE._replace(portal_id="other", heard_s=-float("inf"))
    assert kinds(found._replace(relay=found.relay._replace(sites=(SITE, other)))) == []


def test_several_that_are_not_measured_are_one_problem() -> None:
    """Names them in one line, however long ago each was measured last."""
    found = status()
    sites = tuple(
        SITE._replace(portal_id=name, name=name, measured_s=10_000.0 - ago_s)
        for name, ago_s in (("barn", 100.0), ("roof", 400.0))
    )
    (problem,) = well(found._replace(relay=found.relay._replace(sites=sites))).problems
    assert problem.kind is Kind.GX_NOT_MEASURED
    assert "barn, roof" in problem.text


@pytest.mark.parametrize(("ago_s", "expected"), [(60.0, []), (60.1, [Kind.GX_SILENT])])
def test_heard_now(ago_s: float, expected: list[Kind]) -> None:
    """Within the last minute."""
    assert kinds(status(site=SITE._replace(heard_s=10_000.0 - ago_s))) == expected


def test_a_look_at_many_gx_devices_is_some_seconds_old() -> None:
    """They are looked at less often, and what was true then is no reason to complain now."""
    site = SITE._replace(measured_s=10_000.0 - 65.0)
    late = status(site=site)
    seen = late.relay._replace(moment=NOW.at(9_990.0))
    assert kinds(late._replace(relay=seen)) == [Kind.GX_NOT_MEASURED]
    many = tuple(site._replace(portal_id=f"gx{n}") for n in range(1000))
    assert kinds(late._replace(relay=seen._replace(sites=many))) == []
    old = seen._replace(sites=many, moment=NOW.at(100.0))
    assert Kind.GX_NOT_MEASURED not in kinds(late._replace(relay=old))
    far = tuple(each._replace(measured_s=9_890.0) for each in many)
    assert kinds(late._replace(relay=old._replace(sites=far))) == [Kind.GX_NOT_MEASURED]


@pytest.mark.parametrize(
    ("interval_s", "ago_s", "expected"),
    [
        (30.0, 60.0, []),
        (30.0, 60.1, [Kind.GX_NOT_MEASURED]),
        (300.0, 600.0, []),
        (1.0, 10.0, []),
        (1.0, 10.1, [Kind.GX_NOT_MEASURED]),
        (30.0, float("inf"), [Kind.GX_NOT_MEASURED]),
    ],
)
def test_measured_within_two_intervals(
    interval_s: float, ago_s: float, expected: list[Kind]
) -> None:
    """But not sooner than a GX may be silent without being measured."""
    site = SITE._replace(measured_s=10_000.0 - ago_s)
    assert kinds(status(site=site, interval_s=interval_s)) == expected


@pytest.mark.parametrize(
    ("interval_s", "age_s", "expected"),
    [
        (30.0, 120.0, []),
        (30.0, 120.1, [Kind.OWED_FOR_LONG]),
        (1.0, 120.0, []),
        (60.0, 180.0, []),
        (60.0, 180.1, [Kind.OWED_FOR_LONG]),
    ],
)
def test_what_waits(interval_s: float, age_s: float, expected: list[Kind]) -> None:
    """For the larger of three intervals and two minutes."""
    owed = GxOwed(waiting=3, newest=8, since_s=10_000.0 - age_s)
    assert kinds(status(owed=owed, interval_s=interval_s)) == expected


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (1, "barn: 1 measurement has waited for 3 min"),
        (2, "barn: 2 measurements wait, the oldest for 3 min"),
    ],
)
def test_one_that_waits_is_told_as_one(count: int, text: str) -> None:
    """It is the oldest of itself."""
    owed = GxOwed(waiting=count, newest=8, since_s=10_000.0 - 181.0)
    (problem,) = well(status(owed=owed)).problems
    assert problem.text == text


@pytest.mark.parametrize(("age_s", "expected"), [(120.0, []), (120.1, [Kind.PARKED])])
def test_what_is_set_aside(age_s: float, expected: list[Kind]) -> None:
    """The same for what a person has to fix: one odd report of a device that is stored."""
    parked = ParkedView("A", 1, "kwh: not a number", "ask", since_s=10_000.0 - age_s)
    assert kinds(status(owed=GxOwed(parked=(parked,)))) == expected


def test_what_is_refused_is_told_at_once() -> None:
    """The newest is not stored, so nobody waits for two minutes; it is told once."""
    why = Unstored("Device A not found", "register it", is_refused=True)
    delivery = STORED._replace(unstored={"A": why})
    parked = ParkedView("A", 1, "Device A not found", "register it", since_s=9_999.0)
    (problem,) = well(status(delivery=delivery, owed=GxOwed(parked=(parked,)))).problems
    assert problem.text == "barn: 1 report of A is parked: Device A not found"
    assert problem.fix == "register it, then run: outbox retry"
    # Something else is owed in the same entry: so it is not parked yet.
    (problem,) = well(status(delivery=delivery, owed=GxOwed(1, 8, 9_999.0))).problems
    assert problem.text == "barn: readings of A are not stored: Device A not found"


@pytest.mark.parametrize(("age_s", "expected"), [(60.0, []), (60.1, [Kind.NOT_STORED])])
def test_what_is_on_its_way(age_s: float, expected: list[Kind]) -> None:
    """Two intervals are given to a newer one that nobody has answered yet."""
    delivery = STORED._replace(stored=NOW.at(10_000.0 - age_s))
    owed = GxOwed(waiting=2, newest=9, since_s=10_000.0 - age_s)
    assert kinds(status(delivery=delivery, owed=owed)) == expected


def test_what_is_on_its_way_after_a_silence() -> None:
    """The last was stored long ago: what counts is since when there is more."""
    delivery = STORED._replace(stored=NOW.at(100.0))
    assert kinds(status(delivery=delivery, owed=GxOwed(1, 9, 9_999.0))) == []


def test_the_past_is_not_on_its_way() -> None:
    """A short backlog beside a newest that is stored, be it stored long ago, or a moment ago."""
    delivery = STORED._replace(stored=NOW.at(9_900.0))
    assert kinds(status(delivery=delivery, owed=GxOwed(1, 3, 9_900.0))) == []
    delivery = STORED._replace(stored=NOW.at(9_990.0))
    assert kinds(status(delivery=delivery, owed=GxOwed(2, 9, 9_890.0))) == []


@pytest.mark.parametrize(("remedy", "fix"), [("correct the URL", "correct the URL"), ("", WAIT)])
def test_what_the_backend_said_of_others_comes_with_its_remedy(remedy: str, fix: str) -> None:
    """A newer measurement waits behind a setting to be fixed, or behind what passes by itself."""
    found = status(owed=GxOwed(2, 9, 9_900.0))
    backend = found.backend._replace(is_taking=False, reason="it answered 404", remedy=remedy)
    delivery = STORED._replace(stored=NOW.at(9_900.0))
    found = found._replace(backend=backend._replace(gx={PORTAL: delivery}))
    (problem,) = well(found).problems
    assert problem.kind is Kind.BACKEND_TAKES_NOTHING
    assert "it answered 404" in problem.text
    assert problem.fix == fix


def test_a_view_of_the_outbox_from_before_the_answer() -> None:
    """It is some seconds old, and still shows what is stored by now."""
    assert kinds(status(owed=GxOwed(1, 8, 9_930.0))) == []


def test_what_nobody_owes_any_more() -> None:
    """A person has dropped what was not stored, and at night there is nothing newer."""
    delivery = GxDelivery(newest=8, tried=NOW.at(9_990.0), unstored={"A": Unstored("500")})
    assert kinds(status(delivery=delivery)) == []
    late = delivery._replace(tried=NOW)
    assert kinds(status(delivery=late)) == [Kind.BACKEND_TAKES_NOTHING]


def test_a_gx_that_has_left_measurements_was_heard() -> None:
    """So it counts, though this process has not heard it."""
    site = SITE._replace(heard_s=-float("inf"), measured_s=-float("inf"))
    assert kinds(status(site=site)) == [Kind.GX_SILENT]
    assert len(well(status(site=site)).gx) == 0
    (gx,) = well(status(site=site, owed=GxOwed(1, 9, 9_999.0))).gx
    assert not gx.is_well


def test_a_gx_that_is_heard_again_after_the_start() -> None:
    """It is one GX, and well."""
    before = HeardBefore(PORTAL, "barn", NOW.utc.timestamp() - 60.0)
    found = well(status(heard_before=(before,)))
    assert (len(found.gx), found.is_well) == (1, True)


def test_a_gx_is_forgotten_only_while_another_is_heard() -> None:
    """As the relay does it: the only one there is stays missed."""
    before = HeardBefore("c0619ab35133", "roof", NOW.utc.timestamp() - 90_000.0)
    assert kinds(status(heard_before=(before,))) == []
    silent = SITE._replace(heard_s=100.0)
    found = well(status(site=silent, heard_before=(before,)))
    assert [gx.name for gx in found.gx] == ["barn", "roof"]


def test_what_is_not_sent_yet_has_the_remedy_of_what_was_sent_last() -> None:
    """A backend that has answered nothing has a remedy of its own; without one, it is to wait."""
    delivery = STORED._replace(stored=NOW.at(9_900.0))
    found = status(delivery=delivery, owed=GxOwed(2, 9, 9_900.0))
    down = found.backend._replace(is_taking=False, reason="no connection", remedy="is it up?")
    (problem,) = well(found._replace(backend=down)).problems
    assert (problem.kind, problem.fix) == (Kind.BACKEND_TAKES_NOTHING, "is it up?")
    (problem,) = well(found._replace(backend=down._replace(is_taking=True))).problems
    assert (problem.kind, problem.fix) == (Kind.NOT_STORED, WAIT)


def test_a_thousand_gx_devices_with_one_trouble_are_told_in_one_line() -> None:
    """With how many they are, how much waits and since when."""
    names = [f"gx{number:03}" for number in range(1000)]
    delivery = GxDelivery(newest=8, tried=NOW, unstored={"A": Unstored("Connection refused")})
    owed = dict.fromkeys(names, GxOwed(4, 8, 9_900.0)) | {"gx500": GxOwed(4, 8, 9_000.0)}
    one = status()
    found = well(
        one._replace(
            relay=one.relay._replace(
                sites=tuple(SITE._replace(portal_id=n, name=n) for n in names)
            ),
            backend=one.backend._replace(gx=dict.fromkeys(names, delivery)),
            outbox=one.outbox._replace(gx=owed),
        )
    )
    (problem,) = found.problems
    assert problem.text == (
        "gx000, gx001, gx002 and 997 more: the newest measurement is not stored: Connection"
        " refused: 4000 measurements wait, the oldest for 17 min"
    )
    assert [gx.is_well for gx in found.gx] == [False] * 1000


def test_no_more_of_a_kind_than_a_few() -> None:
    """The others are counted."""
    parked = tuple(ParkedView(f"S{n}", 1, f"no S{n}", "register it", 0.0) for n in range(50))
    found = well(status(owed=GxOwed(parked=parked))).problems
    assert len(found) == MOST_ALIKE + 1
    assert found[-1].text == "and 40 more of this kind"


# --- how old what is owed is ----------------------------------------------------------------------


class Shelf:
    """The times of entries, and how often they were read."""

    def __init__(self, now: Moment) -> None:
        self.read: list[int] = []
        self._now = now

    def timestamp(self, place: str, number: int) -> str | None:
        """Entry 1 was made a second after the start, and so on."""
        self.read.append(number)
        return self._now.at(float(number)).utc.isoformat()


def test_what_was_there_before_is_read_once() -> None:
    """Its age is that of its text, also where that is older than the process."""
    now, shelf = moment(100.0), Shelf(moment(100.0))
    ages: OwedAges[str] = OwedAges(moment(90.0), 50)
    for _ in range(3):
        assert ages.look(now, {"a": 7}, 50, shelf.timestamp) == {"a": 7.0}
    assert shelf.read == [7]


def test_what_is_new_is_not_read() -> None:
    """It has come since the last look; if that was long ago, it is read all the same."""
    shelf = Shelf(moment(100.0))
    ages: OwedAges[str] = OwedAges(moment(90.0), 50)
    assert ages.look(moment(95.0), {"a": 51}, 51, shelf.timestamp) == {"a": 95.0}
    assert ages.look(moment(96.0), {"a": 51, "b": 52}, 52, shelf.timestamp) == {
        "a": 95.0,
        "b": 96.0,
    }
    assert shelf.read == []
    late = moment(96.0 + SOON_S + 0.1)
    assert ages.look(late, {"c": 70}, 70, shelf.timestamp)["c"] == 70.0


def test_only_a_few_are_read_at_a_look() -> None:
    """An age not read yet counts as that of the oldest before it, and is read next."""
    now, shelf = moment(1000.0), Shelf(moment(1000.0))
    ages: OwedAges[str] = OwedAges(moment(900.0), 500)
    oldest = {f"gx{n}": 10 + n for n in range(MOST_READ + 2)}
    found = ages.look(now, oldest, 500, shelf.timestamp)
    assert len(shelf.read) == MOST_READ
    assert found[f"gx{MOST_READ}"] == 900.0
    later = {place: number + 100 for place, number in oldest.items()}
    found = ages.look(now, later, 500, shelf.timestamp)
    assert shelf.read[MOST_READ:][:2] == [later[f"gx{MOST_READ}"], later[f"gx{MOST_READ + 1}"]]
    assert found["gx0"] == float(later["gx0"])
    assert found[f"gx{MOST_READ - 1}"] == float(oldest[f"gx{MOST_READ - 1}"])
    found = ages.look(now, later, 500, shelf.timestamp)
    assert found == {place: float(number) for place, number in later.items()}


@pytest.mark.parametrize("text", [None, "", "soon", "2026-13-01T00:00:00"])
def test_a_time_that_cannot_be_read(text: str | None) -> None:
    """It counts from the start."""
    ages: OwedAges[str] = OwedAges(moment(90.0), 50)
    assert ages.look(moment(100.0), {"a": 7}, 50, lambda place, number: text) == {"a": 90.0}


def test_a_time_in_the_future_is_now() -> None:
    """A clock was wrong; nothing is owed since tomorrow."""
    ages: OwedAges[str] = OwedAges(moment(90.0), 50)
    tomorrow = moment(86_500.0).utc.isoformat()
    assert ages.look(moment(100.0), {"a": 7}, 50, lambda *_: tomorrow) == {"a": 100.0}
