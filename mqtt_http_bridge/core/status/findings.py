"""Defines what `check` can find, what each finding means, and what to do if something is wrong.

Every function puts what was seen into one line, with a `fix` if something is wrong.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final, NamedTuple

from mqtt_http_bridge.core.broker_failure import BrokerFailure, Cause
from mqtt_http_bridge.core.measurement import DeviceReport
from mqtt_http_bridge.core.omission import Omission
from mqtt_http_bridge.core.settings import MqttSettings, StatusSettings
from mqtt_http_bridge.core.status.problems import REMARK_FIX
from mqtt_http_bridge.core.status.state_file import Liveness, State
from mqtt_http_bridge.core.venus.topics import above
from mqtt_http_bridge.core.views import ChargerView
from mqtt_http_bridge.core.words import MENU_PORTAL, counted, state_words, visible

OLD_GX: Final = (
    "Venus OS before 3.20: it answers to empty keepalives alone, has no heartbeat, and is relayed"
    " by rules of its own"
)
UNTIL_LIVE: Final = "So a charger is posted only once each of its numbers has come live"
"""Said about a mirror: the values that it retains are not measurements."""
MOST_NAMED: Final = 10
"""Portal ids in one line."""
LET_IN: Final = "let in without a login"
CLOCK_LIMIT_S: Final = 60.0


class Mark(StrEnum):
    """The kinds of finding."""

    OK = "ok"
    WARNING = "warning"
    """It works, but somebody should know."""
    WRONG = "wrong"
    UNKNOWN = "unknown"
    """It is not known: something before it is wrong, or nothing that was asked can show it."""


class Finding(NamedTuple):
    """One line of the check."""

    step: str
    mark: Mark
    text: str
    fix: str = ""


def ok(step: str, text: str) -> Finding:
    """Makes a finding for something that is right."""
    return Finding(step, Mark.OK, text)


def wrong(step: str, text: str, fix: str) -> Finding:
    """Makes a finding for something that is wrong, with its fix."""
    return Finding(step, Mark.WRONG, text, fix)


def unknown(step: str, because: str) -> Finding:
    """Makes a finding for something that could not be checked."""
    return Finding(step, Mark.UNKNOWN, f"not checked: {because}")


def unproven(step: str, text: str, fix: str) -> Finding:
    """Makes a finding for something that nothing asked so far could show; `fix` would."""
    return Finding(step, Mark.UNKNOWN, text, fix)


def all_hold(findings: Iterable[Finding]) -> bool:
    """Tells whether nothing is wrong: something unknown follows from a fault, or is unproven."""
    return all(finding.mark is not Mark.WRONG for finding in findings)


def secret_file(name: str) -> Finding:
    """A file with a secret that every user of this machine can read."""
    text = f"{name} holds a secret, and every user of this machine can read it"
    return Finding("secrets", Mark.WARNING, text, f"run: chmod o-r {name}")


def damage(directory: str, places: int, unreadable: Sequence[str]) -> Iterator[Finding]:
    """Says which part of the outbox could not be read, for good or just now."""
    for text in unreadable:
        yield wrong("outbox", text, "do what it says: until then, nothing in there is sent")
    if places:
        fix = f"check the disk, look at {directory}/damaged, then remove that"
        yield Finding("outbox", Mark.WARNING, f"damaged places: {places}", fix)


def name(step: str, host: str, addresses: Sequence[str]) -> Finding:
    """Says what a host name stands for."""
    if list(addresses) == [host]:
        return ok(step, f"{host} is an address: there is no name to look up")
    return ok(step, f"{host} is {', '.join(addresses)}")


# --- the GX ------------------------------------------------------------------------------------


def gx_port(where: str, failure: BrokerFailure | None, fix: str = "") -> Finding:
    """Tells whether the broker's port is open; it is if there is no failure."""
    if failure is None:
        return ok("GX port", f"{where} is open")
    step = "GX name" if failure.cause is Cause.NAME_NOT_RESOLVED else "GX port"
    return wrong(step, str(failure), fix or failure.remedy)


def gx_certificate(text: str, settings: MqttSettings, *, is_pinned: bool, error: str) -> Finding:
    """Judges the broker's certificate; `text` shows it, `error` says why it is not trusted."""
    if is_pinned:
        return ok("GX TLS", f"{text}, pinned")
    if settings.pinned_certificate is not None:
        fix = f"if the GX was reset or replaced: mqtt-http-bridge pin {settings.host}"
        return wrong("GX TLS", f"{text}, which is not the one in mqtt.pinned_certificate", fix)
    if not error:
        return ok("GX TLS", f"{text}, not pinned, trusted by its authority")
    fix = f"run: mqtt-http-bridge pin {settings.host}, and set mqtt.pinned_certificate"
    return wrong("GX TLS", f"{text}, not pinned and not trusted: {error}", fix)


def gx_login(settings: MqttSettings, failure: BrokerFailure | None, fix: str = "") -> Finding:
    """Tells whether the broker let us in; it did if there is no failure."""
    if failure is not None:
        return wrong("GX login", str(failure), fix or failure.remedy)
    return ok("GX login", f"let in as {settings.username}" if settings.username else LET_IN)


