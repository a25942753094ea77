"""Starts those who listen, as users start them, on a broker with a GX."""

import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.bench.gx import BenchGx
from tests.bench.processes import Measured
from tests.bench.results import BEFORE, MOSQUITTO, PAHO, RELAY
from tests.bench.traffic import HEARTBEAT_S, Wire
from tests.bench.waiting import Failed
from tests.support.mosquitto import Mosquitto

RELAY_WARM_S = 19.0
"""Until the relay has settled: its first measurement is delivered by then."""
FLOOR_WARM_S = 2.0
AUTO = "auto"


@dataclass(frozen=True)
class Consumer:
    """One of those that are compared."""

    name: str
    start: Callable[[int, Path], Measured]
    """Takes the port of the broker and a directory of its own."""
    warm_s: float = FLOOR_WARM_S


@dataclass(frozen=True)
class Scene:
    """Consumers that have settled, the GX that they listen to, and a wire for a load."""

    gx: BenchGx
    wire: Wire
    broker: Mosquitto
    processes: dict[str, Measured]


@contextmanager
def directory() -> Iterator[Path]:
    """A directory on the disk for one process."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        yield Path(name)


def compared(
    url: str,
    portals: Sequence[str],
    against: Path | None = None,
    **changes: dict[str, object],
) -> list[Consumer]:
    """The relay, with changes to its config, and its floors; `against` is another checkout."""
    others = [relay(url, portals, against, **changes)] if against else []
    return [relay(url, portals, None, **changes), *others, paho_floor(), mosquitto_sub()]


def relay(
    url: str,
    portals: Sequence[str] | str,
    checkout: Path | None = None,
    **changes: dict[str, object],
) -> Consumer:
    """The relay as its users run it: `portals` is what `mqtt.portal_id` says.

    Of another checkout than this one if that is named.
    """
    name = BEFORE if checkout else RELAY

    def start(port: int, place: Path) -> Measured:
        ids = portals if isinstance(portals, str) else list(portals)
        settings: dict[str, dict[str, object]] = {
            "backend": {"url": url, "api_key": "bench"},
            "mqtt": {"port": port, "portal_id": ids},
        }
        for section, keys in changes.items():
            settings.setdefault(section, {}).update(keys)
        config = place / "config.yaml"
        config.write_text(yaml.safe_dump(settings), encoding="utf-8")
        command = [sys.executable, "-m", "mqtt_http_bridge", "run", "-c", str(config)]
        if checkout is not None:
            command = ["env", f"PYTHONPATH={checkout}", *command]
        return Measured(name, command, place)

    return Consumer(name, start, RELAY_WARM_S)


def paho_floor(*arguments: str, name: str = PAHO) -> Consumer:
    """The floor: paho 2 with an empty callback; see floor_paho for the arguments."""

    def start(port: int, place: Path) -> Measured:
        command = [sys.executable, "-m", "tests.bench.floor_paho", str(port), *arguments]
        return Measured(name, command, place)

    return Consumer(name, start)


def mosquitto_sub() -> Consumer:
    """libmosquitto, printing nothing."""

    def start(port: int, place: Path) -> Measured:
        topics = ["-t", "N/+/solarcharger/#", "-t", "N/+/heartbeat"]
        address = ["-h", "127.0.0.1", "-p", str(port)]
        command = ["mosquitto_sub", *address, *topics, "-N", "-F", ""]
        return Measured(MOSQUITTO, command, place)

    return Consumer(MOSQUITTO, start)


@contextmanager
def scene(
    consumers: Sequence[Consumer],
    portals: Sequence[str],
    chargers: int,
    *,
    broker_lines: Sequence[str] = (),
    heartbeat_s: float = HEARTBEAT_S,
) -> Iterator[Scene]:
    """Consumers side by side, after they have settled.

    Raises Failed if one of them has ended or has another connection at the end.
    """
    with ExitStack() as stack:
        broker = stack.enter_context(Mosquitto(extra_lines=broker_lines))
        gx = stack.enter_context(BenchGx(broker.inside_port, portals, chargers, heartbeat_s))
        processes = {
            each.name: stack.enter_context(
                each.start(broker.port, stack.enter_context(directory()))
            )
            for each in consumers
        }
        time.sleep(max(each.warm_s for each in consumers))
        inodes = {name: each.connection(broker.port).inode for name, each in processes.items()}
        wire = stack.enter_context(closing(Wire(broker.inside_port, "bench-load")))
        yield Scene(gx, wire, broker, processes)
        gx.check()
        for name, process in processes.items():
            if process.connection(broker.port).inode != inodes[name]:
                raise Failed(f"{name}: expected it to keep its connection: {process.output}")
