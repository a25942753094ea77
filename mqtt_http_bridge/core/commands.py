"""Lists what the core asks for; the thread that owns the core carries it out, in order."""

from dataclasses import dataclass
from typing import NamedTuple

from mqtt_http_bridge.core.log import Log
from mqtt_http_bridge.core.measurement import Measurement


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Subscribe to these topic filters, QoS 0, for a GX that was not known from the start."""

    topics: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    """Unsubscribe from these topic filters: the GX they belong to was never heard."""

    topics: tuple[str, ...]


class Publish(NamedTuple):
    """Publish this, QoS 0, not retained. The topic is always a keepalive topic."""

    topic: str
    payload: bytes


class Store(NamedTuple):
    """Put this measurement into the outbox."""

    measurement: Measurement
    portal_id: str
    """The portal id of its GX, whatever the measurement calls that GX."""


class NoteClockStep(NamedTuple):
    """The wall clock was set; what was stored before has the old time."""

    step_s: float


@dataclass(frozen=True, slots=True)
class ReadAtOnce:
    """Stop collecting messages for a while: something is waiting for the next one."""


@dataclass(frozen=True, slots=True)
class Reconnect:
    """Drop the connection, which is dead although it looks alive, and make a new one."""


Command = Subscribe | Unsubscribe | Publish | Store | NoteClockStep | ReadAtOnce | Reconnect | Log
