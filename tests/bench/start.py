"""Measures the time from the start of a process to its first words."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.bench.consumers import (
    AUTO,
    Consumer,
    directory,
    mosquitto_sub,
    paho_floor,
    relay,
)
from tests.bench.gx import BenchGx
from tests.bench.plan import Plan
from tests.bench.processes import Measured
from tests.bench.results import Results, rounds
from tests.bench.taker import Taker, backend
from tests.bench.traffic import portal_ids
from tests.bench.waiting import Failed, wait_for
from tests.support.mosquitto import Mosquitto

SUBSCRIBE = "start to SUBSCRIBE, ms"
SUBSCRIBE_CPU = "start to SUBSCRIBE, ms of CPU time"
FIRST_POST = "start to the first measurement taken, ms"
FIRST_POST_CPU = "start to the first measurement taken, ms of CPU time"
NEEDED = ("argparse", "yaml")
"""Names the modules that a relay with a config and a command line needs."""
PAHO_NEEDED = f"paho + {' + '.join(NEEDED)}"
WITHIN_S = 30.0
_CONNECT, _SUBSCRIBE = 0x10, 0x80
_CONNACK = b"\x20\x02\x00\x00"


def start_times(plan: Plan) -> Results:
    """Milliseconds until SUBSCRIBE is on the wire, and until the first measurement is taken."""
    results = Results({"portal id": "auto: the relay has to learn it from the broker"})
    with backend() as taker:
        ours = [relay(taker.url, AUTO)]
        if plan.against:
            ours.append(relay(taker.url, AUTO, plan.against))
        consumers = [
            *ours,
            paho_floor(),
            mosquitto_sub(),
            paho_floor(*NEEDED, name=PAHO_NEEDED),
        ]
        for each_round in rounds(consumers, plan.pick(9, 3)):
            for consumer in each_round:
                took_ms, cpu_ms = _to_subscribe_ms(consumer)
                results.add(SUBSCRIBE, consumer.name, took_ms)
                results.add(SUBSCRIBE_CPU, consumer.name, cpu_ms)
        for each_round in rounds(ours, plan.pick(5, 1)):
            for consumer in each_round:
                took_ms, cpu_ms = _to_first_post_ms(taker, consumer)
                results.add(FIRST_POST, consumer.name, took_ms)
                results.add(FIRST_POST_CPU, consumer.name, cpu_ms)
    return results


def _to_subscribe_ms(consumer: Consumer) -> tuple[float, float]:
    with subscribed(consumer) as process:
        return _spent_ms(process)


def _spent_ms(process: Measured) -> tuple[float, float]:
    """Milliseconds since a process was started, and how many of these it had of a core."""
    took_s = time.monotonic() - process.started_s
    return took_s * 1000, process.cpu_s * 1000


@contextmanager
def subscribed(consumer: Consumer, within_s: float = WITHIN_S) -> Iterator[Measured]:
    """A consumer whose SUBSCRIBE has just come to a listener that said yes to its CONNECT."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        directory() as place,
        consumer.start(listener.getsockname()[1], place) as process,
    ):
        listener.settimeout(within_s)
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(within_s)
            _read_until(connection, _CONNECT)
            connection.sendall(_CONNACK)
            _read_until(connection, _SUBSCRIBE)
            yield process


def _read_until(connection: socket.socket, kind: int) -> None:
    """Reads whole packets up to one of this kind."""
    while True:
        header = _read(connection, 1)[0]
        length = shift = 0
        while (byte := _read(connection, 1)[0]) & 128:
            length |= (byte & 127) << shift
            shift += 7
        _read(connection, length | byte << shift)
        if header & 0xF0 == kind:
            return


def _read(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        received = connection.recv(count - len(data))
        if not received:
            raise Failed("expected a client to subscribe, it closed the connection")
        data += received
    return data


def _to_first_post_ms(taker: Taker, consumer: Consumer) -> tuple[float, float]:
    taken = taker.taken
    with (
        Mosquitto() as broker,
        BenchGx(broker.inside_port, portal_ids(1), 2),
        directory() as place,
        consumer.start(broker.port, place) as process,
    ):
        wait_for("a first POST", lambda: taker.taken > taken, within_s=WITHIN_S, every_s=0.002)
        return _spent_ms(process)
