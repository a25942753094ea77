"""The verb `run`: subscribes first, and loads the rest of the code while the broker answers.

Loading everything takes a GX some seconds. So the connection comes first, with only what it needs.
The rest is `wiring`, which also wakes the GX.
"""

from pathlib import Path
from typing import Final

from mqtt_http_bridge.adapters import installation
from mqtt_http_bridge.adapters.broker import Broker
from mqtt_http_bridge.adapters.clock import SystemClock
from mqtt_http_bridge.adapters.machine import on_its_own_gx
from mqtt_http_bridge.app.inbox import Inbox, watch_threads
from mqtt_http_bridge.core.events import Tick
from mqtt_http_bridge.core.settings import BackendSettings, Settings
from mqtt_http_bridge.core.venus import topics

BATCH_S: Final = 5.0
"""The most seconds for which messages are collected; `last_update` may be late by this much. Half
of the time for which a GX counts as heard, and a heartbeat is in each batch. Each read wakes two
threads, one of them twice; with everything that is due, this makes about one wake-up a second."""
ASK_S: Final = 1.0
"""Seconds that the broker gets before the rest is loaded, which would slow the connection down."""
STOP_BROKER_S: Final = 1.0
"""Together with the sender's time, less than the 5 s in which the service has to stop."""


def run(settings: Settings, backend_settings: BackendSettings) -> None:
    """Relays until SIGTERM or Ctrl+C; what is not delivered by then stays in the outbox.

    Raises a BridgeError if it cannot start or cannot go on. Only the main thread may call it.
    """
    settings = on_its_own_gx(settings)
    inbox, clock = Inbox(), SystemClock()
    distance_s = clock.distance_s
    # From this moment the relay watches the clock, however long the first connection takes.
    inbox.put(Tick(clock.now()))
    only_process = installation.only_process(Path(settings.outbox.directory))
    with watch_threads(inbox), only_process:
        broker = _broker(settings, clock, inbox)
        try:
            broker.start(ASK_S)
            # A signal ends this at once: nothing has been opened yet.
            from mqtt_http_bridge.app.wiring import relay

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
        subscriptions=topics.first_subscriptions(mqtt),
        wants=topics.interest(mqtt),
        speaker_of=topics.speaker_of,
        now=clock.now,
        emit=inbox.put,
        draw=_uniform,
        batch_s=min(BATCH_S, settings.device.update_interval_s),
        tells_reads=True,
    )


def _uniform(least: float, most: float) -> float:
    import random  # Only where there is no connection.

    return random.uniform(least, most)  # noqa: S311 - it spreads attempts, and keeps no secret
