"""Tests the archive with a Python for ARM under qemu; the speed is not that of a GX.

What is told of speed are ratios: to paho with an empty callback, under the same emulation.
"""

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from tests.bench.consumers import Consumer, scene
from tests.bench.idle import LEAD_S, PERCENT, watch
from tests.bench.loads import bursts, even
from tests.bench.player import playing
from tests.bench.processes import Measured
from tests.bench.results import PAHO, RELAY, Results, rounds
from tests.bench.start import subscribed
from tests.bench.taker import backend
from tests.bench.traffic import portal_ids
from tests.support.arm import make_arm_firmware
from tests.support.browser import Browser
from tests.support.extent import IS_LONG
from tests.support.installed import Installed, all_of_it_runs
from tests.support.installing import HOME, Once, Surroundings
from tests.support.look_alike import PATH, LookAlike, NotPermitted, enter
from tests.support.places import TESTS
from tests.support.sshd import free_port

pytestmark = [
    pytest.mark.once,
    pytest.mark.slow,
    pytest.mark.skipif(not IS_LONG, reason="takes minutes: tests/run slow runs it"),
]

PATIENCE_S = 600.0
"""An emulated processor is slow, and this machine may have other things to do."""
WARM_S = 60.0
WINDOW_S = 60.0
LATE_S = 30.0
ROUNDS = 5
CPU = "start to SUBSCRIBE, CPU s"
WALL = "start to SUBSCRIBE, s"
MOST_OF_START, MOST_OF_IDLE = 3.0, 1.0


LIBRARY = "/srv/archive/lib"


@pytest.fixture(scope="module")
def arm_firmware(once: Once) -> Path:
    """Makes what a GX has beside its data, with a Python for ARM."""
    try:
        enter()
    except NotPermitted as reason:
        pytest.skip(str(reason))
    made = once.make("arm", lambda directory: make_arm_firmware(directory / "firmware"))
    return made / "firmware"


@pytest.fixture(scope="module")
def port() -> int:
    """Chooses the port on which the service shows its page."""
    return free_port()


@pytest.fixture(scope="module")
def arm_gx(
    arm_firmware: Path, unpacked: Path, surroundings: Surroundings, port: int
) -> Iterator[LookAlike]:
    """Boots a GX and installs the archive as a user does; its service is at work."""
    config = surroundings.config() + f"status: {{listen: '127.0.0.1:{port}'}}\n"
    with LookAlike(arm_firmware) as gx:
        gx.boot()
        shutil.copytree(unpacked, gx / "srv/archive")
        (gx / "srv/config.yaml").write_text(config, encoding="utf-8")
        said = gx.run(
            f"cd /srv/archive && ./install.sh --config /srv/config.yaml --wait {PATIENCE_S:.0f}",
            timeout=PATIENCE_S * 2,
        )
        assert said.returncode == 0, said.stdout
        yield gx


def test_its_python_is_one_for_arm(arm_firmware: Path) -> None:
    """Has 32 bits, and says that it is for ARM; a child that it started would be, too."""
    with LookAlike(arm_firmware) as gx:
        code = "import platform, sys; print(platform.machine(), sys.maxsize, sys.executable)"
        assert gx.run(f'python3 -c "{code}"').stdout == "armv7l 2147483647 /usr/bin/python3\n"


def test_all_of_it_runs(
    arm_gx: LookAlike, surroundings: Surroundings, browser: Browser, port: int, tmp_path: Path
) -> None:
    """Delivers and shows its page; check, outbox status, --version and demo work."""
    surroundings.wait_for_another_post()
    command = arm_gx.command(f"/{HOME}/mqtt-http-bridge")
    installed = Installed(command, f"/{HOME}/config.yaml", port, timeout_s=PATIENCE_S)
    all_of_it_runs(installed, browser, tmp_path)
    assert any("emulated" in line and "mqtt_http_bridge run" in line for line in arm_gx.commands())


# --- ratios -----------------------------------------------------------------------------------


