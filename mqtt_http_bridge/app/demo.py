"""The verb `demo`: the whole chain at work, with nothing but this package.

A recording goes through the core, the outbox and real HTTP POSTs into a stand-in backend on this
machine. Every measurement is shown as it arrives there, and a status page shows the rest.
"""

import os
import sys
import threading
from contextlib import ExitStack
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, Self, TextIO

from mqtt_http_bridge.adapters.backend import Backend
from mqtt_http_bridge.adapters.clock import SystemClock, boot_id
from mqtt_http_bridge.adapters.outbox import Boot, Outbox
from mqtt_http_bridge.app.relaying import status_page
from mqtt_http_bridge.app.replay import Part, measurements
from mqtt_http_bridge.app.sender import Sender
from mqtt_http_bridge.app.stand_in_backend import StandInBackend
from mqtt_http_bridge.app.stand_in_server import Arrival
from mqtt_http_bridge.app.watch import WatchedBackend, WatchedRelay, look_at_outbox
from mqtt_http_bridge.core.events import Moment
from mqtt_http_bridge.core.settings import (
    BackendSettings,
    DeviceSettings,
    OutboxSettings,
    Secret,
    Settings,
    StatusSettings,
)

RECORDING: Final = "demo.jsonl.gz"
"""Three minutes of an evening: one charger goes to sleep, one is switched off, one is unplugged."""
SPEED: Final = 6.0
INTERVAL_S: Final = 10.0
STAY_S: Final = 20.0
_DAWN: Final = Moment(0.0, datetime.fromtimestamp(0, UTC))
"""Before the first event of the recording."""
_BAR_WIDTH: Final = 12
_BAR_FULL_W: Final = 260.0


def run_demo(out: TextIO = sys.stdout) -> bool:
    """Plays the demo; true if every measurement arrived. Raises a BridgeError."""
    screen = Screen(out)
    with (
        StandInBackend(on_arrival=screen.show) as stand_in,
        TemporaryDirectory(prefix="mqtt-http-bridge-demo-") as directory,
        resources.as_file(resources.files("mqtt_http_bridge") / RECORDING) as recording,
    ):
        backend = BackendSettings(url=stand_in.url, api_key=Secret(stand_in.api_key))
        settings = Settings(
            backend=backend,
            outbox=OutboxSettings(directory),
            device=DeviceSettings(update_interval_s=INTERVAL_S),
            status=StatusSettings(("127.0.0.1", 0)),
        )
        with _Stage(settings, Backend(backend)) as stage:
            screen.open(stand_in.url, directory, stage.page_url)
            is_all_sent = stage.play(recording)
            screen.close(stand_in, is_all_sent=is_all_sent)
            screen.stay(stage.page_url)
        return is_all_sent and not stand_in.contract_violations


class _Stage:
    """The service of the demo, with its status page. For the main thread."""

    def __init__(self, settings: Settings, backend: Backend) -> None:
        self._settings = settings
        self._outbox = Outbox(settings.outbox, Boot(boot_id(), SystemClock().distance_s))
        self._relay = WatchedRelay(settings, _DAWN, is_shown=True, history_span_s=INTERVAL_S)
        self._backend = WatchedBackend(backend, self._now)
        rate = settings.outbox.max_rate_per_s
        self._sender = Sender(self._outbox, self._backend, max_rate_per_s=rate)
        self._exits = ExitStack()
        self.page_url = ""

    def _now(self) -> Moment:
        """The present is the moment of the recording."""
        return self._relay.latest.moment

    def __enter__(self) -> Self:
        settings = self._settings
        page = status_page(
            settings,
            self._now,
            lambda: self._relay.latest,
            lambda: self._backend.latest,
            lambda: look_at_outbox(self._outbox, settings.outbox, INTERVAL_S),
        )
        self._exits.callback(self._outbox.close)
        self.page_url = self._exits.enter_context(page) or ""
        self._sender.start()
        self._exits.callback(self._sender.stop, 1.0)
        return self

    def __exit__(self, *_: object) -> None:
        self._exits.close()

    def play(self, recording: Path) -> bool:
        """Plays it; true if every measurement has been taken."""
        stopping = threading.Event()
        part = Part(speed=SPEED)
        for measurement in measurements(self._settings, recording, part, stopping, self._relay):
            self._outbox.append(measurement)
        return self._sender.finish()


class Screen:
    """Writes what arrives as a table. One thread at a time may call it."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._is_watched = out.isatty()
        self._has_colour = self._is_watched and not os.environ.get("NO_COLOR")

    def open(self, url: str, directory: str, page_url: str) -> None:
        """Writes what is about to happen, and the head of the table."""
        self._line(
            f"Playing three recorded minutes of three solar chargers, {SPEED:.0f} times as fast,"
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

    def close(self, stand_in: StandInBackend, *, is_all_sent: bool) -> None:
        """Writes how it went."""
        posts = len(stand_in.received)
        violations = len(stand_in.contract_violations)
        self._line("")
        self._line(
            f"{posts} measurements posted, {len(stand_in.stored)} device reports stored,"
            f" {violations} breaches of the contract,"
            f" {'nothing' if is_all_sent else 'something'} left in the outbox."
        )
        self._line("Next: copy config.yaml.example to config.yaml, set url and api_key, and")
        self._line("      mqtt-http-bridge run --config config.yaml")

    def stay(self, page_url: str) -> None:
        """Where a person watches, keeps the page a little longer; the demo ends within a minute."""
        if self._is_watched:
            self._line(f"The status page stays at {page_url} for {STAY_S:.0f} s, or until Ctrl+C.")
            threading.Event().wait(STAY_S)

    def _device(self, device: dict[str, Any]) -> str:
        name = f"{device['name']:26.26}"
        total = f"{device['yield_total_kwh']:8.2f} kWh"
        if not device["reachable"]:
            return self._dim(f"{name} {'off the bus':>8}{'':{_BAR_WIDTH + 9}} {total}")
        power_w = device["yield_power_w"]
        voltages = " ".join(f"{t['voltage']:6.1f} V" for t in device["trackers"])
        bar = self._yellow(f"{_bar(power_w):{_BAR_WIDTH}}")
        return f"{name} {power_w:6.1f} W  {bar} {voltages:>8} {total}"

    def _line(self, text: str) -> None:
        print(text, file=self._out, flush=True)

    def _bold(self, text: str) -> str:
        return self._coloured("1", text)

    def _dim(self, text: str) -> str:
        return self._coloured("2", text)

    def _yellow(self, text: str) -> str:
        return self._coloured("33", text)

    def _coloured(self, code: str, text: str) -> str:
        return f"\033[{code}m{text}\033[0m" if self._has_colour else text


def _bar(power_w: float) -> str:
    """A bar as long as the power, in eighths of a character."""
    eighths = round(max(0.0, min(1.0, power_w / _BAR_FULL_W)) * _BAR_WIDTH * 8)
    return "█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8].strip()
