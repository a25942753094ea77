"""The verb `run`: it subscribes first, and loads what relays the messages while the broker answers.

To load everything takes a GX some seconds. So the connection comes first, with no more than it
needs. The rest is `relaying`, which also wakes the GX.
"""

from pathlib import Path
from typing import Final

from mqtt_http_bridge.adapters import installation
from mqtt_http_bridge.adapters.broker import Broker
from mqtt_http_bridge.adapters.clock import SystemClock
from mqtt_http_bridge.app.inbox import Inbox, watch_threads
from mqtt_http_bridge.app.loading import loading
from mqtt_http_bridge.core import topics
from mqtt_http_bridge.core.events import Tick
from mqtt_http_bridge.core.settings import BackendSettings, Settings

GATHER_S: Final = 4.0
"""How long messages are gathered at most: by so much `last_update` may be late. Each time wakes two
threads, one of them twice, and with what is due that makes just over one wake-up a second."""
ASK_S: Final = 1.0
"""How long the broker has before the rest is loaded, which would hold the connection up."""
STOP_BROKER_S: Final = 1.0
"""With what the sender has, less than the 5 s within which the service has to have stopped."""


def run(settings: Settings, backend_settings: BackendSettings) -> None:
    """Relays until SIGTERM or Ctrl+C; whatever is not delivered by then is in the outbox.

    Raises a BridgeError if it cannot start or cannot go on. Only the main thread may call it.
    """
    inbox, clock = Inbox(), SystemClock()
    distance_s = clock.distance_s
    # From this moment on the relay watches the clock, however long the first connection takes.
    inbox.put(Tick(clock.now()))
    with watch_threads(inbox), installation.sole(Path(settings.outbox.directory)):
        broker = _broker(settings, clock, inbox)
        try:
            broker.start(ASK_S)
            # A signal ends this at once: nothing has been opened yet.
            with loading():
                from mqtt_http_bridge.app.relaying import relay

            relay(
                settings,
                backend_settings,
                clock=clock,
                distance_s=distance_s,
                broker=broker,
                inbox=inbox,
            )
        finally:
            broker.stop(STOP_BROKER_S)


def _broker(settings: Settings, clock: SystemClock, inbox: Inbox) -> Broker:
    mqtt = settings.mqtt
    return Broker(
        mqtt,
        client_id=mqtt.client_id or installation.client_id(Path(settings.outbox.directory)),
        subscriptions=topics.first_subscriptions(mqtt.portal_ids, mqtt.services),
        wants=topics.is_interesting,
        now=clock.now,
        emit=inbox.put,
        draw=_uniform,
        gather_s=min(GATHER_S, settings.device.update_interval_s),
    )


def _uniform(least: float, most: float) -> float:
    import random  # Only where there is no connection.

    return random.uniform(least, most)  # noqa: S311 - it spreads attempts, and keeps no secret
