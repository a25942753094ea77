"""Kills a real process at random: nothing is missing, and nothing answered comes back.

Each time a child stores, sends and parks until it dies.
"""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.adapters.outbox.living import SMALL
from tests.adapters.outbox.support import FORMAT, PORTAL, minute_of, numbers, opened
from tests.support.extent import extent

KILLS = extent(30, 300)
MOST_WORDS = 60


@pytest.mark.slow
def test_killed_at_random(tmp_path: Path) -> None:
    """After each kill the outbox owes what was stored and not settled, exactly."""
    directory, rng = tmp_path / "outbox", random.Random(2026)
    owed, doubtful, minute, done = set[tuple[int, str]](), set[tuple[int, str]](), 1, 0
    for _ in range(KILLS):
        words, pause_s = rng.randint(1, MOST_WORDS), rng.uniform(0.0, 0.01)
        for line in killed_life(directory, minute, words, pause_s):
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


def killed_life(directory: Path, first: int, words: int, pause_s: float) -> list[str]:
    """Returns what a child said until it was killed, a moment after it had said so much."""
    command = [
        sys.executable,
        "-c",
        f"from tests.adapters.outbox.living import live; live({str(directory)!r}, {first})",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        begin = b"".join(child.stdout.readline() for _ in range(words))
        assert begin.count(b"\n") == words, "expected the child to go on, found that it has died"
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
