"""Decides which keepalive one GX gets when, and what counts as an answer.

On a new connection it gets a full keepalive, which asks for everything that the GX knows. Every 30
s it gets one with suppress-republish, which only keeps it awake. Now and then it gets a full one
again, to make up for messages lost with QoS 0, or because something is missing. Full ones cost the
GX time, so they are sent at least a minute apart, except for the first of a connection.

Venus OS before 3.20 reads our keepalive as an empty list of topics. Such a GX is recognized by what
is missing: after two full ones in a row, on any connection, neither a heartbeat nor the end of a
full publish. From then on it gets an empty payload, which every version takes as a request for
everything. A heartbeat, or the end of a full publish, shows that it is not an old one.

A GX that the broker announces but that was never heard may be gone for ever, or may never have
existed: it gets only full ones, less and less often, until it is heard.
"""

from typing import Final

from mqtt_http_bridge.core.backoff import ceiling_s
from mqtt_http_bridge.core.commands import Publish
from mqtt_http_bridge.core.events import NEVER, Moment
from mqtt_http_bridge.core.venus import topics
from mqtt_http_bridge.core.venus.keepalive import (
    AWAKE_S,
    KEEPALIVE_INTERVAL_S,
    SUPPRESSED_KEEPALIVE,
    full_keepalive,
)

FULL_SPACING_S: Final = 60.0
"""The shortest time between two full keepalives, except on new connections."""
ANSWER_S: Final = 10.0
"""Seconds that an answer may take."""
FULL_UNTIL_OLD: Final = 2
"""After this many full keepalives without an answer, the GX is taken for an old one."""
FIRST_UNHEARD_S: Final = 60.0
LONGEST_UNHEARD_S: Final = 3600.0
"""The longest time until a GX that was never heard is asked again."""


class Keepalives:
    """Decides which keepalive one GX gets next, and when. All moments are monotonic."""

    def __init__(self, portal_id: str, refresh_interval_s: float, *, is_listed: bool) -> None:
        """`is_listed`: the config names it, so it certainly exists."""
        self.awaited_echo: str | None = None
        self.requested_s = -NEVER
        """The last time everything was asked for."""
        self.awake_until_s = -NEVER
        """The time until which the last keepalive keeps the GX awake."""
        self.next_s = NEVER
        self.full_due_s = NEVER
        self.answer_due_s = NEVER
        """The time at which a full one without an echo counts as answered, or as not answered."""
        self._topic = topics.keepalive_topic(portal_id)
        self._refresh_interval_s = refresh_interval_s
        self._is_known = is_listed
        self._spaced_s = -NEVER
        """The last time a full one was sent that was not the first of its connection."""
        self._unheard = 0
        """The number of full ones that it got without ever being heard."""
        self._unanswered = 0
        self._is_answered = False

    @property
    def is_empty(self) -> bool:
        """True if it gets empty payloads, as Venus OS before 3.20 needs them."""
        return self._unanswered >= FULL_UNTIL_OLD

    @property
    def is_waited_for(self) -> bool:
        """True if it was asked again after it had not been heard."""
        return not self._is_known and self._unheard > 1

    def is_too_late(self, now_s: float) -> bool:
        """Tells whether the GX may have gone to sleep, as nobody kept it awake."""
        return self.next_s <= now_s and self.awake_until_s < now_s

    def stop(self) -> None:
        """Notes that the connection is gone."""
        self.next_s = self.full_due_s = self.answer_due_s = NEVER
        self.awaited_echo = None

    # --- what goes out -----------------------------------------------------------------------

    def begin(self, now: Moment) -> Publish:
        """Returns the full one with which a connection begins."""
        return self._full(now)

    def repeat(self, now: Moment) -> Publish:
        """Returns a full one that is due."""
        self._spaced_s = now.monotonic_s
        return self._full(now)

    def ask_soon(self, now_s: float) -> None:
        """Requests everything now, or a minute after the last time."""
        self.full_due_s = min(self.full_due_s, max(now_s, self._spaced_s + FULL_SPACING_S))

    def prolong(self, now: Moment) -> Publish:
        """Returns the one that keeps the GX awake."""
        return self._publish(SUPPRESSED_KEEPALIVE, now)

    def _full(self, now: Moment) -> Publish:
        # The moment tells this request from every other, of ours or of another relay's, and is
        # the same again in a replay.
        echo = f"mqtt-http-bridge {now.utc.isoformat(timespec='microseconds')}"
        self.awaited_echo = echo
        self.requested_s = now.monotonic_s
        self.answer_due_s = now.monotonic_s + ANSWER_S
        self._is_answered = False
        publish = self._publish(full_keepalive(echo), now)
        self.full_due_s = now.monotonic_s + self._refresh_interval_s
        if not self._is_known:
            self._unheard += 1
            self.next_s = NEVER
            self.full_due_s = now.monotonic_s + ceiling_s(
                self._unheard, first_s=FIRST_UNHEARD_S, limit_s=LONGEST_UNHEARD_S
            )
        return publish

    def _publish(self, payload: bytes, now: Moment) -> Publish:
        self.next_s = now.monotonic_s + KEEPALIVE_INTERVAL_S
        self.awake_until_s = now.monotonic_s + AWAKE_S
        return Publish(self._topic, b"" if self.is_empty else payload)

    # --- what comes back ---------------------------------------------------------------------

    def hear(self, now_s: float, *, is_answer: bool) -> None:
        """Notes that the GX said something; `is_answer`: only Venus OS 3.20 and later say it."""
        if is_answer:
            self._is_answered = True
            self._unanswered = 0
        if self._is_known:
            return
        self._is_known = True
        if self.full_due_s < NEVER:  # It has been asked on this connection.
            soon_s = now_s + 1.0
            self.next_s = max(soon_s, self.requested_s + KEEPALIVE_INTERVAL_S)
            self.full_due_s = max(soon_s, self.requested_s + self._refresh_interval_s)

    def judge_answer(self, now_s: float) -> None:
        """Ends the time for an answer: without one, asks again, which detects old GX devices."""
        self.answer_due_s = NEVER
        if self._is_answered or self.is_empty:
            return
        self._unanswered += 1
        if self._is_known or self.is_empty:
            self.ask_soon(now_s)
