"""Where things lie in the spool directory; for the service and for who looks in from outside.

lock              held by whoever has the outbox
running, client-id  of the installation: see adapters.installation
waiting/          measurements to be sent, one file each, the number gives the order
parked/<serial>/  device reports that a setting keeps from being stored, and `reason`
damaged/          files that are no measurements, for a person to look at
lost.json         what was given up for want of room
clock.json        how far the wall clock was set while entries waited
retry             somebody wants what is parked to be tried now
"""

import hashlib
from contextlib import suppress
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote

from mqtt_http_bridge.adapters.directories import make_directory
from mqtt_http_bridge.adapters.outbox.files import NumberedFiles, write_small

_REASON: Final = "reason"
_SERIAL: Final = "serial"
"""The whole serial, where it is too long for the name of a directory."""
_PREFIX: Final = "serial-"
_SHORTENED: Final = "#"
"""Stands in no quoted serial."""
_LONGEST_NAME: Final = 200


class Layout:
    """The paths in one spool directory."""

    def __init__(self, directory: Path) -> None:
        """Touches nothing."""
        self.directory = directory
        self.lock = directory / "lock"
        self.waiting = NumberedFiles(directory / "waiting")
        self.parked = directory / "parked"
        self.damaged = directory / "damaged"
        self.lost = directory / "lost.json"
        self.clock = directory / "clock.json"
        self.retry = directory / "retry"

    def parked_of(self, serial: str) -> NumberedFiles:
        """What is parked of the device `serial`."""
        return NumberedFiles(self.parked / _directory_name(serial))

    def parked_serials(self) -> list[str]:
        """The serials of which something is parked, in order. Raises OSError."""
        try:
            paths = [path for path in self.parked.iterdir() if path.name.startswith(_PREFIX)]
        except FileNotFoundError:
            return []
        serials = (_serial_of(path) for path in paths if _has_files(path))
        return sorted(serial for serial in serials if serial is not None)

    def reason(self, serial: str) -> str:
        """Why the device `serial` is parked, as the backend put it."""
        try:
            path = self.parked_of(serial).directory / _REASON
            return path.read_text(encoding="utf-8", errors="replace") or "unknown"
        except OSError:
            return "unknown"

    def prepare_parked(self, serial: str, reason: str) -> NumberedFiles:
        """Where to park something of the device `serial`, and why. Raises OSError."""
        files = self.parked_of(serial)
        make_directory(self.parked, 0o700)
        files.prepare()
        if _SHORTENED in files.directory.name:
            write_small(files.directory / _SERIAL, serial)
        if reason != self.reason(serial):
            write_small(files.directory / _REASON, reason)
        return files

    def prune_parked(self, serial: str) -> None:
        """Removes the directory of a device of which nothing is parked any more."""
        directory = self.parked_of(serial).directory
        with suppress(OSError):
            if not _has_files(directory):
                (directory / _REASON).unlink(missing_ok=True)
                (directory / _SERIAL).unlink(missing_ok=True)
                directory.rmdir()


def _has_files(directory: Path) -> bool:
    with suppress(FileNotFoundError, NotADirectoryError):
        return next(iter(NumberedFiles(directory)), None) is not None
    return False


def _directory_name(serial: str) -> str:
    """A name that no serial can make special, such as `..`, and that tells the serial."""
    name = _PREFIX + quote(serial, safe=" ")
    if len(name) <= _LONGEST_NAME:
        return name
    return name[:_LONGEST_NAME] + _SHORTENED + hashlib.sha256(serial.encode()).hexdigest()[:16]


def _serial_of(directory: Path) -> str | None:
    if _SHORTENED not in directory.name:
        return unquote(directory.name.removeprefix(_PREFIX))
    with suppress(OSError, UnicodeDecodeError):
        return (directory / _SERIAL).read_text(encoding="utf-8")
    return None
