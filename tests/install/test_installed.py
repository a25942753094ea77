"""Tests what users run: each way of installing, and everything that it installs.

A file that the package has and an archive lacks shows here, and so does one that is there and not
found when it is asked for.
"""

import shlex
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.browser import Browser
from tests.support.installed import Installed, all_of_it_runs
from tests.support.installing import (
    HOME,
    Once,
    Surroundings,
    install,
    make_checkout,
    members,
    must_run,
)
from tests.support.look_alike import LookAlike, is_root, make_host
from tests.support.places import SOURCES
from tests.support.running import Running
from tests.support.sshd import Sshd, free_port

pytestmark = pytest.mark.once


# --- what the archives hold -----------------------------------------------------------------------


@pytest.fixture(scope="session")
def distributions(once: Once) -> Path:
    """The wheel and the sdist of a checkout, in a directory."""
    return once.make("distributions", _build)


def _build(directory: Path) -> None:
    checkout = make_checkout(directory / "checkout")
    pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]
    tools, locked = directory / "tools", checkout / "service/build-requirements.txt"
    must_run([*pip, "install", "--require-hashes", "--target", str(tools), "-r", str(locked)])
    script = "from setuptools.build_meta import build_sdist as s, build_wheel as w;"
    script += f"s({str(directory)!r}); w({str(directory)!r})"
    must_run([sys.executable, "-c", script], cwd=checkout, PYTHONPATH=str(tools))


def wheel_of(distributions: Path) -> Path:
    return next(distributions.glob("*.whl"))


def sdist_of(distributions: Path) -> Path:
    return next(distributions.glob("*.tar.gz"))


def the_package(names: Sequence[str], before: str = "") -> set[str]:
    """Those of the names that belong to the package, from its directory on."""
    start = f"{before}mqtt_http_bridge/"
    return {name.removeprefix(start) for name in names if name.startswith(start)}


def sources() -> set[str]:
    """Every file of the package that the repository has."""
    paths = (path for path in SOURCES.rglob("*") if path.is_file())
    return {str(p.relative_to(SOURCES)) for p in paths if "__pycache__" not in p.parts}


def test_every_file_of_the_package_is_in_every_archive(archive: Path, distributions: Path) -> None:
    """In the wheel, in the sdist, and in the archive for the GX; and no other is there."""
    with zipfile.ZipFile(wheel_of(distributions)) as wheel:
        assert the_package(wheel.namelist()) == sources()
    with tarfile.open(sdist_of(distributions)) as sdist:
        names = [m.name.partition("/")[2] for m in sdist if m.isfile()]
        assert the_package(names) == sources()
    assert the_package(list(members(archive)), "lib/") == sources()


def test_what_is_in_the_archive_is_what_is_in_the_wheel(archive: Path, distributions: Path) -> None:
    """Byte for byte."""
    found = members(archive)
    with zipfile.ZipFile(wheel_of(distributions)) as wheel:
        for name in wheel.namelist():
            if name.startswith("mqtt_http_bridge/"):
                assert found[f"lib/{name}"] == wheel.read(name), name


# --- what runs --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ground:
    """Holds what a way of installing may use."""

    surroundings: Surroundings
    directory: Path
    once: Once
    firmware: Callable[[], Path]
    unpacked: Callable[[], Path]
    distributions: Callable[[], Path]

    def config(self, port: int, outbox: str | None = None) -> Path:
        """A config for the surroundings, with a status page on `port`."""
        path = self.directory / "given.yaml"
        text = self.surroundings.config() + f"status: {{listen: '127.0.0.1:{port}'}}\n"
        path.write_text(text + (f"outbox: {{directory: {outbox}}}\n" if outbox else ""))
        return path


def on_gx(gx: LookAlike, port: int) -> Installed:
    return Installed(gx.command(f"/{HOME}/mqtt-http-bridge"), f"/{HOME}/config.yaml", port)


@contextmanager
def by_ssh(ground: Ground) -> Iterator[Installed]:
    """From a laptop, over ssh."""
    port = free_port()
    with LookAlike(ground.firmware()) as gx:
        gx.boot()
        ssh = Sshd(gx, ground.directory).ssh
        options = ("--config", str(ground.config(port)), "--wait", "20")
        said = install(ground.unpacked(), "root@gx", *options, SSH=ssh)
        assert said.returncode == 0, said.stdout
        yield on_gx(gx, port)


