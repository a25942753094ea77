"""Measurements that can be told apart, and outboxes to put them in."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mqtt_http_bridge.adapters.outbox import Boot, Entry, Outbox
from mqtt_http_bridge.core.measurement import DeviceReport, Measurement
from mqtt_http_bridge.core.settings import OutboxSettings

START = datetime(2026, 3, 14, 6, 0, tzinfo=UTC)
BOOT = Boot("boot-1", 1000.0)
NEXT_BOOT = Boot("boot-2", 5000.0)
PLENTY = 10_000_000


def measurement(minute: int, *serials: str) -> Measurement:
    """What the chargers `serials` (one if none is named) say at `minute`; its total tells which."""
    moment = START + timedelta(minutes=minute)
    return Measurement(
        timestamp=moment,
        cerbo_serial="c0619ab35133",
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


def minute_of(found: Measurement) -> int:
    """The minute that a measurement was made for, whatever became of its timestamp."""
    return int(found.devices[0].yield_total_kwh)


def settings(directory: Path, max_bytes: int | None = PLENTY) -> OutboxSettings:
    return OutboxSettings(directory=str(directory), max_bytes=max_bytes)


@contextmanager
def opened(
    directory: Path, *, max_bytes: int | None = PLENTY, boot: Boot = BOOT
) -> Iterator[Outbox]:
    """An outbox, closed at the end."""
    outbox = Outbox(settings(directory, max_bytes), boot)
    try:
        yield outbox
    finally:
        outbox.close()


def fill(outbox: Outbox, *minutes: int) -> None:
    for minute in minutes:
        outbox.append(measurement(minute))


def take(outbox: Outbox, number: int) -> Entry:
    """The entry, which has to be there."""
    entry = outbox.take(number)
    assert entry is not None
    return entry


def take_oldest(outbox: Outbox) -> Entry:
    """The oldest entry, which has to be there."""
    return take(outbox, outbox.oldest(1)[0])


def drain(outbox: Outbox) -> list[Measurement]:
    """All that waits, in order, each taken by a backend that takes everything."""
    found = []
    while numbers := outbox.oldest(1000):
        for number in numbers:
            entry = outbox.take(number)
            if entry is not None:
                found.append(entry.measurement)
                outbox.settle(entry, None)
    return found


def minutes(outbox: Outbox) -> list[int]:
    """The minutes of all that waits, in order; nothing waits afterwards."""
    return [minute_of(found) for found in drain(outbox)]


def drain_parked(outbox: Outbox, serial: str) -> list[int]:
    """The minutes of all that is parked of a device, in order; nothing is afterwards."""
    found = []
    while (entry := outbox.take_parked(serial)) is not None:
        found.append(minute_of(entry.measurement))
        outbox.unpark(entry, serial)
    return found


def said(caplog: pytest.LogCaptureFixture, text: str) -> int:
    """How many lines of the log hold `text`."""
    return sum(text in line for line in caplog.messages)
