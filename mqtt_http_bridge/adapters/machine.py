"""Looks at this machine: whether we can write, and whether a service runs. Changes nothing."""

import fcntl
import os
import socket
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from mqtt_http_bridge.core.settings import Settings
from mqtt_http_bridge.core.venus import topics

UNIQUE_ID: Final = Path("/data/venus/unique-id")
"""The file in which a GX keeps its portal id."""


GX_NAME: Final = "venus.local"


def write_error(directory: Path) -> str:
    """Returns why the outbox could not be kept in `directory`; empty if it could."""
    try:
        return _write_error(directory)
    except OSError as error:
        return f"it cannot be looked at: {error.strerror}"


def _write_error(directory: Path) -> str:
    if directory.is_dir():
        return "" if os.access(directory, os.W_OK | os.X_OK) else "not writable for this user"
    if directory.exists():
        return "expected a directory, found something else"
    parent = next(p for p in directory.absolute().parents if p.exists())
    if not os.access(parent, os.W_OK | os.X_OK):
        return f"it is not there, and {parent} is not writable for this user"
    return ""


def is_locked(path: Path) -> bool:
    """Tells whether a process holds the lock file at `path`."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return False
    except BlockingIOError:
        return True
    except OSError:
        return False


def is_hidden(path: Path) -> bool:
    """Tells whether this user may not look at the file at `path`."""
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
    except PermissionError:
        return True
    except OSError:
        return False
    return False


def host_names() -> list[str]:
    """Returns the names of this machine, its own and those of mDNS. Asks nobody."""
    own = socket.gethostname().lower()
    first = own.partition(".")[0]
    names = [own, first, f"{first}.local"]
    return [*names, GX_NAME] if UNIQUE_ID.exists() else names


def is_no_gx(host: str) -> bool:
    """Tells whether `host` is this machine, and this machine is no GX."""
    return _is_loopback(host) and not UNIQUE_ID.exists()


def on_its_own_gx(settings: Settings) -> Settings:
    """Returns `settings` with this machine's portal id, if it is a GX that uses its own broker.

    Other GX devices on that broker are not relayed. A list in the config is kept. A GX's own broker
    has no prefix before its topics.
    """
    mqtt = settings.mqtt
    hosts = [each.host for each in mqtt.each()]
    if mqtt.portal_ids or mqtt.topic_prefix or not all(map(_is_loopback, hosts)):
        return settings
    try:
        portal_id = UNIQUE_ID.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return settings
    if not topics.is_portal_id(portal_id):
        return settings
    return settings._replace(mqtt=mqtt._replace(portal_ids=(portal_id,)))


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
