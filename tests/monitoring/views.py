"""Makes states of a service, whose /metrics are given to Prometheus."""

from types import MappingProxyType

from mqtt_http_bridge.core.events import Moment
from mqtt_http_bridge.core.measurement import DeviceReport, TrackerReport
from mqtt_http_bridge.core.venus.readings import ChargerKey
from mqtt_http_bridge.core.views import (
    BackendView,
    ChargerView,
    DeviceResult,
    GxDelivery,
    GxOwed,
    OutboxView,
    ParkedView,
    RelayView,
    SiteView,
    StatusView,
)
from tests.support.virtual import PORTAL

SERIAL = "HQ2208AXN7V"
REPORT = DeviceReport(
    device_instance=277,
    serial=SERIAL,
    name="Roof",
    product_name="SmartSolar Charger MPPT 150/35",
    reachable=True,
    producing=True,
    last_update_s=0,
    yield_power_w=100.0,
    yield_total_kwh=1274.25,
    trackers=(TrackerReport(0, "PV", 62.5, 100.0),),
)


def site(now: Moment, portal_id: str = PORTAL, *, silent_s: float = 0.0) -> SiteView:
    """A GX with one charger in the sun, that was heard and measured `silent_s` ago."""
    heard_s = now.monotonic_s - silent_s
    charger = ChargerView(ChargerKey("solarcharger", 277), SERIAL, "Roof", True, 3, heard_s, REPORT)
    return SiteView(portal_id, portal_id, heard_s, (charger,), measured_s=heard_s)


def day(started: Moment, now: Moment, *sites: SiteView) -> StatusView:
    """A service that is well: its GX devices are heard, measured and stored."""
    found = sites or (site(now),)
    results = MappingProxyType(dict.fromkeys(DeviceResult, 1))
    delivery = GxDelivery(newest=8, tried=now, is_answered=True, stored=now, reports=results)
    return StatusView(
        version="1",
        started=started,
        now=now,
        relay=RelayView(now, is_connected=True, sites=found, measurements=100),
        backend=BackendView(
            moment=now,
            is_taking=True,
            status=200,
            results=MappingProxyType({"stored": 100, "partly": 0, "failed": 0}),
            gx=MappingProxyType({each.portal_id: delivery for each in found}),
        ),
        outbox=OutboxView(hours_of_room=800.0, looked_s=now.monotonic_s),
    )


def night(started: Moment, now: Moment, dusk: Moment) -> StatusView:
    """The same after dusk: the charger has said that it knows nothing more, and is not reported."""
    bright = day(started, now)
    (lit,) = bright.relay.sites
    dark = lit.chargers[0]._replace(report=None, state=0, heard_s=dusk.monotonic_s)
    delivery = bright.backend.gx[PORTAL]._replace(tried=dusk, stored=dusk)
    return bright._replace(
        relay=bright.relay._replace(sites=(lit._replace(chargers=(dark,)),)),
        backend=bright.backend._replace(moment=dusk, gx=MappingProxyType({PORTAL: delivery})),
    )


def owing(status: StatusView, portal_id: str, since: Moment) -> StatusView:
    """The same, but of one GX nothing is stored since then: the backend gives no answer."""
    now = status.now
    waiting = round((now.monotonic_s - since.monotonic_s) / 30.0) + 1
    delivery = status.backend.gx[portal_id]._replace(stored=since)
    owed = GxOwed(waiting=waiting, newest=8 + waiting, since_s=since.monotonic_s)
    return status._replace(
        backend=status.backend._replace(
            gx=MappingProxyType({**status.backend.gx, portal_id: delivery})
        ),
        outbox=status.outbox._replace(
            waiting=waiting,
            bytes=600 * waiting,
            gx=MappingProxyType({**status.outbox.gx, portal_id: owed}),
        ),
    )


def with_everything(started: Moment, now: Moment) -> StatusView:
    """A service of which there is something to tell with each metric."""
    status = day(started, now)
    parked = ParkedView(SERIAL, 1, "Device not found", "register it", since_s=now.monotonic_s)
    return status._replace(outbox=status.outbox._replace(parked=(parked,)))
