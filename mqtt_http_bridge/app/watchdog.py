"""Watches the threads, and ends the process when one of them hangs.

Ending the process must not depend on anything that may hang as well: no log, no disk, no lock. So
first the kernel is asked to end the process in a few seconds, whatever happens.
"""

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import Final

from mqtt_http_bridge.adapters import systemd, thread_start
from mqtt_http_bridge.app.log import finish, tell_what_is_due
from mqtt_http_bridge.core.errors import LocalFault
from mqtt_http_bridge.core.watchdog import LOOK_EVERY_S, Progress, Watchdog

log = logging.getLogger(__name__)

STATUS: Final = 70
"""The exit status that sysexits.h defines for an internal software error."""
END_WITHIN_S: Final = 5.0
JOIN_S: Final = 1.0
MOST_FRAMES: Final = 12
"""The most frames to show of each thread, from the innermost on: they fit into a line of the
log."""


def end_process(names: Sequence[str]) -> None:
    """Ends the process, for its supervisor to restart it."""
    told = ", ".join(names)
    _end(lambda: f"{told}: no progress for a minute: ending, so that it is started again")


def _end(why: Callable[[], str]) -> None:
    """Logs why, and what each thread is doing, and ends the process."""
    signal.setitimer(signal.ITIMER_REAL, END_WITHIN_S)  # SIGALRM, which nobody handles.
    try:
        log.critical("%s", why())
        for line in stacks():
            log.critical(line)
        finish()
    finally:
        os._exit(STATUS)


def stacks() -> list[str]:
    """Describes where each thread is, innermost frame first. Reads no file, takes no lock."""
    frames = sys._current_frames()  # noqa: SLF001 - documented
    names = {thread.ident: thread.name for thread in list(threading.enumerate())}
    return [
        f"the thread {names.get(number, number)} is at {_places(frame)}"
        for number, frame in frames.items()
    ]


def _places(frame: FrameType | None) -> str:
    places: list[str] = []
    while frame is not None and len(places) < MOST_FRAMES:
        code = frame.f_code
        places.append(f"{code.co_filename.rpartition('/')[2]}:{frame.f_lineno} {code.co_name}")
        frame = frame.f_back
    return " < ".join(places)


@contextmanager
def watching(
    threads: Sequence[Progress],
    *,
    look_every_s: float = LOOK_EVERY_S,
    end: Callable[[Sequence[str]], None] = end_process,
) -> Iterator[None]:
    """Runs a thread that looks at `threads`, and calls `end` with those that hang."""
    stopping = threading.Event()
    watchdog = Watchdog(look_every_s)

    def look_on() -> None:
        while True:
            still = watchdog.look(time.monotonic(), threads)
            if still:
                end(still)
                return
            systemd.notify(systemd.ALIVE)
            tell_what_is_due()
            if stopping.wait(look_every_s):
                return

    thread = threading.Thread(target=look_on, name="watchdog", daemon=True)
    thread_start.start(thread)
    try:
        yield
    finally:
        stopping.set()
        # A daemon thread that wakes up while Python ends is killed, on some systems with the
        # process.
        thread.join(JOIN_S)


@contextmanager
def ending_within(limit_s: float) -> Iterator[Callable[[Callable[[], str]], None]]:
    """Yields what to call when the end begins, with a function that says what may be lost.

    If this is not left `limit_s` after that, something hangs, and the process ends without it.
    """
    is_over = threading.Event()
    limits = ExitStack()

    def wait(at_stake: Callable[[], str]) -> None:
        if not is_over.wait(limit_s):
            _end(lambda: f"not ended after {limit_s:.0f} s: ending by force: {at_stake()}")

    def begin(at_stake: Callable[[], str]) -> None:
        thread = threading.Thread(target=wait, args=[at_stake], name="end", daemon=True)
        try:
            thread_start.start(thread, limit_s=limit_s)
        except LocalFault:
            signal.setitimer(signal.ITIMER_REAL, limit_s)  # The kernel ends it, without a word.
            limits.callback(signal.setitimer, signal.ITIMER_REAL, 0.0)
        else:
            limits.callback(thread.join, JOIN_S)

    try:
        yield begin
    finally:
        is_over.set()
        limits.close()
