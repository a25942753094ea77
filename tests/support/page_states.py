"""Makes fourteen states of a service, and more, as values: use them to test the status page.

Each is played (`tests.support.played`) up to the moment at which it is shown, and served by the
real server, through the real documents; only what happens is made up.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import Final

from mqtt_http_bridge.adapters.outbox.losses import NO_ROOM, with_loss
from mqtt_http_bridge.adapters.status_page import StatusServer
from mqtt_http_bridge.app.status_sources import StatusSources
from mqtt_http_bridge.core.delivery.answers import NotSent
from mqtt_http_bridge.core.status.changes import Change, Tone
from mqtt_http_bridge.core.status.history import History, HistoryView
from mqtt_http_bridge.core.views import ChargerView, Loss, StatusView
from tests.support.played import Plant, Played, refusing
from tests.support.sunny_day import (
    BARN,
    CARPORT,
    EVENING_S,
    NOON_S,
    PORTAL,
    SOUTH,
    THREE,
    ZONE,
    Roof,
    at,
    history_of,
)

__all__ = ["BARN", "CARPORT", "EVENING_S", "NOON_S", "PORTAL", "SOUTH", "THREE", "ZONE", "at"]
STARTED_S: Final = NOON_S - 187_000.0
"""The service was started two days before."""
EVIL: Final = '<img src=x onerror="document.title=1"><script>document.title=2</script>'


@dataclass
class State:
    """Holds how a service stands."""

    status: StatusView
    history: HistoryView
    changes: Sequence[Change] = ()
    verdict: str = "All is well"
    shows: tuple[str, ...] = ()
    """Texts that are to be read."""
    is_gone: bool = False
    """The service stops once it has been shown."""
    recent: HistoryView = field(init=False)

    def __post_init__(self) -> None:
        self.recent = self.history


def played(
    plants: Sequence[Plant],
    until_s: float = NOON_S,
    minutes: float = 10.0,
    says: Callable[[Roof, float], Mapping[str, object]] = Roof.sayings,
    *,
    history: History | None = None,
) -> Played:
    """A service that has been connected for so long at `until_s`, and was 3 s before measured last.

    What was measured before is reckoned, unless a `history` is given.
    """
    begins_s = until_s - 60.0 * minutes - 3.0
    roofs = [roof for plant in plants for roof in plant.roofs]
    play = Played(plants, begins_s, history or history_of(roofs, begins_s - 1.0))
    play.says = says
    play.begin()
    return play


def ended(play: Played, until_s: float = NOON_S) -> Played:
    """Plays it to its end, one second after everything was said."""
    play.until(until_s - 1.0)
    play.let(1.0)
    return play


def home(roofs: Sequence[Roof] = THREE) -> Plant:
    """One GX with these chargers."""
    return Plant(PORTAL, "Home", roofs)


def plant(seconds: float, roofs: Sequence[Roof] = THREE) -> StatusView:
    """A service with these chargers on one GX, which is well."""
    return ended(played([home(roofs)], seconds), seconds).status(seconds - STARTED_S)


def state_of(
    play: Played,
    verdict: str = "All is well",
    shows: tuple[str, ...] = (),
    changes: Sequence[Change] | None = None,
) -> State:
    """Makes the state that a service was played to."""
    told = LAST_NIGHT if changes is None else changes
    return State(play.status(play.day_s - STARTED_S), play.history.view(), told, verdict, shows)


def with_chargers(status: StatusView, *chargers: ChargerView) -> StatusView:
    """The same with other chargers on the first GX."""
    (first, *others) = status.relay.sites
    sites = (first._replace(chargers=chargers), *others)
    return status._replace(relay=status.relay._replace(sites=sites))


_SOUTH_WORDS: Final = (
    "Home: charger solarcharger/277 'South roof' (SmartSolar Charger MPPT 150/35, HQ2208AXN7V)"
)
LAST_NIGHT: Final = (
    Change(at(STARTED_S).utc.timestamp(), "the service was started, version 1.0.0"),
    Change(at(STARTED_S + 60.0).utc.timestamp(), "the backend stores measurements", Tone.GOOD),
    Change(at(9_000).utc.timestamp(), "the clock of this machine was set by +4 s"),
    Change(
        at(11_520).utc.timestamp(),
        f"{_SOUTH_WORDS} is lost: reported as not reachable",
        count=4,
        first=at(10_000).utc.timestamp(),
    ),
    Change(at(11_700).utc.timestamp(), f"{_SOUTH_WORDS} is measured", Tone.GOOD),
    Change(
        at(18_000).utc.timestamp(),
        "not delivered, kept in the outbox: the backend answered 503",
        Tone.WARNING,
    ),
    Change(at(21_600).utc.timestamp(), "the backend stores measurements again", Tone.GOOD),
    Change(
        at(21_660).utc.timestamp(),
        "all that waited is delivered: 121 measurements at the most",
        Tone.GOOD,
    ),
)


# --- the states -----------------------------------------------------------------------------------


def one_by_day() -> State:
    """One charger, all is well."""
    play = ended(played([home([SOUTH])]))
    return state_of(play, shows=("South roof", "since midnight"))


def three_by_day() -> State:
    """Three chargers on one GX, one of which was left out for more than an hour."""
    known = history_of(
        THREE, NOON_S - 610, holes=lambda roof, t: roof is CARPORT and 36_000 < t < 41_000
    )
    return state_of(ended(played([home()], history=known)), shows=("kW", "MWh", "Barn east"))


def night() -> State:
    """No sun: calm, not red."""
    play = ended(played([home()], EVENING_S), EVENING_S)
    return state_of(play, shows=("every charger is asleep",))


def starting() -> State:
    """The service has just started, and nothing is known."""
    play = Played([], NOON_S - 4.0)
    play.let(4.0)
    return State(play.status(4.0), play.history.view(), (), "Starting …", ("just started",))


def young() -> State:
    """Some minutes after the first start."""
    play = Played([home()], NOON_S - 543.0, History(60))
    play.begin()
    status = ended(play).status(560.0)
    changes = [replace(each, at=at(NOON_S - 560).utc.timestamp()) for each in LAST_NIGHT[:2]]
    return State(status, play.history.view(), changes, shows=("since 14:2",))


def no_broker() -> State:
    """The connection to the GX was lost twenty minutes ago."""
    play = played([home()], minutes=30.0)
    play.until(NOON_S - 1200.0)
    play.disconnect()
    return state_of(ended(play), "Not well", ("no connection", "To fix it", "the GX is not heard"))


def silent_gx() -> State:
    """The broker is there, and the GX says nothing."""
    plant = home()
    play = played([plant], minutes=40.0)
    play.until(NOON_S - 1900.0)
    plant.is_silent = True
    return state_of(ended(play), "Not well", ("not measuring", "unknown"))


def backend_down() -> State:
    """Three hours' measurements wait, as the backend gives no answer."""
    play = played([home()], minutes=191.0)
    play.until(NOON_S - 10_840.0)
    refused = NotSent("Connection refused", "is backend.url right, and does the server run?")
    play.answer_to = lambda measurement: refused
    shows = ("362", "kB", "takes nothing", "Connection refused")
    return state_of(ended(play), "Not well", shows)


