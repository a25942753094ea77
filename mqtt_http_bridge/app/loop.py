"""The main loop: events from the inbox into the relay, its commands out to the world.

The paho thread, signal handlers and dying threads put into the inbox; the thread that runs the
loop alone owns the relay.
"""

import logging
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import FrameType
from typing import TYPE_CHECKING, Final

from mqtt_http_bridge.app.inbox import Inbox, Item, Stop, ThreadDied
from mqtt_http_bridge.core.commands import (
    Command,
    Log,
    NoteClockStep,
    Publish,
    Reconnect,
    Store,
    Subscribe,
)
from mqtt_http_bridge.core.errors import BridgeError
from mqtt_http_bridge.core.events import Event, Moment, Tick
from mqtt_http_bridge.core.measurement import Measurement
from mqtt_http_bridge.core.relay import Relay

if TYPE_CHECKING:
    from mqtt_http_bridge.adapters.broker import Broker

log = logging.getLogger(__name__)


ENDING: Final = (signal.SIGTERM, signal.SIGINT)


class Crippled(BridgeError):
    """A thread has died: the process has to be started afresh, by its supervisor."""


def run_loop(
    relay: Relay,
    inbox: Inbox,
    now: Callable[[], Moment],
    carry_out: Callable[[Command], None],
    tap: Callable[[Event], None] = lambda event: None,
    *,
    earliest_s: float = -float("inf"),
    read_by: Callable[[float], None] = lambda due_s: None,
) -> None:
    """Runs until Stop; `tap` sees each event as the relay will, before the relay does.

    What came before `earliest_s` counts as having come then: nothing could be done about it.
    `read_by` is told when the relay acts next, so that what is held up comes in before that.
    Raises Crippled when a thread has died, and what the relay raises.
    """
    latest_s = earliest_s
    while True:
        item = _next(inbox, now, relay.next_deadline_s())
        if isinstance(item, Stop):
            return
        if isinstance(item, ThreadDied):
            raise Crippled(f"the thread {item.name} has died: the lines above tell why")
        event = _not_before(item, latest_s)
        latest_s = event.moment.monotonic_s
        tap(event)
        commands = relay.handle(event)
        # Before they are carried out: a disk may take its time.
        read_by(relay.next_deadline_s())
        for command in commands:
            carry_out(command)


def _next(inbox: Inbox, now: Callable[[], Moment], due_s: float) -> Item:
    """What comes next: an item of the inbox, or a Tick when `due_s` has come before one."""
    if inbox:
        item = inbox.get(0.0)  # While there is much to do, no clock is read.
    elif due_s == float("inf"):
        item = inbox.get()
    else:
        item = inbox.get(max(0.0, due_s - now().monotonic_s))
    return Tick(now()) if item is None else item


def _not_before(event: Event, latest_s: float) -> Event:
    """`event`, moved to `latest_s` if it came before: a Tick may overtake it in the inbox."""
    if event.moment.monotonic_s >= latest_s:
        return event
    return replace(event, moment=event.moment.not_before(latest_s))


def hands(
    broker: "Broker",
    store: Callable[[Measurement], None],
    note_clock_step: Callable[[float], None] = lambda step_s: None,
) -> Callable[[Command], None]:
    """What carries out the relay's commands: on the broker, with what is given, and in the log."""

    def carry_out(command: Command) -> None:
        match command:
            case Subscribe(topics):
                broker.subscribe(topics)
            case Publish(topic, payload):
                broker.publish(topic, payload)
            case Store(measurement):
                store(measurement)
            case NoteClockStep(step_s):
                note_clock_step(step_s)
            case Reconnect():
                broker.drop()
            case Log(level, text):
                write_log(level, text)

    return carry_out


def write_log(level: str, text: str) -> None:
    """Writes a line that the relay wants in the log."""
    log.log(logging.getLevelNamesMapping()[level], text)


@contextmanager
def watch_signals(inbox: Inbox) -> Iterator[None]:
    """Within this, SIGTERM and Ctrl+C put Stop into the inbox.

    A second signal ends the process at once. Only the main thread may enter.
    """

    def stop(number: int, _frame: FrameType | None) -> None:
        signal.signal(number, previous_handlers[signal.Signals(number)])
        inbox.put(Stop())

    previous_handlers = {number: signal.getsignal(number) for number in ENDING}
    try:
        for number in ENDING:
            signal.signal(number, stop)
        yield
    finally:
        for number, handler in previous_handlers.items():
            signal.signal(number, handler)
