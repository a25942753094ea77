"""stdin, stdout and stderr, whatever a shell, a supervisor or a terminal has made of them."""

import os
import select
import sys
from contextlib import suppress
from io import TextIOWrapper
from typing import Final

SAY_S: Final = 1.0
"""Seconds that a line on stderr may wait for a reader."""


def make_usable() -> None:
    """Opens those that are closed, on nothing, and lets the others show what they cannot encode.

    A descriptor left closed would be given to the next file opened, and what is printed would end
    up in there.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # The lowest that is free: this one.
    for descriptor, name in ((0, "stdin"), (1, "stdout"), (2, "stderr")):
        stream = getattr(sys, name)
        if stream is None:
            mode = "r" if descriptor == 0 else "w"
            setattr(sys, name, open(descriptor, mode, encoding="utf-8", closefd=False))  # noqa: SIM115
        elif isinstance(stream, TextIOWrapper) and descriptor:
            stream.reconfigure(errors="backslashreplace")


def say(line: str) -> None:
    """Writes a line to stderr, if somebody reads it within SAY_S. Raises nothing."""
    stream = sys.stderr
    with suppress(OSError, ValueError):
        poll = select.poll()
        with suppress(OSError, AttributeError):  # A stream of a test has no descriptor.
            poll.register(stream.fileno(), select.POLLOUT)
            if not poll.poll(SAY_S * 1000.0):
                return
        print(line, file=stream, flush=True)


def give_up_output() -> None:
    """Keeps the interpreter, as it ends, from flushing to where nothing can be written."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            with suppress(OSError, ValueError, AttributeError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
