"""Decides how long to send nothing at all, nothing with one key, or only what is live.

    what came                           what waits       for how long
    ----------------------------------  ---------------  -----------------------------------------
    Retry-After, with any trouble       all              so long, at most 1 h
    429 without it                      all              full jitter that doubles from 1 s to 5 min
    time-out, broken connection, 408,   what is not      the same; the next live measurement goes
    425, 5xx but 500                    live             all the same, and shows whether it is over
    3xx, 400, 404, ...: not the API     all              1 min, then 5 min
    401, 403                            all of the key   1, 5, 15, then 60 min
    the backend judged, or failed (500) nothing          -

A 500 says that somebody is there, and may be about one device: the GX waits by itself (`gx`). Each
kind of trouble counts its own failures in a row. Of several POSTs that were under way when it
began, only one counts. A POST that was under way when the backend asked for a pause does not end
the pause.
"""

from typing import Final

from mqtt_http_bridge.core.backoff import Draw, full_jitter_s
from mqtt_http_bridge.core.delivery.verdict import Outcome, Verdict
from mqtt_http_bridge.core.delivery.waits import (
    FIRST_BACKOFF_S,
    LONGEST_ADDRESS_STEP_S,
    LONGEST_BACKOFF_S,
    LONGEST_RETRY_AFTER_S,
    slow_step_s,
)
from mqtt_http_bridge.core.events import NEVER

_FROM_THE_BACKEND: Final = (Outcome.JUDGED, Outcome.REJECTED, Outcome.FAILED, Outcome.KEY_REFUSED)
"""Such answers can only come from the backend itself, so it is up."""


class FailuresInARow:
    """Counts failures of one kind."""

    def __init__(self) -> None:
        self._outcome: Outcome | None = None
        self._counted_s = -NEVER
        self.count = 0

    def add(self, outcome: Outcome, *, began_s: float, now_s: float) -> int:
        """Counts a failure of an exchange that began at `began_s`; returns how many there are."""
        if outcome is not self._outcome:
            self._outcome, self.count = outcome, 0
        if began_s >= self._counted_s or self.count == 0:
            self.count += 1
            self._counted_s = now_s
        return self.count

    def forget(self) -> None:
        """Notes a success."""
        self.count = 0


class Holds:
    """Keeps what holds delivery up for all GX devices, or for all of one key."""

    def __init__(self, draw: Draw) -> None:
        self._draw = draw
        self._failures = FailuresInARow()
        self.all_until_s = -NEVER
        """Until then nothing is sent."""
        self.backlog_until_s = -NEVER
        """Until then nothing is sent but what is live."""
        self._keys: dict[str, tuple[FailuresInARow, float]] = {}
        """By key: its failures, and until when nothing of it is sent."""

    @property
    def is_in_trouble(self) -> bool:
        """True until the backend has answered as it should."""
        return self._failures.count > 0

    def key_until_s(self, key: str) -> float:
        """Returns until when nothing is sent with this key."""
        return self._keys[key][1] if key in self._keys else -NEVER

    @property
    def held_keys(self) -> list[str]:
        """Lists the keys that the backend has refused."""
        return list(self._keys)

    def take_in(self, verdict: Verdict, key: str, *, began_s: float, now_s: float) -> None:
        """Applies the result of a POST with this key that began at `began_s`."""
        outcome = verdict.outcome
        if outcome in (Outcome.JUDGED, Outcome.REJECTED):
            self._keys.pop(key, None)
        if outcome is Outcome.KEY_REFUSED:
            failures, _ = self._keys.get(key, (FailuresInARow(), 0.0))
            count = failures.add(outcome, began_s=began_s, now_s=now_s)
            self._keys[key] = failures, now_s + slow_step_s(count)
        if verdict.retry_after_s is not None:
            wait_s = min(verdict.retry_after_s, LONGEST_RETRY_AFTER_S)
            self.all_until_s = max(self.all_until_s, now_s + wait_s)
        if outcome in _FROM_THE_BACKEND:
            self._failures.forget()
            self.backlog_until_s = -NEVER
            return
        count = self._failures.add(outcome, began_s=began_s, now_s=now_s)
        if outcome is Outcome.MISCONFIGURED:
            wait_s = min(slow_step_s(count), LONGEST_ADDRESS_STEP_S)
            self.all_until_s = max(self.all_until_s, now_s + wait_s)
            return
        until_s = now_s + full_jitter_s(
            count, first_s=FIRST_BACKOFF_S, limit_s=LONGEST_BACKOFF_S, draw=self._draw
        )
        if outcome is Outcome.OVERLOADED:
            self.all_until_s = max(self.all_until_s, until_s)
        else:
            self.backlog_until_s = until_s

    def release_key(self, key: str) -> None:
        """Notes that the key has changed."""
        self._keys.pop(key, None)

    def release_all(self) -> None:
        """Lets everything be tried now: a person has fixed a setting."""
        self._failures.forget()
        self.all_until_s = self.backlog_until_s = -NEVER
        self._keys.clear()
