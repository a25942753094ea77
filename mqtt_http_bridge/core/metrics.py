"""`/metrics`: how things stand, in Prometheus' text format 0.0.4.

A series is there while the thing is: those of a charger that has vanished are gone.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from mqtt_http_bridge.core.events import Moment
from mqtt_http_bridge.core.status import is_ready
from mqtt_http_bridge.core.venus import ChargerKey
from mqtt_http_bridge.core.views import ChargerView, SiteView, StatusView

PREFIX: Final = "mqtt_http_bridge_"
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
JOULES_PER_KWH: Final = 3_600_000.0


@dataclass(frozen=True, slots=True)
class Metric:
    """One family: its type, and what it says."""

    kind: str
    says: str


METRICS: Final[Mapping[str, Metric]] = {
    "info": Metric("gauge", "1, with the version"),
    "start_timestamp_seconds": Metric("gauge", "when the service started"),
    "ready": Metric("gauge", "1 if the GX is heard and the backend takes measurements"),
    "broker_connected": Metric("gauge", "1 if there is a connection to the broker"),
    "deaf_reconnects_total": Metric("counter", "connections dropped because nothing came"),
    "malformed_messages_total": Metric("counter", "messages not as a GX sends them"),
    "gx_heard_timestamp_seconds": Metric("gauge", "when the GX was last heard"),
    "measurements_total": Metric("counter", "measurements made"),
    "charger_info": Metric("gauge", "1, with the name of the charger and its state, a code"),
    "charger_power_watts": Metric("gauge", "PV power of a charger"),
    "charger_yield_joules_total": Metric("counter", "PV energy of a charger, ever"),
    "charger_reachable": Metric("gauge", "1 if the charger is on the GX's bus"),
    "charger_producing": Metric("gauge", "1 if the charger produces"),
    "charger_heard_timestamp_seconds": Metric("gauge", "when the charger was last heard"),
    "tracker_voltage_volts": Metric("gauge", "PV voltage of a tracker"),
    "tracker_power_watts": Metric("gauge", "PV power of a tracker"),
    "posts_total": Metric("counter", "POSTs by result: stored, partly, failed"),
    "backend_taking": Metric("gauge", "1 if the last POST got through to a verdict"),
    "backend_answer_timestamp_seconds": Metric("gauge", "when the last POST ended"),
    "outbox_waiting": Metric("gauge", "measurements that wait for the backend"),
    "outbox_bytes": Metric("gauge", "bytes that wait or are parked"),
    "outbox_parked": Metric("gauge", "device reports set aside, by serial"),
    "outbox_lost_total": Metric("counter", "measurements given up"),
}

Labels = Mapping[str, str]
Sample = tuple[str, Labels, float]


def render(status: StatusView) -> str:
    """The whole page."""
    samples: dict[str, list[tuple[Labels, float]]] = {}
    for name, labels, value in _samples(status):
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


def _samples(status: StatusView) -> Iterator[Sample]:
    relay = status.relay
    yield "info", {"version": status.version}, 1.0
    yield "start_timestamp_seconds", {}, _unix_s(status.started)
    yield "ready", {}, float(is_ready(status))
    yield "broker_connected", {}, float(relay.is_connected)
    yield "deaf_reconnects_total", {}, float(relay.deaf_reconnects)
    yield "malformed_messages_total", {}, float(relay.malformed_messages)
    yield "measurements_total", {}, float(relay.measurements)
    for site in relay.sites:
        yield from _of_site(site, status.now)
    yield from _of_backend(status)


def _of_site(site: SiteView, now: Moment) -> Iterator[Sample]:
    if site.heard_s > -float("inf"):
        moment = now.at(site.heard_s)
        yield "gx_heard_timestamp_seconds", {"portal_id": site.portal_id}, _unix_s(moment)
    for charger in site.chargers:
        yield from _of_charger(site.portal_id, charger, now)


def _of_charger(portal_id: str, charger: ChargerView, now: Moment) -> Iterator[Sample]:
    if not charger.is_on_bus:
        return
    labels = _identity(portal_id, charger.key, charger.serial)
    report = charger.report
    state = "" if charger.state is None else str(charger.state)
    yield "charger_info", {**labels, "name": charger.name, "state": state}, 1.0
    yield "charger_heard_timestamp_seconds", labels, _unix_s(now.at(charger.heard_s))
    if report is None:
        return
    yield "charger_power_watts", labels, report.yield_power_w
    yield "charger_yield_joules_total", labels, report.yield_total_kwh * JOULES_PER_KWH
    yield "charger_reachable", labels, float(report.reachable)
    yield "charger_producing", labels, float(report.producing)
    for tracker in report.trackers:
        its = {**labels, "tracker": str(tracker.index)}
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
    for parked in outbox.parked:
        yield "outbox_parked", {"serial": parked.serial}, float(parked.count)
    yield "outbox_lost_total", {}, float(sum(loss.count for loss in outbox.lost))


def _unix_s(moment: Moment) -> float:
    return round(moment.utc.timestamp(), 3)
