"""Kills the process at any moment: nothing is missing, and nothing has changed.

What the outbox alone does, and a power cut, is tried in tests/adapters/outbox.
"""

import random
from collections import defaultdict
from pathlib import Path

import pytest

from mqtt_http_bridge.adapters.outbox import inspection
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

    One device is unknown to the backend until the end, and the clock is set again and again.
    """
    directory = tmp_path / "outbox"
    backend = StandInBackend(known_serials={"A", "B"}, api_key=API_KEY, strict=True)
    with backend, nursery(directory, backend.url) as children:
        rng = random.Random(2026)
        for _ in range(KILLS):
            children.kill_one(rng, longest_pause_s=LONGEST_PAUSE_S)
            assert numbers_are_in_order(directory)
        assert not any(serial == UNKNOWN for _, serial in backend.stored)
        # They died while they posted, too, and not only before.
        assert len(backend.received) > KILLS / 3
        backend._known_serials = None
        children.let_one_finish()
    assert children.story.deaths == KILLS + 1
    assert children.story.rest == "0 0"
    assert children.story.steps > KILLS / 10
    assert backend.contract_violations == []
    assert_all_arrived(children, backend)
    assert inspection.status(directory, None, DIALECT).damaged == 0


def numbers_are_in_order(directory: Path) -> bool:
    """Tells whether what is owed was made in the order of the numbers."""
    try:
        listed = [e for e in inspection.entries(directory, DIALECT) if not e.parked_serials]
    except LocalFault:
        return True  # It died before it had made one.
    made = [measurement_in(entry.body).devices[0].yield_total_kwh for entry in listed]
    return made == sorted(made)


def assert_all_arrived(children: Nursery, backend: StandInBackend) -> None:
    """Every device of every measurement is stored, under one timestamp."""
    stored: dict[int, set[str]] = defaultdict(set)
    timestamps: dict[int, set[str]] = defaultdict(set)
    for (timestamp, serial), device in backend.stored.items():
        minute = int(device["yield_total_kwh"])
        stored[minute].add(serial)
        timestamps[minute].add(timestamp)
    for minute in children.story.made:
        assert stored[minute] == set(serials_of(minute)), minute
    assert stored.keys() <= children.story.making
    assert {minute: found for minute, found in timestamps.items() if len(found) > 1} == {}
    assert len(children.story.making - children.story.made) <= KILLS
