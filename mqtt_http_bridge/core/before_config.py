"""Says what to do about a GX that cannot be reached while there is no config yet.

`setup`, `discover`, `pin` and `pair` come before the config: what they advise is an option, a
command or a menu of the GX, never a config key. `advice` and `broker_failure` speak to whoever has
a config.
"""

from collections.abc import Collection, Mapping
from typing import Final

from mqtt_http_bridge.core.advice import PLAIN_PORT, TLS_PORT
from mqtt_http_bridge.core.broker_failure import BrokerFailure, Cause
from mqtt_http_bridge.core.disk_remedy import SHORT
from mqtt_http_bridge.core.settings import MqttSettings
from mqtt_http_bridge.core.words import MENU_ADDRESS, MENU_MQTT, MENU_SECURITY

SETUP: Final = "run: mqtt-http-bridge setup"
_MQTT_PORT: Final = "see that this is the port of an MQTT broker"
_REMEDIES: Final[Mapping[Cause, str]] = {
    Cause.NAME_NOT_RESOLVED: f"give the GX's address ({MENU_ADDRESS})",
    Cause.PORT_CLOSED: f"switch on MQTT access, {MENU_MQTT}",
    Cause.UNREACHABLE: "see that the GX and this machine are on one network, and that this is the"
    " GX's address",
    Cause.NO_ROOM: SHORT,
    Cause.TIMED_OUT: "see that the GX is on, that this is its address, and that no firewall is"
    " between",
    Cause.NO_TLS: "see that this is the port with TLS: on a GX it is 8883",
    Cause.CERTIFICATE_NOT_PINNED: "if the GX was reset or replaced, remove the file with its old"
    " certificate; else somebody else answers there",
    Cause.CERTIFICATE_NOT_TRUSTED: "run: mqtt-http-bridge pin {host}",
    Cause.CERTIFICATE_OUT_OF_DATE: "set the clock of this machine; if it is right, renew the"
    " broker's certificate",
    Cause.HUNG_UP: _MQTT_PORT,
    Cause.LOGIN_REFUSED: f"{SETUP}, or give the GX's network password ({MENU_SECURITY}) with"
    " --password-file",
    Cause.CLIENT_REFUSED: _MQTT_PORT,
    Cause.UNAVAILABLE: "wait: the broker is starting up, or has too many clients. If it lasts,"
    " restart the GX",
    Cause.NOT_MQTT: _MQTT_PORT,
    Cause.LOST: "try again; if it goes on, look at the network",
    Cause.TAKEN_OVER: "see that nothing else uses the name of this client",
    Cause.CUT_OFF: "look into the broker's log, and at what is between",
    Cause.GIVEN_UP: "see that the GX is on, and what else speaks on its broker",
}
WRONG_PASSWORD: Final = (
    f"compare the password with the network password ({MENU_SECURITY}). After too many wrong ones"
    " the GX refuses the right one, too: then wait some minutes"
)
_OR_PAIR: Final = "A GX that takes paired devices only wants a token: mqtt-http-bridge setup"


def remedy(failure: BrokerFailure) -> str:
    """Returns the remedy, as an instruction without a final full stop; never empty."""
    if failure.cause is Cause.LOGIN_REFUSED and failure.has_password:
        return f"{WRONG_PASSWORD}. {_OR_PAIR}" if failure.has_tls else WRONG_PASSWORD
    return _REMEDIES[failure.cause].format(host=failure.host)


def closed_port(mqtt: MqttSettings, open_ports: Collection[int], port_option: str) -> str:
    """Advises if the port of `mqtt` is closed; `open_ports` are those of advice.GX_PORTS."""
    right, other = (TLS_PORT, PLAIN_PORT) if mqtt.tls else (PLAIN_PORT, TLS_PORT)
    if right in open_ports:
        return f"port {right} is open: leave {port_option} out"
    if other not in open_ports:
        return f"switch on MQTT access, {MENU_MQTT}; then {SETUP}"
    if mqtt.tls:
        return (
            f"port {other} is open, without TLS: there is nothing to pin or to pair there; run:"
            f" mqtt-http-bridge discover {mqtt.host}"
        )
    return f"port {other} is open, so this GX is secured: {SETUP}. {_by_hand(mqtt)}"


def tls_wanted(mqtt: MqttSettings) -> str:
    """Advises if a port that was tried without TLS speaks TLS."""
    port = "" if mqtt.port == TLS_PORT else f" --port {mqtt.port}"
    return f"port {mqtt.port} speaks TLS: {SETUP}. {_by_hand(mqtt, port)}"


def _by_hand(mqtt: MqttSettings, port: str = "") -> str:
    return (
        f"By hand: mqtt-http-bridge pin {mqtt.host}{port}, then mqtt-http-bridge discover"
        f" {mqtt.host}{port} --certificate gx.pem --password-file FILE"
    )