@contextmanager
def by_bundle(ground: Ground) -> Iterator[Installed]:
    """On the GX, from the unpacked archive."""
    port = free_port()
    with LookAlike(ground.firmware()) as gx:
        gx.boot()
        place = gx / "srv/archive"
        subprocess.run(["cp", "-a", ground.unpacked(), place], check=True)
        (gx / "srv/config.yaml").write_bytes(ground.config(port).read_bytes())
        said = gx.run("cd /srv/archive && ./install.sh --config /srv/config.yaml --wait 20")
        assert said.returncode == 0, said.stdout
        yield on_gx(gx, port)


@contextmanager
def by_usb(ground: Ground) -> Iterator[Installed]:
    """From a USB stick, at boot."""
    port = free_port()
    options = ("--usb", "--config", str(ground.config(port)))
    said = install(ground.unpacked(), *options, cwd=ground.directory)
    assert said.returncode == 0, said.stdout
    with LookAlike(ground.firmware()) as gx:
        gx.insert(ground.directory / "venus-data.tar.gz")
        gx.boot(is_quick=True)
        yield on_gx(gx, port)


@contextmanager
def on_a_host(ground: Ground) -> Iterator[Installed]:
    """On a Linux host; systemd does not run in here, so its command line is started as it would."""
    if not is_root():
        pytest.skip("adding a system user needs root")
    port, state = free_port(), "/var/lib/mqtt-http-bridge"
    with LookAlike(ground.firmware()) as host, ExitStack() as stack:
        make_host(host)
        subprocess.run(["cp", "-a", ground.unpacked(), host / "srv/archive"], check=True)
        config = ground.config(port, f"{state}/outbox")
        (host / "srv/config.yaml").write_bytes(config.read_bytes())
        said = host.run("cd /srv/archive && ./install.sh --config /srv/config.yaml")
        assert said.returncode == 0, said.stdout
        host.run(f"mkdir -p {state} && chown mqtt-http-bridge:mqtt-http-bridge {state}", check=True)
        unit = host.read("etc/systemd/system/mqtt-http-bridge.service")
        start = next(line for line in unit.splitlines() if line.startswith("ExecStart="))
        ids = (host / state[1:]).stat()
        command = ["chroot", f"--userspec={ids.st_uid}:{ids.st_gid}", str(host.path)]
        service = Running([*command, *shlex.split(start.partition("=")[2])], ground.directory)
        stack.callback(service.close)
        yield Installed(
            host.command("/usr/local/bin/mqtt-http-bridge"),
            "/etc/mqtt-http-bridge/config.yaml",
            port,
        )


@contextmanager
def by_pip(ground: Ground, what: Path) -> Iterator[Installed]:
    """Into a virtual environment of its own, as pip and pipx do."""
    port, place = free_port(), ground.directory / "venv"
    must_run([sys.executable, "-m", "venv", str(place)])
    pip = [str(place / "bin/pip"), "-q", "--disable-pip-version-check"]
    must_run([*pip, "install", str(what)])
    command, config = str(place / "bin/mqtt-http-bridge"), str(ground.config(port))
    service = Running([command, "run", "-c", config], ground.directory)
    try:
        yield Installed([command], config, port)
    finally:
        service.close()


@contextmanager
def by_wheel(ground: Ground) -> Iterator[Installed]:
    with by_pip(ground, wheel_of(ground.distributions())) as installed:
        yield installed


@contextmanager
def by_sdist(ground: Ground) -> Iterator[Installed]:
    with by_pip(ground, sdist_of(ground.distributions())) as installed:
        yield installed


WAYS = (by_ssh, by_bundle, by_usb, on_a_host, by_wheel, by_sdist)


@pytest.fixture
def ground(
    request: pytest.FixtureRequest, surroundings: Surroundings, once: Once, tmp_path: Path
) -> Ground:
    """Gives what there is to install from and to; each is made when it is asked for."""
    return Ground(
        surroundings,
        tmp_path,
        once,
        *(
            lambda name=name: request.getfixturevalue(name)
            for name in ("firmware", "unpacked", "distributions")
        ),
    )


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_all_of_it_runs(
    way: Callable[[Ground], AbstractContextManager[Installed]], ground: Ground, browser: Browser
) -> None:
    """The service delivers and shows its page; check, outbox status, --version and demo work."""
    with way(ground) as installed:
        ground.surroundings.wait_for_another_post()
        all_of_it_runs(installed, browser, ground.directory)
