"""Delays the exit of a failed service, as some supervisors restart it a second later."""

import os
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

OPTION: Final = "--pause"


def pause(pause_s: float) -> None:
    """Ends the process `pause_s` seconds from now, or at once on SIGTERM; 0 does nothing.

    The process becomes `sleep`: that takes no memory of a small device, holds no lock, and whoever
    looks at the process sees that it waits. Returns only where there is no such program.
    """
    if not pause_s:
        return
    with suppress(OSError, ValueError, AttributeError):
        sys.stderr.write(f"trying again in {pause_s:.0f} s\n")
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
    with suppress(OSError):
        os.execvp("sleep", ["sleep", f"{pause_s:.0f}"])  # noqa: S606, S607 - it is where the system has it
    time.sleep(pause_s)


def pause_in(words: Sequence[str]) -> float:
    """The pause that a command line asks for, read without its grammar; 0 if there is none."""
    with suppress(ValueError, IndexError):
        return max(0.0, float(words[words.index(OPTION) + 1]))
    return 0.0
