"""Follows the warm-up: from a new connection to the first measurement on it.

Why there is one. A GX only reports changes. Whatever changed while there was no connection was
missed, so nothing that was said before is trusted on a new one. Each connection begins with a
request for everything, and nothing is measured until that is answered.

When is it answered? The request carries a text that we choose. Venus OS 3.50 and later repeats it
after the last value, in `full_publish_completed`: the *echo*.

    connect   request                values of all chargers            echo   measurement
    |---------|------------------------|||||||||||||||||||-------------|------|----> every 30 s
                  0.05 to 0.1 s for two chargers, if the GX is awake

Without an echo, we wait 10 s (WARM_UP_S) and use what has come by then. There is no echo from

- Venus OS before 3.50, which says that some full publish has ended, perhaps another client's, and
  before 3.20, which says nothing at all;
- a mirror, which passes our request on to nobody;
- a GX that was asked for more than three full publishes within a second: it skips the others.

An echo may also come too early: right after the broker has started, its plugin is still looking
for devices. An echo before any charger has said all therefore ends nothing: the warm-up goes on
until the first charger has, or until the 10 s are over.

One charger that has not said all by the echo holds nobody else up. QoS 0 may have lost a part of
it, or it is just being plugged in. It is asked for again once it has had 2 s (LAGGARD_S), and the
others are measured meanwhile.

    state        is_over  due_s            it becomes
    -----------  -------  ---------------  ---------------------------------------------------
    to be asked  no       never            under way, when the GX's turn to be woken has come
    under way    no       asked for + 10 s over, with the echo or at `due_s`
    over         yes      never            to be asked, with the next connection
"""

from typing import Final

from mqtt_http_bridge.core.events import NEVER

WARM_UP_S: Final = 10.0
"""Seconds that a full publish may take; after that, we use what has come."""
LAGGARD_S: Final = 2.0
"""Seconds that a charger may take to say everything, in a burst, before it is asked again."""


class WarmUp:
    """Follows the warm-up of one GX. A new one is not over, and has not begun yet."""

    def __init__(self) -> None:
        self.is_over = False
        self.is_echoed = False
        """True once the GX has reported that everything was said."""
        self.due_s = NEVER
        """The time at which it is over without an echo."""

    def wait(self) -> None:
        """There is a connection; the GX will be asked later."""
        self.is_over = self.is_echoed = False
        self.due_s = NEVER

    def begin(self, now_s: float) -> None:
        """Everything is asked for from now on."""
        self.wait()
        self.due_s = now_s + WARM_UP_S

    def end(self) -> None:
        """Ends it: what has been said by now is used."""
        self.is_over = True
        self.due_s = NEVER
