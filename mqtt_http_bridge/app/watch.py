"""Watches the relay and the backend at work: keeps what is seen as values any thread may read.

Each value is made by the thread that owns what it shows, and published by one assignment: who
reads needs no lock, and cannot hold up who writes.
"""

from collections.abc import Callable
from dataclasses import replace
from types import MappingProxyType
from typing import Final, Protocol

from mqtt_http_bridge.adapters.outbox import Outbox, inspection
from mqtt_http_bridge.core.commands import Command, Store
from mqtt_http_bridge.core.delivery import Answer, Reply, Route, Verdict, judge
from mqtt_http_bridge.core.errors import LocalFault
from mqtt_http_bridge.core.events import Connected, Disconnected, Event, Moment
from mqtt_http_bridge.core.history import History
from mqtt_http_bridge.core.measurement import from_json
from mqtt_http_bridge.core.relay import Relay
from mqtt_http_bridge.core.settings import OutboxSettings, Settings
from mqtt_http_bridge.core.story import Facts, Story
from mqtt_http_bridge.core.views import BackendView, LossView, OutboxView, ParkedView, RelayView

LOOK_EVERY_S: Final = 1.0
HISTORY_SPANS: Final = 180
MOST_SERIALS: Final = 64
"""More chargers than any GX has; bounds what the view of the backend can hold."""


class WatchedRelay(Relay):
    """A relay that can be watched. `latest` may be read by any thread."""

    def __init__(
        self,
        settings: Settings,
        started: Moment,
        *,
        is_shown: bool,
        history_span_s: float = 120.0,
        facts: Callable[[RelayView], Facts] | None = None,
    ) -> None:
        """`is_shown`: somebody looks at `latest` all the time; without, it is made for `facts`."""
        super().__init__(settings)
        self.latest = RelayView(moment=started)
        self._is_shown = is_shown
        self._look_due_s = -float("inf")
        self._measurements = 0
        self._history = History(history_span_s, HISTORY_SPANS)
        self._facts = facts
        self._story = Story()
        if facts is not None:
            self._story.begin(started)

    def next_deadline_s(self) -> float:
        """As of the relay, or when the story goes on."""
        return min(super().next_deadline_s(), self._story.next_due_s)

    def handle(self, event: Event) -> list[Command]:
        """As the relay does, and looks at what became of it."""
        commands = super().handle(event)
        stored = [command.measurement for command in commands if isinstance(command, Store)]
        self._measurements += len(stored)
        if self._is_shown:
            for measurement in stored:
                self._history.add(measurement)
            is_change = bool(stored) or isinstance(event, Connected | Disconnected)
            if is_change or event.moment.monotonic_s >= self._look_due_s:
                self._look(event.moment)
        if self._facts is not None and event.moment.monotonic_s >= self._story.next_due_s:
            self._look(event.moment)
            commands += self._story.tell(event.moment, self._facts(self.latest))
        return commands

    def _look(self, now: Moment) -> None:
        self._look_due_s = now.monotonic_s + LOOK_EVERY_S
        view = self.view(now)
        serials = [c.serial for site in view.sites for c in site.chargers if c.serial]
        self._history.keep(serials)
        self.latest = replace(view, measurements=self._measurements, history=self._history.view())


class Poster(Protocol):
    """A backend."""

    def post(self, body: bytes) -> Answer:
        """Sends once; never raises for what the network does."""

    def close(self) -> None:
        """Gives up what is idle."""


class WatchedBackend:
    """A backend that can be watched. `latest` may be read by any thread; one posts."""

    def __init__(self, backend: Poster, now: Callable[[], Moment]) -> None:
        self.latest = BackendView()
        self._backend = backend
        self._now = now

    def post(self, body: bytes) -> Answer:
        """As the backend does, and notes what came of it."""
        answer = self._backend.post(body)
        measurement = from_json(body)
        verdict = judge(answer, measurement)
        serials = {device.serial for device in measurement.devices}
        self.latest = self._noted(answer, verdict, serials - verdict.owed - verdict.refused.keys())
        return answer

    def close(self) -> None:
        """As the backend does."""
        self._backend.close()

    def _noted(self, answer: Answer, verdict: Verdict, stored: set[str]) -> BackendView:
        before, now = self.latest, self._now()
        is_open = verdict.route is Route.OPEN
        result = "stored" if verdict.is_done else "partly" if is_open else "failed"
        results = {**before.results, result: before.results.get(result, 0) + 1}
        latest = {**before.stored, **dict.fromkeys(stored, now)}
        kept = sorted(latest, key=lambda serial: latest[serial].monotonic_s)[-MOST_SERIALS:]
        return BackendView(
            moment=now,
            is_taking=is_open,
            status=answer.status if isinstance(answer, Reply) else None,
            reason=verdict.reason,
            results=MappingProxyType(results),
            stored=MappingProxyType({serial: latest[serial] for serial in kept}),
        )


def look_at_outbox(outbox: Outbox, settings: OutboxSettings, interval_s: float) -> OutboxView:
    """How the outbox stands. Reads the disk: not for every event."""
    waiting = len(outbox)
    try:
        found = inspection.status(outbox.directory, settings.max_bytes, interval_s)
    except LocalFault:
        return OutboxView(waiting=waiting)
    return OutboxView(
        waiting=waiting,
        bytes=found.bytes,
        oldest=found.oldest,
        parked=tuple(ParkedView(p.serial, p.count, p.reason) for p in found.parked),
        lost=tuple(LossView(x.count, x.since, x.until, x.reason) for x in found.lost),
        damaged=found.damaged,
        hours_of_room=found.hours_of_room,
    )
