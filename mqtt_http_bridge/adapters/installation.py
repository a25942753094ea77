"""This installation: its name at the broker, and a lock so that only one process uses that name.

Both go with the directory of its outbox. Two clients with one name would throw each other off the
broker for ever: so the name is random, and a second process ends before it connects.
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
    """Within this, no other process can enter it for this directory.

    Raises OutboxBusy if one is. A disk on which nothing can be locked is accepted: whatever needs
    it next reports what is wrong.
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
    """A file to lock, or the directory itself where none can be made; NFS locks files alone."""
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

    On a disk that does not keep it, it is good until the end of this process.
    """
    path = directory / "client-id"
    with suppress(OSError, ValueError):
        known = read_text(path).strip() if path.is_file() else ""
        if _CLIENT_ID.fullmatch(known):  # A power cut may have left NULs, or nothing.
            return known
    made = f"mqtt-http-bridge-{os.urandom(4).hex()}"
    try:
        make_directory(directory, 0o700)
        path.write_text(made + "\n", encoding="ascii")  # Not flushed: it can be drawn anew.
    except OSError as error:
        from mqtt_http_bridge.core.disk_remedy import disk_remedy  # It is hardly ever wanted.

        log.warning(
            "%s: cannot keep the MQTT client id there: %s: each start uses a new one: %s",
            os.fsencode(path).decode(errors="backslashreplace"),
            error.strerror,
            disk_remedy(error.errno),
        )
    return made
