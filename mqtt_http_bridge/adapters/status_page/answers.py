"""Makes answers in a separate thread, so that no client holds up the others."""

import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

log = logging.getLogger(__name__)

KEPT_S: Final = 0.9
"""Seconds for which an answer is reused, however many clients ask."""
SHARE: Final = 0.1
"""The most CPU time, as a share, for a slow answer: it is reused for that much longer."""
_WAIT_S: Final = 10.0
_PLAIN_POLICY: Final = (("Content-Security-Policy", "default-src 'none'"),)


def tell_bug(error: Exception) -> None:
    """Logs an unforeseen error of the page; with its traceback if everything is logged."""
    log.warning("the status page has met a bug in this program, please report it: %r", error)
    log.debug("the status page has met", exc_info=error)


Answer = tuple[int, bytes]
"""Status and body."""


@dataclass(frozen=True, slots=True)
class Resource:
    """Describes one path: `answer` returns the status and the body."""

    content_type: str
    answer: Callable[[], Answer]
    headers: tuple[tuple[str, str], ...] = _PLAIN_POLICY
    is_instant: bool = False
    """True if it waits for nothing, so it is answered at once even if other threads hang."""


class Answers:
    """Holds the answers of some resources. For one thread, except `_run`."""

    def __init__(self, resources: Mapping[str, Resource], made: Callable[[], None]) -> None:
        """Calls `made`, in its own thread, when `get` may return more than before."""
        self.resources = resources
        self._tell_made = made
        self._asked: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._pending: set[str] = set()
        self._made: dict[str, tuple[float, Answer]] = {}
        self.thread = threading.Thread(target=self._run, name="status answers", daemon=True)

    def get(self, path: str) -> Answer | None:
        """Returns the answer at `path`; None while it is being made."""
        resource = self.resources[path]
        if resource.is_instant:
            return resource.answer()
        made = self._made.get(path)
        if made is not None and time.monotonic() <= made[0]:
            return made[1]
        if path not in self._pending:
            self._pending.add(path)
            self._asked.put(path)
        return None

    def stop(self) -> None:
        """Ends the thread, once it has nothing to do; does not wait for it."""
        self._asked.put(None)

    def _run(self) -> None:
        while True:
            try:
                path = self._asked.get(timeout=_WAIT_S)
            except queue.Empty:
                continue
            if path is None:
                return
            self._made[path] = self._worked_out(path)
            self._pending.discard(path)
            self._tell_made()

    def _worked_out(self, path: str) -> tuple[float, Answer]:
        """The time until which each answer is reused, and the answer."""
        began_s = time.monotonic()
        try:
            answer = self.resources[path].answer()
        except Exception as error:  # noqa: BLE001 - the page is less than the service
            tell_bug(error)
            answer = (500, b"500: a bug in this program, please report it\n")
        ended_s = time.monotonic()
        return ended_s + max(KEPT_S, (ended_s - began_s) / SHARE), answer
