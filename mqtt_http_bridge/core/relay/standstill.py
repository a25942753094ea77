"""Notes since when nothing about a charger has changed: a hung driver repeats itself for ever.

The GX passes on a value when it changes; a full publish, requested by us or another client, repeats
all of them. For the paths in the table, the value shows whether it changed. For any other path, all
we know is that a message came. That is a change unless it was part of a full publish, which is only
known when the publish ends. So such a message counts after a while, and not at all if a full
publish has ended by then.
"""

from typing import Final

from mqtt_http_bridge.core.events import NEVER

STANDS_STILL_S: Final = 600.0
"""A charger in the sun whose values do not change for this long is not measuring them."""
UNCERTAIN_S: Final = 15.0
"""Seconds within which a message without a known value may turn out to be part of a full publish: a
publish without an end message counts as over 10 s after the request.
"""
PUBLISH_S: Final = 5.0
"""Seconds that the full publish of another client may have taken: a tenth of a second is usual."""


class Standstill:
    """Notes when the values of one charger last changed."""

    def __init__(self, now_s: float) -> None:
        self.changed_s = now_s
        """The last time a value was different from before; the code that looks at values sets it.
        """
        self._uncertain_s = NEVER

    def note_message(self, now_s: float) -> None:
        """Notes a message whose value is not looked at."""
        if now_s >= self._uncertain_s + UNCERTAIN_S:
            self.changed_s = max(self.changed_s, self._uncertain_s)
            self._uncertain_s = now_s
        self._uncertain_s = min(self._uncertain_s, now_s)

    def note_full_publish(self, since_s: float) -> None:
        """Notes the end of a full publish that began at `since_s` or later, and held what came."""
        if self._uncertain_s >= since_s:
            self._uncertain_s = NEVER

    def since_s(self, now_s: float) -> float:
        """Returns the time at which something last changed, give or take some seconds."""
        if now_s >= self._uncertain_s + UNCERTAIN_S:
            return max(self.changed_s, self._uncertain_s)
        return self.changed_s
