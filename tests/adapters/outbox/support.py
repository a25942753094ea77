"""Makes an outbox for tests, with a format of entries that takes a dozen lines."""

import json
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from mqtt_http_bridge.adapters.outbox import Boot, Entry, Outbox
from mqtt_http_bridge.core.settings import OutboxSettings

BOOT = Boot("boot-1", 1000.0)
NEXT_BOOT = Boot("boot-2", 5.0)
START = datetime(2026, 3, 14, 6, 0, tzinfo=UTC)
PORTAL = "c0619ab12345"


class PlainFormat:
    """Bodies are JSON: a timestamp and the serials of the devices."""

    def timestamp(self, body: bytes) -> str:
        head = body[:80].partition(b'"timestamp":"')[2]
        return head.partition(b'"')[0].decode("ascii", "replace")

    def serials(self, body: bytes) -> tuple[str, ...]:
        return tuple(json.loads(body)["devices"])

    def shifted(self, body: bytes, step_s: float) -> bytes:
        members = json.loads(body)
        at = datetime.fromisoformat(members["timestamp"]) + timedelta(seconds=step_s)
        return text_of(members | {"timestamp": at.isoformat()})

    def only(self, body: bytes, serials: Collection[str]) -> bytes:
        members = json.loads(body)
        return text_of(members | {"devices": [s for s in members["devices"] if s in serials]})


FORMAT = PlainFormat()


def text_of(members: dict[str, Any]) -> bytes:
    return json.dumps(members, separators=(",", ":"), ensure_ascii=False).encode()


def body_of(minute: int, *serials: str, size: int = 0, off_s: float = 0.0) -> bytes:
    """Makes the body of `minute`, by a clock ahead by `off_s`; of about `size` bytes."""
    at = START + timedelta(minutes=minute, seconds=off_s)
    devices = list(serials or ("HQ1",))
    filler = "x" * max(0, size - 100)
    return text_of({"timestamp": at.isoformat(), "devices": devices, "filler": filler})


def minute_of(body: bytes) -> int:
    at = datetime.fromisoformat(FORMAT.timestamp(body))
    return round((at - START).total_seconds() / 60)


def outbox_in(directory: Path, *, max_bytes: int | None = 8_000_000, boot: Boot = BOOT) -> Outbox:
    return Outbox(OutboxSettings(str(directory), max_bytes=max_bytes), FORMAT, boot)


@contextmanager
def opened(
    directory: Path, *, max_bytes: int | None = 8_000_000, boot: Boot = BOOT
) -> Iterator[Outbox]:
    """An outbox for the body, closed at the end."""
    outbox = outbox_in(directory, max_bytes=max_bytes, boot=boot)
    try:
        yield outbox
    finally:
        outbox.close()


def until(is_true: Callable[[], object], timeout_s: float = 20.0) -> None:
    """Waits for what another thread does."""
    end_s = time.monotonic() + timeout_s
    while not is_true():
        assert time.monotonic() < end_s, "expected it to come true"
        time.sleep(0.001)


def settled(outbox: Outbox) -> None:
    """Waits until the writer has gone round, beginning after this call."""
    first = outbox.progress.turns
    outbox._incoming.wake()
    until(lambda: outbox.progress.turns > first)
    outbox._incoming.wake()
    until(lambda: outbox.progress.turns > first + 1)


def store(
    outbox: Outbox,
    *minutes: int,
    portal: str = PORTAL,
    serials: Collection[str] = ("HQ1",),
    size: int = 0,
    is_trusted: bool = True,
    off_s: float = 0.0,
) -> None:
    """Stores a measurement for each minute, and waits until the outbox has them."""
    for minute in minutes:
        body = body_of(minute, *serials, size=size, off_s=off_s)
        outbox.store(body, portal_id=portal, is_clock_trusted=is_trusted)
    settled(outbox)


def take(outbox: Outbox, number: int, portal: str = PORTAL) -> Entry:
    entry = outbox.take(portal, number)
    assert entry is not None
    return entry


def give_back(outbox: Outbox, entry: Entry) -> None:
    """Leaves an entry as it was taken."""
    outbox.park(entry, entry.body, entry.parked_serials, entry.reason)


def numbers(outbox: Outbox, portal: str = PORTAL) -> list[int]:
    """The numbers of what is owed of a GX, the oldest first."""
    found, number = list[int](), 0
    while (after := outbox.oldest_after(portal, number)) is not None:
        found.append(number := after)
    return found


def bodies(outbox: Outbox, portal: str = PORTAL) -> list[bytes]:
    """Returns what is owed of a GX; everything stays as it is."""
    found = []
    for number in numbers(outbox, portal):
        entry = outbox.take(portal, number)
        if entry is not None:
            found.append(entry.body)
            give_back(outbox, entry)
    return found


def minutes(outbox: Outbox, portal: str = PORTAL) -> list[int]:
    return [minute_of(body) for body in bodies(outbox, portal)]


def parked(outbox: Outbox, serial: str, portal: str = PORTAL) -> list[int]:
    """The minutes of what is parked of a device."""
    found, number = list[int](), 0
    while (after := outbox.parked_after(portal, serial, number)) is not None:
        entry = take(outbox, number := after, portal)
        give_back(outbox, entry)
        found.append(minute_of(entry.body))
    return found


def lost(outbox: Outbox) -> int:
    return sum(loss.count for loss in outbox.view().losses)


def crash(outbox: Outbox) -> None:
    """Ends an outbox as kill -9 does: nothing more is written, and the lock is free."""
    settled(outbox)
    with outbox._mutex:
        outbox._log.is_on_disk = False
        outbox._log.segments.close()
        outbox.writer._recover = _refuse  # type: ignore[method-assign]
    outbox.close()


def _refuse() -> None:
    raise OSError(5, "the process is dead")
