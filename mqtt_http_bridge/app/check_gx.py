"""Checks the GX for `check`: the connection to it, and what it says.

Of several addresses, each is checked. It is not a fault if one is down while another is up: any
node of a cluster will do.
"""

from collections.abc import Generator, Iterator

from mqtt_http_bridge.adapters import network, tls
from mqtt_http_bridge.adapters.connection_error import failure_of
from mqtt_http_bridge.app.listen import GxHeard, Heard, listen
from mqtt_http_bridge.app.service_state import service_state
from mqtt_http_bridge.core import advice
from mqtt_http_bridge.core.broker_failure import REFUSAL_REMEDY, BrokerFailure, Cause, refusal_text
from mqtt_http_bridge.core.settings import MqttSettings, OutboxSettings, Settings
from mqtt_http_bridge.core.status import findings
from mqtt_http_bridge.core.status.findings import Finding, Mark, ok, unknown, wrong
from mqtt_http_bridge.core.status.problem import Kind
from mqtt_http_bridge.core.status.well import WAIT_A_MINUTE
from mqtt_http_bridge.core.words import MENU_TIME


def look_at_gx(settings: Settings) -> Generator[Finding, None, Heard]:
    """Yields a finding for each thing checked; returns what was heard, if anything was."""
    mqtt = settings.mqtt
    is_alone = len(mqtt.hosts) == 1
    ways: dict[str, list[Finding]] = {}
    for host, one in zip(mqtt.hosts, mqtt.each(), strict=True):
        ways[host] = []
        for finding in _way(one):
            ways[host].append(finding)
            if is_alone:  # Nothing that comes later can change the result.
                yield finding
    good = [host for host, found in ways.items() if all(f.mark is Mark.OK for f in found)]
    if not is_alone:
        for found in ways.values():
            yield from (_mild(finding) if good else finding for finding in found)
    if not good:
        yield unknown("GX login", "the way to the GX comes first")
        return Heard()
    heard = listen(mqtt._replace(hosts=tuple(good)), settings.device, settings.own_keys)
    yield from _own_connection(settings.outbox, heard)
    yield from _site(settings, heard)
    return heard


def _mild(finding: Finding) -> Finding:
    if finding.mark is not Mark.WRONG:
        return finding
    return finding._replace(mark=Mark.WARNING, text=f"{finding.text}; another address will do")


def _way(mqtt: MqttSettings) -> Iterator[Finding]:
    """Looks at the way to one address."""
    found = network.resolved(mqtt)
    if isinstance(found, BrokerFailure):
        yield findings.gx_port(mqtt.place, found)
        yield unknown("GX port", "the name comes first")
        return
    yield findings.name("GX name", mqtt.host, found)
    failure = network.port_failure(mqtt)
    yield findings.gx_port(mqtt.place, failure, port_fix(mqtt, failure))
    if failure:
        yield unknown("GX TLS", "the port comes first")
    elif mqtt.tls:
        yield tls_finding(mqtt)
    else:
        yield ok("GX TLS", "not used (mqtt.tls: false)")


def port_fix(mqtt: MqttSettings, failure: BrokerFailure | None) -> str:
    """Finds the next command if the port is closed: it depends on which other port is open."""
    if failure is None or failure.cause is not Cause.PORT_CLOSED:
        return ""
    others = [port for port in advice.GX_PORTS if port != mqtt.port]
    found = network.open_ports(mqtt.host, others)
    return "" if failure.is_no_gx and not found else advice.closed_port(mqtt, found)


def login_fix(mqtt: MqttSettings, failure: BrokerFailure | None) -> str:
    """Finds the next command if a login without TLS got no answer."""
    if failure is None or failure.cause is not Cause.HUNG_UP or mqtt.tls:
        return ""
    at = next((one for one in mqtt.each() if one.place == failure.place), mqtt)
    return advice.tls_wanted(at) if network.speaks_tls(at.host, at.port) else ""


