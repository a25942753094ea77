"""Finds out whether the clock can be trusted, before anything is sent."""

import threading
from collections.abc import Callable
from typing import Protocol

from mqtt_http_bridge.adapters.outbox import Outbox
from mqtt_http_bridge.app.inbox import Call, Inbox
from mqtt_http_bridge.app.log import write_log
from mqtt_http_bridge.app.storing import Storing
from mqtt_http_bridge.core.clock_trust import Asked, ClockTrust
from mqtt_http_bridge.core.delivery.answers import Answer, NotSent, Reply
from mqtt_http_bridge.core.events import LONGEST_WAIT_S, Moment, Tick


class TellsTime(Protocol):
    """The part of a backend that is needed here."""

    def ask_time(self) -> Answer:
        """Asks only for headers; never raises because of the network."""


class ClockCheck:
    """Asks the kernel and the backend, in the thread of a sender, until the clock is trusted."""

    def __init__(
        self,
        now: Callable[[], Moment],
        ask_kernel: Callable[[], bool],
        trust: Callable[[], bool],
    ) -> None:
        """`trust` is called once the clock can be trusted, until it returns true."""
        self._now = now
        self._ask_kernel = ask_kernel
        self._trust = trust
        self._policy = ClockTrust()

    def ask(self, backend: TellsTime, unheard: Callable[[Answer], None]) -> float | None:
        """Asks once; returns the seconds until the next try, or None if the clock is trusted.

        `unheard` is called if the backend cannot be asked: nothing could be sent to it either.
        """
        if not self._policy.is_trusted:
            self._ask(backend, unheard)
        if self._policy.is_trusted and self._trust():
            return None
        return self._policy.wait_s

    def _ask(self, backend: TellsTime, unheard: Callable[[Answer], None]) -> None:
        lines = self._policy.hear_kernel(is_synchronised=self._ask_kernel())
        if not self._policy.is_trusted:
            began = self._now()
            answer = backend.ask_time()
            date = answer.date if isinstance(answer, Reply) else None
            is_answered = not isinstance(answer, NotSent)
            if not isinstance(answer, Reply):
                unheard(answer)
            lines = self._policy.hear_backend(Asked(began, self._now(), date, is_answered))
        for line in lines:
            write_log(line)


def trusting(
    inbox: Inbox, now: Callable[[], Moment], storing: Storing, outbox: Outbox
) -> Callable[[], bool]:
    """Returns a function that makes the main thread and the outbox trust the clock.

    The step that corrected the clock may have been read a moment ago. The main thread hears of it
    first, by a Tick, and only then trusts the clock, so that what it stored before is corrected.
    """

    def trust() -> bool:
        is_done = threading.Event()

        def do() -> None:
            storing.trust_clock()
            is_done.set()

        inbox.put(Tick(now()))
        inbox.put(Call(do))
        return is_done.wait(LONGEST_WAIT_S) and outbox.flush(LONGEST_WAIT_S)

    return trust
