"""Lets messages gather in the kernel, and decides when they are read.

The aim. At the rate of a GX a message costs little; to wake up for it costs more. Two chargers
speak several times a second, but what they say matters only when a measurement is made, every
30 s.

The means. `SO_RCVLOWAT` is an option of a socket: the number of bytes that have to be there before
a wait for the socket ends. The default is 1. With BATCH_BYTES the thread sleeps on while messages
pile up in the kernel's buffer. Nothing else changes: TCP acknowledges them to the sender as ever,
a `recv` takes whatever is there at any time, and the end of a connection ends the wait at once.

    messages   . .. .  . ... .  .. .  . .. . .  .. .  ... . . .. .  .
    reads                    ^                ^           ^      ^    ^
                             |                |           |      |    measurement
                             longest_s        longest_s   ...    half a second before it

When it is read. While messages gather, everything is read

- when BATCH_BYTES have come, as in a full publish;
- when `longest_s` have passed since the last reading;
- half a second before the main thread acts (READ_BEFORE_S), once for each of its deadlines. So
  what the GX said a second before a measurement is in it. The main thread tells its next deadline
  after each event (`read_by`), and wakes this one if its wait would end later than that. This
  reading is reported even if nothing has come: see `read_marks`.

When they do not gather. From the start of a connection until SETTLED_S after the last subscription
each message is read as it comes: the GX answers what it was asked for, and the first measurement
waits for that. It stays so where the system does not know the option, and with stock paho, which
reads one packet for each time it is woken.

The price. What is read together bears the moment of reading, up to `longest_s` after it was said.
The gain is measured in docs/costs.md: about one wake-up a second, where a client that reads each
message as it comes has one for each.

The rhythm, in the broker's thread: `wait_s` before each wait, `begin_or_end` after each reading.
"""

import logging
import socket
from collections.abc import Callable
from typing import Final

from mqtt_http_bridge.core.events import NEVER

log = logging.getLogger(__name__)

SETTLED_S: Final = 15.0
"""After a subscription everything is read as it comes: the warm-up waits for it."""
BATCH_BYTES: Final = 16_384
READ_BEFORE_S: Final = 0.5
"""Everything is read so long before the main thread acts. So what was said a second before is known
then, even if the process is held up for half a second."""
LONGEST_UNGATHERED_S: Final = 1.0
"""Seconds to wait where the first byte ends the wait: by so much less is known of the age of what
comes next."""


class ReceiveBatching:
    """For one thread, which waits and reads; any thread may call `read_at_once` and `read_by`."""

    def __init__(
        self, longest_s: float | None, now_s: Callable[[], float], wake: Callable[[], None]
    ) -> None:
        """Gathers for up to `longest_s`, or not at all. `wake` ends the wait of the thread."""
        self.is_on = False
        """True while fewer than BATCH_BYTES end no wait for the socket."""
        self._longest_s = longest_s
        self._now_s = now_s
        self._wake = wake
        self._begins_s = NEVER
        self._due_s = NEVER
        self._done_s = -NEVER
        """The last `_due_s` before which everything has been read."""
        self._waits_until_s = NEVER

    # --- for any thread --------------------------------------------------------------------------

    def read_at_once(self) -> None:
        """Has everything read as it comes for SETTLED_S: an answer is waited for."""
        self._begins_s = self._now_s() + SETTLED_S
        if self.is_on:
            self._wake()

    def read_by(self, due_s: float) -> None:
        """Notes that the main thread acts at `due_s`, for which all has to be read before."""
        if due_s == self._due_s:
            return
        self._due_s = due_s
        if due_s - READ_BEFORE_S < self._waits_until_s:
            self._wake()

    # --- for the thread that reads ---------------------------------------------------------------

    def start_afresh(self) -> None:
        """Begins a new connection, which gathers nothing until it has subscribed and settled."""
        self.is_on = False
        self._begins_s = NEVER

    def wait_s(self) -> float:
        """Returns how long to wait for what ends the wait, at most, before all is read."""
        self._waits_until_s = NEVER  # Whoever changes `_due_s` from here on has to wake us.
        now_s, due_s = self._now_s(), self._due_s
        wait_s = (self._longest_s or 0.0) if self.is_on else LONGEST_UNGATHERED_S
        if due_s > self._done_s:
            wait_s = min(wait_s, max(0.0, due_s - READ_BEFORE_S - now_s))
        self._waits_until_s = now_s + wait_s
        return wait_s

    def is_reading_due(self, until_s: float) -> bool:
        """Tells whether somebody acts soon and waits until all that came by `until_s` is read."""
        due_s = self._due_s
        if due_s <= self._done_s or until_s < due_s - READ_BEFORE_S:
            return False
        self._done_s = due_s
        return True

    def begin_or_end(self, sock: socket.socket) -> None:
        """Tells the kernel when it is time to let messages gather, or to stop that."""
        is_time = self._longest_s is not None and self._now_s() >= self._begins_s
        if is_time is self.is_on:
            return
        try:
            least = BATCH_BYTES if is_time else 1
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, least)
        except OSError as error:
            log.warning("this system does not gather messages: reading each as it comes: %s", error)
            self._longest_s = None
        else:
            self.is_on = is_time
