"""Tests --demo and --local: on a bare machine, without a network, interrupted, run twice."""

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.installing import install, make_checkout, unpack
from tests.support.look_alike import (
    PATH,
    LookAlike,
    is_root,
    make_host,
    wait_until,
    without_network,
)
from tests.support.running import Running

pytestmark = pytest.mark.once

NO_INDEX = "http://127.0.0.1:1/simple"


def offline(checkout: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs the installer where no package index can be reached."""
    return install(checkout, *arguments, by=without_network(), PIP_INDEX_URL=NO_INDEX)


def test_interrupted_offline_and_twice(tmp_path: Path) -> None:
    """It always works the next time, without a network says so in a line, and twice needs none."""
    checkout = make_checkout(tmp_path / "mit Leerzeichen ü")
    interrupted = subprocess.Popen(
        [str(checkout / "install.sh"), "--local"],
        env={**os.environ, "PYTHON": str(stops_after_venv(tmp_path))},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    wait_until((tmp_path / "stands").exists, "half an environment")
    os.killpg(interrupted.pid, signal.SIGKILL)
    interrupted.wait()

    said = offline(checkout, "--local")
    assert said.returncode == 1
    (line,) = [line for line in said.stdout.splitlines() if line != MAKING]
    assert (
        "could not download the packages for the archive: is this machine online? pip said: "
        in line
    )

    said = install(checkout, "--local")
    assert said.returncode == 0, said.stdout
    assert (checkout / ".venv/local/bin/mqtt-http-bridge").exists()

    said = offline(checkout, "--local")
    assert (said.returncode, said.stdout) == (
        0,
        "installed: .venv/local/bin/mqtt-http-bridge\n",
    )
    plays(checkout, "./.venv/local/bin/mqtt-http-bridge")

    with (checkout / "mqtt_http_bridge/__init__.py").open("a") as source:
        source.write("# changed\n")
    said = offline(checkout, "--local")
    assert said.returncode == 1, "what has changed has to be installed anew"


def stops_after_venv(place: Path) -> Path:
    """Makes a Python that goes no further once it has made a virtual environment."""
    python = place / "python3"
    python.write_text(
        f"""#!/bin/sh
{shlex.quote(sys.executable)} "$@" || exit
case $1$2 in -mvenv)
    touch {shlex.quote(str(place / "stands"))}
    exec sleep 600
    ;;
esac
"""
    )
    python.chmod(0o755)
    return python


MAKING = "making a Python environment in .venv/local"


def plays(place: Path, command: str) -> None:
    """Runs the demo there, without a network of its own being asked for anything, and ends it.

    `command` is what a person may type then.
    """
    demo = Running(["env", "PIP_INDEX_URL=http://127.0.0.1:1/", "./install.sh", "--demo"], place)
    try:
        demo.wait_for("Status page: ")
        demo.wait_for(" kWh")
        assert demo.stop() == 0
        assert demo.said(f"    {command} setup")
    finally:
        demo.close()


def test_the_archive_plays_it_as_it_is(archive: Path, tmp_path: Path) -> None:
    """It brings all that is needed; an environment is not made in it."""
    place = unpack(archive, tmp_path)
    plays(place, "./service/mqtt-http-bridge")
    assert not (place / ".venv").exists()
    assert install(place, "--local").returncode == 2


# --- a bare Debian --------------------------------------------------------------------------------

APT_GET = """#!/bin/sh
echo "$@" >>/srv/apt-get
case $* in *install*) ;; *) exit ;; esac
cp -R /srv/ensurepip /usr/lib/python3.*/ && ln -sf /srv/python3 /usr/bin/python3
"""
"""Brings what it is asked for, as Debian's would; what it was asked for is written down."""


@pytest.fixture
def bare(firmware: Path) -> Iterator[LookAlike]:
    """A host with an apt-get and a checkout, and no venv."""
    if not is_root():
        pytest.skip("a root that looks like a host's needs root")
    with LookAlike(firmware) as host:
        make_host(host)
        (host / "usr/bin/apt-get").write_text(APT_GET, encoding="utf-8")
        (host / "usr/bin/apt-get").chmod(0o755)
        (host / "srv/ensurepip").mkdir()
        (host / "srv/ensurepip/__init__.py").touch()
        (host / "srv/python3").symlink_to((host / "usr/bin/python3").readlink())
        make_checkout(host / "srv/checkout")
        for path in (host / "srv", host / "srv/checkout"):
            path.chmod(0o755)
        yield host


@pytest.mark.parametrize("has_python", [True, False])
def test_on_a_bare_debian_root_has_it_install_what_it_needs(
    bare: LookAlike, has_python: bool
) -> None:
    """And what it installs is said before; a user is told the one command."""
    version = (bare / "usr/bin/python3").readlink().name
    wanted = f"{version}-venv" if has_python else "python3 python3-venv"
    if not has_python:
        for path in (bare / "usr/bin").glob("python3*"):
            path.rename(bare / "srv" / path.name)
        (bare / "srv/python3").unlink(missing_ok=True)
        (bare / "srv/python3").symlink_to(f"/srv/{version}")
    as_user = ["chroot", "--userspec=65534:65534", str(bare.path), "/srv/checkout/install.sh"]
    said = subprocess.run(
        [*as_user, "--demo"],
        capture_output=True,
        check=False,
        text=True,
        env={"PATH": PATH},
    )
    assert (said.returncode, said.stdout) == (1, ""), said.stderr
    assert said.stderr == (
        f"install.sh: expected Python and its venv: run: su -c 'apt-get install -y {wanted}'\n"
    )
    said = bare.run("/srv/checkout/install.sh --demo")
    assert said.stdout.startswith(f"installing {wanted}\n"), said.stdout
    asked = bare.read("srv/apt-get").splitlines()
    assert [line.partition("Lock::Timeout=300 ")[2] for line in asked] == [
        "update",
        f"install --no-install-recommends {wanted}",
    ]
