"""Kills the process at any moment: nothing is missing, and nothing has changed.

What the outbox alone does, and a power cut, is tried in tests/adapters/outbox.
"""

import random
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest

from mqtt_http_bridge.adapters.outbox import inspection
from mqtt_http_bridge.adapters.outbox.records import Entry
from mqtt_http_bridge.app.dialect import DIALECT
from mqtt_http_bridge.core.errors import LocalFault
from mqtt_http_bridge.demo.backend import StandInBackend
from tests.support.crashing import API_KEY, UNKNOWN, Nursery, nursery, serials_of
from tests.support.extent import extent
from tests.support.measuring import measurement_in

KILLS = extent(60, 1000)
LONGEST_PAUSE_S = 0.05
"""The longest that a relay lives on after what it said last: it posts meanwhile."""


@pytest.mark.slow
def test_a_relay_killed_again_and_again(tmp_path: Path) -> None:
    """All it had stored arrives, and each measurement has one time and one value for ever.

    Nothing comes again whose answer was written down, and no more POSTs than relays that died.

    One device is unknown to the backend until the end, and the clock is set again and again.
    """
    directory = tmp_path / "outbox"
    backend = StandInBackend(known_serials={"A", "B"}, api_key=API_KEY, strict=True)
    with backend, nursery(directory, backend.url) as children:
        rng, repeats = random.Random(2026), Repeats(backend)
        for _ in range(KILLS):
            children.kill_one(rng, longest_pause_s=LONGEST_PAUSE_S)
            owed = owed_in(directory)
            assert are_in_order(owed)
            repeats.look(owed)
        assert not any(serial == UNKNOWN for _, serial in backend.stored)
        # They died while they posted, too, and not only before.
        assert len(backend.received) > KILLS / 3
        backend._known_serials = None
        children.let_one_finish()
        repeats.look(owed_in(directory))
    assert children.story.deaths == KILLS + 1
    assert children.story.rest == "0 0"
    assert children.story.steps > KILLS / 10
    assert backend.contract_violations == []
    assert_all_arrived(children, backend)
    posts = repeats.assert_allowed()
    reports = len(backend.accepted) - len(backend.stored)
    print(f"repeated: {posts} POSTs, {reports} of {len(backend.accepted)} reports")
    assert posts <= children.story.deaths
    assert inspection.status(directory, None, DIALECT).damaged == 0


Report = tuple[int, str]
"""The minute of a measurement, and the serial of one of its devices."""


class Repeats:
    """Watches what the backend has stored more than once: a dictionary of it would not show that.

    A report may come again if its relay died before the answer to it was written down: it is
    still owed then. One that the disk does not owe any more must never come again.
    """

    def __init__(self, backend: StandInBackend) -> None:
        self._backend = backend
        self._looked_at = 0
        self._settled: set[Report] = set()
        self._chances = Counter[Report]()
        """The deaths at which each report was still owed."""
        self.again: set[Report] = set()
        """The reports that were settled, and came again."""

    def look(self, owed: list[Entry]) -> None:
        """Compares what has come since the death before with what is owed after this one."""
        arrived = self._arrived()
        self.again |= self._settled & {*arrived[self._looked_at :]}
        self._looked_at = len(arrived)
        left = {report for entry in owed for report in reports_of(entry)}
        self._chances.update(left)
        self._settled |= {*arrived} - left

    def _arrived(self) -> list[Report]:
        stored = self._backend.stored
        return [(minute_of(stored[key]), key[1]) for key in list(self._backend.accepted)]

    def assert_allowed(self) -> int:
        """Asserts that nothing came again but what was owed; returns how many POSTs did."""
        assert self.again == set()
        counts = Counter(self._arrived())
        repeated = {report: count - 1 for report, count in counts.items() if count > 1}
        assert {r: n for r, n in repeated.items() if n > self._chances[r]} == {}
        by_post = dict[int, int]()
        for (minute, _), count in repeated.items():
            by_post[minute] = max(count, by_post.get(minute, 0))
        return sum(by_post.values())


def owed_in(directory: Path) -> list[Entry]:
    """Returns what the relay that has died owes, or has parked."""
    try:
        return list(inspection.entries(directory, DIALECT))
    except LocalFault:
        return []  # It died before it had made one.


def reports_of(entry: Entry) -> list[Report]:
    devices = measurement_in(entry.body).devices
    return [(int(device.yield_total_kwh), device.serial) for device in devices]


def minute_of(device: dict[str, Any]) -> int:
    return int(device["yield_total_kwh"])


def are_in_order(owed: list[Entry]) -> bool:
    """Tells whether what is owed was made in the order of the numbers."""
    made = [reports_of(entry)[0] for entry in owed if not entry.parked_serials]
    return [minute for minute, _ in made] == sorted(minute for minute, _ in made)


def assert_all_arrived(children: Nursery, backend: StandInBackend) -> None:
    """Every device of every measurement is stored, under one timestamp."""
    stored: dict[int, set[str]] = defaultdict(set)
    timestamps: dict[int, set[str]] = defaultdict(set)
    for (timestamp, serial), device in backend.stored.items():
        minute = minute_of(device)
        stored[minute].add(serial)
        timestamps[minute].add(timestamp)
    for minute in children.story.made:
        assert stored[minute] == set(serials_of(minute)), minute
    assert stored.keys() <= children.story.making
    assert {minute: found for minute, found in timestamps.items() if len(found) > 1} == {}
    assert len(children.story.making - children.story.made) <= KILLS
