"""Runs a week in seconds, with injected time: memory and open files do not grow.

20,000 measurements and 2,000 reconnects of chargers that come and go; with `./tests/run slow` it is
most of a year. Without coverage, which keeps a tracer of each thread that ever was.
"""

import gc
import logging
import os
import queue
import socket
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from mqtt_http_bridge.adapters.backend import Backend
from mqtt_http_bridge.adapters.broker import Broker, receive_batching, shared_id
from mqtt_http_bridge.adapters.clock import SystemClock
from mqtt_http_bridge.adapters.outbox import Boot, Outbox
from mqtt_http_bridge.app.dialect import DIALECT
from mqtt_http_bridge.core.commands import Store
from mqtt_http_bridge.core.events import Connected, Event, Message, Tick
from mqtt_http_bridge.core.measurement import Measurement
from mqtt_http_bridge.core.settings import BackendSettings, MqttSettings, OutboxSettings, Secret
from mqtt_http_bridge.demo.backend import StandInBackend
from tests.bench.virtual_gx import VirtualGx, moment
from tests.support.extent import extent
from tests.support.gx import PORTAL_ID
from tests.support.mqtt_packets import CONNACK, publish
from tests.support.outboxes import store, take_oldest, waiting

pytestmark = [pytest.mark.once, pytest.mark.slow]

MEASUREMENTS = extent(20_000, 1_000_000)
RECONNECTS = extent(2_000, 100_000)
CONNECTIONS = extent(2_000, 100_000)
DELIVERIES = extent(2_000, 20_000)
INTERVAL_S = 30.0

SLACK_BLOCKS = 1_000
"""Blocks of memory by which caches and free lists may differ: less than one for each of what is
counted, of which nine in ten come after the first look."""
TIMEOUT_S = 20.0


def blocks() -> int:
    """Counts how many blocks of memory Python has in use."""
    gc.collect()
    return sys.getallocatedblocks()


def descriptors() -> int:
    """Counts how many files and sockets this process has open."""
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a Path would open it for longer


