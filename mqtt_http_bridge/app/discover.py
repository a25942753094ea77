"""The verb `discover`: from a GX to a config."""

from pathlib import Path

from mqtt_http_bridge.adapters import machine, network
from mqtt_http_bridge.adapters.standard_streams import say
from mqtt_http_bridge.app.check_gx import keepalive
from mqtt_http_bridge.app.find_gx import find_gx
from mqtt_http_bridge.app.first_look import login_fix, port_fix
from mqtt_http_bridge.app.listen import GxHeard, Heard, listen
from mqtt_http_bridge.app.pin import must_hold_certificate
from mqtt_http_bridge.core import proposal
from mqtt_http_bridge.core.config_settings import DEFAULT_USERNAME
from mqtt_http_bridge.core.errors import LocalFault
from mqtt_http_bridge.core.settings import DeviceSettings, MqttSettings, Secret
from mqtt_http_bridge.core.status import findings
from mqtt_http_bridge.core.status.findings import Mark
from mqtt_http_bridge.core.venus.paths import SERVICES
from mqtt_http_bridge.core.words import MENU_ADDRESS


def discover(
    host: str | None,
    port: int | None,
    certificate: Path | None,
    password: Secret | None,
    password_file: Path | None = None,
) -> None:
    """Prints a config for the GX at `host`, or for the one that a search finds.

    The config names the file that the password is from. Raises LocalFault if there is none to be
    had, ConfigError if a file that is named is not what it should be.
    """
    if certificate is not None:
        command = f"pin {host or 'HOST'}"
        must_hold_certificate(certificate, "the certificate of the GX's broker", command)
    mqtt = MqttSettings(
        hosts=(host or _found(),),
        port=port or (8883 if certificate else 1883),
        username=DEFAULT_USERNAME if password else None,
        password=password,
        tls=certificate is not None,
        pinned_certificate=str(certificate.absolute()) if certificate else None,
        services=SERVICES,
    )
    if failure := network.port_failure(mqtt):
        _fail(findings.gx_port(mqtt.place, failure, port_fix(mqtt, failure)))
    mqtt, heard = _heard_below_a_prefix(mqtt)
    if not heard.is_connected:
        _fail(findings.gx_login(mqtt, heard.failure, login_fix(mqtt, heard.failure)))
    if not heard.seen:
        fix = "wait if the GX is starting up; else give the address of a GX"
        _fail(findings.portal_ids((), heard.seen)._replace(fix=fix))
    for portal_id, gx in heard.gxs.items():
        say(f"GX {portal_id}: {_keepalive(mqtt, portal_id, gx)}")
        for finding in findings.chargers(gx.chargers, SERVICES):
            say(f"  {finding.text}" + (f": {finding.fix}" if finding.fix else ""))
    answered = [portal_id for portal_id in heard.seen if heard.gxs[portal_id].is_answered]
    first = (answered or heard.seen)[0]
    if len(answered) > 1:
        say(f"Each GX is relayed; to relay some of them, set mqtt.portal_id: {answered}")
    file = str(password_file.absolute()) if password_file else None
    print(proposal.whole_config(mqtt, first, heard.gxs[first].chargers, file), end="")


def _heard_below_a_prefix(mqtt: MqttSettings) -> tuple[MqttSettings, Heard]:
    """Listens; where a bridge has put a prefix before all topics, once more with that."""
    heard = listen(mqtt, DeviceSettings())
    for prefix, portal_id in heard.prefixes.items():
        say(f"the broker names {portal_id} below {prefix}/")
        mqtt = mqtt._replace(topic_prefix=prefix)
        return mqtt, listen(mqtt, DeviceSettings())
    return mqtt, heard


def _keepalive(mqtt: MqttSettings, portal_id: str, gx: GxHeard) -> str:
    finding = keepalive(mqtt, portal_id, gx, is_one_of_several=False)
    return finding.text + (f": {finding.fix}" if finding.fix else "")


def _found() -> str:
    """Returns the address of the GX on this network: this machine, if it is one."""
    if machine.UNIQUE_ID.exists():
        return "127.0.0.1"
    say("searching the network for GX devices ...")
    found = find_gx()
    for text in (*found.remarks, *map(str, found.announcements)):
        say(f"  {text}")
    places = [each.address for each in found.announcements] or [found.by_name]
    if len(places) > 1:
        raise LocalFault(f"expected one GX, found {len(places)}: name one: discover {places[0]}")
    if not places[0]:
        raise LocalFault(
            "expected a GX that answers a search, found none: name its address: discover ADDRESS"
            f" ({MENU_ADDRESS})"
        )
    return places[0]


def _fail(finding: findings.Finding) -> None:
    if finding.mark is not Mark.OK:
        raise LocalFault(f"{finding.step}: {finding.text}: {finding.fix}")
