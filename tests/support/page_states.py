"""Fourteen states of a service, and more, as values: use them for what the status page shows.

They are served by the real server, through the real documents; only what happened is made up.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from types import MappingProxyType
from typing import Final

from mqtt_http_bridge.adapters.status_page import StatusServer
from mqtt_http_bridge.app.status_sources import StatusSources
from mqtt_http_bridge.core.broker_failure import BrokerFailure, Cause
from mqtt_http_bridge.core.events import Moment
from mqtt_http_bridge.core.measurement import DeviceReport, Measurement, TrackerReport
from mqtt_http_bridge.core.omission import Cause as Why
from mqtt_http_bridge.core.omission import Omission, Remark
from mqtt_http_bridge.core.status.changes import Change, Tone
from mqtt_http_bridge.core.status.history import History, HistoryView
from mqtt_http_bridge.core.venus.readings import ChargerKey
from mqtt_http_bridge.core.views import (
    BackendView,
    ChargerView,
    DeviceResult,
    DeviceVerdict,
    GxDelivery,
    GxOwed,
    Loss,
    OutboxView,
    ParkedView,
    RelayView,
    SiteView,
    StatusView,
    Unstored,
)

ZONE: Final = "Europe/Berlin"
DAWN: Final = datetime(2026, 6, 20, 22, 0, tzinfo=UTC)
"""Midnight there."""
NOON_S: Final = 14.5 * 3600
EVENING_S: Final = 22.9 * 3600
PORTAL: Final = "c0619ab2f7e1"
STEP_S: Final = 240
EVIL: Final = '<img src=x onerror="document.title=1"><script>document.title=2</script>'


def at(seconds: float) -> Moment:
    """A moment of that day; the service has run for two days."""
    return Moment(200_000.0 + seconds, DAWN + timedelta(seconds=seconds))


CLOUDS: Final = (
    (0.31, 0.008, 0.35),
    (0.44, 0.012, 0.55),
    (0.475, 0.006, 0.3),
    (0.545, 0.02, 0.6),
    (0.7, 0.03, 0.25),
    (0.78, 0.01, 0.4),
)
"""Their time, length and thickness, as shares of the day and of the sun."""


@cache
def sun_w(seconds: float, peak_w: float, shift: float = 0.0) -> float:
    """Reckons the yield of a roof at a time of the day: a bell with some clouds."""
    share = (seconds - (5.2 + shift) * 3600) / (15.6 * 3600)
    if not 0.0 < share < 1.0:
        return 0.0
    clouds = sum(
        depth * math.exp(-(((share - middle - peak_w % 7 / 900) / width) ** 2))
        for middle, width, depth in CLOUDS
    )
    return float(round(peak_w * math.sin(math.pi * share) ** 1.4 * max(1.0 - clouds, 0.12), 1))


@dataclass(frozen=True)
class Roof:
    """One charger, as it stands on a sunny day."""

    instance: int
    serial: str
    name: str
    product: str = "SmartSolar Charger MPPT 150/35"
    peak_w: float = 1400.0
    shift: float = 0.0
    total_kwh: float = 1274.25
    trackers: tuple[str, ...] = ("PV",)

    def report(self, seconds: float) -> DeviceReport:
        """Makes the report of it at a time of the day."""
        power_w = sun_w(seconds, self.peak_w, self.shift)
        grown_kwh = sum(
            sun_w(t, self.peak_w, self.shift) * STEP_S / 3.6e6
            for t in range(0, int(max(0.0, seconds)), STEP_S)
        )
        share = power_w / len(self.trackers)
        volts, more = (62.5, 11.3) if power_w else (0.3, 0.2)
        return DeviceReport(
            device_instance=self.instance,
            serial=self.serial,
            name=self.name,
            product_name=self.product,
            reachable=True,
            producing=power_w > 0.0,
            last_update_s=int(at(seconds).utc.timestamp()),
            yield_power_w=power_w,
            yield_total_kwh=round(self.total_kwh + grown_kwh, 2),
            trackers=tuple(
                TrackerReport(n, name, volts + more * n, share)
                for n, name in enumerate(self.trackers)
            ),
        )

    def view(self, seconds: float, **changes: object) -> ChargerView:
        """Makes the view of it."""
        report = self.report(seconds)
        view = ChargerView(
            key=ChargerKey("solarcharger", self.instance),
            serial=self.serial,
            name=self.name,
            is_on_bus=True,
            state=3 if report.producing else 0,
            heard_s=at(seconds).monotonic_s - 1.0,
            report=report,
            power_w=report.yield_power_w,
            total_kwh=report.yield_total_kwh,
        )
        return replace(view, **changes)  # type: ignore[arg-type]


SOUTH = Roof(277, "HQ2208AXN7V", "South roof", peak_w=2100.0)
BARN = Roof(
    0,
    "1234567 HQ2233RS45X",
    "Barn",
    "SmartSolar MPPT RS 450/200",
    peak_w=5200.0,
    shift=0.6,
    total_kwh=18_312.4,
    trackers=("Barn east", "Barn west", "Shed"),
)
CARPORT = Roof(289, "HQ2211CCCC3", "Carport", "SmartSolar MPPT 100/20 48V", 640.0, -0.3, 9.02)
THREE = (SOUTH, BARN, CARPORT)


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


def history_of(
    roofs: Sequence[Roof],
    until_s: float,
    from_s: float = -9.5 * 3600,
    holes: Callable[[Roof, float], bool] = lambda roof, seconds: False,
) -> History:
    """Measures from one time of the day to another; nothing where there is a hole."""
    history = History(STEP_S)
    powers = {roof.serial: roof.total_kwh for roof in roofs}
    for seconds in range(int(from_s), int(until_s) + 1, STEP_S):
        devices = []
        for roof in roofs:
            power_w = sun_w(seconds % 86_400, roof.peak_w, roof.shift)
            powers[roof.serial] += power_w * STEP_S / 3.6e6 if seconds > 0 else 0.0
            if not holes(roof, seconds):
                report = replace(SOUTH.report(0), serial=roof.serial, yield_power_w=power_w)
                devices.append(replace(report, yield_total_kwh=round(powers[roof.serial], 2)))
        history.add(Measurement(at(seconds).utc, PORTAL, tuple(devices)))
    return history


def stored_all(now: Moment, chargers: Sequence[ChargerView], ago_s: float = 3.0) -> GxDelivery:
    """The backend has stored what was measured some seconds ago."""
    moment = now.at(now.monotonic_s - ago_s)
    verdict = DeviceVerdict(DeviceResult.STORED, moment, stored=moment, number=8)
    return GxDelivery(
        newest=8,
        tried=moment,
        is_answered=True,
        stored=moment,
        stored_timestamp=moment.utc.isoformat(),
        devices=MappingProxyType({c.serial: verdict for c in chargers if c.serial}),
    )


def service(now: Moment, sites: Sequence[SiteView], **changes: object) -> StatusView:
    """A service that is well."""
    gx = {site.portal_id: stored_all(now, site.chargers) for site in sites}
    status = StatusView(
        version="1.0.0",
        started=now.at(now.monotonic_s - 187_000.0),
        now=now,
        relay=RelayView(now, is_connected=True, sites=tuple(sites), measurements=6233),
        backend=BackendView(
            moment=now.at(now.monotonic_s - 3.0),
            is_taking=True,
            status=201,
            results=MappingProxyType({"stored": 6230, "partly": 0, "failed": 3}),
            gx=MappingProxyType(gx),
        ),
        outbox=OutboxView(hours_of_room=812.0, looked_s=now.monotonic_s),
    )
    return replace(status, **changes)  # type: ignore[arg-type]


def site(
    now: Moment, chargers: Sequence[ChargerView], portal_id: str = PORTAL, name: str = ""
) -> SiteView:
    """A GX that is heard and measured."""
    heard_s = now.monotonic_s - 1.0
    return SiteView(portal_id, name or portal_id, heard_s, tuple(chargers), heard_s - 3.0)


def plant(seconds: float, roofs: Sequence[Roof] = THREE) -> StatusView:
    """A service with these chargers on one GX, which is well."""
    now = at(seconds)
    return service(now, [site(now, [roof.view(seconds) for roof in roofs], name="Home")])


def with_chargers(status: StatusView, *chargers: ChargerView) -> StatusView:
    """The same with other chargers on the first GX."""
    (first, *others) = status.relay.sites
    sites = (replace(first, chargers=chargers), *others)
    return replace(status, relay=replace(status.relay, sites=sites))


def with_delivery(status: StatusView, **changes: object) -> StatusView:
    """The same with something else come of what the first GX measured."""
    portal_id = status.relay.sites[0].portal_id
    delivery = replace(status.backend.gx[portal_id], **changes)  # type: ignore[arg-type]
    return replace(
        status,
        backend=replace(
            status.backend, gx=MappingProxyType({**status.backend.gx, portal_id: delivery})
        ),
    )


LAST_NIGHT: Final = (
    Change(at(-7_000).utc.timestamp(), "the service was started, version 1.0.0"),
    Change(at(-6_900).utc.timestamp(), "the backend takes measurements", Tone.GOOD),
    Change(at(9_000).utc.timestamp(), "the clock of this machine was set by +4 s"),
    Change(
        at(11_520).utc.timestamp(),
        "Home: charger solarcharger/277 'South roof' is lost: reported as not reachable",
        count=4,
        first=at(10_000).utc.timestamp(),
    ),
    Change(
        at(11_700).utc.timestamp(),
        "Home: charger solarcharger/277 'South roof' is measured",
        Tone.GOOD,
    ),
    Change(
        at(18_000).utc.timestamp(),
        "not delivered, kept in the outbox: HTTP 503 Service Unavailable",
        Tone.WARNING,
    ),
    Change(at(21_600).utc.timestamp(), "the backend takes measurements again", Tone.GOOD),
    Change(
        at(21_660).utc.timestamp(),
        "all that waited is delivered: 121 measurements at the most",
        Tone.GOOD,
    ),
)


# --- the states -----------------------------------------------------------------------------------


def one_by_day() -> State:
    """One charger, all is well."""
    history = history_of([SOUTH], NOON_S).view()
    return State(
        plant(NOON_S, [SOUTH]), history, LAST_NIGHT, shows=("South roof", "since midnight")
    )


def three_by_day() -> State:
    """Three chargers on one GX, one of which was away for an hour."""
    history = history_of(
        THREE, NOON_S, holes=lambda roof, t: roof is CARPORT and 36_000 < t < 41_000
    )
    return State(plant(NOON_S), history.view(), LAST_NIGHT, shows=("kW", "MWh", "Barn east"))


def night() -> State:
    """No sun: calm, not red."""
    history = history_of(THREE, EVENING_S).view()
    return State(plant(EVENING_S), history, LAST_NIGHT, shows=("every charger is asleep",))


def starting() -> State:
    """The service has just started, and nothing is known."""
    now = at(NOON_S)
    relay = RelayView(now, is_connected=False)
    status = replace(
        plant(NOON_S), started=now.at(now.monotonic_s - 4.0), relay=relay, backend=BackendView()
    )
    return State(status, History(60).view(), verdict="Starting …", shows=("just started",))


def young() -> State:
    """Some minutes after the first start."""
    now = at(NOON_S)
    history = History(60)
    for seconds in range(int(NOON_S) - 540, int(NOON_S), 30):
        devices = tuple(roof.report(seconds) for roof in THREE)
        history.add(Measurement(at(seconds).utc, PORTAL, devices))
    status = replace(plant(NOON_S), started=now.at(now.monotonic_s - 560.0))
    return State(status, history.view(), LAST_NIGHT[:2], shows=("since 14:21",))


def no_broker() -> State:
    """The connection to the GX is lost."""
    status = plant(NOON_S)
    failure = BrokerFailure(Cause.LOST)
    return State(
        replace(status, relay=replace(status.relay, is_connected=False, failure=failure)),
        history_of(THREE, NOON_S - 1200).view(),
        LAST_NIGHT,
        verdict="Not well",
        shows=("no connection", "To fix it", "the GX is not heard"),
    )


def silent_gx() -> State:
    """The broker is there, and the GX says nothing."""
    status = plant(NOON_S)
    quiet = replace(status.relay.sites[0], heard_s=status.now.monotonic_s - 1900.0)
    return State(
        replace(status, relay=replace(status.relay, sites=(quiet,))),
        history_of(THREE, NOON_S - 1900).view(),
        LAST_NIGHT,
        verdict="Not well",
        shows=("not measuring", "unknown"),
    )


def backend_down() -> State:
    """Three hours' measurements wait, as the backend gives no answer."""
    status, now = plant(NOON_S), at(NOON_S)
    since = now.at(now.monotonic_s - 10_860.0)
    why = Unstored("connection refused", "is backend.url right, and does the server run?")
    status = with_delivery(
        status,
        is_answered=False,
        stored=since,
        unstored=MappingProxyType(dict.fromkeys([roof.serial for roof in THREE], why)),
    )
    backend = replace(
        status.backend, is_taking=False, status=None, reason="connection refused", moment=now
    )
    owed = GxOwed(waiting=362, newest=9, since_s=since.monotonic_s)
    outbox = replace(
        status.outbox,
        waiting=362,
        bytes=2_714_332,
        oldest=since.utc.isoformat(),
        gx=MappingProxyType({PORTAL: owed}),
    )
    return State(
        replace(status, backend=backend, outbox=outbox),
        history_of(THREE, NOON_S).view(),
        LAST_NIGHT,
        verdict="Not well",
        shows=("362", "2.71", "MB", "takes nothing", "connection refused"),
    )


