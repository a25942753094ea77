"""Counts what was given up, with the time it covers, to be written at the head of segments."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import Final

from mqtt_http_bridge.core.views import Loss

MOST_RANGES: Final = 20
"""The most ranges to tell apart; older ones become one."""


def with_loss(ranges: tuple[Loss, ...], timestamp: str, reason: str) -> tuple[Loss, ...]:
    """Adds one: it joins the last range of its reason, if that has lost something that day."""
    loss = Loss(1, timestamp, timestamp, reason)
    for place in range(len(ranges) - 1, -1, -1):
        if ranges[place].reason == reason and ranges[place].until[:10] == timestamp[:10]:
            return (*ranges[:place], ranges[place].merged(loss), *ranges[place + 1 :])
    return bounded((*ranges, loss))


def bounded(ranges: Iterable[Loss]) -> tuple[Loss, ...]:
    """Makes the oldest ranges one where there are too many."""
    kept = tuple(ranges)
    while len(kept) > MOST_RANGES:
        kept = (kept[0].merged(kept[1]), *kept[2:])
    return kept


def losses_text(ranges: tuple[Loss, ...]) -> str:
    """Makes a text of one line."""
    return json.dumps([asdict(loss) for loss in ranges], separators=(",", ":"))


def read_losses(text: bytes) -> tuple[Loss, ...] | None:
    """Reads what `losses_text` has made; None if it is something else."""
    try:
        return bounded(Loss(**members) for members in json.loads(text))
    except (ValueError, TypeError, RecursionError):
        return None
