"""The verb `demo`: the whole chain at work, with nothing but this package.

A recording goes through the core, the outbox and real HTTP POSTs into a stand-in backend on this
machine, and every measurement is shown as it arrives there.
"""

import os
import sys
import threading
from importlib import resources
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, TextIO

from mqtt_http_bridge.adapters.backend import Backend
from mqtt_http_bridge.adapters.clock import SystemClock, boot_id
from mqtt_http_bridge.adapters.outbox import Boot, Outbox
from mqtt_http_bridge.app.replay import Part, measurements
from mqtt_http_bridge.app.sender import Sender
from mqtt_http_bridge.app.stand_in_backend import StandInBackend
from mqtt_http_bridge.app.stand_in_server import Arrival
from mqtt_http_bridge.core.settings import (
    BackendSettings,
    DeviceSettings,
    OutboxSettings,
    Secret,
    Settings,
)

RECORDING: Final = "demo.jsonl.gz"
"""Three minutes of an evening: one charger goes to sleep, one is switched off, one is unplugged."""
SPEED: Final = 6.0
INTERVAL_S: Final = 10.0
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
        )
        screen.open(stand_in.url, directory)
        is_all_sent = _play(settings, Backend(backend), recording)
        screen.close(stand_in, is_all_sent=is_all_sent)
        return is_all_sent and not stand_in.contract_violations


def _play(settings: Settings, backend: Backend, recording: Path) -> bool:
    outbox = Outbox(settings.outbox, Boot(boot_id(), SystemClock().distance_s))
    sender = Sender(outbox, backend, max_rate_per_s=settings.outbox.max_rate_per_s)
    sender.start()
    try:
        part = Part(speed=SPEED)
        for measurement in measurements(settings, recording, part, threading.Event()):
            outbox.append(measurement)
        return sender.finish()
    finally:
        sender.stop(1.0)
        outbox.close()


class Screen:
    """Writes what arrives as a table. One thread at a time may call it."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._has_colour = out.isatty() and "NO_COLOR" not in os.environ

    def open(self, url: str, directory: str) -> None:
        """Writes what is about to happen, and the head of the table."""
        self._line(
            f"Playing three recorded minutes of three solar chargers, {SPEED:.0f} times as fast,"
        )
        self._line(f"through an outbox in {directory}")
        self._line(f"to a stand-in backend at {url}. Ctrl+C ends it.")
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
