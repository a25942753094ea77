"""Makes texts from outside fit for a line of the log; this is the only place that does.

Names, serials, HTTP reasons and answers come from a GX, a backend or something in between. None of
them may start a new line, colour a terminal, fill the log or repeat a secret.
"""

from typing import Final

from mqtt_http_bridge.core.redaction import Redaction
from mqtt_http_bridge.core.words import visible

MOST_CHARACTERS: Final = 1000
MOST_LINES: Final = 100
"""The most lines of a traceback to keep: the last ones, where the error is."""
_READ: Final = 4 * MOST_CHARACTERS
"""Characters to look at: longer texts are cut before they cost time."""


def clean_line(text: str, redaction: Redaction, most: int = MOST_CHARACTERS) -> str:
    """The text as one printable line of `most` characters at most, without a secret."""
    read = _READ + redaction.longest
    line = redaction.without_secrets(text[:read])
    is_cut = len(text) > read
    if is_cut:
        # There may be half a secret at its end.
        line = line[: max(0, len(line) - redaction.longest)]
    line = visible(line)
    if len(line) <= most and not is_cut:
        return line
    mark = f" ... ({len(text)} characters)"
    return line[: most - len(mark)] + mark


def log_lines(head: str, message: str, traceback: str, redaction: Redaction) -> list[str]:
    """The lines of one record: the message after `head`, and each of its traceback, indented.

    So no line of a traceback passes for one of the log.
    """
    lines = traceback.split("\n")[-MOST_LINES:] if traceback else []
    most = MOST_CHARACTERS - len(_INDENT)
    return [
        clean_line(head + message, redaction),
        *(_INDENT + clean_line(line, redaction, most) for line in lines),
    ]


_INDENT: Final = "  "
