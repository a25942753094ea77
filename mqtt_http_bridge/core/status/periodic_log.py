"""Writes the regular log lines: hourly while something is wrong, otherwise daily."""

from collections.abc import Callable, Sequence
from typing import Final

from mqtt_http_bridge.core.events import Moment
from mqtt_http_bridge.core.log import Log
from mqtt_http_bridge.core.status.problem import Kind, Problem
from mqtt_http_bridge.core.status.problems import notes
from mqtt_http_bridge.core.status.well import NO_CHARGER, well
from mqtt_http_bridge.core.views import RelayView, StatusView
from mqtt_http_bridge.core.words import counted

HOUR_S: Final = 3600.0
HOURS_A_DAY: Final = 24
MOST_NAMED: Final = 3
"""The most problems to name in one line."""
MOST_CHARGERS: Final = 20
ABOUT: Final = "well"
"""The name under which these lines go; no other line does."""


class PeriodicLog:
    """Reports how things are going. For one thread."""

    def __init__(self, started: Moment, status: Callable[[Moment, RelayView], StatusView]) -> None:
        """Starts the first hour at `started`; `status` collects what is known."""
        self.due_s = started.monotonic_s + HOUR_S
        """The time at which `tell` will have something to look at, on the monotonic clock."""
        self._status = status
        self._hours = 0
        self._measurements = 0
        self._is_trouble_told = False

    @property
    def deadline_s(self) -> float:
        """Returns when the next hour is over, even if nothing happens."""
        return self.due_s

    def tell(self, now: Moment, relay: RelayView) -> list[Log]:
        """Returns the line that is due at `now`, if any."""
        if now.monotonic_s < self.due_s:
            return []
        self.due_s = max(self.due_s + HOUR_S, now.monotonic_s)
        self._hours += 1
        status = self._status(now, relay)
        found = well(status)
        known = notes(status, found)
        if not found.is_well:
            self._is_trouble_told = True
            told = _listed([*found.problems, *known])
            return [Log.warning(f"not well: {told}", kind="not well", about=ABOUT)]
        if any(note.kind is Kind.DISK for note in known):
            self._is_trouble_told = True
            told = _listed(known)
            return [Log.warning(f"all is stored, but {told}", kind="in memory", about=ABOUT)]
        if self._hours < HOURS_A_DAY and not self._is_trouble_told:
            return []
        return [self._well(status, known)]

    def _well(self, status: StatusView, known: Sequence[Problem]) -> Log:
        relay, was_trouble = status.relay, self._is_trouble_told
        made = relay.measurements - self._measurements
        self._measurements, self._hours, self._is_trouble_told = relay.measurements, 0, False
        reports = [c.report for site in relay.sites for c in site.chargers if c.report]
        named = [f"{r.name} {r.yield_total_kwh:.1f} kWh" for r in reports[:MOST_CHARGERS]]
        if len(reports) > MOST_CHARGERS:
            named.append(f"and {len(reports) - MOST_CHARGERS} more")
        done = f"{counted(made, 'measurement')} since the last such line, {_settled(status)}"
        text = f"{done}: {', '.join(named) or NO_CHARGER}"
        if known:
            return Log.warning(
                f"all is well, but look at this: {_listed(known)}; {text}",
                kind="notes",
                about=ABOUT,
                is_end=was_trouble,
            )
        text = f"all is well{' again' if was_trouble else ''}: {text}"
        return Log.info(text, kind="all is well", about=ABOUT, is_end=was_trouble)


def _settled(status: StatusView) -> str:
    waiting = status.outbox.waiting
    return f"{waiting} on their way" if waiting else "nothing is waiting"


def _listed(found: Sequence[Problem]) -> str:
    told = [f"{problem.text}: {problem.fix}" for problem in found[:MOST_NAMED]]
    if len(found) > MOST_NAMED:
        told.append(f"and {len(found) - MOST_NAMED} more: see `status`")
    return "; ".join(told)
