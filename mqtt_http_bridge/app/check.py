"""The verb `check`: walks the chain from the config to the service, and stops at nothing."""

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from ipaddress import ip_address
from pathlib import Path
from typing import Final, TextIO
from urllib.parse import urlsplit

from mqtt_http_bridge.adapters import config, machine, network
from mqtt_http_bridge.adapters.backend import Backend
from mqtt_http_bridge.adapters.clock import SystemClock
from mqtt_http_bridge.adapters.outbox import inspection
from mqtt_http_bridge.app.listen import GxHeard, Heard, listen
from mqtt_http_bridge.core import findings
from mqtt_http_bridge.core.delivery import Reply, judge
from mqtt_http_bridge.core.errors import ConfigError, LocalFault
from mqtt_http_bridge.core.findings import Finding, Mark, ok, unknown, wrong
from mqtt_http_bridge.core.measurement import Measurement, to_json
from mqtt_http_bridge.core.settings import BackendSettings, MqttSettings, OutboxSettings, Settings
from mqtt_http_bridge.core.views import ParkedView

MARKS: Final = {
    Mark.OK: ("ok  ", "32"),
    Mark.WARNING: ("note", "33"),
    Mark.WRONG: ("FAIL", "31"),
    Mark.UNKNOWN: ("  ? ", "2"),
}
NO_PORTAL: Final = "unknown"
"""Stands for the portal id in a POST that stores nothing."""


def check(path: Path, environment: Mapping[str, str], *, as_json: bool) -> list[Finding]:
    """Prints a line for each thing looked at, as it is found, and returns them all."""
    found = []
    for finding in walk(path, environment):
        found.append(finding)
        if not as_json:
            _print(finding, sys.stdout, has_colour=_has_colour(sys.stdout, environment))
    if as_json:
        holds = findings.all_hold(found)
        print(json.dumps({"holds": holds, "findings": [asdict(f) for f in found]}, indent=1))
    return found


def _has_colour(out: TextIO, environment: Mapping[str, str]) -> bool:
    return out.isatty() and not environment.get("NO_COLOR")


def _print(finding: Finding, out: TextIO, *, has_colour: bool) -> None:
    mark, colour = MARKS[finding.mark]
    mark = f"\033[{colour}m{mark}\033[0m" if has_colour else mark
    print(f"{mark}  {finding.step:13} {finding.text}", file=out, flush=True)
    if finding.fix:
        print(f"{'':20}-> {finding.fix}", file=out, flush=True)


def walk(path: Path, environment: Mapping[str, str]) -> Iterator[Finding]:
    """Everything there is to find, in order; nothing that is wrong ends it."""
    settings, finding = _load(path, environment)
    yield finding
    if settings is None:
        for step in ("GX", "backend", "outbox", "service"):
            yield unknown(step, "the config comes first")
        return
    heard = Heard()
    way = []
    for finding in _gx(settings.mqtt):
        way.append(finding.mark)
        yield finding
    if set(way) == {Mark.OK}:
        heard = listen(settings.mqtt, settings.device)
        yield from _site(settings, heard)
    else:
        yield unknown("GX login", "the way to the GX comes first")
    yield from _backend(settings.backend, heard)
    yield from _serials(settings, heard)
    yield from _outbox(settings.outbox, settings.device.update_interval_s)
    listening = settings.status.listen
    is_local = listening is None or ip_address(listening[0]).is_loopback
    yield findings.status_page(settings.status, is_local=is_local)


def _load(path: Path, environment: Mapping[str, str]) -> tuple[Settings | None, Finding]:
    """What of the config can be had: without its backend part the GX can still be looked at."""
    try:
        return config.load(path, environment), ok("config", str(path))
    except ConfigError as error:
        fix = "mend this key, or the file; config.yaml.example shows what each key takes"
        finding = wrong("config", str(error), fix)
    try:
        return config.load(path, environment, needs_backend=False), finding
    except ConfigError:
        return None, finding


# --- the GX ------------------------------------------------------------------------------------


def _gx(mqtt: MqttSettings) -> Iterator[Finding]:
    fix = "set mqtt.host to the GX's address (on the GX: Settings -> Connectivity -> Ethernet)"
    name = _name("GX name", mqtt.host, fix)
    yield name
    if name.mark is not Mark.OK:
        yield unknown("GX port", "the name comes first")
        return
    error = network.port_error(mqtt.host, mqtt.port)
    yield findings.gx_port(f"{mqtt.host}:{mqtt.port}", error)
    if error:
        yield unknown("GX TLS", "the port comes first")
    elif mqtt.tls:
        yield _gx_tls(mqtt)
    else:
        yield ok("GX TLS", "not used (mqtt.tls: false)")


def _name(step: str, host: str, fix: str) -> Finding:
    try:
        return ok(step, f"{host} is {', '.join(network.addresses(host))}")
    except (OSError, UnicodeError) as error:
        return wrong(step, f"{host}: {getattr(error, 'strerror', None) or error}", fix)


