"""Copies the sources of a release, without traces of where and by whom it is made."""

import re
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

SOURCES = (
    *("mqtt_http_bridge", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE", "Dockerfile"),
    *("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "docs", "config.yaml.example"),
    *("install.sh", "service", "tests", ".ci", ".gitignore"),
)
"""All of the repository; MANIFEST.in has it in the sdist."""
NOT_SOURCES = shutil.ignore_patterns("__pycache__", "*.pyc", "*.egg-info")


@dataclass(frozen=True, slots=True)
class Version:
    """A version, and its day as the sources name it."""

    name: str
    released: datetime

    @property
    def released_s(self) -> int:
        """The beginning of its day, in Unix seconds: the one time that is in what is made."""
        return int(self.released.timestamp())


def version_of(checkout: Path) -> Version:
    """Reads the version from the sources. Raises ValueError."""
    path = checkout / "mqtt_http_bridge/__init__.py"
    text = path.read_text(encoding="utf-8")
    found = [
        re.search(rf'^{n} = "([^"]+)"', text, re.MULTILINE) for n in ("__version__", "RELEASED")
    ]
    if found[0] is None or found[1] is None:
        raise ValueError(f"{path}: expected __version__ and RELEASED, found not both")
    return Version(found[0][1], datetime.fromisoformat(found[1][1]).replace(tzinfo=UTC))


def copy_sources(checkout: Path, directory: Path) -> None:
    """Copies the repository, with the same modes wherever it is done: scripts may be run."""
    directory.mkdir()
    for name in SOURCES:
        if (checkout / name).is_dir():
            shutil.copytree(checkout / name, directory / name, ignore=NOT_SOURCES)
        else:
            shutil.copyfile(checkout / name, directory / name)
    directory.chmod(0o755)
    for path in directory.rglob("*"):
        path.chmod(0o755 if path.is_dir() or is_script(path.read_bytes()) else 0o644)


def is_script(content: bytes) -> bool:
    """Tells a program, which everybody may run, from a file that is only read."""
    return content.startswith(b"#!")
