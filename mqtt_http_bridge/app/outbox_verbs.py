"""The verbs `outbox status`, `list`, `show`, `retry` and `drop`: show and change what waits."""

import json
from pathlib import Path
from typing import NamedTuple

from mqtt_http_bridge.adapters.outbox import Entry, inspection
from mqtt_http_bridge.adapters.outbox.inspection import OutboxStatus
from mqtt_http_bridge.adapters.standard_streams import say
from mqtt_http_bridge.app.dialect import DIALECT
from mqtt_http_bridge.app.outbox_observer import count_waiting, parked_views, room_of
from mqtt_http_bridge.app.service_state import service_state
from mqtt_http_bridge.core.errors import LocalFault, MalformedMeasurement
from mqtt_http_bridge.core.settings import Settings
from mqtt_http_bridge.core.status.problem import Kind
from mqtt_http_bridge.core.words import counted, visible


def print_status(settings: Settings, *, as_json: bool, as_lines: bool) -> None:
    """Prints the state of the outbox. Raises LocalFault."""
    directory, max_bytes = Path(settings.outbox.directory), settings.outbox.max_bytes
    status = inspection.status(directory, max_bytes, DIALECT)
    hours = room_of(status, settings.device.update_interval_s)
    in_memory = _in_memory(settings)
    if as_json:
        print(json.dumps(_status_members(status, hours, in_memory.entries), indent=1))
    elif as_lines:
        for name, value in _status_lines(status, in_memory.entries).items():
            print(f"{name}={visible(value)}")
    else:
        print(_status_text(status, hours, in_memory))


class _InMemory(NamedTuple):
    """Counts the entries that are in memory only; None: a service runs, and does not say."""

    entries: int | None
    is_refused: bool
    """True if the disk refuses them; false if they are just about to be written."""


def _in_memory(settings: Settings) -> _InMemory:
    """Reads from the state of the service what is in memory only."""
    found = service_state(settings.outbox)
    if not found.is_running or found.state is None:
        return _InMemory(None if found.is_locked else 0, is_refused=False)
    troubles = (*found.state.problems, *found.state.notes)
    is_refused = any(trouble.kind is Kind.DISK for trouble in troubles)
    return _InMemory(found.state.owed.in_memory, is_refused)


def _status_members(status: OutboxStatus, hours: float, in_memory: int | None) -> dict[str, object]:
    return {
        "directory": status.directory,
        "in_use": status.is_in_use,
        "waiting": count_waiting(status.portals),
        "in_memory": in_memory,
        "waiting_by_gx": {portal.portal_id: portal.owed for portal in status.portals},
        "bytes": status.bytes,
        "oldest": status.oldest,
        "parked": [
            {"serial": p.serial, "count": p.reports, "reason": p.reason, "remedy": p.remedy}
            for p in parked_views(status.portals)
        ],
        "damaged": status.damaged,
        "unreadable": list(status.unreadable),
        "lost": [
            {"count": x.count, "since": x.since, "until": x.until, "reason": x.reason}
            for x in status.lost
        ],
        "hours_of_room": hours,
    }


def _status_lines(status: OutboxStatus, in_memory: int | None) -> dict[str, str]:
    """Returns where the outbox is and one count for each place; empty: nobody knows."""
    counts = {
        "waiting": count_waiting(status.portals),
        "in_memory": in_memory,
        "parked": sum(parked.reports for parked in parked_views(status.portals)),
        "damaged": status.damaged,
        "unreadable": len(status.unreadable),
    }
    known = {"directory": status.directory, "in_use": "yes" if status.is_in_use else "no"}
    return known | {n: "" if count is None else str(count) for n, count in counts.items()}


def _status_text(status: OutboxStatus, hours: float, in_memory: _InMemory) -> str:
    waiting = count_waiting(status.portals)
    lines = [
        f"outbox    {status.directory}",
        f"waiting   {waiting}" + (f", the oldest of {status.oldest}" * bool(status.oldest)),
        f"size      {status.bytes / 1000:.1f} kB, room for {counted(round(hours), 'more hour')}",
    ]
    if in_memory.entries is None:
        lines.append("memory    unknown: a service runs here, but has not said lately how it goes")
    elif in_memory.entries:
        why = "which the disk refuses: fix the disk" if in_memory.is_refused else "not written yet"
        lines.append(f"memory    {in_memory.entries} more, {why}")
    lines += [
        f"parked    {p.reports} of {p.serial}: {p.reason}: {p.remedy}"
        for p in parked_views(status.portals)
    ]
    lines += [f"lost      {loss}" for loss in status.lost]
    if status.damaged:
        kept = f"what can be kept is in {status.directory}/damaged: check the disk, then remove it"
        lines.append(f"damaged   {counted(status.damaged, 'place')}: {kept}")
    lines += [f"unread    {text}" for text in status.unreadable]
    return "\n".join(map(visible, lines))


def print_list(settings: Settings, *, as_json: bool) -> None:
    """Prints one line for each entry. Raises LocalFault."""
    for entry in inspection.entries(Path(settings.outbox.directory), DIALECT):
        print(json.dumps(_members(entry)) if as_json else _line(entry))


def _members(entry: Entry) -> dict[str, object]:
    return {
        "number": entry.number,
        "portal_id": entry.portal_id,
        "parked": list(entry.parked_serials),
        "timestamp": DIALECT.timestamp(entry.body) or None,
        "serials": _serials(entry),
    }


def _serials(entry: Entry) -> list[str] | None:
    try:
        return list(DIALECT.read(entry.body).serials)
    except MalformedMeasurement:
        return None


def _line(entry: Entry) -> str:
    place = "parked " if entry.parked_serials else "waiting"
    serials = _serials(entry)
    contents = ", ".join(serials) if serials is not None else "cannot be read"
    stamp = DIALECT.timestamp(entry.body) or "no time"
    return visible(f"{entry.number:8}  {place}  {entry.portal_id}  {stamp}  {contents}")


def print_entry(settings: Settings, number: int) -> None:
    """Prints an entry as it will be sent. Raises LocalFault."""
    entry = inspection.entry(Path(settings.outbox.directory), number, DIALECT)
    if entry is None:
        raise _no_such_entry(number)
    print(entry.body.decode(errors="replace"))


def retry(settings: Settings) -> None:
    """Makes the service retry everything now. Raises LocalFault."""
    if inspection.request_retry(Path(settings.outbox.directory)):
        say("the service will try everything again within 5 s")
    else:
        say("no service uses this outbox: the next start tries everything")


def drop(settings: Settings, numbers: list[int] | None, *, parked_only: bool) -> None:
    """Removes entries for good. Raises LocalFault for an unknown number, after the others."""
    directory = Path(settings.outbox.directory)
    missing: set[int] = set()
    if numbers is not None:
        missing = set(numbers) - inspection.readable_numbers(directory, DIALECT)
        numbers = sorted(set(numbers) - missing)
        if not numbers:
            raise _no_such_entry(*sorted(missing))
    dropped = inspection.request_drop(directory, numbers, DIALECT, parked_only=parked_only)
    if dropped is None:
        say("the service will drop them within 5 s")
    else:
        print(f"dropped {len(dropped)}")
    if missing:
        raise _no_such_entry(*sorted(missing))


def _no_such_entry(*numbers: int) -> LocalFault:
    listed = ", ".join(map(str, numbers))
    return LocalFault(f"{listed}: expected the number of an entry, found none: see outbox list")