def _gx_tls(mqtt: MqttSettings) -> Finding:
    try:
        shown = network.certificate(mqtt.host, mqtt.port)
    except OSError as error:
        fix = "8883 is the port that speaks TLS; for 1883 set mqtt.tls: false"
        return wrong("GX TLS", f"no TLS on port {mqtt.port}: {error.strerror or error}", fix)
    pinned = mqtt.pinned_certificate
    if pinned is not None and not network.fingerprints_in(pinned):
        fix = f"run: mqtt-http-bridge pin {mqtt.host}"
        return wrong("GX TLS", f"{shown}; mqtt.pinned_certificate is no certificate in PEM", fix)
    is_pinned = pinned is not None and shown.sha256 in network.fingerprints_in(pinned)
    error_text = ""
    if pinned is None:
        error_text = network.trust_error(mqtt.host, mqtt.port, mqtt.ca_file)
    return findings.gx_certificate(str(shown), mqtt, is_pinned=is_pinned, error=error_text)


def _site(settings: Settings, heard: Heard) -> Iterator[Finding]:
    yield findings.gx_login(settings.mqtt, "" if heard.is_connected else heard.trouble)
    if not heard.is_connected:
        yield unknown("portal id", "the login comes first")
        return
    yield findings.portal_ids(settings.mqtt.portal_ids, heard.seen)
    if not heard.gxs:
        yield unknown("keepalive", "the portal id comes first")
    for portal_id, gx in heard.gxs.items():
        yield from _gx_heard(settings, portal_id, gx)


def _gx_heard(settings: Settings, portal_id: str, gx: GxHeard) -> Iterator[Finding]:
    yield findings.keepalive(portal_id, is_answered=gx.is_answered, is_completed=gx.is_completed)
    if not gx.is_answered:
        yield unknown("charger", "the keepalive comes first")
        return
    yield from findings.chargers(gx.chargers, settings.mqtt.services)
    fix = f"set the one that is wrong: {findings.MENU_TIME}, or NTP on this machine"
    yield findings.clock("GX clock", "the GX's", gx.ahead_s, fix)


# --- the backend -------------------------------------------------------------------------------


def _backend(backend: BackendSettings | None, heard: Heard) -> Iterator[Finding]:
    if backend is None:
        yield unknown("backend", "the config comes first")
        return
    parts = urlsplit(backend.url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    yield _name("backend name", host, "set backend.url to the backend's address; is there a DNS?")
    if parts.scheme == "https":
        yield _backend_tls(backend, host, port)
    else:
        yield ok("backend TLS", "not used (backend.url is http)")
    portal_id = next(iter(heard.gxs), NO_PORTAL)
    now = SystemClock().now().utc
    empty = Measurement(now, portal_id, ())
    poster = Backend(backend)
    answer = poster.post(to_json(empty))
    poster.close()
    yield findings.backend_post(answer, judge(answer, empty))
    yield _backend_clock(backend, is_answered=isinstance(answer, Reply))


def _backend_clock(backend: BackendSettings, *, is_answered: bool) -> Finding:
    theirs = network.http_time(backend.url, backend.ca_file)
    if theirs is None and is_answered:
        return ok("backend clock", "the backend tells no time")
    ours = SystemClock().now().utc
    ahead_s = (theirs - ours).total_seconds() if theirs else None
    fix = "set the clock of this machine: is NTP on?"
    return findings.clock("backend clock", "the backend's", ahead_s, fix)


def _backend_tls(backend: BackendSettings, host: str, port: int) -> Finding:
    try:
        shown = network.certificate(host, port)
    except OSError as error:
        text = f"no TLS at {host}:{port}: {error.strerror or error}"
        return wrong("backend TLS", text, "is backend.url right, and the backend up?")
    return findings.backend_certificate(
        str(shown), network.trust_error(host, port, backend.ca_file)
    )


def _serials(settings: Settings, heard: Heard) -> Iterator[Finding]:
    parked = _parked(settings)
    for gx in heard.gxs.values():
        for charger in gx.chargers:
            if charger.serial is not None and charger.key.service in settings.mqtt.services:
                yield findings.serial(charger.serial, parked)


def _parked(settings: Settings) -> list[ParkedView]:
    directory = Path(settings.outbox.directory)
    try:
        found = inspection.status(directory, settings.outbox.max_bytes, 1.0)
    except LocalFault:
        return []
    return [ParkedView(p.serial, p.count, p.reason) for p in found.parked]


# --- this machine ------------------------------------------------------------------------------


def _outbox(outbox: OutboxSettings, interval_s: float) -> Iterator[Finding]:
    directory = Path(outbox.directory)
    error = machine.write_error(directory)
    if error:
        fix = "mend its owner or its disk, set outbox.directory, or run check as the service's user"
        yield wrong("outbox", f"{directory}: {error}", fix)
    else:
        yield ok("outbox", f"{directory} is writable")
    try:
        status = inspection.status(directory, outbox.max_bytes, interval_s)
    except LocalFault:
        yield ok("room", "nothing waits: the outbox is made at the first start")
    else:
        yield _room(status.hours_of_room, status.waiting)
    yield findings.service(str(directory), is_running=machine.is_locked(directory / "lock"))


def _room(hours: float, waiting: int) -> Finding:
    text = f"{waiting} measurements wait, there is room for {hours:.0f} more hours"
    if hours >= 1:
        return ok("room", text)
    return wrong("room", text, "make room on the disk, or raise outbox.max_bytes")
