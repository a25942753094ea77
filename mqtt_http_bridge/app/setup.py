"""The verbs `discover`, `pin` and `pair`: from a GX to config lines."""

import getpass
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from mqtt_http_bridge.adapters import network, pairing
from mqtt_http_bridge.app.listen import listen
from mqtt_http_bridge.core import findings, proposal
from mqtt_http_bridge.core.errors import LocalFault
from mqtt_http_bridge.core.findings import Mark
from mqtt_http_bridge.core.schema import DEFAULT_USERNAME
from mqtt_http_bridge.core.settings import DeviceSettings, MqttSettings, Secret
from mqtt_http_bridge.core.topics import SERVICES

PASSWORD_VARIABLE: Final = "MQTT_HTTP_BRIDGE_MQTT_PASSWORD"  # noqa: S105 - the name of it
ROLE: Final = "mqtt-http-bridge"


def password_from(file: Path | None, environment: Mapping[str, str]) -> Secret | None:
    """The GX's password: from the environment, or from the first line of a file; else None."""
    if from_environment := environment.get(PASSWORD_VARIABLE):
        return Secret(from_environment)
    if file is None:
        return None
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise LocalFault(f"{file}: expected a text file with the password, found none") from error
    return Secret(lines[0]) if lines and lines[0] else None


def discover(
    host: str, port: int | None, certificate: Path | None, password: Secret | None
) -> None:
    """Prints a config for the GX at `host`. Raises LocalFault if there is none to be had."""
    mqtt = MqttSettings(
        host=host,
        port=port or (8883 if certificate else 1883),
        username=DEFAULT_USERNAME if password else None,
        password=password,
        tls=certificate is not None,
        pinned_certificate=str(certificate) if certificate else None,
        services=SERVICES,
    )
    where = f"{mqtt.host}:{mqtt.port}"
    if error := network.port_error(mqtt.host, mqtt.port):
        _fail(findings.gx_port(where, error), _secured_hint(mqtt))
    heard = listen(mqtt, DeviceSettings())
    if not heard.is_connected:
        _fail(findings.gx_login(mqtt, heard.trouble))
    if not heard.seen:
        _fail(findings.portal_ids((), heard.seen))
    for portal_id, gx in heard.gxs.items():
        _tell(f"GX {portal_id}")
        for finding in findings.chargers(gx.chargers, SERVICES):
            _tell(f"  {finding.text}" + (f": {finding.fix}" if finding.fix else ""))
    first = heard.seen[0]
    if len(heard.seen) > 1:
        _tell(f"Several GX devices: list those to relay, mqtt.portal_id: {heard.seen}")
    print(proposal.whole_config(mqtt, first, heard.gxs[first].chargers), end="")


def _secured_hint(mqtt: MqttSettings) -> str:
    """What to try where only the port for TLS is open, as the GX has it by default."""
    if mqtt.tls or network.port_error(mqtt.host, 8883):
        return ""
    return (
        f". Port 8883 is open: the GX is secured: run pin {mqtt.host}, then discover again with"
        " --certificate gx.pem and the password"
    )


def _fail(finding: findings.Finding, hint: str = "") -> None:
    if finding.mark is not Mark.OK:
        raise LocalFault(f"{finding.step}: {finding.text}: {finding.fix}{hint}")


def _tell(text: str) -> None:
    print(text, file=sys.stderr)


def pin(host: str, port: int, output: Path) -> None:
    """Fetches the certificate of a GX into a file. Raises LocalFault."""
    try:
        shown = network.certificate(host, port)
    except OSError as error:
        raise LocalFault(
            f"{host}:{port}: expected a server that speaks TLS, found none"
            f" ({error.strerror or error}): is MQTT access on? {findings.MENU_MQTT}"
        ) from error
    _save_certificate(output, shown)
    _tell(f"{host}:{port} shows a certificate with")
    _tell(f"  SHA-256  {shown.sha256}")
    _tell(f"  subject  {shown.subject}")
    _tell(f"saved in {output}. Compare it with one fetched elsewhere when in doubt.")
    lines = ["mqtt:", f"  host: {proposal.quoted(host)}"]
    lines += [f"  port: {port}"] if port != 8883 else []
    print("\n".join([*lines, *proposal.tls_lines(str(output))]))


def _save_certificate(output: Path, shown: network.Certificate) -> None:
    """Writes it; a file with another certificate stays as it is."""
    if output.exists() and network.fingerprints_in(str(output)) != [shown.sha256]:
        raise LocalFault(
            f"{output}: expected no file, or this certificate ({shown.sha256}), found another:"
            " if the GX was reset or replaced, remove the file and run pin again"
        )
    try:
        output.write_text(shown.pem, encoding="ascii")
    except OSError as error:
        raise LocalFault(f"{output}: cannot be written: {error.strerror}") from error


def pair(host: str, port: int, certificate: Path, output: Path, password: Secret | None) -> None:
    """Obtains a token and keeps it in a file. Raises LocalFault."""
    token = pairing.request_token(
        host,
        port,
        certificate=certificate,
        role=ROLE,
        device_id=secrets.token_hex(4),
        password=password or _asked_password(),
    )
    pairing.save_secret(output, token.password)
    _tell(f"paired: the token is in {output}, which only you can read")
    lines = ["mqtt:", f"  host: {proposal.quoted(host)}", *proposal.tls_lines(str(certificate))]
    print("\n".join([*lines, *proposal.token_lines(token.name, str(output))]))


def _asked_password() -> Secret | None:
    """What a person types; nothing where nobody can, or wants to."""
    if not sys.stdin.isatty():
        return None
    typed = getpass.getpass("Network password of the GX (empty: its pairing window is open): ")
    return Secret(typed) if typed else None
