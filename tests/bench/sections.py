"""What is measured through a real broker: each section gives numbers by consumer and by case."""

import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from tests.bench.processes import Measured, in_child, mosquitto_sub, paho_floor, relay
from tests.bench.traffic import BenchGx, Wire, flood, portal_ids, said_by
from tests.mosquitto import Mosquitto

Numbers = dict[str, float]
Start = Callable[[int, Path], Measured]

WARM_S = 19.0
"""Until the relay has settled: its first measurement is delivered by then."""
RUN = "import argparse, mqtt_http_bridge.adapters.config, mqtt_http_bridge.app.service"
POST = (
    "from mqtt_http_bridge.adapters.backend import Backend;"
    " from mqtt_http_bridge.core.settings import BackendSettings, Secret;"
    " Backend(BackendSettings('http://127.0.0.1:9', Secret('key'))).post(b'')"
)
NEEDED = ("argparse", "dataclasses", "yaml")
IMPORTS = "import paho.mqtt.client, requests, yaml"


@contextmanager
def directory() -> Iterator[Path]:
    """A directory on the disk for one process."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        yield Path(name)


@contextmanager
def backend() -> Iterator[str]:
    """The address of a backend that takes everything."""
    command = [sys.executable, "-m", "tests.bench.quick_backend"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.terminate()


def consumers(url: str, portals: Sequence[str]) -> dict[str, Start]:
    """The relay and its floors, each as it is started."""
    return {
        "relay": lambda port, place: relay(port, url, place, portals),
        "paho no-op": paho_floor,
        "mosquitto_sub": mosquitto_sub,
    }


@contextmanager
def listening(
    start: Start, portals: Sequence[str], chargers: int, *broker_lines: str
) -> Iterator[tuple[Measured, Wire]]:
    """A consumer that has had time to settle, on a broker with a GX, and a wire to flood it by."""
    with (
        Mosquitto(extra_lines=broker_lines) as broker,
        BenchGx(broker.inside_port, portals, chargers),
        directory() as place,
        start(broker.port, place) as consumer,
    ):
        time.sleep(WARM_S)
        wire = Wire(broker.inside_port, "bench-load")
        try:
            yield consumer, wire
        finally:
            wire.close()


def flat_out(repetitions: int, count: int, chargers: int = 2, portals: int = 1) -> Numbers:
    """CPU microseconds per message, by consumer, as fast as the broker passes them on."""
    ids = portal_ids(portals)
    load = list(flood(ids, chargers, count))
    with backend() as url:
        return {
            name: median(_flat_out(start, ids, chargers, load, count) for _ in range(repetitions))
            for name, start in consumers(url, ids).items()
            if portals == 1 or name != "mosquitto_sub"
        }


def _flat_out(
    start: Start, ids: Sequence[str], chargers: int, load: Sequence[bytes], count: int
) -> float:
    with listening(start, ids, chargers) as (consumer, wire):
        before_s = consumer.cpu_s
        for frames in load:
            wire.send(frames)
        return (consumer.wait_until_silent(0.5) - before_s) / count * 1e6


def idle(repetitions: int, seconds: float, chargers: int = 2) -> dict[str, Numbers]:
    """Percent of a core and wake-ups a second at 10 messages a second and charger, by consumer."""
    ids = portal_ids(1)
    found: dict[str, Numbers] = {}
    with backend() as url:
        for name, start in consumers(url, ids).items():
            for is_burst in (True, False):
                runs = [_idle(start, ids, chargers, seconds, is_burst) for _ in range(repetitions)]
                case = f"{name}, {'bursts' if is_burst else 'even'}"
                found[case] = {key: median(run[key] for run in runs) for key in runs[0]}
    return found


def _idle(
    start: Start, ids: Sequence[str], chargers: int, seconds: float, is_burst: bool
) -> Numbers:
    with listening(start, ids, chargers) as (consumer, wire):
        cpu_s, wake_ups, began_s = consumer.cpu_s, consumer.wake_ups, time.monotonic()
        _play_idle(wire, ids[0], chargers, seconds, pieces=1 if is_burst else 10)
        took_s = time.monotonic() - began_s
        return {
            "percent": (consumer.cpu_s - cpu_s) / took_s * 100,
            "wake_ups": (consumer.wake_ups - wake_ups) / took_s,
        }


def _play_idle(wire: Wire, portal: str, chargers: int, seconds: float, pieces: int) -> None:
    """Ten messages a second of each charger, all at once or one after the other."""
    began_s, turn = time.monotonic(), 0
    while (second := turn / pieces) < seconds:
        time.sleep(max(0.0, began_s + second - time.monotonic()))
        each = 10 // pieces
        first = turn % pieces * each
        frames = [f for i in range(chargers) for f in _changing(portal, i, turn)[first:][:each]]
        wire.send(b"".join(frames))
        turn += 1


def _changing(portal: str, instance: int, turn: int) -> list[bytes]:
    """Ten messages: power, voltage and current of PV and battery, and some that nobody needs."""
    kept = (
        b"Yield/Power",
        b"Pv/V",
        b"Dc/0/",
        b"History/Daily/0/",
        b"History/Daily/1",
        b"Yield/User",
    )
    return [f for f in said_by(portal, instance, turn) if any(path in f for path in kept)][:10]


def loss(count: int) -> Numbers:
    """Messages that a broker with a limited queue had to drop, in percent, by consumer."""
    ids = portal_ids(1)
    load = list(flood(ids, 2, count))
    with backend() as url:
        return {name: _loss(start, ids, load, count) for name, start in consumers(url, ids).items()}


def _loss(start: Start, ids: Sequence[str], load: Sequence[bytes], count: int) -> float:
    lines = ("max_queued_messages 1000", "sys_interval 1")
    with listening(start, ids, 2, *lines) as (consumer, wire):
        wire.subscribe("$SYS/broker/publish/messages/dropped")
        before = _dropped(wire, 2.5)
        for frames in load:
            wire.send(frames)
        consumer.wait_until_silent()
        return (_dropped(wire, 2.5) - before) / count * 100


def _dropped(wire: Wire, seconds: float) -> int:
    """What the broker last said that it dropped; it says so when that has changed."""
    latest, end_s = 0, time.monotonic() + seconds
    while time.monotonic() < end_s:
        for _, payload in wire.messages(0.1):
            latest = int(payload)
    return latest


def start_times(repetitions: int) -> Numbers:
    """Milliseconds until SUBSCRIBE is on the wire, and until the first POST."""
    ids = portal_ids(1)
    found: dict[str, list[float]] = {}
    with backend() as url:
        starts = consumers(url, ids) | {
            # What a relay with a config, a command line and dataclasses cannot do without.
            f"paho + {' + '.join(NEEDED)}": lambda port, place: paho_floor(port, place, *NEEDED)
        }
        for _ in range(repetitions):
            for name, start in starts.items():
                found.setdefault(f"{name}, to SUBSCRIBE", []).append(_to_subscribe(start))
            found.setdefault("relay, to first POST", []).append(_to_first_post(url, ids))
    return {name: median(times) for name, times in found.items()}


def _to_subscribe(start: Start) -> float:
    """A listener that says yes to CONNECT and waits for what comes next."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        directory() as place,
        start(listener.getsockname()[1], place) as consumer,
    ):
        connection, _ = listener.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(b"\x20\x02\x00\x00")
            while (connection.recv(1) or b"\x82")[0] & 0xF0 != 0x80:
                pass
            return (time.monotonic() - consumer.started_s) * 1000


