"""Puts measurements into the outbox, for the main thread, which never waits."""

from collections.abc import Callable

from mqtt_http_bridge.adapters.outbox import Outbox
from mqtt_http_bridge.core.commands import Store
from mqtt_http_bridge.core.delivery.dialect import Dialect


class Storing:
    """Serializes measurements and queues them; knows whether the clock is trusted.

    Once it is, steps of the clock no longer reach the outbox: what was stored before stays as it
    is, and may have been sent.
    """

    def __init__(
        self,
        outbox: Outbox,
        dialect: Dialect,
        *,
        expect: Callable[[str], None] = lambda portal_id: None,
        is_clock_trusted: bool = False,
    ) -> None:
        """Calls `expect` with the portal id of what is about to be stored."""
        self._outbox = outbox
        self._dialect = dialect
        self._expect = expect
        self._is_clock_trusted = False
        if is_clock_trusted:
            self.trust_clock()

    def store(self, command: Store) -> None:
        """Queues a measurement."""
        body = self._dialect.body(command.measurement)
        is_trusted, portal_id = self._is_clock_trusted, command.portal_id
        self._expect(portal_id)  # Before it is there, or nobody would expect it.
        self._outbox.store(body, portal_id=portal_id, is_clock_trusted=is_trusted)

    def note_clock_step(self, step_s: float) -> None:
        """Queues that the clock was set, while that still matters."""
        if not self._is_clock_trusted:
            self._outbox.note_clock_step(step_s)

    def trust_clock(self) -> None:
        """Queues that the clock is trusted; the outbox must handle it before the first POST.

        Otherwise, after a kill right after a POST, the next process would correct what was sent.
        """
        self._is_clock_trusted = True
        self._outbox.trust_clock()
