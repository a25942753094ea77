"""Makes directories durable: both a new directory and its name are flushed to the disk."""

import os
from pathlib import Path


def make_directory(directory: Path, mode: int) -> None:
    """Makes a directory, and those above it, and flushes them. Raises OSError."""
    if not directory.is_dir():
        make_directory(directory.parent, 0o777)
        directory.mkdir(mode, exist_ok=True)
        flush_directory(str(directory.parent))


def flush_directory(directory: str) -> None:
    """Flushes the names in `directory`, so that they survive a power cut. Raises OSError."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