def shard(mqtt: MqttSettings, seen: Sequence[str]) -> Finding:
    """Says how many of the GX devices that the broker announces are in our shard."""
    ours = sum(map(mqtt.relays, seen))
    devices, verb = counted(len(seen), "GX device"), "is" if ours == 1 else "are"
    return ok("shard", f"{mqtt.shard}: {ours} of {devices} that the broker announces {verb} ours")


def portal_ids(
    configured: Sequence[str],
    seen: Sequence[str],
    prefix_fix: str = "",
    *,
    is_sharded: bool = False,
) -> Finding:
    """Compares the configured portal ids with those that the broker announces.

    `prefix_fix`: it announces one below another prefix. If `is_sharded`, others relay some of them.
    """
    found = _listed(seen) or "none"
    if prefix_fix:
        return wrong("portal id", "the broker announces none below this prefix", prefix_fix)
    if not configured:
        if seen:
            each = ": each GX is relayed" * (len(seen) > 1 and not is_sharded)
            return ok("portal id", f"{found}, announced by the broker{each}")
        fix = "wait if the GX is starting up; else set mqtt.host to a GX, or mqtt.portal_id"
        return wrong("portal id", "the broker announces none", fix)
    missing = [portal_id for portal_id in configured if portal_id not in seen]
    if not missing:
        return ok("portal id", f"{', '.join(configured)}, which the broker announces")
    fix = f"set mqtt.portal_id to auto, or to what the GX shows; {MENU_PORTAL}"
    text = f"{', '.join(missing)} is set, but the broker announces {found}"
    return wrong("portal id", text, fix)


class Answer(NamedTuple):
    """The outcome of the keepalives that were sent to one GX."""

    is_answered: bool
    """True if it said something live."""
    is_completed: bool = False
    """True if it reported the end of a full publish."""
    is_old: bool = False
    has_heartbeat: bool = False
    is_retained: bool = False
    """True if the broker retains what one of its chargers said, as mirrors do and no GX does."""
    is_one_of_several: bool = False
    """True if only the broker mentions it, and another GX has answered."""


