"""Writes what a person asks of the service as names of empty files, which fit on a full disk."""

from collections.abc import Collection
from typing import Final

from mqtt_http_bridge.adapters.outbox.index import Index, Where

RETRY: Final = "retry"
_ALL: Final = "drop.all."
_PARKED: Final = "drop.parked."
_ONE: Final = "drop."


def drop_requests(numbers: Collection[int] | None, *, parked_only: bool, newest: int) -> list[str]:
    """Names the requests to drop these entries; all up to `newest` where `numbers` is None.

    It is the newest that the person could know of: a service may take its time, and measures on.
    """
    if numbers is None or parked_only:
        return [f"{_PARKED if parked_only else _ALL}{newest}"]
    return [f"{_ONE}{number}" for number in numbers]


def entries_to_drop(requests: Collection[str], index: Index) -> list[Where]:
    """Lists the entries that are to be dropped."""
    all_up_to, parked_up_to = _highest(_ALL, requests), _highest(_PARKED, requests)
    wanted = {e for e in index.entries() if e[0] <= all_up_to or f"{_ONE}{e[0]}" in requests}
    wanted |= {e for e in index.parked_entries() if e[0] <= parked_up_to}
    return sorted(wanted)


def _highest(kind: str, requests: Collection[str]) -> int:
    """Reads up to which number entries are to be dropped; 0 if that was not requested."""
    found = (name.removeprefix(kind) for name in requests if name.startswith(kind))
    return max((int(n) for n in found if n.isascii() and n.isdigit() and len(n) < 12), default=0)
