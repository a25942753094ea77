"""The threads that send: each has one POST under way at a time, over a connection of its own.

One of the idle threads waits for news of the outbox, and the others wait to take its place: so a
new measurement wakes only one thread. No thread is started for a POST, and none waits longer than
30 s: who watches them hears of each turn.
"""

import logging
import random
import threading
import time
from collections.abc import Callable
from typing import Final

from mqtt_http_bridge.adapters import thread_start
from mqtt_http_bridge.adapters.outbox import Outbox
from mqtt_http_bridge.app.clock_check import ClockCheck
from mqtt_http_bridge.app.dispatcher import Dispatcher, Keys, Poster
from mqtt_http_bridge.core.backoff import Draw
from mqtt_http_bridge.core.delivery.answers import Answer
from mqtt_http_bridge.core.delivery.dialect import Dialect
from mqtt_http_bridge.core.delivery.exchange import Exchange
from mqtt_http_bridge.core.delivery.plan import Job
from mqtt_http_bridge.core.delivery.verdict import Verdict
from mqtt_http_bridge.core.errors import LocalFault
from mqtt_http_bridge.core.watchdog import LONGEST_REST_S, Progress
from mqtt_http_bridge.core.words import counted

log = logging.getLogger(__name__)

AUTO_CONNECTIONS: Final = 8
"""The most connections if `backend.connections` is auto."""
STOP_SENDERS_S: Final = 3.0
"""Seconds that the POSTs under way get at the end: what is answered by then is not sent again."""
START_S: Final = 60.0
"""The seconds that a thread may take to begin, on a busy machine."""


class Senders:
    """Owns the threads, which share the dispatcher."""

    def __init__(
        self,
        outbox: Outbox,
        make_backend: Callable[[], Poster],
        dialect: Dialect,
        keys: Keys,
        *,
        max_rate_per_s: float,
        connections: int | None = None,
        on_verdict: Callable[[Answer, Verdict], None] = lambda answer, verdict: None,
        on_entry: Callable[[Job, Exchange, str], None] = lambda job, exchange, timestamp: None,
        watch: Callable[[Progress], None] = lambda progress: None,
        longest_post_s: float = 120.0,
        now_s: Callable[[], float] = time.monotonic,
        draw: Draw = random.uniform,
    ) -> None:
        """Starts nothing yet.

        Each thread calls `make_backend` once. `on_verdict` is called with the result of each POST,
        and `on_entry` with the result of each entry, by one thread at a time. `watch` gets the
        progress of each thread when it starts; a POST takes at most `longest_post_s`.
        """
        self._outbox = outbox
        self._make_backend = make_backend
        self._most = connections or AUTO_CONNECTIONS
        self._watch = watch
        self._longest_post_s = longest_post_s
        self._dispatcher = Dispatcher(
            outbox,
            dialect,
            keys,
            max_rate_per_s=max_rate_per_s,
            now_s=now_s,
            draw=draw,
            on_verdict=on_verdict,
            on_entry=on_entry,
        )
        self._stopping = threading.Event()
        self._waiting = threading.Lock()
        """Held by the one thread that waits for news."""
        self._resting = threading.Condition()
        self._threads: list[threading.Thread] = []
        self._starting = threading.Lock()
        """Held until a thread that is started is among the others."""
        self._lost_before = self._lost

    @property
    def expect(self) -> Callable[[str], None]:
        """Call this with the portal id of what is about to be stored; it never waits."""
        return self._dispatcher.expect

    @property
    def given_up(self) -> int:
        """Returns how many measurements the outbox has given up since this was made."""
        return self._lost - self._lost_before

    @property
    def _lost(self) -> int:
        return sum(loss.count for loss in self._outbox.view().losses)

    def start(self, clock_check: ClockCheck | None = None) -> None:
        """Starts the first thread; if the clock is checked, nothing is sent before that."""
        waiting = sum(portal.owed for portal in self._outbox.view().portals)
        if waiting:
            wait = counted(waiting, "measurement waits", "measurements wait")
            log.info("%s from before", wait)
        with self._starting:
            self._start_thread(clock_check)

    def _start_thread(self, clock_check: ClockCheck | None = None) -> None:
        count = len(self._threads)
        name = f"sender {count + 1}"
        progress = Progress(name, time.monotonic, self._outbox.disk_until_s)
        progress.busy(START_S)
        self._watch(progress)
        thread = threading.Thread(
            target=self._run, args=(progress, clock_check), name=name, daemon=True
        )
        self._dispatcher.use_connections(count + 1)
        try:
            thread_start.start(thread)
        except LocalFault:
            progress.end()
            self._dispatcher.use_connections(count)
            raise
        self._threads.append(thread)  # Not before: nobody can wait for one that does not run.

    def finish(self, timeout_s: float = 60.0) -> bool:
        """Waits until everything stored is sent, or has to wait for a retry.

        Returns whether nothing is left, and nothing was given up. For the thread that stores. The
        outbox has `timeout_s` to handle what was stored.
        """
        self._outbox.flush(timeout_s)
        self._dispatcher.look_at_all()
        with self._resting:
            while not self._resting.wait_for(lambda: self._dispatcher.is_at_rest, timeout=1.0):
                if not self._threads[0].is_alive():
                    break
        is_left = any(portal.owed or portal.parked for portal in self._outbox.view().portals)
        return not is_left and not self.given_up

    def stop(self, timeout_s: float) -> None:
        """Ends the threads after the current POSTs, waiting at most `timeout_s` for all of them.

        A POST that takes longer is abandoned: its entry stays in the outbox.
        """
        ends_s = time.monotonic() + timeout_s
        self._stopping.set()
        self._dispatcher.wake()
        for thread in self._threads:
            thread.join(max(0.0, ends_s - time.monotonic()))
        self._dispatcher.abandon()

    # --- the threads -------------------------------------------------------------------------

    def _run(self, progress: Progress, clock_check: ClockCheck | None) -> None:
        backend = self._make_backend()

        def before_post() -> None:
            progress.busy(self._longest_post_s)

        if clock_check is not None:
            self._check_clock(clock_check, backend, before_post)
        while not self._stopping.is_set():
            progress.turn()
            job = self._next_job()
            if job is not None:
                self._dispatcher.send(job, backend, before_post)
        backend.close()
        progress.end()

    def _check_clock(
        self, clock_check: ClockCheck, backend: Poster, before_post: Callable[[], None]
    ) -> None:
        while not self._stopping.is_set():
            before_post()
            wait_s = clock_check.ask(backend, self._dispatcher.note_unheard)
            if wait_s is None:
                return
            self._stopping.wait(wait_s)

    def _next_job(self) -> Job | None:
        """Waits a while for something to send, and returns it."""
        job = self._dispatcher.choose()
        if job is None:
            self._tell_rest()
            if not self._waiting.acquire(timeout=LONGEST_REST_S):
                return None
            try:
                job = self._dispatcher.choose()
                if job is None and not self._stopping.is_set():
                    self._dispatcher.wait()
                    job = self._dispatcher.choose()
            finally:
                self._waiting.release()
        if job is not None:
            self._start_more()
        return job

    def _start_more(self) -> None:
        """Starts another thread if there is work for one more."""
        with self._starting:
            count = len(self._threads)
            if count < self._dispatcher.wanted_connections(self._most):
                try:
                    self._start_thread()
                except LocalFault as error:
                    self._most = count
                    log.warning("%s: going on with %s", error, counted(count, "connection"))

    def _tell_rest(self) -> None:
        with self._resting:
            self._resting.notify_all()
