"""Tests recordings: what was written can be read, and broken ones are refused by line."""

import gzip
import json
import resource
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mqtt_http_bridge.adapters.recording import AS_RECORDED, RecordingWriter, read_recording
from mqtt_http_bridge.core.errors import ConfigError, LocalFault, MalformedRecording
from mqtt_http_bridge.core.events import (
    AllRead,
    Connected,
    Disconnected,
    Event,
    Message,
    Moment,
    Tick,
)
from tests.support.places import RECORDINGS
from tests.support.virtual import START, moment

STARTED_S = 5_000.25
"""The monotonic clock at the start of a recording: any machine has been up for a while."""
HEADER = b'{"recording":1,"started_at":"2026-01-01T12:00:00+00:00"}\n'
MESSAGE = b'{"t":1.5,"topic":"N/a/heartbeat","payload":"x","retain":false,"qos":0}\n'
HEADER_EXPECTED = (
    'expected a header such as {"recording":1,"started_at":"2026-01-01T12:00:00+00:00"}'
)
LINE_EXPECTED = "expected a message or an event with its time t, not before that of the line above"

same_directory = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
"""Each example writes its file anew, so that all may use one directory."""


def record(path: Path, events: Sequence[Event]) -> None:
    """Writes `events`, which count from second 0, as if the recording began at `STARTED_S`."""
    writer = RecordingWriter(path, Moment(STARTED_S, START))
    for event in events:
        now = Moment(round(STARTED_S + event.moment.monotonic_s, 6), event.moment.utc)
        shifted = event._replace(moment=now)
        if isinstance(shifted, AllRead):
            shifted = shifted._replace(until_s=shifted.until_s + STARTED_S)
        writer.write(shifted)
    writer.close()


def broken(path: Path, content: bytes) -> str:
    """Returns what is said of the file with this content, which must be refused."""
    path.write_bytes(content)
    with pytest.raises(MalformedRecording) as caught:
        list(read_recording(path))
    return str(caught.value)


MOMENTS = st.lists(st.integers(0, 10**12), max_size=20).map(
    lambda us: [moment(t / 1e6) for t in sorted(us)]
)
TOPICS = st.text(st.characters(exclude_categories=["Cs"]))
THINGS = st.one_of(
    st.just(Connected(moment(0))),
    st.just(Connected(moment(0), tells_reads=True)),
    st.just(Disconnected(moment(0), AS_RECORDED)),
    st.just(AllRead(moment(0), -1.25)),
    st.builds(Message, st.just(moment(0)), TOPICS, st.binary(), st.booleans()),
    st.builds(
        Message, st.just(moment(0)), TOPICS, st.text().map(lambda t: t.encode(errors="replace"))
    ),
)
EVENTS = MOMENTS.flatmap(
    lambda moments: st.tuples(
        *(THINGS.map(lambda thing, now=now: thing._replace(moment=now)) for now in moments)  # type: ignore[misc]
    )
)


@pytest.mark.parametrize("name", ["plain.jsonl", "gzipped.jsonl.gz"])
@same_directory
@given(events=EVENTS)
def test_what_was_written_is_what_is_read(
    name: str, tmp_path: Path, events: tuple[Event, ...]
) -> None:
    """Every event comes back with its microsecond, its payload byte by byte and its flag."""
    path = tmp_path / name
    path.unlink(missing_ok=True)
    record(path, events)
    assert list(read_recording(path)) == list(events)


def test_ticks_are_not_recorded(tmp_path: Path) -> None:
    """A Tick is no traffic: a replay makes its own."""
    path = tmp_path / "recording.jsonl"
    record(path, [Tick(moment(1)), Connected(moment(2)), Tick(moment(3))])
    assert list(read_recording(path)) == [Connected(moment(2))]


