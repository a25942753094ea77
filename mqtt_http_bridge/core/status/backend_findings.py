"""Finds for `check` what is wrong with the backend, the API keys, and each charger's reports.

What proves what, at the Solar Backend API (docs/backend.md):

    what was answered                       URL    database    key
    --------------------------------------  -----  ----------  --------------------------
    anything but `results`                  no     no          no; 401 and 403 disprove it
    `not found` for a serial made up        yes    yes         no: so with any key
    `ok` for a charger                      yes    yes         yes
    `Unauthorized` for a charger            yes    yes         disproved, or it is another's
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from mqtt_http_bridge.core.delivery.answers import Answer, Reply
from mqtt_http_bridge.core.delivery.refusal import Refusal, Scope
from mqtt_http_bridge.core.delivery.verdict import BackendCondition, Fate, Verdict
from mqtt_http_bridge.core.status.findings import Finding, Mark, ok, unproven, wrong
from mqtt_http_bridge.core.status.problem import Kind
from mqtt_http_bridge.core.status.state_file import State, longest_gap_s
from mqtt_http_bridge.core.status.well import WAIT
from mqtt_http_bridge.core.views import DeviceResult
from mqtt_http_bridge.core.words import counted, span_words

PASSES: Final = "it passes, or whoever runs the backend has to fix it; measurements wait meanwhile"
POST_IT: Final = "start the service and run check again, or run: check --post"
_LEAST_OLD_S: Final = 120.0
_OLD_INTERVALS: Final = 3
"""The most intervals since something was last stored; but never less than `_LEAST_OLD_S`."""


class Said(NamedTuple):
    """Holds the backend's last answer about one charger."""

    result: DeviceResult
    reason: str = ""
    refusal: Refusal | None = None
    """The reason why it was refused, if it was."""
    ago_s: float | None = None
    """Seconds since then; None: just now, by `check` itself."""


def said_of(verdict: Verdict) -> dict[str, Said]:
    """Reads from one verdict what it says about each device."""
    is_answering = verdict.condition is BackendCondition.ANSWERING
    unsent = DeviceResult.OWED if is_answering else DeviceResult.FAILED
    found: dict[str, Said] = {}
    for serial, fate in verdict.fates.items():
        if isinstance(fate, Refusal):
            found[serial] = Said(DeviceResult.REFUSED, fate.said, fate)
        elif fate is Fate.STORED:
            found[serial] = Said(DeviceResult.STORED)
        else:
            found[serial] = Said(unsent, verdict.reason)
    return found


def is_old(ago_s: float, interval_s: float) -> bool:
    """Tells whether something newer should have been stored by now."""
    limit_s = max(_OLD_INTERVALS * interval_s, _LEAST_OLD_S)
    return ago_s > limit_s + longest_gap_s(interval_s)


# --- one POST ----------------------------------------------------------------------------------


def trouble(answer: Answer, verdict: Verdict) -> Finding:
    """Says why a POST achieved nothing at all."""
    if not isinstance(answer, Reply):
        return wrong("backend POST", answer.reason, answer.remedy or PASSES)
    return wrong("backend POST", verdict.reason, verdict.remedy or PASSES)


def probe(answer: Answer, verdict: Verdict, serial: str) -> Finding:
    """Judges the answer to a report of a made-up `serial`, which the API should not know."""
    fate = verdict.fates[serial]
    if fate is Fate.OWED:
        return trouble(answer, verdict)
    if not isinstance(fate, Refusal):
        text = f"the backend has stored a report of {serial}: somebody has registered that serial"
        return Finding("backend POST", Mark.WARNING, text, "remove it at the backend")
    if fate.cause.is_of_serial:
        text = f"the backend answers, and does not know {serial}, as it should: URL and database"
        return ok("backend POST", f"{text} are right")
    if fate.cause.is_of_key or fate.scope is Scope.REPORT:
        return wrong(
            "backend POST", f"the backend says of {serial}: {fate.said}", fate.cause.remedy
        )
    text = f"the backend answers, with a text that is not known: {fate.said}"
    return Finding("backend POST", Mark.WARNING, text, fate.cause.remedy)


def posted(saids: Mapping[str, Said]) -> Finding:
    """Judges the answer to real measurements that the backend has judged by device."""
    stored = sum(said.result is DeviceResult.STORED for said in saids.values())
    text = f"the backend answers: {stored} of {counted(len(saids), 'charger')} stored"
    return ok("backend POST", text)


