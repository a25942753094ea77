"""Obtains a token from a GX over HTTPS, trusting one pinned certificate and nothing else."""

import base64
import http.client
import json
import os
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from mqtt_http_bridge.core.errors import LocalFault
from mqtt_http_bridge.core.settings import Secret

PATH: Final = "/auth/generate-token/"
USER: Final = "remoteconsole"
TIMEOUT_S: Final = 15.0
MAX_ANSWER_BYTES: Final = 10_000


class Refused(LocalFault):
    """The GX gives no token."""


@dataclass(frozen=True, slots=True)
class Token:
    """A login for the broker that stands for this device alone."""

    name: str
    password: Secret


def request_token(
    host: str, port: int, *, certificate: Path, role: str, device_id: str, password: Secret | None
) -> Token:
    """Asks for a token, with the GX's password or, without one, in its pairing window.

    Raises Refused; no text of it holds a secret.
    """
    where = f"https://{host}:{port}{PATH}"
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
    if password is not None:
        login = base64.b64encode(f"{USER}:{password.reveal()}".encode()).decode()
        headers["Authorization"] = f"Basic {login}"
    form = urlencode({"role": role, "device_id": device_id})
    try:
        connection = http.client.HTTPSConnection(
            host, port, timeout=TIMEOUT_S, context=_context(certificate)
        )
        connection.request("POST", PATH, form, headers)
        response = connection.getresponse()
        body = response.read(MAX_ANSWER_BYTES)
        connection.close()
    except ssl.SSLCertVerificationError as error:
        raise Refused(
            f"{where}: expected the certificate in {certificate}, found another"
            f" ({error.verify_message}): if the GX was reset, run pin again"
        ) from error
    except (OSError, http.client.HTTPException) as error:
        raise Refused(f"{where}: expected an answer, found none: {error}") from error
    return _token(where, response.status, body, has_password=password is not None)


def _context(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    try:
        context.load_verify_locations(cafile=certificate)
    except (OSError, ssl.SSLError) as error:
        raise Refused(
            f"{certificate}: expected the GX's certificate in PEM, found none: run pin first"
        ) from error
    return context


def _token(where: str, status: int, body: bytes, *, has_password: bool) -> Token:
    if status in (401, 403):
        todo = (
            "compare the password with the one under Settings -> General -> Access & Security"
            if has_password
            else "open the pairing window on the GX, which lasts 120 s, or give the password"
        )
        raise Refused(f"{where}: expected a token, found {status}: {todo}")
    if status == 404:
        raise Refused(
            f"{where}: expected a token, found 404: pairing needs Venus OS v3.80 or later"
        )
    try:
        members: Any = json.loads(body)
        name, secret = members["token_name"], members["password"]
        if status != 200 or not (isinstance(name, str) and isinstance(secret, str)):
            raise ValueError
    except (ValueError, TypeError, KeyError) as error:
        raise Refused(f"{where}: expected a token, found status {status} and no token") from error
    return Token(name, Secret(secret))


def save_secret(path: Path, secret: Secret) -> None:
    """Writes it to a file that only its owner may read, in place of an older one, or not at all.

    Raises LocalFault.
    """
    temporary = path.with_name(f"{path.name}.new")
    try:
        temporary.unlink(missing_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(secret.reveal() + "\n")
        temporary.replace(path)
    except OSError as error:
        raise LocalFault(f"{path}: cannot be written: {error.strerror}") from error
