"""How often the log is told the same thing: what flaps for days must not push out all else.

The GX keeps 100 kB of log for a service; a loose plug could fill that in an afternoon.
"""

from dataclasses import dataclass
from typing import Final

from mqtt_http_bridge.core.commands import Log

WINDOW_S: Final = 6 * 3600.0
TIMES: Final = 3
MOST_KNOWN: Final = 200


@dataclass(slots=True)
class _Told:
    since_s: float
    times: int = 0


class LogQuota:
    """Lets a line through three times in six hours, and counts the others."""

    def __init__(self) -> None:
        self._told: dict[str, _Told] = {}

    def pass_on(self, line: Log, now_s: float) -> list[Log]:
        """The line, if it may be told; the first after a pause tells how many were not."""
        told = self._told.get(line.text)
        if told is None or now_s >= told.since_s + WINDOW_S:
            untold = max(0, told.times - TIMES) if told else 0
            self._forget()
            self._told[line.text] = _Told(now_s, times=1)
            more = f" (this came {untold} more times since it was last told)" if untold else ""
            return [Log(line.level, line.text + more)]
        told.times += 1
        return [line] if told.times <= TIMES else []

    def _forget(self) -> None:
        """Keeps the memory bounded: names, and with them lines, may change without end."""
        if len(self._told) >= MOST_KNOWN:
            oldest = min(self._told, key=lambda text: self._told[text].since_s)
            del self._told[oldest]
