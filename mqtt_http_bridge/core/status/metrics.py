"""Writes `/metrics`: the state of the service, in Prometheus' text format 0.0.4.

A series exists only as long as its subject: when a charger has gone, so have its series. Chargers
may be left out; then there are only about ten series for each GX, however many chargers it has.
"""

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from mqtt_http_bridge.core.events import NEVER, Moment
from mqtt_http_bridge.core.status.well import GxWell, well
from mqtt_http_bridge.core.venus.readings import ChargerKey
from mqtt_http_bridge.core.views import ChargerView, SiteView, StatusView

PREFIX: Final = "mqtt_http_bridge_"
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
JOULES_PER_KWH: Final = 3_600_000.0


class Metric(NamedTuple):
    """Defines one metric: its type and its help text."""

    kind: str
    says: str


METRICS: Final[Mapping[str, Metric]] = {
    "info": Metric("gauge", "always 1, with the version as a label"),
    "start_timestamp_seconds": Metric("gauge", "when the service started"),
    "ready": Metric("gauge", "1 if all is well: every GX heard, measured and stored"),
    "broker_connected": Metric("gauge", "1 if there is a connection to the broker"),
    "deaf_reconnects_total": Metric("counter", "connections dropped because nothing was heard"),
    "malformed_messages_total": Metric("counter", "messages in a form that no GX sends"),
    "gx_heard_timestamp_seconds": Metric("gauge", "when the GX was last heard"),
    "gx_well": Metric("gauge", "1 if this GX is heard, measured and stored"),
    "gx_stored_age_seconds": Metric("gauge", "how long ago the newest measurement was stored"),
    "gx_owed": Metric("gauge", "measurements of this GX waiting for the backend"),
    "gx_owed_age_seconds": Metric("gauge", "age of the oldest waiting or parked; 0: none"),
    "gx_reports_total": Metric(
        "counter", "device reports sent, by result: stored, refused, owed, failed"
    ),
    "measurements_total": Metric("counter", "measurements made"),
    "charger_info": Metric("gauge", "always 1, with name and state (a code) as labels"),
    "charger_power_watts": Metric("gauge", "PV power of a charger"),
    "charger_yield_joules_total": Metric("counter", "total PV energy of a charger"),
    "charger_reachable": Metric("gauge", "1 if the GX has contact with the charger"),
    "charger_producing": Metric("gauge", "1 if the charger is producing"),
    "charger_heard_timestamp_seconds": Metric("gauge", "when the charger was last heard"),
    "charger_left_out_total": Metric("counter", "measurements that the charger is missing from"),
    "tracker_voltage_volts": Metric("gauge", "PV voltage of a tracker"),
    "tracker_power_watts": Metric("gauge", "PV power of a tracker"),
    "posts_total": Metric("counter", "POSTs by result: stored, partly, failed"),
    "backend_taking": Metric("gauge", "1 if the last POST was stored, at least in part"),
    "backend_answer_timestamp_seconds": Metric("gauge", "when the last POST ended"),
    "outbox_waiting": Metric("gauge", "measurements waiting for the backend"),
    "outbox_bytes": Metric("gauge", "size of everything waiting or parked"),
    "outbox_parked": Metric("gauge", "parked device reports, by serial or in total"),
    "outbox_in_memory": Metric("gauge", "measurements in memory only, not on the disk"),
    "outbox_room_seconds": Metric("gauge", "time until the outbox is full, at the current rate"),
    "outbox_lost_total": Metric("counter", "measurements given up"),
}

Labels = Mapping[str, str]
Sample = tuple[str, Labels, float]


def render(status: StatusView, *, per_charger: bool = True) -> str:
    """Writes the whole page; without `per_charger`, series for each GX, but not for chargers."""
    samples: dict[str, list[tuple[Labels, float]]] = {}
    for name, labels, value in _samples(status, per_charger=per_charger):
        samples.setdefault(name, []).append((labels, value))
    return "".join(_family(name, samples[name]) for name in METRICS if name in samples)


def _family(name: str, samples: list[tuple[Labels, float]]) -> str:
    metric, whole = METRICS[name], PREFIX + name
    head = f"# HELP {whole} {metric.says}\n# TYPE {whole} {metric.kind}\n"
    return head + "".join(f"{whole}{_labels(labels)} {value!r}\n" for labels, value in samples)