class Weeks:
    """A GX with up to three chargers, of which now and then one leaves or returns."""

    def __init__(self) -> None:
        self.gx = VirtualGx([PORTAL_ID], 3)
        self.measured = 0
        self._beats = 0

    def reconnect(self) -> None:
        """The connection is lost and made anew, with other chargers than before."""
        self.gx.chargers = 1 + self.gx.chargers % 3
        self.gx.reconnect()

    def let_measure(self, measurements: int) -> None:
        """Lets time pass until so many measurements have been made, a heartbeat every 7.5 s."""
        until = self.gx.measurements + measurements
        while self.gx.measurements < until:
            self._beats += 1
            for _ in range(4):
                self.gx.now_s += 7.5
                now = moment(self.gx.now_s)
                self.gx.happen(Message(now, f"N/{PORTAL_ID}/heartbeat", b'{"value":1}'))
            power = b'{"value":%d.25}' % (self._beats % 9973)
            topic = f"N/{PORTAL_ID}/solarcharger/0/Yield/Power"
            self.gx.happen(Message(now, topic, power))
            if self._beats % 20 == 0:
                self._leave(1 + self._beats // 20 % 2)
            self.gx.happen(Tick(now))

    def _leave(self, instance: int) -> None:
        """A charger leaves the bus; with the next connection it is back."""
        for path in ("Serial", "Yield/Power", "Pv/V"):
            topic = f"N/{PORTAL_ID}/solarcharger/{instance}/{path}"
            self.gx.happen(Message(moment(self.gx.now_s), topic, b""))


def test_weeks_of_measurements_and_reconnects() -> None:
    """The core holds no more at the end than after a tenth of the time."""
    weeks = Weeks()
    weeks.gx.start()
    each = MEASUREMENTS // RECONNECTS
    in_use = 0
    for number in range(RECONNECTS):
        weeks.let_measure(each)
        weeks.reconnect()
        if number == RECONNECTS // 10:
            in_use = blocks()
    assert weeks.gx.measurements >= MEASUREMENTS
    assert weeks.gx.now_s > MEASUREMENTS * INTERVAL_S * 0.99
    assert abs(blocks() - in_use) < SLACK_BLOCKS


def test_connections_leave_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker that hangs up thousands of times costs neither descriptors nor memory.

    Each connection subscribes, collects, and is read because something is due.
    """
    monkeypatch.setattr(receive_batching, "SETTLED_S", 0.0)
    # Nobody else has our client id, and thousands of trials whether somebody has take long.
    monkeypatch.setattr(shared_id, "MOST_SHORT", 2 * CONNECTIONS)
    events: queue.SimpleQueue[Event] = queue.SimpleQueue()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        broker = Broker(
            MqttSettings(port=listener.getsockname()[1]),
            client_id="soak",
            subscriptions=[("t",)],
            wants=lambda topic: True,
            now=SystemClock().now,
            emit=events.put,
            draw=lambda low, high: 0.0,
            batch_s=3600.0,
        )
        broker.start()
        opened, in_use, collected = 0, 0, 0
        for number in range(CONNECTIONS):
            peer, _ = listener.accept()
            with peer:
                peer.recv(4096)
                peer.sendall(CONNACK)
                assert isinstance(events.get(timeout=TIMEOUT_S), Connected)
                assert peer.recv(4096)[0] == 0x82
                peer.sendall(publish(b"t", b"%d" % number))
                assert next_message(broker, events).payload == b"%d" % number
                collected += broker._batching.is_on
                if number == CONNECTIONS // 10:
                    opened, in_use = descriptors(), blocks()
                elif number == CONNECTIONS - 1:
                    assert descriptors() == opened
                    assert abs(blocks() - in_use) < SLACK_BLOCKS
            events.get(timeout=TIMEOUT_S)  # Disconnected
        broker.stop(TIMEOUT_S)
    assert collected > CONNECTIONS * 0.9
    del broker._client


def next_message(broker: Broker, events: "queue.SimpleQueue[Event]") -> Message:
    """Returns what comes next, as something is due again and again."""
    while True:
        broker.read_by(SystemClock().now().monotonic_s)
        with suppress(queue.Empty):
            event = events.get(timeout=0.05)
            assert isinstance(event, Message)
            return event


def test_deliveries_leave_nothing_behind(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """All that is appended, posted and settled leaves no file, descriptor or memory behind."""
    # pytest keeps what is logged, and an earlier test may have asked for every line.
    caplog.set_level(logging.WARNING, "mqtt_http_bridge")
    measurement = _measurement()
    outbox = Outbox(OutboxSettings(str(tmp_path / "outbox")), DIALECT, Boot("soak", 0.0))
    with StandInBackend(strict=False) as stand_in:
        backend = Backend(BackendSettings(stand_in.url, Secret(stand_in.api_key)), DIALECT)
        opened, in_use = 0, 0
        for number in range(DELIVERIES):
            store(outbox, measurement)
            entry = take_oldest(outbox)
            backend.post(entry.body)
            outbox.settle(entry, None)
            stand_in.received.clear()
            stand_in.accepted.clear()
            if number == DELIVERIES // 10:
                opened, in_use = descriptors(), blocks()
        assert abs(descriptors() - opened) <= 1  # The other end of a connection closes later.
        assert abs(blocks() - in_use) < SLACK_BLOCKS
        backend.close()
    assert waiting(outbox) == 0
    assert len(list((tmp_path / "outbox" / "log").iterdir())) <= 3
    outbox.close()
    assert threading.active_count() < 10


def _measurement() -> Measurement:
    gx = VirtualGx([PORTAL_ID], 2)
    found = gx.relay.handle(Connected(moment(0.0)))
    assert not [command for command in found if isinstance(command, Store)]
    gx.start()
    (measurement,) = gx.act_at(gx.until_next_measurement())
    return measurement
