"""Defines what delivery has to know about a kind of backend.

To support another backend, write one module that implements Dialect, and name it in `app.dialect`:
the core, the outbox, the sender and the HTTP client know nothing else about it.
tests/support/other_backend.py has one.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

from mqtt_http_bridge.core.delivery.answers import Answer
from mqtt_http_bridge.core.delivery.refusal import Cause
from mqtt_http_bridge.core.delivery.verdict import Verdict
from mqtt_http_bridge.core.measurement import Measurement
from mqtt_http_bridge.core.settings import Secret


class Contents(NamedTuple):
    """Holds what has to be known about a stored body; the rest is sent unchanged."""

    serials: tuple[str, ...]
    """The serials of its devices, in their order."""
    timestamp: datetime
    """With its time zone."""
    cerbo_serial: str | None
    """The name it gives the GX, if it has one."""


class EntryFormat(Protocol):
    """Reads and cuts stored bodies, written by this version or an earlier or later one."""

    def read(self, body: bytes) -> Contents:
        """Reads a body. Raises MalformedMeasurement where it finds no serials or no timestamp."""

    def only(self, body: bytes, serials: Collection[str]) -> bytes:
        """Cuts all devices but `serials` out of the stored text; no other byte changes."""

    def timestamp(self, body: bytes) -> str:
        """Reads the time of a body, or of its beginning, as ISO 8601; empty where there is none."""

    def shifted(self, body: bytes, step_s: float) -> bytes:
        """Moves the times in the stored text by `step_s`; no other byte changes. Never raises."""


class Dialect(EntryFormat, Protocol):
    """Knows what a backend's API expects, and what its answers mean."""

    @property
    def path(self) -> str:
        """Names the place below `backend.url` that measurements are sent to."""

    @property
    def causes(self) -> Collection[Cause]:
        """Lists every cause of a refusal that `judge` may return."""

    def headers(self, api_key: Secret) -> dict[str, str]:
        """Returns what a request needs besides its body. The key is in it: not for any log."""

    def body(self, measurement: Measurement) -> bytes:
        """Serializes a measurement as it is stored and sent, in one line.

        Equal measurements give equal bytes.
        """

    def judge(self, answer: Answer, serials: Sequence[str]) -> Verdict:
        """Judges an answer to a body that has the devices `serials`, in this order."""
