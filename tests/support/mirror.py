"""Mirrors a GX's broker on another one: mosquitto's own bridge, as people set it up at home.

It asks the GX's broker for everything, and has it below a prefix. What is published there below
`<prefix>/R/` goes back to the GX, unless the mirror does not pass requests on.
"""

import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from tests.support.gx import close_client
from tests.support.mosquitto import HOST, Mosquitto

TIMEOUT_S = 60.0


@contextmanager
def mirror_of(
    broker: Mosquitto, prefix: str = "venus", *, passes_requests: bool = True
) -> Iterator[Mosquitto]:
    """A broker that shows all that `broker` is told, below `prefix`, once it is ready to."""
    below = f"{prefix}/" if prefix else '""'
    topics = [f'topic N/# in 0 {below} ""']
    if passes_requests:
        topics.append(f'topic R/# out 0 {below} ""')
    lines = [
        # Two bridges with one name would have one client id, and take turns.
        f"connection gx-{secrets.token_hex(4)}",
        f"address {HOST}:{broker.inside_port}",
        "cleansession true",
        "restart_timeout 1",
        "notifications true",
        "notifications_local_only true",
        *topics,
    ]
    with Mosquitto(bridge_lines=lines) as mirror:
        _wait_until_bridged(mirror)
        yield mirror


def _watch_bridges(client: mqtt.Client) -> None:
    client.subscribe("$SYS/broker/connection/#")


def _wait_until_bridged(mirror: Mosquitto) -> None:
    """Returns when the bridge is connected: mosquitto says so on its own broker."""
    is_there = threading.Event()
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.on_connect = lambda client, *_: _watch_bridges(client)
    client.on_message = lambda _client, _data, message: (
        is_there.set() if message.payload == b"1" else None
    )
    client.connect(HOST, mirror.inside_port)
    client.loop_start()
    try:
        if not is_there.wait(TIMEOUT_S):
            raise TimeoutError(f"the bridge is not there after {TIMEOUT_S:g} s")
    finally:
        close_client(client)
