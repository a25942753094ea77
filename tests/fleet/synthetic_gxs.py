"""Plays hundreds of GX devices with a charger each, on a few connections to a clustered broker.

Each behaves as `tests.support.dbus_flashmq` says, with a broker of its own that is bridged to the
cluster: where the bridge is down, what it says is lost, and it goes on. Four values of a charger
change each second. Its power tells when it was said: so whoever gets a measurement can see how old
its number is.
"""

import math
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Self

from tests.bench.traffic import Wire, frames
from tests.bench.waiting import Failed
from tests.support.charger_values import single_tracker
from tests.support.dbus_flashmq import DbusFlashmq, Message

AWAKE_S = 60.0
HEARTBEAT_S = 3.0
CHANGES_EVERY_S = 1.0
POWER_TURNS_AT_S = 1000
"""The power is the time of its saying, in seconds after a multiple of this."""
RECONNECT_AFTER_S = 0.5
SERVICE, INSTANCE = "solarcharger", 3


def portal_id(number: int) -> str:
    """Gives the portal id of a GX."""
    return f"{0xC0619AB20000 + number:012x}"


def serial(number: int) -> str:
    """Gives the serial of its charger."""
    return f"HQ{number:09d}"


def said_power_w(at_s: float) -> float:
    """Gives the power that is said at a moment, Unix seconds: rounded down, never of the future."""
    return math.floor(at_s % POWER_TURNS_AT_S * 100) / 100


def age_s(power_w: float, at_s: float) -> float:
    """Gives how long before a moment, Unix seconds, a power was said."""
    return (at_s - power_w) % POWER_TURNS_AT_S


class SyntheticGxs:
    """GX devices by the numbers given; a thread for each group of them, as they share a connection.

    Use it as a context manager. A connection whose node dies goes on with the next node's.
    """

    def __init__(
        self, numbers: Sequence[int], hosts: Sequence[str], port: int, connections: int
    ) -> None:
        self._is_ending = threading.Event()
        self._groups = [
            _Group(numbers[first::connections], _from(hosts, first), port, self._is_ending)
            for first in range(connections)
        ]

    def __enter__(self) -> Self:
        for group in self._groups:
            group.thread.start()
        for group in self._groups:
            if not group.is_connected.wait(30.0):
                raise Failed("expected the synthetic GX devices to be connected within 30 s")
        return self

    def __exit__(self, *_: object) -> None:
        self._is_ending.set()
        for group in self._groups:
            group.thread.join()

    def on(self, host: str) -> set[int]:
        """Gives the GX devices that are connected to that node now."""
        return {n for group in self._groups if group.host == host for n in group.numbers}


class _Group:
    """Some GX devices on one connection."""

    def __init__(
        self,
        numbers: Sequence[int],
        hosts: Sequence[str],
        port: int,
        is_ending: threading.Event,
    ) -> None:
        self.numbers = numbers
        self.host = hosts[0]
        self.is_connected = threading.Event()
        self.thread = threading.Thread(target=self._run, name=f"GX {numbers[0]}", daemon=True)
        self._hosts = hosts
        self._port = port
        self._is_ending = is_ending
        self._gxs = {portal_id(number): _gx(number) for number in numbers}

    def _run(self) -> None:
        for turn in range(1_000_000):
            if self._is_ending.is_set():
                return
            self.host = self._hosts[turn % len(self._hosts)]
            with suppress(OSError, Failed):
                self._serve(Wire(self._port, f"gx-{self.numbers[0]}-{turn}", self.host))
            self._is_ending.wait(RECONNECT_AFTER_S)

    def _serve(self, wire: Wire) -> None:
        try:
            wire.subscribe("R/+/keepalive")
            wire.send(frames(said for gx in self._gxs.values() for said in gx.retained()))
            self.is_connected.set()
            change_s = time.monotonic()
            while not self._is_ending.is_set():
                if time.monotonic() >= change_s:
                    change_s += CHANGES_EVERY_S
                    wire.send(frames(self._changes()))
                until_s = max(0.0, change_s - time.monotonic())
                for topic, payload in wire.messages(until_s):
                    if gx := self._gxs.get(topic.split("/")[1]):
                        wire.send(frames(gx.keepalive(payload, time.monotonic())))
        finally:
            wire.close()

    def _changes(self) -> list[Message]:
        """Lets a second pass on each D-Bus."""
        found: list[Message] = []
        for gx in self._gxs.values():
            found += gx.tick(time.monotonic())
            power_w = said_power_w(time.time())
            for path, value in (
                ("Yield/Power", power_w),
                ("Pv/V", 60.0 + power_w % 7),
                ("Dc/0/Voltage", 52.0 + power_w % 3),
                ("Dc/0/Current", power_w / 52.0),
            ):
                found += gx.set(SERVICE, INSTANCE, path, value)
        return found


def _from(hosts: Sequence[str], first: int) -> list[str]:
    """Gives all hosts, beginning with the one at `first`, around and around."""
    start = first % len(hosts)
    return [*hosts[start:], *hosts[:start]]


def _gx(number: int) -> DbusFlashmq:
    gx = DbusFlashmq(
        portal_id=portal_id(number),
        awake_s=AWAKE_S,
        heartbeat_s=HEARTBEAT_S,
        echo=True,
        seed=number,
    )
    gx.add(SERVICE, INSTANCE, single_tracker(serial=serial(number), power_w=0.0))
    return gx
