"""Says what an answer to one POST means for each device in it, and for the backend as a whole.

A dialect makes verdicts (see `dialect`); they decide what is sent next (see the package).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from mqtt_http_bridge.core.delivery.refusal import Cause, Refusal


class BackendCondition(Enum):
    """Lists the states of the backend, independent of the measurement."""

    ANSWERING = auto()
    """It has judged what was sent."""
    FAILING = auto()
    """This will pass: try again, more and more slowly."""
    MISCONFIGURED = auto()
    """A setting has to be fixed first: try slowly."""


class Outcome(Enum):
    """Lists how a POST can end."""

    JUDGED = auto()
    """Each device was judged separately: what is owed has a fault of its own."""
    REJECTED = auto()
    """All of it was rejected because of some of its devices: what is owed has no fault at all."""
    FAILED = auto()
    """The backend failed, perhaps because of this very measurement."""
    UNAVAILABLE = auto()
    """The backend failed, whatever it is sent, or gave no answer."""
    UNREACHABLE = auto()
    """The same, and no byte of the measurement was sent."""
    OVERLOADED = auto()
    """The backend wants fewer requests, whatever is in them."""
    MISCONFIGURED = auto()
    """The wrong address, or something else that answers in the backend's place."""
    KEY_REFUSED = auto()
    """The wrong key: a different one may work."""

    @property
    def condition(self) -> BackendCondition:
        """Returns what it says about the backend."""
        return _CONDITIONS[self]


_CONDITIONS: Final = {
    Outcome.JUDGED: BackendCondition.ANSWERING,
    Outcome.REJECTED: BackendCondition.ANSWERING,
    Outcome.FAILED: BackendCondition.FAILING,
    Outcome.UNAVAILABLE: BackendCondition.FAILING,
    Outcome.UNREACHABLE: BackendCondition.FAILING,
    Outcome.OVERLOADED: BackendCondition.FAILING,
    Outcome.MISCONFIGURED: BackendCondition.MISCONFIGURED,
    Outcome.KEY_REFUSED: BackendCondition.MISCONFIGURED,
}


class Fate(Enum):
    """Lists what becomes of a device's report if it is not refused."""

    STORED = auto()
    """Done: it is never sent again."""
    OWED = auto()
    """It is sent again as it is."""


DeviceFate = Fate | Refusal


class ByFate:
    """Sorts devices by what becomes of their reports."""

    __slots__ = ()

    fates: Mapping[str, DeviceFate]
    """By serial, one for each device."""

    @property
    def stored(self) -> frozenset[str]:
        """Lists the devices that are done."""
        return frozenset(s for s, fate in self.fates.items() if fate is Fate.STORED)

    @property
    def owed(self) -> frozenset[str]:
        """Lists the devices to be sent again."""
        return frozenset(s for s, fate in self.fates.items() if fate is Fate.OWED)

    @property
    def refused(self) -> dict[str, Refusal]:
        """Lists the devices to be parked until somebody fixes a setting, and why."""
        return {s: fate for s, fate in self.fates.items() if isinstance(fate, Refusal)}


@dataclass(frozen=True, slots=True)
class Verdict(ByFate):
    """Says what one answer means."""

    outcome: Outcome
    fates: Mapping[str, DeviceFate]
    """By serial, one for each device that was sent."""
    reason: str = ""
    """The trouble, for people; empty if all is stored."""
    cause: Cause | None = None
    """The cause to fix before anything can be stored, if known."""
    retry_after_s: float | None = None
    """The pause that the backend has asked for."""
    remedy: str = ""
    """The remedy, for people; empty if none is known."""

    @property
    def condition(self) -> BackendCondition:
        """Returns the state of the backend."""
        return self.outcome.condition

    @property
    def said(self) -> str:
        """Returns the trouble with its remedy, for a line of a log."""
        return f"{self.reason}: {self.remedy}" if self.remedy else self.reason

    @property
    def is_done(self) -> bool:
        """True if the backend has stored every device."""
        is_answering = self.condition is BackendCondition.ANSWERING
        return is_answering and all(fate is Fate.STORED for fate in self.fates.values())


def all_owed(
    outcome: Outcome,
    serials: Iterable[str],
    reason: str,
    *,
    cause: Cause | None = None,
    retry_after_s: float | None = None,
    remedy: str = "",
) -> Verdict:
    """Returns the verdict for an answer that says nothing about any device: nothing is stored."""
    fates = dict.fromkeys(serials, Fate.OWED)
    return Verdict(outcome, fates, reason, cause, retry_after_s, remedy)
