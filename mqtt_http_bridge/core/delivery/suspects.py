"""Finds the devices that the backend fails on, by comparison with other devices.

    a device is      after                                               its reports are sent
    ---------------  --------------------------------------------------  ------------------------
    sound            one of its reports was stored                       with those of the others
    suspected, once  it failed alone, after another device was stored    alone, after the others
    suspected, twice it failed alone again, 10 s later or more, and      the same
                     another device was stored in between
    a culprit        another device was stored once more                 never, but for a try

If the backend has recently failed by chance, it takes six failures alone instead of two, each with
others stored in between.

In an outage all fail, and nothing is stored in between: nobody gets past the second line. One
chance 500 gets a device to the second line, and its next report takes it back to the first.
"""

from dataclasses import dataclass
from typing import Final

from mqtt_http_bridge.core.delivery.evidence import Evidence
from mqtt_http_bridge.core.delivery.refusal import FAILS_ALONE, Refusal
from mqtt_http_bridge.core.delivery.waits import LEAST_APART_S

FAILURES: Final = 2
FAILURES_BY_CHANCE: Final = 6
"""With 500 for one POST in ten, a healthy device is blamed once in a million measurements."""


@dataclass(slots=True)
class _Suspicion:
    """A device that has failed alone."""

    failures: int
    said: str
    moment: int
    """The moment of the evidence at the last failure that counted."""
    failed_s: float


class Suspects:
    """Keeps the suspected devices of one GX."""

    def __init__(self, evidence: Evidence) -> None:
        """Uses `evidence`, which covers all GX devices."""
        self._evidence = evidence
        self._suspicions: dict[str, _Suspicion] = {}

    def __contains__(self, serial: object) -> bool:
        return serial in self._suspicions

    def __bool__(self) -> bool:
        return bool(self._suspicions)

    def note_failed_alone(self, serial: str, said: str, now_s: float) -> None:
        """Notes that the backend failed on a report of this device and nothing else."""
        known = self._suspicions.get(serial)
        if known is None:
            if self._evidence.has_another_since(0, serial):
                self._suspicions[serial] = _Suspicion(1, said, self._evidence.moment, now_s)
        elif now_s >= known.failed_s + LEAST_APART_S and self._evidence.has_another_since(
            known.moment, serial
        ):
            self._suspicions[serial] = _Suspicion(
                known.failures + 1, said, self._evidence.moment, now_s
            )

    def clear(self, serial: str) -> None:
        """Notes that the backend has stored, or judged, a report of the device."""
        self._suspicions.pop(serial, None)

    def is_due(self, serial: str, now_s: float) -> bool:
        """Tells whether another failure of the device would count by now."""
        return now_s >= self._suspicions[serial].failed_s + LEAST_APART_S

    def convict(self, serial: str, now_s: float) -> Refusal | None:
        """Returns the refusal of a device that the backend fails on, and on no other device."""
        known = self._suspicions.get(serial)
        needed = FAILURES_BY_CHANCE if self._evidence.has_chance_failures(now_s) else FAILURES
        if known is None or known.failures < needed:
            return None
        if not self._evidence.has_another_since(known.moment, serial):
            return None
        self.clear(serial)
        return Refusal(FAILS_ALONE, known.said)
