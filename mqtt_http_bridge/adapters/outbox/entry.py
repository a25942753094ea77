"""What the outbox hands to the sender."""

from dataclasses import dataclass

from mqtt_http_bridge.core.measurement import Measurement


@dataclass(frozen=True, slots=True)
class Entry:
    """A measurement that waits: `body` are the bytes that are stored, and the bytes to send."""

    number: int
    body: bytes
    measurement: Measurement
    was_final: bool
    """Whether it had been sent before, or may have been."""
