"""The payloads of dbus-flashmq: what a device can say on a path, and how it is parsed."""

import json
from collections.abc import Mapping
from enum import Enum, auto
from functools import lru_cache
from math import isfinite
from typing import Final, NamedTuple, TypeVar

from mqtt_http_bridge.core.venus.paths import Path

_T = TypeVar("_T")


class Value(NamedTuple):
    """A JSON value; the path's kind decides whether its type fits."""

    value: object


class NoValue(Enum):
    """Lists what a device can say in place of a value."""

    INVALID = auto()
    """It has no value here: null, an empty array, not a number."""
    GONE = auto()
    """It has left the bus."""


class Unreadable(NamedTuple):
    """Something was said in a form that no GX uses: whatever was known before is in doubt."""

    payload: bytes
    """The beginning of it, for people."""


INVALID: Final = NoValue.INVALID
GONE: Final = NoValue.GONE
Said = Value | NoValue | Unreadable

Sayings = Mapping[str, Said]
"""The values that a charger has reported, by the name of the path."""


def known(path: Path[_T], said: Sayings) -> _T:
    """Returns the last value of `path`, or the default if none of its kind is known."""
    found = said.get(path.name)
    return path.kind.of(found.value if isinstance(found, Value) else None)


_LONGEST_SHOWN: Final = 40


def described(path: Path[_T], said: Sayings) -> str:
    """Names what was found at `path` where no value of its kind is known, for people."""
    match said.get(path.name):
        case Value(str(text)):
            found = f"is the text {text[:_LONGEST_SHOWN]!r}"
        case Value(bool() | int() | float() as number):
            found = f"is {str(number)[:_LONGEST_SHOWN]}, which cannot be"
        case Value(_):
            found = "is neither a number nor a text"
        case NoValue.INVALID:
            found = "is null"
        case Unreadable(payload):
            found = f"cannot be read: {payload[:_LONGEST_SHOWN]!r}"
        case NoValue.GONE | None:
            found = "was never reported by this driver since it appeared"
    return f"{path!r} {found}"


# --- from bytes --------------------------------------------------------------------------------

MOST_CHARACTERS: Final = 1000
"""The most characters of a text: anything longer is not a name or serial, and counts as unreadable.
"""
MOST_BYTES: Final = 16_384
"""The most bytes of a payload to look at: a text of MOST_CHARACTERS takes at most 12 bytes for
each.
"""
_BITS_OF_A_CHARACTER: Final = 32
"""The most that Python takes for one."""
_SEVERAL: Final = ()
"""Stands for an array or an object."""
_PAYLOADS_IN_MIND: Final = 512
"""In the recordings, a third of what chargers say is a recent repeat, and looking it up costs a
tenth of parsing it. A larger cache would hardly help: measured numbers seldom repeat.
"""
_LONGEST_IN_MIND: Final = 128
"""The most bytes of a payload to remember: a broker that is not a GX must not fill the memory."""


def parse(payload: bytes) -> Said:
    """Reads `payload`: `{"value": ...}`, with other members where they please, or nothing."""
    return _parse_short(payload) if len(payload) <= _LONGEST_IN_MIND else _parse(payload)


def _parse(payload: bytes) -> Said:
    if not payload:
        return GONE
    found = members(payload)
    if "value" not in found:
        return Unreadable(payload[:_LONGEST_SHOWN])
    value = found["value"]
    if isinstance(value, str) and len(value) > MOST_CHARACTERS:
        return Unreadable(payload[:_LONGEST_SHOWN])
    if _is_no_value(value):
        return INVALID
    # No path that we use has several values, and they could be of any size.
    return Value(_SEVERAL if isinstance(value, list | dict) else value)


_parse_short = lru_cache(maxsize=_PAYLOADS_IN_MIND)(_parse)


def extent(said: Said) -> int:
    """Returns how many characters of memory it takes to remember `said`, if it may be many."""
    value = said.value if isinstance(said, Value) else None
    if isinstance(value, str):
        return len(value)
    return value.bit_length() // _BITS_OF_A_CHARACTER if isinstance(value, int) else 0


def too_long(said: Said) -> Unreadable:
    """Returns what is left of `said` where there is no room to remember it."""
    shown = str(said.value)[:_LONGEST_SHOWN] if isinstance(said, Value) else ""
    return Unreadable(shown.encode(errors="replace")[:_LONGEST_SHOWN])


def _is_no_value(value: object) -> bool:
    """Null; an empty array, which older firmware sends for null; NaN or an infinity."""
    return value is None or value == [] or (isinstance(value, float) and not isfinite(value))


def members(payload: bytes) -> dict[str, object]:
    """The members of a JSON object; none if `payload` is not one or is too long."""
    if len(payload) > MOST_BYTES:
        return {}
    try:
        found = json.loads(payload)
    # Not JSON, not UTF-8, an integer of over 4,300 digits, nested too deeply: none is from a GX.
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
