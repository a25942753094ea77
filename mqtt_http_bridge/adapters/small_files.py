"""Reads files that a person has named. They are small, or they are the wrong files."""

from pathlib import Path
from typing import Final

from mqtt_http_bridge.core.errors import ConfigError

MOST_BYTES: Final = 65_536
"""A config with every key has 5,000, a password has a line."""


class TooLarge(ValueError):
    """Raised if a file has more than MOST_BYTES."""


class NoText(ValueError):
    """Raised if a file holds no text that can be read; its text says why."""


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
    """Reads a whole text file. Raises NoText.

    Windows puts a mark, the BOM, before UTF-8 text; it is no part of a key or a password.
    """
    try:
        return read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise NoText("it is not UTF-8") from error
    except (OSError, TooLarge) as error:
        raise NoText(getattr(error, "strerror", None) or str(error)) from error


def first_line(key: str, path: Path) -> str:
    """Reads the first line of the file that `key`, or an option, names. Raises ConfigError."""
    try:
        lines = read_text(path).splitlines()
    except NoText as error:
        raise ConfigError(
            f"{key}: expected the name of a file, found none to read as text at {path} ({error})"
        ) from error
    return lines[0] if lines else ""
