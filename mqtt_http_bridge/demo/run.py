"""Runs the verb `demo`: everything from recording to backend, with nothing but this package.

A recording goes through the core, the outbox and real HTTP POSTs to a stand-in backend on this
machine. Every measurement is shown as it arrives there; a status page shows the rest.
"""

import os
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import ExitStack, closing, suppress
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, Self, TextIO

from mqtt_http_bridge import __version__
from mqtt_http_bridge.adapters.api_keys import ApiKeys
from mqtt_http_bridge.adapters.backend import Backends
from mqtt_http_bridge.adapters.clock import SystemClock, boot_id
from mqtt_http_bridge.adapters.log_stream import LineWriter
from mqtt_http_bridge.adapters.outbox import Boot, Outbox
from mqtt_http_bridge.app.backend_observer import BackendObserver
from mqtt_http_bridge.app.change_log import ChangeLog
from mqtt_http_bridge.app.dialect import DIALECT
from mqtt_http_bridge.app.interrupting import interrupting
from mqtt_http_bridge.app.outbox_observer import OutboxObserver
from mqtt_http_bridge.app.relay_observer import RelayObserver
from mqtt_http_bridge.app.replay import Part, stores
from mqtt_http_bridge.app.senders import Senders
from mqtt_http_bridge.app.status_sources import StatusSources
from mqtt_http_bridge.app.storing import Storing
from mqtt_http_bridge.app.wiring import status_page
from mqtt_http_bridge.core.commands import Command
from mqtt_http_bridge.core.errors import LocalFault
from mqtt_http_bridge.core.events import Disconnected, Event, Moment
from mqtt_http_bridge.core.log import Log
from mqtt_http_bridge.core.redaction import of_settings
from mqtt_http_bridge.core.relay.relay import Relay
from mqtt_http_bridge.core.settings import (
    BackendSettings,
    DeviceSettings,
    OutboxSettings,
    Secret,
    Settings,
    StatusSettings,
)
from mqtt_http_bridge.core.status.history import History, HistoryView
from mqtt_http_bridge.core.views import StatusView
from mqtt_http_bridge.core.words import counted
from mqtt_http_bridge.demo.backend import StandInBackend
from mqtt_http_bridge.demo.next_steps import next_step
from mqtt_http_bridge.demo.server import Arrival

RECORDING: Final = "demo.jsonl.gz"
"""Some minutes of an evening: one charger goes to sleep, one is switched off, one is unplugged.
Before that all is well for 50 s, because 15 s of it are there three times, to give time to look."""
SPEED: Final = 6.0
INTERVAL_S: Final = 10.0
STAY_S: Final = 20.0
_DAWN: Final = Moment(0.0, datetime.fromtimestamp(0, UTC))
"""A moment before the first event of the recording."""
_BAR_WIDTH: Final = 12
_BAR_FULL_W: Final = 260.0
_BLOCKS: Final = " ▏▎▍▌▋▊▉█"
WRITE_S: Final = 2.0
"""Seconds that the end waits for the reader of the table."""


def run_demo(out: TextIO = sys.stdout, *, holds: bool = False) -> bool:
    """Plays the demo; true if every measurement arrived. Raises a BridgeError.

    If it `holds`, the status page stays up until SIGTERM, SIGHUP or Ctrl+C, which raise nothing
    then.

    Raises KeyboardInterrupt at SIGTERM, SIGHUP and Ctrl+C, and BrokenPipeError once nobody reads
    `out`, both with nothing left behind. Only the main thread may call it.
    """
    with (
        interrupting(signal.SIGTERM, signal.SIGINT, signal.SIGHUP),
        closing(Screen(out)) as screen,
        StandInBackend(on_arrival=screen.show) as stand_in,
        _temporary_directory() as directory,
        resources.as_file(resources.files("mqtt_http_bridge.demo") / RECORDING) as recording,
    ):
        backend = BackendSettings(url=stand_in.url, api_key=Secret(stand_in.api_key))
        settings = Settings(
            backend=backend,
            outbox=OutboxSettings(directory),
            device=DeviceSettings(update_interval_s=INTERVAL_S),
            status=StatusSettings(("127.0.0.1", 0)),
        )
        with _Stage(settings, backend) as stage:
            screen.open(stand_in.url, directory, stage.page_url)
            try:
                is_all_sent = stage.play(recording, screen)
            except KeyboardInterrupt:
                screen.sum_up(stand_in, "ended before all of it was played")
                raise
            left = "nothing" if is_all_sent else "something"
            screen.sum_up(stand_in, f"{left} left in the outbox")
            screen.stay(stage.page_url, holds=holds)
        return is_all_sent and not stand_in.contract_violations


