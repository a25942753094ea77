"""Plays a load at its pace, on a thread of its own."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

from tests.bench.loads import Load
from tests.bench.traffic import Wire
from tests.bench.waiting import Failed

LATE_S = 1.0
"""Whoever is later than this does not play at the pace that is measured."""


@contextmanager
def playing(wire: Wire, load: Load, late_s: float = LATE_S) -> Iterator[None]:
    """Within this the load is played, over and over. Raises Failed if that went wrong."""
    player = _Player(wire, load, late_s)
    player.thread.start()
    try:
        yield
    finally:
        player.is_ending.set()
        player.thread.join()
    if player.error is not None:
        raise Failed(f"expected {load.name} to be played: {player.error}") from player.error


class _Player:
    def __init__(self, wire: Wire, load: Load, late_s: float) -> None:
        self._wire = wire
        self._load = load
        self._late_s = late_s
        self.is_ending = threading.Event()
        self.error: Exception | None = None
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        try:
            self._play()
        except (OSError, Failed) as error:
            self.error = error

    def _play(self) -> None:
        began_s = time.monotonic()
        pieces = [(at_s, b"".join(piece)) for at_s, piece in self._load.pieces]
        for turn in count():
            for at_s, data in pieces:
                due_s = began_s + turn * self._load.period_s + at_s
                if self.is_ending.wait(max(0.0, due_s - time.monotonic())):
                    return
                if time.monotonic() > due_s + self._late_s:
                    raise Failed(f"more than {self._late_s:g} s late: the machine is too busy")
                self._wire.send(data)
