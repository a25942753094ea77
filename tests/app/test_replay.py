"""Tests `replay`: which part of a recording it plays, how fast, and with what result."""

import threading
import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from mqtt_http_bridge.adapters.recording import AS_RECORDED, RecordingWriter, read_recording
from mqtt_http_bridge.app.replay import Part, cut, measurements, play
from mqtt_http_bridge.core.commands import Store
from mqtt_http_bridge.core.errors import MalformedRecording
from mqtt_http_bridge.core.events import AllRead, Connected, Disconnected, Event, Message, Tick
from mqtt_http_bridge.core.log import Log
from mqtt_http_bridge.core.measurement import Measurement
from mqtt_http_bridge.core.relay.relay import Relay
from mqtt_http_bridge.core.settings import Settings
from mqtt_http_bridge.core.solar_backend.body import to_body
from tests.support.places import RECORDINGS
from tests.support.virtual import CHARGER, PORTAL, moment, seconds, settings, value

pytestmark = pytest.mark.long

NEVER = threading.Event()
"""Nobody asks these replays to stop."""


def recorded(path: Path, events: Iterable[Event]) -> Path:
    """The recording of `events`, at `path`."""
    writer = RecordingWriter(path, moment(0))
    for event in events:
        writer.write(event)
    writer.close()
    return path


def connection(start_s: float, end_s: float, service: str = "solarcharger") -> list[Event]:
    """A connection on which one charger says everything at once, and then heartbeats come."""
    says = [
        Message(moment(start_s + 0.5), f"N/{PORTAL}/{service}/281/{path}", value(said))
        for path, said in {**CHARGER, "NrOfTrackers": 1}.items()
    ]
    beats = [
        Message(moment(start_s + beat), f"N/{PORTAL}/heartbeat", value(1))
        for beat in range(3, int(end_s - start_s), 3)
    ]
    return [Connected(moment(start_s)), *says, *beats, Disconnected(moment(end_s), AS_RECORDED)]


def lines(relay_settings: Settings, path: Path, part: Part | None = None) -> list[bytes]:
    """Returns what a replay of `path` posts."""
    return [to_body(m) for m in measurements(relay_settings, path, part or Part(), NEVER)]


def of_one_relay(relay_settings: Settings, events: Iterable[Event]) -> list[Measurement]:
    """Returns what a relay measures that is handed `events` and nothing else."""
    relay = Relay(relay_settings)
    return [
        command.measurement
        for event in events
        for command in relay.handle(event)
        if isinstance(command, Store)
    ]


# --- cut -------------------------------------------------------------------------------------

EVENTS = [*connection(0.0, 20.0), *connection(30.0, 60.0)]


def test_the_whole_recording_is_its_own_part() -> None:
    """Without --from and --to nothing is left out and nothing put in."""
    assert list(cut(EVENTS, Part())) == EVENTS


@pytest.mark.parametrize(
    ("from_s", "to_s"),
    [(0.0, 20.0), (30.0, 60.0), (25.0, 100.0), (20.0, 60.0), (100.0, 200.0), (40.0, 10.0)],
    ids=["the first connection", "the second", "between", "at an end", "after all", "backwards"],
)
def test_a_part_holds_the_events_within_its_bounds(from_s: float, to_s: float) -> None:
    """Both bounds belong to it; one that does not start amid a connection adds nothing."""
    assert list(cut(EVENTS, Part(from_s, to_s))) == [
        event for event in EVENTS if from_s <= event.moment.monotonic_s <= to_s
    ]


def test_a_part_that_starts_amid_a_connection_starts_with_connecting() -> None:
    """The relay has to be connected to hear: the connection is put before the first message."""
    found = list(cut(EVENTS, Part(from_s=31.0)))
    within = [event for event in EVENTS if event.moment.monotonic_s >= 31.0]
    assert found == [Connected(within[0].moment), *within]


def test_a_part_goes_on_as_its_connection_began() -> None:
    """If the recording tells how far all was read, a part of it does so, too."""
    events: list[Event] = [
        Connected(moment(0), tells_reads=True),
        Message(moment(1), f"N/{PORTAL}/heartbeat", value(1)),
        AllRead(moment(1), 0.9),
        AllRead(moment(2), 1.9),
    ]
    begun = Connected(moment(2), tells_reads=True)
    assert list(cut(events, Part(from_s=2.0))) == [begun, events[-1]]


# --- play ------------------------------------------------------------------------------------


def test_each_command_comes_with_the_moment_it_is_due() -> None:
    """Deadlines between two events are played too, so a replay at speed posts in time."""
    relay_settings = settings(PORTAL, interval_s=5.0)
    stored_s = [
        (at.monotonic_s, seconds(command.measurement.timestamp))
        for at, commands in play(Relay(relay_settings), EVENTS)
        for command in commands
        if isinstance(command, Store)
    ]
    assert stored_s == [(at_s, at_s) for at_s in (10.0, 15.0, 20.0, 40.0, 45.0, 50.0, 55.0, 60.0)]


