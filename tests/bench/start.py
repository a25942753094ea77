"""How long it takes from the start of a process to its first words."""

import socket
import time

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
from tests.bench.results import RELAY, Results, rounds
from tests.bench.taker import Taker, backend
from tests.bench.traffic import portal_ids
from tests.bench.waiting import Failed, wait_for
from tests.mosquitto import Mosquitto

SUBSCRIBE = "start to SUBSCRIBE, ms"
FIRST_POST = "start to the first measurement taken, ms"
NEEDED = ("argparse", "dataclasses", "yaml")
"""What a relay with a config, a command line and dataclasses cannot do without."""
PAHO_NEEDED = f"paho + {' + '.join(NEEDED)}"
WITHIN_S = 30.0
_CONNECT, _SUBSCRIBE = 0x10, 0x80
_CONNACK = b"\x20\x02\x00\x00"


def start_times(plan: Plan) -> Results:
    """Milliseconds until SUBSCRIBE is on the wire, and until the first measurement is taken."""
    results = Results({"portal id": "auto: the relay has to learn it from the broker"})
    with backend() as taker:
        consumers = [
            relay(taker.url, AUTO),
            paho_floor(),
            mosquitto_sub(),
            paho_floor(*NEEDED, name=PAHO_NEEDED),
        ]
        for each_round in rounds(consumers, plan.pick(9, 3)):
            for consumer in each_round:
                results.add(SUBSCRIBE, consumer.name, _to_subscribe_ms(consumer))
        for _ in range(plan.pick(5, 1)):
            results.add(FIRST_POST, RELAY, _to_first_post_ms(taker))
    return results


def _to_subscribe_ms(consumer: Consumer) -> float:
    """A listener says yes to CONNECT and waits for the first SUBSCRIBE."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        directory() as place,
        consumer.start(listener.getsockname()[1], place) as process,
    ):
        listener.settimeout(WITHIN_S)
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(WITHIN_S)
            _read_until(connection, _CONNECT)
            connection.sendall(_CONNACK)
            _read_until(connection, _SUBSCRIBE)
            return (time.monotonic() - process.started_s) * 1000


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


def _to_first_post_ms(taker: Taker) -> float:
    taken = taker.taken
    with (
        Mosquitto() as broker,
        BenchGx(broker.inside_port, portal_ids(1), 2),
        directory() as place,
        relay(taker.url, AUTO).start(broker.port, place) as process,
    ):
        wait_for("a first POST", lambda: taker.taken > taken, within_s=WITHIN_S, every_s=0.002)
        return (time.monotonic() - process.started_s) * 1000
