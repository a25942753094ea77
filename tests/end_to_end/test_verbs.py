"""Tests record and replay as processes, and that they agree with `run`."""

import gzip
import json
import random
import signal
from pathlib import Path

import pytest

from mqtt_http_bridge.adapters.broker import Broker
from mqtt_http_bridge.adapters.clock import SystemClock
from mqtt_http_bridge.adapters.recording import RecordingWriter
from mqtt_http_bridge.app.inbox import Inbox, Stop
from mqtt_http_bridge.app.main_loop import executor, run_loop
from mqtt_http_bridge.core.commands import Store
from mqtt_http_bridge.core.events import Event, Message
from mqtt_http_bridge.core.relay.relay import Relay
from mqtt_http_bridge.core.settings import (
    DeviceSettings,
    MqttSettings,
    OutboxSettings,
    Settings,
)
from mqtt_http_bridge.core.solar_backend.body import to_body
from mqtt_http_bridge.core.venus import topics
from mqtt_http_bridge.demo import contract
from tests.support.fixtures import BARN, ROOF
from tests.support.gx import PORTAL_ID, StandInGx
from tests.support.places import RECORDINGS
from tests.support.running import TIMEOUT_S, Running, World, call

pytestmark = pytest.mark.long

NIGHT = RECORDINGS / "night.jsonl.gz"
"""Chargers go to sleep, leave and return: three minutes with six measurements."""


def replayed(recording: Path, *arguments: str | Path) -> list[bytes]:
    """The measurements that `replay` prints."""
    done = call("replay", recording, *arguments, directory=recording.parent)
    assert done.returncode == 0, done.stderr
    return done.stdout.encode().splitlines()


