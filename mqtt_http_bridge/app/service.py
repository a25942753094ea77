"""The verb `run`: the threads wired together, and how they end.

paho thread ----+         main thread, alone owns the relay          sender thread
signals --------+-> inbox -> relay -> Subscribe, Publish -> broker
dying threads --+                 \\-> Store -> outbox -------------> outbox -> POST -> verdict
"""

import logging
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from mqtt_http_bridge import __version__
from mqtt_http_bridge.adapters.backend import Backend
from mqtt_http_bridge.adapters.broker import Broker
from mqtt_http_bridge.adapters.clock import SystemClock, boot_id
from mqtt_http_bridge.adapters.outbox import Boot, Outbox
from mqtt_http_bridge.app.inbox import Inbox
from mqtt_http_bridge.app.loop import hands, run_loop, watch
from mqtt_http_bridge.app.sender import Sender
from mqtt_http_bridge.app.watch import WatchedBackend, WatchedRelay, look_at_outbox
from mqtt_http_bridge.core import topics
from mqtt_http_bridge.core.errors import LocalFault
from mqtt_http_bridge.core.events import Moment
from mqtt_http_bridge.core.settings import AUTO, BackendSettings, Settings
from mqtt_http_bridge.core.story import Facts
from mqtt_http_bridge.core.views import BackendView, OutboxView, RelayView

log = logging.getLogger(__name__)

GATHER_S: Final = 4.0
"""How long messages are gathered at most: by so much `last_update` may be late. Each time wakes two
threads, one of them twice, and with what is due that makes just over one wake-up a second."""
STOP_BROKER_S: Final = 1.0
STOP_SENDER_S: Final = 3.0
"""With the above, less than the 5 s within which the service has to have stopped."""


def run(settings: Settings, backend_settings: BackendSettings) -> None:
    """Relays until SIGTERM or Ctrl+C; whatever is not delivered by then is in the outbox.

    Raises a BridgeError if it cannot start or cannot go on. Only the main thread may call it.
    """
    inbox = Inbox()
    with watch(inbox):
        _run(settings, backend_settings, inbox)


def _run(settings: Settings, backend_settings: BackendSettings, inbox: Inbox) -> None:
    log.info(
        "mqtt-http-bridge %s: from %s (portal id %s) to %s, by %s",
        __version__,
        _address(settings),
        ", ".join(settings.mqtt.portal_ids) or AUTO,
        backend_settings.url,
        settings.source,
    )
    clock = SystemClock()
    outbox = Outbox(settings.outbox, Boot(boot_id(), clock.distance_s))
    broker = Broker(
        settings.mqtt,
        client_id=settings.mqtt.client_id or installation_client_id(settings.outbox.directory),
        subscriptions=topics.first_subscriptions(settings.mqtt.portal_ids, settings.mqtt.services),
        wants=topics.is_interesting,
        now=clock.now,
        emit=inbox.put,
        draw=random.uniform,
        gather_s=min(GATHER_S, settings.device.update_interval_s),
    )
    backend = WatchedBackend(Backend(backend_settings), clock.now)
    sender = Sender(outbox, backend, max_rate_per_s=settings.outbox.max_rate_per_s)
    relay, outbox_now = _watched(settings, clock, backend, outbox)
    desk = (clock.now, lambda: relay.latest, lambda: backend.latest, outbox_now)
    with status_page(settings, *desk):
        sender.start()
        broker.start()
        try:
            carry_out = hands(broker, outbox.append, outbox.note_clock_step)
            run_loop(relay, inbox, clock.now, carry_out, read_by=broker.read_by)
        finally:
            broker.stop(STOP_BROKER_S)
            sender.stop(STOP_SENDER_S)
    log.info("stopped: %d measurements wait in %s", len(outbox), outbox.directory)
    outbox.close()


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


def _address(settings: Settings) -> str:
    return f"{settings.mqtt.host}:{settings.mqtt.port}"


def installation_client_id(directory: str) -> str:
    """The MQTT client id of this installation, made at its first start and kept in `directory`.

    Two clients with one id throw each other off the broker for ever, so it is drawn at random.
    Raises LocalFault if it cannot be kept.
    """
    path = Path(directory) / "client-id"
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.is_file() and (known := path.read_text(encoding="ascii").strip()):
            return known
        import secrets  # Once in the life of an installation.

        client_id = f"mqtt-http-bridge-{secrets.token_hex(4)}"
        path.write_text(client_id + "\n", encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise LocalFault(f"{path}: cannot keep the MQTT client id there: {error}") from error
    return client_id