def _labels(labels: Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(text)}"' for name, text in labels.items()) + "}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _samples(status: StatusView, *, per_charger: bool) -> Iterator[Sample]:
    relay, found = status.relay, well(status)
    yield "info", {"version": status.version}, 1.0
    yield "start_timestamp_seconds", {}, _unix_s(status.started)
    yield "ready", {}, float(found.is_well)
    yield "broker_connected", {}, float(relay.is_connected)
    yield "deaf_reconnects_total", {}, float(relay.deaf_reconnects)
    yield "malformed_messages_total", {}, float(relay.malformed_messages)
    yield "measurements_total", {}, float(relay.measurements)
    for site in relay.sites:
        yield from _of_site(site, status.now)
        for charger in site.chargers if per_charger else ():
            yield from _of_charger(site.portal_id, charger, status.now)
    for gx in found.gx:
        yield from _of_gx(gx, status)
    yield from _of_backend(status)
    parked = [(each.serial, each.reports) for each in status.outbox.parked]
    for serial, count in parked if per_charger else [("", sum(count for _, count in parked))]:
        yield "outbox_parked", {"serial": serial}, float(count)


def _of_site(site: SiteView, now: Moment) -> Iterator[Sample]:
    if site.heard_s > -NEVER:
        moment = now.at(site.heard_s)
        yield "gx_heard_timestamp_seconds", {"portal_id": site.portal_id}, _unix_s(moment)


def _of_gx(gx: GxWell, status: StatusView) -> Iterator[Sample]:
    labels = {"portal_id": gx.portal_id}
    owed = status.outbox.gx.get(gx.portal_id)
    yield "gx_well", labels, float(gx.is_well)
    if gx.stored_age_s is not None:
        yield "gx_stored_age_seconds", labels, round(gx.stored_age_s, 3)
    yield "gx_owed", labels, float(owed.waiting if owed is not None else 0)
    yield "gx_owed_age_seconds", labels, round(gx.owed_age_s, 3)
    delivery = status.backend.gx.get(gx.portal_id)
    if delivery is not None:
        for result, count in delivery.reports.items():
            yield "gx_reports_total", {**labels, "result": result.value}, float(count)


def _of_charger(portal_id: str, charger: ChargerView, now: Moment) -> Iterator[Sample]:
    if not charger.is_on_bus:
        return
    labels = _identity(portal_id, charger.key, charger.serial)
    report = charger.report
    state = "" if charger.state is None else str(charger.state)
    yield "charger_info", {**labels, "name": charger.name, "state": state}, 1.0
    if charger.heard_s > -NEVER:
        yield "charger_heard_timestamp_seconds", labels, _unix_s(now.at(charger.heard_s))
    yield "charger_left_out_total", labels, float(charger.left_out)
    if report is None:
        return
    yield "charger_power_watts", labels, report.yield_power_w
    yield "charger_yield_joules_total", labels, report.yield_total_kwh * JOULES_PER_KWH
    yield "charger_reachable", labels, float(report.reachable)
    yield "charger_producing", labels, float(report.producing)
    for tracker in report.trackers:
        its = {**labels, "tracker": str(tracker.number)}
        yield "tracker_voltage_volts", its, tracker.voltage_v
        yield "tracker_power_watts", its, tracker.power_w


def _identity(portal_id: str, key: ChargerKey, serial: str | None) -> dict[str, str]:
    return {
        "portal_id": portal_id,
        "service": key.service,
        "instance": str(key.instance),
        "serial": serial or "",
    }


def _of_backend(status: StatusView) -> Iterator[Sample]:
    backend, outbox = status.backend, status.outbox
    for result, count in backend.results.items():
        yield "posts_total", {"result": result}, float(count)
    if backend.moment is not None:
        yield "backend_taking", {}, float(backend.is_taking)
        yield "backend_answer_timestamp_seconds", {}, _unix_s(backend.moment)
    yield "outbox_waiting", {}, float(outbox.waiting)
    yield "outbox_bytes", {}, float(outbox.bytes)
    yield "outbox_in_memory", {}, float(outbox.in_memory)
    if outbox.hours_of_room is not None:
        yield "outbox_room_seconds", {}, outbox.hours_of_room * 3600.0
    yield "outbox_lost_total", {}, float(sum(loss.count for loss in outbox.lost))


def _unix_s(moment: Moment) -> float:
    return round(moment.utc.timestamp(), 3)
