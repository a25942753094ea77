"""The service in this process: its threads wired together while the kernel gathers messages."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mqtt_http_bridge.adapters.broker import Broker
from mqtt_http_bridge.adapters.broker import broker as broker_module
from mqtt_http_bridge.app import service
from mqtt_http_bridge.app.inbox import Inbox
from mqtt_http_bridge.app.stand_in_backend import StandInBackend
from mqtt_http_bridge.core import link, site
from mqtt_http_bridge.core.settings import (
    BackendSettings,
    DeviceSettings,
    MqttSettings,
    OutboxSettings,
    Secret,
    Settings,
    StatusSettings,
)
from tests.charger_values import single_tracker
from tests.gx import PORTAL_ID, StandInGx
from tests.mosquitto import Mosquitto

TIMEOUT_S = 20.0


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
def gathering(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections gather from their beginning, and the GX is not waited for."""
    monkeypatch.setattr(broker_module, "SETTLED_S", 0.0)
    monkeypatch.setattr(site, "WARM_UP_S", 1.0)
    monkeypatch.setattr(link, "DISCOVERY_S", 0.1)


def run_while(
    directory: Path,
    mosquitto: Mosquitto,
    backend: StandInBackend,
    scene: Callable[[], None],
    portal_ids: tuple[str, ...] = (),
) -> None:
    """Runs the service on this thread, and ends it when `scene`, on another, is over."""
    faults: list[BaseException] = []

    def play() -> None:
        try:
            scene()
        except BaseException as fault:  # noqa: BLE001 - whatever it is, the test fails by it
            faults.append(fault)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    backend_settings = BackendSettings(backend.url, Secret(backend.api_key))
    settings = Settings(
        backend_settings,
        OutboxSettings(str(directory)),
        MqttSettings(port=mosquitto.port, portal_ids=portal_ids),
        DeviceSettings(update_interval_s=0.5),
    )
    thread = threading.Timer(0.1, play)
    thread.start()
    service.run(settings, backend_settings)
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
    """A connection that reads by itself once an hour is asked before each deadline."""
    monkeypatch.setattr(broker_module, "GATHER_S", 3600.0)
    with StandInGx(mosquitto) as gx:
        gx.add("solarcharger", 277, single_tracker(power_w=1.0))

        def scene() -> None:
            wait_for_power(backend, 1.0)
            gx.set("solarcharger", 277, "Yield/Power", 2.0)
            wait_for_power(backend, 2.0)

        run_while(tmp_path, mosquitto, backend, scene, (PORTAL_ID,))


def test_a_gx_that_starts_up_long_after_its_broker(
    tmp_path: Path,
    mosquitto: Mosquitto,
    backend: StandInBackend,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The portal id is heard though the relay has given up waiting for it, and gathers."""

    def scene() -> None:
        deadline_s = time.monotonic() + TIMEOUT_S
        while "has not told a portal id" not in caplog.text:
            assert time.monotonic() < deadline_s
            time.sleep(0.05)
        with StandInGx(mosquitto) as gx:
            gx.add("solarcharger", 277, single_tracker(power_w=1.0))
            wait_for_power(backend, 1.0)

    caplog.set_level("INFO", "mqtt_http_bridge")
    run_while(tmp_path, mosquitto, backend, scene)


@pytest.mark.parametrize("is_shown", [False, True])
def test_who_watches_the_page_misses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_shown: bool
) -> None:
    """What was gathered waits in the inbox for something to be due, unless there is a page."""
    wired: dict[str, object] = {}

    def noted(*arguments: Any, **options: Any) -> Broker:
        wired.update(options)
        return Broker(*arguments, **options)

    monkeypatch.setattr(service, "Broker", noted)
    monkeypatch.setattr(service, "run_loop", lambda *arguments, **options: None)
    backend_settings = BackendSettings("http://127.0.0.1:9", Secret("key"))
    listen = ("127.0.0.1", 0) if is_shown else None
    settings = Settings(
        backend_settings,
        OutboxSettings(str(tmp_path)),
        MqttSettings(port=9),
        status=StatusSettings(listen),
    )
    service.run(settings, backend_settings)
    found = wired["emit_gathered"]
    assert getattr(found, "__func__", None) is (Inbox.put_all if is_shown else Inbox.leave)
