"""Judges an answer of the Solar Backend API: what it means for each device of a measurement.

Source of the rules: the backend observed, docs/backend.md. The status alone decides nothing: a
device is stored if `results` say `ok` of it, and in no other case. The API always sends them, so a
2xx without them is the answer of something else: a captive portal, a proxy, another service.
"""

import json
from collections.abc import Sequence
from typing import Any, Final

from mqtt_http_bridge.core.delivery.answers import Answer, NoReply, NotSent, Reply
from mqtt_http_bridge.core.delivery.refusal import Cause, Refusal
from mqtt_http_bridge.core.delivery.verdict import DeviceFate, Fate, Outcome, Verdict, all_owed
from mqtt_http_bridge.core.solar_backend.remedies import (
    INVALID,
    NOT_REGISTERED,
    NOT_THE_API,
    NOT_WELL,
    OTHER,
    OTHER_ACCOUNT,
    PROXY_LOGIN,
    REDIRECT,
    WRONG_KEY,
    WRONG_PLACE,
)

_PASSING_STATUSES: Final = frozenset({408, 425, 429})
_PASSING_OUTCOMES: Final = {429: Outcome.OVERLOADED, 500: Outcome.FAILED}
_PASSING_ERROR: Final = "Failed to store"
_NO_REASON: Final = "the backend gave an error without a reason"
MOST_CHARACTERS: Final = 200
"""The most characters of the backend's own text to keep as a reason."""


def judge(answer: Answer, serials: Sequence[str]) -> Verdict:
    """Judges an answer to a measurement that has the devices `serials`, in this order."""
    match answer:
        case NotSent(reason, remedy):
            return all_owed(Outcome.UNREACHABLE, serials, reason, remedy=remedy)
        case NoReply(reason, remedy):
            return all_owed(Outcome.UNAVAILABLE, serials, reason, remedy=remedy)
        case Reply():
            return _judge_reply(answer, serials)


def _judge_reply(reply: Reply, serials: Sequence[str]) -> Verdict:
    document = _json(reply.body)
    results = document.get("results") if isinstance(document, dict) else None
    if isinstance(results, list) and (_is_success(reply) or reply.status == 404):
        named = {str(r.get("device_identifier")) for r in results if isinstance(r, dict)}
        if not serials or named & set(serials):
            return _judge_results(results, serials, may_be_stored=_is_success(reply))
    details = document.get("detail") if isinstance(document, dict) else None
    if isinstance(details, list) and reply.status == 422:
        return _judge_violation(details, serials)
    said = f"the backend answered {reply.status}"
    if reply.status >= 500 or reply.status in _PASSING_STATUSES:
        outcome = _PASSING_OUTCOMES.get(reply.status, Outcome.UNAVAILABLE)
        wait_s = reply.retry_after_s
        return all_owed(outcome, serials, said, retry_after_s=wait_s, remedy=NOT_WELL)
    more, cause = _misconfiguration(reply)
    outcome = Outcome.KEY_REFUSED if cause is WRONG_KEY else Outcome.MISCONFIGURED
    return all_owed(outcome, serials, f"{said}{more}", cause=cause, remedy=cause.remedy)


def _is_success(reply: Reply) -> bool:
    return 200 <= reply.status < 300


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _judge_results(results: list[Any], serials: Sequence[str], *, may_be_stored: bool) -> Verdict:
    """Judges each device by its entry in `results`; a device without one is owed."""
    stored: set[str] = set()
    refused: dict[str, str] = {}
    passing: dict[str, str] = {}
    for result in results:
        if not isinstance(result, dict):
            continue
        serial, error = str(result.get("device_identifier")), _words(result.get("error") or "")
        if result.get("status") == "ok":
            if may_be_stored:
                stored.add(serial)
        elif _PASSING_ERROR in error or not error:
            passing[serial] = error
        else:
            refused[serial] = error
    fates: dict[str, DeviceFate] = {}
    for serial in serials:
        if serial in stored:
            fates[serial] = Fate.STORED
        elif serial in refused:
            fates[serial] = Refusal(_cause_of(refused[serial]), refused[serial])
        else:
            fates[serial] = Fate.OWED
    return _with_reason(fates, passing)


def _with_reason(fates: dict[str, DeviceFate], passing: dict[str, str]) -> Verdict:
    owed = sorted(serial for serial, fate in fates.items() if fate is Fate.OWED)
    unnamed = "not in the answer"
    reasons = [f"{serial}: {passing.get(serial, unnamed) or _NO_REASON}" for serial in owed]
    for serial, fate in sorted(fates.items(), key=lambda item: item[0]):
        if isinstance(fate, Refusal):
            reasons.append(f"{serial}: {fate.said}")
    # None could be stored: its database is down, or cannot hold this measurement.
    is_fault = bool(fates) and len(owed) == len(fates) and fates.keys() <= passing.keys()
    outcome = Outcome.FAILED if is_fault else Outcome.JUDGED
    return Verdict(outcome, fates, "; ".join(reasons), remedy=NOT_WELL if owed else "")


def _cause_of(error: str) -> Cause:
    """Returns the kind of a refusal, which the API expresses only as a text."""
    if "not found" in error:
        return NOT_REGISTERED
    return OTHER_ACCOUNT if "Unauthorized" in error else OTHER


def _judge_violation(details: list[Any], serials: Sequence[str]) -> Verdict:
    """422: nothing is stored, and `detail[].loc` names what is at fault, if it is a device."""
    faults: dict[str, str] = {}
    for detail in details:
        match detail:
            case {"loc": ["body", "devices", int(index), *rest]}:
                if index in range(len(serials)):
                    fault = f"{'.'.join(map(str, rest))}: {detail.get('msg')}"
                    faults.setdefault(serials[index], _words(fault))
    if not faults:
        whole = "the backend refuses the measurement as a whole"
        faults = dict.fromkeys(sorted(serials), whole)
    fates: dict[str, DeviceFate] = dict.fromkeys(serials, Fate.OWED)
    fates.update({serial: Refusal(INVALID, fault) for serial, fault in faults.items()})
    reason = "; ".join(f"{serial}: {fault}" for serial, fault in faults.items())
    return Verdict(Outcome.REJECTED, fates, reason)


def _words(text: object) -> str:
    """Returns the backend's text, fit for one line of a log."""
    line = " ".join(str(text).split())
    return "".join(c for c in line if c.isprintable())[:MOST_CHARACTERS]


def _misconfiguration(reply: Reply) -> tuple[str, Cause]:
    """Says what is wrong if the backend, or something in its place, accepts nothing."""
    if reply.status in (401, 403):
        return "", WRONG_KEY
    if reply.status == 407:
        return ", a proxy that wants a login", PROXY_LOGIN
    if 300 <= reply.status < 400:
        return f", a redirect to {reply.location or 'nowhere'}", REDIRECT
    if _is_success(reply) or (reply.status == 404 and b'"results"' in reply.body):
        return ", but not as the Solar Backend API does", NOT_THE_API
    return "", WRONG_PLACE
