"""The sender: one thread that takes entries from the outbox to the backend."""

import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final, Protocol

from mqtt_http_bridge.adapters.outbox import Entry, Outbox
from mqtt_http_bridge.core.agenda import Agenda, Parked, Waiting
from mqtt_http_bridge.core.backoff import Draw
from mqtt_http_bridge.core.commands import Log
from mqtt_http_bridge.core.delivery import Answer, NoReply, Route, Verdict, judge, remedy
from mqtt_http_bridge.core.measurement import to_json
from mqtt_http_bridge.core.quota import LogQuota

log = logging.getLogger(__name__)

AT_REST_S: Final = 0.5
"""A wait that is longer is for another try; a shorter one only keeps the pace."""
LONGEST_WAIT_S: Final = 60.0
"""How soon `outbox retry` is noticed even if nothing is measured."""
MOST_TOLD: Final = 10
"""How many reasons are told in one outage: a backend may find new words each time."""


class Poster(Protocol):
    """What the sender needs of a backend."""

    def post(self, body: bytes) -> Answer:
        """Sends once; never raises for what the network does."""

    def close(self) -> None:
        """Gives up what is idle."""


class Sender:
    """Owns its thread, the agenda and the backend; shares the outbox with who appends."""

    def __init__(
        self,
        outbox: Outbox,
        backend: Poster,
        *,
        max_rate_per_s: float,
        now_s: Callable[[], float] = time.monotonic,
        draw: Draw = random.uniform,
    ) -> None:
        self._outbox = outbox
        self._backend = backend
        self._now_s = now_s
        self._agenda = Agenda(max_rate_per_s, draw)
        self._agenda.retry(outbox.parked_serials(), now_s())
        self._stopping = threading.Event()
        self._rest = threading.Condition()
        self._is_at_rest = False
        self._told: set[str] = set()
        """What has been told since measurements were taken last."""
        self._quota = LogQuota()
        self._has_delivered = False
        self._refused: dict[str, str] = {}
        self._thread = threading.Thread(target=self._run, name="sender", daemon=True)
        if len(outbox):
            log.info("%d measurements wait from before", len(outbox))

    def start(self) -> None:
        """Starts the thread. Any thread may call this, once."""
        self._thread.start()

    def finish(self) -> bool:
        """Waits until all that was appended is sent, or has to wait for another try.

        Returns whether nothing is left. For the thread that appends.
        """
        with self._rest:
            self._is_at_rest = False
            self._outbox.wake()
            while not self._rest.wait_for(lambda: self._is_at_rest, timeout=1.0):
                if not self._thread.is_alive():
                    break
        return not self._outbox.oldest(1) and not self._outbox.parked_serials()

    def stop(self, timeout_s: float) -> None:
        """Ends the thread after the POST under way, waiting at most `timeout_s` for it.

        A POST that takes longer is left to its fate: its entry stays in the outbox.
        """
        self._stopping.set()
        self._outbox.wake()
        self._thread.join(timeout_s)

    # --- the thread ------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._step()
        self._backend.close()

    def _step(self) -> None:
        """Waits for what is due next, and sends it."""
        if self._agenda.wants_backlog:
            self._agenda.add_backlog(self._outbox.oldest(self._agenda.most_wanted))
        self._wait()
        if self._stopping.is_set():
            return
        match self._agenda.choose(self._now_s()):
            case Waiting() as waiting:
                self._send(waiting)
            case Parked(serial):
                self._send_parked(serial)

    def _wait(self) -> None:
        with self._rest:
            self._listen(0.0)  # Or `finish` could take for rest what is only not heard yet.
            wait_s = self._agenda.next_due_s() - self._now_s()
            self._is_at_rest = wait_s > AT_REST_S
            self._rest.notify_all()
        self._listen(min(max(0.0, wait_s), LONGEST_WAIT_S))
        if self._outbox.is_retry_wanted():
            self._agenda.retry(self._outbox.parked_serials(), self._now_s())

    def _listen(self, timeout_s: float) -> None:
        for number in self._outbox.wait(timeout_s):
            self._agenda.add_fresh(number)

    def _send(self, waiting: Waiting) -> None:
        entry = self._outbox.take(waiting.number)
        if entry is None:
            self._agenda.missed(waiting.number)
            return
        if waiting.is_split:
            verdict = self._post_split(entry, is_trial=waiting.is_trial)
        else:
            answer = self._backend.post(entry.body)
            verdict = judge(answer, entry.measurement)
            if isinstance(answer, NoReply) and not answer.is_sent:
                self._outbox.give_back(entry)
        verdict = self._set_aside(entry, verdict)
        self._outbox.settle(entry, entry.measurement.only(verdict.owed) if verdict.owed else None)
        self._agenda.judged(entry.number, verdict, self._now_s())
        self._tell(verdict)

    def _post_split(self, entry: Entry, *, is_trial: bool) -> Verdict:
        """Sends device by device, to find the one that the backend fails on."""
        verdict = Verdict(Route.OPEN)
        serials = frozenset(device.serial for device in entry.measurement.devices)
        for serial in sorted(serials):
            if verdict.route is not Route.OPEN:
                verdict = replace(verdict, owed=verdict.owed | {serial})
                continue
            part = entry.measurement.only([serial])
            found = judge(self._backend.post(to_json(part)), part)
            if found.is_suspect:
                found = Verdict(Route.OPEN, refused={serial: found.reason}, reason=found.reason)
            verdict = replace(
                found,
                owed=verdict.owed | found.owed,
                refused={**verdict.refused, **found.refused},
                reason=found.reason or verdict.reason,
            )
        if is_trial and verdict.refused.keys() == serials:
            return Verdict(Route.FAULTY, owed=serials, reason=verdict.reason, is_suspect=True)
        return verdict

    def _set_aside(self, entry: Entry, verdict: Verdict) -> Verdict:
        """Parks what is refused; what the disk will not park is still owed."""
        refused = dict(verdict.refused)
        is_judged = verdict.route is Route.OPEN or verdict.is_suspect
        if is_judged and self._agenda.has_tried_enough(entry.number):
            refused |= dict.fromkeys(verdict.owed, verdict.reason)
        parked = {s: why for s, why in refused.items() if self._outbox.park(entry, s, why)}
        for serial, reason in parked.items():
            self._tell_parked(serial, reason)
        owed = (verdict.owed | refused.keys()) - parked.keys()
        return replace(
            verdict,
            owed=frozenset(owed),
            refused=parked,
            is_owed_at_once=verdict.is_owed_at_once and parked == refused,
        )

    def _send_parked(self, serial: str) -> None:
        entry = self._outbox.take_parked(serial)
        if entry is None:
            self._agenda.missed_parked(serial)
            self._refused.pop(serial, None)
            return
        verdict = judge(self._backend.post(entry.body), entry.measurement)
        if verdict.is_done:
            self._outbox.unpark(entry, serial)
        elif verdict.route is Route.OPEN or verdict.is_suspect:
            self._outbox.keep_parked(entry, serial)
        self._agenda.judged_parked(serial, verdict, self._now_s())

    # --- the log ---------------------------------------------------------------------------------

    def _tell(self, verdict: Verdict) -> None:
        is_fine = verdict.route is Route.OPEN and (not verdict.owed or verdict.is_owed_at_once)
        if is_fine and (self._told or not self._has_delivered):
            again = " again" if self._told else ""
            self._has_delivered = True
            self._told.clear()
            self._write(Log.info(f"the backend takes measurements{again}"))
        elif not is_fine and verdict.reason not in self._told and len(self._told) < MOST_TOLD:
            self._told.add(verdict.reason)
            self._write(Log.warning(f"not delivered, kept in the outbox: {verdict.reason}"))

    def _write(self, line: Log) -> None:
        """Writes the line unless it was written often: one entry may fail where others pass."""
        for told in self._quota.pass_on(line, self._now_s()):
            log.log(logging.getLevelNamesMapping()[told.level], told.text)

    def _tell_parked(self, serial: str, reason: str) -> None:
        if self._refused.get(serial) != reason:
            self._refused[serial] = reason
            log.warning(
                "set aside until it is mended: what %s measures: %s: %s",
                serial,
                reason,
                remedy(reason),
            )
