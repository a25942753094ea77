"""Tests the main loop with the real clock: from the inbox to the relay, and how it ends."""

import logging
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal

import pytest

from mqtt_http_bridge.adapters.clock import SystemClock
from mqtt_http_bridge.adapters.recording import RecordingWriter
from mqtt_http_bridge.app.inbox import (
    Inbox,
    Item,
    Stop,
    ThreadDied,
    watch_threads,
)
from mqtt_http_bridge.app.log import write_log
from mqtt_http_bridge.app.main_loop import (
    ENDING,
    ThreadFailed,
    run_loop,
    watch_signals,
)
from mqtt_http_bridge.app.replay import Part, measurements
from mqtt_http_bridge.core.commands import Command, Publish, Store
from mqtt_http_bridge.core.errors import BridgeError
from mqtt_http_bridge.core.events import NEVER, Connected, Event, Message, Moment, Tick
from mqtt_http_bridge.core.log import Log
from mqtt_http_bridge.core.relay.relay import Relay
from mqtt_http_bridge.core.solar_backend.body import to_body
from tests.support.virtual import (
    CHARGER,
    PORTAL,
    echo_of,
    is_full,
    moment,
    settings,
    value,
)

PATIENCE_S = 10.0
"""Far longer than anything here takes: to fail instead of hanging."""


def inbox_of(*items: Item) -> Inbox:
    """An inbox in which `items` wait."""
    inbox = Inbox()
    for item in items:
        inbox.put(item)
    return inbox


def run(
    inbox: Inbox, now: Callable[[], Moment] = lambda: moment(0), relay: Relay | None = None
) -> tuple[list[Event], list[Command]]:
    """Runs the loop until it ends; what the relay was handed, and what it wanted."""
    events: list[Event] = []
    commands: list[Command] = []
    run_loop(relay or Relay(settings(PORTAL)), inbox, now, commands.append, events.append)
    return events, commands


# --- the end ---------------------------------------------------------------------------------


def test_stop_ends_the_loop_after_what_came_before_it() -> None:
    """Everything that was in the inbox before Stop is handled; what comes after it is not."""
    events, commands = run(inbox_of(Connected(moment(0)), Stop(), Tick(moment(1))))
    assert events == [Connected(moment(0))]
    assert commands[0] == Log.info("connected to the broker")


def test_a_dead_thread_ends_the_loop_with_an_error_that_names_it() -> None:
    """A relay without one of its threads is none: the supervisor has to start it afresh."""
    with pytest.raises(ThreadFailed) as caught:
        run(inbox_of(ThreadDied("sender")))
    assert str(caught.value) == "the thread sender has died: the lines above say why"
    assert isinstance(caught.value, BridgeError)


# --- time ------------------------------------------------------------------------------------


def test_a_deadline_comes_as_a_tick() -> None:
    """If nothing happens until a deadline, the relay is handed a Tick of the present moment."""
    inbox = inbox_of(Connected(moment(0)))
    readings = 0

    def now() -> Moment:
        nonlocal readings
        readings += 1
        if readings == 3:  # The Tick has been handled.
            inbox.put(Stop())
        return moment(10.0)

    events, _ = run(inbox, now)
    assert events == [Connected(moment(0)), Tick(moment(10.0))]


def test_a_deadline_is_waited_for_and_not_missed() -> None:
    """With the real clock a measurement comes at its deadline: not before, and not much after."""
    clock = SystemClock()
    inbox = inbox_of(*_connected_and_answered(clock))
    stored_s: list[tuple[float, float]] = []

    def carry_out(command: Command) -> None:
        if isinstance(command, Store):
            age_s = (clock.now().utc - command.measurement.timestamp).total_seconds()
            stored_s.append((command.measurement.timestamp.timestamp(), age_s))
            if len(stored_s) == 4:
                inbox.put(Stop())

    run_loop(Relay(settings(PORTAL, interval_s=0.1)), inbox, clock.now, carry_out)
    assert [round(then - stored_s[0][0], 6) for then, _ in stored_s] == [0.0, 0.1, 0.2, 0.3]
    assert all(0.0 <= age_s < PATIENCE_S for _, age_s in stored_s)


def _connected_and_answered(clock: SystemClock) -> list[Event]:
    """A connection, and all that a warm-up needs."""
    now = clock.now()
    echo = f"mqtt-http-bridge {now.utc.isoformat(timespec='microseconds')}"
    return [
        Connected(now),
        *_publish_all(clock),
        _completed(clock, echo),
    ]