def _listed(portal_ids: Sequence[str]) -> str:
    more = len(portal_ids) - MOST_NAMED
    return ", ".join(portal_ids[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def keepalive(portal_id: str, answer: Answer, topic_prefix: str = "") -> Finding:
    """Tells whether the GX wakes up and says everything, and by which rules."""
    requests = above(topic_prefix, f"R/{portal_id}/keepalive")
    if not answer.is_answered and answer.is_one_of_several:
        text = f"{portal_id} does not answer: a GX that is off, or a message somebody left behind"
        fix = "nothing, or list the GX devices to relay in mqtt.portal_id"
        return Finding("keepalive", Mark.WARNING, text, fix)
    if not answer.is_answered and (answer.is_retained or topic_prefix):
        text = (
            f"{portal_id} does not answer: {requests} does not reach it, or it is off. {UNTIL_LIVE}"
        )
        return wrong("keepalive", text, f"have the bridge pass {requests} on to the GX")
    if not answer.is_answered:
        fix = f"is {portal_id} the GX's own portal id ({MENU_PORTAL})? If so, restart the GX"
        return wrong("keepalive", f"{portal_id} does not answer: the GX is asleep or off", fix)
    if answer.is_old:
        fix = "nothing is wrong; with a newer Venus OS, the relay notices its silence sooner"
        return Finding("keepalive", Mark.WARNING, f"{portal_id} answered: {OLD_GX}", fix)
    if answer.has_heartbeat and not answer.is_completed:
        text = (
            f"{portal_id} publishes, as something else keeps it awake, but does not answer:"
            f" {requests} does not reach it. {UNTIL_LIVE}"
        )
        fix = f"have the bridge pass {requests} on to the GX"
        return Finding("keepalive", Mark.WARNING, text, fix)
    text = "with all values" if answer.is_completed else "with values, but without an end message"
    return ok("keepalive", f"{portal_id} answered: {text}")


def chargers(found: Sequence[ChargerView], services: Sequence[str]) -> list[Finding]:
    """Returns one line for each charger, or one if there is none."""
    if not found:
        fix = "does the GX list it under Devices? If not, look at its cable and its power"
        return [wrong("charger", "no chargers found there", fix)]
    return [_charger(charger, services) for charger in found]


def _charger(charger: ChargerView, services: Sequence[str]) -> Finding:
    name = f"{charger.key} {charger.serial or 'without a serial'} {charger.name!r}"
    service = charger.key.service
    if service not in services:
        wanted = ", ".join([*services, service])
        return wrong("charger", f"{name} is not listened to", f"set mqtt.services: [{wanted}]")
    if charger.omission is not None:
        return _left_out(charger, charger.omission, name)
    numbers = _numbers(charger.report) if charger.report else ""
    text = f"{name}: {numbers}, {state_words(charger.state)}"
    if charger.remarks:
        remarks = "; ".join(remark.text for remark in charger.remarks)
        return Finding("charger", Mark.WARNING, f"{text}; {remarks}", REMARK_FIX)
    return ok("charger", text)


def _left_out(charger: ChargerView, omission: Omission, name: str) -> Finding:
    if omission.is_wanted:
        return ok("charger", f"{name} is not relayed: {omission.text}")
    if charger.serial is None:
        also = "" if omission.is_about_serial else f"; also, {omission.remedy}"
        fix = f'set device.serials: {{{charger.key}: "its serial"}}, as its label has it{also}'
        return wrong("charger", f"{name} is left out: {omission.text}", fix)
    if omission.may_be_night:
        return Finding("charger", Mark.WARNING, f"{name}: {omission.text}", omission.remedy)
    return wrong("charger", f"{name} is left out: {omission.text}", omission.remedy)


def settings(unused: Sequence[str]) -> list[Finding]:
    """Finds settings that match no charger."""
    fix = "is the charger on, and the key right? The lines above show each charger's"
    return [Finding("settings", Mark.WARNING, f"{text} fits no charger", fix) for text in unused]


def _numbers(report: DeviceReport) -> str:
    trackers = ", ".join(f"{t.name} {t.voltage_v:.1f} V" for t in report.trackers)
    return (
        f"{report.yield_power_w:.1f} W, {report.yield_total_kwh:.2f} kWh in total,"
        f" {trackers or 'no tracker in use'}"
    )


def clock(step: str, whose: str, ahead_s: float | None, fix: str) -> Finding:
    """Compares another clock with ours; None: its time is not known."""
    if ahead_s is None:
        return unknown(step, f"{whose} clock is not known")
    if abs(ahead_s) <= CLOCK_LIMIT_S:
        return ok(step, f"{whose} clock and this machine's agree to {abs(ahead_s):.0f} s")
    way = "ahead of" if ahead_s > 0 else "behind"
    return wrong(step, f"{whose} clock is {abs(ahead_s):.0f} s {way} this machine's", fix)


# --- this machine ------------------------------------------------------------------------------


def service(directory: str, found: Liveness, version: str) -> Finding:
    """Says which process runs with the outbox in `directory`, and since when; `version` is ours."""
    state = found.state
    if state is not None and found.is_running:
        who = f"{run_words(state)} (pid {state.process.pid}), by {visible(state.process.config)}"
        if state.process.version == version:
            return ok("service", who)
        fix = "restart the service, or use the command that belongs to it"
        return Finding("service", Mark.WARNING, f"{who}; this is {version}", fix)
    since = end_words(state)
    if found.is_locked and state is not None:
        fix = "restart it; if that does not help, look at its log"
        return wrong("service", f"it has the outbox {directory}, but hangs: {since}", fix)
    if found.is_locked:
        fix = "wait some seconds if it is starting; else run check as the service's user"
        text = f"running with the outbox {directory}; its state cannot be read"
        return Finding("service", Mark.WARNING, text, fix)
    fix = (
        "start it: svc -u /service/mqtt-http-bridge on a GX, systemctl start mqtt-http-bridge where"
        " systemd has it, else mqtt-http-bridge run"
    )
    text = f"none is running with the outbox {directory}: {since}"
    # Before the first start that is fine.
    return (
        Finding("service", Mark.WARNING, text, fix)
        if state is None
        else wrong("service", text, fix)
    )


def well(state: State) -> list[Finding]:
    """Says whether all was well when a service wrote this, and if not, why; then anything else."""
    wrongs = [wrong("well", problem.text, problem.fix) for problem in state.problems]
    known = [Finding("note", Mark.WARNING, note.text, note.fix) for note in state.notes]
    counted = [gx for gx in state.gx if gx.is_well is not None]
    remarks = [f"{gx.name}: {gx.remark}" for gx in counted if gx.remark]
    text = "; ".join(["every GX is heard, measured and stored", *remarks])
    return [*(wrongs or [ok("well", text)]), *known]


def run_words(state: State) -> str:
    """Says which process is running, and since when."""
    version, since = visible(state.process.version), utc_words(state.process.started)
    return f"mqtt-http-bridge {version} runs since {since}"


def end_words(state: State | None) -> str:
    """Says since when nothing is running."""
    return f"not running since {utc_words(state.written)}" if state else "it never ran here"


def utc_words(unix_s: float) -> str:
    """Writes a time in UTC for people; one out of range is "an unknown time"."""
    try:
        return f"{datetime.fromtimestamp(unix_s, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (ValueError, OverflowError, OSError):
        return "an unknown time"


def status_page(settings: StatusSettings, *, is_local: bool) -> Finding:
    """Says who can see the page."""
    if settings.listen is None:
        return ok("status page", "off")
    where = f"{settings.listen[0]}:{settings.listen[1]}"
    if is_local:
        return ok("status page", f"{where}, for this machine only")
    text = f"{where}: everybody who can reach this address can see it, without a login"
    fix = "set status.listen to 127.0.0.1:8480 if you do not want that"
    return Finding("status page", Mark.WARNING, text, fix)
