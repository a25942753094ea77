"""Starts threads, and ends the process if one does not start.

`Thread.start` waits, without a limit, for the new thread to say that it runs. If memory is short at
that moment, the new thread may die before it can say so, and the caller waits forever. The watchdog
may not be there to notice: it is a thread as well, and others start before it.

So each start has a time limit, kept by a timer that is no Python thread. And in case its traceback
cannot be written, because nobody reads stderr, the kernel ends the process a little later.
"""

import faulthandler
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Final

from mqtt_http_bridge.core.errors import LocalFault

LIMIT_S: Final = 30.0
"""Seconds that a start may take: it takes a millisecond, but the machine may be busy."""
TELL_S: Final = 5.0
"""Seconds that writing the traceback may take."""
STACK_BYTES: Final = 2_097_152
"""The stack of a thread. A memory limit counts all of it, used or not: with the 8 MB of most
systems, half of what a GX allows would be gone at the start. Python 3.13 needs over 1 MB to refuse
JSON that is nested too deep."""
_STDERR: Final = 2
_starting = threading.Lock()


def start(
    thread: threading.Thread, *, limit_s: float | None = None, stack_bytes: int = STACK_BYTES
) -> None:
    """Starts a thread. If that takes over `limit_s`, ends the process, with a traceback of all.

    Raises LocalFault if the system has no room for another thread.
    """
    is_main = threading.current_thread() is threading.main_thread()
    try:
        # There is one timer only. The watchdog watches the other threads that start some. The timer
        # is a thread for the system, and gets a stack of this size, too.
        with _stack_of(stack_bytes), _limit(limit_s or LIMIT_S) if is_main else nullcontext():
            thread.start()
    except RuntimeError as error:
        raise LocalFault(
            f"cannot start the thread {thread.name}: expected memory for it, found too little"
            f" ({error}): raise the limit of memory or processes, or end other programs"
        ) from None


@contextmanager
def _limit(limit_s: float) -> Iterator[None]:
    """Ends the process if this is not left within `limit_s`. For the main thread."""
    faulthandler.dump_traceback_later(limit_s, exit=True, file=_STDERR)
    before = signal.setitimer(signal.ITIMER_REAL, limit_s + TELL_S)  # Nobody handles SIGALRM.
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, *before)
        faulthandler.cancel_dump_traceback_later()


@contextmanager
def _stack_of(stack_bytes: int) -> Iterator[None]:
    """Gives the threads that are started meanwhile a stack of this size; one caller at a time."""
    with _starting:
        before = threading.stack_size(stack_bytes)
        try:
            yield
        finally:
            threading.stack_size(before)
