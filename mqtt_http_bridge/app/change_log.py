"""Keeps the changes in the log for the status page, even across restarts.

They are kept beside the state file: in memory if we may write there, so they survive a restart of
the service but not of the machine, and do not wear out the flash. They are written when there is
news, not at intervals.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

from mqtt_http_bridge.adapters.state_file import StateFile
from mqtt_http_bridge.app.log import OURS, RedactingHandler
from mqtt_http_bridge.core.events import Moment
from mqtt_http_bridge.core.log import Log
from mqtt_http_bridge.core.log_line import clean_line
from mqtt_http_bridge.core.redaction import Redaction
from mqtt_http_bridge.core.status.changes import Change, Changes, Tone, from_json, to_json
from mqtt_http_bridge.core.status.periodic_log import ABOUT

STARTED: Final = "the service was started"
STOPPED: Final = "the service was stopped"


class ChangeLog(RedactingHandler):
    """Collects changes. Any thread may call anything."""

    def __init__(
        self, now: Callable[[], Moment], redaction: Redaction, file: StateFile | None = None
    ) -> None:
        """Reads what the previous process left in `file`; without a file, nothing is kept."""
        super().__init__(redaction, logging.INFO)
        self._now = now
        self._file = file
        self._mutex = threading.Lock()
        known = [from_json(text) for text in file.read()] if file is not None else []
        self._changes = Changes(max(known, key=_latest, default=()))
        self._is_saved = True

    def emit(self, record: logging.LogRecord) -> None:
        """Adds a line that names its subject, and any line that calls for action."""
        line = getattr(record, "line", None)
        if isinstance(line, Log):
            self.take(line)
        elif record.levelno >= logging.WARNING:
            self._add(record.getMessage(), Tone.WARNING, str(record.msg))

    def take(self, line: Log) -> None:
        """Adds a line, unless it is a regular one."""
        tone = Tone.GOOD if line.is_end else Tone.INFO
        if line.level != "INFO":
            tone = Tone.WARNING
        if line.about != ABOUT:
            self._add(line.text, tone, line.kind)

    def note(self, text: str, kind: str = "") -> None:
        """Adds a change that is not logged."""
        self._add(text, Tone.INFO, kind)

    def _add(self, text: str, tone: Tone, kind: str) -> None:
        text = clean_line(text, self.redaction)
        change = Change(round(self._now().utc.timestamp(), 3), text, tone, kind)
        with self._mutex:
            self._changes.add(change)
            self._is_saved = False

    def view(self) -> tuple[Change, ...]:
        """Lists the last changes, oldest first."""
        with self._mutex:
            return self._changes.view()

    @contextmanager
    def listening(self, version: str) -> Iterator[None]:
        """Receives our log lines, and the start and the end, while this is open."""
        ours = logging.getLogger(OURS)
        self.note(f"{STARTED}, version {version}", STARTED)
        ours.addHandler(self)
        try:
            yield
        finally:
            ours.removeHandler(self)
            self.note(STOPPED)
            self.save()

    def save(self) -> None:
        """Writes them if there is news. The state file reports disk errors."""
        with self._mutex:
            changes, is_saved = self._changes.view(), self._is_saved
            self._is_saved = True
        if self._file is not None and not is_saved:
            with suppress(OSError):
                self._file.write(to_json(changes))


def _latest(changes: Iterable[Change]) -> float:
    return max((change.at for change in changes), default=0.0)
