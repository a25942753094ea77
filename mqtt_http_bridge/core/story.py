"""The lines of the log that come by the clock: hourly while something is owed, else daily."""

from dataclasses import dataclass
from typing import Final

from mqtt_http_bridge.core.commands import Log
from mqtt_http_bridge.core.delivery import remedy
from mqtt_http_bridge.core.events import Moment
from mqtt_http_bridge.core.views import BackendView, OutboxView, RelayView

HOUR_S: Final = 3600.0
HOURS_A_DAY: Final = 24
MOST_NAMED: Final = 3
"""How many parked devices one line names."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the story is told from."""

    relay: RelayView
    backend: BackendView
    outbox: OutboxView


class Story:
    """Tells how it goes. Owned by the thread that owns the relay."""

    def __init__(self) -> None:
        """The first hour begins with the first `begin`."""
        self._due_s = float("inf")
        self._hours = 0
        self._measurements = 0

    @property
    def next_due_s(self) -> float:
        """When `tell` will have something to look at, on the monotonic clock."""
        return self._due_s

    def begin(self, now: Moment) -> None:
        """The service has started; of no effect but the first time."""
        if self._due_s == float("inf"):
            self._due_s = now.monotonic_s + HOUR_S

    def tell(self, now: Moment, facts: Facts) -> list[Log]:
        """The line that is due at `now`, if any."""
        if now.monotonic_s < self._due_s:
            return []
        self._due_s = max(self._due_s + HOUR_S, now.monotonic_s)
        self._hours += 1
        if owed := _owed(facts):
            return [Log.warning(f"still owed: {'; '.join(owed)}")]
        return [self._fine(facts)] if self._hours >= HOURS_A_DAY else []

    def _fine(self, facts: Facts) -> Log:
        made = facts.relay.measurements - self._measurements
        self._measurements, self._hours = facts.relay.measurements, 0
        reports = [c.report for site in facts.relay.sites for c in site.chargers if c.report]
        names = ", ".join(f"{r.name} {r.yield_total_kwh:.1f} kWh" for r in reports)
        done = f"{made} measurements made since the last such line, none is owed"
        return Log.info(f"all is well: {done}: {names or 'no charger to report'}")


def _owed(facts: Facts) -> list[str]:
    """What is owed and what to do about it; nothing if all goes well."""
    lines = []
    backend, outbox = facts.backend, facts.outbox
    if outbox.waiting and not backend.is_taking:
        why = backend.reason or "the backend has not answered yet"
        lines.append(f"{outbox.waiting} measurements wait: {why}: see `check`")
    for parked in outbox.parked[:MOST_NAMED]:
        todo = f"{remedy(parked.reason)}, then `outbox retry`"
        lines.append(f"{parked.count} reports of {parked.serial}: {parked.reason}: {todo}")
    if len(outbox.parked) > MOST_NAMED:
        lines.append(f"and those of {len(outbox.parked) - MOST_NAMED} more: see `outbox status`")
    return lines
