"""Defines the log lines of the core, apart from its commands: everything that logs needs them."""

from typing import Literal, NamedTuple


class Log(NamedTuple):
    """Write this line to the log: a change of state, reported once."""

    level: Literal["INFO", "WARNING", "ERROR"]
    text: str
    kind: str = ""
    """The kind of line; the log needs only a few of a kind. Empty: the text is the kind."""
    about: str = ""
    """The trouble it is about, if its end will be logged as well."""
    is_end: bool = False
    """True if the trouble is over."""
    crowd: str = ""
    """The same about many of a kind, such as `chargers are measured`: beyond some number, the log
    says how many there are instead of listing each.
    """

    @staticmethod
    def info(
        text: str, *, kind: str = "", about: str = "", is_end: bool = False, crowd: str = ""
    ) -> "Log":
        """Makes a line that reports a change."""
        return Log("INFO", text, kind, about, is_end, crowd)

    @staticmethod
    def warning(
        text: str, *, kind: str = "", about: str = "", is_end: bool = False, crowd: str = ""
    ) -> "Log":
        """Makes a line that somebody should see."""
        return Log("WARNING", text, kind, about, is_end, crowd)
