"""Defines fixtures that tests of several areas use.

Use `mosquitto` for a client against a bare broker, and `world` for the program as a process, with
`gx` or `lively_gx` in it. A module that needs a backend with other options overrides
`backend_options`.
"""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tests.support.charger_values import multi_tracker, single_tracker
from tests.support.gx import StandInGx
from tests.support.mosquitto import Mosquitto
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
def mosquitto() -> Iterator[Mosquitto]:
    """A broker without login or TLS."""
    with Mosquitto() as mosquitto:
        yield mosquitto


@pytest.fixture
def backend_options() -> dict[str, Any]:
    """The options of the backend in `world`: none, so it is strict and knows every serial."""
    return {}


@pytest.fixture
def world(tmp_path: Path, backend_options: dict[str, Any]) -> Iterator[World]:
    """A broker and a backend; there is no GX yet."""
    with World(tmp_path, **backend_options) as world:
        yield world


@pytest.fixture
def gx(world: World) -> StandInGx:
    """A sleeping GX with two chargers: one tracker on the roof, four on the barn."""
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
