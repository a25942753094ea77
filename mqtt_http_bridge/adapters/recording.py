"""Recordings of MQTT traffic: JSON Lines, gzipped where the name ends in `.gz`.

The first line is `{"recording":1,"started_at":"<UTC>"}`. Then, in order of `t`, the seconds since
then: `{"t":3.03,"topic":"N/...","payload":"{\\"value\\":0.0}","retain":false,"qos":0}`, with
`payload_base64` in place of `payload` where that is no UTF-8, and `{"t":40.07,"event":"connected"}`
or `"disconnected"`. Where the connection says `"tells_reads":true`, there is also how far all has
been read, `{"t":44.1,"event":"read","until":44.09}`; elsewhere each message counts as read when it
came.
"""

import base64
import gzip
import json
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from io import BufferedReader, BufferedWriter
from pathlib import Path
from typing import Any, Final

from mqtt_http_bridge.core.broker_failure import BrokerFailure, Cause
from mqtt_http_bridge.core.errors import ConfigError, LocalFault, MalformedRecording
from mqtt_http_bridge.core.events import (
    AllRead,
    Connected,
    Disconnected,
    Dropped,
    Event,
    Message,
    Moment,
    SubscriptionRefused,
    Tick,
)

_VERSION: Final = 1
LONGEST_S: Final = 366 * 86400.0
"""A year; the relay goes through a recording one interval after the other."""
LONGEST_LINE: Final = 1_500_000
"""The most bytes of a line: enough for a message of 1 MB, the largest accepted from a broker."""
MOST_UNPACKED: Final = 100
"""The most that a gzipped recording may expand, as a multiple of its size; real ones expand 16
times."""
_SMALL: Final = 1_000_000
"""Up to this many bytes, expansion is not checked: a few similar lines may compress better."""
AS_RECORDED: Final = BrokerFailure(Cause.LOST, detail="as recorded")
"""A recording says that a connection ended, but not why."""
_GZIP_MAGIC: Final = b"\x1f\x8b"


class RecordingWriter:
    """Writes events as they come. One thread at a time may use it; call `close` at the end."""

    def __init__(self, path: Path, started: Moment) -> None:
        """Starts the file at `path`, which must not exist. Raises ConfigError, LocalFault."""
        self._started_s = started.monotonic_s
        self._path = path
        try:
            self._stream = _open_to_write(path)
        except FileExistsError as error:
            raise ConfigError(f"{path}: the file is there already: choose another name") from error
        except OSError as error:
            raise LocalFault(f"{path}: expected a file to write to: {error.strerror}") from error
        self._write({"recording": _VERSION, "started_at": started.utc.isoformat()})

    def write(self, event: Event) -> None:
        """Appends `event`, if it is of a kind to record. Raises LocalFault if the disk refuses."""
        if not isinstance(event, Tick | Dropped | SubscriptionRefused):
            self._write({"t": self._t(event.moment.monotonic_s)} | self._members(event))

    def close(self) -> None:
        """Completes the file. Raises LocalFault if the disk refuses."""
        try:
            self._stream.close()
        except OSError as error:
            raise self._fault(error) from error

    def _t(self, at_s: float) -> float:
        return round(at_s - self._started_s, 6)

    def _members(self, event: Connected | Disconnected | Message | AllRead) -> dict[str, object]:
        match event:
            case Connected(tells_reads=tells_reads):
                return {"event": "connected"} | ({"tells_reads": True} if tells_reads else {})
            case Disconnected():
                return {"event": "disconnected"}
            case AllRead(until_s=until_s):
                return {"event": "read", "until": self._t(until_s)}
            case Message(topic=topic, payload=payload, retain=retain):
                return {"topic": topic, **_payload_member(payload), "retain": retain, "qos": 0}

    def _write(self, members: dict[str, object]) -> None:
        line = json.dumps(members, ensure_ascii=False, separators=(",", ":"))
        # A topic may hold what UTF-8 cannot. paho passes it on; recording must not stop because of
        # it.
        data = line.encode(errors="replace") + b"\n"
        if len(data) > LONGEST_LINE:
            return  # No reader would accept it, or anything after it. No GX sends that much.
        try:
            self._stream.write(data)
        except OSError as error:
            raise self._fault(error) from error

    def _fault(self, error: OSError) -> LocalFault:
        return LocalFault(f"{self._path}: cannot write on: {error.strerror}")


def _open_to_write(path: Path) -> gzip.GzipFile | BufferedWriter:
    return gzip.open(path, "xb") if path.suffix == ".gz" else path.open("xb")


