"""Tests the verdict on every answer of the backend, and what no answer may ever do."""

import json
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqtt_http_bridge.core.delivery.answers import Answer, NoReply, NotSent, Reply
from mqtt_http_bridge.core.delivery.refusal import Cause
from mqtt_http_bridge.core.delivery.verdict import BackendCondition, Outcome
from mqtt_http_bridge.core.solar_backend import remedies
from mqtt_http_bridge.core.solar_backend.verdict import MOST_CHARACTERS, judge
from tests.support.measuring import (
    CANNOT_STORE,
    NOT_FOUND,
    UNAUTHORIZED,
    summary,
    violation,
)

AB = ("A", "B")
HTML = b"<!doctype html><title>Welcome to our Wi-Fi</title>"


@dataclass(frozen=True)
class Expected:
    """A verdict in short: fates by serial, in letters; every other device is stored."""

    outcome: Outcome
    owed: str = ""
    refused: str = ""
    says: str = ""
    """A part of the reason."""
    cause: Cause | None = None


def judged(**what: Any) -> Expected:
    return Expected(Outcome.JUDGED, **what)


def rejected(**what: Any) -> Expected:
    return Expected(Outcome.REJECTED, **what)


def failed(says: str) -> Expected:
    return Expected(Outcome.FAILED, owed="AB", says=says)


def unavailable(says: str) -> Expected:
    return Expected(Outcome.UNAVAILABLE, owed="AB", says=says)


def wrong(cause: Cause, outcome: Outcome = Outcome.MISCONFIGURED) -> Expected:
    return Expected(outcome, owed="AB", says="the backend answered ", cause=cause)


WRONG_KEY = wrong(remedies.WRONG_KEY, Outcome.KEY_REFUSED)
REDIRECT = wrong(remedies.REDIRECT)
NOT_THE_API = wrong(remedies.NOT_THE_API)
WRONG_PLACE = wrong(remedies.WRONG_PLACE)