def lines_of(recording: Path) -> list[dict[str, object]]:
    """The lines of a recording, which has to be whole to its last byte."""
    with gzip.open(recording, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


# --- record --------------------------------------------------------------------------------------


def record(world: World, recording: Path, *options: str) -> Running:
    """Starts to record, and returns when all that the GX says of itself has been taken in."""
    process = world.start("record", "-o", recording, "--port", str(world.broker.port), *options)
    # The second charger of the first roll: it is called when the GX has said that it is done.
    process.wait_for("'South roof'")
    return process


def test_live_and_replayed(world: World, gx: StandInGx, tmp_path: Path) -> None:
    """A relay on a live GX and a replay of what it heard make the same bytes of measurements."""
    recording = tmp_path / "live.jsonl.gz"
    settings = Settings(
        backend=None,
        outbox=OutboxSettings(str(tmp_path)),
        mqtt=MqttSettings(port=world.broker.port),
        device=DeviceSettings(update_interval_s=1.0),
    )

    live = relay_and_record(settings, recording, gx)

    assert len(live) >= 3
    # The one that left is left out for a minute: the measurements are not all alike.
    assert {len(json.loads(body)["devices"]) for body in live} == {1, 2}
    assert replayed(recording, "-c", world.write_config()) == live


def relay_and_record(settings: Settings, recording: Path, gx: StandInGx) -> list[bytes]:
    """Returns what a relay measures while the GX changes; the last event is the last recorded."""
    clock, inbox = SystemClock(), Inbox()
    writer = RecordingWriter(recording, clock.now())
    bodies: list[bytes] = []
    broker = Broker(
        settings.mqtt,
        client_id="relay-and-record",
        subscriptions=topics.first_subscriptions(settings.mqtt),
        wants=topics.is_interesting,
        now=clock.now,
        emit=inbox.put,
        draw=random.uniform,
    )

    def store(command: Store) -> None:
        bodies.append(to_body(command.measurement))
        gx.set("solarcharger", ROOF, "Yield/Power", 10.5 * len(bodies))
        if len(bodies) == 2:
            gx.remove("solarcharger", BARN)
        if len(bodies) == 3:
            gx.set("solarcharger", ROOF, "CustomName", "the end")

    def tap(event: Event) -> None:
        writer.write(event)
        if isinstance(event, Message) and b"the end" in event.payload:
            inbox.put(Stop())

    broker.start()
    try:
        run_loop(Relay(settings), inbox, clock.now, executor(broker, store), tap)
    finally:
        broker.stop(TIMEOUT_S)
        writer.close()
        del broker._client
    return bodies


def test_record_and_replay(world: World, gx: StandInGx, tmp_path: Path) -> None:
    """Ctrl+C ends a recording as a whole file, from which `replay` makes a proper measurement."""
    recording = tmp_path / "gx.jsonl.gz"
    process = record(world, recording)
    assert process.stop(signal.SIGINT) == 0

    header, connected, *messages = lines_of(recording)
    assert process.lines[-1] == f"{recording}: {len(messages)} messages"
    assert header["recording"] == 1
    assert connected["event"] == "connected"
    assert {message["topic"] for message in messages} >= {
        f"N/{PORTAL_ID}/system/0/Serial",
        f"N/{PORTAL_ID}/solarcharger/{ROOF}/History/Daily/0/Yield",
        f"N/{PORTAL_ID}/solarcharger/{BARN}/Pv/0/V",
        f"N/{PORTAL_ID}/full_publish_completed",
    }
    (body,) = replayed(recording)
    measurement = json.loads(body)
    assert contract.faults(measurement) == []
    assert contract.departures(measurement) == []
    names = [device["name"] for device in measurement["devices"]]
    assert names == ["MPPT RS barn", "South roof"]


def test_record_beside_run(world: World, gx: StandInGx, tmp_path: Path) -> None:
    """A recording does not disturb the service that relays from the same GX."""
    service = world.run()
    world.wait_for_measurement()

    process = record(world, tmp_path / "gx.jsonl.gz")
    assert process.stop() == 0
    count = len(world.backend.received)
    world.backend.wait_for(count + 1, TIMEOUT_S)

    assert service.stop() == 0
    assert not service.said("no connection")


def test_nobody_can_tell_whose_it_is(world: World, gx: StandInGx, tmp_path: Path) -> None:
    """With --anonymize no portal id, serial or name is left, and the measurement is the same."""
    plain, anonymous = tmp_path / "plain.jsonl.gz", tmp_path / "anonymous.jsonl.gz"
    assert record(world, plain).stop() == 0
    assert record(world, anonymous, "--anonymize").stop() == 0

    text = gzip.decompress(anonymous.read_bytes()).decode()
    private = [PORTAL_ID, "HQ2211AAAA1", "1234567", "HQ2233RS45X", "roof", "barn", "Barn", "east"]
    assert [word for word in private if word in gzip.decompress(plain.read_bytes()).decode()]
    assert [word for word in private if word in text] == []
    assert [_numbers(body) for body in replayed(anonymous)] == [
        _numbers(body) for body in replayed(plain)
    ]


def _numbers(body: bytes) -> list[tuple[object, ...]]:
    """Returns what does not tell whose it is, of each charger of a measurement."""
    return [
        (
            device["device_instance"],
            device["product_name"],
            device["yield_power_w"],
            device["yield_total_kwh"],
            [(tracker["voltage"], tracker["power"]) for tracker in device["trackers"]],
        )
        for device in json.loads(body)["devices"]
    ]


def test_record_for_a_while(world: World, tmp_path: Path) -> None:
    """After --duration a recording ends by itself; with nothing in it, it is none, and no file."""
    world.broker.stop()
    recording = tmp_path / "nothing.jsonl.gz"
    port = str(world.broker.port)

    done = call("record", "-o", recording, "--port", port, "--duration", "0.2", directory=tmp_path)

    assert done.returncode == 1
    assert f"{recording}: expected messages from 127.0.0.1:{port}, found none" in done.stderr
    assert not recording.exists()


def test_record_never_overwrites(world: World, tmp_path: Path) -> None:
    """A file that is there already stays as it is."""
    recording = tmp_path / "gx.jsonl"
    recording.write_text("precious", encoding="utf-8")

    done = call("record", "-o", recording, "--port", str(world.broker.port), directory=tmp_path)

    assert done.returncode == 2
    assert f"{recording}: the file is there already" in done.stderr
    assert recording.read_text(encoding="utf-8") == "precious"


# --- replay --------------------------------------------------------------------------------------


def test_replay_and_post(world: World) -> None:
    """With --post the backend gets, once each, the very bytes that are printed without."""
    config = world.write_config({"device.update_interval": 5, "outbox.max_rate": 1000})
    printed = replayed(NIGHT, "-c", config)

    done = call("replay", NIGHT, "-c", config, "--post", directory=world.directory)

    assert (done.returncode, done.stdout) == (0, "")
    assert len(printed) > 30
    assert sorted(world.bodies) == sorted(printed)
    assert world.taken == set(printed)


def test_replay_and_post_to_nobody(world: World) -> None:
    """With nobody at the backend it says so and fails; it is the outbox that remembers."""
    settings = {"device.update_interval": 30, "outbox.max_rate": 1000}
    config = world.write_config(settings)
    printed = set(replayed(NIGHT, "-c", config))
    world.backend.down()

    done = call("replay", NIGHT, "-c", config, "--post", directory=world.directory)

    assert done.returncode == 1
    assert "not delivered, kept in the outbox" in done.stderr
    world.backend.up()
    world.run(settings)
    world.wait_until(lambda: printed <= world.taken)
