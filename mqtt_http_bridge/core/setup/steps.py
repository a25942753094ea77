"""Defines the steps that the dialogue of `setup` asks for, and their results.

The dialogue is a generator that gives a step and is sent the result of it: `app.setup` carries the
steps out, and a test answers them from a list.
"""

from collections.abc import Generator
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, TypeVar

from mqtt_http_bridge.core.broker_failure import BrokerFailure
from mqtt_http_bridge.core.errors import BridgeError
from mqtt_http_bridge.core.settings import Secret
from mqtt_http_bridge.core.venus.announcement import Found
from mqtt_http_bridge.core.venus.pairing import NoToken, Token


class SetupFailed(BridgeError):
    """Setup cannot go on; the text says where, what was expected, what was found, what to do."""


@dataclass(frozen=True, slots=True)
class Ports:
    """The TCP ports of a GX."""

    mqtt: int = 8883
    """The broker, with TLS."""
    plain: int = 1883
    """The broker, without."""
    web: int = 443


@dataclass(frozen=True, slots=True)
class Given:
    """All that is known beforehand: by options, from files, from the environment."""

    is_interactive: bool
    """True if there is a person who can be asked."""
    is_gx: bool = False
    """This machine is a GX itself."""
    host: str | None = None
    fingerprint: str | None = None
    web_fingerprint: str | None = None
    url: str | None = None
    api_key: str | None = field(default=None, repr=False)
    password: Secret | None = None
    starts: bool | None = None
    """True: start at the end; None: ask, or do not start if nobody is there."""
    ports: Ports = Ports()
    start_command: str = "mqtt-http-bridge run"
    """The command that starts the relay with the config that is written."""


# --- what comes back ---------------------------------------------------------------------------


class Pin(Enum):
    """The relation of a certificate to the one that was pinned before."""

    NEW = auto()
    SAME = auto()
    OTHER = auto()


@dataclass(frozen=True, slots=True)
class Shown:
    """A certificate that a server showed."""

    pem: str
    sha256: str
    subject: str
    pin: Pin = Pin.NEW
    file: str = ""
    """The file in which it is pinned, or would be."""


@dataclass(frozen=True, slots=True)
class Looked:
    """All that a host has to offer: a broker with TLS, one without, or a reason why neither."""

    shown: Shown | None
    is_plain: bool = False
    failure: BrokerFailure | None = None


@dataclass(frozen=True, slots=True)
class Heard:
    """Everything that a broker let us hear."""

    failure: BrokerFailure | None = None
    """The reason why it did not let us in; None if it did."""
    told: tuple[str, ...] = ()
    """The portal ids that it announces."""
    answered: tuple[str, ...] = ()
    """Those that answered a keepalive."""
    services: tuple[str, ...] = ()
    """The kinds of charger that are there."""
    lines: tuple[str, ...] = ()
    """The chargers, in words."""


# --- what is asked for -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Say:
    """Tells a person something, in one line."""

    text: str


@dataclass(frozen=True, slots=True)
class Ask:
    """Gives what a person types, or `default` for nothing: a text.

    `option` is what would have answered it: where nobody can be asked, that is what is missing.
    """

    question: str
    option: str
    default: str = ""
    is_secret: bool = False


@dataclass(frozen=True, slots=True)
class Search:
    """Gives what a search of the network finds: Found."""


@dataclass(frozen=True, slots=True)
class Look:
    """Gives what a host has to offer: Looked."""

    host: str


@dataclass(frozen=True, slots=True)
class LookAtWeb:
    """Gives the certificate of a web server that can pair: Shown; or None."""

    host: str


@dataclass(frozen=True, slots=True)
class SavePin:
    """Keeps a certificate, to trust only that from then on."""

    shown: Shown


@dataclass(frozen=True, slots=True)
class Access:
    """A way into a broker; with TLS it is the one whose certificate is pinned."""

    host: str
    port: int
    is_tls: bool
    password: Secret | None = None
    token: Token | None = None


@dataclass(frozen=True, slots=True)
class Listen:
    """Gives what a broker lets us hear: Heard. The broker may take a while to learn a token."""

    access: Access


@dataclass(frozen=True, slots=True)
class Pair:
    """Gives a token, kept in its file, or NoToken."""

    host: str
    password: Secret | None


@dataclass(frozen=True, slots=True)
class Plan:
    """A config to write, with the secrets that go beside it."""

    url: str
    api_key: Secret
    access: Access
    portal_ids: tuple[str, ...] = ()
    services: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Write:
    """Writes the config and the secrets."""

    plan: Plan


@dataclass(frozen=True, slots=True)
class Check:
    """Gives whether `check` finds nothing wrong: a boolean."""


Step = Say | Ask | Search | Look | LookAtWeb | SavePin | Listen | Pair | Write | Check

T = TypeVar("T")
Dialogue = Generator[Step, Any, T]
"""Gives steps and is sent their results; returns a T."""


# Each gives a step and returns its result, with its type.


def say(text: str) -> Dialogue[None]:
    """Tells a person something."""
    yield Say(text)


def ask(question: str, option: str, default: str = "", *, is_secret: bool = False) -> Dialogue[str]:
    """Asks a person."""
    answer: str = yield Ask(question, option, default, is_secret)
    return answer


def is_yes(answer: str) -> bool:
    """Tells whether an answer is a yes."""
    return answer.strip().lower() in ("y", "yes")


def search() -> Dialogue[Found]:
    """Searches the network."""
    found: Found = yield Search()
    return found


def look(host: str) -> Dialogue[Looked]:
    """Looks at a host."""
    looked: Looked = yield Look(host)
    return looked


def look_at_web(host: str) -> Dialogue[Shown | None]:
    """Looks at the web server of a host."""
    shown: Shown | None = yield LookAtWeb(host)
    return shown


def listen(access: Access) -> Dialogue[Heard]:
    """Listens to a broker."""
    heard: Heard = yield Listen(access)
    return heard


def pair(host: str, password: Secret | None) -> Dialogue[Token | NoToken]:
    """Asks for a token."""
    result: Token | NoToken = yield Pair(host, password)
    return result


def check() -> Dialogue[bool]:
    """Checks what was written."""
    holds: bool = yield Check()
    return holds
