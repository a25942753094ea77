"""Lets messages collect in the kernel, and decides when to read them.

Why. Reading a message takes little CPU time; waking up for it takes more. Two chargers publish
several times a second, but their values are needed only when a measurement is made, every 30 s.

How. `SO_RCVLOWAT` is a socket option: the number of bytes that must have arrived before a wait for
the socket ends. The default is 1. With BATCH_BYTES, the thread keeps sleeping while messages
collect in the kernel's buffer. Nothing else changes: TCP still acknowledges them to the sender, a
`recv` still returns whatever is there, and the end of a connection still ends the wait at once.

    messages   . .. .  . ... .  .. .  . .. . .  .. .  ... . . .. .  .
    reads                    ^                ^           ^      ^    ^
                             |                |           |      |    measurement
                             longest_s        longest_s   ...    half a second before it

When it reads. While messages collect, everything is read

- when BATCH_BYTES have arrived, as in a full publish;
- when `longest_s` seconds have passed since the last read;
- half a second before the main thread acts (READ_BEFORE_S), once for each of its deadlines. So a
  measurement includes what the GX published up to a second before. The main thread announces its
  next deadline after each event (`read_by`), and wakes this thread if its wait would end too late.
  This read is reported even if nothing has arrived: see `read_marks`.

When messages do not collect. From the start of a connection until SETTLED_S after the last
subscription, each message is read as soon as it arrives, because the first measurement waits for
the GX's answer. It is always so if the system does not support the option, or with stock paho,
which reads only one packet each time it is woken.

The cost. Messages that are read together get the time of the read, up to `longest_s` after they
were sent. docs/costs.md has the gain: about one wake-up a second, instead of one for each message.

In the broker's thread, call `wait_s` before each wait, and `begin_or_end` after each read.
"""

import logging
import socket
from collections.abc import Callable
from typing import Final

from mqtt_http_bridge.core.events import NEVER

log = logging.getLogger(__name__)

SETTLED_S: Final = 15.0
"""Seconds after a subscription in which each message is read at once: the warm-up needs them."""
BATCH_BYTES: Final = 16_384
READ_BEFORE_S: Final = 0.5
"""Everything is read this many seconds before the main thread acts. So it knows what was published
a second before, even if the process is held up for half a second."""
LONGEST_UNBATCHED_S: Final = 1.0
"""The longest wait, in seconds, while any byte ends it: the age of the next message is known only
to within this time."""


class ReceiveBatching:
    """Serves one thread, which waits and reads; any may call `read_at_once` and `read_by`."""

    def __init__(
        self, longest_s: float | None, now_s: Callable[[], float], wake: Callable[[], None]
    ) -> None:
        """Collects for up to `longest_s`; None: never. `wake` ends the wait of the thread."""
        self.is_on = False
        """True while it takes BATCH_BYTES to end a wait for the socket."""
        self._longest_s = longest_s
        self._now_s = now_s
        self._wake = wake
        self._begins_s = NEVER
        self._due_s = NEVER
        self._done_s = -NEVER
        """The last `_due_s` for which everything has been read."""
        self._waits_until_s = NEVER
        self._read_s = -NEVER
        """The last time that it was read."""

    # --- for any thread --------------------------------------------------------------------------

    def read_at_once(self) -> None:
        """Reads each message at once for SETTLED_S, because an answer is expected."""
        self._begins_s = self._now_s() + SETTLED_S
        if self.is_on:
            self._wake()

    def read_by(self, due_s: float) -> None:
        """Notes that the main thread acts at `due_s`; everything must be read before that."""
        if due_s == self._due_s:
            return
        self._due_s = due_s
        if due_s - READ_BEFORE_S < self._waits_until_s:
            self._wake()

    # --- for the thread that reads ---------------------------------------------------------------

    def start_afresh(self) -> None:
        """Starts a new connection; messages collect only once it has subscribed and settled."""
        self.is_on = False
        self._begins_s = NEVER
        self._read_s = -NEVER

    def wait_s(self) -> float:
        """Returns how many seconds to wait for the socket, at most, before the next read."""
        self._waits_until_s = NEVER  # Whoever changes `_due_s` from here on has to wake us.
        now_s, due_s = self._now_s(), self._due_s
        longest_s = (self._longest_s or 0.0) if self.is_on else LONGEST_UNBATCHED_S
        until_s = self._read_s + longest_s
        if due_s > self._done_s:
            until_s = min(until_s, due_s - READ_BEFORE_S)
        self._waits_until_s = max(until_s, now_s)
        return self._waits_until_s - now_s

    def note_read(self, now_s: float) -> None:
        """Notes that a read begins."""
        self._read_s = now_s

    def is_reading_due(self, until_s: float) -> bool:
        """Tells whether the main thread acts soon and needs everything read up to `until_s`."""
        due_s = self._due_s
        if due_s <= self._done_s or until_s < due_s - READ_BEFORE_S:
            return False
        self._done_s = due_s
        return True

    def begin_or_end(self, sock: socket.socket) -> None:
        """Switches collecting in the kernel on or off when it is time."""
        is_time = self._longest_s is not None and self._read_s >= self._begins_s
        if is_time is self.is_on:
            return
        try:
            least = BATCH_BYTES if is_time else 1
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, least)
        except OSError as error:
            log.warning("this system cannot collect messages: reading each as it comes: %s", error)
            self._longest_s = None
        else:
            self.is_on = is_time
