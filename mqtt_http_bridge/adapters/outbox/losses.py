"""Counts what was given up and the time it covers; this is written at the start of segments."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import Final

from mqtt_http_bridge.core.views import Loss

NO_ROOM: Final = "no room"
PARKED_NO_ROOM: Final = "no room for more that is parked"
REFUSED: Final = "the disk refuses"
DAMAGED: Final = "damaged"
MOST_RANGES: Final = 20
"""The most ranges to keep; older ones are merged."""


def unreadable(segment: int) -> str:
    """Returns the reason for giving up the entries of a segment."""
    return f"the disk cannot read segment {segment}"


def loss_of(timestamp: str, reason: str) -> Loss:
    """Makes the loss of one measurement."""
    return Loss(1, timestamp, timestamp, (reason,))


def with_loss(ranges: tuple[Loss, ...], timestamp: str, reason: str) -> tuple[Loss, ...]:
    """Adds a loss: to the last range with its reason if that has a loss on the same day."""
    loss = loss_of(timestamp, reason)
    for place in range(len(ranges) - 1, -1, -1):
        if ranges[place].reasons == loss.reasons and ranges[place].until[:10] == timestamp[:10]:
            return (*ranges[:place], ranges[place].merged(loss), *ranges[place + 1 :])
    return bounded((*ranges, loss))


def bounded(ranges: Iterable[Loss]) -> tuple[Loss, ...]:
    """Merges the oldest ranges if there are too many."""
    kept = tuple(ranges)
    while len(kept) > MOST_RANGES:
        kept = (kept[0].merged(kept[1]), *kept[2:])
    return kept


def losses_text(ranges: tuple[Loss, ...]) -> str:
    """Writes the losses as a text of one line."""
    return json.dumps([asdict(loss) for loss in ranges], separators=(",", ":"))


def read_losses(text: bytes) -> tuple[Loss, ...] | None:
    """Reads a text made by `losses_text`; None if it is something else."""
    try:
        return bounded(_read_loss(**members) for members in json.loads(text))
    except (ValueError, TypeError, RecursionError):
        return None


def _read_loss(*, count: int, since: str, until: str, reasons: list[str]) -> Loss:
    if not isinstance(reasons, list):
        raise TypeError("expected a list of reasons")
    return Loss(count, since, until, tuple(reasons))
