"""Describes the machine on which it was measured."""

import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

_SYSTEM_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin"])


def machine_facts() -> dict[str, str]:
    """Returns what the numbers depend on; not whose machine it is."""
    return {
        "date": datetime.now(tz=UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": _commit(),
        "processor": _first(r"model name\s*: (.*)", "/proc/cpuinfo") or platform.machine(),
        "cores": str(os.cpu_count()),
        "memory": f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.1f} GiB",
        "system": _first(r'PRETTY_NAME="?([^"\n]*)', "/etc/os-release") or platform.system(),
        "kernel": platform.release(),
        "file system": file_system(Path(tempfile.gettempdir())),
        "mosquitto": _mosquitto(),
        "python": platform.python_version(),
        "paho-mqtt": version("paho-mqtt"),
        "requests": version("requests"),
        "PyYAML": version("PyYAML"),
        "load average at the start": f"{os.getloadavg()[0]:.2f}",
    }


def file_system(place: Path) -> str:
    """The type of the file system there; says so if it is none on a disk."""
    mounts = Path("/proc/mounts").read_text(encoding="utf-8").splitlines()
    found = [(mount[1], mount[2]) for mount in map(str.split, mounts)]
    inside = [mount for mount in found if place.resolve().is_relative_to(mount[0])]
    kind = max(inside, key=lambda mount: len(mount[0]))[1]
    if kind in ("tmpfs", "ramfs"):
        print(f"{place} is in memory: set TMPDIR to a disk", file=sys.stderr)
        return f"{kind}: no disk"
    return kind


def _commit() -> str:
    git = shutil.which("git")
    if git is None:
        return "unknown"
    found = subprocess.run(
        [git, "describe", "--always", "--dirty", "--exclude=*"],
        cwd=Path(__file__).parent,
        check=False,
        capture_output=True,
        text=True,
    )
    return found.stdout.strip() or "unknown"


def _mosquitto() -> str:
    program = shutil.which("mosquitto", path=_SYSTEM_PATH)
    if program is None:
        return "missing"
    help_text = subprocess.run([program, "-h"], check=False, capture_output=True, text=True).stdout
    found = re.search(r"version (\S+)", help_text)
    return found[1] if found else "unknown"


def _first(pattern: str, file: str) -> str | None:
    """Returns what the pattern finds first in a file that may be missing."""
    try:
        found = re.search(pattern, Path(file).read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return None
    return found[1].strip() if found else None