def tls_finding(mqtt: MqttSettings) -> Finding:
    """Tells whether the broker's certificate is one we trust."""
    try:
        shown = network.certificate(mqtt.host, mqtt.port)
    except OSError as error:
        failure = failure_of(error, mqtt, network.CONNECT_S)
        return wrong("GX TLS", str(failure), failure.remedy)
    pinned = mqtt.pinned_certificate
    if pinned is None:
        error_text = network.trust_error(mqtt.host, mqtt.port, mqtt.ca_file)
        return findings.gx_certificate(str(shown), mqtt, is_pinned=False, error=error_text)
    try:
        is_pinned = tls.is_pinned(shown.pem, pinned)
    except tls.NoCertificate:
        fix = f"run: mqtt-http-bridge pin {mqtt.host}"
        return wrong("GX TLS", f"{shown}; mqtt.pinned_certificate is no certificate in PEM", fix)
    return findings.gx_certificate(str(shown), mqtt, is_pinned=is_pinned, error="")


def _own_connection(outbox: OutboxSettings, heard: Heard) -> Iterator[Finding]:
    """Returns what the service says about its own connection, which a second one cannot see."""
    found = service_state(outbox)
    if found.state is not None and found.is_running and heard.is_connected:
        for problem in found.state.problems:
            if problem.kind is Kind.NO_CONNECTION and problem.fix != WAIT_A_MINUTE:
                yield wrong("connection", f"the service has {problem.text}", problem.fix)


def _site(settings: Settings, heard: Heard) -> Iterator[Finding]:
    mqtt = settings.mqtt
    failure = None if heard.is_connected else heard.failure
    yield findings.gx_login(mqtt, failure, login_fix(mqtt, failure))
    if not heard.is_connected:
        yield unknown("portal id", "the login comes first")
        return
    if heard.refused_topics:
        yield wrong("subscription", refusal_text(heard.refused_topics), REFUSAL_REMEDY)
    is_sharded = mqtt.shard is not None
    fix = prefix_fix(mqtt, heard)
    yield findings.portal_ids(mqtt.own_portal_ids, heard.seen, fix, is_sharded=is_sharded)
    if is_sharded:
        yield findings.shard(mqtt, heard.seen)
    if not heard.gxs and not heard.seen:
        yield unknown("keepalive", "the portal id comes first")
    for portal_id, gx in heard.gxs.items():
        is_alone = bool(mqtt.portal_ids) or not any(g.is_answered for g in heard.gxs.values())
        yield from _gx_heard(settings, portal_id, gx, heard, is_one_of_several=not is_alone)
    if all(gx.is_answered for gx in heard.gxs.values()):
        yield from findings.settings(heard.unused_settings)


def prefix_fix(mqtt: MqttSettings, heard: Heard) -> str:
    """Finds what to set if the topics of a GX have a different prefix."""
    for prefix, portal_id in heard.prefixes.items():
        if prefix != mqtt.topic_prefix:
            return advice.prefix(mqtt.topic_prefix, portal_id, prefix)
    return ""


def _gx_heard(
    settings: Settings, portal_id: str, gx: GxHeard, heard: Heard, *, is_one_of_several: bool
) -> Iterator[Finding]:
    if not gx.is_answered and portal_id not in heard.seen:
        # Nobody can say of something that may not be a GX that it is asleep or off.
        yield unknown("keepalive", "the portal id comes first")
        return
    yield keepalive(settings.mqtt, portal_id, gx, is_one_of_several=is_one_of_several)
    if not gx.is_answered:
        if not is_one_of_several:
            yield unknown("charger", "the keepalive comes first")
        return
    yield from findings.chargers(gx.chargers, settings.mqtt.services)
    fix = f"set the one that is wrong: {MENU_TIME}, or NTP on this machine"
    yield findings.clock("GX clock", "the GX's", gx.ahead_s, fix)


def keepalive(
    mqtt: MqttSettings, portal_id: str, gx: GxHeard, *, is_one_of_several: bool
) -> Finding:
    """Reports the result of the keepalives that were sent to one GX."""
    answer = findings.Answer(
        is_answered=gx.is_answered,
        is_completed=gx.is_completed,
        is_old=gx.is_old,
        has_heartbeat=gx.ahead_s is not None,
        is_retained=gx.is_retained,
        is_one_of_several=is_one_of_several,
    )
    return findings.keepalive(portal_id, answer, mqtt.topic_prefix)