def test_the_lines_are_as_documented(tmp_path: Path) -> None:
    """The format is a contract with recordings made elsewhere: header, messages, events."""
    path = tmp_path / "recording.jsonl"
    record(
        path,
        [
            Connected(moment(0.5)),
            Message(moment(1.25), "N/ä/heartbeat", b'{"value":0.0}', retain=True),
            Message(moment(2), "N/a/b", b"\xff"),
            Disconnected(moment(3), AS_RECORDED),
            Connected(moment(4), tells_reads=True),
            AllRead(moment(5.25), 5.125),
        ],
    )
    assert path.read_text(encoding="utf-8").splitlines() == [
        '{"recording":1,"started_at":"2026-01-01T12:00:00+00:00"}',
        '{"t":0.5,"event":"connected"}',
        '{"t":1.25,"topic":"N/ä/heartbeat","payload":"{\\"value\\":0.0}","retain":true,"qos":0}',
        '{"t":2.0,"topic":"N/a/b","payload_base64":"/w==","retain":false,"qos":0}',
        '{"t":3.0,"event":"disconnected"}',
        '{"t":4.0,"event":"connected","tells_reads":true}',
        '{"t":5.25,"event":"read","until":5.125}',
    ]


def test_gzip_follows_the_name_when_writing_and_the_content_when_reading(tmp_path: Path) -> None:
    """A name in .gz is gzipped; a reader looks at the first bytes, as files get renamed."""
    path = tmp_path / "recording.jsonl.gz"
    record(path, [Connected(moment(1))])
    renamed = path.rename(tmp_path / "recording.txt")
    assert gzip.decompress(renamed.read_bytes()).startswith(b'{"recording":1')
    assert list(read_recording(renamed)) == [Connected(moment(1))]


def test_a_header_in_another_time_zone_gives_utc(tmp_path: Path) -> None:
    """Moments are in UTC whatever offset the header was written with."""
    path = tmp_path / "recording.jsonl"
    path.write_bytes(b'{"recording":1,"started_at":"2026-01-01T14:00:00+02:00"}\n' + MESSAGE)
    (event,) = read_recording(path)
    assert event.moment.utc == datetime(2026, 1, 1, 12, 0, 1, 500_000, tzinfo=UTC)
    assert event.moment.utc.tzinfo is UTC


@pytest.mark.parametrize("path", sorted(RECORDINGS.glob("*.gz")), ids=lambda path: path.stem)
def test_the_recorded_traffic_of_real_devices_is_readable(path: Path) -> None:
    """Every line of our own recordings is an event, the first one a connection."""
    events = list(read_recording(path))
    with gzip.open(path) as lines:
        assert len(events) == sum(1 for _ in lines) - 1
    assert isinstance(events[0], Connected)


