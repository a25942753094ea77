"""The verb `replay`: plays a recording through the same core as live traffic.

The recorded moments replace the clock, so the same events give the same bytes.
"""

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mqtt_http_bridge.adapters.clock import SystemClock
from mqtt_http_bridge.adapters.recording import read_recording
from mqtt_http_bridge.app.delivering import delivering
from mqtt_http_bridge.app.dialect import DIALECT
from mqtt_http_bridge.app.log import write_log
from mqtt_http_bridge.app.storing import Storing
from mqtt_http_bridge.core.commands import Command, Store
from mqtt_http_bridge.core.events import AllRead, Connected, Event, Message, Moment, Tick
from mqtt_http_bridge.core.log import Log
from mqtt_http_bridge.core.measurement import Measurement
from mqtt_http_bridge.core.relay.relay import Relay
from mqtt_http_bridge.core.settings import BackendSettings, Settings

log = logging.getLogger(__name__)

LONGEST_FLUSH_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Part:
    """Describes a part of a recording, and how fast to play it."""

    from_s: float = 0.0
    to_s: float = float("inf")
    """Both in seconds from the start of the recording."""
    speed: float | None = None
    """Recorded seconds per second; None: as fast as possible."""


def cut(events: Iterable[Event], part: Part) -> Iterator[Event]:
    """Yields the events of `part`; if it starts within a connection, it begins with connecting."""
    is_first, tells_reads = True, False
    for event in events:
        if event.moment.monotonic_s > part.to_s:
            return
        if isinstance(event, Connected):
            tells_reads = event.tells_reads
        if event.moment.monotonic_s >= part.from_s:
            if is_first and isinstance(event, Message | AllRead):
                yield Connected(event.moment, tells_reads)
            is_first = False
            yield event


See = Callable[[Event, list[Command]], object]
"""Is shown each event and what the relay made of it."""


def play(
    relay: Relay, events: Iterable[Event], see: See = lambda event, commands: None
) -> Iterator[tuple[Moment, list[Command]]]:
    """Yields what the relay does at each event, and at each deadline of its own between two."""
    for event in _with_deadlines(relay, events):
        commands = relay.handle(event)
        see(event, commands)
        yield event.moment, commands


def _with_deadlines(relay: Relay, events: Iterable[Event]) -> Iterator[Event]:
    for event in events:
        while relay.next_deadline_s() < event.moment.monotonic_s:
            yield Tick(event.moment.at(relay.next_deadline_s()))
        yield event


def stores(
    settings: Settings,
    path: Path,
    part: Part,
    stopping: threading.Event,
    *,
    relay: Relay | None = None,
    see: See = lambda event, commands: None,
) -> Iterator[Store]:
    """Yields what is to be stored of a recording, at its time if `part` has a speed.

    `relay` makes it, if a relay is given that somebody looks at; `see` sees everything it does.
    Ends early when `stopping` is set. Raises a BridgeError if this is not a recording.
    """
    started_s = time.monotonic()
    events = cut(read_recording(path), part)
    for moment, commands in play(relay or Relay(settings), events, see):
        for command in commands:
            if isinstance(command, Log):
                write_log(command)
            elif isinstance(command, Store):
                due_s = _due_s(started_s, moment, part)
                if stopping.wait(max(0.0, due_s - time.monotonic())):
                    return
                yield command


def measurements(
    settings: Settings,
    path: Path,
    part: Part,
    stopping: threading.Event,
    relay: Relay | None = None,
) -> Iterator[Measurement]:
    """Yields the measurements of a recording, as `stores` does."""
    return (command.measurement for command in stores(settings, path, part, stopping, relay=relay))


def _due_s(started_s: float, moment: Moment, part: Part) -> float:
    if part.speed is None:
        return started_s
    return started_s + (moment.monotonic_s - part.from_s) / part.speed


def print_replay(settings: Settings, path: Path, part: Part) -> None:
    """Prints the measurements of a recording, one per line. Raises a BridgeError."""
    for measurement in measurements(settings, path, part, threading.Event()):
        sys.stdout.buffer.write(DIALECT.body(measurement) + b"\n")
        sys.stdout.buffer.flush()


def post_replay(settings: Settings, backend: BackendSettings, path: Path, part: Part) -> bool:
    """Sends the measurements of a recording through the outbox; true if all of them are stored.

    Raises a BridgeError.
    """
    with delivering(settings, backend, SystemClock()) as (outbox, senders):
        storing = Storing(outbox, DIALECT, expect=senders.expect, is_clock_trusted=True)
        outbox.flush(LONGEST_FLUSH_S)
        senders.start()
        for command in stores(settings, path, part, threading.Event()):
            storing.store(command)
        return senders.finish()
