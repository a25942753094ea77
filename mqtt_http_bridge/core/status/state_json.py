"""The state file's bytes: JSON, which a later version may add members to."""

import json
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from math import isfinite
from typing import Any, Final, TypeVar

from mqtt_http_bridge.core.errors import MalformedState
from mqtt_http_bridge.core.status.problem import Kind, Problem
from mqtt_http_bridge.core.status.state_file import DeviceState, GxState, Owed, Process, State
from mqtt_http_bridge.core.views import DeviceResult

FORMAT: Final = 1
"""Increased when readers of the previous format would misread it; new members do not need that."""

_T = TypeVar("_T")
_E = TypeVar("_E", bound=Enum)


def to_json(state: State) -> bytes:
    """Makes the bytes of the file."""
    return json.dumps({"format": FORMAT, **to_members(state)}).encode()


def to_members(state: State) -> dict[str, Any]:
    """Returns the members of the document, as JSON has them."""
    return state._asdict() | {
        "process": state.process._asdict(),
        "gx": [gx._asdict() for gx in state.gx],
        "problems": [problem._asdict() for problem in state.problems],
        "notes": [note._asdict() for note in state.notes],
        "devices": [device._asdict() for device in state.devices],
        "owed": state.owed._asdict(),
    }


def from_json(text: bytes) -> State:
    """Reads what `to_json` of this or a later version has made. Raises MalformedState.

    Unknown members are ignored.
    """
    try:
        members = _members(json.loads(text))
        if members.get("format") != FORMAT:
            raise MalformedState(
                f"expected a state file of format {FORMAT}, found {members.get('format')!r:.40}:"
                " is this the version that the service runs?"
            )
        return _state(members)
    except (ArithmeticError, ValueError, TypeError, KeyError, RecursionError) as error:
        found = f"{type(error).__name__}: {error}"
        raise MalformedState(
            f"expected a state file, found something else ({found:.80})"
        ) from error


def read_all(texts: Iterable[bytes]) -> list[State]:
    """Reads what was found in several places, and ignores anything that is not a state file."""
    return [state for state in map(_state_in, texts) if state is not None]


def _state_in(text: bytes) -> State | None:
    try:
        return from_json(text)
    except MalformedState:
        return None


def _state(members: Mapping[str, Any]) -> State:
    owed = _members(members["owed"])
    return State(
        process=_process(_members(members["process"])),
        written=_number(members, "written"),
        written_s=_number(members, "written_s"),
        gx=tuple(_gx(each) for each in _list(members, "gx")),
        problems=tuple(_problem(each) for each in _list(members, "problems")),
        notes=tuple(_problem(each) for each in _list({"notes": [], **members}, "notes")),
        devices=tuple(_device(each) for each in _list(members, "devices")),
        owed=Owed(
            _count(owed, "measurements"),
            _count(owed, "parked"),
            None if owed["oldest"] is None else _text(owed, "oldest"),
            _count({"in_memory": 0, **owed}, "in_memory"),
        ),
        stored=_number_or_none(members, "stored"),
    )


def _problem(members: Mapping[str, Any]) -> Problem:
    kind = _text(members, "kind")
    is_known = kind in Kind.__members__.values()
    return Problem(
        Kind(kind) if is_known else Kind.OTHER,
        _text(members, "text"),
        _text(members, "fix"),
        _text({"subject": "", **members}, "subject"),
    )


def _process(members: Mapping[str, Any]) -> Process:
    return Process(
        version=_text(members, "version"),
        pid=_count(members, "pid"),
        boot_id=_text(members, "boot_id"),
        start_ticks=_count(members, "start_ticks"),
        started=_number(members, "started"),
        config=_text(members, "config"),
        interval_s=_number(members, "interval_s"),
    )


_NEW_OF_GX: Final = GxState("", "", None, None, 0)._asdict()
"""The values of members that an older version does not write."""
_NEW_OF_DEVICE: Final = {"portal_id": "", "stored": None}


def _gx(members: Mapping[str, Any]) -> GxState:
    members = {**_NEW_OF_GX, **members}
    is_well = members["is_well"]
    return GxState(
        portal_id=_text(members, "portal_id"),
        name=_text(members, "name"),
        heard=_number_or_none(members, "heard"),
        measured=_number_or_none(members, "measured"),
        chargers=_count(members, "chargers"),
        is_well=None if is_well is None else _checked(is_well, bool, "is_well"),
        remark=_text(members, "remark"),
        stored=_number_or_none(members, "stored"),
        stored_timestamp=_text(members, "stored_timestamp"),
        waiting=_count(members, "waiting"),
        parked=_count(members, "parked"),
        owed_since=_number_or_none(members, "owed_since"),
    )


def _device(members: Mapping[str, Any]) -> DeviceState:
    members = {**_NEW_OF_DEVICE, **members}
    return DeviceState(
        serial=_text(members, "serial"),
        result=_one_of(DeviceResult, members, "result"),
        reason=_text(members, "reason"),
        at=_number(members, "at"),
        portal_id=_text(members, "portal_id"),
        stored=_number_or_none(members, "stored"),
    )


def _members(value: Any) -> Mapping[str, Any]:
    return _checked(value, dict, "members")


def _list(members: Mapping[str, Any], name: str) -> Sequence[Mapping[str, Any]]:
    return [_members(each) for each in _checked(members[name], list, name)]


def _text(members: Mapping[str, Any], name: str) -> str:
    return _checked(members[name], str, name)


def _count(members: Mapping[str, Any], name: str) -> int:
    return _checked(members[name], int, name)


def _number(members: Mapping[str, Any], name: str) -> float:
    value = members[name]
    number = float(value) if type(value) is int else _checked(value, float, name)
    if not isfinite(number):
        raise ValueError(f"{name} is not finite")
    return number


def _number_or_none(members: Mapping[str, Any], name: str) -> float | None:
    return None if members[name] is None else _number(members, name)


def _one_of(kind: type[_E], members: Mapping[str, Any], name: str) -> _E:
    return kind(_text(members, name))


def _checked(value: Any, kind: type[_T], name: str) -> _T:
    if type(value) is not kind:
        raise TypeError(f"{name} is no {kind.__name__}")
    return value
