"""Readings: the meaning of one message from a GX, by its topic and payload."""

from dataclasses import dataclass
from typing import Final, NamedTuple

from mqtt_http_bridge.core.errors import MalformedMessage
from mqtt_http_bridge.core.venus import topics
from mqtt_http_bridge.core.venus.paths import PATHS
from mqtt_http_bridge.core.venus.payloads import Said, Value, members, parse
from mqtt_http_bridge.core.venus.topic_cache import TopicCache


class ChargerKey(NamedTuple):
    """The service and instance of a charger, unique on one GX. Instance 0 is valid."""

    service: str
    instance: int

    def __str__(self) -> str:
        return f"{self.service}/{self.instance}"


class ChargerReading(NamedTuple):
    """A charger said something on one of its paths."""

    portal_id: str
    charger: ChargerKey
    path: str
    said: Said


class ChargerSpoke(NamedTuple):
    """A charger said something on a path that does not matter: it is there, and speaks."""

    portal_id: str
    charger: ChargerKey


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The GX is awake: every 3 s."""

    portal_id: str


class PublishCompleted(NamedTuple):
    """Every known value has been published; `echo` is the text from the request for it."""

    portal_id: str
    echo: str | None


@dataclass(frozen=True, slots=True)
class PortalSeen:
    """A GX tells its portal id: the only retained message, and the only one before a keepalive."""

    portal_id: str


Reading = ChargerReading | ChargerSpoke | Heartbeat | PublishCompleted | PortalSeen


def read(topic: str, payload: bytes) -> Reading | None:
    """Returns the meaning of a message, or None if it does not matter to us.

    Raises MalformedMessage if the topic is one of a charger but names no device instance.
    """
    place = _PLACES.new.get(topic)
    if place is None:
        place = _PLACES.recall(topic) or _place(topic)
        if place.charger is not None:  # Those of the GX itself come once in 3 s.
            _PLACES.remember(topic, place)
    if place is _NOWHERE:
        return None
    if place.charger is None:
        return _read_of_site(place.portal_id, place.path, payload)
    if place.path:
        return ChargerReading(place.portal_id, place.charger, place.path, parse(payload))
    return ChargerSpoke(place.portal_id, place.charger) if payload else None


class _Place(NamedTuple):
    """The target of a topic: a path of a charger (empty if it does not matter) or of the GX."""

    portal_id: str
    charger: ChargerKey | None
    path: str


_NOWHERE: Final = _Place("", None, "")
_PLACES: Final[TopicCache[str, _Place]] = TopicCache()
"""Parsing a topic costs more than what follows."""


def make_room(gxs: int) -> None:
    """Makes room to remember the topics of this many GX devices."""
    _PLACES.make_room(gxs)


def _place(topic: str) -> _Place:
    """Returns the target of `topic`; _NOWHERE if it does not matter. Raises MalformedMessage."""
    if not topics.is_interesting(topic) and not topics.speaker_of(topic):
        return _NOWHERE
    prefix, portal_id, service, *rest = topic.split("/", 4)
    if prefix != "N" or not portal_id:
        return _NOWHERE
    if service in PATHS:
        instance, path = rest
        key = _charger_key(topic, service, instance)
        row = PATHS[service].get(path)
        return _Place(portal_id, key, row.name if row else "")
    return _Place(portal_id, None, "/".join((service, *rest)))


def _read_of_site(portal_id: str, path: str, payload: bytes) -> Reading | None:
    if path == topics.HEARTBEAT:
        return Heartbeat(portal_id)
    if path == topics.COMPLETED:
        return PublishCompleted(portal_id, _echo(payload))
    if path == topics.PORTAL_ID and parse(payload) == Value(portal_id):
        return PortalSeen(portal_id)
    return None


def _charger_key(topic: str, service: str, instance: str) -> ChargerKey:
    if not (instance.isascii() and instance.isdigit() and len(instance) <= 9):
        raise MalformedMessage(f"topic {topic[:120]!r}: expected a device instance after {service}")
    return ChargerKey(service, int(instance))


def _echo(payload: bytes) -> str | None:
    echo = members(payload).get("full-publish-completed-echo")
    return echo if isinstance(echo, str) else None
