"""The dialect of Venus OS: what the messages of dbus-flashmq mean, and what wakes it.

The one place that knows payloads, and with `topics` the one that knows D-Bus paths. Source of the
facts: Victron's dbus-flashmq v25 and recordings of real devices.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from math import isfinite
from typing import Final

from mqtt_http_bridge.core import topics
from mqtt_http_bridge.core.errors import MalformedMessage

KEEPALIVE_INTERVAL_S: Final = 30.0
"""Half of the time for which a keepalive wakes the GX, so that one lost on the way does no harm."""
AWAKE_S: Final = 60.0
"""How long dbus-flashmq publishes after the last keepalive."""
SUPPRESSED_KEEPALIVE: Final = b'{ "keepalive-options" : ["suppress-republish"] }'
"""Prolongs the publishing without the values being said again."""


class State(IntEnum):
    """The values of `/State` that settle whether a charger produces; there are others, and more."""

    OFF = 0
    FAULT = 2
    BULK = 3
    ABSORPTION = 4
    FLOAT = 5


# --- what a device can say of a path ---------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Value:
    """A value, as JSON has it; whether its type fits the path is for the path's kind to say."""

    value: object


@dataclass(frozen=True, slots=True)
class Invalid:
    """The device says that it has no value here: null, an empty array, not a number."""


@dataclass(frozen=True, slots=True)
class Gone:
    """The device has left the bus."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Something was said that is not of the form the GX sends: whatever held before is in doubt."""

    payload: bytes


INVALID: Final = Invalid()
GONE: Final = Gone()
Said = Value | Invalid | Gone | Unreadable

_PAYLOADS_IN_MIND: Final = 512
"""A third of what chargers say in the recordings they have said shortly before, and looking that up
costs a tenth of parsing it. More would hardly help: measured numbers seldom repeat."""
_LONGEST_IN_MIND: Final = 128
"""Bytes of a payload to remember: a broker that is none of a GX must not fill the memory."""


def parse_payload(payload: bytes) -> Said:
    """What `payload` says: `{"value": ...}`, with other members where they please, or nothing."""
    return _parse_short(payload) if len(payload) <= _LONGEST_IN_MIND else _parse(payload)


def _parse(payload: bytes) -> Said:
    if not payload:
        return GONE
    members = _members(payload)
    if "value" not in members:
        return Unreadable(payload)
    value = members["value"]
    return INVALID if _is_no_value(value) else Value(value)


_parse_short = lru_cache(maxsize=_PAYLOADS_IN_MIND)(_parse)


def _is_no_value(value: object) -> bool:
    """Null; an empty array, which older firmware sends for null; NaN or an infinity."""
    return value is None or value == [] or (isinstance(value, float) and not isfinite(value))


def _members(payload: bytes) -> dict[str, object]:
    """The members of a JSON object, or none at all where `payload` is no such thing."""
    try:
        members = json.loads(payload)
    # Not JSON, not UTF-8, an integer of over 4,300 digits, nested too deeply: none is from a GX.
    except (ValueError, RecursionError):
        return {}
    return members if isinstance(members, dict) else {}


# --- the path table --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Number:
    """A measured number within bounds that no device exceeds and every backend can hold."""

    unit: str
    minimum: float
    maximum: float

    def read(self, said: Said | None) -> float | None:
        """The number, or None where none, none of this kind, or an impossible one was said."""
        if not isinstance(said, Value) or isinstance(said.value, bool):
            return None
        if not isinstance(said.value, int | float):
            return None
        return float(said.value) if self.minimum <= said.value <= self.maximum else None


@dataclass(frozen=True, slots=True)
class Code:
    """A whole number that counts or names something; D-Bus may deliver it as `5.0`."""

    def read(self, said: Said | None) -> int | None:
        """The code, or None where none or none of this kind was said."""
        if not isinstance(said, Value) or isinstance(said.value, bool):
            return None
        if isinstance(said.value, float) and said.value.is_integer():
            return int(said.value)
        return said.value if isinstance(said.value, int) else None


@dataclass(frozen=True, slots=True)
class Flag:
    """Something that holds unless the device says 0: some services say `false`."""

    def read(self, said: Said | None) -> bool:
        """False only where the device said 0 or false."""
        return not (isinstance(said, Value) and said.value in (0, False))


@dataclass(frozen=True, slots=True)
class Text:
    """A text with something in it that every backend can store."""

    def read(self, said: Said | None) -> str | None:
        """The text as it was said, or None where none, a blank or an unstorable one was said."""
        if not isinstance(said, Value) or not isinstance(said.value, str):
            return None
        return said.value if said.value.strip() and _is_storable(said.value) else None


