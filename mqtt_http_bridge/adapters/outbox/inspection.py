"""The outbox seen from outside: it only reads or removes whole files, while the service runs.

Every function takes the spool directory, and raises LocalFault if it cannot be read or changed.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mqtt_http_bridge.adapters.outbox.files import Extent, NumberedFiles
from mqtt_http_bridge.adapters.outbox.layout import Layout
from mqtt_http_bridge.adapters.outbox.losses import Loss, read_losses
from mqtt_http_bridge.adapters.outbox.room import Room, room_of
from mqtt_http_bridge.core.errors import LocalFault, MalformedMeasurement
from mqtt_http_bridge.core.measurement import Measurement, from_json

TYPICAL_BYTES: Final = 800
"""A measurement of two chargers, to reckon with while nothing waits."""


@dataclass(frozen=True, slots=True)
class ParkedStatus:
    """What is parked of one device, and why."""

    serial: str
    count: int
    reason: str


@dataclass(frozen=True, slots=True)
class OutboxStatus:
    """How an outbox stands."""

    directory: str
    waiting: int
    bytes: int
    """Of all that waits or is parked."""
    oldest: str | None
    """The timestamp of the oldest measurement that waits."""
    parked: tuple[ParkedStatus, ...]
    damaged: int
    lost: tuple[Loss, ...]
    hours_of_room: float
    """How long the outbox can go on growing at one measurement every interval."""


@dataclass(frozen=True, slots=True)
class Listed:
    """One entry: what waits, or what is parked of a device."""

    number: int
    parked_serial: str | None
    measurement: Measurement | None
    """None: the file holds no measurement."""


def status(directory: Path, max_bytes: int | None, interval_s: float) -> OutboxStatus:
    """How the outbox in `directory` stands."""
    layout = Layout(directory)
    with _faults(directory):
        waiting = layout.waiting.extent()
        parked = [(serial, _parked_extent(layout, serial)) for serial in layout.parked_serials()]
        size = waiting.size + sum(extent.size for _, extent in parked)
        count = waiting.count + sum(extent.count for _, extent in parked)
        return OutboxStatus(
            directory=str(directory),
            waiting=waiting.count,
            bytes=size,
            oldest=_oldest_timestamp(layout),
            parked=tuple(
                ParkedStatus(serial, extent.count, layout.reason(serial))
                for serial, extent in parked
                if extent.count
            ),
            damaged=sum(1 for _ in layout.damaged.iterdir()) if layout.damaged.is_dir() else 0,
            lost=tuple(read_losses(layout.lost)),
            hours_of_room=_hours_of_room(room_of(directory), max_bytes, size, count, interval_s),
        )


def _parked_extent(layout: Layout, serial: str) -> Extent:
    """What is parked of one device; nothing if the backend has just taken it."""
    with suppress(FileNotFoundError):
        return layout.parked_of(serial).extent()
    return Extent()


def _oldest_timestamp(layout: Layout) -> str | None:
    found = (listed.measurement for listed in _listed(layout.waiting, None))
    return next((m.timestamp.isoformat() for m in found if m is not None), None)


def _hours_of_room(
    room: Room, max_bytes: int | None, size: int, count: int, interval_s: float
) -> float:
    """Until the first has to be dropped: the limit counts bytes, the disk counts blocks."""
    each = max(1.0, size / count) if count else TYPICAL_BYTES
    limit = max_bytes if max_bytes is not None else room.default_max_bytes + size
    entries = min((limit - size) / each, (room.free - room.floor) / max(each, room.block))
    return round(max(0.0, entries) * interval_s / 3600, 1)


def entries(directory: Path) -> Iterator[Listed]:
    """All that waits, oldest first, then all that is parked, by device."""
    layout = Layout(directory)
    with _faults(directory):
        yield from _listed(layout.waiting, None)
        for serial in layout.parked_serials():
            with suppress(FileNotFoundError):  # Taken in this very moment.
                yield from _listed(layout.parked_of(serial), serial)


def _listed(files: NumberedFiles, serial: str | None) -> Iterator[Listed]:
    for number in sorted(files):
        body = files.read(number)
        if body is not None:  # Otherwise it has been sent in this very moment.
            yield Listed(number, serial, _measurement(body))


def _measurement(body: bytes) -> Measurement | None:
    with suppress(MalformedMeasurement):
        return from_json(body)
    return None


def bodies(directory: Path, number: int) -> list[bytes]:
    """What the entry `number` holds: what waits of it, and what is parked of each device."""
    layout = Layout(directory)
    with _faults(directory):
        places = [layout.waiting, *map(layout.parked_of, layout.parked_serials())]
        return [body for files in places if (body := files.read(number)) is not None]


def request_retry(directory: Path) -> None:
    """Asks the service to try everything that waits for a setting, now."""
    with _faults(directory):
        Layout(directory).retry.touch(mode=0o600)


def drop(directory: Path, numbers: Collection[int] | None, *, parked_only: bool) -> list[int]:
    """Removes entries for good, all where `numbers` is None; returns the number of each file."""
    layout = Layout(directory)
    with _faults(directory):
        dropped = [] if parked_only else _drop_from(layout.waiting, numbers)
        for serial in layout.parked_serials():
            with suppress(FileNotFoundError):  # Taken in this very moment.
                dropped += _drop_from(layout.parked_of(serial), numbers)
        return dropped


def _drop_from(files: NumberedFiles, numbers: Collection[int] | None) -> list[int]:
    dropped = [number for number in sorted(files) if numbers is None or number in numbers]
    for number in dropped:
        files.remove(number)
    return dropped


@contextmanager
def _faults(directory: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise LocalFault(
            f"{directory}: expected an outbox, found none: has the service run with this config?"
        ) from error
    except OSError as error:
        raise LocalFault(f"{directory}: cannot be read or changed: {error.strerror}") from error
