"""Calls the verbs that find a GX, trust it and log in to it."""

import os
import sys

from mqtt_http_bridge.adapters import config_place
from mqtt_http_bridge.app.log import log_to
from mqtt_http_bridge.cli_grammar import Arguments
from mqtt_http_bridge.cli_gx_grammar import DEFAULT_CERTIFICATE
from mqtt_http_bridge.core.redaction import Redaction
from mqtt_http_bridge.core.settings import Secret

# What a verb needs is imported when it is asked for.


def setup(arguments: Arguments) -> tuple[bool, bool]:
    """Returns whether all is well, and whether to start; the config is then that of `run`."""
    from mqtt_http_bridge.adapters import machine, terminal
    from mqtt_http_bridge.app import setup as app
    from mqtt_http_bridge.app.make_config import api_key_in
    from mqtt_http_bridge.core.setup.steps import Given, Ports

    api_key = os.environ.get("MQTT_HTTP_BRIDGE_API_KEY")
    if not api_key and arguments.api_key_file:
        api_key = api_key_in(arguments.api_key_file)
    ports = Ports()
    given = Given(
        is_interactive=terminal.has_person(),
        is_gx=machine.UNIQUE_ID.exists(),
        host=arguments.host,
        fingerprint=arguments.fingerprint,
        web_fingerprint=arguments.web_fingerprint,
        url=arguments.url,
        api_key=api_key,
        password=_password(arguments),
        starts=arguments.starts,
        ports=Ports(mqtt=arguments.port or ports.mqtt, web=arguments.web_port or ports.web),
    )
    arguments.config = arguments.config or config_place.HERE
    outbox = str(arguments.outbox) if arguments.outbox else None
    with log_to(sys.stderr, "ERROR", arguments.redaction):
        result = app.setup(given, arguments.config, outbox)
    for name in app.SECRET_VARIABLES:
        os.environ.pop(name, None)
    return result


def discover(arguments: Arguments) -> None:
    """Prints a config for a GX."""
    from mqtt_http_bridge.app.discover import discover
    from mqtt_http_bridge.app.gx_password import PASSWORD_VARIABLE

    password = _password(arguments)
    file = None if os.environ.get(PASSWORD_VARIABLE) else arguments.password_file
    with log_to(sys.stderr, "ERROR", arguments.redaction):
        discover(arguments.host, arguments.port, arguments.certificate, password, file)


def pin(arguments: Arguments) -> None:
    """Saves the certificates of a GX."""
    from mqtt_http_bridge.app.pin import MQTT_PORT, WEB_PORT, pin

    pin(
        arguments.host or "",
        arguments.port or MQTT_PORT,
        arguments.output,
        web_port=arguments.web_port or WEB_PORT,
        web_output=arguments.web_output,
        fingerprint=arguments.fingerprint,
        web_fingerprint=arguments.web_fingerprint,
    )


def pair(arguments: Arguments) -> None:
    """Saves a token of a GX."""
    from mqtt_http_bridge.app.pair import pair
    from mqtt_http_bridge.app.pin import MQTT_PORT, WEB_PORT

    password = _password(arguments)
    with log_to(sys.stderr, "ERROR", arguments.redaction):
        pair(
            arguments.host or "",
            web_port=arguments.web_port or WEB_PORT,
            mqtt_port=arguments.mqtt_port or MQTT_PORT,
            web_certificate=arguments.web_certificate,
            certificate=arguments.certificate or DEFAULT_CERTIFICATE,
            output=arguments.output,
            password=password,
        )


def _password(arguments: Arguments) -> Secret | None:
    """Returns the GX's password, and makes sure that no error text shows it."""
    from mqtt_http_bridge.app.gx_password import password_from

    password = password_from(arguments.password_file, os.environ)
    arguments.redaction = Redaction([password] if password else [])
    return password