def _is_storable(text: str) -> bool:
    """No NUL and no half of a surrogate pair: PostgreSQL refuses the first, UTF-8 the second."""
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


Kind = Number | Code | Flag | Text

# Wider than any device made, and narrow enough that a broken decoder is noticed.
POWER: Final = Number("W", -1_000.0, 1_000_000.0)
VOLTAGE: Final = Number("V", -100.0, 10_000.0)
ENERGY: Final = Number("kWh", 0.0, 100_000_000.0)

CHARGER_KINDS: Final[Mapping[str, Kind]] = {
    "Connected": Flag(),
    "CustomName": Text(),
    "NrOfTrackers": Code(),
    "ProductName": Text(),
    "Pv/V": VOLTAGE,
    "Serial": Text(),
    "State": Code(),
    "Yield/Power": POWER,
    "Yield/System": ENERGY,
}
"""What each of `topics.CHARGER_PATHS` says."""

TRACKER_KINDS: Final[Mapping[str, Kind]] = {
    "Enabled": Flag(),
    "Name": Text(),
    "P": POWER,
    "V": VOLTAGE,
}
"""What each of `topics.TRACKER_PATHS` says."""


# --- readings --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, order=True)
class ChargerKey:
    """What tells chargers of one GX apart on the bus. The instance 0 is a valid one."""

    service: str
    instance: int

    def __str__(self) -> str:
        return f"{self.service}/{self.instance}"


@dataclass(frozen=True, slots=True)
class ChargerReading:
    """A charger said something of one of its paths."""

    portal_id: str
    charger: ChargerKey
    path: str
    said: Said


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The GX is awake: every 3 s."""

    portal_id: str


@dataclass(frozen=True, slots=True)
class PublishCompleted:
    """Every known value has been published; `echo` is what the request for it asked to be told."""

    portal_id: str
    echo: str | None


@dataclass(frozen=True, slots=True)
class PortalSeen:
    """A GX tells its portal id: the only retained message, and the only one before a keepalive."""

    portal_id: str


Reading = ChargerReading | Heartbeat | PublishCompleted | PortalSeen


def read(topic: str, payload: bytes) -> Reading | None:
    """What a message means, or None if it means nothing to us.

    Raises MalformedMessage if the topic is one of a charger but names no device instance.
    """
    place = _place(topic)
    if place is None:
        return None
    if place.charger is None:
        return _read_of_site(place.portal_id, place.path, payload)
    return ChargerReading(place.portal_id, place.charger, place.path, parse_payload(payload))


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a topic points: at a path of a charger, or of the GX itself."""

    portal_id: str
    charger: ChargerKey | None
    path: str


_PLACES_IN_MIND: Final = 16_384
"""The interesting topics of a thousand chargers: taking one apart costs more than what follows."""


@lru_cache(maxsize=_PLACES_IN_MIND)
def _place(topic: str) -> _Place | None:
    """Where `topic` points; None if nowhere of interest. Raises MalformedMessage."""
    if not topics.is_interesting(topic):
        return None
    prefix, portal_id, service, *rest = topic.split("/", 4)
    if prefix != "N" or not portal_id:
        return None
    if service in topics.SERVICES:
        instance, path = rest
        return _Place(portal_id, _charger_key(topic, service, instance), path)
    return _Place(portal_id, None, "/".join((service, *rest)))


def _read_of_site(portal_id: str, path: str, payload: bytes) -> Reading | None:
    if path == "heartbeat":
        return Heartbeat(portal_id)
    if path == "full_publish_completed":
        return PublishCompleted(portal_id, _echo(payload))
    if path == "system/0/Serial" and parse_payload(payload) == Value(portal_id):
        return PortalSeen(portal_id)
    return None


def _charger_key(topic: str, service: str, instance: str) -> ChargerKey:
    if not (instance.isascii() and instance.isdigit() and len(instance) <= 9):
        raise MalformedMessage(f"topic {topic[:120]!r}: expected a device instance after {service}")
    return ChargerKey(service, int(instance))


def _echo(payload: bytes) -> str | None:
    echo = _members(payload).get("full-publish-completed-echo")
    return echo if isinstance(echo, str) else None


# --- what we send to the GX: keepalives and nothing else ---------------------------------------


def full_keepalive(echo: str) -> bytes:
    """Asks for every value and a `full_publish_completed` that tells `echo` (Venus >= 3.50)."""
    options = [{"full-publish-completed-echo": echo}]
    return json.dumps({"keepalive-options": options}).encode()
