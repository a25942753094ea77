"""Looks at this machine: may we write there, and does a service run. Changes nothing."""

import fcntl
import os
from pathlib import Path


def write_error(directory: Path) -> str:
    """Why the outbox could not be kept in `directory`; empty if it could."""
    if directory.is_dir():
        return "" if os.access(directory, os.W_OK | os.X_OK) else "not writable for this user"
    if directory.exists():
        return "expected a directory, found something else"
    parent = next(p for p in directory.absolute().parents if p.exists())
    if not os.access(parent, os.W_OK | os.X_OK):
        return f"it is not there, and {parent} is not writable for this user"
    return ""


def is_locked(path: Path) -> bool:
    """Whether a process holds the lock file at `path`."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return False
    except BlockingIOError:
        return True
    except OSError:
        return False
