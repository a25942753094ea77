"""Watches the outbox, but only now and then, because that takes its lock and reads the disk."""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from mqtt_http_bridge.adapters.outbox import Outbox, OutboxContents, PortalContents
from mqtt_http_bridge.app.dialect import DIALECT
from mqtt_http_bridge.core.delivery.refusal import refusal_of
from mqtt_http_bridge.core.events import NEVER, Moment
from mqtt_http_bridge.core.status.outbox_room import hours_of_room
from mqtt_http_bridge.core.status.owed_ages import OwedAges
from mqtt_http_bridge.core.views import GxOwed, OutboxView, ParkedView

if TYPE_CHECKING:
    from mqtt_http_bridge.adapters.outbox.inspection import OutboxStatus  # `run` needs none.

KEPT_S: Final = 2.0
"""Seconds for which the result of a look is reused."""
DISK_KEPT_S: Final = 60.0
"""Seconds for which room and damage are reused: they take a dozen system calls."""
SHARE: Final = 0.02
"""The most CPU time, as a share, to spend on looking, if there are many GX devices to count."""

Place = tuple[str, str]
"""A GX, and the device with parked reports, or an empty text for what waits."""
Since = Mapping[Place, float]


class OutboxObserver:
    """Looks at one outbox. Any thread may call `view`; a second caller waits for the first."""

    def __init__(self, outbox: Outbox, interval_s: float, now: Callable[[], Moment]) -> None:
        """Looks once; `interval_s` is between two measurements."""
        self._outbox = outbox
        self._interval_s = interval_s
        self._now = now
        self._mutex = threading.Lock()
        self._ages: OwedAges[Place] = OwedAges(now(), outbox.view().highest)
        self._latest = OutboxView()
        self._due_s = self._disk_due_s = -NEVER
        self._limit: int | None = None
        """In bytes; None while the disk does not say."""
        self._damaged = 0

    def view(self) -> OutboxView:
        """Returns the state of the outbox, as of the last look."""
        with self._mutex:
            begun = self._now()
            if begun.monotonic_s >= self._due_s:
                self._latest = self.look(begun)
                ended_s = self._now().monotonic_s
                took_s = ended_s - begun.monotonic_s
                self._due_s = ended_s + max(KEPT_S, took_s / SHARE)
            return self._latest

    def look(self, now: Moment) -> OutboxView:
        """Returns the state of this process's outbox. Reads the disk: do not call it often."""
        found = self._outbox.view()
        self._look_at_disk(now.monotonic_s)
        since = self._ages.look(now, _oldest(found.portals), found.highest, self._timestamp)
        gx = {portal.portal_id: _owed(portal, since) for portal in found.portals}
        return OutboxView(
            waiting=count_waiting(found.portals),
            bytes=found.bytes,
            oldest=self._oldest_timestamp(found.portals),
            parked=parked_views(found.portals, since),
            lost=found.losses,
            damaged=self._damaged,
            hours_of_room=None if self._limit is None else self._hours(found, self._limit),
            in_memory=found.in_memory,
            fault=found.fault or "",
            gx=MappingProxyType({key: owed for key, owed in gx.items() if _is_any(owed)}),
            looked_s=now.monotonic_s,
        )

    def _look_at_disk(self, now_s: float) -> None:
        if now_s >= self._disk_due_s:
            self._disk_due_s = now_s + DISK_KEPT_S
            room = self._outbox.room()
            self._limit = None if room is None else room.limit
            damaged = self._outbox.count_damaged()
            self._damaged = self._damaged if damaged is None else damaged

    def _timestamp(self, place: Place, number: int) -> str | None:
        return self._outbox.timestamp(place[0], number)

    def _oldest_timestamp(self, portals: Iterable[PortalContents]) -> str | None:
        found = min(((p.oldest, p.portal_id) for p in portals if p.oldest), default=None)
        return self._outbox.timestamp(found[1], found[0]) if found is not None else None

    def _hours(self, found: OutboxContents, limit: int) -> float:
        return _hours(found.portals, limit, found.bytes, self._interval_s)


def _oldest(portals: Iterable[PortalContents]) -> dict[Place, int]:
    """Lists the oldest entry of each place in which there is one."""
    places = {}
    for portal in portals:
        if portal.oldest is not None:
            places[portal.portal_id, ""] = portal.oldest
        for parked in portal.parked:
            places[portal.portal_id, parked.serial] = parked.oldest
    return places


def _owed(portal: PortalContents, since: Since) -> GxOwed:
    return GxOwed(
        waiting=portal.owed,
        newest=portal.newest or 0,
        since_s=since.get((portal.portal_id, ""), NEVER),
        parked=parked_views([portal], since) if portal.parked else (),
    )


def _is_any(owed: GxOwed) -> bool:
    return bool(owed.waiting or owed.parked)


def count_waiting(portals: Iterable[PortalContents]) -> int:
    """Counts the entries that are owed."""
    return sum(portal.owed for portal in portals)


def room_of(status: "OutboxStatus", interval_s: float) -> float:
    """Returns for how many hours an outbox has room."""
    return _hours(status.portals, status.max_bytes, status.owed_bytes, interval_s)


def _hours(portals: Sequence[PortalContents], limit: int, owed: int, interval_s: float) -> float:
    puts = [(portal.newest_put, portal.bytes_put) for portal in portals]
    return hours_of_room(limit, owed, puts, interval_s)


def parked_views(
    portals: Iterable[PortalContents], since: Since = MappingProxyType({})
) -> tuple[ParkedView, ...]:
    """Returns what is parked of each device, and what fixes it."""
    found = sorted(
        (
            (parked.serial, portal.portal_id, parked)
            for portal in portals
            for parked in portal.parked
        ),
        key=lambda item: item[0],
    )
    views = []
    for serial, group in groupby(found, key=lambda item: item[0]):
        each = list(group)
        refusal = refusal_of(serial, each[-1][2].reason, DIALECT.causes)
        count = sum(parked.entries for _, _, parked in each)
        since_s = min(since.get((portal_id, serial), NEVER) for _, portal_id, _ in each)
        views.append(ParkedView(serial, count, refusal.said, refusal.cause.remedy, since_s))
    return tuple(views)
