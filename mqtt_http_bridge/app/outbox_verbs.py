"""The verbs `outbox status`, `list`, `show`, `retry` and `drop`: what waits, for a person."""

import json
import sys
from dataclasses import asdict
from pathlib import Path

from mqtt_http_bridge.adapters.outbox import inspection
from mqtt_http_bridge.adapters.outbox.inspection import Listed, OutboxStatus
from mqtt_http_bridge.core.errors import LocalFault
from mqtt_http_bridge.core.settings import Settings


def print_status(settings: Settings, *, as_json: bool) -> None:
    """Prints how the outbox stands. Raises LocalFault."""
    status = inspection.status(
        Path(settings.outbox.directory),
        settings.outbox.max_bytes,
        settings.device.update_interval_s,
    )
    print(json.dumps(asdict(status), indent=1) if as_json else _status_text(status))


def _status_text(status: OutboxStatus) -> str:
    lines = [
        f"outbox    {status.directory}",
        f"waiting   {status.waiting}" + (f", the oldest of {status.oldest}" * bool(status.oldest)),
        f"size      {status.bytes / 1000:.1f} kB, room for {status.hours_of_room:.0f} more hours",
    ]
    lines += [f"parked    {p.count} of {p.serial}: {p.reason}" for p in status.parked]
    lines += [f"lost      {loss}" for loss in status.lost]
    if status.damaged:
        lines.append(f"damaged   {status.damaged} files in {status.directory}/damaged")
    return "\n".join(lines)


def print_list(settings: Settings, *, as_json: bool) -> None:
    """Prints one line for each entry. Raises LocalFault."""
    for entry in inspection.entries(Path(settings.outbox.directory)):
        print(json.dumps(_members(entry)) if as_json else _line(entry))


def _members(entry: Listed) -> dict[str, object]:
    measurement = entry.measurement
    return {
        "number": entry.number,
        "parked": entry.parked_serial,
        "timestamp": measurement.timestamp.isoformat() if measurement else None,
        "serials": [device.serial for device in measurement.devices] if measurement else None,
    }


def _line(entry: Listed) -> str:
    place = "waiting" if entry.parked_serial is None else "parked "
    if entry.measurement is None:
        return f"{entry.number:8}  {place}  damaged"
    serials = ", ".join(device.serial for device in entry.measurement.devices)
    return f"{entry.number:8}  {place}  {entry.measurement.timestamp.isoformat()}  {serials}"


def print_entry(settings: Settings, number: int) -> None:
    """Prints what is stored of an entry, as it will be sent. Raises LocalFault."""
    bodies = inspection.bodies(Path(settings.outbox.directory), number)
    if not bodies:
        raise _no_such_entry(number)
    for body in bodies:
        print(body.decode(errors="replace"))


def retry(settings: Settings) -> None:
    """Has the service try everything now. Raises LocalFault."""
    inspection.request_retry(Path(settings.outbox.directory))
    print("the service will try everything again within a minute", file=sys.stderr)


def drop(settings: Settings, numbers: list[int] | None, *, parked_only: bool) -> None:
    """Removes entries for good. Raises LocalFault for a number that none has, after the others."""
    directory = Path(settings.outbox.directory)
    dropped = inspection.drop(directory, numbers, parked_only=parked_only)
    print(f"dropped {len(dropped)}")
    if missing := sorted({*(numbers or ())} - {*dropped}):
        raise _no_such_entry(*missing)


def _no_such_entry(*numbers: int) -> LocalFault:
    listed = ", ".join(map(str, numbers))
    return LocalFault(f"{listed}: expected the number of an entry, found none: see outbox list")
