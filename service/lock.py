"""Renews requirements.txt: the newest versions that pyproject.toml allows, locked by hash.

Taken are wheels that fit every machine, and where there is none, that of Linux on x86-64 with the
GX's Python: bundle.py leaves its compiled part out.

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
"""That of the GX; none of the packages needs a newer one than 3.11."""
ANYWHERE = ("--platform", "any", "--implementation", "py", "--abi", "none")
ON_X86_64 = ("--platform", "manylinux2014_x86_64", "--implementation", "cp", "--abi", "cp312")
HEAD = """\
# What is installed, everywhere and by every way, locked by hash. Renew it with
#   python service/lock.py
# Every wheel is pure Python but PyYAML's: its compiled part is left out, and PyYAML does without.
# These are for Python 3.12; bundle.py refuses an archive with a compiled file in it.
"""


def main() -> None:
    """Writes the file anew, and says what has changed."""
    before = set(_requirements(TARGET.read_text(encoding="utf-8"))) if TARGET.exists() else set()
    text = HEAD + "".join(_locked(requirement) for requirement in _resolved())
    TARGET.write_text(text, encoding="utf-8")
    after = set(_requirements(text))
    for requirement in sorted(after ^ before, key=str.lower):
        print(f"{'+' if requirement in after else '-'} {requirement}")
    print(f"wrote {TARGET}: now run ./tests/run, and commit it")


def _requirements(text: str) -> list[str]:
    """The names and versions in a file as this one is."""
    return [line.split()[0] for line in text.splitlines() if "==" in line]


def _resolved() -> list[str]:
    """Resolves what is needed, with versions."""
    project = tomllib.loads((HERE.parent / "pyproject.toml").read_text(encoding="utf-8"))
    report = _pip(
        *("install", "--dry-run", "--ignore-installed", "--report", "-", "--target", "unused"),
        *("--only-binary", ":all:", "--python-version", PYTHON),
        *project["project"]["dependencies"],
    )
    found = (each["metadata"] for each in json.loads(report)["install"])
    return sorted((f"{each['name']}=={each['version']}" for each in found), key=str.lower)


def _locked(requirement: str) -> str:
    """The line for one package."""
    with tempfile.TemporaryDirectory() as directory:
        for machine in (ANYWHERE, ON_X86_64):
            if _is_downloaded(requirement, directory, machine):
                (wheel,) = Path(directory).iterdir()
                digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
                return f"{requirement} --hash=sha256:{digest}\n"
    sys.exit(f"lock.py: {requirement}: expected a wheel, found none")


def _is_downloaded(requirement: str, directory: str, machine: tuple[str, ...]) -> bool:
    """Gets the wheel for these machines, if there is one."""
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
