"""Pairing with a GX, from Venus OS v3.80 on: the request, and the meaning of the answer.

The facts are those of docs/gx.md, "Pairing". The GX asks for its password, or for none while its
pairing mode is on. A new token for the same role and device replaces the one before.
"""

import json
import re
from enum import Enum, auto
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

from mqtt_http_bridge.core.settings import Secret
from mqtt_http_bridge.core.words import MENU_SECURITY, visible

PATH: Final = "/auth/generate-token/"
ROLE: Final = "mqtt_http_bridge"
MOST_CHARACTERS: Final = 1000
"""A token's password has a few dozen."""
_FIELD: Final = re.compile(r"\w+", re.ASCII)


class Refusal(Enum):
    """The kinds of answer without a token, which need different fixes."""

    NOT_IN_PAIRING_MODE = auto()
    """No password was sent, and the GX wants one."""
    PASSWORD_REFUSED = auto()
    FORBIDDEN = auto()
    """The password was right, but the GX gives no token all the same."""
    BAD_REQUEST = auto()
    NOT_OFFERED = auto()
    NOT_UNDERSTOOD = auto()

    @property
    def is_for_a_person(self) -> bool:
        """Tells whether a different password, or the pairing mode, may fix it."""
        return self in (
            Refusal.NOT_IN_PAIRING_MODE,
            Refusal.PASSWORD_REFUSED,
            Refusal.FORBIDDEN,
        )


class Token(NamedTuple):
    """A login for the broker that stands for this device alone."""

    name: str
    """The user name: `token/<role>/<device id>`."""
    password: Secret

    @property
    def device_id(self) -> str:
        """The part of the name that distinguishes devices with the same role."""
        return self.name.rpartition("/")[2]


def token_name(role: str, device_id: str) -> str:
    """Returns the user name of a token."""
    return f"token/{role}/{device_id}"


def form(role: str, device_id: str) -> str:
    """Returns the body of the request. Raises ValueError for a field that the GX would not take."""
    for field in (role, device_id):
        if not _FIELD.fullmatch(field):
            raise ValueError(f"expected letters, digits and _, found {field!r}")
    return urlencode({"role": role, "device_id": device_id})


class NoToken(Exception):
    """The GX gives none; the text says what was found and what to do, in one line."""

    def __init__(self, refusal: Refusal, text: str) -> None:
        super().__init__(text)
        self.refusal = refusal


def token_in(status: int, body: bytes, *, name: str, has_password: bool) -> Token:
    """Reads the answer to a request for the token `name`. Raises NoToken."""
    if status != 200:
        refusal = _REFUSALS.get((status, has_password), Refusal.NOT_UNDERSTOOD)
        raise NoToken(refusal, f"expected a token, found {status}{_said(body)}: {_TODO[refusal]}")
    try:
        members: Any = json.loads(body)
        found, password = members["token_name"], members["password"]
        if found != name or not isinstance(password, str) or not _is_fit(password):
            raise ValueError
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        refusal = Refusal.NOT_UNDERSTOOD
        raise NoToken(
            refusal, f"expected the token {name}, found none: {_TODO[refusal]}"
        ) from error
    return Token(name, Secret(password))


def _is_fit(password: str) -> bool:
    return 0 < len(password) <= MOST_CHARACTERS and password.isprintable()


def _said(body: bytes) -> str:
    """Quotes the first line of a plain text, in which the GX says what is wrong."""
    lines = body.decode(errors="replace").strip().splitlines()
    if not lines or lines[0].lstrip().startswith(("<", "{")):
        return ""
    return f" ({visible(lines[0].strip()[:120])})"


_REFUSALS: Final = {
    (400, False): Refusal.BAD_REQUEST,
    (400, True): Refusal.BAD_REQUEST,
    (401, False): Refusal.NOT_IN_PAIRING_MODE,
    (401, True): Refusal.PASSWORD_REFUSED,
    (403, False): Refusal.NOT_IN_PAIRING_MODE,
    (403, True): Refusal.FORBIDDEN,
    (404, False): Refusal.NOT_OFFERED,
    (404, True): Refusal.NOT_OFFERED,
}
"""By status, and whether a password was sent."""
_TODO: Final = {
    Refusal.NOT_IN_PAIRING_MODE: "the GX is not in pairing mode, or no longer: start pairing on"
    f" the GX, which lasts 120 s, or give its password ({MENU_SECURITY})",
    Refusal.PASSWORD_REFUSED: f"compare the password with the network password ({MENU_SECURITY})",
    Refusal.FORBIDDEN: f"compare the password with the network password ({MENU_SECURITY}); if it is"
    " right, wait some minutes, as the GX refuses all after too many wrong ones",
    Refusal.BAD_REQUEST: "the GX refuses what we ask for: please report this, with its Venus"
    " OS version",
    Refusal.NOT_OFFERED: "pairing needs Venus OS v3.80 or later; use the password",
    Refusal.NOT_UNDERSTOOD: "is this the web server of a GX with Venus OS v3.80 or later?",
}
