"""Keeps the latest changes as they were logged, with their times, for people without the log.

Repeated changes, such as a charger that comes and goes, count as one change with a count, or they
would push out all the others.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from math import isfinite
from typing import Any, Final

MOST_CHANGES: Final = 50
LOOKS_BACK: Final = 6
"""A change that is already among this many of the newest ones is a repeat."""
MOST_CHARACTERS: Final = 240


class Tone(StrEnum):
    """Says whether a change is good, bad or neither."""

    GOOD = "good"
    INFO = "info"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Change:
    """One change; times are Unix seconds."""

    at: float
    """The last time that it happened."""
    text: str
    tone: Tone = Tone.INFO
    kind: str = ""
    """The same for all changes that count as one; empty: its text."""
    count: int = 1
    first: float | None = None
    """The first time, if there was more than one."""


class Changes:
    """The last changes. For one thread at a time."""

    def __init__(self, known: Iterable[Change] = ()) -> None:
        """`known` are those of the process before, oldest first."""
        self._changes = list(known)[-MOST_CHANGES:]

    def add(self, change: Change) -> None:
        """Takes one in."""
        change = replace(change, text=_short(change.text), kind=_short(change.kind or change.text))
        for position in range(len(self._changes) - 1, -1, -1)[:LOOKS_BACK]:
            known = self._changes[position]
            if known.kind == change.kind:
                del self._changes[position]
                first = known.at if known.first is None else known.first
                change = replace(change, count=known.count + 1, first=first)
                break
        self._changes.append(change)
        del self._changes[:-MOST_CHANGES]

    def view(self) -> tuple[Change, ...]:
        """Lists them, oldest first."""
        return tuple(self._changes)


def _short(text: str) -> str:
    return text if len(text) <= MOST_CHARACTERS else text[: MOST_CHARACTERS - 4] + " ..."


def to_json(changes: Iterable[Change]) -> bytes:
    """Makes the bytes of a file."""
    return json.dumps({"changes": [asdict(change) for change in changes]}).encode()


def from_json(text: bytes) -> tuple[Change, ...]:
    """Reads what `to_json` has made; from anything else, as much as possible, perhaps nothing."""
    try:
        found = json.loads(text)["changes"]
        return tuple(_change(each) for each in found)[-MOST_CHANGES:]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return ()


def _change(members: Mapping[str, Any]) -> Change:
    first = members["first"]
    return Change(
        at=_time(members["at"]),
        text=_short(str(members["text"])),
        tone=Tone(members["tone"]),
        kind=_short(str(members["kind"])),
        count=int(members["count"]),
        first=None if first is None else _time(first),
    )


def _time(value: Any) -> float:
    number = float(value)
    if not isfinite(number):
        raise ValueError("a time is no number")
    return number
