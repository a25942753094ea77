"""Gives this installation its client id, and a lock so that only one process uses it.

Both belong to the directory of its outbox. Two clients with the same id would disconnect each other
for ever. So the id is random, and a second process ends before it connects.
"""

import fcntl
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from mqtt_http_bridge.adapters.directories import make_directory
from mqtt_http_bridge.adapters.small_files import read_text
from mqtt_http_bridge.core.errors import OutboxBusy

log = logging.getLogger(__name__)

_CLIENT_ID: Final = re.compile(r"[!-~]{1,200}")


@contextmanager
def only_process(directory: Path) -> Iterator[None]:
    """Holds the lock of this directory, so that no other process can do the same.

    Raises OutboxBusy if another process holds it. A disk on which nothing can be locked is
    accepted: whatever needs the disk next reports what is wrong.
    """
    descriptor = None
    try:
        with suppress(OSError):
            make_directory(directory, 0o700)
            descriptor = _open(directory)
            _lock(descriptor, directory)
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _open(directory: Path) -> int:
    """Opens a file to lock, or the directory if none can be made; NFS can only lock files."""
    try:
        return os.open(directory / "running", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:
        return os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def _lock(descriptor: int, directory: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise OutboxBusy(directory) from error


def client_id(directory: Path) -> str:
    """Returns the MQTT client id of this installation, made at its first start and kept there.

    If the disk cannot keep it, it is valid until the end of this process.
    """
    path = directory / "client-id"
    with suppress(OSError, ValueError):
        known = read_text(path).strip() if path.is_file() else ""
        if _CLIENT_ID.fullmatch(known):  # A power cut may have left NULs, or nothing.
            return known
    made = f"mqtt-http-bridge-{os.urandom(4).hex()}"
    try:
        make_directory(directory, 0o700)
        # Into a pipe that nobody reads, this must not wait.
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NONBLOCK | os.O_CLOEXEC
        with open(os.open(path, flags, 0o666), "w", encoding="ascii") as file:  # noqa: PTH123
            file.write(made + "\n")  # Not flushed to the disk: a new one would do.
    except OSError as error:
        from mqtt_http_bridge.core.disk_remedy import disk_remedy  # It is rarely needed.

        log.warning(
            "%s: cannot keep the MQTT client id there: %s: each start uses a new one: %s",
            os.fsencode(path).decode(errors="backslashreplace"),
            error.strerror,
            disk_remedy(error.errno),
        )
    return made
