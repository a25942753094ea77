"""Keeps the state file of a running service up to date, in the status thread."""

import os
from collections.abc import Callable
from typing import Final

from mqtt_http_bridge import __version__
from mqtt_http_bridge.adapters.clock import boot_id
from mqtt_http_bridge.adapters.state_file import StateFile, start_ticks
from mqtt_http_bridge.core.disk_remedy import disk_remedy
from mqtt_http_bridge.core.events import NEVER, Moment
from mqtt_http_bridge.core.log import Log
from mqtt_http_bridge.core.settings import Settings
from mqtt_http_bridge.core.status.backlog import Backlog
from mqtt_http_bridge.core.status.state_file import (
    LEAST_SPACING_S,
    Process,
    State,
    is_news,
    longest_gap_s,
    old_at_s,
    state_of,
)
from mqtt_http_bridge.core.status.state_json import to_json
from mqtt_http_bridge.core.status.well import SITES_A_SECOND
from mqtt_http_bridge.core.views import RelayView, StatusView

LONGEST_SPACING_S: Final = 20.0
"""A third of the time for which the file is believed."""
CALM_SPACING_S: Final = 30.0
"""The most seconds between two looks while all is well and nothing changes: each costs as much as
two batches of messages. Before the first measurement is stored, a change is to be expected."""
FAILED: Final = "the state file cannot be written: `check` and `status` cannot see this service"

WRITTEN: Final = "the state file is written again"


def this_process(settings: Settings, started: Moment) -> Process:
    """Describes the process that runs with `settings`."""
    return Process(
        version=__version__,
        pid=os.getpid(),
        boot_id=boot_id(),
        start_ticks=start_ticks(),
        started=round(started.utc.timestamp(), 3),
        config=settings.source,
        interval_s=settings.device.update_interval_s,
    )


class StateReporter:
    """Writes the state file when there is news, and about once an interval. For one thread.

    A disk error is logged once; the relay goes on.
    """

    def __init__(
        self,
        file: StateFile,
        process: Process,
        status: Callable[[Moment, RelayView], StatusView],
        save_changes: Callable[[], None] = lambda: None,
    ) -> None:
        """Writes nothing until the first event. `status` collects what is known.

        `save_changes` is called whenever there may be something to write.
        """
        self.due_s = -NEVER
        self._file = file
        self._process = process
        self._status = status
        self._save_changes = save_changes
        self._backlog = Backlog()
        self._written: State | None = None
        self._old_at_s = -NEVER
        """The time at which it is written again even without news."""
        self._is_failure_told = False

    @property
    def deadline_s(self) -> float:
        """Returns when the file would be too old if nothing happened."""
        if self._written is None:
            return self.due_s
        old_s = self._written.written_s + longest_gap_s(self._process.interval_s)
        return max(old_s, self.due_s)

    def tell(self, now: Moment, relay: RelayView) -> list[Log]:
        """Writes what has changed, if anything has."""
        status = self._status(now, relay)
        told = self._backlog.tell(status)
        self._save_changes()
        state = state_of(status, self._process)
        has_news = is_news(state, self._written)
        if has_news or now.monotonic_s >= self._old_at_s:
            told += self._write(state)
        wanted_s = max(LEAST_SPACING_S, len(relay.sites) / SITES_A_SECOND)
        self.due_s = now.monotonic_s + min(wanted_s, LONGEST_SPACING_S)
        if state.is_well and state.stored is not None and not has_news:
            calm_until_s = min(self._old_at_s, now.monotonic_s + CALM_SPACING_S)
            self.due_s = max(self.due_s, calm_until_s)
        return told

    def tell_the_end(self, now: Moment, relay: RelayView) -> None:
        """Writes the state at the very end: until then the service was running."""
        self._write(state_of(self._status(now, relay), self._process))

    def _write(self, state: State) -> list[Log]:
        # Also if writing fails: trying at each event would not help.
        self._written, self._old_at_s = state, old_at_s(state)
        try:
            self._file.write(to_json(state))
        except OSError as error:
            told, self._is_failure_told = self._is_failure_told, True
            text = f"{FAILED}: {error.strerror}: {disk_remedy(error.errno)}"
            return [] if told else [Log.warning(text, kind=FAILED, about=FAILED)]
        told, self._is_failure_told = self._is_failure_told, False
        return [Log.info(WRITTEN, about=FAILED, is_end=True)] if told else []
