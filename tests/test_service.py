"""The service in this process: its threads wired together while the kernel gathers messages."""

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mqtt_http_bridge.adapters import clock as clock_module
from mqtt_http_bridge.adapters.broker import Broker
from mqtt_http_bridge.adapters.broker import gathering as gathering_module
from mqtt_http_bridge.adapters.clock import SystemClock, boot_id
from mqtt_http_bridge.adapters.outbox import Boot, Outbox
from mqtt_http_bridge.app import service
from mqtt_http_bridge.app.stand_in_backend import StandInBackend
from mqtt_http_bridge.core import link, site
from mqtt_http_bridge.core.settings import (
    BackendSettings,
    DeviceSettings,
    MqttSettings,
    OutboxSettings,
    Secret,
    Settings,
)
from tests.charger_values import single_tracker
from tests.gx import PORTAL_ID, StandInGx
from tests.mosquitto import Mosquitto
from tests.patience import wait_until

TIMEOUT_S = 20.0
INTERVAL_S = 0.5


@pytest.fixture
def mosquitto() -> Iterator[Mosquitto]:
    """A broker."""
    with Mosquitto() as mosquitto:
        yield mosquitto


@pytest.fixture
def backend() -> Iterator[StandInBackend]:
    """A backend."""
    with StandInBackend() as backend:
        yield backend


@pytest.fixture(autouse=True)
def brokers(monkeypatch: pytest.MonkeyPatch) -> list[Broker]:
    """The connections that the service makes: they settle at once, and read once an hour."""
    made: list[Broker] = []

    def make(*arguments: Any, gather_s: float, **options: Any) -> Broker:
        assert gather_s <= INTERVAL_S
        made.append(Broker(*arguments, gather_s=3600.0, **options))
        return made[-1]

    monkeypatch.setattr(service, "Broker", make)
    monkeypatch.setattr(gathering_module, "SETTLED_S", 0.0)
    monkeypatch.setattr(link, "DISCOVERY_S", 0.1)
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


def test_what_was_gathered_is_in_the_measurement(
    tmp_path: Path,
    mosquitto: Mosquitto,
    backend: StandInBackend,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A connection that reads by itself once an hour reads before each deadline."""
    monkeypatch.setattr(site, "WARM_UP_S", 1.0)
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
        monotonic_ns=time.monotonic_ns, time_ns=lambda: time.time_ns() + ahead_ns
    )
    monkeypatch.setattr(clock_module, "time", clocks)
    Outbox(OutboxSettings(str(tmp_path)), Boot(boot_id(), SystemClock().distance_s)).close()
    start = Broker.start

    def start_and_set_the_clock(broker: Broker, wait_s: float) -> None:
        nonlocal ahead_ns
        if not is_connected:
            ahead_ns = 3 * 86_400 * 10**9
        start(broker, TIMEOUT_S)
        ahead_ns = 3 * 86_400 * 10**9
        broker._now()  # Somebody is the first to see it.

    monkeypatch.setattr(Broker, "start", start_and_set_the_clock)
    with StandInGx(mosquitto) as gx:
        gx.add("solarcharger", 277, single_tracker(power_w=1.0))
        run_while(tmp_path, mosquitto, backend, lambda: wait_for_power(backend, 1.0))
    notes = json.loads((tmp_path / "clock.json").read_text(encoding="utf-8"))
    assert notes["distance_s"] == pytest.approx(SystemClock().distance_s, abs=1.0)


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
    monkeypatch.setattr(gathering_module, "SETTLED_S", 5.0)

    def scene() -> None:
        wait_until(lambda: bool(brokers) and brokers[0]._gathering.is_on)
        with StandInGx(mosquitto) as gx:
            gx.add("solarcharger", 277, single_tracker(power_w=1.0))
            wait_until(is_found)
            backend.wait_for(1, TIMEOUT_S)

    def is_found() -> bool:
        brokers[0].read_by(time.monotonic())
        return "found the GX with portal id" in caplog.text

    monkeypatch.setattr(site, "WARM_UP_S", 2 * TIMEOUT_S)
    caplog.set_level("INFO", "mqtt_http_bridge")
    run_while(tmp_path, mosquitto, backend, scene)