# --- what the service has seen -------------------------------------------------------------------


def stored_by_service(state: State, now: float, remedy: str = "") -> Finding:
    """Judges the results of the service's POSTs; `now` in Unix seconds.

    `remedy` is for what `check` itself has found at the backend, if anything: it takes the place
    of the service's advice to run check.
    """
    for problem in state.problems:
        if problem.kind in (Kind.BACKEND_TAKES_NOTHING, Kind.NOT_STORED):
            fix = (remedy or PASSES) if problem.fix == WAIT else problem.fix
            return wrong("backend POST", f"the service's: {problem.text}", fix)
    is_measuring = any(gx.chargers for gx in state.gx)
    since = state.process.started if state.stored is None else state.stored
    should_be_newer = is_measuring and is_old(now - since, state.process.interval_s)
    if state.stored is None:
        text = f"the service has stored nothing since its start, {span_words(now - since)} ago"
        if should_be_newer:
            return wrong("backend POST", text, "look at the lines of the chargers and its log")
        return unproven("backend POST", text, "wait an interval, and run check again")
    text = f"the service's: the newest was stored {span_words(now - since)} ago"
    if should_be_newer:
        return wrong("backend POST", text, "look at the lines of the chargers and its log")
    return ok("backend POST", text)


# --- each charger --------------------------------------------------------------------------------


def serial(
    name: str, said: Said | None, *, key: str, interval_s: float, is_parked: bool
) -> Finding:
    """Says what becomes of a charger's measurements.

    `key` is the API key it is sent with, as the config calls it; `is_parked` holds where reports
    of it are parked.
    """
    if said is None:
        text = f"{name}: the backend has not been asked yet whether it knows it"
        return unproven("serial", text, POST_IT)
    if said.result is DeviceResult.STORED:
        return _stored(name, said, interval_s)
    retry = ", then run: mqtt-http-bridge outbox retry" if is_parked else ""
    if said.refusal is not None:
        cause = said.refusal.cause
        fix = f"it belongs to another account: correct {key}" if cause.is_of_key else cause.remedy
        return wrong("serial", f"{name}: refused: {said.reason}", f"{fix}{retry}")
    is_of_service = said.ago_s is not None
    kept = (
        "the service keeps it in the outbox and tries again"
        if is_of_service
        else "only check has posted it, and it is not kept"
    )
    fix = f"correct what it says; {kept}"
    return wrong("serial", f"{name}: not stored: {said.reason or 'no reason is told'}", fix)


def not_posted(name: str) -> Finding:
    """Reports a charger that the service should have posted, but has not."""
    text = f"{name}: the service has posted nothing of it while check waited"
    return unproven("serial", text, "run check again; `status` says when it was measured last")


def not_judged(name: str) -> Finding:
    """Reports a charger for which the service has no answer, or no longer has one."""
    text = f"{name}: the service has no answer yet for what it measures"
    return unproven("serial", text, "wait an interval, and run check again, or check --post")


def _stored(name: str, said: Said, interval_s: float) -> Finding:
    if said.ago_s is None:
        return ok("serial", f"{name}: the backend has stored it")
    text = f"{name}: stored {span_words(said.ago_s)} ago"
    if not is_old(said.ago_s, interval_s):
        return ok("serial", text)
    return wrong("serial", f"{text}, and nothing since", "look at the service's log")


# --- each key ------------------------------------------------------------------------------------


def key_by_chargers(key: str, saids: Mapping[str, Said]) -> Finding:
    """Judges a key by the answers for the chargers that are sent with it."""
    stored = [name for name, said in saids.items() if said.result is DeviceResult.STORED]
    if stored:
        return ok("API key", f"{key}: the backend stores {stored[0]} with it")
    refusals = ((s, said.refusal) for s, said in saids.items() if said.refusal is not None)
    for name, refusal in refusals:
        if refusal.cause.is_of_key:
            text = f"{key}: the backend says {refusal.said} of {name}"
            return wrong("API key", text, "compare it with the key that the backend gave you")
    return key_unproven(key)


def key_unproven(key: str) -> Finding:
    """Reports a key for which no answer has depended on the key."""
    text = f"{key}: not proven yet: the first charger that is stored proves it"
    return unproven("API key", text, POST_IT)


def key_refused(key: str, verdict: Verdict) -> Finding:
    """Reports a key with which the backend has refused everything."""
    fix = "compare it with the key that the backend gave you"
    return wrong("API key", f"{key}: {verdict.reason}", fix)
