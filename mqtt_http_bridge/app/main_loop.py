"""Runs the main loop: passes events from the inbox to the relay, and carries out its commands.

The broker's thread, signals and dying threads put items into the inbox. Only the thread that runs
the loop owns the relay.
"""

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Final, Protocol

from mqtt_http_bridge.adapters import thread_start
from mqtt_http_bridge.app.inbox import Call, Inbox, Item, Stop, ThreadDied
from mqtt_http_bridge.app.log import write_log
from mqtt_http_bridge.core.commands import (
    Command,
    NoteClockStep,
    Publish,
    ReadAtOnce,
    Reconnect,
    Store,
    Subscribe,
    Unsubscribe,
)
from mqtt_http_bridge.core.errors import BridgeError
from mqtt_http_bridge.core.events import LONGEST_WAIT_S, NEVER, Event, Moment, Tick
from mqtt_http_bridge.core.log import Log
from mqtt_http_bridge.core.relay.relay import Relay

if TYPE_CHECKING:
    from mqtt_http_bridge.adapters.broker import Broker

log = logging.getLogger(__name__)


ENDING: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""SIGHUP is the end of the terminal, unless it is ignored: that is how `nohup` runs a program."""


class ThreadFailed(BridgeError):
    """A thread has died; the supervisor has to restart the process."""


class Observer(Protocol):
    """Watches the relay at work; may return lines to log."""

    def next_deadline_s(self) -> float:
        """Returns when to call `see` even if nothing has happened; infinity for never."""

    def see(self, event: Event, commands: Sequence[Command]) -> Sequence[Command]:
        """Sees the result of an event; the commands that it returns are carried out too."""


def run_loop(
    relay: Relay,
    inbox: Inbox,
    now: Callable[[], Moment],
    carry_out: Callable[[Command], None],
    tap: Callable[[Event], None] = lambda event: None,
    *,
    observer: Observer | None = None,
    earliest_s: float = -NEVER,
    read_by: Callable[[float], None] = lambda due_s: None,
    turn: Callable[[], None] = lambda: None,
) -> None:
    """Runs until Stop; `tap` sees each event as the relay will, before the relay does.

    Events from before `earliest_s` count as having come then: nothing could be done about them.
    `observer` sees each event after the relay. `read_by` is called with the time at which one of
    the two acts next, so that waiting messages are read before that. `turn` is called at least
    every LONGEST_WAIT_S, unless something in here hangs. Raises ThreadFailed when a thread has
    died.
    """
    latest_s, due_s = earliest_s, _due_s(relay, observer)
    while True:
        item = _next(inbox, now, due_s, turn)
        if isinstance(item, Stop):
            return
        if isinstance(item, ThreadDied):
            raise ThreadFailed(f"the thread {item.name} has died: the lines above say why")
        commands: list[Command] = []
        if isinstance(item, Call):
            item.do()
        else:
            event = _not_before(item, latest_s)
            latest_s = event.moment.monotonic_s
            tap(event)
            commands = relay.handle(event)
            if observer is not None:
                commands += observer.see(event, commands)
        if not inbox:  # Before they are carried out, because a disk may be slow.
            due_s = _due_s(relay, observer)
            read_by(due_s)
        for command in commands:
            carry_out(command)


def _due_s(relay: Relay, observer: Observer | None) -> float:
    """Returns when something is to be done although nothing has happened; infinity for never."""
    if observer is None:
        return relay.next_deadline_s()
    return min(relay.next_deadline_s(), observer.next_deadline_s())


def _next(inbox: Inbox, now: Callable[[], Moment], due_s: float, turn: Callable[[], None]) -> Item:
    """Waits for an item of the inbox, or for a Tick once `due_s` has come.

    No single wait is long, because `due_s` may come while the machine sleeps.
    """
    while True:
        turn()
        # While there is much to do, the clock is not read.
        wait_s = 0.0 if inbox else due_s - now().monotonic_s
        item = inbox.get(min(max(0.0, wait_s), LONGEST_WAIT_S))
        if item is not None:
            return item
        if wait_s <= LONGEST_WAIT_S:
            return Tick(now())


def _not_before(event: Event, latest_s: float) -> Event:
    """`event`, moved to `latest_s` if it came before: a Tick may overtake it in the inbox."""
    if event.moment.monotonic_s >= latest_s:
        return event
    return event._replace(moment=event.moment.not_before(latest_s))


def executor(
    broker: "Broker",
    store: Callable[[Store], None],
    note_clock_step: Callable[[float], None] = lambda step_s: None,
) -> Callable[[Command], None]:
    """Returns a function that carries out the relay's commands: on the broker, outbox and log."""

    def carry_out(command: Command) -> None:
        match command:
            case Subscribe(topics):
                broker.subscribe(topics)
            case Unsubscribe(topics):
                broker.unsubscribe(topics)
            case ReadAtOnce():
                broker.read_at_once()
            case Publish(topic, payload):
                broker.publish(topic, payload)
            case Store():
                store(command)
            case NoteClockStep(step_s):
                note_clock_step(step_s)
            case Reconnect():
                broker.drop()
            case Log():
                write_log(command)

    return carry_out


@contextmanager
def watch_signals(inbox: Inbox) -> Iterator[None]:
    """Puts Stop into the inbox at SIGTERM, Ctrl+C and SIGHUP, while this is open.

    A second one ends the process at once; but of SIGHUP a shell sends one more by itself. Only the
    main thread may enter.
    """

    def note_first(number: int, _frame: FrameType | None) -> None:
        is_impatient = number != signal.SIGHUP
        before = previous_handlers[signal.Signals(number)]
        signal.signal(number, before if is_impatient else signal.SIG_IGN)

    previous_handlers = {number: signal.getsignal(number) for number in ENDING}
    if previous_handlers[signal.SIGHUP] == signal.SIG_IGN:
        del previous_handlers[signal.SIGHUP]
    with _put_at_signals(inbox):
        try:
            for number in previous_handlers:
                signal.signal(number, note_first)
            yield
        finally:
            for number, handler in previous_handlers.items():
                signal.signal(number, handler)


@contextmanager
def _put_at_signals(inbox: Inbox) -> Iterator[None]:
    """Within this a thread puts Stop into the inbox for each signal that ends and has a handler.

    The handler itself would not do. Python runs it in the main thread, after the step that this
    thread is at. That step may be a wait for the inbox which the signal does not end: because it
    came just before the wait, or met another thread. The number of a signal is written to the pipe
    at once, in whatever thread the signal met.
    """
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)

    def pass_on() -> None:
        while numbers := os.read(read_end, 64):
            if not set(numbers).isdisjoint(ENDING):
                inbox.put(Stop())

    thread = threading.Thread(target=pass_on, name="signals", daemon=True)
    thread_start.start(thread)
    previous_end = signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(previous_end)
        os.close(write_end)
        thread.join()
        os.close(read_end)