def _payload_member(payload: bytes) -> dict[str, object]:
    try:
        return {"payload": payload.decode()}
    except UnicodeDecodeError:
        return {"payload_base64": base64.b64encode(payload).decode()}


def read_recording(path: Path) -> Iterator[Event]:
    """Yields the events of the recording at `path`, with the recorded moments.

    Monotonic time counts from the start of the recording. Raises ConfigError if there is no such
    file to open, and LocalFault if the disk does not give all of it. At the first line that breaks
    the format, it raises MalformedRecording, which names the line; the events before have been
    yielded by then.
    """
    number = 0
    try:
        with path.open("rb") as file:
            lines = enumerate(_lines(*_opened(file)), start=1)
            number, header = next(lines, (1, b""))
            started_at = _started_at(header)
            latest_s = 0.0
            for number, line in lines:  # noqa: B007 - the errors below tell it
                event = _event(line, started_at)
                if event.moment.monotonic_s < latest_s:
                    raise ValueError("time goes back")
                latest_s = event.moment.monotonic_s
                yield event
    except (
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        OverflowError,
        RecursionError,
    ) as error:
        raise MalformedRecording(f"{path}: line {number}: {_expectation(number)}") from error
    except _Bomb as error:
        raise MalformedRecording(
            f"{path}: expected a recording, found what is unpacked to more than {MOST_UNPACKED}"
            " times its size"
        ) from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise MalformedRecording(
            f"{path}: line {number + 1}: the file is cut off or damaged here"
        ) from error
    except OSError as error:
        text = f"{path}: expected a recording to read: {error.strerror}"
        # What was named is no file that can be opened; else the disk refuses to give more of it.
        raise (LocalFault if error.filename is None else ConfigError)(text) from error


def _opened(file: BufferedReader) -> tuple[gzip.GzipFile | BufferedReader, "_Packed | None"]:
    """Returns an iterable of lines and, if they are gzipped, a counter of their size."""
    if file.peek(2)[:2] != _GZIP_MAGIC:
        return file, None
    packed: Any = _Packed(file)
    return gzip.GzipFile(fileobj=packed, mode="rb"), packed


def _lines(stream: gzip.GzipFile | BufferedReader, packed: "_Packed | None") -> Iterator[bytes]:
    """Yields the lines of a recording; an empty line in place of one that is too long.

    A file of a few kB may unpack to any number of GB.
    """
    while line := stream.readline(LONGEST_LINE + 1):
        if packed and stream.tell() > max(packed.taken * MOST_UNPACKED, _SMALL):
            raise _Bomb
        yield line if len(line) <= LONGEST_LINE else b""


class _Packed:
    """Reads a gzipped file in pieces, so that it is known how much has been unpacked."""

    def __init__(self, file: BufferedReader) -> None:
        self._file = file
        self.taken = 0

    def read(self, size: int) -> bytes:
        """Returns up to `size` bytes, and never many."""
        data = self._file.read(min(size, 4096))
        self.taken += len(data)
        return data


class _Bomb(Exception):
    """Raised if a gzipped file unpacks to far more than a recording would."""


def _expectation(number: int) -> str:
    if number == 1:
        return 'expected a header such as {"recording":1,"started_at":"2026-01-01T12:00:00+00:00"}'
    return "expected a message or an event with its time t, not before that of the line above"


def _started_at(header: bytes) -> datetime:
    members = json.loads(header)
    if members["recording"] != _VERSION:
        raise ValueError("another version")
    started_at = datetime.fromisoformat(members["started_at"])
    if started_at.utcoffset() is None:
        raise ValueError("no offset")
    return started_at.astimezone(UTC)


def _event(line: bytes, started_at: datetime) -> Event:
    members: dict[str, Any] = json.loads(line)
    t = float(members["t"])
    if t > LONGEST_S:
        raise ValueError("longer than a recording can be")
    moment = Moment(t, started_at + timedelta(seconds=t))
    match members:
        case {"event": "connected"}:
            return Connected(moment, members.get("tells_reads") is True)
        case {"event": "read", "until": float(until_s) | int(until_s)} if until_s <= t:
            return AllRead(moment, float(until_s))
        case {"event": "disconnected"}:
            return Disconnected(moment, AS_RECORDED)
        case {"topic": str(topic)} if topic != topic.encode(errors="replace").decode():
            raise ValueError("a topic that MQTT cannot carry")
        case {"topic": str(topic), "payload": str(text)}:
            return Message(moment, topic, text.encode(), members.get("retain") is True)
        case {"topic": str(topic), "payload_base64": str(text)}:
            payload = base64.b64decode(text, validate=True)
            return Message(moment, topic, payload, members.get("retain") is True)
    raise ValueError("neither a message nor an event")
