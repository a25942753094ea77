"""Tests a release: its contents, that it is reproducible, and its metadata."""

import email
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path

import pytest

import mqtt_http_bridge
from tests.release.sbom import locked, purl
from tests.support.installing import Once, install, members, unpack
from tests.support.places import ROOT, TESTS

pytestmark = pytest.mark.once

VERSION = mqtt_http_bridge.__version__
WHEEL = f"mqtt_http_bridge-{VERSION}-py3-none-any.whl"
SDIST = f"mqtt_http_bridge-{VERSION}.tar.gz"
ARCHIVE, SBOM, SUMS = "mqtt-http-bridge.tar.gz", "mqtt-http-bridge.cdx.json", "SHA256SUMS"
PACKAGE = Path(mqtt_http_bridge.__file__).parent
TIMEOUT_S = 400.0


@pytest.fixture(scope="module")
def sources(checkout: Path) -> Path:
    """A checkout with what makes a release."""
    ignored = shutil.ignore_patterns("__pycache__", ".hypothesis")
    shutil.copytree(TESTS, checkout / "tests", dirs_exist_ok=True, ignore=ignored)
    shutil.copytree(ROOT / ".ci", checkout / ".ci", dirs_exist_ok=True)
    for name in ("MANIFEST.in", "CONTRIBUTING.md", "SECURITY.md", "Dockerfile", ".gitignore"):
        shutil.copyfile(ROOT / name, checkout / name)
    return checkout


@pytest.fixture(scope="module")
def release(sources: Path, once: Once) -> Path:
    """A release, made as its maker makes it."""
    return once.make("release", lambda directory: make(sources, directory))