def _publish_all(clock: SystemClock, power_w: float = 100.0) -> list[Event]:
    values = {**CHARGER, "Yield/Power": power_w}
    return [
        Message(clock.now(), f"N/{PORTAL}/solarcharger/281/{path}", value(said))
        for path, said in values.items()
    ]


def _completed(clock: SystemClock, echo: str) -> Event:
    payload = b'{"full-publish-completed-echo":"' + echo.encode() + b'"}'
    return Message(clock.now(), f"N/{PORTAL}/full_publish_completed", payload)


def test_an_event_that_a_tick_overtook_is_moved_and_not_lost() -> None:
    """An event of before a Tick that gets into the inbox after it comes at the Tick's moment.

    Moments must not go back for the relay, and the tap, which records, sees what the relay sees.
    """
    overtaken = Message(moment(9.9), f"N/{PORTAL}/heartbeat", value(1))
    inbox = inbox_of(Connected(moment(0)))
    readings = 0

    def now() -> Moment:
        nonlocal readings
        readings += 1
        if readings == 2:  # The Tick's own reading: the event arrives just now.
            inbox.put(overtaken)
            inbox.put(Stop())
        return moment(10.0)

    events, _ = run(inbox, now)
    moved = Message(moment(10.0), overtaken.topic, overtaken.payload)
    assert events == [Connected(moment(0)), Tick(moment(10.0)), moved]


def test_what_came_before_the_loop_began_counts_from_then_on() -> None:
    """A connection that had to wait for the relay is as fresh as one that is made now."""
    heard = [Message(moment(t), f"N/{PORTAL}/heartbeat", value(1)) for t in (1.0, 12.0)]
    events: list[Event] = []
    run_loop(
        Relay(settings(PORTAL)),
        inbox_of(Connected(moment(0)), *heard, Stop()),
        lambda: moment(12.0),
        lambda command: None,
        events.append,
        earliest_s=11.5,
    )
    assert events == [Connected(moment(11.5)), heard[0]._replace(moment=moment(11.5)), heard[1]]


def test_an_event_in_time_keeps_its_moment() -> None:
    """Only what would go back is moved."""
    heard = [Message(moment(t), f"N/{PORTAL}/heartbeat", value(1)) for t in (1.0, 1.0, 2.5)]
    events, _ = run(inbox_of(Connected(moment(0)), *heard, Stop()))
    assert events == [Connected(moment(0)), *heard]


