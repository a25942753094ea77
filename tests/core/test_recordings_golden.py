"""Tests the measurements made from recordings of a real broker, byte for byte.

Each golden file was read line by line against the raw recording: for each line the last values
said before its timestamp, and what docs/gx.md and docs/backend.md make of them. Times are seconds
since the start of the recording. No recording answers the relay's own requests, so that every
warm-up lasts its 10 s; from its end on there is a line every 30 s.

two: lines at 10, 40, ... 160. Two chargers that speak about once a second, all but `last_update`
    in the second of the line or the one before. 277 produces under external control (252); at 160
    it has 4.79 W and still does. 278 has a blank custom name, so it is called by its product. Its
    total is silent for minutes, then steps from 118.99 to 119.0 before the last line.
rs: lines at 10, ... 130. One VE.Can charger: instance 0, a serial with a blank, whole watts as
    floats. Of four trackers the third has a blank name and is PV-3; the fourth, disabled, says
    0 W at about 1 V and is not there. Said in separate messages, the trackers' watts still add up
    to the charger's in each line: none of them is older than the other.
night: lines at 10, ... 160.
    10: three chargers produce.
    40: 277 is off since 20: 0.0 W, State 0, 0.02 V. Zero was said, so zero is reported, reachable
        but not producing. It says nothing new from 26 on, and `last_update` stays there.
    70: 278 said null for its numbers at 40 and `/Connected` 0 at 41, and 289 left at 60: both are
        lost, and left out for a minute.
    100: 278 left the bus as well at 75. It was lost 59 s ago: still left out, as 289 is.
    130: 289 is back since 110, and live: it was never told to be off. 278 is off: no trackers, its
        last total before the nulls, last heard at 41, though its driver went on telling the voltage
        of the battery until 74. It returns at 130, just after the line.
    160: all three live; 277 woke at 150 in State 3.
restart: lines at 10, 40, 70, 100 and 131. The broker ends in good order at 40 and by force at 80,
    back after a second each time: the full publish brings all back before the next line. It is
    down from 110 to 121, and at 130 the relay is still warming up: that line is owed until 131,
    the end of the warm-up. Nothing is ever reported from before a reconnect.
expire: lines at 10, 40, 70 and 100. Without a keepalive all stops at 63. The line at 70 tells the
    values of 62, with a `last_update` that says so: a site counts as silent after 60 s, not
    before. 278 leaves at 70.05 and its return at 72 is not published, but the full publish at 95
    brings both back before the line at 100. It carries another client's echo, which ends nothing.
mixed: lines at 10, ... 100. A whole installation, `N/#`: three solar chargers and nothing else.
    258 has old firmware, without `/NrOfTrackers` and `/CustomName`: one tracker, `/Pv/V`.
mixed-all-services: the same with `multi` and `inverter`. `multi/1` comes first, by service: one
    tracker, 0.0 W at about 1 V under State 252, so it does not produce. `multi/2` has two trackers
    and 1.6 kW, but never says a serial: it is left out, in every line.

After a change that is meant to change measurements: `python -m tests.core.test_recordings_golden`
writes the files anew. Read the difference as you would read code.
"""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from mqtt_http_bridge.app.replay import Part, measurements
from mqtt_http_bridge.core.settings import MqttSettings, OutboxSettings, Settings
from mqtt_http_bridge.core.solar_backend.body import to_body
from mqtt_http_bridge.core.venus.paths import SERVICES
from mqtt_http_bridge.demo import contract
from tests.support.measuring import measurement_in
from tests.support.places import GOLDEN, RECORDINGS


@dataclass(frozen=True)
class Golden:
    """A recording, the services it is replayed with, and the file with what has to come of it."""

    name: str
    recording: str
    services: tuple[str, ...] = MqttSettings().services

    @property
    def file(self) -> Path:
        """JSON Lines, one measurement each, in the bytes in which it is posted."""
        return GOLDEN / f"{self.name}.jsonl"

    def replay(self) -> Iterator[bytes]:
        """The lines that the recording gives today."""
        settings = Settings(
            backend=None, outbox=OutboxSettings(""), mqtt=MqttSettings(services=self.services)
        )
        path = RECORDINGS / f"{self.recording}.jsonl.gz"
        for measurement in measurements(settings, path, Part(), threading.Event()):
            yield to_body(measurement) + b"\n"


GOLDENS = [
    *(Golden(name, name) for name in ("two", "rs", "night", "restart", "expire", "mixed")),
    Golden("mixed-all-services", "mixed", SERVICES),
]
every_golden = pytest.mark.parametrize("golden", GOLDENS, ids=lambda golden: golden.name)


@every_golden
def test_a_recording_gives_its_golden_lines(golden: Golden) -> None:
    """Live traffic goes through the same core: these are the bytes a backend would have got."""
    assert list(golden.replay()) == golden.file.read_bytes().splitlines(keepends=True)


@every_golden
def test_golden_lines_keep_the_contract(golden: Golden) -> None:
    """Neither the backend nor this project's own promises have anything against them."""
    lines = golden.file.read_bytes().splitlines()
    assert lines
    for document in map(contract.decode, lines):
        assert contract.faults(document) == []
        assert contract.breakages(document) == []
        assert contract.departures(document, services=len(golden.services)) == []


@every_golden
def test_golden_lines_survive_the_disk(golden: Golden) -> None:
    """A line that is stored is read back, and sent with the same bytes."""
    for line in golden.file.read_bytes().splitlines():
        assert to_body(measurement_in(line)) == line


@every_golden
def test_a_replay_is_the_same_every_time(golden: Golden) -> None:
    """Nothing in the core depends on when or how often it runs."""
    assert list(golden.replay()) == list(golden.replay())


def test_every_recording_has_a_golden() -> None:
    """And no golden file is left over."""
    recordings = {path.name.removesuffix(".jsonl.gz") for path in (RECORDINGS).iterdir()}
    assert recordings == {golden.recording for golden in GOLDENS}
    assert {golden.file for golden in GOLDENS} == set((GOLDEN).iterdir())


def write_goldens() -> None:
    """Writes all golden files anew, from what the code does now."""
    for golden in GOLDENS:
        golden.file.write_bytes(b"".join(golden.replay()))


if __name__ == "__main__":
    write_goldens()
