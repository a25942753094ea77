"""This installation: the name that it bears at the broker, and that one process alone bears it.

Both go with the directory of its outbox. Two clients of one name throw each other off the broker
for ever: so the name is drawn at random, and who comes second ends before it has connected.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mqtt_http_bridge.adapters.directories import make_directory
from mqtt_http_bridge.core.errors import LocalFault, OutboxBusy


@contextmanager
def sole(directory: Path) -> Iterator[None]:
    """Within this no other process is within it, for this directory.

    Raises OutboxBusy if one is. A disk on which nothing can be locked is let pass: who needs it
    next tells what is wrong with it.
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
    """The MQTT client id of this installation, made at its first start and kept in `directory`.

    Raises LocalFault if it cannot be kept.
    """
    path = directory / "client-id"
    try:
        make_directory(directory, 0o700)
        if path.is_file() and (known := path.read_text(encoding="ascii").strip()):
            return known
        made = f"mqtt-http-bridge-{os.urandom(4).hex()}"
        path.write_text(made + "\n", encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise LocalFault(f"{path}: cannot keep the MQTT client id there: {error}") from error
    return made
