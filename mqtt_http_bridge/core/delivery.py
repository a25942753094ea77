"""What the backend's answer to one measurement means for each device in it.

Source of the rules: the backend observed, BACKEND.md in the design notes. The status alone decides
nothing on 207 and 404, and no status makes data disappear.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, Final

from mqtt_http_bridge.core.measurement import Measurement

LONGEST_RETRY_AFTER_S: Final = 3600.0
_PASSING_STATUSES: Final = frozenset({408, 425, 429})
_PASSING_ERROR: Final = "Failed to store"
LONGEST_WORDS: Final = 200
"""Characters of the backend's own words that are kept as a reason."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer."""

    status: int
    body: bytes = b""
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class NoReply:
    """No answer came, or none that is HTTP; `reason` is for people."""

    reason: str
    is_sent: bool = True
    """Whether a byte of the request may have left; false where not even a connection was made."""


Answer = Reply | NoReply


class Route(Enum):
    """What an answer tells about the way to the backend, whatever measurement is sent."""

    OPEN = auto()
    """The backend has judged the devices."""
    FAULTY = auto()
    """It will pass: try again, more and more slowly."""
    SHUT = auto()
    """A setting has to be mended first: try slowly."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of each device of a measurement, by serial. What is in neither is stored."""

    route: Route
    owed: frozenset[str] = frozenset()
    """To be sent again as it is."""
    refused: Mapping[str, str] = field(default_factory=dict)
    """To be set aside until somebody mends a setting, with what the backend said."""
    reason: str = ""
    """What went wrong, for people; empty if all is stored."""
    is_owed_at_once: bool = False
    """Whether the owed devices failed only because of the refused ones."""
    is_suspect: bool = False
    """Whether the measurement itself may be what the backend failed on."""
    retry_after_s: float | None = None

    @property
    def is_done(self) -> bool:
        """Whether the backend has taken every device."""
        return not self.owed and not self.refused


def judge(answer: Answer, measurement: Measurement) -> Verdict:
    """The verdict on every device of `measurement`."""
    serials = frozenset(device.serial for device in measurement.devices)
    if isinstance(answer, NoReply):
        return Verdict(Route.FAULTY, owed=serials, reason=answer.reason)
    body = _json(answer.body)
    results = body.get("results") if isinstance(body, dict) else None
    if isinstance(results, list) and (_is_success(answer) or answer.status == 404):
        return _judge_results(results, serials)
    if _is_success(answer) and _says_nothing_of_devices(body, answer):
        return Verdict(Route.OPEN)
    details = body.get("detail") if isinstance(body, dict) else None
    if isinstance(details, list) and answer.status == 422:
        return _judge_violation(details, measurement)
    if answer.status >= 500 or answer.status in _PASSING_STATUSES:
        return Verdict(
            Route.FAULTY,
            owed=serials,
            reason=f"the backend answered {answer.status}",
            is_suspect=answer.status == 500,
            retry_after_s=answer.retry_after_s,
        )
    return Verdict(Route.SHUT, owed=serials, reason=_remedy(answer))


def _is_success(reply: Reply) -> bool:
    return 200 <= reply.status < 300


def _says_nothing_of_devices(body: Any, reply: Reply) -> bool:
    """Whether it is an answer of an API, but without `results`; a web page is none."""
    return not reply.body.strip() or (isinstance(body, dict) and "results" not in body)


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _judge_results(results: list[Any], serials: frozenset[str]) -> Verdict:
    stored: set[str] = set()
    refused: dict[str, str] = {}
    passing: dict[str, str] = {}
    for result in results:
        if not isinstance(result, dict):
            continue
        serial, error = str(result.get("device_identifier")), _words(result.get("error", ""))
        if result.get("status") == "ok":
            stored.add(serial)
        elif _PASSING_ERROR in error or not error:
            passing[serial] = error
        else:
            refused[serial] = error
    refused = {serial: refused[serial] for serial in sorted(serials & refused.keys() - stored)}
    owed = serials - stored - refused.keys()
    reasons = [f"{serial}: {passing.get(serial) or 'not in the answer'}" for serial in sorted(owed)]
    reasons += [f"{serial}: {error}" for serial, error in refused.items()]
    # Not one could be stored: its database is down, unless it is this measurement that it
    # cannot hold.
    is_fault = bool(serials) and owed == serials and serials <= passing.keys()
    return Verdict(
        Route.FAULTY if is_fault else Route.OPEN,
        owed=owed,
        refused=refused,
        reason="; ".join(reasons),
        is_suspect=is_fault,
    )


def _judge_violation(details: list[Any], measurement: Measurement) -> Verdict:
    """422: nothing is stored, and `detail[].loc` names what is at fault, if it is a device."""
    faults: dict[str, str] = {}
    for detail in details:
        match detail:
            case {"loc": ["body", "devices", int(index), *rest]}:
                if index in range(len(measurement.devices)):
                    fault = f"{'.'.join(map(str, rest))}: {detail.get('msg')}"
                    faults.setdefault(measurement.devices[index].serial, _words(fault))
    serials = frozenset(device.serial for device in measurement.devices)
    if not faults:
        faults = dict.fromkeys(sorted(serials), "the backend refuses the measurement as a whole")
    return Verdict(
        Route.OPEN,
        owed=serials - faults.keys(),
        refused=faults,
        reason="; ".join(f"{serial}: {fault}" for serial, fault in faults.items()),
        is_owed_at_once=True,
    )


def _words(text: object) -> str:
    """What the backend says, fit for one line of a log."""
    line = " ".join(str(text).split())
    return "".join(c for c in line if c.isprintable())[:LONGEST_WORDS]


def _remedy(reply: Reply) -> str:
    """What to mend when the backend, or something in its place, takes nothing at all."""
    answered = f"the backend answered {reply.status}"
    if reply.status in (401, 403):
        return f"{answered}: mend backend.api_key"
    if 300 <= reply.status < 400:
        return f"{answered}, a redirect: set backend.url to the address it leads to"
    if _is_success(reply):
        return f"{answered}, but not as the Solar Backend API does: mend backend.url"
    return f"{answered}: mend backend.url, or a proxy on the way"


def remedy(error: str) -> str:
    """What a person can do about a device that the backend refuses with `error`."""
    if "not found" in error:
        return "register it at the backend"
    if "Unauthorized" in error:
        return "it belongs to another account: mend backend.api_key"
    return "ask whoever runs the backend"
