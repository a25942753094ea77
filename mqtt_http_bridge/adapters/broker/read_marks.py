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
        self._owed: Moment | None = None
        """The moment of the last messages, until a mark has followed them."""

    def start_afresh(self) -> None:
        """Starts a new connection."""
        self._until_s = self._told_s = -NEVER
        self._owed = None

    def before_messages(self, moment: Moment) -> None:
        """Reports the limit of the age of the messages that are passed on next, if it is new."""
        if self.is_on and self._until_s > self._told_s:
            self._tell(moment)
        self._owed = moment

    def all_read(self, until_s: float, now: Callable[[], Moment], *, is_asked: bool) -> None:
        """Notes that all up to `until_s` was read; reports it after messages, or if `is_asked`.

        A mark has the moment of the messages that were read with it, if there are any.
        """
        self._until_s, owed = until_s, self._owed
        if self.is_on and (owed is not None or is_asked):
            self._tell(owed if owed is not None and owed.monotonic_s >= until_s else now())

    def _tell(self, moment: Moment) -> None:
        self._told_s = self._until_s
        self._owed = None
        self._emit(AllRead(moment, self._until_s))
