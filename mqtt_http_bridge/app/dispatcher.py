"""Hands out what is to be sent, to as many threads as ask, and handles the results.

The policy is `core.delivery`; here are the lock around it, the outbox, and what the backend's
dialect says. No POST is made, and no file read, while the lock is held.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from mqtt_http_bridge.adapters.outbox import Entry, Outbox
from mqtt_http_bridge.app.delivery_log import DeliveryLog
from mqtt_http_bridge.core.backoff import Draw
from mqtt_http_bridge.core.delivery.answers import Answer
from mqtt_http_bridge.core.delivery.dialect import Dialect
from mqtt_http_bridge.core.delivery.exchange import Exchange, Group
from mqtt_http_bridge.core.delivery.gx import Settlement
from mqtt_http_bridge.core.delivery.plan import Job, Plan
from mqtt_http_bridge.core.delivery.refusal import UNREADABLE, Refusal, reason_of, refusal_of
from mqtt_http_bridge.core.delivery.verdict import Outcome, Verdict
from mqtt_http_bridge.core.errors import MalformedMeasurement
from mqtt_http_bridge.core.events import LONGEST_WAIT_S, NEVER
from mqtt_http_bridge.core.settings import Secret
from mqtt_http_bridge.core.watchdog import LONGEST_REST_S

LOOK_EVERY_S: Final = 60.0
"""The least time between two checks of all GX devices, and of the files of refused keys."""
AT_REST_S: Final = 0.5
"""A longer wait is for a retry; a shorter one only keeps the rate."""
NO_SERIAL: Final = "unreadable"
"""Stands for the device of an entry in which no serial was found."""


class Poster(Protocol):
    """The part of a backend that is needed here. One thread uses it."""

    def post(self, body: bytes, api_key: Secret | None = None) -> Answer:
        """Sends once; never raises because of the network."""

    def ask_time(self) -> Answer:
        """Asks only for headers; never raises either."""

    def close(self) -> None:
        """Closes idle connections."""


class Keys(Protocol):
    """The part of the API keys that is needed here."""

    def name_of(self, portal_id: str) -> str:
        """Names the key of a GX."""

    def key(self, portal_id: str) -> Secret:
        """Returns the key of a GX."""

    def read_again(self, name: str) -> bool:
        """Reads a key again; returns whether it has changed."""


class Dispatcher:
    """Any thread may call anything here."""

    def __init__(
        self,
        outbox: Outbox,
        dialect: Dialect,
        keys: Keys,
        *,
        max_rate_per_s: float,
        now_s: Callable[[], float],
        draw: Draw,
        on_verdict: Callable[[Answer, Verdict], None],
        on_entry: Callable[[Job, Exchange, str], None],
    ) -> None:
        """`on_verdict` is called with what came of each POST, by one thread at a time.

        So is `on_entry` with what came of each entry, and its timestamp.
        """
        self._outbox = outbox
        self._dialect = dialect
        self._keys = keys
        self._now_s = now_s
        self._on_verdict = on_verdict
        self._on_entry = on_entry
        self._mutex = threading.Lock()
        self._plan = Plan(outbox, max_rate_per_s=max_rate_per_s, draw=draw, key_of=keys.name_of)
        self._told = DeliveryLog()
        self._announced: deque[str] = deque()
        """Portal ids for `_expected`; appending needs no lock."""
        self._expected: set[str] = set()
        """Those of which the outbox has shown no new entry yet."""
        self._seen = -1
        self._waits_until_s = -NEVER
        """The time at which the thread in `wait` looks again, unless it is woken."""
        self._retries = outbox.retry_requests
        self._look_due_s = self._keys_due_s = -NEVER
        self._is_abandoned = False
        self._plan.find(outbox.portal_ids(), now_s())
        for portal in outbox.view().portals:
            for parked in portal.parked:
                refusal = refusal_of(parked.serial, parked.reason, dialect.causes)
                self._plan.restore(portal.portal_id, parked.serial, refusal, parked.newest, now_s())
                self._told.remember(portal.portal_id, parked.serial, refusal)

    def expect(self, portal_id: str) -> None:
        """Notes that something from this GX is about to be in the outbox. Never waits."""
        self._announced.append(portal_id)

    def note_unheard(self, answer: Answer) -> None:
        """Notes that the backend could not even be asked for its time."""
        verdict = self._dialect.judge(answer, ())
        is_waiting = any(portal.owed for portal in self._outbox.view().portals)
        with self._mutex:
            self._told.note_unreached(verdict, is_waiting=is_waiting)
            self._on_verdict(answer, verdict)

    def abandon(self) -> None:
        """Notes that the outbox is about to be closed: results that come now are too late."""
        with self._mutex:
            self._is_abandoned = True

    # --- what is next ------------------------------------------------------------------------

    def choose(self) -> Job | None:
        """Chooses what to send now, if anything; `send` has to follow.

        If the next one is due before the thread in `wait` would look again, that thread is woken.
        """
        with self._mutex:
            now_s = self._now_s()
            self._hear(now_s)
            job = self._plan.choose(now_s)
            is_due_sooner = self._plan.next_due_s() < self._waits_until_s
        if is_due_sooner:
            self.wake()
        return job

    def wait(self) -> None:
        """Waits until there may be something to choose. For one thread at a time."""
        self._read_held_keys()  # First, because one that has changed makes something due.
        with self._mutex:
            due_s = self._waits_until_s = self._plan.next_due_s()
        timeout_s = LONGEST_REST_S
        if due_s < NEVER:
            due_s = min(due_s, self._look_due_s)
            timeout_s = max(0.0, min(due_s - self._now_s(), LONGEST_WAIT_S))
        self._seen = self._outbox.wait(self._seen, timeout_s)
        self._waits_until_s = -NEVER

    def wake(self) -> None:
        """Ends a wait."""
        self._outbox.wake()

    def look_at_all(self) -> None:
        """Makes all GX devices be checked for new entries."""
        with self._mutex:
            self._look_due_s = -NEVER
        self.wake()

    def wanted_connections(self, most: int) -> int:
        """Returns how many threads there is work for."""
        with self._mutex:
            return max(1, min(most, self._plan.gx_count))

    def use_connections(self, count: int) -> None:
        """Notes how many threads there are."""
        with self._mutex:
            self._plan.connections = count

    @property
    def is_at_rest(self) -> bool:
        """Tells whether everything is sent, except what has to wait for another try."""
        with self._mutex:
            now_s = self._now_s()
            self._hear(now_s)
            return self._plan.is_at_rest(now_s, AT_REST_S)

    def _hear(self, now_s: float) -> None:
        if self._outbox.retry_requests != self._retries:
            self._retries = self._outbox.retry_requests
            self._plan.retry(now_s)
        while self._announced:
            self._expected.add(self._announced.popleft())
        if self._expected:
            self._expected = set(self._plan.look(self._expected, now_s))
        if now_s >= self._look_due_s:
            self._look_due_s = now_s + LOOK_EVERY_S
            self._plan.look(self._outbox.portal_ids(), now_s)

    # --- one entry ---------------------------------------------------------------------------

    def send(
        self, job: Job, poster: Poster, before_post: Callable[[], None] = lambda: None
    ) -> None:
        """Sends an entry in as many POSTs as it takes, and passes the result to the outbox."""
        entry = self._outbox.take(job.portal_id, job.number)
        serials = self._serials_of(entry) if entry is not None else None
        refused: dict[str, Refusal] = {}
        is_key_refused = False
        if entry is None or serials is None:
            with self._mutex:
                self._plan.missed(job, self._now_s())
        else:
            with self._mutex:
                exchange = self._plan.begin(job, serials, self._now_s())
            is_key_refused = self._exchange(
                job, exchange, entry, serials, poster=poster, before_post=before_post
            )
            refused = self._settle(job, exchange, entry)
        with self._mutex:
            self._plan.finish(job, self._now_s())
        if is_key_refused or any(refusal.cause.is_of_key for refusal in refused.values()):
            self._read_key(self._keys.name_of(job.portal_id))

    def _serials_of(self, entry: Entry) -> Sequence[str] | None:
        """Reads which devices an entry has; sets it aside if that cannot be read."""
        try:
            return self._dialect.read(entry.body).serials
        except MalformedMeasurement as error:
            refusal = Refusal(UNREADABLE, str(error)[:100])
            self._outbox.park(entry, entry.body, [NO_SERIAL], str(refusal))
            with self._mutex:
                self._told.note_refused(entry.portal_id, {NO_SERIAL: refusal})
            return None

    def _exchange(
        self,
        job: Job,
        exchange: Exchange,
        entry: Entry,
        serials: Sequence[str],
        *,
        poster: Poster,
        before_post: Callable[[], None],
    ) -> bool:
        """Makes the POSTs; returns whether the key was refused."""
        while True:
            with self._mutex:
                group = (
                    None
                    if self._is_abandoned
                    else self._plan.next_group(job, exchange, self._now_s())
                )
            if group is None:
                break
            before_post()
            began_s = self._now_s()
            answer = poster.post(self._body(entry, group, serials), self._keys.key(job.portal_id))
            verdict = self._dialect.judge(answer, [s for s in serials if s in group])
            with self._mutex:
                now_s = self._now_s()
                self._plan.take_in(job, exchange, group, verdict, began_s=began_s, now_s=now_s)
                self._on_verdict(answer, verdict)
        return exchange.last is not None and exchange.last.outcome is Outcome.KEY_REFUSED

    def _body(self, entry: Entry, group: Group, serials: Sequence[str]) -> bytes:
        return entry.body if set(group) == set(serials) else self._dialect.only(entry.body, group)

    def _settle(self, job: Job, exchange: Exchange, entry: Entry) -> dict[str, Refusal]:
        """Keeps what is left of the entry in the outbox; returns what was refused."""
        timestamp = self._dialect.timestamp(entry.body)
        with self._mutex:
            if self._is_abandoned:
                return {}
            settlement = self._plan.settle(job, exchange, self._now_s())
            self._told.note(job.portal_id, exchange)
            self._told.note_refused(job.portal_id, settlement.refused)
            self._told.note_freed(job.portal_id, settlement.freed)
            self._on_entry(job, exchange, timestamp)
        self._leave(entry, settlement)
        for serial in settlement.freed:
            self._outbox.unpark(job.portal_id, serial)
        return dict(settlement.refused)

    def _leave(self, entry: Entry, settlement: Settlement) -> None:
        if settlement.owed:
            kept = settlement.owed | settlement.refused.keys()
            self._outbox.settle(entry, self._dialect.only(entry.body, kept))
        elif settlement.parked:
            parked = settlement.parked
            body = self._dialect.only(entry.body, parked.keys())
            self._outbox.park(entry, body, sorted(parked), reason_of(parked))
        else:
            self._outbox.settle(entry, None)

    # --- keys --------------------------------------------------------------------------------

    def _read_held_keys(self) -> None:
        """Checks whether a refused key has been changed."""
        if self._now_s() >= self._keys_due_s:
            self._keys_due_s = self._now_s() + LOOK_EVERY_S
            with self._mutex:
                held = self._plan.held_keys
            for name in held:
                self._read_key(name)

    def _read_key(self, name: str) -> None:
        if self._keys.read_again(name):
            with self._mutex:
                self._plan.release_key(name, self._now_s())
