"""Defines the state of the service as immutable values, which any thread may read."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple

from mqtt_http_bridge.core.broker_failure import BrokerFailure
from mqtt_http_bridge.core.events import NEVER, Moment
from mqtt_http_bridge.core.measurement import DeviceReport
from mqtt_http_bridge.core.omission import Omission, Remark
from mqtt_http_bridge.core.venus.readings import ChargerKey

DROPPED: Final = "dropped by a person"
"""The reason of a loss that a person asked for."""
_LONGEST_REASON: Final = 200
"""The most characters of all reasons of one loss."""


class ChargerView(NamedTuple):
    """Shows one charger: its report, or why there is none."""

    key: ChargerKey
    serial: str | None
    name: str
    is_on_bus: bool
    state: int | None
    """The code of its state; None: unknown."""
    heard_s: float
    """The last time it was heard, on the monotonic clock; minus infinity for never."""
    report: DeviceReport | None
    omission: Omission | None = None
    """The reason why it is left out of measurements; None if it is not."""
    remarks: tuple[Remark, ...] = ()
    """Other things that people should know about it."""
    left_out: int = 0
    """The number of measurements it was missing from, since the start or since it was forgotten."""
    power_w: float | None = None
    """Its power, even if there is no report of it; None: not known."""
    total_kwh: float | None = None
    """Its total yield, even if there is no report of it; None: not known."""


class SiteView(NamedTuple):
    """Shows one GX and its chargers."""

    portal_id: str
    name: str
    heard_s: float
    """The last time it said anything, on the monotonic clock; minus infinity for never."""
    chargers: tuple[ChargerView, ...]
    measured_s: float = -NEVER
    """The last time it was measured, even if there was nothing to report; the same clock."""
    has_heartbeat: bool = True
    """False for a GX that publishes without heartbeats: Venus OS before 3.20, or a mirror."""
    is_old: bool = False
    """True if it answers only the keepalives that Venus OS before 3.20 understands."""


class RelayView(NamedTuple):
    """Shows what the relay knows at `moment`."""

    moment: Moment
    is_connected: bool = False
    failure: BrokerFailure | None = None
    """The reason why there is no connection to the broker, if that is known."""
    sites: tuple[SiteView, ...] = ()
    """The GX devices that the config lists, or that have been heard."""
    unheard: tuple[str, ...] = ()
    """The portal ids that the broker announces, but that were never heard."""
    deaf_reconnects: int = 0
    malformed_messages: int = 0
    refused_topics: tuple[str, ...] = ()
    """Topic filters to which the broker will not let us subscribe, on this connection."""
    measurements: int = 0

    def name_of(self, serial: str) -> str:
        """Returns the name of the charger with this serial; empty if no charger has it."""
        found = (c.name for site in self.sites for c in site.chargers if c.serial == serial)
        return next(found, "")


class DeviceResult(StrEnum):
    """Lists the possible results of sending a device report."""

    STORED = "stored"
    REFUSED = "refused"
    """The backend will not store it until somebody fixes a setting."""
    OWED = "owed"
    """The backend did not store it this time, and stored others."""
    FAILED = "failed"
    """The backend stored nothing at all."""


class DeviceVerdict(NamedTuple):
    """Holds the last result for one device."""

    result: DeviceResult
    moment: Moment
    reason: str = ""
    """The reason why it is not stored; empty if it is."""
    stored: Moment | None = None
    """The last time the backend stored something of it; None: not since the start."""
    number: int = 0
    """The number of the entry it is about; results of older entries are ignored."""


class Unstored(NamedTuple):
    """Says why the backend has not stored the report of a device."""

    reason: str
    remedy: str = ""
    """Empty if nothing is known to do about it."""
    is_refused: bool = False
    """True if it is parked until somebody fixes a setting."""


class GxDelivery(NamedTuple):
    """Shows what became of the measurements of one GX that were sent."""

    newest: int = 0
    """The number of the newest one."""
    tried: Moment | None = None
    """The last time it was sent."""
    is_answered: bool = False
    """True if the backend has answered for it; otherwise the backend as a whole was in trouble."""
    unstored: Mapping[str, Unstored] = MappingProxyType({})
    """Its devices that the backend has not stored; empty if it has stored all."""
    stored: Moment | None = None
    """The last time the backend stored the newest measurement completely; None: not since the
    start."""
    stored_timestamp: str = ""
    """The timestamp of that measurement, as it was sent."""
    devices: Mapping[str, DeviceVerdict] = MappingProxyType({})
    """The last verdict on each device, by serial."""
    reports: Mapping[DeviceResult, int] = MappingProxyType({})
    """The number of device reports that were sent, by result."""


class BackendView(NamedTuple):
    """Shows how the backend has answered so far."""

    moment: Moment | None = None
    """The time of the last answer, or of the last try that got none."""
    is_taking: bool = False
    """True if something of the last POST was stored."""
    status: int | None = None
    """The last HTTP status; None if no answer came."""
    reason: str = ""
    """The reason why the last POST failed; empty if it did not."""
    remedy: str = ""
    """The remedy for that; empty if none is known."""
    results: Mapping[str, int] = MappingProxyType({})
    """The number of POSTs by result: `stored`, `partly`, `failed`."""
    gx: Mapping[str, GxDelivery] = MappingProxyType({})
    """The results for the measurements of each GX, by portal id."""

    @property
    def said(self) -> str:
        """Returns why the last POST failed, and what to fix."""
        return f"{self.reason}: {self.remedy}" if self.remedy else self.reason


class ParkedView(NamedTuple):
    """Shows the parked reports of one device, and why they are parked."""

    serial: str
    reports: int
    reason: str
    """The backend's answer, in its own words."""
    remedy: str
    """The advice to the user."""
    since_s: float = NEVER
    """The time since which its oldest report is owed, on the monotonic clock; infinity: not known.
    """


