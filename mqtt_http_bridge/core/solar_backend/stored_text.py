"""Reads, cuts and shifts stored bodies, written by this version or an earlier or later one.

An entry of the outbox is its bytes. If it were parsed into a measurement and written again,
anything that this version does not know would be lost or spelled differently, and a backlog would
not survive an upgrade or a downgrade. So it is sent as it is, and if part of it has to change, the
text is cut in the right places and the rest stays the same, byte for byte: a fresh field, another
order of the members, another spelling of a number. Only the members that are used here are
required.
"""

import json
import re
from collections.abc import Collection, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from mqtt_http_bridge.core.delivery.dialect import Contents
from mqtt_http_bridge.core.errors import MalformedMeasurement

_WHOLE: Final = re.compile(r"-?\d{1,18}")
_TIMESTAMP: Final = re.compile(rb'(?<!\\)"timestamp"[ \t]*:[ \t]*"([ -!#-\[\]-~]*)"')
_BLANKS: Final = re.compile(r"[ \t\n\r]*")


_DECODER: Final = json.JSONDecoder(parse_int=float)
"""Numbers are not looked at, and an endless one is an error only as an int."""


def read(body: bytes) -> Contents:
    """Reads what has to be known about a stored body.

    Raises MalformedMeasurement where the serials or the timestamp cannot be found.
    """
    document = _decode(body, _text(body))
    try:
        cerbo_serial = document.get("cerbo_serial")
        return Contents(
            serials=tuple(_as_text(device["serial"]) for device in _as_list(document["devices"])),
            timestamp=_moment(document["timestamp"]),
            cerbo_serial=cerbo_serial if isinstance(cerbo_serial, str) else None,
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _malformed(body) from error


def only(body: bytes, serials: Collection[str]) -> bytes:
    """Cuts all devices but `serials` out of the stored text.

    Raises MalformedMeasurement as `read` does.
    """
    if set(read(body).serials) <= set(serials):
        return body
    text = body.decode()
    devices = list(_elements(text, _members(text, 0)["devices"].start))
    kept: list[str] = []
    end = devices[0].start
    for device in devices:
        if device.value["serial"] in serials:
            # With the text between two devices, except before the first one that is kept.
            kept.append(text[end if kept else device.start : device.end])
        end = device.end
    return (text[: devices[0].start] + "".join(kept) + text[devices[-1].end :]).encode()


def timestamp(body: bytes) -> str:
    """Reads the time of a body, or of one that was cut short, as it stands there; empty if none."""
    found = _TIMESTAMP.search(body)
    return found[1].decode("ascii") if found is not None else ""


def shifted(body: bytes, step_s: float) -> bytes:
    """Corrects the timestamp and each `last_update` for a clock that was set by `step_s`.

    A `last_update` that is no whole number stays as it is, as does a timestamp that no calendar
    would have any more, and a body that is no measurement.
    """
    try:
        read(body)
    except MalformedMeasurement:
        return body
    step = timedelta(seconds=step_s)
    text = body.decode()
    members = _members(text, 0)
    changes = [_later_timestamp(members["timestamp"], step)]
    for device in _elements(text, members["devices"].start):
        span = _members(text, device.start).get("last_update")
        if span is not None and _WHOLE.fullmatch(text, span.start, span.end):
            later = int(text[span.start : span.end]) + round(step_s)
            changes.append((span, str(later)))
    for span, new in sorted(changes, key=lambda change: change[0].start, reverse=True):
        text = text[: span.start] + new + text[span.end :]
    return text.encode()


def _later_timestamp(span: "_Span", step: timedelta) -> "tuple[_Span, str]":
    timestamp = datetime.fromisoformat(span.value)
    try:
        later = timestamp + step
    except OverflowError:  # No clock has ever shown that time.
        later = timestamp
    return span, f'"{later.isoformat(timespec="microseconds")}"'


# --- what has to be there ------------------------------------------------------------------------


def _text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise _malformed(body) from error


def _decode(body: bytes, text: str) -> Any:
    try:
        return _DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        raise _malformed(body) from error


def _as_list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError
    return value


def _as_text(value: Any) -> str:
    """A text that can be written: half a surrogate pair cannot. Raises TypeError, ValueError."""
    if not isinstance(value, str):
        raise TypeError
    value.encode()
    return value


def _moment(value: Any) -> datetime:
    """Parses a time; without an offset it is UTC. Raises TypeError, ValueError."""
    moment = datetime.fromisoformat(value)
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _malformed(body: bytes) -> MalformedMeasurement:
    return MalformedMeasurement(
        f"expected a measurement with its timestamp and serials, found {body[:80]!r}"
    )


# --- where it stands in the text -----------------------------------------------------------------


class _Span(NamedTuple):
    """Holds a value, and its start and end in the text."""

    start: int
    end: int
    value: Any


def _members(text: str, at: int) -> dict[str, _Span]:
    """The members of the object at `at`; of two of a name the last one counts, as in `json`."""
    members = {}
    at = _after_blanks(text, _after_blanks(text, at) + 1)
    while text[at] != "}":
        name = _span(text, at)
        value = _span(text, _after_blanks(text, _after_blanks(text, name.end) + 1))
        members[name.value] = value
        at = _next(text, value.end)
    return members


def _elements(text: str, at: int) -> Iterator[_Span]:
    """Returns the elements of the array at `at`."""
    at = _after_blanks(text, at + 1)
    while text[at] != "]":
        element = _span(text, at)
        yield element
        at = _next(text, element.end)


def _span(text: str, at: int) -> _Span:
    value, end = _DECODER.raw_decode(text, at)
    return _Span(at, end, value)


def _next(text: str, end: int) -> int:
    """Returns where the next member or element begins, or the whole of them ends."""
    at = _after_blanks(text, end)
    return _after_blanks(text, at + 1) if text[at] == "," else at


def _after_blanks(text: str, at: int) -> int:
    blanks = _BLANKS.match(text, at)
    return at if blanks is None else blanks.end()
