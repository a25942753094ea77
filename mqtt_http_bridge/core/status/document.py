"""Makes the documents that the page shows: the state of one service, and its last day.

Times are Unix seconds, ages seconds; null means unknown. Where a text tells a time, that stands in
`times` under its spelling, so that a reader can show it on another clock. Texts from outside are
cut, so that none of them fills the page: with 200 chargers of 50 GX devices, `/status.json` takes
100 kB.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from math import isnan
from typing import Any, Final

from mqtt_http_bridge.core.events import NEVER, Moment
from mqtt_http_bridge.core.status.changes import Change
from mqtt_http_bridge.core.status.history import (
    QUARTER_S,
    QUARTERS,
    RECENT_SLOTS,
    SLOTS,
    HistoryView,
    SeriesView,
)
from mqtt_http_bridge.core.status.problem import Problem
from mqtt_http_bridge.core.status.problems import REMARK_FIX, heading, notes
from mqtt_http_bridge.core.status.well import GxWell, is_heard, is_starting, well
from mqtt_http_bridge.core.views import (
    ChargerView,
    DeviceResult,
    DeviceVerdict,
    GxDelivery,
    GxOwed,
    OutboxView,
    SiteView,
    StatusView,
)
from mqtt_http_bridge.core.words import span_words, state_words, times_in

MOST_TOLD: Final = 40
"""The most problems, notes, and devices with something parked to list one by one."""
MOST_LOSSES: Final = 10
LONGEST_NAME: Final = 80
LONGEST_TEXT: Final = 400
DARK_V: Final = 15.0
"""A PV input below this gives nothing: every charger needs more to wake up."""
OFF_STATE: Final = 0
ASLEEP: Final = "no sun: asleep"
LOST_FIX: Final = "check that it has power, and that its cable to the GX is plugged in"


def document(status: StatusView, changes: Iterable[Change] = ()) -> dict[str, Any]:
    """Makes the document for `/status.json`."""
    now, relay, backend, found = status.now, status.relay, status.backend, well(status)
    known = notes(status, found)
    judged = {each.portal_id: each for each in found.gx}
    shown = {site.portal_id for site in relay.sites}
    unseen = [SiteView(e.portal_id, e.name, -NEVER, ()) for e in found.gx]
    sites = [*relay.sites, *(site for site in unseen if site.portal_id not in shown)]
    told: dict[str, Any] = {
        "version": status.version,
        "now": _unix_s(now),
        "started": _unix_s(status.started),
        "up_for": span_words(now.monotonic_s - status.started.monotonic_s),
        "interval_s": status.interval_s,
        "over": status.is_over,
        "well": found.is_well,
        "starting": is_starting(status),
        "problems": _problems(found.problems),
        "notes": _problems(known),
        "heading": heading(known) if known else [],
        "gx": [_site(site, judged.get(site.portal_id), status) for site in sites],
        "broker": {"connected": relay.is_connected, "trouble": _text(str(relay.failure or ""))},
        "measurements": relay.measurements,
        "backend": {
            "taking": backend.is_taking,
            "status": backend.status,
            "reason": _text(backend.said),
            "answered": _unix_s(backend.moment) if backend.moment else None,
            "posts": dict(backend.results),
        },
        "outbox": _outbox(status.outbox),
        "changes": [_change(change) for change in changes],
    }
    return {**told, "times": times_in(_texts(told))}


def _texts(told: dict[str, Any]) -> Iterator[str]:
    """The texts of a document that may tell a time."""
    for each in (*told["problems"], *told["notes"], *told["changes"]):
        yield each["text"]
    for gx in told["gx"]:
        yield from (problem["text"] for problem in gx["problems"])
        for charger in gx["chargers"]:
            yield from (charger["trouble"], charger["omission"], *charger["remarks"])


def _problems(found: Sequence[Problem]) -> list[dict[str, str]]:
    told = [
        {
            "kind": problem.kind.value,
            "text": _text(problem.text),
            "fix": _text(problem.fix),
            "subject": _text(problem.subject, LONGEST_NAME),
        }
        for problem in found[:MOST_TOLD]
    ]
    if len(found) > MOST_TOLD:
        text, fix = f"and {len(found) - MOST_TOLD} more", "fix these first, or run: check"
        told.append({"kind": "other", "text": text, "fix": fix, "subject": ""})
    return told


def _site(site: SiteView, judged: GxWell | None, status: StatusView) -> dict[str, Any]:
    now, owed = status.now, status.outbox.gx.get(site.portal_id, GxOwed())
    delivery = status.backend.gx.get(site.portal_id, GxDelivery())
    return {
        "portal_id": site.portal_id,
        "name": _text(site.name, LONGEST_NAME),
        "well": judged.is_well if judged is not None else None,
        "problems": _problems(judged.problems[:2]) if judged is not None else [],
        "remark": judged.remark if judged is not None else "",
        "measured": _unix_s_at(now, site.measured_s),
        "stored": _unix_s(delivery.stored) if delivery.stored else None,
        "stored_timestamp": delivery.stored_timestamp or None,
        "waiting": owed.waiting,
        "parked": sum(parked.reports for parked in owed.parked),
        "owed_age_s": round(judged.owed_age_s, 1) if judged is not None else 0.0,
        "heard": _unix_s_at(now, site.heard_s),
        "live": status.relay.is_connected and is_heard(site, now.monotonic_s),
        "chargers": [_charger(charger, delivery, status) for charger in site.chargers],
    }


def _charger(charger: ChargerView, delivery: GxDelivery, status: StatusView) -> dict[str, Any]:
    report, verdict = charger.report, delivery.devices.get(charger.serial or "")
    stored = verdict.stored if verdict is not None else None
    trouble, fix = _trouble(charger, verdict)
    return {
        "id": str(charger.key),
        "serial": charger.serial,
        "name": _text(charger.name, LONGEST_NAME),
        "product": _text(report.product_name, LONGEST_NAME) if report else None,
        "mood": _mood(charger),
        "state": _state(charger),
        "trouble": _text(trouble),
        "fix": _text(fix),
        "omission": _text(charger.omission.text) if charger.omission else "",
        "remarks": [_text(remark.text) for remark in charger.remarks],
        "reachable": bool(report and report.reachable),
        "producing": bool(report and report.producing),
        "power_w": _rounded(charger.power_w if report is None else report.yield_power_w),
        "total_kwh": _rounded(charger.total_kwh if report is None else report.yield_total_kwh),
        "trackers": [
            {
                "name": _text(t.name, LONGEST_NAME),
                "voltage_v": _rounded(t.voltage_v),
                "power_w": _rounded(t.power_w),
            }
            for t in (report.trackers if report else ())
        ],
        "heard": _unix_s_at(status.now, charger.heard_s),
        "stored": _unix_s(stored) if stored else None,
        "result": verdict.result.value if verdict is not None else None,
        "result_reason": _text(verdict.reason) if verdict is not None else "",
    }


def _mood(charger: ChargerView) -> str:
    """Says in one word how a charger is doing: that decides how it is drawn and counted."""
    omission = charger.omission
    if omission is not None and omission.is_wanted:
        return "ignored"
    if is_asleep(charger):
        return "asleep"
    if omission is not None:
        return "settling" if omission.is_passing else "left_out"
    if charger.report is None or not charger.report.reachable:
        return "lost"
    return "producing" if charger.report.producing else "idle"


def is_asleep(charger: ChargerView) -> bool:
    """Tells whether it does nothing because there is no sun, as each does at night."""
    if charger.omission is not None:
        return charger.omission.may_be_night
    report = charger.report
    return (
        charger.state == OFF_STATE
        and report is not None
        and report.reachable
        and report.yield_power_w <= 0.0
        and bool(report.trackers)
        and all(tracker.voltage_v < DARK_V for tracker in report.trackers)
    )


def _state(charger: ChargerView) -> str:
    if not charger.is_on_bus:
        return "off the bus"
    if charger.report and not charger.report.reachable:
        return "no contact"
    return ASLEEP if is_asleep(charger) else state_words(charger.state)


def _trouble(charger: ChargerView, verdict: DeviceVerdict | None) -> tuple[str, str]:
    """Says what is wrong and what to do about it; empty if nothing is."""
    omission = charger.omission
    mood = _mood(charger)
    if mood == "left_out" and omission is not None:
        return f"left out: {omission.text}", omission.remedy
    if mood == "lost":
        return f"the GX lost it: {_state(charger)}", LOST_FIX
    if verdict is not None and verdict.result in (DeviceResult.REFUSED, DeviceResult.OWED):
        return f"not stored: {verdict.reason}", ""
    doubts = [remark.text for remark in charger.remarks if remark.is_trouble]
    return ("; ".join(doubts), REMARK_FIX) if doubts else ("", "")


def _outbox(outbox: OutboxView) -> dict[str, Any]:
    return {
        "waiting": outbox.waiting,
        "bytes": outbox.bytes,
        "oldest": _unix_s_of(outbox.oldest),
        "hours_of_room": outbox.hours_of_room,
        "in_memory": outbox.in_memory,
        "fault": _text(outbox.fault),
        "damaged": outbox.damaged,
        "parked_devices": len(outbox.parked),
        "parked": [
            {"serial": p.serial, "count": p.reports, "reason": _text(p.reason)}
            for p in outbox.parked[:MOST_TOLD]
        ],
        "lost": [
            {
                "count": loss.count,
                "since": _unix_s_of(loss.since),
                "until": _unix_s_of(loss.until),
                "reason": _text(loss.reason),
            }
            for loss in outbox.lost[-MOST_LOSSES:]
        ],
    }


def _change(change: Change) -> dict[str, Any]:
    return {
        "at": change.at,
        "text": change.text,
        "tone": change.tone.value,
        "count": change.count,
        "first": change.first,
    }


# --- the last day ---------------------------------------------------------------------------------


def history_document(found: HistoryView) -> dict[str, Any]:
    """Makes the document for `/history.json`: lists that end at the same time, the oldest first.

    `power_w` has the mean over each span, `gains_wh` the yield of a charger in each quarter of an
    hour, until its total was `total_kwh`.
    """
    return {
        "slots": SLOTS,
        "recent_slots": RECENT_SLOTS,
        "quarters": QUARTERS,
        "span_s": found.span_s,
        "ends": found.ends_s,
        "quarter_s": QUARTER_S,
        "quarters_end": found.quarters_end_s,
        "since": None if isnan(found.since_s) else round(found.since_s, 3),
        "chargers": {serial: _series(series) for serial, series in found.chargers.items()},
    }


def _series(series: SeriesView) -> dict[str, Any]:
    return {
        "since": round(series.since_s, 3),
        "total_kwh": _rounded(series.total_kwh),
        "power_w": [_short(value) for value in _known(series.power_w)],
        "gains_wh": [_short(value) for value in _known(series.gains_wh)],
    }


def _known(values: Sequence[float]) -> Sequence[float]:
    """The values from the first known one on: readers count from the end."""
    first = next((n for n, value in enumerate(values) if not isnan(value)), len(values))
    return values[first:]


def _short(value: float) -> float | int | None:
    """Rounds to what a plot can show."""
    if isnan(value):
        return None
    return round(value) if value >= 100.0 or value == 0.0 else round(value, 1)


# --- values ---------------------------------------------------------------------------------------


def _text(text: str, most: int = LONGEST_TEXT) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _rounded(value: float | None) -> float | None:
    return None if value is None or isnan(value) else round(value, 3)


def _unix_s(moment: Moment) -> float:
    return round(moment.utc.timestamp(), 3)


def _unix_s_of(timestamp: str | None) -> float | None:
    """Reads a timestamp as it is stored; null for one that is not known."""
    try:
        return round(datetime.fromisoformat(timestamp or "").timestamp(), 3)
    except ValueError:
        return None


def _unix_s_at(now: Moment, monotonic_s: float) -> float | None:
    return None if monotonic_s == -NEVER else _unix_s(now.at(monotonic_s))
