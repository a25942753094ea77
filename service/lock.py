"""Renews requirements.txt: the newest versions that pyproject.toml allows, locked by hash.

It takes the wheel for every kind of machine, or, if there is none, the one for Linux on x86-64 and
the GX's Python: bundle.py leaves out its compiled part.

usage: python service/lock.py
"""

import hashlib
import json
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent
TARGET = HERE / "requirements.txt"
PYTHON = "3.12"
"""The GX's version of Python; all the packages also run on 3.11."""
ANYWHERE = ("--platform", "any", "--implementation", "py", "--abi", "none")
ON_X86_64 = ("--platform", "manylinux2014_x86_64", "--implementation", "cp", "--abi", "cp312")
HEAD = """\
# The packages that install.sh and the image install, locked by hash. Update them with
#   python service/lock.py
# All wheels are pure Python except PyYAML's: its compiled part is left out, and it works without.
# The wheels are for Python 3.12; bundle.py refuses to put a compiled file into the archive.
"""


def main() -> None:
    """Writes the file again, and says what has changed."""
    before = set(_requirements(TARGET.read_text(encoding="utf-8"))) if TARGET.exists() else set()
    text = HEAD + "".join(_locked(requirement) for requirement in _resolved())
    TARGET.write_text(text, encoding="utf-8")
    after = set(_requirements(text))
    for requirement in sorted(after ^ before, key=str.lower):
        print(f"{'+' if requirement in after else '-'} {requirement}")
    print(f"wrote {TARGET}: now run ./tests/run, and commit it")


def _requirements(text: str) -> list[str]:
    """Finds the names and versions in the text of a requirements file."""
    return [line.split()[0] for line in text.splitlines() if "==" in line]


def _resolved() -> list[str]:
    """Resolves the dependencies to names and versions."""
    project = tomllib.loads((HERE.parent / "pyproject.toml").read_text(encoding="utf-8"))
    report = _pip(
        *("install", "--dry-run", "--ignore-installed", "--report", "-", "--target", "unused"),
        *("--only-binary", ":all:", "--python-version", PYTHON),
        *project["project"]["dependencies"],
    )
    found = (each["metadata"] for each in json.loads(report)["install"])
    return sorted((f"{each['name']}=={each['version']}" for each in found), key=str.lower)


def _locked(requirement: str) -> str:
    """Returns the line for one package."""
    with tempfile.TemporaryDirectory() as directory:
        for machine in (ANYWHERE, ON_X86_64):
            if _is_downloaded(requirement, directory, machine):
                (wheel,) = Path(directory).iterdir()
                digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
                return f"{requirement} --hash=sha256:{digest}\n"
    sys.exit(f"lock.py: {requirement}: expected a wheel, found none")


def _is_downloaded(requirement: str, directory: str, machine: tuple[str, ...]) -> bool:
    """Downloads the wheel for these machines; returns False if there is none."""
    options = ("--no-deps", "--only-binary", ":all:", "--python-version", PYTHON, "-d", directory)
    try:
        _pip("download", *options, *machine, requirement)
    except subprocess.CalledProcessError as error:
        if "No matching distribution" in error.stderr:
            return False
        sys.exit(f"lock.py: {requirement}: could not be fetched: {error.stderr.strip()}")
    return True


def _pip(*arguments: str) -> str:
    command = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    main()
