"""When the kernel gathers messages, and when what it has gathered is read.

Waking up is what costs at the rate of a GX. Once a connection has settled, the thread is woken by
16 KiB of messages, by the time for which they may be gathered, or shortly before the main thread
has something to do: a measurement holds what the GX said a second before it.
"""

import logging
import socket
from collections.abc import Callable
from typing import Final

log = logging.getLogger(__name__)

SETTLED_S: Final = 15.0
"""After a subscription everything is read as it comes: the warm-up waits for it."""
GATHER_BYTES: Final = 16_384
READ_BEFORE_S: Final = 0.5
"""How long before the main thread acts everything is read: what was said a second before is known
then, even if the process is held up for half a second. A main thread that is held up past two of
its deadlines tells the second too late: what it measures then may have been gathered for long."""

NEVER: Final = float("inf")


class Gathering:
    """For one thread, which waits and reads; any thread may call `hold_off` and `read_by`."""

    def __init__(
        self, longest_s: float | None, now_s: Callable[[], float], wake: Callable[[], None]
    ) -> None:
        """Gathers for up to `longest_s`, or not at all. `wake` ends the wait of the thread."""
        self.is_on = False
        """Whether less than GATHER_BYTES ends no wait for the socket."""
        self._longest_s = longest_s
        self._now_s = now_s
        self._wake = wake
        self._begins_s = NEVER
        self._due_s = NEVER
        self._done_s = -NEVER
        """The last `_due_s` before which everything has been read."""
        self._waits_until_s = NEVER

    # --- for any thread --------------------------------------------------------------------------

    def hold_off(self) -> None:
        """Something was asked for whose answer is waited for."""
        self._begins_s = self._now_s() + SETTLED_S

    def read_by(self, due_s: float) -> None:
        """Whoever gets the messages acts at `due_s`, unless one of them changes that."""
        if due_s == self._due_s:
            return
        self._due_s = due_s
        if self.is_on and due_s - READ_BEFORE_S < self._waits_until_s:
            self._wake()

    # --- for the thread that reads ---------------------------------------------------------------

    def start_afresh(self) -> None:
        """There is a new connection, which gathers nothing until it has subscribed and settled."""
        self.is_on = False
        self._begins_s = NEVER

    def wait_s(self) -> float:
        """How long to wait for GATHER_BYTES now, at most, before reading what there is."""
        self._waits_until_s = NEVER  # Whoever changes `_due_s` from here on has to wake us.
        now_s, due_s, wait_s = self._now_s(), self._due_s, self._longest_s or 0.0
        if due_s > self._done_s:
            wait_s = min(wait_s, max(0.0, due_s - READ_BEFORE_S - now_s))
            if wait_s == 0.0:
                self._done_s = due_s
        self._waits_until_s = now_s + wait_s
        return wait_s

    def begin_or_end(self, sock: socket.socket) -> None:
        """Tells the kernel, if it is time to begin or something else is to be read at once."""
        is_time = self._longest_s is not None and self._now_s() >= self._begins_s
        if is_time is self.is_on:
            return
        try:
            least = GATHER_BYTES if is_time else 1
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, least)
        except OSError as error:
            log.warning("this system does not gather messages: reading each as it comes: %s", error)
            self._longest_s = None
        else:
            self.is_on = is_time
