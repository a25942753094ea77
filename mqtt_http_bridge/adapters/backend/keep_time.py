"""Decides how long an idle connection may be reused.

A server says how long it keeps one, or closes it, which is noticed before anything is written. A
router on the way (NAT, mobile networks) forgets it silently: what is sent then is lost, and no
answer comes. So after a silence longer than any survived before, the wait for the first answer is
short; and if a reused connection breaks and a new one works at once, only shorter silences are
trusted for a day: such a link costs one late POST a day, not one each interval.

    what came                                  what follows
    -----------------------------------------  ----------------------------------------------------
    `Keep-Alive: timeout=N`                    used again for N - 2 s
    an answer after a silence                  a silence so long is proven: all the time to answer
    it broke after a silence, then a new one   used again for half the silence, for a day
    answered
    it broke after a silence, then a new one   nothing: the backend or the whole link was down
    failed as well
"""

from collections.abc import Callable
from typing import Final

from mqtt_http_bridge.core.events import NEVER

SAFE_S: Final = 3.0
"""A silence that everything on the way survives: servers close after 5 s or more."""
MARGIN_S: Final = 2.0
"""A request this long before the server closes the connection is safe."""
UNPROVEN_S: Final = 10.0
"""After a silence never survived before, an answer may take this many seconds longer than the
last."""
PROVEN_FACTOR: Final = 1.2
"""Intervals vary slightly: a silence that is a fifth longer counts as the same."""
A_DAY_S: Final = 86_400.0


class KeepTime:
    """Knows the silences of one link. Several threads use it; values are independent."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._told_s = NEVER
        self._short_s, self._short_until_s = NEVER, -NEVER
        self._proven_s = SAFE_S
        self._suspect_s: float | None = None
        """The silence after which a connection broke, until a new one shows what that means."""
        self._took_s = 0.0

    @property
    def longest_s(self) -> float:
        """A connection that was idle for longer is not used again."""
        is_short = self._now_s() < self._short_until_s
        return min(self._told_s, self._short_s if is_short else NEVER)

    def answer_within_s(self, idle_s: float, timeout_s: float) -> float:
        """Returns how long to wait for an answer over a connection that was idle for `idle_s`."""
        if idle_s <= self._proven_s * PROVEN_FACTOR:
            return timeout_s
        return min(timeout_s, UNPROVEN_S + self._took_s)

    def told(self, timeout_s: float | None) -> None:
        """Notes how long the server keeps an idle connection; None: it does not say."""
        # If the server keeps it for less than four seconds, use half of that.
        self._told_s = NEVER if timeout_s is None else max(timeout_s - MARGIN_S, timeout_s / 2)

    def answered(self, took_s: float, idle_s: float | None) -> None:
        """Notes an answer over a connection that was idle before; None: over a new one."""
        self._took_s = took_s
        if idle_s is not None:
            self._proven_s = max(self._proven_s, idle_s)
        elif self._suspect_s is not None:
            self._short_s = max(SAFE_S, self._suspect_s / 2)
            self._short_until_s = self._now_s() + A_DAY_S
            self._proven_s = min(self._proven_s, self._short_s)
            self._suspect_s = None

    def broke(self, idle_s: float | None) -> None:
        """Notes that no answer came over a connection; the argument is as in `answered`."""
        is_suspect = idle_s is not None and idle_s > SAFE_S
        self._suspect_s = idle_s if is_suspect else None
