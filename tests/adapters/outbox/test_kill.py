"""Kills a real process at random: nothing is missing, and nothing answered comes back.

Each time a child stores, sends and parks until it dies.
"""

import os
import random
import signal
import subprocess
import sys
import time
from itertools import count
from pathlib import Path

import pytest

from mqtt_http_bridge.adapters.outbox import Outbox
from tests.adapters.outbox.support import (
    FORMAT,
    PORTAL,
    body_of,
    minute_of,
    numbers,
    opened,
    outbox_in,
    take,
)
from tests.support.extent import extent

KILLS = extent(30, 300)
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


@pytest.mark.slow
def test_killed_at_random(tmp_path: Path) -> None:
    """After each kill the outbox owes what was stored and not settled, exactly."""
    directory, rng = tmp_path / "outbox", random.Random(2026)
    owed, doubtful, minute, done = set[tuple[int, str]](), set[tuple[int, str]](), 1, 0
    for _ in range(KILLS):
        for line in killed_life(directory, minute, rng.uniform(0.0, 0.12)):
            match line.split():
                case ["storing", number]:
                    minute = int(number) + 1
                    doubtful |= {(int(number), "A"), (int(number), "B")}
                case ["stored", number]:
                    owed |= {(int(number), "A"), (int(number), "B")}
                    doubtful -= owed
                case ["settling", number, serial]:
                    doubtful.add((int(number), serial))
                case ["settled", number, serial]:
                    owed.discard((int(number), serial))
                    doubtful.discard((int(number), serial))
                    done += 1
        found = owed_in(directory)
        assert owed - doubtful <= found
        assert found <= owed | doubtful
        owed, doubtful = found, set()
    assert done > 5 * KILLS
    assert not (directory / "damaged").exists()


def killed_life(directory: Path, first: int, pause_s: float) -> list[str]:
    """Returns what a child said until it was killed, a while after the first word."""
    command = [
        sys.executable,
        "-c",
        f"from tests.adapters.outbox.test_kill import live; live({str(directory)!r}, {first})",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        begin = child.stdout.readline()
        assert begin, "expected the child to begin, found that it has died"
        time.sleep(pause_s)
        os.kill(child.pid, signal.SIGKILL)
        return (begin + child.stdout.read()).decode().splitlines()


def owed_in(directory: Path) -> set[tuple[int, str]]:
    """Returns what the next process finds, owed or parked."""
    with opened(directory, max_bytes=SMALL) as outbox:
        outbox.unpark(PORTAL, "B")
        bodies = [e.body for n in numbers(outbox) if (e := outbox.take(PORTAL, n)) is not None]
        assert len(bodies) == len(numbers(outbox))
        assert outbox.view().losses == ()
    return {(minute_of(body), serial) for body in bodies for serial in FORMAT.serials(body)}
