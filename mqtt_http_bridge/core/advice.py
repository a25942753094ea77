"""The next command to type, depending on what was found at the address of a GX.

The ports that a GX opens show its access profile (docs/gx.md, "Who may connect"): so before
anything is said about a closed port, the other one is looked at.
"""

from collections.abc import Collection
from typing import Final

from mqtt_http_bridge.core.settings import MqttSettings
from mqtt_http_bridge.core.words import MENU_MQTT

PLAIN_PORT: Final = 1883
TLS_PORT: Final = 8883
GX_PORTS: Final = (PLAIN_PORT, TLS_PORT)


def closed_port(mqtt: MqttSettings, open_ports: Collection[int]) -> str:
    """Advises if the port of `mqtt` is closed; `open_ports` are those of GX_PORTS."""
    right, other = (TLS_PORT, PLAIN_PORT) if mqtt.tls else (PLAIN_PORT, TLS_PORT)
    if right in open_ports:
        return f"port {right} is open: set mqtt.port: {right}"
    if other not in open_ports:
        return f"switch on MQTT access, {MENU_MQTT}; then run: mqtt-http-bridge setup"
    if mqtt.tls:
        return f"port {other} is open, without TLS: leave mqtt.tls and mqtt.port out"
    return (
        f"port {other} is open, so this GX is secured: run: mqtt-http-bridge setup. By hand:"
        f" mqtt-http-bridge pin {mqtt.host}, then mqtt.tls: true, mqtt.pinned_certificate and"
        " mqtt.password"
    )


def tls_wanted(mqtt: MqttSettings) -> str:
    """Advises if a port that was tried without TLS speaks TLS."""
    return (
        f"port {mqtt.port} speaks TLS: run: mqtt-http-bridge setup. By hand: mqtt-http-bridge pin"
        f" {mqtt.host}, then mqtt.tls: true and mqtt.pinned_certificate"
    )


def prefix(configured: str, portal_id: str, found: str) -> str:
    """Advises if topics of a GX are below another prefix than the config has."""
    if found:
        return f"set mqtt.topic_prefix: {found}, below which the broker announces {portal_id}"
    return (
        f"leave mqtt.topic_prefix out: the broker announces {portal_id} without {configured}/"
        " before its topics"
    )
