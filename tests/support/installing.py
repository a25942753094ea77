"""Makes a checkout, its archive and roots to install into: use them for the installer."""

import fcntl
import io
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import pytest
import yaml

from tests.support.faulty_backend import FaultyBackend
from tests.support.gx import StandInGx
from tests.support.look_alike import LookAlike, NotPermitted, enter, make_firmware
from tests.support.mosquitto import Mosquitto
from tests.support.places import ROOT, SOURCES

HOME = "data/mqtt-http-bridge"
LOG = "var/log/mqtt-http-bridge/current"
IN_CHECKOUT = (
    *("install.sh", "service", "config.yaml.example", "docs"),
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


def make_checkout(directory: Path) -> Path:
    """A checkout, put together: the tests may run away from theirs."""
    directory.mkdir()
    for name in IN_CHECKOUT:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
        copy(ROOT / name, directory / name)
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(SOURCES, directory / "mqtt_http_bridge", ignore=ignored)
    return directory


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout of this process's own."""
    return make_checkout(tmp_path_factory.mktemp("checkout") / "checkout")


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> "Once":
    """Makes what all processes of one run of the tests share."""
    own = tmp_path_factory.getbasetemp()
    return Once(own.parent if "PYTEST_XDIST_WORKER" in os.environ else own)


class Once:
    """Makes a directory once, however many processes ask for it. It must not be altered then."""

    def __init__(self, base: Path) -> None:
        self._base = base

    def make(self, name: str, fill: Callable[[Path], object]) -> Path:
        """The directory `name`; the first who asks has `fill` make it, the others wait."""
        with (self._base / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (self._base / name).exists():
                (self._base / f"{name}.new").mkdir()
                fill(self._base / f"{name}.new")
                (self._base / f"{name}.new").rename(self._base / name)
        return self._base / name


@pytest.fixture(scope="session")
def archive(once: Once) -> Path:
    """The archive for the GX, made as a user makes it."""
    return once.make("archive", _make_archive) / "mqtt-http-bridge.tar.gz"


def _make_archive(directory: Path) -> None:
    checkout = make_checkout(directory / "checkout")
    said = install(checkout, "--bundle")
    assert said.returncode == 0, said.stdout
    (checkout / "dist/mqtt-http-bridge.tar.gz").rename(directory / "mqtt-http-bridge.tar.gz")


@pytest.fixture(scope="session")
def unpacked(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked archive: the installer in it need not make one."""
    return unpack(archive, tmp_path_factory.mktemp("unpacked"))


def install(
    checkout: Path,
    *arguments: str,
    cwd: Path | None = None,
    by: Sequence[str] = (),
    **variables: str,
) -> subprocess.CompletedProcess[str]:
    """Runs the installer on this machine, if need be by another command."""
    return subprocess.run(
        [*by, str(checkout / "install.sh"), *arguments],
        cwd=cwd or checkout,
        env={**os.environ, "PYTHON": sys.executable, **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        text=True,
        timeout=400,
    )


def must_run(command: Sequence[str], cwd: Path | None = None, **variables: str) -> None:
    """Runs a command that has to succeed."""
    said = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        text=True,
        timeout=400,
    )
    assert said.returncode == 0, said.stdout


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
def firmware(once: Once) -> Path:
    """Returns what a GX has beside its data."""
    try:
        enter()
    except NotPermitted as reason:
        pytest.skip(str(reason))
    return once.make("gx", lambda directory: make_firmware(directory / "firmware")) / "firmware"


@pytest.fixture
def gx(firmware: Path) -> Iterator[LookAlike]:
    """A GX that has booted."""
    with LookAlike(firmware) as look_alike:
        look_alike.boot()
        yield look_alike


def log(gx: LookAlike) -> str:
    """Returns what the service has said."""
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
        self.backend.wait_for_arrivals(self.count() + 1, 60.0)


@pytest.fixture(scope="session")
def surroundings() -> Iterator[Surroundings]:
    """One broker and backend for all tests of the installer."""
    with Surroundings() as found:
        yield found
