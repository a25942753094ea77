"""Says why there is no connection to a broker: the cause, what is known about it, and the remedy.

This is the only place that turns a cause into a text. Its remedies are for whoever has a config;
`before_config` has those for whoever has none yet. Code makes decisions by the cause; the texts are
for people.
"""

from collections.abc import Mapping, Sequence
from enum import Enum, auto
from typing import Final, NamedTuple

from mqtt_http_bridge.core.disk_remedy import SHORT
from mqtt_http_bridge.core.settings import MqttSettings
from mqtt_http_bridge.core.words import MENU_ADDRESS, MENU_MQTT, MENU_SECURITY

TOKEN_USER: Final = "token/"  # noqa: S105 - the beginning of a name
"""The start of the user names of paired devices, and of no others."""


class Cause(Enum):
    """The kinds of failure that somebody would fix in different ways."""

    NAME_NOT_RESOLVED = auto()
    PORT_CLOSED = auto()
    """The machine is there and answers that nothing listens."""
    UNREACHABLE = auto()
    NO_ROOM = auto()
    """This machine lets the process open nothing more."""
    TIMED_OUT = auto()
    NO_TLS = auto()
    CERTIFICATE_NOT_PINNED = auto()
    CERTIFICATE_NOT_TRUSTED = auto()
    CERTIFICATE_OUT_OF_DATE = auto()
    """By the clock of this machine, it is not yet valid or no longer valid."""
    HUNG_UP = auto()
    """Before the login was answered."""
    LOGIN_REFUSED = auto()
    CLIENT_REFUSED = auto()
    """The broker rejects our client id or our version of MQTT, or gives no reason."""
    UNAVAILABLE = auto()
    """The broker is there, but accepts nobody at the moment."""
    NOT_MQTT = auto()
    LOST = auto()
    """There was a connection, and it broke."""
    TAKEN_OVER = auto()
    """It broke several times after a moment, but lasts under another client id."""
    CUT_OFF = auto()
    """It broke several times after a moment, whatever the client id."""
    GIVEN_UP = auto()
    """There was a connection, and we ended it: nothing more came, or too much to handle."""


class BrokerFailure(NamedTuple):
    """One connection that ended or could not be made. Its `str` is for people, in one line."""

    cause: Cause
    host: str = ""
    port: int = 0
    """0: the port does not matter, as there was a connection."""
    detail: str = ""
    """The words of the operating system or the broker about it."""
    has_password: bool = False
    has_tls: bool = False
    has_token: bool = False
    """The login was a token from pairing, not a password typed by a person."""
    is_no_gx: bool = False
    """The host is this machine, which is no GX."""

    def __str__(self) -> str:
        text = _TEXTS[self.cause]
        if not self.detail:
            text = text.removesuffix(" ({detail})")
        what = text.format(detail=self.detail or "no reason given")
        return f"{self.place}: {what}" if self.port else what

    @property
    def place(self) -> str:
        """Host and port."""
        return f"{self.host}:{self.port}"

    @property
    def is_repeated(self) -> bool:
        """True if it is about many connections, so that one more login does not end it."""
        return self.cause in (Cause.TAKEN_OVER, Cause.CUT_OFF)

    @property
    def remedy(self) -> str:
        """The remedy, as an instruction without a final full stop; never empty."""
        if self.cause is Cause.LOGIN_REFUSED:
            return self._login_remedy.format(host=self.host)
        if self.cause is Cause.PORT_CLOSED and self.is_no_gx:
            return _NO_GX
        if self.cause is Cause.PORT_CLOSED and self.has_tls:
            return _TLS_PORT_CLOSED
        if self.cause is Cause.HUNG_UP and not self.has_tls:
            return _TLS_WANTED
        return _REMEDIES[self.cause].format(host=self.host)

    @property
    def _login_remedy(self) -> str:
        if self.has_token:
            return _PAIR_AGAIN
        if not self.has_password:
            return _REMEDIES[Cause.LOGIN_REFUSED]
        # A GX that accepts only paired devices has no port without TLS.
        return f"{_WRONG_PASSWORD}. {_OR_PAIR}" if self.has_tls else _WRONG_PASSWORD


def failure_at(settings: MqttSettings, cause: Cause, detail: str = "") -> BrokerFailure:
    """Makes a failure of the broker that `settings` names."""
    return BrokerFailure(
        cause,
        host=settings.host,
        port=settings.port,
        detail=detail,
        has_password=settings.password is not None,
        has_tls=settings.tls,
        has_token=(settings.username or "").startswith(TOKEN_USER),
    )


def refusal_text(topics: Sequence[str]) -> str:
    """Returns the text about topic filters that the broker refuses."""
    more = f" and {len(topics) - 1} more" if len(topics) > 1 else ""
    return f"the broker refuses the subscription to {topics[0][:120]}{more}"