def set_aside() -> State:
    """The backend does not know one charger: its readings are parked."""
    status, now = plant(NOON_S), at(NOON_S)
    remedy = "register the device at the backend"
    why = Unstored("Device not found", remedy, is_refused=True)
    refused = DeviceVerdict(DeviceResult.REFUSED, now, "Device not found", number=8)
    devices = {**status.backend.gx[PORTAL].devices, CARPORT.serial: refused}
    status = with_delivery(
        status,
        unstored=MappingProxyType({CARPORT.serial: why}),
        devices=MappingProxyType(devices),
    )
    parked = ParkedView(CARPORT.serial, 121, "Device not found", remedy, now.monotonic_s - 3630.0)
    outbox = replace(
        status.outbox, parked=(parked,), gx=MappingProxyType({PORTAL: GxOwed(parked=(parked,))})
    )
    return State(
        replace(status, outbox=outbox),
        history_of(THREE, NOON_S).view(),
        LAST_NIGHT,
        verdict="Not well: one thing is wrong",
        shows=(
            "Carport",
            remedy,
            "not stored: Device not found",
            "answers, and has not stored",
            "reports of 1 charger are parked",
        ),
    )


def left_out() -> State:
    """One charger does not tell its total; the rest that it tells is kept."""
    status = plant(NOON_S)
    omission = Omission(Why.NUMBER_UNKNOWN, found="/Yield/System is null", subject="Yield/System")
    doubtful = Remark("stands still since 2026-06-21 11:02 UTC: no value has changed")
    status = with_chargers(
        status,
        SOUTH.view(NOON_S, report=None, omission=omission, total_kwh=None),
        BARN.view(NOON_S, remarks=(doubtful,)),
        CARPORT.view(NOON_S),
    )
    return State(
        status,
        history_of([BARN, CARPORT], NOON_S).view(),
        LAST_NIGHT,
        verdict="All is stored, but look at this",
        shows=(
            "/Yield/System is null",
            "To fix it",
            "stands still since 13:02:",
            "South roof",
        ),
    )


