"""Writes the config lines that `discover`, `pin` and `pair` print."""

import json
from collections.abc import Sequence

from mqtt_http_bridge.core.settings import MqttSettings
from mqtt_http_bridge.core.views import ChargerView
from mqtt_http_bridge.core.words import visible


def quoted(text: str) -> str:
    """Quotes a text as JSON, which is also YAML, so that it stays a text whatever is in it."""
    return json.dumps(text, ensure_ascii=False)


def whole_config(
    mqtt: MqttSettings,
    portal_id: str,
    chargers: Sequence[ChargerView],
    password_file: str | None = None,
) -> str:
    """Returns a config for one GX that works once the backend's address and key are set.

    A password stays in `password_file` or, without that, in the environment variable.
    """
    lines = [
        "backend:",
        "  url: https://solar.example.org   # yours",
        "  api_key_file: api_key.txt        # a file with your key in its first line",
        *mqtt_lines(mqtt),
        *_password_lines(mqtt, password_file),
        *([f"  topic_prefix: {quoted(mqtt.topic_prefix)}"] if mqtt.topic_prefix else []),
        f"  portal_id: {quoted(portal_id)}",
        *_services_lines(chargers),
    ]
    nameless = [c for c in chargers if c.serial is None]
    if nameless:
        lines += ["device:", "  serials:   # these chargers do not report theirs"]
        lines += [f'    {c.key}: "its serial"   # {visible(c.name)}' for c in nameless]
    return "\n".join(lines) + "\n"


def mqtt_lines(mqtt: MqttSettings) -> list[str]:
    """Returns the lines that lead to a broker, and make the relay trust its certificate alone."""
    lines = ["mqtt:", f"  host: {quoted(mqtt.host)}"]
    if mqtt.port != (8883 if mqtt.tls else 1883):
        lines.append(f"  port: {mqtt.port}")
    if mqtt.tls:
        lines += ["  tls: true", f"  pinned_certificate: {quoted(mqtt.pinned_certificate or '')}"]
    return lines


def _password_lines(mqtt: MqttSettings, password_file: str | None) -> list[str]:
    if mqtt.password is None:
        return []
    if password_file is not None:
        return [f"  password_file: {quoted(password_file)}"]
    return ["  # its password is in the environment: MQTT_HTTP_BRIDGE_MQTT_PASSWORD"]


def _services_lines(chargers: Sequence[ChargerView]) -> list[str]:
    services = list(dict.fromkeys(["solarcharger", *(c.key.service for c in chargers)]))
    return [f"  services: [{', '.join(services)}]"] if len(services) > 1 else []


def token_lines(token_name: str, token_file: str) -> list[str]:
    """Returns the lines that make the relay log in with a token."""
    return [f"  username: {quoted(token_name)}", f"  password_file: {quoted(token_file)}"]
