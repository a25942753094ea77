"""What `check` finds, and what each finding means: is it right, and if not, what to do.

Every function takes what was seen and says it in one line; `fix` is there whenever it is wrong.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from mqtt_http_bridge.core.chargers import Omission
from mqtt_http_bridge.core.delivery import Answer, Reply, Route, Verdict, remedy
from mqtt_http_bridge.core.measurement import DeviceReport
from mqtt_http_bridge.core.settings import MqttSettings, StatusSettings
from mqtt_http_bridge.core.troubles import FIXES
from mqtt_http_bridge.core.views import ChargerView, ParkedView
from mqtt_http_bridge.core.words import state_words

MENU_MQTT: Final = (
    "on the GX: Settings -> Integrations -> MQTT Access (older: Settings -> Services)"
)
MENU_SECURITY: Final = "on the GX: Settings -> General -> Access & Security"
MENU_PORTAL: Final = "on the GX: Settings -> VRM -> VRM Portal ID"
MENU_TIME: Final = "on the GX: Settings -> General -> Date & time (older: Settings -> Date & Time)"
CLOCK_LIMIT_S: Final = 60.0


class Mark(StrEnum):
    """How a finding is to be taken."""

    OK = "ok"
    WARNING = "warning"
    """It works, but somebody should know."""
    WRONG = "wrong"
    UNKNOWN = "unknown"
    """It could not be looked at, as something before it is wrong."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the check."""

    step: str
    mark: Mark
    text: str
    fix: str = ""


def ok(step: str, text: str) -> Finding:
    """It is as it should be."""
    return Finding(step, Mark.OK, text)


def wrong(step: str, text: str, fix: str) -> Finding:
    """It is not, and this mends it."""
    return Finding(step, Mark.WRONG, text, fix)


def unknown(step: str, because: str) -> Finding:
    """It could not be looked at."""
    return Finding(step, Mark.UNKNOWN, f"not looked at: {because}")


def all_hold(findings: Iterable[Finding]) -> bool:
    """Whether nothing is wrong and nothing unknown."""
    return all(finding.mark in (Mark.OK, Mark.WARNING) for finding in findings)


# --- the GX ------------------------------------------------------------------------------------


def gx_port(where: str, error: str) -> Finding:
    """Whether the broker's port is open; `error` is empty if it is."""
    if not error:
        return ok("GX port", f"{where} is open")
    fix = f"is MQTT access on? {MENU_MQTT}. mqtt.port is 1883, or 8883 with mqtt.tls: true"
    return wrong("GX port", f"{where}: {error}", fix)


def gx_certificate(text: str, settings: MqttSettings, *, is_pinned: bool, error: str) -> Finding:
    """Whether the broker's certificate is one we trust; `text` shows it, `error` tells why not."""
    if is_pinned:
        return ok("GX TLS", f"{text}, pinned")
    if settings.pinned_certificate is not None:
        fix = f"if the GX was reset or replaced: mqtt-http-bridge pin {settings.host}"
        return wrong("GX TLS", f"{text}, which is not the one in mqtt.pinned_certificate", fix)
    if not error:
        return ok("GX TLS", f"{text}, not pinned, trusted by its authority")
    fix = f"run: mqtt-http-bridge pin {settings.host}, and set mqtt.pinned_certificate"
    return wrong("GX TLS", f"{text}, not pinned and not trusted: {error}", fix)


def gx_login(settings: MqttSettings, trouble: str) -> Finding:
    """Whether the broker let us in; `trouble` is empty if it did."""
    who = f"as {settings.username}" if settings.username else "without a login"
    if not trouble:
        return ok("GX login", f"let in {who}")
    if "refused" in trouble and settings.password is None:
        fix = f"set mqtt.password to the GX's network password: {MENU_SECURITY}"
    elif "refused" in trouble:
        fix = (
            f"compare mqtt.password with the network password: {MENU_SECURITY}. After too many"
            " wrong ones the GX refuses the right one, too: then wait some minutes"
        )
    else:
        fix = f"is this the GX's broker? {MENU_MQTT}"
    return wrong("GX login", trouble, fix)


def portal_ids(configured: Sequence[str], seen: Sequence[str]) -> Finding:
    """Whether the configured portal ids are those that the broker tells."""
    found = ", ".join(seen) or "none"
    if not configured:
        if len(seen) == 1:
            return ok("portal id", f"{found}, told by the broker")
        if not seen:
            fix = "wait if the GX is starting up; else set mqtt.host to a GX, or mqtt.portal_id"
            return wrong("portal id", "the broker tells none", fix)
        fix = f"list those to relay: mqtt.portal_id: [{found}]"
        return wrong("portal id", f"auto takes one GX, the broker has {found}", fix)
    missing = [portal_id for portal_id in configured if portal_id not in seen]
    if not missing:
        return ok("portal id", f"{', '.join(configured)}, as the broker tells")
    fix = f"set mqtt.portal_id to auto, or to what the GX shows; {MENU_PORTAL}"
    return wrong("portal id", f"{', '.join(missing)} is set, the broker tells {found}", fix)


