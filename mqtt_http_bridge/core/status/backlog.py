"""Logs that everything that had waited is delivered: the counterpart of "not delivered, kept"."""

from mqtt_http_bridge.core.events import NEVER
from mqtt_http_bridge.core.log import Log
from mqtt_http_bridge.core.status.well import limit_s
from mqtt_http_bridge.core.views import StatusView
from mqtt_http_bridge.core.words import counted


class Backlog:
    """Remembers whether something has waited for a long time. Belongs to its caller."""

    def __init__(self) -> None:
        self._most = 0
        """The most that waited at once since something began to wait for long; 0: nothing does."""

    def tell(self, status: StatusView) -> list[Log]:
        """The line that is due at a look, if any."""
        owed, now_s = status.outbox.gx.values(), status.now.monotonic_s
        since_s = min((each.since_s for each in owed), default=NEVER)
        if now_s - since_s > limit_s(status.interval_s):
            self._most = max(self._most, status.outbox.waiting)
            return []
        most, self._most = self._most, 0
        if not most:
            return []
        text = f"all that waited is delivered: {counted(most, 'measurement')} at the most"
        return [Log.info(text, kind="all is delivered", about="backlog", is_end=True)]
