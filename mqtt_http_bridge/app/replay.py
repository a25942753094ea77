"""The verb `replay`: a recording through the same core as live traffic.

The recorded moments take the place of the clock, so the same events give the same bytes.
"""

import logging
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mqtt_http_bridge.adapters.backend import Backend
from mqtt_http_bridge.adapters.clock import SystemClock, boot_id
from mqtt_http_bridge.adapters.outbox import Boot, Outbox
from mqtt_http_bridge.adapters.recording import read_recording
from mqtt_http_bridge.app.loop import write_log
from mqtt_http_bridge.app.sender import Sender
from mqtt_http_bridge.core.commands import Command, Log, Store
from mqtt_http_bridge.core.events import Connected, Event, Message, Moment, Tick
from mqtt_http_bridge.core.measurement import Measurement, to_json
from mqtt_http_bridge.core.relay import Relay
from mqtt_http_bridge.core.settings import Settings

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a recording, and how fast to play it."""

    from_s: float = 0.0
    to_s: float = float("inf")
    """Both in seconds since the start of the recording."""
    speed: float | None = None
    """How many recorded seconds go by in one; None: as fast as it can."""


def cut(events: Iterable[Event], part: Part) -> Iterator[Event]:
    """The events of `part`; a part that starts within a connection starts with connecting."""
    is_first = True
    for event in events:
        if event.moment.monotonic_s > part.to_s:
            return
        if event.moment.monotonic_s >= part.from_s:
            if is_first and isinstance(event, Message):
                yield Connected(event.moment)
            is_first = False
            yield event


def play(relay: Relay, events: Iterable[Event]) -> Iterator[tuple[Moment, list[Command]]]:
    """What the relay does at each event, and at each deadline of its own between two."""
    for event in events:
        while relay.next_deadline_s() < event.moment.monotonic_s:
            due = event.moment.at(relay.next_deadline_s())
            yield due, relay.handle(Tick(due))
        yield event.moment, relay.handle(event)


def measurements(
    settings: Settings,
    path: Path,
    part: Part,
    stopping: threading.Event,
    relay: Relay | None = None,
) -> Iterator[Measurement]:
    """The measurements of a recording, each at its time if `part` has a speed.

    `relay` makes them, if one is given that somebody watches.

    Ends early when `stopping` is set. Raises a BridgeError for a recording that is none.
    """
    started_s = time.monotonic()
    for moment, commands in play(relay or Relay(settings), cut(read_recording(path), part)):
        for command in commands:
            if isinstance(command, Log):
                write_log(command.level, command.text)
            elif isinstance(command, Store):
                due_s = _due_s(started_s, moment, part)
                if stopping.wait(max(0.0, due_s - time.monotonic())):
                    return
                yield command.measurement


def _due_s(started_s: float, moment: Moment, part: Part) -> float:
    if part.speed is None:
        return started_s
    return started_s + (moment.monotonic_s - part.from_s) / part.speed


def print_replay(settings: Settings, path: Path, part: Part) -> None:
    """Prints the measurements of a recording, one a line. Raises a BridgeError."""
    for measurement in measurements(settings, path, part, threading.Event()):
        sys.stdout.buffer.write(to_json(measurement) + b"\n")
        sys.stdout.buffer.flush()


def post_replay(settings: Settings, backend: Backend, path: Path, part: Part) -> bool:
    """Sends the measurements of a recording through the outbox; true if it is empty at the end.

    Raises a BridgeError.
    """
    outbox = Outbox(settings.outbox, Boot(boot_id(), SystemClock().distance_s))
    sender = Sender(outbox, backend, max_rate_per_s=settings.outbox.max_rate_per_s)
    sender.start()
    try:
        for measurement in measurements(settings, path, part, threading.Event()):
            outbox.append(measurement)
        return sender.finish()
    finally:
        sender.stop(0.0)
        outbox.close()
