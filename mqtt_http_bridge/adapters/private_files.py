"""Writes files that only their owner may read: secrets, and the files beside them."""

import os
from pathlib import Path

from mqtt_http_bridge.core.errors import LocalFault


def write_private(path: Path, text: str) -> None:
    """Writes `text` to a file that only its owner may read; replaces an older file, or fails.

    Raises LocalFault.
    """
    temporary = path.with_name(f"{path.name}.new")
    try:
        temporary.unlink(missing_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        temporary.replace(path)
    except OSError as error:
        raise LocalFault(f"{path}: cannot be written: {error.strerror}") from error
