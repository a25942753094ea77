"""Reports up to when everything has been read, as decisions about silence depend on that.

The mark comes after the messages that were read with it, and has the time before the read: every
message that had arrived by then is among them or before them. Later messages had not arrived by
then, so the mark also limits how old they can be. If nothing arrives, nothing is reported until
somebody asks.
"""

from collections.abc import Callable

from mqtt_http_bridge.core.events import NEVER, AllRead, Event, Moment


class ReadMarks:
    """Reports marks for the one thread that reads."""

    def __init__(self, emit: Callable[[Event], None], *, is_on: bool) -> None:
        """Reports nothing unless `is_on`."""
        self.is_on = is_on
        self._emit = emit
        self._until_s = -NEVER
        self._told_s = -NEVER
        self._is_owed = False

    def start_afresh(self) -> None:
        """Starts a new connection."""
        self._until_s = self._told_s = -NEVER
        self._is_owed = False

    def before_messages(self, moment: Moment) -> None:
        """Reports the limit of the age of the messages that are passed on next, if it is new."""
        if self.is_on and self._until_s > self._told_s:
            self._tell(moment)
        self._is_owed = True

    def all_read(self, until_s: float, now: Callable[[], Moment], *, is_asked: bool) -> None:
        """Notes that all up to `until_s` was read; reports it after messages, or if `is_asked`."""
        self._until_s = until_s
        if self.is_on and (self._is_owed or is_asked):
            self._tell(now())

    def _tell(self, moment: Moment) -> None:
        self._told_s = self._until_s
        self._is_owed = False
        self._emit(AllRead(moment, self._until_s))
