"""How things stand, as values that any thread may read: made by the thread that owns the thing."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from mqtt_http_bridge.core.events import Moment
from mqtt_http_bridge.core.measurement import DeviceReport
from mqtt_http_bridge.core.venus import ChargerKey

Points = tuple[tuple[float, float], ...]
"""(Unix seconds, W), oldest first; a gap in time is a gap in what is known."""


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
    report: DeviceReport | None
    omission: str = ""
    """Why it is left out of measurements; empty if it is not."""


@dataclass(frozen=True, slots=True)
class SiteView:
    """One GX."""

    portal_id: str
    name: str
    heard_s: float
    """When it last said anything, on the monotonic clock; minus infinity for never."""
    chargers: tuple[ChargerView, ...]


@dataclass(frozen=True, slots=True)
class RelayView:
    """What the relay knows at `moment`."""

    moment: Moment
    is_connected: bool = False
    trouble: str = ""
    """Why there is no connection to the broker, if that is known."""
    sites: tuple[SiteView, ...] = ()
    deaf_reconnects: int = 0
    malformed_messages: int = 0
    measurements: int = 0
    history: Mapping[str, Points] = field(default_factory=lambda: MappingProxyType({}))
    """The power of each charger in the last hours, by serial."""


@dataclass(frozen=True, slots=True)
class BackendView:
    """What the backend has answered so far."""

    moment: Moment | None = None
    """That of the last answer, or of the last try that got none."""
    is_taking: bool = False
    status: int | None = None
    """The last HTTP status; None where no answer came."""
    reason: str = ""
    """What was wrong with the last one; empty if nothing was."""
    results: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    """How many POSTs ended how: `stored`, `partly`, `failed`."""
    stored: Mapping[str, Moment] = field(default_factory=lambda: MappingProxyType({}))
    """When the backend last took something of each device, by serial."""


@dataclass(frozen=True, slots=True)
class ParkedView:
    """What is set aside of one device, and why."""

    serial: str
    count: int
    reason: str


@dataclass(frozen=True, slots=True)
class LossView:
    """Measurements in a row that were given up."""

    count: int
    since: str
    until: str
    reason: str


@dataclass(frozen=True, slots=True)
class OutboxView:
    """What waits for the backend."""

    waiting: int = 0
    bytes: int = 0
    oldest: str | None = None
    parked: tuple[ParkedView, ...] = ()
    lost: tuple[LossView, ...] = ()
    damaged: int = 0
    hours_of_room: float | None = None


@dataclass(frozen=True, slots=True)
class StatusView:
    """Everything there is to see of one service at `now`."""

    version: str
    started: Moment
    now: Moment
    relay: RelayView
    backend: BackendView
    outbox: OutboxView
