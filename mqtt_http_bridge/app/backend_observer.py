"""Watches the results of POSTs: keeps them by GX, for any thread to read."""

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from mqtt_http_bridge.core.delivery.answers import Answer, Reply
from mqtt_http_bridge.core.delivery.exchange import Exchange
from mqtt_http_bridge.core.delivery.plan import Job, Kind
from mqtt_http_bridge.core.delivery.refusal import Refusal
from mqtt_http_bridge.core.delivery.verdict import BackendCondition, DeviceFate, Fate, Verdict
from mqtt_http_bridge.core.events import Moment
from mqtt_http_bridge.core.relay.portals import MOST_PORTALS
from mqtt_http_bridge.core.views import (
    BackendView,
    DeviceResult,
    DeviceVerdict,
    GxDelivery,
    Unstored,
)

MOST_SERIALS: Final = 256
"""The most serials to keep for one GX, in case a GX reports ever new serials."""
MOST_GXS: Final = 2 * MOST_PORTALS
"""The most GX devices to keep: twice as many as one process relays, as some may have left
measurements behind."""


class BackendObserver:
    """Hears of each POST and of each entry that was sent. Any thread may call anything.

    The cost of a call does not depend on the number of GX devices.
    """

    def __init__(self, now: Callable[[], Moment]) -> None:
        self._now = now
        self._mutex = threading.Lock()
        self._last = BackendView()
        self._results: Counter[str] = Counter()
        self._gx: dict[str, GxDelivery] = {}
        """In the order of sending: the last one sent is at the end."""

    @property
    def latest(self) -> BackendView:
        """Returns what has been seen up to now."""
        with self._mutex:
            return self._last._replace(
                results=MappingProxyType(dict(self._results)),
                gx=MappingProxyType(dict(self._gx)),
            )

    def note(self, answer: Answer, verdict: Verdict) -> None:
        """Notes the result of one POST."""
        is_answering = verdict.condition is BackendCondition.ANSWERING
        result = "stored" if verdict.is_done else "partly" if is_answering else "failed"
        with self._mutex:
            self._results[result] += 1
            self._last = BackendView(
                moment=self._now(),
                is_taking=bool(verdict.stored),
                status=answer.status if isinstance(answer, Reply) else None,
                reason=verdict.reason,
                remedy=verdict.remedy,
            )

    def note_entry(self, job: Job, exchange: Exchange, timestamp: str) -> None:
        """Notes the result of sending one entry, which was measured at `timestamp`."""
        if not (exchange.sent or exchange.refused):
            return
        now = self._now()
        with self._mutex:
            known = self._gx.pop(job.portal_id, GxDelivery())
            self._gx[job.portal_id] = _with(known, job, exchange, timestamp, now)
            if len(self._gx) > MOST_GXS:
                del self._gx[next(iter(self._gx))]


def _with(
    known: GxDelivery, job: Job, exchange: Exchange, timestamp: str, now: Moment
) -> GxDelivery:
    """Returns what is known of a GX after one more of its entries was sent."""
    results = {serial: _result(fate, exchange) for serial, fate in exchange.fates.items()}
    counted = Counter(known.reports)
    counted.update(results[serial] for serial in exchange.sent)
    devices = _devices(known.devices, job.number, exchange, results, now)
    gx = known._replace(devices=devices, reports=MappingProxyType(dict(counted)))
    if job.number < known.newest:
        return gx
    unstored = _unstored(exchange)
    if job.kind is Kind.TRY and job.number == known.newest:
        others = {s: why for s, why in known.unstored.items() if s not in exchange.fates}
        unstored = MappingProxyType(others | dict(unstored))
    is_answered = exchange.is_answered or all(why.is_refused for why in unstored.values())
    gx = gx._replace(newest=job.number, tried=now, unstored=unstored, is_answered=is_answered)
    return gx if unstored else gx._replace(stored=now, stored_timestamp=timestamp)


def _result(fate: DeviceFate, exchange: Exchange) -> DeviceResult:
    if fate is Fate.STORED:
        return DeviceResult.STORED
    if isinstance(fate, Refusal):
        return DeviceResult.REFUSED
    return DeviceResult.OWED if exchange.is_answered else DeviceResult.FAILED


def _unstored(exchange: Exchange) -> Mapping[str, Unstored]:
    if all(fate is Fate.STORED for fate in exchange.fates.values()):
        return MappingProxyType({})
    return MappingProxyType(
        {
            serial: _why(serial, fate, exchange)
            for serial, fate in exchange.fates.items()
            if fate is not Fate.STORED
        }
    )


def _why(serial: str, fate: DeviceFate, exchange: Exchange) -> Unstored:
    if isinstance(fate, Refusal):
        return Unstored(fate.said, fate.cause.remedy, is_refused=True)
    verdict = exchange.verdicts.get(serial)
    if verdict is None:
        return Unstored("it is sent later, as the backend has failed on it")
    return Unstored(verdict.reason, verdict.remedy)


def _devices(
    known: Mapping[str, DeviceVerdict],
    number: int,
    exchange: Exchange,
    results: Mapping[str, DeviceResult],
    now: Moment,
) -> Mapping[str, DeviceVerdict]:
    """Returns the last verdict on each device, limited to those judged last."""
    devices = dict(known)
    for serial in {*exchange.sent, *exchange.refused}:
        before = devices.pop(serial, None)
        stored = before.stored if before is not None else None
        if results[serial] is DeviceResult.STORED:
            stored = now
        if before is not None and number < before.number:
            devices[serial] = before._replace(stored=stored)
            continue
        fate = exchange.fates[serial]
        reason = "" if fate is Fate.STORED else _why(serial, fate, exchange).reason
        devices[serial] = DeviceVerdict(results[serial], now, reason, stored, number)
    while len(devices) > MOST_SERIALS:
        del devices[next(iter(devices))]
    return MappingProxyType(devices)