ANSWERS: dict[str, tuple[Answer, Expected]] = {
    # docs/backend.md, "Answers".
    "all stored": (summary(201, A="ok", B="ok"), judged()),
    "some stored, one unknown": (
        summary(207, A="ok", B=NOT_FOUND),
        judged(refused="B", says="B: Device B not found"),
    ),
    "none stored, both unknown": (
        summary(404, A=NOT_FOUND, B=NOT_FOUND),
        judged(refused="AB", says="A: Device A not found"),
    ),
    "none stored, the key of somebody else": (
        summary(404, A=UNAUTHORIZED, B=UNAUTHORIZED),
        judged(refused="AB", says=UNAUTHORIZED),
    ),
    "none stored, database fault": (
        summary(404, A=CANNOT_STORE, B=CANNOT_STORE),
        failed(CANNOT_STORE),
    ),
    "key missing": (Reply(401, b'{"error":"unauthorized"}'), WRONG_KEY),
    "schema violation": (
        violation(["body", "devices", 1, "yield_power_w"]),
        rejected(owed="A", refused="B", says="B: yield_power_w: Field"),
    ),
    "database down": (Reply(500, b"Internal Server Error"), failed("500")),
    "wrong path": (Reply(404, b'{"detail":"Not Found"}'), WRONG_PLACE),
    # docs/backend.md, "What follows for a sender".
    "some stored, one cannot be for now": (
        summary(207, A="ok", B=CANNOT_STORE),
        judged(owed="B", says=f"B: {CANNOT_STORE}"),
    ),
    "one unknown, one cannot be for now": (
        summary(404, A=NOT_FOUND, B=CANNOT_STORE),
        judged(owed="B", refused="A"),
    ),
    "an error without a text": (
        summary(207, A="ok", B=""),
        judged(owed="B", says="B: the backend gave an error"),
    ),
    "an error that is null": (
        Reply(404, b'{"results":[{"device_identifier":"B","status":"error","error":null}]}'),
        judged(owed="AB", says="B: the backend gave an error"),
    ),
    "a device not in the answer": (summary(201, A="ok"), judged(owed="B", says="B: not in the")),
    "no device in the answer": (summary(201), NOT_THE_API),
    "none that was sent in the answer": (summary(207, Y="ok", Z=NOT_FOUND), NOT_THE_API),
    "none that was sent in a 404": (summary(404, Z=NOT_FOUND), NOT_THE_API),
    "stored, says a 404": (summary(404, A="ok", B=NOT_FOUND), judged(owed="A", refused="B")),
    "stored, says a 500": (summary(500, A="ok", B="ok"), failed("500")),
    "stored, says a 302": (summary(302, A="ok", B="ok"), REDIRECT),
    "a device that was not sent": (summary(207, A="ok", B="ok", Z=NOT_FOUND), judged()),
    "403": (Reply(403), WRONG_KEY),
    "301": (Reply(301), REDIRECT),
    "302, of a login page": (Reply(302, HTML), REDIRECT),
    "307, of a trailing slash": (Reply(307), REDIRECT),
    "400": (Reply(400, b'{"detail":"There was an error"}'), WRONG_PLACE),
    "405": (Reply(405), WRONG_PLACE),
    "413, of a proxy": (Reply(413, HTML), WRONG_PLACE),
    "408": (Reply(408), unavailable("408")),
    "425": (Reply(425), unavailable("425")),
    "429": (Reply(429), Expected(Outcome.OVERLOADED, owed="AB", says="429")),
    "502": (Reply(502, HTML), unavailable("502")),
    "503": (Reply(503), unavailable("503")),
    "599": (Reply(599), unavailable("599")),
    "no answer": (NoReply("it was cut off"), unavailable("it was cut off")),
    "no connection": (
        NotSent("no connection"),
        Expected(Outcome.UNREACHABLE, owed="AB", says="no connection"),
    ),
    # 422, by what it points at.
    "422 for both": (
        violation(["body", "devices", 0, "name"], ["body", "devices", 1, "trackers", 0, "power"]),
        rejected(refused="AB", says="B: trackers.0.power: Field required"),
    ),
    "422 for the whole": (
        violation(["body", "timestamp"]),
        rejected(refused="AB", says="as a whole"),
    ),
    "422 for a device that was not sent": (
        violation(["body", "devices", 7, "name"], ["body", "devices", -1, "name"]),
        rejected(refused="AB", says="as a whole"),
    ),
    "422 of something else": (Reply(422, HTML), WRONG_PLACE),
    # 2xx that is not from the API, or not a whole answer of it.
    "200 of a captive portal": (Reply(200, HTML), NOT_THE_API),
    "201 cut short": (Reply(201, b'{"results":[{"device_ident'), NOT_THE_API),
    "200 with a list": (Reply(200, b"[]"), NOT_THE_API),
    "200 with results that are none": (Reply(200, b'{"results":null}'), NOT_THE_API),
    "200 with results full of junk": (Reply(200, b'{"results":[1,null,[],{}]}'), NOT_THE_API),
    "200 and nothing": (Reply(200), NOT_THE_API),
    "200 with blanks": (Reply(200, b" \r\n"), NOT_THE_API),
    "201 and nothing": (Reply(201), NOT_THE_API),
    "202": (Reply(202), NOT_THE_API),
    "204": (Reply(204), NOT_THE_API),
    "200 with an empty object": (Reply(200, b"{}"), NOT_THE_API),
    "200 with an object": (Reply(200, b'{"message":"thanks"}'), NOT_THE_API),
    "200 with an error": (Reply(200, b'{"error":"please log in"}'), NOT_THE_API),
    "201 with counts alone": (Reply(201, b'{"success_count":2}'), NOT_THE_API),
    "207 with an empty object": (Reply(207, b"{}"), NOT_THE_API),
}


