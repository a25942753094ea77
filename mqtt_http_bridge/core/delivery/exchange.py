"""Sends one entry in as few POSTs as it takes: whole, or in parts if the backend fails.

As a rule, an entry is one POST. It takes more if an answer says nothing about the devices (500):
either one of them is at fault or the backend is down, and both give exactly the same answer. The
difference is whether the backend accepts *any* device. So the parts are sent in this order:

    nothing has been answered yet   one device alone: it shows whether the backend is up at all;
                                    if it fails, too, that is all for now, and another has its
                                    turn the next time
    something has been answered,    the rest in one, and whatever fails by halves: so each device
    or others have passed           that the backend fails on is found, and all others are stored
    422                             the same without the devices that are named, at once
    any other trouble               the end: what is left is owed

A backend that is down is therefore asked twice at first and then once, not once for each device.
Devices that are already under suspicion go last, and by themselves.
"""

from collections import deque
from collections.abc import Collection, Mapping, Sequence

from mqtt_http_bridge.core.delivery.refusal import Refusal
from mqtt_http_bridge.core.delivery.verdict import ByFate, DeviceFate, Fate, Outcome, Verdict

Group = tuple[str, ...]
"""Serials of devices that go in one POST."""


class Exchange(ByFate):
    """Guides one entry: ask for a group, send it, report the result."""

    def __init__(
        self,
        serials: Sequence[str],
        *,
        probe: int = 0,
        is_failing: bool = False,
        is_up: bool = False,
        refused: Mapping[str, Refusal] | None = None,
        apart: Collection[str] = (),
        later: Collection[str] = (),
        is_whole: bool = False,
    ) -> None:
        """Sends nothing yet.

        `probe` names the device to send alone first, if any. `is_failing`: the backend stored
        nothing of this GX the last time. `is_up`: it has stored something of others since.
        `refused` devices are not sent, those in `apart` are sent alone, those in `later` stay owed.
        `is_whole`: do not split the entry.
        """
        refused = refused or {}
        self.serials = tuple(dict.fromkeys(serials))
        self.fates: dict[str, DeviceFate] = {s: refused.get(s, Fate.OWED) for s in self.serials}
        self.verdicts: dict[str, Verdict] = {}
        """The last verdict on each device that was sent."""
        self.posts = 0
        self.last: Verdict | None = None
        """The verdict on the last POST."""
        self.failed_alone: set[str] = set()
        self.not_stored: set[str] = set()
        """The devices that could not be stored because of a fault that should pass."""
        self.has_failed = False
        """True once the backend has failed on any of it."""
        self.is_answered = False
        """True once the backend has judged devices: it is up."""
        self._probe = probe
        self._is_whole = is_whole
        self._is_up = is_up
        self._failures_left = 1 if is_failing or is_whole else 2
        sent = [s for s in self.serials if s not in refused and s not in later]
        self._groups: deque[Group] = deque()
        self._add(tuple(s for s in sent if s not in apart), is_split=is_failing and not is_whole)
        alone = [(serial,) for serial in sent if serial in apart]
        first = probe % len(alone) if alone and is_failing else 0
        self._groups += alone[first:] + alone[:first]

    def next_group(self) -> Group | None:
        """Returns the devices to send in the next POST; None at the end."""
        return self._groups.popleft() if self._groups else None

    def refuse(self, serial: str, refusal: Refusal) -> None:
        """Notes that a device is already known to be refused: it was not sent."""
        self.fates[serial] = refusal

    def take_in(self, group: Group, verdict: Verdict) -> None:
        """Applies the result of sending `group`."""
        self.posts += 1
        self.last = verdict
        for serial in group:
            self.fates[serial] = verdict.fates.get(serial, Fate.OWED)
            self.verdicts[serial] = verdict
        match verdict.outcome:
            case Outcome.JUDGED:
                self.is_answered = True
                self.not_stored |= verdict.owed
            case Outcome.REJECTED:
                self.is_answered = True
                self._add(tuple(s for s in group if s in verdict.owed and len(group) > 1))
            case Outcome.FAILED if verdict.retry_after_s is None:
                self._take_in_failure(group)
            case _:
                self._groups.clear()

    def _take_in_failure(self, group: Group) -> None:
        self.has_failed = True
        if len(group) == 1:
            self.failed_alone.add(group[0])
        if not (self.is_answered or self._is_up):
            self._failures_left -= 1
            if self._failures_left == 0:
                self._groups.clear()
                return
        if not self._is_whole and len(group) > 1:
            self._add(group, is_split=True)

    def _add(self, group: Group, *, is_split: bool = False) -> None:
        """Queues a group to be sent next, in two parts if `is_split`."""
        if is_split and len(group) > 1:
            first = self._first_part(group)
            rest = tuple(serial for serial in group if serial not in first)
            self._groups.extendleft([rest, first])
        elif group:
            self._groups.appendleft(group)

    def _first_part(self, group: Group) -> Group:
        if self.is_answered or self._is_up:
            return group[: len(group) // 2]
        return (group[self._probe % len(group)],)

    # --- what came of it ---------------------------------------------------------------------

    @property
    def is_all_stored(self) -> bool:
        """Tells whether the backend has stored all of it, in the end."""
        return all(fate is Fate.STORED for fate in self.fates.values())

    @property
    def is_failed(self) -> bool:
        """Tells whether the backend failed on the last POST, which may be the fault of a device."""
        return self.last is not None and self.last.outcome is Outcome.FAILED

    @property
    def sent(self) -> Collection[str]:
        """Lists the devices that were in any of the POSTs."""
        return self.verdicts.keys()