def make(sources: Path, directory: Path, umask: int = 0o022) -> None:
    """Makes a release."""
    said = subprocess.run(
        [sys.executable, "-m", "tests.release", str(directory)],
        cwd=sources,
        umask=umask,
        capture_output=True,
        check=False,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert said.returncode == 0, said


def lock() -> str:
    return (ROOT / "service/requirements.txt").read_text(encoding="utf-8")


def test_the_same_sources_make_the_same_release(
    release: Path, sources: Path, tmp_path: Path
) -> None:
    """Byte for byte, at another time, in another place, by somebody with other habits."""
    other = tmp_path / "elsewhere"
    shutil.copytree(sources, other, ignore=shutil.ignore_patterns("dist"))
    for path in other.rglob("*.py"):
        path.chmod(0o600)
    (other / "mqtt_http_bridge/__pycache__").mkdir(exist_ok=True)
    (other / "mqtt_http_bridge/__pycache__/stray.pyc").write_bytes(b"stray")
    make(other, tmp_path / "again", umask=0o077)
    names = sorted(path.name for path in (tmp_path / "again").iterdir())
    assert names == sorted([ARCHIVE, SBOM, SDIST, WHEEL, SUMS])
    for name in names:
        assert (tmp_path / "again" / name).read_bytes() == (release / name).read_bytes(), name


def test_nothing_in_it_is_younger_than_its_day(release: Path) -> None:
    """The one time in it is the one that the sources name."""
    day = tuple(map(int, mqtt_http_bridge.RELEASED.split("-")))
    with zipfile.ZipFile(release / WHEEL) as wheel:
        assert {member.date_time[:3] for member in wheel.infolist()} == {day}
    with tarfile.open(release / SDIST) as sdist:
        assert {time.gmtime(member.mtime)[:3] for member in sdist} == {day}


def test_the_sums_are_those_of_all_of_it(release: Path) -> None:
    """Whoever fetched a file can tell that it is whole."""
    lines = (release / SUMS).read_text(encoding="ascii").splitlines()
    found = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    assert found.keys() == {ARCHIVE, SBOM, SDIST, WHEEL}
    for name, digest in found.items():
        assert hashlib.sha256((release / name).read_bytes()).hexdigest() == digest, name


def test_wheel_and_sdist_hold_the_package(release: Path) -> None:
    """Every file of it but what is compiled: also what is no module, such as the page."""
    ours = {
        str(path.relative_to(PACKAGE.parent)): path.read_bytes()
        for path in PACKAGE.rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    with zipfile.ZipFile(release / WHEEL) as wheel:
        names = [name for name in wheel.namelist() if ".dist-info/" not in name]
        assert {name: wheel.read(name) for name in names} == ours
    assert ours.items() <= members(release / SDIST).items()


def test_the_sdist_is_the_repository(release: Path, sources: Path) -> None:
    """It has every file, and the scripts in it can be run."""
    ignored = ("__pycache__", "dist", "mqtt_http_bridge.egg-info", "build")
    there = {
        str(path.relative_to(sources))
        for path in sources.rglob("*")
        if path.is_file() and not set(ignored) & set(path.relative_to(sources).parts)
    }
    made = {"PKG-INFO", "setup.cfg"}
    found = {name for name in members(release / SDIST) if ".egg-info/" not in name}
    assert found - made == there
    with tarfile.open(release / SDIST) as sdist:
        scripts = {m.name.partition("/")[2] for m in sdist if m.isfile() and m.mode & 0o111}
    assert {"install.sh", "tests/run", "service/gx/run", ".ci/run"} <= scripts
    assert not any(name.endswith((".py", ".md", ".yaml")) for name in scripts)


def test_the_sdist_passes_its_own_tests(release: Path, tmp_path: Path) -> None:
    """Unpacked anywhere: a sample that reads recordings, documents and code."""
    sample = ("core/test_recordings_golden.py", "test_layers.py", "documentation/test_reference.py")
    there = unpack(release / SDIST, tmp_path)
    said = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
            *(f"tests/{name}" for name in sample),
        ],
        cwd=there,
        env={k: v for k, v in os.environ.items() if k not in {"PYTHONPATH", "REPOSITORY"}},
        capture_output=True,
        check=False,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert said.returncode == 0, said.stdout
    assert " passed" in said.stdout


def test_the_package_says_what_it_is(release: Path) -> None:
    """An index, or `pip show`, has an author, words to find it by, and each Python it is for."""
    with zipfile.ZipFile(release / WHEEL) as wheel:
        (name,) = (name for name in wheel.namelist() if name.endswith("METADATA"))
        about = email.message_from_bytes(wheel.read(name))
    assert about["Author"] == "The mqtt-http-bridge authors"
    assert "victron" in about["Keywords"].split(",")
    classifiers = about.get_all("Classifier", [])
    assert "Programming Language :: Python :: 3.11" in classifiers
    assert "Typing :: Typed" in classifiers
    assert about["License-Expression"] == "MIT"


def test_the_archive_holds_what_the_wheel_holds(release: Path) -> None:
    """Everything that is tested as a wheel is what a GX gets."""
    with zipfile.ZipFile(release / WHEEL) as wheel:
        ours = {f"lib/{n}": wheel.read(n) for n in wheel.namelist() if ".dist-info/" not in n}
    assert ours.items() <= members(release / ARCHIVE).items()


def test_its_archive_is_that_of_the_installer(release: Path, sources: Path) -> None:
    """Whoever doubts it makes it with `--bundle` and compares."""
    made = (release / ARCHIVE).read_bytes()
    assert install(sources, "--bundle").returncode == 0
    assert (sources / "dist" / ARCHIVE).read_bytes() == made


def test_the_sbom_names_what_the_lock_file_names(release: Path) -> None:
    """Each package with its version and hash, and what it is needed by."""
    document = json.loads((release / SBOM).read_text(encoding="utf-8"))
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")
    assert re.fullmatch(r"urn:uuid:[0-9a-f-]{36}", document["serialNumber"])
    found = {
        (each["name"], each["version"], each["hashes"][0]["content"])
        for each in document["components"]
    }
    packages = locked(lock())
    assert found == {(each.name, each.version, each.sha256) for each in packages}
    assert all(each["licenses"] for each in document["components"])
    about = document["metadata"]["component"]
    assert (about["name"], about["version"]) == ("mqtt-http-bridge", VERSION)


def test_the_sbom_says_what_needs_what(release: Path) -> None:
    """From the relay all is reached, each by the package that asks for it."""
    document = json.loads((release / SBOM).read_text(encoding="utf-8"))
    needs = {each["ref"]: set(each["dependsOn"]) for each in document["dependencies"]}
    at = {each.name: purl(each.name, each.version) for each in locked(lock())}
    ours = document["metadata"]["component"]["bom-ref"]
    assert needs[ours] == {at["paho-mqtt"], at["PyYAML"], at["requests"]}
    assert needs[at["requests"]] == {
        at["certifi"],
        at["charset-normalizer"],
        at["idna"],
        at["urllib3"],
    }
    assert set().union(*needs.values()) == set(at.values())


def test_a_line_that_locks_nothing_is_refused() -> None:
    """A package without a hash is not told as one that has been looked at."""
    with pytest.raises(ValueError, match="expected NAME==VERSION"):
        locked("requests==2.34.2\n")