def set_aside() -> State:
    """The backend does not know one charger: its readings are parked."""
    play = played([home()], minutes=70.0)
    play.until(NOON_S - 3615.0)
    said = f"Device {CARPORT.serial} not found"
    play.answer_to = partial(refusing, {CARPORT.serial: said})
    shows = (
        "Carport",
        "register it at the backend",
        f"not stored: {said}",
        "answers, and has not stored",
        "reports of 1 charger are parked",
    )
    return state_of(ended(play), "Not well: one thing is wrong", shows)


def left_out() -> State:
    """One charger does not tell its total, and another has told the same for an hour and more."""
    stopped_s = 13.0 * 3600 + 120.0

    def says(roof: Roof, seconds: float) -> Mapping[str, object]:
        if roof is SOUTH:
            return {**roof.sayings(seconds), "Yield/System": None}
        return roof.sayings(min(seconds, stopped_s) if roof is BARN else seconds)

    known = history_of([BARN, CARPORT], NOON_S - 6000.0)
    play = ended(played([home()], minutes=98.0, says=says, history=known))
    shows = ("/Yield/System is null", "To fix it", "has been stuck since 13:02:", "South roof")
    return state_of(play, "All is stored, but look at this", shows)


def lost_charger() -> State:
    """The GX lost one two hours ago."""

    def says(roof: Roof, seconds: float) -> Mapping[str, object]:
        is_there = roof is not CARPORT or seconds < NOON_S - 7500.0
        return roof.sayings(seconds) if is_there else {}

    play = ended(played([home()], minutes=130.0, says=says))
    shows = ("1 charger lost", "off the bus", "2\u202fh ago")
    return state_of(play, "All is stored, but look at this", shows)


def many_roofs(count: int) -> list[Roof]:
    """So many chargers, of which some are on the same roof."""
    names = ("South roof", "Barn", "Carport", "East wing")
    return [
        Roof(
            n % 4 + 270,
            f"HQ22{n:03}ABCD",
            f"{names[n % 4]} {n // 4 + 1}",
            peak_w=600.0 + 37.0 * (n % 50),
            shift=(n % 7 - 3) / 10,
            total_kwh=800.0 + 11.0 * n,
        )
        for n in range(count)
    ]