# --- what is refused -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "line", "expected"),
    [
        (b"", 1, HEADER_EXPECTED),
        (b"\n", 1, HEADER_EXPECTED),
        (b"\x89PNG\r\n\x1a\n\x00", 1, HEADER_EXPECTED),
        (b"time,topic,payload\n", 1, HEADER_EXPECTED),
        (MESSAGE, 1, HEADER_EXPECTED),
        (b'{"recording":2,"started_at":"2026-01-01T12:00:00+00:00"}', 1, HEADER_EXPECTED),
        (b'{"recording":1,"started_at":"2026-01-01T12:00:00"}', 1, HEADER_EXPECTED),
        (b'{"recording":1,"started_at":1767268800}', 1, HEADER_EXPECTED),
        (b'{"recording":1}', 1, HEADER_EXPECTED),
        (HEADER + b"\n", 2, LINE_EXPECTED),
        (HEADER + MESSAGE + MESSAGE[:30], 3, LINE_EXPECTED),
        (HEADER + MESSAGE * 3 + b"[]\n" + MESSAGE, 5, LINE_EXPECTED),
        (HEADER + b'{"topic":"a","payload":"b"}', 2, LINE_EXPECTED),
        (HEADER + b'{"t":"soon","topic":"a","payload":"b"}', 2, LINE_EXPECTED),
        (HEADER + b'{"t":NaN,"topic":"a","payload":"b"}', 2, LINE_EXPECTED),
        (HEADER + b'{"t":Infinity,"event":"connected"}', 2, LINE_EXPECTED),
        (HEADER + b'{"t":1e300,"event":"connected"}', 2, LINE_EXPECTED),
        (HEADER + b'{"t":-1,"event":"connected"}', 2, LINE_EXPECTED),
        (HEADER + MESSAGE + b'{"t":1.4,"event":"disconnected"}', 3, LINE_EXPECTED),
        (HEADER + b'{"t":1,"event":"exploded"}', 2, LINE_EXPECTED),
        (HEADER + b'{"t":1,"event":"read"}', 2, LINE_EXPECTED),
        (HEADER + b'{"t":1,"event":"read","until":1.1}', 2, LINE_EXPECTED),
        (HEADER + b'{"t":1,"event":"read","until":NaN}', 2, LINE_EXPECTED),
        (HEADER + b'{"t":1,"topic":"a"}', 2, LINE_EXPECTED),
        (HEADER + b'{"t":1,"topic":7,"payload":"b"}', 2, LINE_EXPECTED),
        (HEADER + b'{"t":1,"topic":"a","payload":{"value":1}}', 2, LINE_EXPECTED),
        (HEADER + b'{"t":1,"topic":"a","payload":"\\ud800"}', 2, LINE_EXPECTED),
        (HEADER + b'{"t":1,"topic":"a","payload_base64":"%%"}', 2, LINE_EXPECTED),
        (HEADER + b"[" * 100_000, 2, LINE_EXPECTED),
    ],
    ids=[
        "empty file",
        "blank line",
        "an image",
        "a table",
        "no header",
        "another version",
        "header without offset",
        "header with a number",
        "header without start",
        "blank line after the header",
        "last line cut off",
        "a list",
        "no time",
        "time is no number",
        "time is NaN",
        "time is infinite",
        "time beyond the calendar",
        "time before the start",
        "time goes back",
        "unknown event",
        "read, but not until when",
        "read before it came",
        "read until NaN",
        "no payload",
        "topic is no text",
        "payload is no text",
        "payload is no Unicode",
        "payload is no base64",
        "nested without end",
    ],
)
def test_a_broken_recording_is_refused_by_file_and_line(
    tmp_path: Path, content: bytes, line: int, expected: str
) -> None:
    """The error names the file, the line and what was expected there."""
    path = tmp_path / "recording.jsonl"
    assert broken(path, content) == f"{path}: line {line}: {expected}"


def test_what_stands_before_a_broken_line_is_given_out(tmp_path: Path) -> None:
    """A recording is read as it is played: its good part is not lost to its bad one."""
    path = tmp_path / "recording.jsonl"
    path.write_bytes(HEADER + MESSAGE + b"broken\n")
    events = read_recording(path)
    assert next(events) == Message(moment(1.5), "N/a/heartbeat", b"x")
    with pytest.raises(MalformedRecording):
        next(events)


@pytest.mark.parametrize("damage", ["cut off", "overwritten", "wrong checksum"])
def test_a_damaged_gzip_file_is_refused_where_it_ends(tmp_path: Path, damage: str) -> None:
    """A recorder that lost its power leaves half a file: that is said, not a traceback."""
    lines = [json.dumps({"t": t, "topic": f"N/{t**7}", "payload": "x"}) for t in range(5_000)]
    whole = gzip.compress(HEADER + "\n".join(lines).encode(), mtime=0)
    middle = len(whole) // 2
    content = {
        "cut off": whole[:middle],
        "overwritten": whole[:middle] + b"\xff" * 500 + whole[middle + 500 :],
        "wrong checksum": whole[:-8] + b"\0" * 8,
    }[damage]
    said = broken(tmp_path / "recording.jsonl.gz", content)
    assert said.endswith((": the file is cut off or damaged here", LINE_EXPECTED))


