"""The main loop: from the inbox into the relay, with the real clock, and how it ends."""

import logging
import os
import queue
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

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
from mqtt_http_bridge.app.loop import Crippled, run_loop, watch_signals, write_log
from mqtt_http_bridge.app.replay import Part, measurements
from mqtt_http_bridge.core.commands import Command, Log, Publish, Store
from mqtt_http_bridge.core.errors import BridgeError, ConfigError
from mqtt_http_bridge.core.events import Connected, Event, Message, Moment, Tick
from mqtt_http_bridge.core.measurement import to_json
from mqtt_http_bridge.core.relay import Relay
from tests.virtual import (
    CHARGER,
    OTHER_PORTAL,
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
    """What was in the inbox before Stop is handled; what comes after it is not."""
    events, commands = run(inbox_of(Connected(moment(0)), Stop(), Tick(moment(1))))
    assert events == [Connected(moment(0))]
    assert commands[0] == Log.info("connected to the broker")


def test_a_dead_thread_ends_the_loop_with_an_error_that_names_it() -> None:
    """A relay without one of its threads is none: the supervisor has to start it afresh."""
    with pytest.raises(Crippled) as caught:
        run(inbox_of(ThreadDied("sender")))
    assert str(caught.value) == "the thread sender has died: the lines above tell why"
    assert isinstance(caught.value, BridgeError)


def test_what_the_relay_raises_ends_the_loop() -> None:
    """A setting that is wrong for this broker ends the process, with its text."""
    serials = [
        Message(moment(1), f"N/{portal_id}/system/0/Serial", value(portal_id))
        for portal_id in (PORTAL, OTHER_PORTAL)
    ]
    with pytest.raises(ConfigError, match="expected one GX behind the broker"):
        run(inbox_of(Connected(moment(0)), *serials, Stop()), relay=Relay(settings()))


# --- time ------------------------------------------------------------------------------------


def test_a_deadline_comes_as_a_tick() -> None:
    """Where nothing happens until a deadline, the relay is handed a Tick of the present moment."""
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
    assert events == [Connected(moment(11.5)), replace(heard[0], moment=moment(11.5)), heard[1]]


def test_an_event_in_time_keeps_its_moment() -> None:
    """Only what would go back is moved."""
    heard = [Message(moment(t), f"N/{PORTAL}/heartbeat", value(1)) for t in (1.0, 1.0, 2.5)]
    events, _ = run(inbox_of(Connected(moment(0)), *heard, Stop()))
    assert events == [Connected(moment(0)), *heard]


@pytest.mark.parametrize(
    ("level", "number"), [("INFO", logging.INFO), ("WARNING", logging.WARNING)]
)
def test_the_relays_lines_reach_the_log_with_their_level(
    level: str, number: int, caplog: pytest.LogCaptureFixture
) -> None:
    """What the relay wants said is said as it wants it."""
    with caplog.at_level("INFO", "mqtt_http_bridge"):
        write_log(level, "the GX is heard again")
    assert [(r.levelno, r.getMessage()) for r in caplog.records] == [
        (number, "the GX is heard again")
    ]


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
    """What the relay measured live, and what it measures from the recording, are equal bytes."""
    relay_settings = settings(PORTAL, interval_s=0.05)
    clock, inbox, path = SystemClock(), inbox_of(), tmp_path / name
    writer = RecordingWriter(path, clock.now())
    gx = LiveGx(clock, inbox)
    live: list[bytes] = []

    def carry_out(command: Command) -> None:
        match command:
            case Publish() if is_full(command):
                gx.ask(echo_of(command))
            case Store(measurement):
                live.append(to_json(measurement))
                if len(live) == 20:
                    inbox.put(Stop())

    try:
        run_loop(Relay(relay_settings), inbox, clock.now, carry_out, writer.write)
    finally:
        gx.end()
        writer.close()
    replayed = [to_json(m) for m in measurements(relay_settings, path, Part(), threading.Event())]
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


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda n: n.name)
def test_a_signal_puts_stop_into_the_inbox(watched: Inbox, number: signal.Signals) -> None:
    """SIGTERM and Ctrl+C ask for an orderly end."""
    signal.raise_signal(number)
    assert watched.get(PATIENCE_S) == Stop()


def test_a_second_ctrl_c_interrupts(watched: Inbox) -> None:
    """Who cannot wait for the orderly end presses again."""
    signal.raise_signal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda n: n.name)
def test_the_handlers_are_put_back(number: signal.Signals) -> None:
    """After the watch everything is as it was, signalled or not."""
    before = signal.getsignal(number), threading.excepthook
    for is_signalled in (False, True):
        with watch_signals(inbox_of()), watch_threads(inbox_of()):
            assert signal.getsignal(number) is not before[0]
            if is_signalled:
                signal.raise_signal(number)
        assert (signal.getsignal(number), threading.excepthook) == before


def test_a_signal_wakes_a_loop_that_waits(watched: Inbox) -> None:
    """A loop with nothing to do ends as soon as the signal comes, not at its next deadline."""
    timer = threading.Timer(0.02, os.kill, [os.getpid(), signal.SIGTERM])
    timer.start()
    run_loop(Relay(settings(PORTAL)), watched, SystemClock().now, lambda command: None)
    timer.join(PATIENCE_S)


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