@cache
def _many(count: int, per_gx: int) -> tuple[StatusView, HistoryView]:
    roofs = [replace(roof, instance=n % per_gx + 270) for n, roof in enumerate(many_roofs(count))]
    plants = [
        Plant(f"c0619ab{n // per_gx:05}", f"Plant {n // per_gx + 1}", roofs[n : n + per_gx])
        for n in range(0, count, per_gx)
    ]

    def says(roof: Roof, seconds: float) -> Mapping[str, object]:
        said = roof.sayings(seconds)
        return {**said, "Yield/Power": None} if roof is roofs[18] else said

    play = played(plants, minutes=5.0, says=says)
    play.until(NOON_S - 150.0)
    if len(plants) > 30:
        plants[30].is_silent = True
    return ended(play).status(NOON_S - STARTED_S), play.history.view()


def many(count: int = 200, per_gx: int = 4) -> State:
    """Fifty GX devices with four chargers each; two have something wrong."""
    status, history = _many(count, per_gx)
    is_bad = len(status.relay.sites) > 30
    verdict = "Not well: one thing is wrong" if is_bad else "All is stored, but look"
    return State(status, history, LAST_NIGHT, verdict, ("Plant", "MWh", "1 left out"))


def thirteen() -> State:
    """One GX with one charger more than there are tiles."""
    roofs = [replace(roof, instance=n) for n, roof in enumerate(many_roofs(13))]
    return state_of(ended(played([home(roofs)])), shows=("13 producing", "today 3.37"))


def bad_disk() -> State:
    """The disk refuses, the backend was away for a minute, and there was no room last night."""
    play = played([home()])
    play.until(NOON_S - 110.0)
    refused = NotSent("Connection refused", "is backend.url right, and does the server run?")
    normal, play.answer_to = play.answer_to, lambda measurement: refused
    play.until(NOON_S - 20.0)
    play.answer_to = normal
    state = state_of(
        ended(play),
        "Measurements were given up",
        (
            "3 measurements are in memory only: No space left on device",
            "312 measurements were given up, the last of Sat 20 Jun 22:59: no room",
            "given up until Sat 20 Jun 22:59",
            "damaged",
        ),
    )
    lost: tuple[Loss, ...] = ()
    for n in range(312):
        lost = with_loss(lost, at(-12_960.0 + 30.0 * n).utc.isoformat(), NO_ROOM)
    outbox = state.status.outbox._replace(
        in_memory=state.status.outbox.waiting,
        damaged=2,
        fault="No space left on device",
        hours_of_room=0.0,
        lost=lost,
    )
    state.status = state.status._replace(outbox=outbox)
    return state


def over() -> State:
    """A recording was played to its end."""
    state = state_of(ended(played([home()])), "The recording is over", changes=())
    state.status = state.status._replace(is_over=True)
    state.shows = ("as it was at the end, at 14:30",)
    return state


def hostile() -> State:
    """Names that try everything, and are nothing but names."""
    roofs = [
        replace(SOUTH, name=EVIL),
        replace(BARN, name="AVeryLongNameWithoutAnyBlankInIt" * 6, product=EVIL),
        replace(
            CARPORT, name="\u202etfel ot thgir\u202c \U0001f31e", trackers=(EVIL, "constructor")
        ),
        replace(SOUTH, instance=3, serial="__proto__", name="hasOwnProperty"),
    ]
    changes = [*LAST_NIGHT, Change(at(NOON_S).utc.timestamp(), EVIL, Tone.WARNING)]
    play = ended(played([Plant(PORTAL, EVIL, roofs)]))
    return state_of(play, shows=("onerror", "constructor"), changes=changes)


def no_charger() -> State:
    """A GX without any."""
    play = ended(played([home([])], history=History(60)))
    return state_of(play, shows=("There is no charger to report",), changes=LAST_NIGHT[:1])


def gone() -> State:
    """The service ends while somebody looks."""
    state = three_by_day()
    state.is_gone, state.verdict, state.shows = True, "No answer", ("what is shown is old",)
    return state


STATES: Final[tuple[Callable[[], State], ...]] = (
    one_by_day,
    three_by_day,
    night,
    starting,
    young,
    no_broker,
    silent_gx,
    backend_down,
    set_aside,
    left_out,
    lost_charger,
    many,
    thirteen,
    bad_disk,
    over,
    hostile,
    no_charger,
    gone,
)


@dataclass
class Served:
    """A state that is served, and may become another one."""

    url: str
    state: State
    server: StatusServer


@contextmanager
def serving(state: State, port: int = 0) -> Iterator[Served]:
    """Within this a state is served; port 0 takes a free one."""
    served = Served("", state, None)  # type: ignore[arg-type]

    def history(*, is_recent: bool) -> HistoryView:
        return served.state.recent if is_recent else served.state.history

    sources = StatusSources(
        lambda: served.state.status, history, lambda: tuple(served.state.changes)
    )
    served.server = StatusServer(("127.0.0.1", port), sources.resources())
    served.server.start()
    served.url = served.server.url
    try:
        yield served
    finally:
        served.server.stop()
