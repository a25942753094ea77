"""Reads files that a person has named. They are small, or they are the wrong files."""

from pathlib import Path
from typing import Final

from mqtt_http_bridge.core.errors import ConfigError

MOST_BYTES: Final = 65_536
"""A config with every key has 5,000, a password has a line."""


class TooLarge(ValueError):
    """Raised if a file has more than MOST_BYTES."""


def read_bytes(path: Path) -> bytes:
    """Reads a whole file. Raises OSError, and TooLarge before it takes up memory."""
    with path.open("rb") as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise TooLarge(f"more than {MOST_BYTES} bytes")
    return content


def is_there(path: Path) -> bool:
    """Tells whether anything is at `path`; false if that cannot be told, or the name cannot be."""
    try:
        return path.exists()
    except OSError:
        return False


def read_text(path: Path) -> str:
    """Reads a whole text file. Raises OSError, TooLarge and UnicodeDecodeError.

    Windows puts a mark, the BOM, before UTF-8 text; it is no part of a key or a password.
    """
    return read_bytes(path).decode("utf-8-sig")


def first_line(key: str, path: Path) -> str:
    """Reads the first line of the file that the config names under `key`. Raises ConfigError."""
    try:
        lines = read_text(path).splitlines()
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{key}: expected the name of a file, found none to read as text at {path}"
        ) from error
    return lines[0] if lines else ""