REFUSAL_REMEDY: Final = "have it allow this login to read the topics of the GX, N/<portal id>/#"

_TEXTS: Final[Mapping[Cause, str]] = {
    Cause.NAME_NOT_RESOLVED: "this name does not resolve ({detail})",
    Cause.PORT_CLOSED: "{detail}",
    Cause.UNREACHABLE: "{detail}",
    Cause.NO_ROOM: "this machine has no room for another connection ({detail})",
    Cause.TIMED_OUT: "no answer within {detail}",
    Cause.NO_TLS: "no TLS there ({detail})",
    Cause.CERTIFICATE_NOT_PINNED: "its certificate is not the pinned one",
    Cause.CERTIFICATE_NOT_TRUSTED: "its certificate is not trusted: {detail}",
    Cause.CERTIFICATE_OUT_OF_DATE: "its certificate is not trusted: {detail}",
    Cause.HUNG_UP: "hung up without an answer",
    Cause.LOGIN_REFUSED: "login refused ({detail})",
    Cause.CLIENT_REFUSED: "the broker refused us ({detail})",
    Cause.UNAVAILABLE: "the broker accepts nobody at the moment ({detail})",
    Cause.NOT_MQTT: "the broker sent something that is not MQTT",
    Cause.LOST: "the connection was lost ({detail})",
    Cause.TAKEN_OVER: "another client with this client id keeps taking the connection over",
    Cause.CUT_OFF: "the broker accepts us and soon cuts us off, again and again",
    Cause.GIVEN_UP: "ended by us, to start again",
}

_REMEDIES: Final[Mapping[Cause, str]] = {
    Cause.NAME_NOT_RESOLVED: f"set mqtt.host to the GX's address ({MENU_ADDRESS}), or run:"
    " mqtt-http-bridge setup, which searches for it",
    Cause.PORT_CLOSED: "if it lasts, run: mqtt-http-bridge check. MQTT access may be off"
    f" ({MENU_MQTT}), or the GX may want TLS",
    Cause.UNREACHABLE: "check that the GX and this machine are on the same network,"
    " and that mqtt.host is the GX's address",
    Cause.NO_ROOM: SHORT,
    Cause.TIMED_OUT: "check that the GX is on, that mqtt.host is its address, and that no firewall"
    " is in between",
    Cause.NO_TLS: "set mqtt.port to 8883, which speaks TLS, or mqtt.tls to false",
    Cause.CERTIFICATE_NOT_PINNED: "if the GX was reset or replaced, run: mqtt-http-bridge pin"
    " {host}; otherwise another machine answers at mqtt.host. To trust an authority instead, set"
    " mqtt.ca_file",
    Cause.CERTIFICATE_NOT_TRUSTED: "run: mqtt-http-bridge pin {host}, and set"
    " mqtt.pinned_certificate",
    Cause.CERTIFICATE_OUT_OF_DATE: "set the clock of this machine; if it is right, renew the"
    " broker's certificate",
    Cause.HUNG_UP: "check that mqtt.port is that of an MQTT broker",
    Cause.LOGIN_REFUSED: "run: mqtt-http-bridge setup, or set mqtt.password to the GX's network"
    f" password ({MENU_SECURITY})",
    Cause.CLIENT_REFUSED: "set mqtt.client_id to letters and digits, or leave it out; check that"
    " mqtt.port is that of an MQTT broker",
    Cause.UNAVAILABLE: "wait: the broker is starting up, or has too many clients. If it lasts,"
    " restart the GX",
    Cause.NOT_MQTT: "check that mqtt.port is that of an MQTT broker",
    Cause.LOST: "harmless now and then; if it goes on, check the network, and that no other client"
    " uses our mqtt.client_id",
    Cause.TAKEN_OVER: "set mqtt.client_id to one that no other client of this broker has",
    Cause.CUT_OFF: "look at the broker's log, and at what is in between: the client id is not the"
    " cause",
    Cause.GIVEN_UP: "check that the GX is on, and what else publishes on its broker",
}
_WRONG_PASSWORD: Final = (
    f"compare mqtt.password with the network password ({MENU_SECURITY}). After too many wrong ones"
    " the GX refuses the right one, too: then wait some minutes"
)
_PAIR_AGAIN: Final = (
    "the GX does not know this token, or no longer does: pair again: mqtt-http-bridge pair {host}"
)
_OR_PAIR: Final = "A GX that takes paired devices only wants a token: mqtt-http-bridge pair {host}"
_NO_GX: Final = (
    "this machine is no GX: set mqtt.host to the GX's address, or run: mqtt-http-bridge setup"
)
_TLS_PORT_CLOSED: Final = f"if it lasts, check that MQTT access is on, {MENU_MQTT}"
_TLS_WANTED: Final = (
    "check that mqtt.port is that of an MQTT broker. If it is one with TLS, run: mqtt-http-bridge"
    " setup, or set mqtt.tls: true"
)
