"""Reports how far everything has been read, as decisions about what was said depend on it.

The mark comes after the messages that were read with it, and has the time before they were read:
anything that came by then is among them or before them. The next messages had not come by then, so
the mark also limits how old they can be. If nothing comes, nothing is reported until somebody asks.
"""

from collections.abc import Callable

from mqtt_http_bridge.core.events import AllRead, Event, Moment


class ReadMarks:
    """For the one thread that reads."""

    def __init__(self, emit: Callable[[Event], None], *, is_on: bool) -> None:
        """Reports nothing unless `is_on`."""
        self.is_on = is_on
        self._emit = emit
        self._until_s = -float("inf")
        self._told_s = -float("inf")
        self._is_owed = False

    def start_afresh(self) -> None:
        """There is a new connection."""
        self._until_s = self._told_s = -float("inf")
        self._is_owed = False

    def before_messages(self, moment: Moment) -> None:
        """Before messages are passed on: reports the limit of their age, if it is new."""
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
