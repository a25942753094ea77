"""Has the tellers look and tell in a thread of its own, because they need the disk.

The main thread only hands over a snapshot of the relay. It waits for nothing: while the disk hangs,
nothing is told, but the relay goes on measuring.
"""

import queue
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Final

from mqtt_http_bridge.app.relay_observer import Teller
from mqtt_http_bridge.core.events import NEVER, Moment
from mqtt_http_bridge.core.log import Log
from mqtt_http_bridge.core.views import RelayView
from mqtt_http_bridge.core.watchdog import LONGEST_REST_S, Progress

AGAIN_S: Final = 10.0
"""Seconds until the next snapshot, unless the tellers have said when they want it by then."""
LONGEST_TURN_S: Final = 300.0
"""Seconds that a disk may hang before that counts as no progress."""


class StatusThread(threading.Thread):
    """Tells for all tellers. The main thread calls its methods; it is a teller to that thread."""

    def __init__(self, tellers: Sequence[Teller], write: Callable[[Log], None]) -> None:
        """Starts nothing yet. `write` writes a line to the log."""
        super().__init__(name="status", daemon=True)
        self.progress = Progress(self.name, time.monotonic)
        self.due_s = self.deadline_s = NEVER
        self._tellers = tellers
        self._write = write
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._is_idle = True
        self._note_when()

    def tell(self, now: Moment, relay: RelayView) -> list[Log]:
        """Hands over a snapshot; drops it if the last one is still being told."""
        self.due_s = self.deadline_s = now.monotonic_s + AGAIN_S
        if self._is_idle:
            self._is_idle = False
            self._jobs.put(partial(self._tell, now, relay))
        return []

    def end(self, last: Callable[[], None], timeout_s: float) -> None:
        """Has `last` done after all else, and the thread ended; waits at most `timeout_s`."""
        self._jobs.put(last)
        self._jobs.put(None)
        self.join(timeout_s)

    # --- the thread ----------------------------------------------------------------------------

    def run(self) -> None:
        """Does what is handed over, until the end."""
        while (job := self._next()) is not None:
            self.progress.busy(LONGEST_TURN_S)
            job()
        self.progress.end()

    def _next(self) -> Callable[[], None] | None:
        while True:
            self.progress.turn()
            with suppress(queue.Empty):
                return self._jobs.get(timeout=LONGEST_REST_S)

    def _tell(self, now: Moment, relay: RelayView) -> None:
        for teller in self._tellers:
            if now.monotonic_s >= teller.due_s:
                for line in teller.tell(now, relay):
                    self._write(line)
        # If a snapshot comes in between, it is dropped, and the next one comes AGAIN_S later.
        self._note_when()
        self._is_idle = True

    def _note_when(self) -> None:
        """Notes the earliest times of all: asking each at each event would cost too much."""
        self.due_s = min(teller.due_s for teller in self._tellers)
        self.deadline_s = min(teller.deadline_s for teller in self._tellers)
