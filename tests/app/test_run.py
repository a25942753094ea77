"""Tests the threads of the service in one process, while messages collect in the kernel."""

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mqtt_http_bridge.adapters import clock as clock_module
from mqtt_http_bridge.adapters.broker import Broker, receive_batching
from mqtt_http_bridge.adapters.clock import SystemClock, boot_id
from mqtt_http_bridge.adapters.outbox import Boot, Outbox, records
from mqtt_http_bridge.adapters.outbox.clock import clock_notes
from mqtt_http_bridge.app import run as service
from mqtt_http_bridge.app import wiring
from mqtt_http_bridge.app.dialect import DIALECT
from mqtt_http_bridge.core.relay import connection, warm_up
from mqtt_http_bridge.core.settings import (
    BackendSettings,
    DeviceSettings,
    MqttSettings,
    OutboxSettings,
    Secret,
    Settings,
)
from mqtt_http_bridge.demo.backend import StandInBackend
from tests.support.charger_values import single_tracker
from tests.support.gx import PORTAL_ID, StandInGx
from tests.support.mosquitto import Mosquitto
from tests.support.patience import wait_until

TIMEOUT_S = 20.0
INTERVAL_S = 0.5


@pytest.fixture(autouse=True)
def brokers(monkeypatch: pytest.MonkeyPatch) -> list[Broker]:
    """The connections that the service makes: they settle at once, and read once an hour."""
    made: list[Broker] = []

    def make(*arguments: Any, batch_s: float, **options: Any) -> Broker:
        assert batch_s <= INTERVAL_S
        made.append(Broker(*arguments, batch_s=3600.0, **options))
        return made[-1]

    monkeypatch.setattr(service, "Broker", make)
    monkeypatch.setattr(receive_batching, "SETTLED_S", 0.0)
    monkeypatch.setattr(connection, "DISCOVERY_S", 0.1)
    return made


def run_while(
    directory: Path,
    mosquitto: Mosquitto,
    backend: StandInBackend,
    scene: Callable[[], None],
    portal_ids: tuple[str, ...] = (),
) -> None:
    """Runs the service on this thread, and ends it when `scene`, on another, is over."""
    faults: list[BaseException] = []
    is_over = threading.Event()

    def play() -> None:
        try:
            scene()
        except BaseException as fault:  # noqa: BLE001 - whatever it is, the test fails by it
            faults.append(fault)
        finally:
            # Without a service to end, the signal would be the end of all tests.
            wait_until(lambda: is_over.is_set() or signal.getsignal(signal.SIGTERM) != default)
            if not is_over.is_set():
                os.kill(os.getpid(), signal.SIGTERM)

    backend_settings = BackendSettings(backend.url, Secret(backend.api_key))
    settings = Settings(
        backend_settings,
        OutboxSettings(str(directory)),
        MqttSettings(port=mosquitto.port, portal_ids=portal_ids),
        DeviceSettings(update_interval_s=INTERVAL_S),
    )
    thread = threading.Timer(0.1, play)
    default = signal.getsignal(signal.SIGTERM)
    thread.start()
    try:
        service.run(settings, backend_settings)
    finally:
        is_over.set()
    thread.join(TIMEOUT_S)
    assert faults == []


def wait_for_power(backend: StandInBackend, power_w: float) -> None:
    """Returns when a measurement with so much power has come."""
    deadline_s = time.monotonic() + TIMEOUT_S
    count = 1
    while time.monotonic() < deadline_s:
        *_, latest = backend.wait_for(count, TIMEOUT_S)
        if latest.document["devices"][0]["yield_power_w"] == power_w:
            return
        count += 1
    raise TimeoutError


def test_what_was_collected_is_in_the_measurement(
    tmp_path: Path,
    mosquitto: Mosquitto,
    backend: StandInBackend,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A connection that reads by itself once an hour reads before each deadline."""
    monkeypatch.setattr(warm_up, "WARM_UP_S", 1.0)
    with StandInGx(mosquitto) as gx:
        gx.add("solarcharger", 277, single_tracker(power_w=1.0))

        def scene() -> None:
            wait_for_power(backend, 1.0)
            gx.set("solarcharger", 277, "Yield/Power", 2.0)
            wait_for_power(backend, 2.0)

        run_while(tmp_path, mosquitto, backend, scene, (PORTAL_ID,))


@pytest.mark.parametrize("is_connected", [False, True], ids=["while connecting", "while loading"])
def test_a_clock_that_is_set_at_the_start(
    *,
    tmp_path: Path,
    mosquitto: Mosquitto,
    backend: StandInBackend,
    monkeypatch: pytest.MonkeyPatch,
    is_connected: bool,
) -> None:
    """The outbox hears of it, and once: what was left unsent before is put right, no more."""
    ahead_ns = 0
    clocks = SimpleNamespace(
        clock_gettime_ns=time.clock_gettime_ns, time_ns=lambda: time.time_ns() + ahead_ns
    )
    monkeypatch.setattr(clock_module, "time", clocks)
    monkeypatch.setattr(receive_batching, "SETTLED_S", 5.0)  # The GX has yet to be found.
    boot = Boot(boot_id(), SystemClock().distance_s)
    Outbox(OutboxSettings(str(tmp_path)), DIALECT, boot).close()
    start = Broker.start

    def start_and_set_the_clock(broker: Broker, wait_s: float) -> None:
        nonlocal ahead_ns
        if not is_connected:
            ahead_ns = 3 * 86_400 * 10**9
        start(broker, TIMEOUT_S)
        ahead_ns = 3 * 86_400 * 10**9
        broker._now()  # Somebody is the first to see it.

    monkeypatch.setattr(Broker, "start", start_and_set_the_clock)
    monkeypatch.setattr(wiring, "is_synchronised", lambda: ahead_ns != 0)
    with StandInGx(mosquitto) as gx:
        gx.add("solarcharger", 277, single_tracker(power_w=1.0))
        run_while(tmp_path, mosquitto, backend, lambda: wait_for_power(backend, 1.0))
    (segment, *_) = sorted((tmp_path / "log").iterdir())
    lines = [records.decode(line) for line in segment.read_bytes().split(b"\n") if line]
    notes = [clock_notes(fields[3]) for fields in lines if fields and fields[0] == b"clock"]
    assert notes[-1] is not None
    assert notes[-1].boot.distance_s == pytest.approx(SystemClock().distance_s, abs=1.0)


def test_a_gx_that_starts_up_long_after_its_broker(
    *,
    tmp_path: Path,
    mosquitto: Mosquitto,
    backend: StandInBackend,
    brokers: list[Broker],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Its portal id is read late, as others are; what it then answers is not waited for."""
    monkeypatch.setattr(receive_batching, "SETTLED_S", 5.0)

    def scene() -> None:
        wait_until(lambda: bool(brokers) and brokers[0]._batching.is_on)
        with StandInGx(mosquitto) as gx:
            gx.add("solarcharger", 277, single_tracker(power_w=1.0))
            wait_until(is_found)
            backend.wait_for(1, TIMEOUT_S)

    def is_found() -> bool:
        brokers[0].read_by(SystemClock().now().monotonic_s)
        return "found the GX with portal id" in caplog.text

    monkeypatch.setattr(warm_up, "WARM_UP_S", 2 * TIMEOUT_S)
    caplog.set_level("INFO", "mqtt_http_bridge")
    run_while(tmp_path, mosquitto, backend, scene)