def lost_charger() -> State:
    """The GX has no contact with one."""
    gone = replace(
        CARPORT.report(NOON_S), reachable=False, producing=False, yield_power_w=0.0, trackers=()
    )
    lost = CARPORT.view(NOON_S, is_on_bus=False, report=gone, heard_s=at(NOON_S - 7500).monotonic_s)
    status = with_chargers(plant(NOON_S), SOUTH.view(NOON_S), BARN.view(NOON_S), lost)
    history = history_of(THREE, NOON_S, holes=lambda roof, t: roof is CARPORT and t > 44_700)
    return State(
        status,
        history.view(),
        LAST_NIGHT,
        verdict="All is stored, but look at this",
        shows=("1 charger lost", "off the bus", "2\u202fh ago"),
    )


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


def many(count: int = 200, per_gx: int = 4) -> State:
    """Fifty GX devices with four chargers each; two have something wrong."""
    now, roofs = at(NOON_S), many_roofs(count)
    views = [roof.view(NOON_S) for roof in roofs]
    omission = Omission(Why.NUMBER_UNKNOWN, found="/Yield/Power is null", subject="Yield/Power")
    views[18] = replace(views[18], report=None, omission=omission, power_w=None)
    sites = [
        site(now, views[n : n + per_gx], f"c0619ab{n // per_gx:05}", f"Plant {n // per_gx + 1}")
        for n in range(0, count, per_gx)
    ]
    if len(sites) > 30:
        sites[30] = replace(sites[30], heard_s=now.monotonic_s - 4000.0)
    return State(
        service(now, sites),
        history_of(roofs, NOON_S).view(),
        LAST_NIGHT,
        verdict="Not well: one thing is wrong" if len(sites) > 30 else "All is stored, but look",
        shows=("Plant", "MWh", "1 left out"),
    )