@pytest.mark.parametrize(("answer", "expected"), ANSWERS.values(), ids=ANSWERS.keys())
def test_the_verdict_on_every_answer(answer: Answer, expected: Expected) -> None:
    """It says what is stored, owed and parked, and whether the backend is at fault."""
    verdict = judge(answer, AB)
    assert verdict.outcome is expected.outcome
    assert verdict.fates.keys() == set(AB)
    assert verdict.owed == set(expected.owed)
    assert verdict.refused.keys() == set(expected.refused)
    assert expected.says in verdict.reason
    assert verdict.cause is expected.cause
    if verdict.cause is not None:
        assert verdict.remedy == verdict.cause.remedy
        assert verdict.remedy not in verdict.reason
    assert verdict.is_done == (not expected.owed and not expected.refused)


def test_an_answer_that_never_came_is_not_the_end_of_anything() -> None:
    """Not even of a measurement without a device."""
    assert not judge(NoReply("it was cut off"), ()).is_done
    assert judge(summary(201), ()).is_done


def test_three_devices_three_fates() -> None:
    """In one answer a device is stored, one owed, one refused: each on its own."""
    verdict = judge(summary(207, A="ok", B=CANNOT_STORE, C=NOT_FOUND), "ABC")
    assert verdict.owed == {"B"}
    assert verdict.refused["C"].said == "Device C not found"
    assert verdict.stored == {"A"}
    assert verdict.refused.keys() == {"C"}


@pytest.mark.parametrize("other", [NOT_FOUND, CANNOT_STORE])
def test_a_device_said_to_be_stored_is_stored(other: str) -> None:
    """A serial that is in the answer twice, once `ok`: it is never sent again."""
    results = [
        {"device_identifier": "A", "status": "ok"},
        {"device_identifier": "A", "status": "error", "error": other.format("A")},
    ]
    body = json.dumps({"results": results}).encode()
    assert judge(Reply(207, body), "A").is_done


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_wait_that_the_backend_asks_for_is_in_the_verdict(status: int) -> None:
    """Retry-After goes along with every fault that passes."""
    assert judge(Reply(status, retry_after_s=120.0), AB).retry_after_s == 120.0


def test_the_backends_words_fit_one_line() -> None:
    """A reason has no line breaks, no control characters, and an end."""
    error = "bad\nnews\x1b[31m\u2028" + "x" * 10_000
    (refusal,) = judge(summary(404, A=error), "A").refused.values()
    reason = refusal.said
    assert reason.isprintable()
    assert reason.startswith("bad news[31m")
    assert len(reason) <= MOST_CHARACTERS


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        ("Device A not found", remedies.NOT_REGISTERED),
        ("Unauthorized", remedies.OTHER_ACCOUNT),
        ("It is Sunday", remedies.OTHER),
    ],
)
def test_every_refusal_has_its_cause(error: str, cause: Cause) -> None:
    """And with it a remedy, whatever the words."""
    assert judge(summary(404, A=error), "A").refused["A"].cause is cause
    assert cause in remedies.REFUSALS


@pytest.mark.parametrize("place", [["body", "devices", 0, "name"], ["body"]])
def test_a_report_of_another_form_has_its_cause(place: list[Any]) -> None:
    """It is told whether the API names the device, or nothing that is known."""
    assert judge(violation(place), "A").refused["A"].cause is remedies.INVALID


@pytest.mark.parametrize(
    ("outcome", "condition"),
    [
        (Outcome.JUDGED, BackendCondition.ANSWERING),
        (Outcome.REJECTED, BackendCondition.ANSWERING),
        (Outcome.FAILED, BackendCondition.FAILING),
        (Outcome.UNAVAILABLE, BackendCondition.FAILING),
        (Outcome.UNREACHABLE, BackendCondition.FAILING),
        (Outcome.OVERLOADED, BackendCondition.FAILING),
        (Outcome.MISCONFIGURED, BackendCondition.MISCONFIGURED),
        (Outcome.KEY_REFUSED, BackendCondition.MISCONFIGURED),
    ],
)
def test_each_outcome_tells_how_the_backend_is(
    outcome: Outcome, condition: BackendCondition
) -> None:
    """Whatever was sent."""
    assert outcome.condition is condition