WHOLE = gzip.compress(HEADER + MESSAGE, mtime=0)


@same_directory
@given(
    st.one_of(
        st.binary(),
        st.binary().map(lambda tail: HEADER + tail),
        st.binary().map(lambda tail: b"\x1f\x8b" + tail),
        st.binary().map(lambda tail: gzip.compress(HEADER + tail)),
        st.tuples(st.integers(0, len(WHOLE) - 1), st.binary(min_size=1, max_size=4)).map(
            lambda damage: WHOLE[: damage[0]] + damage[1] + WHOLE[damage[0] + len(damage[1]) :]
        ),
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
            lambda inner: (
                st.lists(inner)
                | st.dictionaries(
                    st.sampled_from(["t", "topic", "payload", "payload_base64", "event", "retain"]),
                    inner,
                )
            ),
        ).map(lambda members: HEADER + json.dumps(members).encode()),
    )
)
@example(HEADER + b'{"t":1' + b"0" * 5000 + b"}")
def test_any_file_gives_events_or_malformed_recording(tmp_path: Path, content: bytes) -> None:
    """Whatever a file holds, reading it gives events in order or that one error."""
    path = tmp_path / "any"
    path.write_bytes(content)
    try:
        events = list(read_recording(path))
    except MalformedRecording:
        return
    assert [event.moment.monotonic_s for event in events] == sorted(
        event.moment.monotonic_s for event in events
    )


# --- what this machine refuses ---------------------------------------------------------------


@pytest.mark.parametrize("name", ["recording.jsonl", "recording.jsonl.gz"])
def test_a_file_that_is_there_is_not_overwritten(tmp_path: Path, name: str) -> None:
    """A recording cannot be made again: the file is left as it is, and another name asked for."""
    path = tmp_path / name
    path.write_bytes(b"precious")
    with pytest.raises(ConfigError) as caught:
        RecordingWriter(path, moment(0))
    assert str(caught.value) == f"{path}: the file is there already: choose another name"
    assert path.read_bytes() == b"precious"


def test_a_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    """The error of the machine comes with the name of the file."""
    path = tmp_path / "nowhere" / "recording.jsonl"
    with pytest.raises(LocalFault) as caught:
        RecordingWriter(path, moment(0))
    assert str(caught.value) == f"{path}: expected a file to write to: No such file or directory"


@pytest.mark.parametrize(
    ("name", "reason"),
    [("missing", "No such file or directory"), (".", "Is a directory")],
    ids=["missing", "a directory"],
)
def test_a_recording_that_is_none_is_a_wrong_argument(
    tmp_path: Path, name: str, reason: str
) -> None:
    """A missing file is no malformed recording: another name fixes it."""
    path = tmp_path / name
    with pytest.raises(ConfigError) as caught:
        list(read_recording(path))
    assert str(caught.value) == f"{path}: expected a recording to read: {reason}"


@contextmanager
def small_disk() -> Iterator[None]:
    """Within this no file can grow beyond 4 kB, as if the disk were full.

    No fixture: pytest writes about a test before it ends its fixtures, perhaps to a longer file.
    """
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_that_refuses_is_a_local_fault(tmp_path: Path) -> None:
    """A recording that cannot grow any more ends with the name of its file and the reason."""
    path = tmp_path / "recording.jsonl"
    writer = RecordingWriter(path, moment(0))
    reason = f"{path}: cannot write on: File too large"
    with small_disk():
        with pytest.raises(LocalFault) as caught:
            _fill(writer)
        assert str(caught.value) == reason
        with pytest.raises(LocalFault) as caught:
            writer.close()
        assert str(caught.value) == reason


def _fill(writer: RecordingWriter) -> None:
    for t in range(1_000):
        writer.write(Message(moment(t), "N/a/b", b"x" * 100))