@pytest.mark.parametrize(
    ("level", "number"), [("INFO", logging.INFO), ("WARNING", logging.WARNING)]
)
def test_the_relays_lines_reach_the_log_with_their_level(
    level: Literal["INFO", "WARNING"], number: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Everything that the relay wants said is said as it wants it."""
    with caplog.at_level("INFO", "mqtt_http_bridge"):
        write_log(Log(level, "the GX is heard again"))
    assert [(r.levelno, r.getMessage()) for r in caplog.records] == [
        (number, "the GX is heard again")
    ]


def test_what_a_device_says_stays_in_its_line(caplog: pytest.LogCaptureFixture) -> None:
    """A line break in a name, or an escape that a terminal obeys, can be seen; `%` is no format."""
    with caplog.at_level("INFO", "mqtt_http_bridge"):
        write_log(Log.info("charger 'a\nb\x1b[2J\u2028%s' is measured"))
    (line,) = caplog.records
    assert line.getMessage() == r"charger 'a\nb\x1b[2J\u2028%s' is measured"


# --- after a long sleep ----------------------------------------------------------------------


def test_after_a_night_in_suspend_one_keepalive_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many were due meanwhile; and nothing is measured of a night that nobody saw."""
    get = Inbox.get
    monkeypatch.setattr(Inbox, "get", lambda inbox, timeout_s: get(inbox, 0.0))
    inbox = inbox_of(Connected(moment(0), tells_reads=True))
    clock_s = iter([0.0, 30.0, 8 * 3600.0])

    def now() -> Moment:
        at_s = next(clock_s, None)
        if at_s is None:
            inbox.put(Stop())
        return moment(8 * 3600.0 if at_s is None else at_s)

    _, commands = run(inbox, now)
    assert len([command for command in commands if isinstance(command, Publish)]) <= 3
    assert not [command for command in commands if isinstance(command, Store)]


def test_no_wait_is_longer_than_10_s(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits stand still while the machine sleeps, and deadlines do not."""
    inbox, waits_s, get = inbox_of(), list[float | None](), Inbox.get

    def get_and_note(inbox: Inbox, timeout_s: float | None = None) -> Item | None:
        waits_s.append(timeout_s)
        if len(waits_s) > 3:
            return Stop()
        return get(inbox, 0.0)

    monkeypatch.setattr(Inbox, "get", get_and_note)
    run(inbox)
    assert waits_s == [10.0, 10.0, 10.0, 10.0]


# --- live and replayed -----------------------------------------------------------------------


class LiveGx:
    """A GX on a thread of its own: answers requests, and changes its power all the time."""

    def __init__(self, clock: SystemClock, inbox: Inbox) -> None:
        self._clock = clock
        self._inbox = inbox
        self._requests: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def ask(self, echo: str) -> None:
        """A request for everything has come."""
        self._requests.put(echo)

    def end(self) -> None:
        """Ends the thread."""
        self._requests.put(None)
        self._thread.join(PATIENCE_S)

    def _run(self) -> None:
        self._inbox.put(Connected(self._clock.now()))
        power_w = 0.0
        while True:
            try:
                echo = self._requests.get(timeout=0.003)
            except queue.Empty:
                power_w += 0.25
                topic = f"N/{PORTAL}/solarcharger/281/Yield/Power"
                self._inbox.put(Message(self._clock.now(), topic, value(power_w)))
                continue
            if echo is None:
                return
            for event in [*_publish_all(self._clock), _completed(self._clock, echo)]:
                self._inbox.put(event)


@pytest.mark.parametrize("name", ["live.jsonl", "live.jsonl.gz"])
def test_a_recording_of_live_traffic_replays_to_the_same_bytes(tmp_path: Path, name: str) -> None:
    """The live measurements and those from the recording are equal bytes."""
    relay_settings = settings(PORTAL, interval_s=0.05)
    clock, inbox, path = SystemClock(), inbox_of(), tmp_path / name
    writer = RecordingWriter(path, clock.now())
    gx = LiveGx(clock, inbox)
    live: list[bytes] = []

    def carry_out(command: Command) -> None:
        match command:
            case Publish() if is_full(command):
                gx.ask(echo_of(command))
            case Store(measurement, _):
                live.append(to_body(measurement))
                if len(live) == 20:
                    inbox.put(Stop())

    try:
        run_loop(Relay(relay_settings), inbox, clock.now, carry_out, writer.write)
    finally:
        gx.end()
        writer.close()
    replayed = [to_body(m) for m in measurements(relay_settings, path, Part(), threading.Event())]
    # The tick that brought the last one live is not in the recording, nor is any event after it.
    assert replayed[: len(live)] == live[: len(replayed)]
    assert len(replayed) >= len(live) - 1 >= 19
    assert len(set(live)) == len(live)


# --- signals and threads ---------------------------------------------------------------------


@pytest.fixture
def watched() -> Iterator[Inbox]:
    """An inbox into which signals and dying threads put."""
    inbox = inbox_of()
    with watch_signals(inbox), watch_threads(inbox):
        yield inbox


@pytest.mark.parametrize("number", ENDING, ids=lambda n: n.name)
def test_a_signal_puts_stop_into_the_inbox(watched: Inbox, number: signal.Signals) -> None:
    """SIGTERM, Ctrl+C and the end of the terminal ask for an orderly end."""
    signal.raise_signal(number)
    assert isinstance(watched.get(PATIENCE_S), Stop)


def test_a_second_ctrl_c_interrupts() -> None:
    """Whoever cannot wait for the orderly end presses again."""
    # A shell has what it runs in the background ignore Ctrl+C.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with watch_signals(inbox_of()):
            signal.raise_signal(signal.SIGINT)
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("number", ENDING, ids=lambda n: n.name)
def test_the_handlers_are_put_back(number: signal.Signals) -> None:
    """After the watch everything is as it was, signalled or not."""
    before = signal.getsignal(number), threading.excepthook
    for is_signalled in (False, True):
        with watch_signals(inbox_of()), watch_threads(inbox_of()):
            assert signal.getsignal(number) is not before[0]
            if is_signalled:
                signal.raise_signal(number)
        assert (signal.getsignal(number), threading.excepthook) == before


NO_MEMORY = """
import threading
from mqtt_http_bridge.app.inbox import Inbox, watch_threads

def fail(*_):
    raise MemoryError

inbox = Inbox()
inbox.put = fail
with watch_threads(inbox):
    threading.Thread(target=fail).start()
    threading.Event().wait()
"""


def test_a_death_that_nobody_can_be_told_of_ends_the_process() -> None:
    """With memory short, even the note in the inbox may fail; the loop would wait for ever."""
    command = [sys.executable, "-c", NO_MEMORY]
    found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    assert found.returncode == 1
    assert "CRITICAL a thread died, and there is no memory to say which" in found.stderr


def test_a_signal_wakes_a_loop_that_waits(watched: Inbox) -> None:
    """A loop with nothing to do ends as soon as the signal comes, not at its next deadline."""
    timer = threading.Timer(0.02, os.kill, [os.getpid(), signal.SIGTERM])
    timer.start()
    run_loop(Relay(settings(PORTAL)), watched, SystemClock().now, lambda command: None)
    timer.join(PATIENCE_S)


@pytest.mark.parametrize("number", ENDING, ids=lambda n: n.name)
def test_a_signal_that_ends_no_wait_wakes_the_loop_all_the_same(
    watched: Inbox, number: signal.Signals
) -> None:
    """As when it comes just before the wait begins: here another thread is the one it meets."""
    is_over = threading.Event()
    other = threading.Thread(target=is_over.wait, args=(PATIENCE_S,))
    other.start()
    signal.pthread_sigmask(signal.SIG_BLOCK, [number])
    try:
        os.kill(os.getpid(), number)
        assert isinstance(watched.get(PATIENCE_S), Stop)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [number])
        is_over.set()
        other.join(PATIENCE_S)


def test_a_second_hangup_is_none_of_a_person() -> None:
    """A shell passes on to its jobs the signal that they get from the terminal, too."""
    before = signal.signal(signal.SIGHUP, signal.default_int_handler)
    try:
        with watch_signals(inbox_of()):
            signal.raise_signal(signal.SIGHUP)
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_nohup_is_respected() -> None:
    """A program that is to outlive its terminal ignores the signal, and goes on."""
    inbox = inbox_of()
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with watch_signals(inbox):
            signal.raise_signal(signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
    assert not inbox


def test_other_signals_do_not_stop() -> None:
    """Also those that somebody handles."""
    inbox = inbox_of()
    previous_handler = signal.signal(signal.SIGUSR1, lambda *_: None)
    try:
        with watch_signals(inbox):
            signal.raise_signal(signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, previous_handler)
    assert not inbox


def test_a_thread_that_dies_is_reported(watched: Inbox, caplog: pytest.LogCaptureFixture) -> None:
    """Its name goes into the inbox, and its traceback into the log."""

    def die() -> None:
        raise RuntimeError("broken on purpose")

    thread = threading.Thread(target=die, name="sender")
    thread.start()
    thread.join(PATIENCE_S)
    assert watched.get(PATIENCE_S) == ThreadDied("sender")
    (record,) = caplog.records
    assert record.getMessage() == "the thread sender died"
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "broken on purpose"


def test_a_thread_that_just_ends_is_not_reported(watched: Inbox) -> None:
    """Only an exception is a death."""
    thread = threading.Thread(target=lambda: None)
    thread.start()
    thread.join(PATIENCE_S)
    assert not watched


class Hourly:
    """An observer that has something to say when its time has come."""

    def __init__(self) -> None:
        self.seen: list[tuple[Event, list[Command]]] = []
        self.due_s = 0.0

    def next_deadline_s(self) -> float:
        """Once only."""
        return self.due_s

    def see(self, event: Event, commands: Sequence[Command]) -> list[Command]:
        """Says so, and that is all."""
        self.seen.append((event, list(commands)))
        is_due, self.due_s = event.moment.monotonic_s >= self.due_s, NEVER
        return [Log.info("an hour has passed")] if is_due else []


def test_who_observes_is_woken_and_heard() -> None:
    """Nothing happens, and it still has its time; what it says is carried out as the relay's."""
    observer, carried_out = Hourly(), list[Command]()
    inbox = Inbox()
    too_late = threading.Timer(PATIENCE_S, inbox.put, [Stop()])
    too_late.start()

    def carry_out(command: Command) -> None:
        carried_out.append(command)
        inbox.put(Stop())

    run_loop(Relay(settings(PORTAL)), inbox, SystemClock().now, carry_out, observer=observer)
    too_late.cancel()
    assert carried_out == [Log.info("an hour has passed")]
    ((event, commands),) = observer.seen
    assert isinstance(event, Tick)
    assert commands == []


def test_who_observes_is_shown_what_became_of_an_event() -> None:
    """Each event in turn, with the commands of the relay."""
    observer, carried_out = Hourly(), list[Command]()
    observer.due_s = NEVER
    connected = Connected(moment(1))
    run_loop(
        Relay(settings(PORTAL)),
        inbox_of(connected, Stop()),
        lambda: moment(1),
        carried_out.append,
        observer=observer,
    )
    assert observer.seen == [(connected, carried_out)]
    assert carried_out
