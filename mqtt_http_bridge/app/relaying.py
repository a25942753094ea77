"""From the inbox to the backend: the threads of `run` wired together.

paho thread ----+         main thread, alone owns the relay          sender thread
signals --------+-> inbox -> relay -> Subscribe, Publish -> broker
dying threads --+                 \\-> Store -> outbox -------------> outbox -> POST -> verdict
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from mqtt_http_bridge import __version__
from mqtt_http_bridge.adapters.backend import Backend
from mqtt_http_bridge.adapters.broker import Broker
from mqtt_http_bridge.adapters.clock import SystemClock, boot_id
from mqtt_http_bridge.adapters.outbox import Boot, Outbox
from mqtt_http_bridge.app.inbox import Inbox
from mqtt_http_bridge.app.loop import hands, run_loop, watch_signals
from mqtt_http_bridge.app.sender import Sender
from mqtt_http_bridge.app.watch import WatchedBackend, WatchedRelay, look_at_outbox
from mqtt_http_bridge.core.events import Moment
from mqtt_http_bridge.core.settings import AUTO, BackendSettings, Settings
from mqtt_http_bridge.core.story import Facts
from mqtt_http_bridge.core.views import BackendView, OutboxView, RelayView

log = logging.getLogger(__name__)

STOP_SENDER_S: Final = 3.0


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
    with watch_signals(inbox):
        outbox = Outbox(settings.outbox, Boot(boot_id(), distance_s))
        backend = WatchedBackend(Backend(backend_settings), clock.now)
        sender = Sender(outbox, backend, max_rate_per_s=settings.outbox.max_rate_per_s)
        watched, outbox_now = _watched(settings, clock, backend, outbox)
        desk = (clock.now, lambda: watched.latest, lambda: backend.latest, outbox_now)
        with status_page(settings, *desk):
            _tell_start(settings, backend_settings)
            sender.start()
            try:
                run_loop(
                    watched,
                    inbox,
                    clock.now,
                    hands(broker, outbox.append, outbox.note_clock_step),
                    # The broker may have waited: what is asked for now is answered from now on.
                    earliest_s=clock.now().monotonic_s,
                    read_by=broker.read_by,
                )
            finally:
                sender.stop(STOP_SENDER_S)
    log.info("stopped: %d measurements wait in %s", len(outbox), outbox.directory)
    outbox.close()


def _tell_start(settings: Settings, backend_settings: BackendSettings) -> None:
    """The line by which the installer knows a start: whatever a start needs is there by then."""
    log.info(
        "mqtt-http-bridge %s: from %s:%d (portal id %s) to %s, by %s",
        __version__,
        settings.mqtt.host,
        settings.mqtt.port,
        ", ".join(settings.mqtt.portal_ids) or AUTO,
        backend_settings.url,
        settings.source,
    )


def _watched(
    settings: Settings, clock: SystemClock, backend: WatchedBackend, outbox: Outbox
) -> tuple[WatchedRelay, Callable[[], OutboxView]]:
    """The relay, and how to look at the outbox, for the log and the status page."""

    def outbox_now() -> OutboxView:
        return look_at_outbox(outbox, settings.outbox, settings.device.update_interval_s)

    def facts(seen: RelayView) -> Facts:
        return Facts(seen, backend.latest, outbox_now())

    is_shown = settings.status.listen is not None
    return WatchedRelay(settings, clock.now(), is_shown=is_shown, facts=facts), outbox_now


@contextmanager
def status_page(
    settings: Settings,
    now: Callable[[], Moment],
    relay: Callable[[], RelayView],
    backend: Callable[[], BackendView],
    outbox: Callable[[], OutboxView],
) -> Iterator[str | None]:
    """Within this there is a status page, if one is wanted: gives its address.

    Without one, nothing of it is imported. Raises LocalFault if it cannot listen.
    """
    if settings.status.listen is None:
        yield None
        return
    from mqtt_http_bridge.app.status import Desk, open_page

    page = open_page(settings.status.listen, Desk(now, relay, backend, outbox))
    log.info("status page at %s", page.url)
    try:
        yield page.url
    finally:
        page.stop()