def _temporary_directory() -> "TemporaryDirectory[str]":
    try:
        return TemporaryDirectory(prefix="mqtt-http-bridge-demo-")
    except OSError as error:
        raise LocalFault(
            f"expected a place for temporary files, found: {error.strerror}: make room there, or"
            " set TMPDIR to a directory that this user can write to"
        ) from None


class _Stage:
    """Runs the service of the demo, with its status page. For the main thread."""

    def __init__(self, settings: Settings, backend: BackendSettings) -> None:
        self._settings = settings
        boot = Boot(boot_id(), SystemClock().distance_s)
        self._outbox = Outbox(settings.outbox, DIALECT, boot)
        self._relay = Relay(settings)
        self._history = History(round(INTERVAL_S))
        self._relay_observer = RelayObserver(self._relay.view, _DAWN, history=self._history)
        self._histories = {each: self._history.view(is_recent=each) for each in (True, False)}
        self._changes = ChangeLog(self._now, of_settings(settings))
        self._is_over = False
        self._backend_observer = BackendObserver(self._now)
        self._senders = Senders(
            self._outbox,
            Backends(backend, DIALECT),
            DIALECT,
            ApiKeys(backend),
            max_rate_per_s=settings.outbox.max_rate_per_s,
            on_verdict=self._backend_observer.note,
            on_entry=self._backend_observer.note_entry,
        )
        expect = self._senders.expect
        self._storing = Storing(self._outbox, DIALECT, expect=expect, is_clock_trusted=True)
        self._exits = ExitStack()
        self._began: Moment | None = None
        self.page_url = ""

    def _now(self) -> Moment:
        """The time is that of the recording."""
        return self._relay_observer.latest.moment

    def __enter__(self) -> Self:
        settings = self._settings
        outbox = OutboxObserver(self._outbox, INTERVAL_S, self._now)

        def status() -> StatusView:
            return StatusView(
                version=__version__,
                started=self._began or self._now(),
                now=self._now(),
                relay=self._relay_observer.latest,
                backend=self._backend_observer.latest,
                outbox=outbox.view(),
                interval_s=INTERVAL_S,
                is_over=self._is_over,
            )

        def history(*, is_recent: bool) -> HistoryView:
            return self._histories[is_recent]

        page = status_page(settings, lambda: StatusSources(status, history, self._changes.view))
        self._exits.callback(self._outbox.close)
        self.page_url = self._exits.enter_context(page) or ""
        self._senders.start()
        self._exits.callback(self._senders.stop, 1.0)
        return self

    def __exit__(self, *_: object) -> None:
        self._exits.close()

    def play(self, recording: Path, screen: "Screen") -> bool:
        """Plays the recording; returns whether every measurement was stored."""
        stopping = threading.Event()
        part = Part(speed=SPEED)
        relay, see = self._relay, self._see
        for command in stores(self._settings, recording, part, stopping, relay=relay, see=see):
            self._storing.store(command)
            screen.check()
        is_all_sent = self._senders.finish()
        self._is_over = True
        return is_all_sent

    def _see(self, event: Event, commands: Sequence[Command]) -> None:
        """Updates the status page often enough; a loss at the very end does not matter."""
        observer, now = self._relay_observer, event.moment
        observer.see(event, commands)
        self._began = self._began or now
        if isinstance(event, Disconnected):
            return
        if commands or observer.is_old(now):
            observer.look(now)
            self._histories = {each: self._history.view(is_recent=each) for each in (True, False)}
        for command in commands:
            if isinstance(command, Log):
                self._changes.take(command)


