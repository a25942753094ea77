"""Holds why the backend stores nothing for a device, as a type that comes with a remedy.

A refusal outlives the process: the outbox keeps it, as text, beside what is parked of the device.
"""

import json
from collections.abc import Collection, Iterable, Mapping
from enum import Enum, auto
from typing import Final, NamedTuple


class Scope(Enum):
    """Says what a refusal means for the other reports of the same device."""

    DEVICE = auto()
    """They are refused too, which harms nobody: the device is still sent whenever it is measured.
    """
    POISON = auto()
    """The backend fails on them and on whatever is sent with them: they are only sent as a try."""
    REPORT = auto()
    """Nothing: only this report is at fault."""


class Cause(NamedTuple):
    """Names a kind of trouble that does not pass by itself."""

    code: str
    """A unique name, of one or two words without a colon."""
    remedy: str
    """The remedy."""
    scope: Scope = Scope.DEVICE
    is_of_key: bool = False
    """True if a different API key may be all it needs."""
    is_of_serial: bool = False
    """True if any serial unknown to the backend gets this answer, whatever the key."""


_ASK: Final = "ask whoever runs the backend"

FAILS_ALONE: Final = Cause("fails", _ASK, Scope.POISON)
"""The backend failed on the report of this device alone."""
NEVER_STORED: Final = Cause("never stored", _ASK, Scope.REPORT)
"""A fault that should have passed has not, however often the report was sent."""
UNREADABLE: Final = Cause("unreadable", "drop it: mqtt-http-bridge outbox drop", Scope.REPORT)
"""No serials are found in what the outbox has kept, so no answer could be understood."""
UNKNOWN: Final = Cause("unknown", _ASK, Scope.REPORT)
"""The text in the outbox was written by another version, or by a person."""

_OURS: Final = (FAILS_ALONE, NEVER_STORED, UNREADABLE)


class Refusal(NamedTuple):
    """Says why a device's reports are parked until somebody fixes it."""

    cause: Cause
    said: str
    """The backend's words, fit for one line of a log."""

    @property
    def scope(self) -> Scope:
        """Says what it means for the other reports of the device."""
        return self.cause.scope

    def __str__(self) -> str:
        """Writes it as the outbox keeps it; `read_refusal` reads it again."""
        return f"{self.cause.code}: {self.said}"


def read_refusal(text: str, causes: Iterable[Cause]) -> Refusal:
    """Reads what the outbox has kept; `causes` are those that the backend's dialect knows."""
    code, _, said = text.partition(": ")
    for cause in (*_OURS, *causes):
        if cause.code == code:
            return Refusal(cause, said)
    return Refusal(UNKNOWN, text)


def reason_of(refusals: Mapping[str, Refusal]) -> str:
    """Writes why several devices of one entry are refused, as the outbox keeps it."""
    texts = {serial: str(refusal) for serial, refusal in refusals.items()}
    if len(set(texts.values())) == 1:
        return next(iter(texts.values()))
    return json.dumps(texts, ensure_ascii=False)


def refusal_of(serial: str, reason: str, causes: Collection[Cause]) -> Refusal:
    """Reads, for one device, what `reason_of` has written."""
    if reason.startswith("{"):
        try:
            return read_refusal(str(json.loads(reason)[serial]), causes)
        except (ValueError, LookupError, TypeError, RecursionError):
            pass
    return read_refusal(reason, causes)
