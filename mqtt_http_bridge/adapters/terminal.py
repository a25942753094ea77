"""Asks a person at the terminal; secrets are not shown while they are typed."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from mqtt_http_bridge.core.errors import LocalFault


def has_person() -> bool:
    """Tells whether there is a person who can be asked."""
    return sys.stdin.isatty()


def ask(question: str, *, is_secret: bool = False) -> str:
    """Returns the line that is typed, without its end. Raises LocalFault if no line comes."""
    if not is_secret:
        return _answer_to(question)
    # Switch it off before the question, so that anything typed earlier is not shown either.
    with _unseen():
        answer = _answer_to(question)
        print(file=sys.stderr, flush=True)
        return answer


def _answer_to(question: str) -> str:
    print(f"{question}: ", end="", file=sys.stderr, flush=True)
    try:
        line = sys.stdin.readline()
    except KeyboardInterrupt:
        print(file=sys.stderr, flush=True)  # What is said about it has its own line.
        raise
    if not line:
        print(file=sys.stderr, flush=True)
        raise LocalFault("expected an answer, found the end of the input")
    return line.rstrip("\r\n")


@contextmanager
def _unseen() -> Iterator[None]:
    """Switches the echo of the terminal off, and on again at the end."""
    import termios

    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)
    silent = [*before]
    silent[3] &= ~termios.ECHO
    termios.tcsetattr(terminal, termios.TCSADRAIN, silent)
    try:
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)
