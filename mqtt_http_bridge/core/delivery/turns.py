"""Keeps in which order the GX devices are served, and when the plan looks at each again.

    queue    holds                                       a GX leaves it
    -------  ------------------------------------------  -----------------------------------------
    live     those with a new measurement                when it is chosen
    backlog  those whose backlog may go on               when it is chosen, or nothing is due of it
    later    those that wait, by when that is over       when the time has come
    tries    parked devices, by when they are tried      when the time has come

A GX that is being served is in neither of the first two: it is placed again afterwards. A heap may
hold outdated times: the time in the GX or the device itself decides.
"""

import heapq
from collections import OrderedDict
from collections.abc import Mapping

from mqtt_http_bridge.core.delivery.gx import Gx
from mqtt_http_bridge.core.events import NEVER


class Turns:
    """Orders the GX devices of one plan, which knows them by portal id."""

    def __init__(self, gxs: Mapping[str, Gx]) -> None:
        self._gxs = gxs
        self._live: OrderedDict[str, None] = OrderedDict()
        self._backlog: OrderedDict[str, None] = OrderedDict()
        self._later: list[tuple[float, str]] = []
        self._tries: list[tuple[float, str, str]] = []

    def place(self, gx: Gx, now_s: float) -> None:
        """Puts a GX into its queue, behind those that are there."""
        if gx.is_flying:
            return
        if gx.is_live:
            self._live[gx.portal_id] = None
        elif gx.due_s > now_s:
            self.look_at(gx, gx.due_s)
        else:
            self._backlog[gx.portal_id] = None

    def look_at(self, gx: Gx, due_s: float) -> None:
        """Makes a GX be placed again at `due_s`, unless that happens earlier anyway."""
        if due_s < gx.looked_at_s:
            gx.looked_at_s = due_s
            heapq.heappush(self._later, (due_s, gx.portal_id))

    def recall(self, now_s: float) -> None:
        """Places those whose time has come."""
        while self.later_due_s <= now_s:
            _, portal_id = heapq.heappop(self._later)
            gx = self._gxs[portal_id]
            gx.looked_at_s = NEVER
            self.place(gx, now_s)

    def schedule_tries(self, gx: Gx) -> None:
        """Notes when the parked devices of a GX are to be tried."""
        for serial in gx.parked:
            device = gx.parked[serial]
            if device.scheduled_s is None or device.due_s < device.scheduled_s:
                device.scheduled_s = device.due_s
                heapq.heappush(self._tries, (device.due_s, gx.portal_id, serial))

    # --- what is next ------------------------------------------------------------------------

    def pop_live(self) -> Gx | None:
        """Takes out the GX that has waited longest with a new measurement."""
        while self._live:
            gx = self._gxs[self._live.popitem(last=False)[0]]
            if gx.is_live and not gx.is_flying:
                return gx
        return None

    def pop_backlog(self) -> Gx | None:
        """Takes out the GX whose backlog has waited longest."""
        return self._gxs[self._backlog.popitem(last=False)[0]] if self._backlog else None

    def pop_try(self, now_s: float) -> tuple[Gx, str] | None:
        """Takes out a parked device that is to be tried by now."""
        if self._try_due_s > now_s:
            return None
        _, portal_id, serial = heapq.heappop(self._tries)
        gx = self._gxs[portal_id]
        gx.parked[serial].scheduled_s = None
        return gx, serial

    # --- when that is ------------------------------------------------------------------------

    @property
    def live_due_s(self) -> float:
        """Returns when there is something live to send: now, or infinity."""
        return -NEVER if self._live else NEVER

    @property
    def slow_due_s(self) -> float:
        """Returns when there may be a backlog or a try to send."""
        return -NEVER if self._backlog else self._try_due_s

    @property
    def later_due_s(self) -> float:
        """Returns when the next GX is to be placed again."""
        later = self._later
        while later and self._gxs[later[0][1]].looked_at_s != later[0][0]:
            heapq.heappop(later)
        return later[0][0] if later else NEVER

    @property
    def _try_due_s(self) -> float:
        tries = self._tries
        while tries and not self._is_scheduled(*tries[0]):
            heapq.heappop(tries)
        return tries[0][0] if tries else NEVER

    def _is_scheduled(self, due_s: float, portal_id: str, serial: str) -> bool:
        parked = self._gxs[portal_id].parked
        return serial in parked and parked[serial].scheduled_s == due_s
