"""From the inbox to the backend: the threads of `run` wired together.

broker thread --+         main thread, alone owns the relay          sender threads
signals --------+-> inbox -> relay -> Subscribe, Publish -> broker
dying threads --+                 \\-> Store -> outbox -------------> outbox -> POST -> verdict
"""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Final

from mqtt_http_bridge import __version__
from mqtt_http_bridge.adapters import systemd, thread_start
from mqtt_http_bridge.adapters.api_keys import ApiKeys
from mqtt_http_bridge.adapters.backend import Backends, check_authorities
from mqtt_http_bridge.adapters.broker import Broker
from mqtt_http_bridge.adapters.clock import SystemClock, boot_id
from mqtt_http_bridge.adapters.kernel_clock import is_synchronised
from mqtt_http_bridge.adapters.outbox import Boot, Outbox
from mqtt_http_bridge.adapters.state_file import StateFile
from mqtt_http_bridge.app.backend_observer import BackendObserver
from mqtt_http_bridge.app.clock_check import ClockCheck, trusting
from mqtt_http_bridge.app.dialect import DIALECT
from mqtt_http_bridge.app.inbox import Inbox
from mqtt_http_bridge.app.log import hide, write_log
from mqtt_http_bridge.app.main_loop import executor, run_loop, watch_signals
from mqtt_http_bridge.app.outbox_observer import OutboxObserver, count_waiting
from mqtt_http_bridge.app.relay_observer import RelayObserver
from mqtt_http_bridge.app.senders import STOP_SENDERS_S, Senders
from mqtt_http_bridge.app.state_reporter import StateReporter, this_process
from mqtt_http_bridge.app.status_thread import StatusThread
from mqtt_http_bridge.app.storing import Storing
from mqtt_http_bridge.app.watchdog import ending_within, watching
from mqtt_http_bridge.core.events import Moment
from mqtt_http_bridge.core.redaction import of_settings
from mqtt_http_bridge.core.relay.relay import Relay
from mqtt_http_bridge.core.settings import AUTO, BackendSettings, Settings
from mqtt_http_bridge.core.status.periodic_log import PeriodicLog
from mqtt_http_bridge.core.status.state_file import heard_before
from mqtt_http_bridge.core.status.state_json import read_all
from mqtt_http_bridge.core.views import RelayView, StatusView
from mqtt_http_bridge.core.watchdog import Progress
from mqtt_http_bridge.core.words import counted

if TYPE_CHECKING:
    from mqtt_http_bridge.app.change_log import ChangeLog
    from mqtt_http_bridge.app.status_sources import StatusSources
    from mqtt_http_bridge.core.status.history import History

log = logging.getLogger(__name__)

STOP_OUTBOX_S: Final = 0.5
LOOK_UP_S: Final = 60.0
"""More seconds that a name look-up may take, on a system with several name servers."""
START_S: Final = 300.0
"""Seconds that the start may take: a slow disk may hold an outbox of a week."""
STOP_STATUS_S: Final = 1.0
END_S: Final = 8.0
"""Seconds that the end may take, with waiting entries and a slow disk: a container gets 10 s."""


def relay(
    settings: Settings,
    backend_settings: BackendSettings,
    *,
    clock: SystemClock,
    distance_s: float,
    broker: Broker,
    inbox: Inbox,
) -> None:
    """Relays what comes into the inbox, until SIGTERM or Ctrl+C.

    `broker` has been started, when the wall clock was `distance_s` ahead of the monotonic one.
    Raises a BridgeError if it cannot start or cannot go on. Only the main thread may call it.
    """
    progress = Progress("main", time.monotonic)
    progress.busy(START_S)
    watched = [progress, broker.progress]
    with watching(watched), watch_signals(inbox), ending_within(END_S) as begin_to_end:
        check_authorities(backend_settings)
        outbox = Outbox(settings.outbox, DIALECT, Boot(boot_id(), distance_s))
        watched.append(outbox.progress)
        backend = BackendObserver(clock.now)
        senders = _senders(settings, backend_settings, outbox, clock, backend, watch=watched.append)
        storing = Storing(outbox, DIALECT, expect=senders.expect)
        core, watch = Relay(settings), _Watch(settings, clock.now, backend, outbox)
        observer = watch.observer(core)
        page = status_page(settings, lambda: watch.sources(observer, inbox))
        with watch.changes.listening(__version__) if watch.changes else nullcontext(), page:
            _tell_start(settings, backend_settings)
            systemd.notify(systemd.READY)
            trust = trusting(inbox, clock.now, storing, outbox)
            senders.start(ClockCheck(clock.now, is_synchronised, trust))
            thread_start.start(watch.thread)
            watched.append(watch.thread.progress)
            try:
                run_loop(
                    core,
                    inbox,
                    clock.now,
                    executor(broker, storing.store, storing.note_clock_step),
                    observer=observer,
                    # The broker may have waited: requests are answered only from now on.
                    earliest_s=clock.now().monotonic_s,
                    read_by=broker.read_by,
                    turn=progress.turn,
                )
            finally:
                systemd.notify(systemd.STOPPING)
                progress.busy(END_S)
                begin_to_end(lambda: _at_stake(outbox))
                senders.stop(STOP_SENDERS_S)
                outbox.flush(STOP_OUTBOX_S)
                watch.tell_the_end(core)
        _tell_end(outbox)
        outbox.close()