def keepalive(portal_id: str, *, is_answered: bool, is_completed: bool) -> Finding:
    """Whether the GX wakes up and says everything."""
    if not is_answered:
        fix = f"is {portal_id} the GX's own portal id ({MENU_PORTAL})? If so, restart the GX"
        return wrong("keepalive", f"{portal_id} does not answer: the GX is asleep or off", fix)
    text = "everything was said" if is_completed else "it speaks, but told no end of it"
    return ok("keepalive", f"{portal_id} answered: {text}")


def chargers(found: Sequence[ChargerView], services: Sequence[str]) -> list[Finding]:
    """One line for each charger; one for there being none."""
    if not found:
        fix = "does the GX list it under Devices? If not, look at its cable and its power"
        return [wrong("charger", "none on the GX", fix)]
    return [_charger(charger, services) for charger in found]


def _charger(charger: ChargerView, services: Sequence[str]) -> Finding:
    name = f"{charger.key} {charger.serial or 'without a serial'} {charger.name!r}"
    service = charger.key.service
    if service not in services:
        wanted = ", ".join([*services, service])
        return wrong("charger", f"{name} is not listened to", f"set mqtt.services: [{wanted}]")
    if charger.report is None:
        fix = FIXES.get(charger.omission, "run check again in a minute")
        if charger.omission == Omission.NUMBERS_UNKNOWN.value:
            return Finding("charger", Mark.WARNING, f"{name}: {charger.omission}", fix)
        return wrong("charger", f"{name} is left out: {charger.omission}", fix)
    return ok("charger", f"{name}: {_numbers(charger.report)}, {state_words(charger.state)}")


def _numbers(report: DeviceReport) -> str:
    trackers = ", ".join(f"{t.name} {t.voltage_v:.1f} V" for t in report.trackers)
    return (
        f"{report.yield_power_w:.1f} W, {report.yield_total_kwh:.2f} kWh in total,"
        f" {trackers or 'no tracker in use'}"
    )


def clock(step: str, whose: str, ahead_s: float | None, fix: str) -> Finding:
    """Whether another clock goes with ours; None: it was not told."""
    if ahead_s is None:
        return unknown(step, f"{whose} clock was not told")
    if abs(ahead_s) <= CLOCK_LIMIT_S:
        return ok(step, f"{whose} clock and this machine's agree to {abs(ahead_s):.0f} s")
    way = "ahead of" if ahead_s > 0 else "behind"
    return wrong(step, f"{whose} clock is {abs(ahead_s):.0f} s {way} this machine's", fix)


# --- the backend -------------------------------------------------------------------------------


def backend_certificate(text: str, error: str) -> Finding:
    """Whether the backend's certificate is trusted; `error` is empty if it is."""
    if not error:
        return ok("backend TLS", f"{text}, trusted")
    fix = "set backend.ca_file to the authority that signed it, or have its owner mend it"
    return wrong("backend TLS", f"{text}, not trusted: {error}", fix)


def backend_post(answer: Answer, verdict: Verdict) -> Finding:
    """What a POST without any device came to."""
    is_success = isinstance(answer, Reply) and 200 <= answer.status < 300
    if is_success and verdict.route is not Route.SHUT:
        text = "a measurement without devices was taken"
        return ok("backend POST", f"{text}; whether the key is right shows with the first charger")
    fix = "is the backend up, and backend.url its address?"
    if verdict.route is Route.SHUT:
        fix = verdict.reason.partition(": ")[2] or verdict.reason
    elif isinstance(answer, Reply):
        fix = (
            "it will pass, or whoever runs the backend has to mend it: measurements wait meanwhile"
        )
    return wrong("backend POST", verdict.reason, fix)


def serial(charger_serial: str, parked: Sequence[ParkedView]) -> Finding:
    """Whether the backend takes what a charger measures, as far as its last answers tell."""
    for found in parked:
        if found.serial == charger_serial:
            fix = f"{remedy(found.reason)}, then run: mqtt-http-bridge outbox retry"
            return wrong("serial", f"{charger_serial}: refused: {found.reason}", fix)
    return ok("serial", f"{charger_serial}: never refused, as far as the last answers tell")


# --- this machine ------------------------------------------------------------------------------


def service(directory: str, *, is_running: bool) -> Finding:
    """Whether a service has the outbox."""
    if is_running:
        return ok("service", "running")
    fix = "start it: svc -u /service/mqtt-http-bridge, systemctl start mqtt-http-bridge, or run"
    return wrong("service", f"none is running with the outbox {directory}", fix)


def status_page(settings: StatusSettings, *, is_local: bool) -> Finding:
    """Who can see the page."""
    if settings.listen is None:
        return ok("status page", "off")
    where = f"{settings.listen[0]}:{settings.listen[1]}"
    if is_local:
        return ok("status page", f"{where}, for this machine alone")
    text = f"{where}: everybody who reaches this address sees it, without a login"
    fix = "set status.listen to 127.0.0.1:8480 if that is not meant"
    return Finding("status page", Mark.WARNING, text, fix)
