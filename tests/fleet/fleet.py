"""Runs relays that share a fleet, and the backend they post to; says what arrived from each GX."""

import bisect
import json
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from tests.fleet.synthetic_gxs import age_s
from tests.support.faulty_backend import FaultyBackend
from tests.support.running import Running

INTERVAL_S = 5.0
NEVER = float("inf")
_NUMBER = re.compile(rb"^[0-9a-f]{8} (?:put|narrow|parked|done|lost) (\d+) ", re.MULTILINE)
_NEXT = re.compile(rb"^[0-9a-f]{8} log \d+ \S+ (\d+)", re.MULTILINE)


class FleetBackend(FaultyBackend):
    """A backend that takes each key, which tells the relay."""

    def refusal(self, serial: str, key: str) -> str | None:
        return None


class Relay:
    """One relay with an outbox of its own, which it keeps when it is started again."""

    def __init__(self, directory: Path, name: str, settings: dict[str, dict[str, Any]]) -> None:
        self.name = name
        self._directory = directory / name
        self._directory.mkdir()
        self._settings = settings
        self._process: Running | None = None

    def start(self, shard: str) -> None:
        """Starts it with that share of the fleet. Relays begin with different nodes."""
        self.close()
        backend = {**self._settings["backend"], "api_key": self.name}
        mqtt = {**self._settings["mqtt"], "shard": shard}
        first = int(shard.split("/", maxsplit=1)[0]) % len(mqtt["host"])
        mqtt["host"] = [*mqtt["host"][first:], *mqtt["host"][:first]]
        text = yaml.safe_dump({**self._settings, "backend": backend, "mqtt": mqtt})
        (self._directory / "config.yaml").write_text(text, encoding="utf-8")
        command = [sys.executable, "-m", "mqtt_http_bridge", "run"]
        self._process = Running(command, self._directory)

    def kill(self) -> None:
        """Ends it as a power cut does."""
        self._running.kill()

    def stop(self) -> int:
        """Asks it to stop; its exit status."""
        return self._running.stop()

    def close(self) -> None:
        """Ends it if it still runs."""
        if self._process is not None:
            self._process.close()
            self._process = None

    @property
    def lines(self) -> list[str]:
        """Returns the lines of its log since its last start."""
        return self._running.lines

    @property
    def measured(self) -> int:
        """Counts the measurements it has made in all, by the numbers in its outbox."""
        found = [0]
        for path in self._directory.glob("outbox/log/*.log"):
            content = path.read_bytes()
            found += [int(number) for number in _NUMBER.findall(content)]
            found += [int(number) - 1 for number in _NEXT.findall(content)]
        return max(found)

    @property
    def _running(self) -> Running:
        if self._process is None:
            raise RuntimeError(f"{self.name} was never started: call start()")
        return self._process


@contextmanager
def relays(
    count: int, directory: Path, settings: dict[str, dict[str, Any]]
) -> Iterator[list[Relay]]:
    """Makes so many, none of them started; ends them with the context."""
    made = [Relay(directory, f"relay-{number}", settings) for number in range(count)]
    try:
        yield made
    finally:
        for relay in made:
            relay.close()


@dataclass(frozen=True)
class Rows:
    """The moments at which each GX was measured, Unix seconds, in order, and by which relay."""

    by_serial: dict[str, list[tuple[float, str]]]
    oldest_s: float
    """The greatest age of a number at the moment it was dated to."""

    @classmethod
    def of(cls, backend: FleetBackend) -> "Rows":
        """Reads all that was posted so far; what was posted twice counts once."""
        found: dict[str, dict[float, str]] = {}
        oldest_s = 0.0
        for arrival in list(backend.received):
            document = json.loads(arrival.body or b"{}")
            for device in document.get("devices", ()):
                at_s = datetime.fromisoformat(document["timestamp"]).timestamp()
                relay = str(arrival.headers["X-API-Key"])
                found.setdefault(device["serial"], {})[at_s] = relay
                if device["reachable"]:
                    oldest_s = max(oldest_s, age_s(device["yield_power_w"], at_s))
        return cls({serial: sorted(rows.items()) for serial, rows in found.items()}, oldest_s)

    def between(self, from_s: float, until_s: float) -> "Rows":
        """Gives those dated to a span of time."""
        cut = {
            serial: rows[bisect.bisect(rows, (from_s, "")) : bisect.bisect(rows, (until_s, ""))]
            for serial, rows in self.by_serial.items()
        }
        return Rows(cut, self.oldest_s)

    def holes_s(self, serials: Sequence[str]) -> list[float]:
        """Gives the longest time between two measurements of each."""
        return [
            max((b[0] - a[0] for a, b in pairwise(self.by_serial.get(serial, []))), default=NEVER)
            for serial in serials
        ]

    def disturbed(self, serials: Sequence[str]) -> list[str]:
        """Gives those of which two measurements are not one interval apart, to a millisecond."""
        return [
            serial
            for serial in serials
            if any(
                abs(b[0] - a[0] - INTERVAL_S) > 0.001
                for a, b in pairwise(self.by_serial.get(serial, []))
            )
            or len(self.by_serial.get(serial, [])) < 2
        ]

    def relay_of(self, serial: str) -> str:
        """Gives the relay that measured a GX last; empty if none did."""
        rows = self.by_serial.get(serial)
        return rows[-1][1] if rows else ""

    @property
    def count(self) -> int:
        """Counts them all."""
        return sum(map(len, self.by_serial.values()))