def test_an_answer_of_300_is_a_redirect_whatever_it_says() -> None:
    """Takes nothing for stored: 299 is the last status that says yes."""
    assert judge(summary(299, A="ok", B="ok"), AB).is_done
    verdict = judge(summary(300, A="ok", B="ok"), AB)
    assert verdict.owed == set(AB)
    assert verdict.cause is remedies.REDIRECT


def test_what_may_pass_has_a_remedy() -> None:
    """Sends nobody to the backend's database for a device that is not registered."""
    assert judge(summary(207, A="ok", B=CANNOT_STORE), AB).remedy == remedies.NOT_WELL
    assert judge(summary(207, A="ok", B=NOT_FOUND), AB).remedy == ""


# --- what no answer may ever do ----------------------------------------------------------------

serials = st.lists(st.sampled_from("ABCD"), min_size=1, max_size=5)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from("ABCD"),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
errors = st.sampled_from(["Device A not found", UNAUTHORIZED, CANNOT_STORE, "", None, 7, ["x"]])
results = st.fixed_dictionaries(
    {},
    optional={
        "device_identifier": st.sampled_from("ABCD") | json_values,
        "status": st.sampled_from(["ok", "error"]) | json_values,
        "error": errors | json_values,
    },
)
places = st.lists(
    st.sampled_from(["body", "devices", "serial"]) | st.integers(-6, 6) | json_values, max_size=5
) | st.tuples(st.just("body"), st.just("devices"), st.integers(-6, 6) | st.booleans()).map(list)
details = st.fixed_dictionaries({}, optional={"loc": places | json_values, "msg": json_values})
documents = st.fixed_dictionaries(
    {},
    optional={
        "results": st.lists(results | json_values) | json_values,
        "detail": st.lists(details | json_values) | json_values,
    },
)
bodies = st.binary() | (documents | json_values).map(lambda found: json.dumps(found).encode())
statuses = st.sampled_from([200, 201, 204, 207, 401, 404, 422, 500, 503]) | st.integers(0, 999)
replies = st.builds(
    Reply,
    statuses,
    bodies,
    st.none() | st.floats(min_value=0.0, allow_nan=False),
    date=st.none(),
    location=st.just(""),
)


@given(serials, replies)
def test_every_device_has_one_fate(sent: list[str], reply: Reply) -> None:
    """Whatever comes back: no exception, nobody forgotten, no stranger."""
    verdict = judge(reply, sent)
    assert verdict.fates.keys() == set(sent)
    assert verdict.is_done or verdict.reason
    assert verdict.reason.isprintable()


@given(serials, replies)
def test_no_status_makes_data_disappear(sent: list[str], reply: Reply) -> None:
    """A device is done with if a 2xx says so of it, and in no other case."""
    done = judge(reply, sent).stored
    assert done <= _said_to_be_stored(_parsed(reply.body))
    assert not done or 200 <= reply.status < 300


@given(serials, replies)
def test_what_is_stored_is_never_sent_again(sent: list[str], reply: Reply) -> None:
    """A device that a 2xx with results says to be `ok` is neither owed nor parked."""
    if not 200 <= reply.status < 300:
        return
    verdict = judge(reply, sent)
    assert not _said_to_be_stored(_parsed(reply.body)) & (verdict.owed | verdict.refused.keys())


@given(serials, st.integers(300, 599), st.binary())
def test_no_answer_but_a_2xx_is_the_end(sent: list[str], status: int, body: bytes) -> None:
    """Bytes that are no summary leave every device owed or refused."""
    verdict = judge(Reply(status, body), sent)
    assert verdict.owed | verdict.refused.keys() == set(sent)


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _said_to_be_stored(body: dict[str, Any]) -> set[str]:
    results = body.get("results")
    return {
        str(result.get("device_identifier"))
        for result in (results if isinstance(results, list) else [])
        if isinstance(result, dict) and result.get("status") == "ok"
    }
