"""Tests --local and --demo: they use the archive's packages and leave nothing behind."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.installing import install, members
from tests.support.places import ROOT

pytestmark = pytest.mark.once

LOCAL = ".venv/local"


@pytest.fixture
def copy(checkout: Path, tmp_path: Path) -> Path:
    """A checkout of its own."""
    directory = tmp_path / "checkout"
    shutil.copytree(checkout, directory, ignore=shutil.ignore_patterns("dist", ".venv"))
    return directory


def test_local_has_the_packages_of_the_archive(copy: Path, archive: Path) -> None:
    """File by file: what is locked by hash is what runs, and a second time as well."""
    for _ in range(2):
        said = install(copy, "--local")
        assert said.returncode == 0, said.stdout
    lib = copy / LOCAL / "lib"
    found = {f"lib/{p.relative_to(lib)}": p.read_bytes() for p in lib.rglob("*") if p.is_file()}
    wanted = {n: c for n, c in members(archive).items() if n.startswith("lib/")}
    assert {n: c for n, c in found.items() if "__pycache__" not in n} == wanted
    code = "import yaml, requests, paho; print(yaml.__file__, requests.__file__, paho.__file__)"
    command = copy / LOCAL / "bin/mqtt-http-bridge"
    assert subprocess.run([command, "--version"], check=False, cwd="/").returncode == 0
    python = [str(copy / LOCAL / "venv/bin/python"), "-sP", "-c", code]
    environment = {**os.environ, "PYTHONPATH": str(lib)}
    places = subprocess.run(python, env=environment, check=True, capture_output=True, text=True)
    assert all(place.startswith(str(lib)) for place in places.stdout.split())


def test_a_package_that_is_another_is_not_installed(copy: Path) -> None:
    """A hash that does not fit ends it, and what was there before stays."""
    assert install(copy, "--local").returncode == 0
    locked = copy / "service/requirements.txt"
    text = locked.read_text(encoding="utf-8")
    locked.write_text(text.replace("sha256:7", "sha256:8").replace("sha256:b", "sha256:c"))
    said = install(copy, "--local")
    assert said.returncode != 0
    assert "could not download" in said.stdout
    command = copy / LOCAL / "bin/mqtt-http-bridge"
    assert subprocess.run([command, "--version"], check=False).returncode == 0


def test_the_demo_leaves_nothing(copy: Path, tmp_path: Path) -> None:
    """Ended by SIGTERM in the middle: no temporary directory, of the installer or of the demo."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with subprocess.Popen(
        [str(copy / "install.sh"), "--demo"],
        env={**os.environ, "PYTHON": sys.executable, "TMPDIR": str(scratch)},
        stdout=subprocess.PIPE,
        text=True,
    ) as demo:
        assert demo.stdout is not None
        assert any("Status page" in line for line in demo.stdout)
        demo.terminate()
        demo.terminate()
        assert demo.wait(5.0) == 0
    assert list(scratch.iterdir()) == []


def test_the_lock_is_renewed_by_one_command() -> None:
    """It is named where it is looked for."""
    for name in ("docs/developing.md", "service/requirements.txt"):
        assert "python service/lock.py" in (ROOT / name).read_text(encoding="utf-8")