def thirteen() -> State:
    """One GX with one charger more than there are tiles."""
    roofs = many_roofs(13)
    status = plant(NOON_S, [replace(roof, instance=n) for n, roof in enumerate(roofs)])
    return State(
        status, history_of(roofs, NOON_S).view(), LAST_NIGHT, shows=("13 producing", "today 3.37")
    )


def bad_disk() -> State:
    """The disk refuses, files were damaged, and some measurements were given up."""
    status = plant(NOON_S)
    outbox = replace(
        status.outbox,
        waiting=41,
        oldest=at(NOON_S - 40).utc.isoformat(),
        bytes=88_100,
        in_memory=41,
        damaged=2,
        fault="No space left on device",
        hours_of_room=0.0,
        lost=(Loss(312, "2026-06-19T20:00:00+00:00", "2026-06-20T01:00:00+00:00", "no room left"),),
        gx=MappingProxyType({PORTAL: GxOwed(41, 8, status.now.monotonic_s - 40.0)}),
    )
    return State(
        replace(status, outbox=outbox),
        history_of(THREE, NOON_S).view(),
        LAST_NIGHT,
        verdict="Measurements were given up",
        shows=(
            "in memory alone",
            "312 measurements were given up, the last of Sat 20 Jun 03:00: no room left",
            "given up until Sat 20 Jun 03:00",
            "damaged",
        ),
    )


def over() -> State:
    """A recording was played to its end."""
    return State(
        replace(plant(NOON_S), is_over=True),
        history_of(THREE, NOON_S).view(),
        verdict="The recording is over",
        shows=("as it was at the end, at 14:30",),
    )


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
    changes = [Change(at(NOON_S).utc.timestamp(), EVIL, Tone.WARNING), *LAST_NIGHT]
    status = plant(NOON_S, roofs)
    names = replace(status.relay.sites[0], name=EVIL)
    status = replace(status, relay=replace(status.relay, sites=(names,)))
    return State(
        status, history_of(roofs, NOON_S).view(), changes, shows=("onerror", "constructor")
    )


def no_charger() -> State:
    """A GX without any."""
    status = with_chargers(plant(NOON_S))
    return State(status, History(60).view(), LAST_NIGHT, shows=("There is no charger to report",))


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
