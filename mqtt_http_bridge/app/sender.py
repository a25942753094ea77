"""The sender: one thread that takes entries from the outbox to the backend."""

import logging
import random
import threading
import time
from typing import Final, Protocol

from mqtt_http_bridge.adapters.outbox import Entry, Outbox
from mqtt_http_bridge.core.agenda import Agenda
from mqtt_http_bridge.core.delivery import Answer, Verdict, judge
from mqtt_http_bridge.core.errors import MalformedMeasurement

log = logging.getLogger(__name__)

AT_REST_S: Final = 0.5
"""A wait that is longer is for another try; a shorter one only keeps the pace."""


class Poster(Protocol):
    """What the sender needs of a backend."""

    def post(self, body: bytes) -> Answer:
        """Sends once; never raises for what the network does."""

    def close(self) -> None:
        """Gives up what is idle."""


class Sender:
    """Owns its thread, the agenda and the backend; shares the outbox with who appends."""

    def __init__(self, outbox: Outbox, backend: Poster, *, max_rate_per_s: float) -> None:
        self._outbox = outbox
        self._backend = backend
        self._agenda = Agenda(max_rate_per_s, random.uniform)
        self._agenda.add_backlog(outbox.numbers())
        self._stopping = threading.Event()
        self._rest = threading.Condition()
        self._is_at_rest = False
        self._trouble = ""
        self._thread = threading.Thread(target=self._run, name="sender", daemon=True)
        if len(self._agenda):
            log.info("%d measurements wait from before", len(self._agenda))

    def start(self) -> None:
        """Starts the thread. Any thread may call this, once."""
        self._thread.start()

    def finish(self) -> bool:
        """Waits until all that was appended is sent, or has to wait for another try.

        Returns whether nothing is left. For the thread that appends.
        """
        with self._rest:
            self._is_at_rest = False
            self._outbox.wake()
            while not self._rest.wait_for(lambda: self._is_at_rest, timeout=1.0):
                if not self._thread.is_alive():
                    break
        return not self._outbox.numbers()

    def stop(self, timeout_s: float) -> None:
        """Ends the thread after the POST under way, waiting at most `timeout_s` for it.

        A POST that takes longer is left to its fate: its entry stays in the outbox.
        """
        self._stopping.set()
        self._outbox.wake()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wait()
            number = None if self._stopping.is_set() else self._agenda.choose(time.monotonic())
            if number is not None:
                self._send(number)
        self._backend.close()

    def _wait(self) -> None:
        wait_s = self._agenda.next_due_s() - time.monotonic()
        with self._rest:
            self._is_at_rest = wait_s > AT_REST_S
            self._rest.notify_all()
        for number in self._outbox.wait(None if wait_s == float("inf") else max(0.0, wait_s)):
            self._agenda.add_fresh(number)

    def _send(self, number: int) -> None:
        try:
            entry = self._outbox.read(number)
        except MalformedMeasurement as error:
            log.warning("entry %d of the outbox is damaged and stays there: %s", number, error)
            return
        verdict = judge(self._backend.post(entry.body), entry.measurement)
        self._settle(entry, verdict)
        self._agenda.judged(number, verdict, time.monotonic())
        self._tell(verdict)

    def _settle(self, entry: Entry, verdict: Verdict) -> None:
        if verdict.is_done:
            self._outbox.settle(entry.number, None)
            return
        remaining = entry.measurement.only(verdict.owed | verdict.refused.keys())
        if remaining != entry.measurement:
            self._outbox.settle(entry.number, remaining)

    def _tell(self, verdict: Verdict) -> None:
        if verdict.reason == self._trouble:
            return
        if verdict.reason:
            log.warning("not delivered, kept in the outbox: %s", verdict.reason)
        else:
            log.info("the backend takes measurements again; %d wait", len(self._agenda))
        self._trouble = verdict.reason
