"""Makes a release: python -m tests.release [DIRECTORY], or ./tests/run release.

DIRECTORY is dist/ by default. What else lies there is left alone, and not in SHA256SUMS.
"""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import venv
import zipfile
from collections.abc import Sequence
from pathlib import Path

from tests.release.sbom import locked, sbom
from tests.release.sources import Version, copy_sources, version_of
from tests.release.tarball import packed_again

CHECKOUT = Path(__file__).parents[2]
ARCHIVE, SBOM, SUMS = "mqtt-http-bridge.tar.gz", "mqtt-http-bridge.cdx.json", "SHA256SUMS"
BUILD = "from setuptools import build_meta as b; import sys; getattr(b, sys.argv[1])(sys.argv[2])"
FOR_A_GX = (
    *("--platform", "manylinux2014_x86_64", "--implementation", "cp"),
    *("--python-version", "3.12", "--abi", "cp312"),
)
"""As the installer fetches them: all are plain Python, or are made so."""


def main() -> None:
    """Makes all of it aside, then puts it in place, and says what there is."""
    os.umask(0o022)
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else CHECKOUT / "dist"
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="mqtt-http-bridge-release-") as name:
        made = make(Path(name))
        (made / SUMS).write_text(sums(made), encoding="utf-8")
        for path in sorted(made.iterdir()):
            (target / path.name).write_bytes(path.read_bytes())
            print(f"{target / path.name} ({path.stat().st_size:,} bytes)")


def make(scratch: Path) -> Path:
    """Makes everything but the sums; the directory with nothing else in it."""
    made, version = scratch / "made", version_of(CHECKOUT)
    made.mkdir()
    venv.create(scratch / "venv", with_pip=True)
    python = scratch / "venv/bin/python"
    lock = CHECKOUT / "service/build-requirements.txt"
    pip(python, "install", "--no-deps", "--require-hashes", "--only-binary", ":all:", "-r", lock)
    sdist = make_sdist(python, scratch, version)
    (made / sdist.name).write_bytes(packed_again(sdist.read_bytes(), version.released_s))
    wheel = make_wheel(python, scratch, made / sdist.name, version)
    wheels = fetch_wheels(python, scratch)
    for place in (made, wheels):
        (place / wheel.name).write_bytes(wheel.read_bytes())
    script = CHECKOUT / "service/bundle.py"
    run([python, script, CHECKOUT, wheels, made / ARCHIVE])
    text = json.dumps(make_sbom(wheels, wheel, version), indent=1, ensure_ascii=False)
    (made / SBOM).write_text(text + "\n", encoding="utf-8")
    return made


def make_sdist(python: Path, scratch: Path, version: Version) -> Path:
    """Builds the sdist from a copy: what a build leaves in a checkout, the next one packs."""
    copy_sources(CHECKOUT, scratch / "source")
    return build(python, "build_sdist", scratch / "source", version)


def make_wheel(python: Path, scratch: Path, sdist: Path, version: Version) -> Path:
    """Builds the wheel from the sdist, which so turns out to have all that it needs."""
    run(["tar", "-xzf", sdist, "-C", scratch])
    return build(python, "build_wheel", scratch / sdist.name.removesuffix(".tar.gz"), version)


def build(python: Path, what: str, source: Path, version: Version) -> Path:
    """Calls one function of the build backend; the file that it made."""
    out = source.parent / what
    out.mkdir()
    run([python, "-c", BUILD, what, out], cwd=source, SOURCE_DATE_EPOCH=str(version.released_s))
    (found,) = out.iterdir()
    return found


def fetch_wheels(python: Path, scratch: Path) -> Path:
    """Fetches what the lock file names, whatever this machine is."""
    wheels, lock = scratch / "wheels", CHECKOUT / "service/requirements.txt"
    wheels.mkdir()
    pip(
        *(python, "download", "--no-deps", "--require-hashes", "--only-binary", ":all:"),
        *(*FOR_A_GX, "-d", wheels, "-r", lock),
    )
    return wheels


def make_sbom(wheels: Path, ours: Path, version: Version) -> dict[str, object]:
    """Makes the SBOM of what is in these wheels."""
    lock = locked((CHECKOUT / "service/requirements.txt").read_text(encoding="utf-8"))
    metadata = {
        "" if path.name == ours.name else hashlib.sha256(path.read_bytes()).hexdigest(): said
        for path in wheels.glob("*.whl")
        for said in [metadata_of(path)]
    }
    return sbom(version, lock, metadata)


def metadata_of(wheel: Path) -> str:
    """Returns what a wheel says of itself."""
    with zipfile.ZipFile(wheel) as members:
        (name,) = (n for n in members.namelist() if n.endswith(".dist-info/METADATA"))
        return members.read(name).decode()


def sums(directory: Path) -> str:
    """The sums of all files in there, as sha256sum -c takes them."""
    return "".join(
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
        for path in sorted(directory.iterdir())
    )


def pip(python: Path, *arguments: str | Path) -> None:
    """Calls pip."""
    run([python, "-m", "pip", "-q", "--disable-pip-version-check", *arguments])


def run(command: Sequence[str | Path], cwd: Path | None = None, **variables: str) -> None:
    """Runs a command, and shows what it prints only if it fails."""
    said = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        text=True,
    )
    if said.returncode:
        words = " ".join(map(str, command[:4]))
        sys.exit(f"{said.stdout}\nno release was made: {words} ... failed, see above")


if __name__ == "__main__":
    main()
