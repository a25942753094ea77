"""Defines fixtures that tests of several areas use.

Use `mosquitto` for a client against a bare broker, `backend` for a client against a backend alone,
and `world` for the program as a process, with `gx` or `lively_gx` in it. A module that needs a
backend with other options overrides `backend_options`.

Two marks of a module spare it fixtures of its own. With `pytest.mark.one_charger`, there is a GX in
`world` from the start, for tests that only need something to relay. With `pytest.mark.lively`, `gx`
is `lively_gx`.
"""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from mqtt_http_bridge.demo.backend import StandInBackend
from tests.support.browser import Browser
from tests.support.charger_values import multi_tracker, single_tracker
from tests.support.gx import StandInGx
from tests.support.mosquitto import Mosquitto
from tests.support.paired_gx import PairedGx
from tests.support.running import World

ROOF, BARN = 277, 0
"""The instances of the chargers of `gx`; that of `lively_gx` is on the roof, too."""


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that every user may enter.

    That of pytest is closed to others by each run that begins, of anybody, at any time.
    """
    with TemporaryDirectory(prefix="mqtt-http-bridge-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
def own_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Makes an empty directory the current one: for verbs that read and write files in it."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for all tests of a module, as it takes seconds to start: for what a page does."""
    with Browser() as browser:
        yield browser


@pytest.fixture
def mosquitto() -> Iterator[Mosquitto]:
    """A broker without login or TLS."""
    with Mosquitto() as mosquitto:
        yield mosquitto


@pytest.fixture
def backend_options() -> dict[str, Any]:
    """The options of `backend` and that in `world`: none, so it is strict, knows every serial."""
    return {}


@pytest.fixture
def backend(backend_options: dict[str, Any]) -> Iterator[StandInBackend]:
    """A backend without a broker or a GX: for tests that run a verb in this process."""
    with StandInBackend(**backend_options) as backend:
        yield backend


@pytest.fixture
def world(
    request: pytest.FixtureRequest, tmp_path: Path, backend_options: dict[str, Any]
) -> Iterator[World]:
    """A broker and a backend; there is no GX yet, except in a module marked `one_charger`."""
    with World(tmp_path, **backend_options) as world:
        if request.node.get_closest_marker("one_charger"):
            world.add_gx().add("solarcharger", ROOF, single_tracker())
        yield world


@pytest.fixture
def gx(request: pytest.FixtureRequest, world: World) -> StandInGx:
    """A sleeping GX with two chargers: one tracker on the roof, four on the barn.

    In a module marked `lively` it is `lively_gx`.
    """
    if request.node.get_closest_marker("lively"):
        lively: StandInGx = request.getfixturevalue("lively_gx")
        return lively
    gx = world.add_gx()
    gx.add("solarcharger", ROOF, single_tracker())
    gx.add("solarcharger", BARN, multi_tracker())
    return gx


@pytest.fixture
def lively_gx(world: World) -> StandInGx:
    """A GX with one charger, whose heart beats several times a second: nobody waits 3 s for it."""
    gx = world.add_gx(heartbeat_s=0.2)
    gx.add("solarcharger", ROOF, single_tracker())
    return gx


@pytest.fixture
def paired_gx(tmp_path: Path) -> Iterator[PairedGx]:
    """A GX with one charger, and with the certificates and the password that it has by default.

    For verbs that connect to it by TLS, and to its web server.
    """
    with PairedGx(tmp_path / "gx") as gx:
        gx.gx.add("solarcharger", ROOF, single_tracker())
        yield gx
