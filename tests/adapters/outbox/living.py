"""Lives a life on an outbox until it is killed: use it in a process of its own.

It imports no more than that takes, as a test starts dozens of them.
"""

import os
from itertools import count
from pathlib import Path

from mqtt_http_bridge.adapters.outbox import Outbox
from tests.adapters.outbox.support import FORMAT, PORTAL, body_of, minute_of, outbox_in, take

SMALL = 32 * 16 * 1024
"""Small segments, so that they are cleaned away all the time."""


def live(directory: str, first: int) -> None:
    """Stores and settles for ever; says what it does, before and after, in single writes."""
    outbox = outbox_in(Path(directory), max_bytes=SMALL)
    seen = -1
    for minute in count(first):
        say(f"storing {minute}")
        before = outbox.newest(PORTAL) or 0
        body = body_of(minute, "A", "B", size=700)
        outbox.store(body, portal_id=PORTAL, is_clock_trusted=True)
        while (outbox.newest(PORTAL) or 0) <= before:
            seen = outbox.wait(seen, 5.0)
        say(f"stored {minute}")
        for turn in range(minute % 7):
            number = outbox.newest(PORTAL) if turn % 2 else outbox.oldest_after(PORTAL)
            if number is not None:
                _send(outbox, number, minute)


def _send(outbox: Outbox, number: int, turn: int) -> None:
    entry = take(outbox, number)
    minute, serials = minute_of(entry.body), FORMAT.serials(entry.body)
    say(f"settling {minute} {serials[0]}")
    rest = FORMAT.only(entry.body, serials[1:])
    if turn % 7 == 0 and len(serials) > 1:
        outbox.park(entry, rest, ["B"], "not found")
    else:
        outbox.settle(entry, rest if len(serials) > 1 else None)
    say(f"settled {minute} {serials[0]}")


def say(what: str) -> None:
    os.write(1, what.encode() + b"\n")
