"""Logs how delivery is going: each change once, and its end."""

from collections.abc import Iterable, Mapping
from typing import Final

from mqtt_http_bridge.app.log import write_log
from mqtt_http_bridge.core.delivery.exchange import Exchange
from mqtt_http_bridge.core.delivery.refusal import Refusal, Scope
from mqtt_http_bridge.core.delivery.verdict import BackendCondition, Outcome, Verdict
from mqtt_http_bridge.core.log import Log

_BACKEND: Final = "backend"
KEYS_REFUSED: Final = "GX devices whose key is refused"
KEYS_TAKEN: Final = "GX devices whose key is accepted again"
PARKED: Final = "chargers are parked until fixed: see `outbox status`"
FREED: Final = "chargers are stored again: sending what was parked"
AGAIN: Final = "the backend stores measurements again"
MOST_REFUSED: Final = 10_000
"""The most refused devices to remember, as many as there may be chargers: one that reports ever new
serials must not fill the memory."""


class DeliveryLog:
    """Keeps what has been logged. The caller holds a lock around every call."""

    def __init__(self) -> None:
        self._troubles: set[str] = set()
        """The kinds of trouble that were logged since something was last stored."""
        self._keys_refused: set[str] = set()
        """The GX devices whose refused key has been logged."""
        self._has_stored = False
        self._refused: dict[tuple[str, str], Refusal] = {}
        """By GX and device."""

    def remember(self, portal_id: str, serial: str, refusal: Refusal) -> None:
        """Notes what was logged, by the previous process or this one."""
        self._refused[portal_id, serial] = refusal
        while len(self._refused) > MOST_REFUSED:
            del self._refused[next(iter(self._refused))]

    def note(self, portal_id: str, exchange: Exchange) -> None:
        """Logs the result of an exchange for one GX, if it is news."""
        if exchange.last is None:
            return
        if exchange.stored:
            self._note_stored(portal_id)
        elif exchange.last.outcome is Outcome.KEY_REFUSED:
            self._note_key_refused(portal_id, exchange.last)
        elif not exchange.is_answered:
            self._note_unheard(exchange.last)
        elif exchange.last.condition is BackendCondition.ANSWERING:
            for serial in sorted(exchange.owed & exchange.not_stored):
                self._warn(f"not stored {serial}", exchange.last)

    def note_unreached(self, verdict: Verdict, *, is_waiting: bool) -> None:
        """Logs that the backend cannot be asked for its time; `is_waiting` if anything is kept."""
        if is_waiting:
            self._note_unheard(verdict)
        else:
            self._warn(f"unreached {_kind_of(verdict)}", verdict, is_waiting=False)

    def _note_unheard(self, verdict: Verdict) -> None:
        """Logs an answer that says nothing about any device, or the lack of an answer."""
        self._warn(_kind_of(verdict), verdict)

    def _note_key_refused(self, portal_id: str, verdict: Verdict) -> None:
        """Logs it for this GX only: others may have a key that works."""
        if portal_id not in self._keys_refused:
            self._keys_refused.add(portal_id)
            text = f"not delivered, kept in the outbox: {verdict.said}, for the GX {portal_id}"
            about = f"key of {portal_id}"
            write_log(Log.warning(text, kind="key refused", about=about, crowd=KEYS_REFUSED))

    def _note_stored(self, portal_id: str) -> None:
        if portal_id in self._keys_refused:
            self._keys_refused.remove(portal_id)
            text = f"{AGAIN}, with the key of the GX {portal_id}"
            about = f"key of {portal_id}"
            write_log(Log.info(text, about=about, is_end=True, crowd=KEYS_TAKEN))
        if self._troubles or not self._has_stored:
            text = AGAIN if self._troubles else "the backend stores measurements"
            write_log(Log.info(text, about=_BACKEND, is_end=True))
        self._troubles.clear()
        self._has_stored = True

    def _warn(self, kind: str, verdict: Verdict, *, is_waiting: bool = True) -> None:
        if kind in self._troubles:
            return
        self._troubles.add(kind)
        name = f"not delivered: {kind}"
        if is_waiting:
            line = Log.warning(
                f"not delivered, kept in the outbox: {verdict.said}", kind=name, about=_BACKEND
            )
        else:
            line = Log.warning(
                f"cannot reach the backend: {verdict.said}", kind=name, about=_BACKEND
            )
        write_log(line)

    def note_refused(self, portal_id: str, refused: Mapping[str, Refusal]) -> None:
        """Logs devices for which nothing is stored until somebody fixes something."""
        for serial, refusal in refused.items():
            known = self._refused.get((portal_id, serial))
            if known is None or known.cause is not refusal.cause:
                self.remember(portal_id, serial, refusal)
                is_one = refusal.scope is Scope.REPORT
                what = f"one reading of {serial}" if is_one else f"readings of {serial}"
                text = f"parked until fixed: {what}: {refusal.said}"
                text = f"{text}: {refusal.cause.remedy}"
                about = f"{serial} of {portal_id}"
                kind = f"parked: {about}: {refusal.cause.code}"
                write_log(Log.warning(text, kind=kind, about=about, crowd=PARKED))

    def note_freed(self, portal_id: str, serials: Iterable[str]) -> None:
        """Logs devices that are stored again."""
        for serial in serials:
            if self._refused.pop((portal_id, serial), None) is not None:
                text = f"the backend stores readings of {serial} again: sending what was parked"
                about = f"{serial} of {portal_id}"
                write_log(Log.info(text, about=about, is_end=True, crowd=FREED))


def _kind_of(verdict: Verdict) -> str:
    return f"{verdict.outcome.name} {verdict.cause.code if verdict.cause else ''}"