def _at_stake(outbox: Outbox) -> str:
    """Says what is lost if the process ends now, although its disk hangs."""
    count = outbox.unwritten
    if not count:
        return "nothing is lost"
    lost = counted(count, "measurement that was", "measurements that were")
    return f"up to {lost} in memory only may be lost: fix the disk: `check` says more"


def _tell_end(outbox: Outbox) -> None:
    """Logs the end; the outbox itself logs what the disk refuses after that."""
    found = outbox.view()
    count, where = count_waiting(found.portals), outbox.directory
    waiting = counted(count, f"measurement waits in {where}", f"measurements wait in {where}")
    if not found.in_memory:
        log.info("stopped: %s", waiting if count else "nothing waits")
        return
    text = "stopped: %s; of these and of what is parked, %d only in memory: the disk refuses: %s"
    log.warning(text, waiting, found.in_memory, found.fault or "no answer yet")


def _senders(
    settings: Settings,
    backend_settings: BackendSettings,
    outbox: Outbox,
    clock: SystemClock,
    observer: BackendObserver,
    *,
    watch: Callable[[Progress], None],
) -> Senders:
    return Senders(
        outbox,
        Backends(backend_settings, DIALECT),
        DIALECT,
        ApiKeys(backend_settings, hide),
        max_rate_per_s=settings.outbox.max_rate_per_s,
        connections=backend_settings.connections,
        on_verdict=observer.note,
        on_entry=observer.note_entry,
        watch=watch,
        now_s=lambda: clock.now().monotonic_s,
        longest_post_s=2 * backend_settings.timeout_s + LOOK_UP_S,
    )


def _tell_start(settings: Settings, backend_settings: BackendSettings) -> None:
    """Logs the start: everything that is needed is there by then."""
    log.info(
        "mqtt-http-bridge %s: from %s (portal id %s%s) to %s, by %s",
        __version__,
        settings.mqtt.place,
        ", ".join(settings.mqtt.portal_ids) or AUTO,
        f", shard {settings.mqtt.shard}" if settings.mqtt.shard else "",
        backend_settings.url,
        settings.source,
    )


class _Watch:
    """Watches the service for the log, the state file and the status page."""

    def __init__(
        self,
        settings: Settings,
        now: Callable[[], Moment],
        backend: BackendObserver,
        outbox: Outbox,
    ) -> None:
        self._is_shown = settings.status.listen is not None
        self._started = now()
        self._interval_s = settings.device.update_interval_s
        self._backend = backend
        self._outbox = OutboxObserver(outbox, self._interval_s, now)
        self._now = now
        self._has_charger_metrics = settings.status.per_charger_metrics
        file, process = StateFile(outbox.directory), this_process(settings, self._started)
        self._heard_before = heard_before(read_all(file.read()), settings.mqtt)
        self.changes = _changes(settings, outbox, now)
        save = self.changes.save if self.changes is not None else lambda: None
        self._state = StateReporter(file, process, self.status, save)
        tellers = (PeriodicLog(self._started, self.status), self._state)
        self.thread = StatusThread(tellers, write_log)

    def status(self, now: Moment, relay: RelayView) -> StatusView:
        """Collects what is known at `now`, for any thread."""
        return StatusView(
            version=__version__,
            started=self._started,
            now=now,
            relay=relay,
            backend=self._backend.latest,
            outbox=self._outbox.view(),
            interval_s=self._interval_s,
            heard_before=self._heard_before,
        )

    def observer(self, core: Relay) -> RelayObserver:
        """Returns what watches the relay for the log and the state file."""
        history = _history(self._interval_s) if self._is_shown else None
        return RelayObserver(core.view, self._started, history=history, teller=self.thread)

    def tell_the_end(self, core: Relay) -> None:
        """Has the state file written for the last time, if the disk does not hang."""
        now = self._now()
        relay = core.view(now)
        self.thread.end(lambda: self._state.tell_the_end(now, relay), STOP_STATUS_S)

    def sources(self, observer: RelayObserver, inbox: Inbox) -> "StatusSources":
        """Returns what the page shows."""
        from mqtt_http_bridge.app.asker import Asker
        from mqtt_http_bridge.app.status_sources import StatusSources

        asker = Asker(observer, inbox, self._now)
        changes = self.changes.view if self.changes is not None else tuple
        return StatusSources(
            lambda: self.status(self._now(), asker.relay()),
            asker.history,
            changes,
            per_charger_metrics=self._has_charger_metrics,
        )


def _history(interval_s: float) -> "History":
    """Makes the history, which only the page shows."""
    from mqtt_http_bridge.core.status.history import History, first_span_s

    return History(first_span_s(interval_s))


def _changes(settings: Settings, outbox: Outbox, now: Callable[[], Moment]) -> "ChangeLog | None":
    """Makes the list of changes, if there is a page to show it."""
    if settings.status.listen is None:
        return None
    from mqtt_http_bridge.app.change_log import ChangeLog

    return ChangeLog(now, of_settings(settings), StateFile(outbox.directory, what="changes"))


@contextmanager
def status_page(settings: Settings, sources: Callable[[], "StatusSources"]) -> Iterator[str | None]:
    """Opens the status page, if one is wanted, and yields its address.

    Without a page, none of its code is imported. If it cannot listen yet, it keeps trying.
    """
    if settings.status.listen is None:
        yield None
        return
    from mqtt_http_bridge.app.status_sources import open_page

    page = open_page(settings.status.listen, settings.status.host_names, sources())
    try:
        yield page.url
    finally:
        page.stop()
