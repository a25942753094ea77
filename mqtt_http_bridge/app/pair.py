"""The verb `pair`: gets a token from a GX, and tries it at its broker."""

import secrets
from pathlib import Path

from mqtt_http_bridge.adapters import network, pairing, terminal
from mqtt_http_bridge.adapters.private_files import write_private
from mqtt_http_bridge.adapters.small_files import NoText, read_text
from mqtt_http_bridge.adapters.standard_streams import say
from mqtt_http_bridge.app.first_look import port_fix
from mqtt_http_bridge.app.pin import must_hold_certificate
from mqtt_http_bridge.app.try_login import failure_after_waiting
from mqtt_http_bridge.core import proposal
from mqtt_http_bridge.core.broker_failure import BrokerFailure
from mqtt_http_bridge.core.errors import LocalFault
from mqtt_http_bridge.core.settings import MqttSettings, Secret
from mqtt_http_bridge.core.status.findings import gx_port
from mqtt_http_bridge.core.venus.pairing import ROLE, NoToken, Token, token_name


def pair(
    host: str,
    *,
    web_port: int,
    mqtt_port: int,
    web_certificate: Path,
    certificate: Path,
    output: Path,
    password: Secret | None,
) -> None:
    """Obtains a token, keeps it in a file, and says that it works once it has.

    Raises LocalFault, and ConfigError if a certificate that is named is none.
    A file that already holds a token of ours is that of the token to replace.
    """
    for file, whose in ((certificate, "broker"), (web_certificate, "web server")):
        must_hold_certificate(file, f"the certificate of the GX's {whose}", f"pin {host}")
    mqtt = MqttSettings((host,), mqtt_port, tls=True, pinned_certificate=str(certificate))
    _see_port(mqtt)
    token = _token(host, web_port, web_certificate, output, password)
    write_private(output, token_text(token))
    failure = failure_after_waiting(with_token(mqtt, token))
    if failure is not None:
        raise LocalFault(_not_known(mqtt, failure, output))
    say(f"paired: the broker takes the token; it is in {output}, which only you can read")
    lines = [*proposal.mqtt_lines(mqtt), *proposal.token_lines(token.name, str(output))]
    print("\n".join(lines))


def _see_port(mqtt: MqttSettings) -> None:
    """Makes sure that there is a broker, before making a token that could not be tried."""
    if failure := network.port_failure(mqtt):
        finding = gx_port(mqtt.place, failure, port_fix(mqtt, failure, "--mqtt-port"))
        raise LocalFault(f"{finding.step}: {finding.text}: {finding.fix}")


def _token(host: str, port: int, certificate: Path, output: Path, password: Secret | None) -> Token:
    try:
        return pairing.request_token(
            host,
            port,
            certificate=certificate,
            device_id=device_id_in(output) or new_device_id(),
            password=password or _asked_password(),
        )
    except NoToken as error:
        raise LocalFault(str(error)) from error


def _not_known(mqtt: MqttSettings, failure: BrokerFailure, output: Path) -> str:
    return (
        f"{mqtt.host}:{mqtt.port}: the GX gave a token, and its broker does not let it in"
        f" ({failure}): it is kept in {output}: wait a minute and run pair again, which replaces it"
    )


def with_token(mqtt: MqttSettings, token: Token) -> MqttSettings:
    """Returns the settings with the token as login."""
    return mqtt._replace(username=token.name, password=token.password)


def token_text(token: Token) -> str:
    """Returns what a token's file holds: its password, and its name for the next pairing."""
    return f"{token.password.reveal()}\n{token.name}\n"


def new_device_id() -> str:
    """Draws a random one: a second installation must not replace the token of the first."""
    return secrets.token_hex(4)


def device_id_in(path: Path) -> str | None:
    """Returns the device id of the token in a file, so that the next token replaces it."""
    try:
        lines = read_text(path).splitlines()
    except NoText:
        return None
    device_id = lines[1].rpartition("/")[2] if len(lines) > 1 else ""
    return device_id if lines[1:2] == [token_name(ROLE, device_id)] and device_id else None


def _asked_password() -> Secret | None:
    """Returns what a person types; None where nobody can, or wants to."""
    if not terminal.has_person():
        return None
    question = "Network password of the GX (not shown; empty: it is in pairing mode)"
    typed = terminal.ask(question, is_secret=True)
    return Secret(typed) if typed else None
