"""Defines the state file: the state of a running service, as a document for other processes.

The service writes it when something has changed, but at most once in `LEAST_SPACING_S`, and about
once an interval, so that a reader can distinguish a service that hangs from one with no news. While
all is well, it looks for changes about twice a minute. A reader believes the file as long as the
outbox is locked or the process in the file is there, the file was written since the machine
started, and it is younger than `longest_age_s`. Otherwise it only shows when the service ended:
"not running since".

Times are Unix seconds, except `written_s`, which is on the monotonic clock: steps of the wall clock
do not affect it, and together with the boot id it says how old the document is.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from mqtt_http_bridge.core.events import NEVER, Moment
from mqtt_http_bridge.core.settings import MqttSettings
from mqtt_http_bridge.core.status.problem import Problem
from mqtt_http_bridge.core.status.problems import notes
from mqtt_http_bridge.core.status.well import GxWell, well
from mqtt_http_bridge.core.views import (
    DeviceResult,
    GxDelivery,
    GxOwed,
    HeardBefore,
    SiteView,
    StatusView,
)

LEAST_SPACING_S: Final = 10.0
"""A look costs as much CPU time as what a charger says in ten seconds."""
PUT_OFF_S: Final = 5.0
"""Seconds that a write waits for the next message, if nothing has changed for an interval: waking
up for nothing else costs more."""
LEAST_PATIENCE_S: Final = 60.0
MOST_GX: Final = 5000
"""The most GX devices to list one by one."""


class Process(NamedTuple):
    """Identifies the process that writes the file."""

    version: str
    pid: int
    boot_id: str
    """Identifies this boot of the machine; empty if it is not known."""
    start_ticks: int
    """The start of the process, in kernel ticks since boot: with the pid, it identifies the
    process."""
    started: float
    config: str
    """The place where its settings were read."""
    interval_s: float
    """Seconds between two measurements."""


class GxState(NamedTuple):
    """Describes one GX."""

    portal_id: str
    name: str
    heard: float | None
    """The last time it said anything; None: never yet."""
    measured: float | None
    """The time of its last measurement; None: never yet."""
    chargers: int
    """The number of chargers that are measured now."""
    is_well: bool | None = None
    """None: it does not count, as it was never heard, or the writer did not say."""
    remark: str = ""
    """A remark on it even though it is well."""
    stored: float | None = None
    """The last time its newest measurement was stored completely; None: not since the start."""
    stored_timestamp: str = ""
    """The timestamp of that measurement, as it was sent."""
    waiting: int = 0
    """The number of its measurements that wait."""
    parked: int = 0
    """The number of parked reports of its devices."""
    owed_since: float | None = None
    """The time since which the oldest of them is owed; None: none is."""


class DeviceState(NamedTuple):
    """The last verdict on one device."""

    serial: str
    result: DeviceResult
    reason: str
    at: float
    portal_id: str = ""
    """The GX it was sent with."""
    stored: float | None = None
    """The last time something of it was stored; None: not since the start."""


class Owed(NamedTuple):
    """Counts the measurements that the backend has not stored yet."""

    measurements: int
    parked: int
    """The number of device reports that are parked."""
    oldest: str | None
    """The timestamp of the oldest measurement that waits, as it will be sent."""
    in_memory: int = 0
    """The number of measurements that are in memory only."""


class State(NamedTuple):
    """Holds the whole document."""

    process: Process
    written: float
    written_s: float
    gx: tuple[GxState, ...] = ()
    problems: tuple[Problem, ...] = ()
    """The reasons why it is not well; empty if it is."""
    notes: tuple[Problem, ...] = ()
    """Other things that people should know."""
    devices: tuple[DeviceState, ...] = ()
    owed: Owed = Owed(0, 0, None)
    stored: float | None = None
    """The last time the backend stored anything; None: not since the start."""

    @property
    def is_well(self) -> bool:
        """True if all was well when it was written."""
        return not self.problems

    @property
    def longest_age_s(self) -> float:
        """Returns the seconds for which it is believed."""
        return max(2 * self.process.interval_s, LEAST_PATIENCE_S)


# --- writing -------------------------------------------------------------------------------------


def state_of(status: StatusView, process: Process) -> State:
    """Makes the document from what is known at `status.now`."""
    now, backend, outbox, found = status.now, status.backend, status.outbox, well(status)
    judged = {each.portal_id: each for each in found.gx}
    stored = (verdict.stored for gx in backend.gx.values() for verdict in gx.devices.values())
    newest = max((m for m in stored if m is not None), key=lambda m: m.monotonic_s, default=None)
    parked = sum(parked.reports for parked in outbox.parked)
    return State(
        process=process,
        written=_unix_s(now),
        written_s=now.monotonic_s,
        gx=_bounded(_gx_states(status, judged)),
        problems=found.problems,
        notes=tuple(notes(status, found)),
        devices=tuple(_device_states(status)),
        owed=Owed(outbox.waiting, parked, outbox.oldest, outbox.in_memory),
        stored=_unix_s(newest) if newest else None,
    )


def _bounded(states: Iterable[GxState]) -> tuple[GxState, ...]:
    """Leaves out those that are well or unknown if there are too many for a small file."""
    found = tuple(states)
    if len(found) <= MOST_GX:
        return found
    return tuple(sorted(found, key=lambda gx: gx.is_well is not False)[:MOST_GX])


def _gx_states(status: StatusView, judged: Mapping[str, GxWell]) -> Iterator[GxState]:
    """Describes each GX; one that was heard before stays known across restarts."""
    before = {known.portal_id: known for known in status.heard_before}
    for site in status.relay.sites:
        state = _gx_state(site, judged.get(site.portal_id), status)
        known = before.pop(site.portal_id, None)
        yield state._replace(heard=known.heard) if known and state.heard is None else state
    for known in before.values():
        if known.portal_id in judged:
            site = SiteView(known.portal_id, known.name, -NEVER, ())
            yield _gx_state(site, judged[site.portal_id], status)._replace(heard=known.heard)


def _gx_state(site: SiteView, judged: GxWell | None, status: StatusView) -> GxState:
    now, owed = status.now, status.outbox.gx.get(site.portal_id, GxOwed())
    delivery = status.backend.gx.get(site.portal_id, GxDelivery())
    age_s = judged.owed_age_s if judged is not None else 0.0
    return GxState(
        portal_id=site.portal_id,
        name=site.name,
        heard=_unix_s_at(now, site.heard_s),
        measured=_unix_s_at(now, site.measured_s),
        chargers=sum(charger.report is not None for charger in site.chargers),
        is_well=judged.is_well if judged is not None else None,
        remark=judged.remark if judged is not None else "",
        stored=_unix_s(delivery.stored) if delivery.stored else None,
        stored_timestamp=delivery.stored_timestamp,
        waiting=owed.waiting,
        parked=sum(parked.reports for parked in owed.parked),
        owed_since=_unix_s_at(now, now.monotonic_s - age_s) if age_s else None,
    )


def _device_states(status: StatusView) -> Iterator[DeviceState]:
    verdicts = (
        (serial, portal_id, verdict)
        for portal_id, gx in status.backend.gx.items()
        for serial, verdict in gx.devices.items()
    )
    for serial, portal_id, verdict in sorted(verdicts, key=lambda item: item[:2]):
        stored = _unix_s(verdict.stored) if verdict.stored else None
        at = _unix_s(verdict.moment)
        yield DeviceState(serial, verdict.result, verdict.reason, at, portal_id, stored)


def heard_before(states: Iterable[State], mqtt: MqttSettings) -> tuple[HeardBefore, ...]:
    """Lists the GX devices that the processes before have heard, going by what the last one wrote.

    Without those that the config does not list any more, or that another shard has by now.
    """
    latest = max(states, key=lambda state: state.written, default=None)
    return tuple(
        HeardBefore(gx.portal_id, gx.name, gx.heard)
        for gx in (latest.gx if latest is not None else ())
        if gx.heard is not None and mqtt.relays(gx.portal_id)
    )


def _unix_s(moment: Moment) -> float:
    return round(moment.utc.timestamp(), 3)


def _unix_s_at(now: Moment, monotonic_s: float) -> float | None:
    return None if monotonic_s == -NEVER else _unix_s(now.at(monotonic_s))


def longest_gap_s(interval_s: float) -> float:
    """Returns the seconds after which it is written again, whatever happens."""
    return max(interval_s, LEAST_SPACING_S) + PUT_OFF_S


def is_news(state: State, written: State | None) -> bool:
    """Tells whether `state` says more than what was written last, besides times and counts."""
    return written is None or _lasting(state) != _lasting(written)


def old_at_s(written: State) -> float:
    """Returns the time at which it is written again even without news."""
    return written.written_s + max(written.process.interval_s, LEAST_SPACING_S)


def _lasting(state: State) -> State:
    """Keeps only what stays the same while nothing changes: no times and no counts."""
    return state._replace(
        written=0.0,
        written_s=0.0,
        gx=tuple(map(_lasting_gx, state.gx)),
        problems=tuple(problem._replace(text="") for problem in state.problems),
        notes=tuple(note._replace(text="") for note in state.notes),
        devices=tuple(
            device._replace(at=0.0, stored=_without_time(device.stored)) for device in state.devices
        ),
        owed=Owed(0, 0, None),
        stored=_without_time(state.stored),
    )


def _lasting_gx(gx: GxState) -> GxState:
    return gx._replace(
        heard=_without_time(gx.heard),
        measured=_without_time(gx.measured),
        stored=_without_time(gx.stored),
        stored_timestamp="",
        waiting=0,
        parked=0,
        owed_since=None,
    )


def _without_time(at: float | None) -> float | None:
    """Reduces a time to whether there is one."""
    return None if at is None else 0.0


# --- judging -------------------------------------------------------------------------------------


class Liveness(NamedTuple):
    """The state of a service as a reader sees it: current if `is_running`, otherwise old."""

    is_running: bool
    is_locked: bool
    """True if a process has the outbox, even if it is only starting or ending."""
    state: State | None
    """The last that was written; None: nothing that can be read."""


def liveness(
    states: Sequence[State],
    *,
    now: Moment,
    boot_id: str,
    is_locked: bool,
    is_there: Callable[[Process], bool],
) -> Liveness:
    """Judges the documents found in the places where one may be; `now` and `boot_id` are ours.

    `is_there` is asked where nobody has the lock: a service whose disk refuses may not have it.
    """
    fresh = [state for state in states if _is_fresh(state, now, boot_id)]
    current = [state for state in fresh if is_locked or is_there(state.process)]
    newest = max(current or fresh or states, key=lambda state: state.written, default=None)
    return Liveness(is_running=bool(current), is_locked=is_locked, state=newest)


def _is_fresh(state: State, now: Moment, boot_id: str) -> bool:
    ages_s = [now.monotonic_s - state.written_s]
    if not state.process.boot_id or not boot_id:
        # A service that systemd confines cannot read the boot id: then the wall clock has to agree.
        ages_s.append(now.utc.timestamp() - state.written)
    elif state.process.boot_id != boot_id:
        return False
    return all(0.0 <= age_s <= state.longest_age_s for age_s in ages_s)
