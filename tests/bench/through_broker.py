"""Flat out: what a message costs, and how many are lost, as fast as the broker passes them on."""

import signal
import time
from pathlib import Path

from tests.bench.consumers import Consumer, Scene, compared, mosquitto_sub, paho_floor, relay, scene
from tests.bench.loads import Load, recording, synthetic
from tests.bench.plan import Plan
from tests.bench.processes import Measured
from tests.bench.results import PAHO, Results, rounds
from tests.bench.taker import backend
from tests.bench.traffic import Wire, portal_ids
from tests.bench.waiting import Failed, wait_for
from tests.support.places import RECORDINGS

PER_100_000 = "CPU s per 100,000 messages"
LOST = "messages lost of a burst of {:,}"
QUEUE = 1000
"""Messages that the broker keeps for a client: what is more is dropped, as a GX does."""
DROPPED = "$SYS/broker/publish/messages/dropped"
TOLD_WITHIN_S = 2.5
"""The broker tells each second what it dropped."""
CHARGERS = 2
FIRST_MESSAGES = 10_000
"""So many of a load are played before it is measured: every topic has been heard then."""


def flat_out(plan: Plan) -> Results:
    """CPU time of 100,000 messages, by load and consumer: all loads in one session of each."""
    ids = portal_ids(1)
    loads = [
        synthetic(ids, CHARGERS),
        recording(RECORDINGS / "two.jsonl.gz", ids[0]),
        recording(RECORDINGS / "rs.jsonl.gz", ids[0]),
    ]
    return cost_of(loads, plan.pick(100_000, 30_000), plan.pick(3, 1), plan.against)


def cost_of(
    loads: list[Load], count: int, repetitions: int, against: Path | None = None
) -> Results:
    """CPU time of 100,000 messages of each load, measured with `count` of them."""
    ids = portal_ids(1)
    results = Results({load.name: load.about() for load in loads})
    played = {
        load.name: (load.opening + load.flat(FIRST_MESSAGES), load.flat(count)) for load in loads
    }
    with backend() as taker:
        for each_round in rounds(compared(taker.url, ids, against), repetitions):
            for consumer in each_round:
                with scene([consumer], ids, CHARGERS) as found:
                    for name, (opening, data) in played.items():
                        play(found, consumer, opening)
                        cpu_s = play(found, consumer, data)
                        results.add(f"{name}, {PER_100_000}", consumer.name, cpu_s / count * 1e5)
    return results


def play(found: Scene, consumer: Consumer, data: bytes) -> float:
    """CPU seconds of the consumer for frames that are sent at once."""
    process = found.processes[consumer.name]
    ports = [process.connection(found.broker.port).port, found.wire.port]
    with found.gx.without_heartbeats():
        process.wait_until_read(ports)
        before_s = process.cpu_s
        found.wire.send(data)
        process.wait_until_read(ports)
        return process.cpu_s - before_s


def loss(plan: Plan) -> Results:
    """Counts the messages of a burst that a broker with a limited queue dropped, by consumer."""
    ids, count = portal_ids(1), plan.pick(300_000, 100_000)
    load = synthetic(ids, CHARGERS)
    data = load.flat(count)
    results = Results({load.name: load.about()})
    with backend() as taker:
        consumers = [relay(taker.url, ids), paho_floor("--count"), mosquitto_sub()]
        for each_round in rounds(consumers, plan.pick(3, 1)):
            for consumer in each_round:
                lost = _lost(consumer, ids, data, count)
                results.add(LOST.format(count), consumer.name, lost)
                results.add("the same in percent", consumer.name, lost / count * 100)
    return results


def _lost(consumer: Consumer, ids: list[str], data: bytes, count: int) -> int:
    lines = (f"max_queued_messages {QUEUE}", "sys_interval 1")
    with scene([consumer], ids, CHARGERS, broker_lines=lines) as found:
        broker = _Dropped(found.broker.inside_port)
        process = found.processes[consumer.name]
        with found.gx.without_heartbeats():
            process.wait_until_read([process.connection(found.broker.port).port])
            before, taken_before = broker.count(), _taken(process)
            play(found, consumer, data)
            lost, taken = broker.count() - before, _taken(process) - taken_before
        broker.wire.close()
        if consumer.name == PAHO and taken + lost != count:
            raise Failed(f"expected {count} messages, {taken} came and {lost} were dropped")
        return lost


def _taken(process: Measured) -> int:
    """Counts how many messages it says it got; 0 if it does not count."""
    if process.name != PAHO:
        return 0
    lines = len(process.output.splitlines())
    process.signal(signal.SIGUSR1)
    wait_for("the count", lambda: len(process.output.splitlines()) > lines, within_s=10.0)
    return int(process.output.splitlines()[-1])


class _Dropped:
    """Counts what the broker says that it dropped; it says so when that has changed."""

    def __init__(self, port: int) -> None:
        self.wire = Wire(port, "bench-dropped")
        self.wire.subscribe(DROPPED)
        self._latest = 0

    def count(self) -> int:
        """All that it has dropped for clients that are there."""
        end_s = time.monotonic() + TOLD_WITHIN_S
        while time.monotonic() < end_s:
            for _, told in self.wire.messages(0.1):
                self._latest = int(told)
        return self._latest
