"""What the core asks of the world; the thread that owns the core carries it out, in order."""

from dataclasses import dataclass
from typing import Literal

from mqtt_http_bridge.core.measurement import Measurement


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Subscribe to these topic filters, QoS 0, of a GX that was not known from the start."""

    topics: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Publish:
    """Publish this, QoS 0, not retained. The topic is always a keepalive topic."""

    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Store:
    """Put this measurement into the outbox."""

    measurement: Measurement


@dataclass(frozen=True, slots=True)
class NoteClockStep:
    """The wall clock was set; what was stored before bears the time of the old one."""

    step_s: float


@dataclass(frozen=True, slots=True)
class Reconnect:
    """Drop the connection, which is dead although it looks alive, and make a new one."""


@dataclass(frozen=True, slots=True)
class Log:
    """Write this line to the log: a change of state, said once."""

    level: Literal["INFO", "WARNING"]
    text: str

    @staticmethod
    def info(text: str) -> "Log":
        """A line that tells the story."""
        return Log("INFO", text)

    @staticmethod
    def warning(text: str) -> "Log":
        """A line that somebody should see."""
        return Log("WARNING", text)


Command = Subscribe | Publish | Store | NoteClockStep | Reconnect | Log
