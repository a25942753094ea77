"""Watches the relay at work: counts, keeps the history, and takes a look when somebody asks.

A look costs something for each GX, so it is only taken when needed. The thread that owns the relay
takes it and publishes it with one assignment: readers need no lock, and cannot hold up the writer.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Final, Protocol

from mqtt_http_bridge.core.commands import Command, Store
from mqtt_http_bridge.core.events import NEVER, Connected, Disconnected, Event, Moment
from mqtt_http_bridge.core.log import Log
from mqtt_http_bridge.core.measurement import Measurement
from mqtt_http_bridge.core.status.well import spacing_s
from mqtt_http_bridge.core.views import RelayView

if TYPE_CHECKING:
    from mqtt_http_bridge.core.status.history import History  # Only the page needs it.

MOST_AT_ONCE: Final = 20
"""With more GX devices than this, a measurement is no reason to look: there is always one."""


class Teller(Protocol):
    """Reports the state at intervals."""

    @property
    def due_s(self) -> float:
        """Returns the time from which it wants to look, at the next event."""

    @property
    def deadline_s(self) -> float:
        """Returns when it looks at the latest, even without an event; not earlier than `due_s`."""

    def tell(self, now: Moment, relay: RelayView) -> Iterable[Log]:
        """Looks; returns what to log."""


class RelayObserver:
    """Sees each event and its result, in the thread that owns the relay. Never waits."""

    def __init__(
        self,
        view: Callable[[Moment], RelayView],
        started: Moment,
        *,
        history: "History | None" = None,
        teller: Teller | None = None,
    ) -> None:
        """Uses `view`, which returns the state of the relay; `history` is for the page."""
        self.latest = RelayView(moment=started)
        self.history = history
        self._view = view
        self._measurements = 0
        self._has_news = False
        self._teller = teller

    def next_deadline_s(self) -> float:
        """Returns when to call `see` although nothing has happened; infinity for never."""
        return self._teller.deadline_s if self._teller is not None else NEVER

    def see(self, event: Event, commands: Sequence[Command]) -> list[Log]:
        """Looks at the result of an event; returns what to log about it."""
        for command in commands:
            if isinstance(command, Store):
                self._take_in(command.measurement)
        if isinstance(event, Connected | Disconnected):
            self._has_news = True
        if self._teller is None or event.moment.monotonic_s < self._teller.due_s:
            return []
        self.look(event.moment)
        return list(self._teller.tell(event.moment, self.latest))

    def _take_in(self, measurement: Measurement) -> None:
        self._measurements += 1
        self._has_news = True
        if self.history is not None:
            self.history.add(measurement)

    def look(self, now: Moment) -> None:
        """Makes `latest` as of `now`."""
        self._has_news = False
        self.latest = self._view(now)._replace(measurements=self._measurements)

    def is_old(self, now: Moment) -> bool:
        """Tells whether it is time for another look, given the number of GX devices."""
        sites, age_s = len(self.latest.sites), now.monotonic_s - self.latest.moment.monotonic_s
        return age_s >= spacing_s(sites) or (self._has_news and sites <= MOST_AT_ONCE)
