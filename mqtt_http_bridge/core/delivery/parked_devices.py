"""Keeps the devices of one GX that have parked reports, and decides when to try those again.

One `ok` frees all that is parked of a device: in a new measurement, if the device is still sent, or
in a try. What was parked for a fault of one report (`Scope.REPORT`) is freed only by a try: that
the device's other reports are stored proves nothing.

Tries come after 1, 5, 15 and 60 min, and then each hour: with the newest report, and every other
time with the next of the older ones, as the newest may be at fault itself. A try that gets no
answer says nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from mqtt_http_bridge.core.delivery.owed import Owed
from mqtt_http_bridge.core.delivery.refusal import UNKNOWN, Refusal, Scope
from mqtt_http_bridge.core.delivery.waits import SLOW_STEPS_S, slow_step_s

_FIRST_STEP_S: Final = SLOW_STEPS_S[0]


@dataclass(slots=True)
class ParkedDevice:
    """Holds what is known about one device."""

    refusal: Refusal
    newest: int
    """The number of its newest report that is parked."""
    due_s: float
    refusals: int = 1
    tried: int = 0
    """The number of the report that was tried last, not counting the newest."""
    scheduled_s: float | None = None
    """The time at which the plan will look at it; None: the plan does not know it yet."""


class ParkedDevices:
    """Keeps them, by serial."""

    def __init__(self) -> None:
        self._devices: dict[str, ParkedDevice] = {}

    def __contains__(self, serial: object) -> bool:
        return serial in self._devices

    def __getitem__(self, serial: str) -> ParkedDevice:
        return self._devices[serial]

    def next_to_try(self, serial: str, owed: Owed, portal_id: str) -> int | None:
        """Chooses which report of the device to try; None if nothing is parked of it."""
        device = self._devices[serial]
        number: int | None = device.newest
        if device.refusals % 2 == 0:
            number = owed.parked_after(portal_id, serial, device.tried)
            if number == device.newest:  # Each of the older ones has had its turn.
                number = None
        if number is None or owed.parked_after(portal_id, serial, number - 1) != number:
            number = owed.parked_after(portal_id, serial)
        if number != device.newest:
            device.tried = number or 0
        return number

    def __iter__(self) -> Iterator[str]:
        return iter(self._devices)

    def restore(self, serial: str, refusal: Refusal, newest: int, now_s: float) -> None:
        """Notes what was parked before the start: somebody may have fixed it, so it is due."""
        self._devices[serial] = ParkedDevice(refusal, newest, now_s, refusals=0)

    def note_refused(self, serial: str, refusal: Refusal, number: int, now_s: float) -> None:
        """Notes that one more report is parked; while new ones are refused, none is tried."""
        device = self._devices.get(serial)
        if device is None:
            due_s = now_s + _FIRST_STEP_S
            self._devices[serial] = ParkedDevice(refusal, number, due_s)
            return
        if refusal.scope is Scope.DEVICE:
            device.due_s = max(device.due_s, now_s + _FIRST_STEP_S)
        device.refusal = refusal
        device.newest = max(device.newest, number)

    def note_try_failed(self, serial: str, refusal: Refusal | None, now_s: float) -> None:
        """Notes that a try was refused, or that the backend failed on it (None)."""
        device = self._devices[serial]
        device.refusal = refusal or device.refusal
        device.refusals += 1
        device.due_s = now_s + slow_step_s(device.refusals)

    def refusal_of(self, serial: str) -> Refusal:
        """Returns why a device is parked, if that is known."""
        device = self._devices.get(serial)
        return device.refusal if device is not None else Refusal(UNKNOWN, "")

    def poison(self) -> dict[str, Refusal]:
        """Returns the devices that are not to be sent with others."""
        return {
            serial: device.refusal
            for serial, device in self._devices.items()
            if device.refusal.scope is Scope.POISON
        }

    def is_freed_by(self, serial: str, *, is_try: bool) -> bool:
        """Tells whether an `ok` for the device frees what is parked of it."""
        device = self._devices.get(serial)
        return device is not None and (is_try or device.refusal.scope is not Scope.REPORT)

    def forget(self, serial: str) -> None:
        """Notes that nothing is parked of the device any more."""
        self._devices.pop(serial, None)

    def have_due(self, now_s: float) -> None:
        """Has each tried now: a person has fixed a setting."""
        for device in self._devices.values():
            device.due_s = now_s
            device.refusals = 0
            device.scheduled_s = None
