"""Makes stdin, stdout and stderr usable, whatever a shell or a supervisor has done to them."""

import os
import select
import sys
from contextlib import suppress
from io import TextIOWrapper
from typing import Final

from mqtt_http_bridge.core.words import visible

SAY_S: Final = 1.0
"""Seconds that a line on stderr may wait for a reader."""


def make_usable() -> None:
    """Opens closed streams on /dev/null; makes the others escape what they cannot encode.

    If a descriptor stayed closed, the next file opened would get it, and printed text would go
    into that file.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # It gets the lowest free descriptor: this one.
    for descriptor, name in ((0, "stdin"), (1, "stdout"), (2, "stderr")):
        stream = getattr(sys, name)
        if stream is None:
            mode = "r" if descriptor == 0 else "w"
            setattr(sys, name, open(descriptor, mode, encoding="utf-8", closefd=False))  # noqa: SIM115
        elif isinstance(stream, TextIOWrapper) and descriptor:
            stream.reconfigure(errors="backslashreplace")


def say(line: str) -> None:
    """Writes a line to stderr, if somebody reads it within SAY_S. Raises nothing.

    Devices, servers and files have a say in some lines: nothing in them speaks to the terminal.
    """
    stream = sys.stderr
    with suppress(OSError, ValueError):
        poll = select.poll()
        with suppress(OSError, AttributeError):  # A stream of a test has no descriptor.
            poll.register(stream.fileno(), select.POLLOUT)
            if not poll.poll(SAY_S * 1000.0):
                return
        print(visible(line), file=stream, flush=True)


def give_up_output() -> None:
    """Keeps the interpreter from flushing at exit to where nothing can be written."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            with suppress(OSError, ValueError, AttributeError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
