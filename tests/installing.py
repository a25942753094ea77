"""What the tests of the installer share: a checkout, its archive, and things to install into."""

import io
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import pytest
import yaml

import mqtt_http_bridge
from tests.faulty_backend import FaultyBackend
from tests.gx import StandInGx
from tests.look_alike import LookAlike, NotPermitted, enter, make_firmware
from tests.mosquitto import Mosquitto

ROOT = Path(__file__).parents[1]
HOME = "data/mqtt-http-bridge"
LOG = "var/log/mqtt-http-bridge/current"
IN_CHECKOUT = (
    *("install.sh", "service", "config.yaml.example"),
    *("README.md", "LICENSE", "CHANGELOG.md", "pyproject.toml"),
)
CHARGER = {
    "Serial": "HQ2208AXN7V",
    "ProductName": "SmartSolar Charger MPPT 150/45",
    "CustomName": "PV Carport",
    "Connected": 1,
    "State": 3,
    "Yield/Power": 120.0,
    "Yield/System": 1274.5,
    "Pv/V": 62.5,
    "NrOfTrackers": 1,
}


# --- the archive ------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout, put together: the tests run away from theirs, on the installed package."""
    directory = tmp_path_factory.mktemp("checkout")
    for name in IN_CHECKOUT:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
        copy(ROOT / name, directory / name)
    shutil.copytree(Path(mqtt_http_bridge.__file__).parent, directory / "mqtt_http_bridge")
    return directory


@pytest.fixture(scope="session")
def archive(checkout: Path) -> Path:
    """The archive for the GX, made as a user makes it."""
    said = install(checkout, "--bundle")
    assert said.returncode == 0, said.stdout
    return checkout / "dist/mqtt-http-bridge.tar.gz"


def install(
    checkout: Path, *arguments: str, cwd: Path | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Runs the installer on this machine."""
    return subprocess.run(
        [str(checkout / "install.sh"), *arguments],
        cwd=cwd or checkout,
        env={**os.environ, "PYTHON": sys.executable, **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        text=True,
        timeout=120,
    )


def members(archive: Path) -> dict[str, bytes]:
    """The files in an archive, by their name below its top directory."""
    with tarfile.open(archive) as tar:
        return {
            member.name.partition("/")[2]: _content(tar, member)
            for member in tar
            if member.isfile()
        }


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member) or io.BytesIO()
    return file.read()


def unpack(archive: Path, directory: Path) -> Path:
    """Unpacks an archive below `directory`; where it stands then."""
    with tarfile.open(archive) as tar:
        tar.extractall(directory, filter="tar")
        return directory / tar.getnames()[0].partition("/")[0]


def as_version(unpacked: Path, version: str) -> Path:
    """Makes another version of an unpacked archive."""
    (unpacked / "BUILD").write_text(f"{version}-00000000\n", encoding="utf-8")
    replace(
        unpacked / "lib/mqtt_http_bridge/__init__.py",
        '__version__ = "',
        f'__version__ = "{version}+',
    )
    return unpacked


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text, f"{path}: expected {old!r}"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


# --- a GX ---------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def firmware(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a GX has beside its data."""
    try:
        enter()
    except NotPermitted as reason:
        pytest.skip(str(reason))
    directory = tmp_path_factory.mktemp("gx") / "firmware"
    make_firmware(directory)
    return directory


@pytest.fixture
def gx(firmware: Path) -> Iterator[LookAlike]:
    """A GX that has booted."""
    with LookAlike(firmware) as look_alike:
        look_alike.boot()
        yield look_alike


def log(gx: LookAlike) -> str:
    """What the service has said."""
    return gx.read(LOG) if (gx / LOG).exists() else ""


class Surroundings:
    """The broker of a GX with one charger, and a backend; the settings that lead to both."""

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.broker = stack.enter_context(Mosquitto())
            self.backend = stack.enter_context(FaultyBackend())
            self.gx = stack.enter_context(StandInGx(self.broker))
            self.gx.add("solarcharger", 281, CHARGER)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
        # The installer calls `check`, which tries the backend with a measurement of no device.
        violations = [v for v in self.backend.contract_violations if "at least one" not in v]
        assert violations == []

    def config(self, **logging: object) -> str:
        """A config for them, as text."""
        return yaml.safe_dump(
            {
                "backend": {"url": self.backend.url, "api_key": self.backend.api_key},
                "mqtt": {"host": "127.0.0.1", "port": self.broker.port},
                "device": {"update_interval": 1},
                **({"logging": logging} if logging else {}),
            }
        )

    def count(self) -> int:
        return len(self.backend.received)

    def wait_for_another_post(self) -> None:
        """Returns once a measurement has come that was not there at the call."""
        self.backend.wait_for_arrivals(self.count() + 1, 30.0)


@pytest.fixture(scope="session")
def surroundings() -> Iterator[Surroundings]:
    """One broker and backend for all tests of the installer."""
    with Surroundings() as found:
        yield found