def _to_first_post(url: str, ids: Sequence[str]) -> float:
    with (
        Mosquitto() as broker,
        BenchGx(broker.inside_port, ids, 2),
        directory() as place,
        relay(broker.port, url, place, ids) as process,
    ):
        waiting = place / "outbox" / "waiting"
        # Appended, sent and settled: it was there and is gone.
        for is_wanted in (True, False):
            while is_wanted is not _holds_entries(waiting):
                time.sleep(0.0005)
        return (time.monotonic() - process.started_s) * 1000


def _holds_entries(waiting: Path) -> bool:
    return waiting.is_dir() and any(path.suffix == ".json" for path in waiting.iterdir())


def memory(traffic: int) -> dict[str, Numbers]:
    """MiB after the start, and after an hour's worth of traffic; beside bare imports."""
    ids = portal_ids(1)
    imports = f"{IMPORTS}; import time; time.sleep(600)"
    with directory() as place, Measured([sys.executable, "-c", imports], place) as bare:
        bare.wait_until_silent(1.0)
        found = {"bare imports": bare.memory_mib}
    with backend() as url:
        for name, start in consumers(url, ids).items():
            with listening(start, ids, 2) as (consumer, wire):
                found[f"{name}, start"] = consumer.memory_mib
                for frames in flood(ids, 2, traffic):
                    wire.send(frames)
                consumer.wait_until_silent()
                found[f"{name}, after {traffic}"] = consumer.memory_mib
    return found


def drain(entries: int) -> Numbers:
    """Entries a second from a full spool to a backend, with the pace taken off."""
    fill = (
        f"import sys; from tests.bench.inside import fill_spool; fill_spool(sys.argv[1], {entries})"
    )
    with backend() as url, Mosquitto() as broker, directory() as place:
        subprocess.run([sys.executable, "-c", fill, str(place / "outbox")], check=True)
        waiting = place / "outbox" / "waiting"
        with relay(broker.port, url, place, portal_ids(1), outbox={"max_rate": 1000}) as process:
            while not waiting.is_dir() or len(list(waiting.iterdir())) > entries * 0.98:
                time.sleep(0.01)
            began_s, left = time.monotonic(), len(list(waiting.iterdir()))
            cpu_s = process.cpu_s
            while any(waiting.iterdir()):
                time.sleep(0.02)
            took_s = time.monotonic() - began_s
            return {
                "entries per second": left / took_s,
                "CPU ms per entry": (process.cpu_s - cpu_s) / left * 1000,
            }


def imports(repetitions: int) -> Numbers:
    """Milliseconds and MiB of what is imported, in processes of their own."""
    code = (
        "import time; began = time.process_time(); {};"
        " ms = (time.process_time() - began) * 1000; import json, pathlib;"
        " rss = pathlib.Path('/proc/self/statm').read_text().split()[1];"
        " print(json.dumps({{'ms': ms, 'mib': int(rss) * 4096 / 2**20}}))"
    )
    cases = {
        "nothing": "pass",
        "paho": "import paho.mqtt.client",
        "requests": "import requests",
        "yaml": "import yaml",
        "all three": IMPORTS,
        "argparse": "import argparse",
        "dataclasses": "import dataclasses",
        "run before its first POST": RUN,
        "run after its first POST": f"{RUN}; {POST}",
    }
    found = {}
    for name, statement in cases.items():
        runs = [in_child(code.format(statement)) for _ in range(repetitions)]
        found[f"{name}, ms"] = median(run["ms"] for run in runs)
        found[f"{name}, MiB"] = median(run["mib"] for run in runs)
    return found