class GxOwed(NamedTuple):
    """Shows the measurements of one GX that the backend has not stored yet."""

    waiting: int = 0
    newest: int = 0
    """The number of the newest that waits; 0: none waits."""
    since_s: float = NEVER
    """The time since which the oldest waits, on the monotonic clock; infinity: none waits."""
    parked: tuple[ParkedView, ...] = ()


@dataclass(frozen=True, slots=True)
class Loss:
    """Counts measurements that were given up; the times are the first and the last timestamp."""

    count: int
    since: str
    until: str
    reasons: tuple[str, ...]
    """One reason, or several once losses were merged; none twice."""

    def __post_init__(self) -> None:
        texts = (self.since, self.until, *self.reasons)
        if type(self.count) is not int or not all(isinstance(text, str) for text in texts):
            raise TypeError("expected a count, two times and reasons")

    @property
    def reason(self) -> str:
        """Returns its reasons as one text."""
        return ", ".join(self.reasons)

    @property
    def is_wanted(self) -> bool:
        """True if a person asked for all of it."""
        return self.reasons == (DROPPED,)

    def __str__(self) -> str:
        time = f"from {self.since} to {self.until}" if self.since else "of unknown time"
        return f"{self.count} {time} ({self.reason})"

    def merged(self, later: "Loss") -> "Loss":
        """Merges two losses into one. Reasons that would make its text too long are left out."""
        reasons = self.reasons
        for reason in later.reasons:
            if reason not in reasons and sum(map(len, (*reasons, reason))) < _LONGEST_REASON:
                reasons = (*reasons, reason)
        known = [loss.since for loss in (self, later) if loss.since]
        since, until = min(known, default=""), max(self.until, later.until)
        return Loss(self.count + later.count, since, until, reasons)


class OutboxView(NamedTuple):
    """Shows the state of the outbox."""

    waiting: int = 0
    bytes: int = 0
    """The size of everything that waits or is parked."""
    oldest: str | None = None
    """The timestamp of the oldest measurement that waits."""
    parked: tuple[ParkedView, ...] = ()
    lost: tuple[Loss, ...] = ()
    damaged: int = 0
    """The number of damaged places, kept as files for a person to look at."""
    hours_of_room: float | None = None
    """Hours until it is full at the current rate; None while the disk does not say."""
    in_memory: int = 0
    """Measurements in memory only: they are lost if the process ends now."""
    fault: str = ""
    """The current error of the disk; empty if there is none."""
    gx: Mapping[str, GxOwed] = MappingProxyType({})
    """The measurements owed of each GX, by portal id; only GX devices that have any."""
    looked_s: float = -NEVER
    """The time of this state, on the monotonic clock."""


class HeardBefore(NamedTuple):
    """Names a GX that was heard by the previous process."""

    portal_id: str
    name: str
    heard: float
    """The last time it was heard, in Unix seconds."""


class StatusView(NamedTuple):
    """Shows everything about one service at `now`."""

    version: str
    started: Moment
    now: Moment
    relay: RelayView
    backend: BackendView
    outbox: OutboxView
    interval_s: float = 30.0
    """Seconds between two measurements."""
    heard_before: tuple[HeardBefore, ...] = ()
    """The GX devices to be relayed that were heard before the start."""
    is_over: bool = False
    """True if a recording was played to its end: nothing more comes, and time has stopped."""
