"""Shows how things stand, as values that any thread may read, made by the owner of each thing."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from mqtt_http_bridge.core.broker_failure import BrokerFailure
from mqtt_http_bridge.core.events import NEVER, Moment
from mqtt_http_bridge.core.measurement import DeviceReport
from mqtt_http_bridge.core.omission import Omission, Remark
from mqtt_http_bridge.core.venus.readings import ChargerKey

DROPPED: Final = "dropped by a person"
"""The reason of a loss that somebody wanted."""
_LONGEST_REASON = 200


@dataclass(frozen=True, slots=True)
class ChargerView:
    """One charger: what is reported of it, or why nothing is."""

    key: ChargerKey
    serial: str | None
    name: str
    is_on_bus: bool
    state: int | None
    """The code of what it does; None: unknown."""
    heard_s: float
    """The last time it was heard, on the monotonic clock; minus infinity for never."""
    report: DeviceReport | None
    omission: Omission | None = None
    """The reason why it is left out of measurements; None if it is not."""
    remarks: tuple[Remark, ...] = ()
    """Other things people should know of it."""
    left_out: int = 0
    """In how many measurements it was not, since the start or since it was forgotten."""
    power_w: float | None = None
    """Known also of a charger of which there is no report; None: not known."""
    total_kwh: float | None = None
    """As `power_w`."""


@dataclass(frozen=True, slots=True)
class SiteView:
    """One GX."""

    portal_id: str
    name: str
    heard_s: float
    """The last time it said anything, on the monotonic clock; minus infinity for never."""
    chargers: tuple[ChargerView, ...]
    measured_s: float = -NEVER
    """The last time it was measured, be it that there was nothing to report; as above."""
    has_heartbeat: bool = True
    """False for a GX that speaks without one: Venus OS before 3.20, or a mirror."""
    is_old: bool = False
    """True if it answers only to what Venus OS before 3.20 understands."""


@dataclass(frozen=True, slots=True)
class RelayView:
    """The knowledge of the relay at `moment`."""

    moment: Moment
    is_connected: bool = False
    failure: BrokerFailure | None = None
    """The reason why there is no connection to the broker, if that is known."""
    sites: tuple[SiteView, ...] = ()
    """The GX devices that the config lists, or that have been heard."""
    unheard: tuple[str, ...] = ()
    """The portal ids that the broker tells of, and that were never heard."""
    deaf_reconnects: int = 0
    malformed_messages: int = 0
    refused_topics: tuple[str, ...] = ()
    """Topic filters to which the broker will not let us subscribe, on this connection."""
    measurements: int = 0

    def name_of(self, serial: str) -> str:
        """Tells what the charger with this serial is called; empty: none is known that has it."""
        found = (c.name for site in self.sites for c in site.chargers if c.serial == serial)
        return next(found, "")


class DeviceResult(StrEnum):
    """The fates of a device report that was sent."""

    STORED = "stored"
    REFUSED = "refused"
    """The backend will not store it until somebody fixes a setting."""
    OWED = "owed"
    """The backend did not store it this time, and stored others."""
    FAILED = "failed"
    """The backend stored nothing at all."""


@dataclass(frozen=True, slots=True)
class DeviceVerdict:
    """The last verdict on one device."""

    result: DeviceResult
    moment: Moment
    reason: str = ""
    """The reason why it is not stored; empty if it is."""
    stored: Moment | None = None
    """The last time the backend stored something of it; None: not since the start."""
    number: int = 0
    """That of the entry it is about: what comes of an older one is no news."""


@dataclass(frozen=True, slots=True)
class Unstored:
    """The reason why the backend has not stored what a device measured."""

    reason: str
    remedy: str = ""
    """The remedy; empty where it may pass by itself."""
    is_refused: bool = False
    """It is parked until somebody fixes a setting."""


@dataclass(frozen=True, slots=True)
class GxDelivery:
    """The fate of the measurements of one GX that were sent."""

    newest: int = 0
    """The number of the newest one."""
    tried: Moment | None = None
    """The last time that was sent."""
    is_answered: bool = False
    """True if the backend has judged it; else the backend as a whole was in trouble."""
    unstored: Mapping[str, Unstored] = field(default_factory=lambda: MappingProxyType({}))
    """The devices of it that the backend has not stored; empty if it has stored all."""
    stored: Moment | None = None
    """The last time the backend stored the whole of what was the newest; None: not since the start.
    """
    stored_timestamp: str = ""
    """The timestamp of that one, as it was sent."""
    devices: Mapping[str, DeviceVerdict] = field(default_factory=lambda: MappingProxyType({}))
    """The last verdict on each device, by serial."""
    reports: Mapping[DeviceResult, int] = field(default_factory=lambda: MappingProxyType({}))
    """Device reports that were sent, by what came of each."""


@dataclass(frozen=True, slots=True)
class BackendView:
    """The answers of the backend so far."""

    moment: Moment | None = None
    """That of the last answer, or of the last try that got none."""
    is_taking: bool = False
    """True if something of the last POST was stored."""
    status: int | None = None
    """The last HTTP status; None where no answer came."""
    reason: str = ""
    """The trouble with the last one; empty if there was none."""
    results: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    """POSTs by how they ended: `stored`, `partly`, `failed`."""
    gx: Mapping[str, GxDelivery] = field(default_factory=lambda: MappingProxyType({}))
    """The fate of the measurements of each GX, by portal id."""


@dataclass(frozen=True, slots=True)
class ParkedView:
    """The parked reports of one device, and why they are parked."""

    serial: str
    count: int
    reason: str
    """The words of the backend."""
    remedy: str
    """The remedy."""
    since_s: float = NEVER
    """Since when the oldest of it is owed, on the monotonic clock; infinity: not known."""


@dataclass(frozen=True, slots=True)
class GxOwed:
    """The measurements of one GX that the backend has yet to store."""

    waiting: int = 0
    newest: int = 0
    """The number of the newest that waits; 0: none waits."""
    since_s: float = NEVER
    """Since when the oldest waits, on the monotonic clock; infinity: none waits."""
    parked: tuple[ParkedView, ...] = ()


@dataclass(frozen=True, slots=True)
class Loss:
    """Measurements that were given up; the times are the first and the last timestamp."""

    count: int
    since: str
    until: str
    reason: str

    def __post_init__(self) -> None:
        texts = (self.since, self.until, self.reason)
        if type(self.count) is not int or not all(isinstance(text, str) for text in texts):
            raise TypeError("expected a count and three texts")

    def __str__(self) -> str:
        time = f"from {self.since} to {self.until}" if self.since else "of unknown time"
        return f"{self.count} {time} ({self.reason})"

    def merged(self, later: "Loss") -> "Loss":
        """Makes one of the two."""
        reason = self.reason
        if later.reason not in reason and len(reason) + len(later.reason) < _LONGEST_REASON:
            reason = f"{reason}, {later.reason}"
        known = [loss.since for loss in (self, later) if loss.since]
        since, until = min(known, default=""), max(self.until, later.until)
        return Loss(self.count + later.count, since, until, reason)


@dataclass(frozen=True, slots=True)
class OutboxView:
    """The state of the outbox."""

    waiting: int = 0
    bytes: int = 0
    """Of all that waits or is parked."""
    oldest: str | None = None
    """The timestamp of the oldest measurement that waits."""
    parked: tuple[ParkedView, ...] = ()
    lost: tuple[Loss, ...] = ()
    damaged: int = 0
    """Files that were no measurements, and are kept apart for a person."""
    hours_of_room: float | None = None
    """Hours for which it can go on growing by what comes in; None while the disk does not tell."""
    in_memory: int = 0
    """Those that only memory has: they are lost if the process ends now."""
    fault: str = ""
    """The refusal of the disk at the moment; empty if there is none."""
    gx: Mapping[str, GxOwed] = field(default_factory=lambda: MappingProxyType({}))
    """The measurements owed of each GX, by portal id; a GX of which nothing is owed is not there.
    """
    looked_s: float = -NEVER
    """The time at which this was so, on the monotonic clock."""


@dataclass(frozen=True, slots=True)
class HeardBefore:
    """A GX that was heard by the process before this one."""

    portal_id: str
    name: str
    heard: float
    """The last time it was heard, in Unix seconds."""


@dataclass(frozen=True, slots=True)
class StatusView:
    """Everything there is to see of one service at `now`."""

    version: str
    started: Moment
    now: Moment
    relay: RelayView
    backend: BackendView
    outbox: OutboxView
    interval_s: float = 30.0
    """Between two measurements."""
    heard_before: tuple[HeardBefore, ...] = ()
    """The GX devices to be relayed that were heard before the start."""
    is_over: bool = False
    """A recording was played to its end: nothing more comes, and time stands still."""