@pytest.fixture
def quiet_gx(arm_firmware: Path, unpacked: Path) -> Iterator[LookAlike]:
    """Makes a GX without a service, with what the archive brings, compiled."""
    with LookAlike(arm_firmware) as gx:
        shutil.copytree(unpacked, gx / "srv/archive")
        gx.run(f"python3 -m compileall -q {LIBRARY}", check=True, timeout=PATIENCE_S)
        yield gx


def emulated(gx: LookAlike, name: str, place: Path, *words: str) -> Measured:
    """Starts Python with the packages of the archive."""
    python = ("/usr/bin/env", "-i", f"PATH={PATH}", f"PYTHONPATH={LIBRARY}", "python3", "-sP")
    return Measured(name, gx.command(*python, *words), place)


def relay(gx: LookAlike, url: str) -> Consumer:
    """Gives the relay as its service starts it."""

    def start(broker_port: int, place: Path) -> Measured:
        settings = {
            "backend": {"url": url, "api_key": "bench"},
            "mqtt": {"port": broker_port, "portal_id": portal_ids(1)},
        }
        name = f"srv/{place.name}"
        (gx / name).mkdir()
        (gx / name / "config.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
        words = ("-m", "mqtt_http_bridge", "run", "-c", f"/{name}/config.yaml")
        return emulated(gx, RELAY, place, *words)

    return Consumer(RELAY, start, WARM_S)


def floor(gx: LookAlike) -> Consumer:
    """Gives the floor: paho with an empty callback."""

    def start(broker_port: int, place: Path) -> Measured:
        shutil.copy2(TESTS / "bench/floor_paho.py", gx / "srv/floor_paho.py")
        return emulated(gx, PAHO, place, "/srv/floor_paho.py", str(broker_port))

    return Consumer(PAHO, start, WARM_S)


def ratios(results: Results) -> dict[str, float]:
    """Gives the relay's figure as a share of the floor's, by case."""
    return {case: of["ratios"][PAHO] for case, of in results.as_json()["cases"].items()}


def test_its_start_is_no_multiple_of_what_paho_needs(
    quiet_gx: LookAlike, record_property: Callable[[str, object], None]
) -> None:
    """Measures from the start of the process until it subscribes, and tells the ratios."""
    results = Results()
    consumers = [relay(quiet_gx, "http://127.0.0.1:9"), floor(quiet_gx)]
    for each_round in rounds(consumers, ROUNDS):
        for consumer in each_round:
            with subscribed(consumer, PATIENCE_S) as process:
                results.add(CPU, consumer.name, process.cpu_s)
                results.add(WALL, consumer.name, time.monotonic() - process.started_s)
    tell(results, record_property)
    assert 1.0 < ratios(results)[CPU] < MOST_OF_START


def test_at_rest_it_takes_less_than_paho(
    quiet_gx: LookAlike, record_property: Callable[[str, object], None]
) -> None:
    """Measures both side by side, at the pace of two chargers, measurements and POSTs included."""
    ids, results = portal_ids(1), Results()
    with backend() as taker:
        consumers = [relay(quiet_gx, taker.url), floor(quiet_gx)]
        with scene(consumers, ids, 2) as found:
            taken = taker.taken
            for load in (bursts(ids[0], 2), even(ids[0], 2)):
                with playing(found.wire, load, LATE_S):
                    time.sleep(LEAD_S)
                    watch(found, WINDOW_S, load.name, results)
            assert taker.taken > taken
    tell(results, record_property)
    found_ratios = ratios(results)
    assert all(found_ratios[f"{name}, {PERCENT}"] < MOST_OF_IDLE for name in ("bursts", "even"))


def tell(results: Results, record_property: Callable[[str, object], None]) -> None:
    """Has the run of the tests tell the ratios, and the figures behind them."""
    for case, of in results.as_json()["cases"].items():
        medians = {name: column["median"] for name, column in of["columns"].items()}
        text = f"{of['ratios'][PAHO]:.2f} times paho"
        text += f" ({medians[RELAY]:.3g} to {medians[PAHO]:.3g})"
        record_property(f"under qemu-arm, {case}", text)
