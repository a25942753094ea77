"""Tests the archive for the GX: its contents, and that it is reproducible."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.installing import install, members, unpack
from tests.support.look_alike import LookAlike
from tests.support.places import ROOT

pytestmark = pytest.mark.once

COMPILED = (b"\x7fELF", b"MZ\x90", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe")
PROJECTS = (
    *("certifi", "charset_normalizer", "idna", "mqtt_http_bridge"),
    *("paho_mqtt", "pyyaml", "requests", "urllib3"),
)


def test_it_is_small_and_has_no_compiled_file(archive: Path) -> None:
    """One archive fits every GX, whatever its processor."""
    assert archive.stat().st_size < 3_000_000
    for name, content in members(archive).items():
        assert not content.startswith(COMPILED), name
        assert not name.endswith((".so", ".pyd", ".pyc", ".dll", ".dylib")), name
        assert "__pycache__" not in name


def test_the_licence_of_everything_in_it_is_in_it(archive: Path) -> None:
    """Every project that has code in lib/ has its licence in licenses/."""
    names = list(members(archive))
    for project in PROJECTS:
        assert any(name.startswith(f"licenses/{project}") for name in names), project
    packages = {name.split("/")[1] for name in names if name.startswith("lib/")}
    assert packages == {
        *("certifi", "charset_normalizer", "idna", "mqtt_http_bridge"),
        *("paho", "requests", "urllib3", "yaml"),
    }


def test_it_brings_one_version_of_each_package() -> None:
    """The paho that reads on a GX is known beforehand, whatever its makers publish."""
    text = (ROOT / "service/requirements.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    pinned = re.compile(r"[\w-]+==[\d.]+ --hash=sha256:[0-9a-f]{64}")
    assert [line for line in lines if not pinned.fullmatch(line)] == []
    assert [line.partition("==")[0] for line in lines].count("paho-mqtt") == 1


def test_it_holds_no_config_and_nothing_of_this_machine(archive: Path, checkout: Path) -> None:
    """A key or a path that a maker left lying about is not handed on."""
    found = members(archive)
    assert not [name for name in found if "config.yaml" in name and "example" not in name]
    assert not [name for name, content in found.items() if str(checkout).encode() in content]


def test_the_same_sources_make_the_same_archive(archive: Path, checkout: Path) -> None:
    """Byte for byte: who doubts an archive makes it again and compares."""
    before = archive.read_bytes()
    for path in checkout.rglob("*.py"):
        path.touch()
    assert install(checkout, "--bundle").returncode == 0
    assert archive.read_bytes() == before


def test_a_wheel_with_another_hash_is_refused(
    archive: Path, checkout: Path, tmp_path: Path
) -> None:
    """Somebody who takes over a package index cannot get code onto a GX."""
    requirements = checkout / "service/requirements.txt"
    text = requirements.read_text(encoding="utf-8")
    before = archive.read_bytes()
    try:
        requirements.write_text(text.replace("sha256:7", "sha256:8", 1), encoding="utf-8")
        said = install(checkout, "--bundle")
    finally:
        requirements.write_text(text, encoding="utf-8")
    assert said.returncode == 1
    assert "could not download the packages for the archive" in said.stdout
    assert archive.read_bytes() == before


def test_a_compiled_file_is_refused(checkout: Path, tmp_path: Path) -> None:
    """A dependency that grows a compiled part is noticed here, not on the GX."""
    (tmp_path / "wheels").mkdir()
    stray = checkout / "service/stray.so"
    stray.write_bytes(b"\x7fELF")
    script = str(checkout / "service/bundle.py")
    command = [sys.executable, script, str(checkout), str(tmp_path / "wheels"), str(tmp_path / "a")]
    try:
        said = subprocess.run(command, capture_output=True, check=False, text=True)
    finally:
        stray.unlink()
    assert "service/stray.so: expected plain Python, found a compiled file" in said.stderr
    assert not (tmp_path / "a").exists()


def test_every_module_runs_on_what_a_gx_has(archive: Path, gx: LookAlike) -> None:
    """Without the parts of Python that a GX may lack, and without a network."""
    unpacked = unpack(archive, gx / "data")
    imports = (
        "import sys, pkgutil, importlib, mqtt_http_bridge as package;"
        "names = [m.name for m in pkgutil.walk_packages(package.__path__, package.__name__ + '.')];"
        "[importlib.import_module(name) for name in names if not name.endswith('__main__')];"
        "import yaml; assert not yaml.__with_libyaml__;"
        "print(len(names), set(sys.modules) & {'sqlite3', 'zoneinfo', 'statistics', 'syslog'})"
    )
    said = gx.run(f'PYTHONPATH=/data/{unpacked.name}/lib python3 -sP -c "{imports}"')
    assert said.returncode == 0, said.stdout
    assert said.stdout.endswith("set()\n")
    assert int(said.stdout.split()[0]) > 30


@pytest.mark.parametrize("part", ["sqlite3", "zoneinfo", "statistics", "resource", "syslog", "pip"])
def test_the_look_alike_lacks_what_a_gx_may_lack(gx: LookAlike, part: str) -> None:
    """Or the test above would prove nothing."""
    assert "ModuleNotFoundError" in gx.run(f"python3 -c 'import {part}'").stdout
