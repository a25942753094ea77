"""Connects to a broker for some seconds, for a verb that only looks at what is there."""

import random
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from mqtt_http_bridge.adapters.broker import Broker
from mqtt_http_bridge.adapters.clock import SystemClock
from mqtt_http_bridge.app.inbox import Inbox
from mqtt_http_bridge.core.settings import MqttSettings

STOP_S: Final = 1.0


@contextmanager
def visiting(
    mqtt: MqttSettings,
    inbox: Inbox,
    *,
    subscriptions: Iterable[tuple[str, ...]] = (),
    wants: Callable[[str], bool] = lambda topic: False,
) -> Iterator[Broker]:
    """Connects while this is open; the arguments are those of Broker.

    Whoever reads `inbox` has to look at the time as well: a broker may flood it, so that it is
    never empty. Raises ConfigError if a file with certificates is not valid.
    """
    broker = Broker(
        mqtt,
        # Not the installation's id: its service may be connected at the same time.
        client_id=f"mqtt-http-bridge-check-{secrets.token_hex(4)}",
        subscriptions=subscriptions,
        wants=wants,
        now=SystemClock().now,
        emit=inbox.put,
        draw=random.uniform,
    )
    broker.start()
    try:
        yield broker
    finally:
        broker.stop(STOP_S)
