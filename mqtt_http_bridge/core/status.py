"""How one service stands, as a document for the page, and as yes or no for supervisors."""

from typing import Any

from mqtt_http_bridge.core.events import Moment
from mqtt_http_bridge.core.troubles import is_heard, troubles
from mqtt_http_bridge.core.views import ChargerView, OutboxView, SiteView, StatusView
from mqtt_http_bridge.core.words import span_words, state_words


def document(status: StatusView) -> dict[str, Any]:
    """What `/status.json` tells; times are Unix seconds, ages seconds."""
    now, relay, backend = status.now, status.relay, status.backend
    return {
        "version": status.version,
        "now": _unix_s(now),
        "up_for": span_words(now.monotonic_s - status.started.monotonic_s),
        "ready": is_ready(status),
        "troubles": [{"text": t.text, "fix": t.fix} for t in troubles(status)],
        "gx": [_site(site, status) for site in relay.sites],
        "broker": {"connected": relay.is_connected, "trouble": relay.trouble},
        "measurements": relay.measurements,
        "backend": {
            "taking": backend.is_taking,
            "status": backend.status,
            "reason": backend.reason,
            "answered": _unix_s(backend.moment) if backend.moment else None,
            "posts": dict(backend.results),
        },
        "outbox": _outbox(status.outbox),
    }


def _site(site: SiteView, status: StatusView) -> dict[str, Any]:
    now = status.now
    return {
        "portal_id": site.portal_id,
        "name": site.name,
        "heard": _unix_s_at(now, site.heard_s),
        "live": status.relay.is_connected and is_heard(site, now.monotonic_s),
        "chargers": [_charger(charger, status) for charger in site.chargers],
    }


def _charger(charger: ChargerView, status: StatusView) -> dict[str, Any]:
    report, stored = charger.report, status.backend.stored.get(charger.serial or "")
    return {
        "id": str(charger.key),
        "serial": charger.serial,
        "name": charger.name,
        "product": report.product_name if report else None,
        "state": _state(charger),
        "omission": charger.omission,
        "reachable": bool(report and report.reachable),
        "producing": bool(report and report.producing),
        "power_w": report.yield_power_w if report else None,
        "total_kwh": report.yield_total_kwh if report else None,
        "trackers": [
            {"name": t.name, "voltage_v": t.voltage_v, "power_w": t.power_w}
            for t in (report.trackers if report else ())
        ],
        "heard": _unix_s_at(status.now, charger.heard_s),
        "stored": _unix_s(stored) if stored else None,
        "history": [list(point) for point in status.relay.history.get(charger.serial or "", ())],
    }


def _state(charger: ChargerView) -> str:
    if not charger.is_on_bus:
        return "off the bus"
    if charger.report and not charger.report.reachable:
        return "no contact"
    return state_words(charger.state)


def _outbox(outbox: OutboxView) -> dict[str, Any]:
    return {
        "waiting": outbox.waiting,
        "bytes": outbox.bytes,
        "oldest": outbox.oldest,
        "hours_of_room": outbox.hours_of_room,
        "damaged": outbox.damaged,
        "parked": [
            {"serial": p.serial, "count": p.count, "reason": p.reason} for p in outbox.parked
        ],
        "lost": [
            {"count": loss.count, "since": loss.since, "until": loss.until, "reason": loss.reason}
            for loss in outbox.lost
        ],
    }


def is_ready(status: StatusView) -> bool:
    """Whether every GX is heard and the backend takes what there is; at night there may be nothing.

    Before its first answer a backend counts as taking if nothing waits for it.
    """
    relay, backend = status.relay, status.backend
    is_gx_heard = bool(relay.sites) and all(
        is_heard(site, status.now.monotonic_s) for site in relay.sites
    )
    if backend.moment is None:
        return relay.is_connected and is_gx_heard and not status.outbox.waiting
    return relay.is_connected and is_gx_heard and backend.is_taking


def _unix_s(moment: Moment) -> float:
    return round(moment.utc.timestamp(), 3)


def _unix_s_at(now: Moment, monotonic_s: float) -> float | None:
    return None if monotonic_s == -float("inf") else _unix_s(now.at(monotonic_s))
