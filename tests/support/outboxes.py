"""Makes outboxes and distinguishable measurements: use them to test what is kept on disk."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mqtt_http_bridge.adapters.outbox import Boot, Entry, Outbox
from mqtt_http_bridge.app.dialect import DIALECT
from mqtt_http_bridge.core.measurement import DeviceReport, Measurement
from mqtt_http_bridge.core.settings import OutboxSettings

START = datetime(2026, 3, 14, 6, 0, tzinfo=UTC)
BOOT = Boot("boot-1", 1000.0)
NEXT_BOOT = Boot("boot-2", 5000.0)
PLENTY = 10_000_000
GX = "c0619ab35133"


def measurement(minute: int, *serials: str) -> Measurement:
    """Makes what the chargers `serials` (or one) say at `minute`; the total tells which."""
    moment = START + timedelta(minutes=minute)
    return Measurement(
        timestamp=moment,
        cerbo_serial=GX,
        devices=tuple(
            DeviceReport(
                device_instance=instance,
                serial=serial,
                name="South roof",
                product_name="SmartSolar Charger MPPT 150/35",
                reachable=True,
                producing=True,
                last_update_s=int(moment.timestamp()),
                yield_power_w=100.0,
                yield_total_kwh=float(minute),
                trackers=(),
            )
            for instance, serial in enumerate(serials or ("HQ1",), start=281)
        ),
    )


def settings(directory: Path, max_bytes: int | None = PLENTY) -> OutboxSettings:
    return OutboxSettings(directory=str(directory), max_bytes=max_bytes)


@contextmanager
def opened(
    directory: Path, *, max_bytes: int | None = PLENTY, boot: Boot = BOOT
) -> Iterator[Outbox]:
    """An outbox, closed at the end."""
    outbox = Outbox(settings(directory, max_bytes), DIALECT, boot)
    try:
        yield outbox
    finally:
        outbox.close()


def store(outbox: Outbox, *measurements: Measurement, portal_id: str = GX) -> None:
    """Stores them by a clock that is trusted, and waits until the outbox has them."""
    for each in measurements:
        outbox.store(DIALECT.body(each), portal_id=portal_id, is_clock_trusted=True)
    assert outbox.flush(20.0)


def fill(outbox: Outbox, *minutes: int) -> None:
    store(outbox, *map(measurement, minutes))


def take(outbox: Outbox, number: int, portal_id: str = GX) -> Entry:
    """The entry, which has to be there."""
    entry = outbox.take(portal_id, number)
    assert entry is not None
    return entry


def take_oldest(outbox: Outbox, portal_id: str = GX) -> Entry:
    """The oldest entry, which has to be there."""
    number = outbox.oldest_after(portal_id)
    assert number is not None
    return take(outbox, number, portal_id)


def waiting(outbox: Outbox) -> int:
    """Counts how many entries are owed."""
    return sum(portal.owed for portal in outbox.view().portals)


def parked_serials(outbox: Outbox) -> list[str]:
    """The devices of which something is parked."""
    return sorted(parked.serial for portal in outbox.view().portals for parked in portal.parked)
