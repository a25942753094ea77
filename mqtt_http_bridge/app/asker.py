"""Asks the thread that owns the relay for its state, for the status page."""

import threading
from collections.abc import Callable
from typing import Final

from mqtt_http_bridge.app.inbox import Call, Inbox
from mqtt_http_bridge.app.relay_observer import RelayObserver
from mqtt_http_bridge.core.events import Moment
from mqtt_http_bridge.core.status.history import SHORTEST_SPAN_S, History, HistoryView
from mqtt_http_bridge.core.views import RelayView

PATIENCE_S: Final = 2.0
"""Seconds to wait for a look. The thread that owns the relay may be held up."""
NOTHING: Final = History(SHORTEST_SPAN_S)


class Asker:
    """Asks the thread that owns the relay for its state. Any other thread may call it.

    If that thread does not answer in time, it returns what was known before, with its moment.
    """

    def __init__(self, observer: RelayObserver, inbox: Inbox, now: Callable[[], Moment]) -> None:
        self._observer = observer
        self._inbox = inbox
        self._now = now
        self._histories: dict[bool, HistoryView] = {}

    def relay(self) -> RelayView:
        """Returns the state of the relay."""
        if self._observer.is_old(self._now()):
            self._ask(lambda: self._observer.look(self._now()))
        return self._observer.latest

    def history(self, *, is_recent: bool) -> HistoryView:
        """Returns the last day of each charger, or only what is new in it if `is_recent`."""
        kept = self._observer.history or NOTHING

        def look() -> None:
            self._histories[is_recent] = kept.view(is_recent=is_recent)

        self._ask(look)
        return self._histories.get(is_recent) or NOTHING.view()

    def _ask(self, look: Callable[[], None]) -> None:
        is_done = threading.Event()

        def do() -> None:
            look()
            is_done.set()

        self._inbox.put(Call(do))
        is_done.wait(PATIENCE_S)