@pytest.mark.parametrize("path", sorted(RECORDINGS.glob("*.gz")), ids=lambda path: path.stem)
@pytest.mark.parametrize("interval_s", [1.0, 30.0], ids="every {} s".format)
def test_deadlines_played_or_not_give_the_same_bytes(path: Path, interval_s: float) -> None:
    """Real traffic measured with a tick at every deadline and with none gives the same."""
    relay_settings = settings(interval_s=interval_s)
    bare = of_one_relay(relay_settings, read_recording(path))
    assert bare
    assert lines(relay_settings, path) == [to_body(measurement) for measurement in bare]


@pytest.mark.parametrize("path", sorted(RECORDINGS.glob("*.gz")), ids=lambda path: path.stem)
def test_a_part_that_ends_early_gives_the_beginning_of_the_whole(path: Path) -> None:
    """Everything that is measured does not depend on what comes later."""
    relay_settings = settings(interval_s=5.0)
    whole = lines(relay_settings, path)
    for to_s in (0.0, 20.0, 60.5, 100.0):
        part = lines(relay_settings, path, Part(to_s=to_s))
        assert part == whole[: len(part)]


def test_a_part_that_starts_at_a_connection_is_a_recording_of_its_own() -> None:
    """Starting at a connection gives what a relay gives that was started just before it."""
    path = RECORDINGS / "restart.jsonl.gz"
    relay_settings = settings(PORTAL, interval_s=5.0)
    starts_s = [
        event.moment.monotonic_s for event in read_recording(path) if isinstance(event, Connected)
    ]
    assert len(starts_s) == 4
    for start_s in starts_s:
        rest = [e for e in read_recording(path) if e.moment.monotonic_s >= start_s]
        expected = [to_body(measurement) for measurement in of_one_relay(relay_settings, rest)]
        assert expected
        for from_s in (start_s, start_s - 0.5):
            assert lines(relay_settings, path, Part(from_s=from_s)) == expected


# --- measurements ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("services", "is_measured"),
    [
        (("solarcharger",), False),
        (("multi",), True),
        (("solarcharger", "multi", "inverter"), True),
    ],
    ids=["the default", "it alone", "all"],
)
def test_only_the_services_that_are_set_are_measured(
    tmp_path: Path, services: tuple[str, ...], is_measured: bool
) -> None:
    """A recording may hold every service; a replay measures what a live relay would hear."""
    path = recorded(tmp_path / "multi.jsonl", connection(0.0, 30.0, service="multi"))
    assert bool(lines(settings(PORTAL, services=services), path)) is is_measured


def test_speed_spreads_the_measurements_over_real_time(tmp_path: Path) -> None:
    """At speed 1000 a measurement of second 30 comes 30 ms after the start, and not before."""
    path = recorded(tmp_path / "recording.jsonl", connection(0.0, 60.0))
    started_s = time.monotonic()
    for measurement in measurements(
        settings(PORTAL, interval_s=10.0), path, Part(speed=1000.0), NEVER
    ):
        assert time.monotonic() - started_s >= seconds(measurement.timestamp) / 1000.0


def test_speed_counts_from_the_start_of_the_part(tmp_path: Path) -> None:
    """Everything that is skipped takes no time: a part that starts late is not waited for."""
    shift_s = 3_600.0
    path = recorded(tmp_path / "recording.jsonl", connection(shift_s, shift_s + 30.0))
    started_s = time.monotonic()
    assert lines(settings(PORTAL), path, Part(from_s=shift_s, speed=100.0))
    assert time.monotonic() - started_s < shift_s / 100.0


def test_a_replay_ends_when_it_is_asked_to(tmp_path: Path) -> None:
    """A replay that waits for its next measurement gives up waiting at once."""
    path = recorded(tmp_path / "recording.jsonl", connection(0.0, 60.0))
    stopping = threading.Event()
    stopping.set()
    assert list(measurements(settings(PORTAL), path, Part(speed=0.001), stopping)) == []


def test_the_log_of_the_relay_is_written(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A replay tells what the live relay would have told."""
    path = recorded(tmp_path / "recording.jsonl", [Connected(moment(0)), Tick(moment(1))])
    with caplog.at_level("INFO", "mqtt_http_bridge"):
        lines(settings(PORTAL), path)
    assert caplog.messages == [Log.info("connected to the broker").text]


def test_the_good_part_of_a_broken_recording_is_measured(tmp_path: Path) -> None:
    """All that was measured before the broken line has been given out when the error comes."""
    path = recorded(tmp_path / "recording.jsonl", connection(0.0, 60.0))
    path.write_bytes(path.read_bytes() + b'{"t":')
    replay = measurements(settings(PORTAL), path, Part(), NEVER)
    assert seconds(next(replay).timestamp) == 10.0
    assert seconds(next(replay).timestamp) == 40.0
    with pytest.raises(MalformedRecording):
        next(replay)
