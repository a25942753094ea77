"""Has signals end a verb as Ctrl+C does."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def interrupting(*numbers: signal.Signals) -> Iterator[None]:
    """Raises KeyboardInterrupt at the first of these signals, while this is open.

    The others are ignored from then on: they would interrupt the clean-up, and a shell sends SIGHUP
    twice. A signal that is ignored, as SIGHUP is under `nohup`, stays so. For the main thread.
    """

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        for number in before:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    handlers = {number: signal.getsignal(number) for number in numbers}
    before = {n: handler for n, handler in handlers.items() if handler != signal.SIG_IGN}
    for number in before:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
