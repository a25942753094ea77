"""The verb `record`: writes what the relay would hear to a file.

The same core drives the connection, so the GX is woken and asked just as by `run`.
"""

import random
import secrets
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from mqtt_http_bridge.adapters import thread_start
from mqtt_http_bridge.adapters.broker import Broker
from mqtt_http_bridge.adapters.clock import SystemClock
from mqtt_http_bridge.adapters.machine import on_its_own_gx
from mqtt_http_bridge.adapters.recording import RecordingWriter
from mqtt_http_bridge.adapters.standard_streams import say
from mqtt_http_bridge.app.inbox import Inbox, Stop, watch_threads
from mqtt_http_bridge.app.main_loop import executor, run_loop, watch_signals
from mqtt_http_bridge.core.anonymize import Anonymizer
from mqtt_http_bridge.core.errors import LocalFault
from mqtt_http_bridge.core.events import NEVER, Event, Message
from mqtt_http_bridge.core.relay.relay import Relay
from mqtt_http_bridge.core.settings import Settings
from mqtt_http_bridge.core.venus import topics
from mqtt_http_bridge.core.words import counted

STOP_BROKER_S: Final = 1.0
REST_S: Final = 1.0
"""Seconds for writing what waits at the end: a flood leaves far more than anybody wants."""
COUNT_EVERY: Final = 50


def record(settings: Settings, path: Path, *, is_anonymous: bool, duration_s: float | None) -> None:
    """Records until Ctrl+C, SIGTERM or the end of `duration_s`.

    Raises a BridgeError if it cannot start or cannot go on, or if no message came: then it leaves
    no file. Only the main thread may call it.
    """
    settings = on_its_own_gx(settings)
    clock = SystemClock()
    inbox = Inbox()
    broker = Broker(
        settings.mqtt,
        # Not the installation's id: its service may be connected at the same time.
        client_id=f"mqtt-http-bridge-record-{secrets.token_hex(4)}",
        subscriptions=topics.first_subscriptions(settings.mqtt),
        wants=lambda topic: True,
        now=clock.now,
        emit=inbox.put,
        draw=random.uniform,
    )
    scribe = _Scribe(RecordingWriter(path, clock.now()), is_anonymous=is_anonymous)
    with watch_threads(inbox), watch_signals(inbox), _stop_after(duration_s, inbox):
        try:
            broker.start()
            carry_out = executor(broker, store=lambda measurement: None)
            run_loop(Relay(settings), inbox, clock.now, carry_out, scribe.write)
        finally:
            broker.stop(STOP_BROKER_S)
            scribe.write_rest(inbox)
            scribe.close()
            if not scribe.messages:
                path.unlink(missing_ok=True)
    if not scribe.messages:
        raise LocalFault(
            f"{path}: expected messages from {settings.mqtt.place}, found none: not recorded:"
            " run check"
        )
    left_out = ": they came faster than they could be written, and the last are left out"
    say(f"{path}: {counted(scribe.messages, 'message')}{left_out if inbox else ''}")


@contextmanager
def _stop_after(duration_s: float | None, inbox: Inbox) -> Iterator[None]:
    """Puts Stop into the inbox after `duration_s`, if that is not None."""
    if duration_s is None:
        yield
        return
    timer = threading.Timer(duration_s, inbox.put, [Stop()])
    thread_start.start(timer)
    try:
        yield
    finally:
        timer.cancel()


class _Scribe:
    """Writes events, and shows a count to a person who watches. For the main thread."""

    def __init__(self, writer: RecordingWriter, *, is_anonymous: bool) -> None:
        self.messages = 0
        self._latest_s = -NEVER
        self._writer = writer
        self._anonymizer = Anonymizer() if is_anonymous else None
        self._is_watched = sys.stderr.isatty()

    def write(self, event: Event) -> None:
        """Writes one event."""
        self._latest_s = event.moment.monotonic_s
        if isinstance(event, Message):
            self.messages += 1
            self._show_count()
            if self._anonymizer is not None:
                event = _anonymized(event, self._anonymizer)
        self._writer.write(event)

    def write_rest(self, inbox: Inbox) -> None:
        """Writes what the broker read at the very end and is still in the inbox, in REST_S."""
        ends_s = time.monotonic() + REST_S
        while time.monotonic() < ends_s and (item := inbox.get(0.0)) is not None:
            if isinstance(item, Message) and item.moment.monotonic_s >= self._latest_s:
                self.write(item)

    def close(self) -> None:
        """Ends the recording."""
        self._writer.close()

    def _show_count(self) -> None:
        if self._is_watched and self.messages % COUNT_EVERY == 1:
            print(
                f"\r{counted(self.messages, 'message')}, Ctrl+C to end ",
                end="",
                file=sys.stderr,
                flush=True,
            )


def _anonymized(message: Message, anonymizer: Anonymizer) -> Message:
    return message._replace(
        topic=anonymizer.topic(message.topic),
        payload=anonymizer.payload(message.topic, message.payload),
    )