class Screen:
    """Shows what arrives as a table, and never waits. One thread at a time may call it."""

    def __init__(self, out: TextIO) -> None:
        self._lines = LineWriter(out)
        self._bar = _bar if _can_show(out, _BLOCKS) else _plain_bar
        self._is_watched = out.isatty()
        self._has_colour = self._is_watched and not os.environ.get("NO_COLOR")

    def open(self, url: str, directory: str, page_url: str) -> None:
        """Says what is about to happen, and writes the head of the table."""
        self._line(
            f"Playing some recorded minutes of three solar chargers, {SPEED:.0f} times as fast,"
        )
        self._line(f"through an outbox in {directory}")
        self._line(f"to a stand-in backend at {url}. Ctrl+C ends it.")
        self._line(f"Status page: {page_url}")
        self._line("")
        power = f"{'power':>8}  {'':{_BAR_WIDTH}}"
        self._line(self._bold(f"{'taken at':9} {'charger':26} {power} {'PV':>8} {'total':>12}"))

    def show(self, arrival: Arrival) -> None:
        """Writes one line for each charger of a measurement that the backend has answered."""
        measurement: dict[str, Any] = arrival.document
        time = measurement["timestamp"][11:19]
        for device in measurement["devices"]:
            self._line(f"{time:9} {self._device(device)}")
            time = ""

    def check(self) -> None:
        """Raises BrokenPipeError if nobody can read this any more."""
        if self._lines.is_broken:
            raise BrokenPipeError

    def close(self) -> None:
        """Waits a moment until all of it is written."""
        self._lines.close(WRITE_S)

    def sum_up(self, stand_in: StandInBackend, end: str) -> None:
        """Writes a summary, with how it ended."""
        posts = len(stand_in.received)
        violations = len(stand_in.contract_violations)
        self._line("")
        self._line(
            f"{counted(posts, 'measurement')} posted,"
            f" {counted(len(stand_in.stored), 'device report')} stored,"
            f" {counted(violations, 'breach', 'breaches')} of the contract,"
            f" {end}."
        )
        self._line("Next, with your own GX, URL and key:")
        self._line(f"    {next_step()}")

    def stay(self, page_url: str, *, holds: bool) -> None:
        """Keeps the page up: until Ctrl+C, or for a short while if a person watches."""
        if holds:
            self._line(f"The status page stays at {page_url} until Ctrl+C.")
            with suppress(KeyboardInterrupt):
                threading.Event().wait()
        elif self._is_watched:
            self._line(f"The status page stays at {page_url} for {STAY_S:.0f} s, or until Ctrl+C.")
            threading.Event().wait(STAY_S)

    def _device(self, device: dict[str, Any]) -> str:
        name = f"{device['name']:26.26}"
        total = f"{device['yield_total_kwh']:8.2f} kWh"
        if not device["reachable"]:
            return self._dim(f"{name} {'off the bus':>8}{'':{_BAR_WIDTH + 9}} {total}")
        power_w = device["yield_power_w"]
        voltages = " ".join(f"{t['voltage']:6.1f} V" for t in device["trackers"])
        bar = self._yellow(f"{self._bar(power_w):{_BAR_WIDTH}}")
        return f"{name} {power_w:6.1f} W  {bar} {voltages:>8} {total}"

    def _line(self, text: str) -> None:
        self._lines.put(text)

    def _bold(self, text: str) -> str:
        return self._coloured("1", text)

    def _dim(self, text: str) -> str:
        return self._coloured("2", text)

    def _yellow(self, text: str) -> str:
        return self._coloured("33", text)

    def _coloured(self, code: str, text: str) -> str:
        return f"\033[{code}m{text}\033[0m" if self._has_colour else text


def _bar(power_w: float) -> str:
    """Draws a bar as long as the power, in eighths of a character."""
    eighths = _eighths(power_w)
    return _BLOCKS[-1] * (eighths // 8) + _BLOCKS[eighths % 8].strip()


def _plain_bar(power_w: float) -> str:
    """Draws the same for a terminal that has no such characters."""
    return "#" * round(_eighths(power_w) / 8)


def _eighths(power_w: float) -> int:
    return round(max(0.0, min(1.0, power_w / _BAR_FULL_W)) * _BAR_WIDTH * 8)


def _can_show(out: TextIO, text: str) -> bool:
    try:
        text.encode(out.encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return True
