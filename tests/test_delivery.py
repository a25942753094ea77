"""The verdict: every row of the backend's answers, and what no answer may ever do."""

import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqtt_http_bridge.core.delivery import (
    LONGEST_WORDS,
    Answer,
    NoReply,
    Reply,
    Route,
    judge,
    remedy,
)
from tests.measuring import CANNOT_STORE, NOT_FOUND, UNAUTHORIZED, measurement, summary, violation

AB = measurement("A", "B")
HTML = b"<!doctype html><title>Welcome to our Wi-Fi</title>"


@dataclass(frozen=True)
class Expected:
    """A verdict in short: fates by serial, in letters; every other device is stored."""

    route: Route
    owed: str = ""
    refused: str = ""
    says: str = ""
    """A part of the reason, or of the remedy."""
    flags: set[str] = field(default_factory=set)


def open_(**what: Any) -> Expected:
    return Expected(Route.OPEN, **what)


def faulty(*flags: str, says: str = "") -> Expected:
    return Expected(Route.FAULTY, owed="AB", says=says, flags=set(flags))


def shut(says: str) -> Expected:
    return Expected(Route.SHUT, owed="AB", says=says)


ANSWERS: dict[str, tuple[Answer, Expected]] = {
    # BACKEND.md, "Answers".
    "all stored": (summary(201, A="ok", B="ok"), open_()),
    "some stored, one unknown": (
        summary(207, A="ok", B=NOT_FOUND),
        open_(refused="B", says="B: Device B not found"),
    ),
    "none stored, both unknown": (
        summary(404, A=NOT_FOUND, B=NOT_FOUND),
        open_(refused="AB", says="A: Device A not found"),
    ),
    "none stored, the key of somebody else": (
        summary(404, A=UNAUTHORIZED, B=UNAUTHORIZED),
        open_(refused="AB", says=UNAUTHORIZED),
    ),
    "none stored, database fault": (
        summary(404, A=CANNOT_STORE, B=CANNOT_STORE),
        faulty("suspect", says=CANNOT_STORE),
    ),
    "key missing": (Reply(401, b'{"error":"unauthorized"}'), shut("mend backend.api_key")),
    "schema violation": (
        violation(["body", "devices", 1, "yield_power_w"]),
        open_(owed="A", refused="B", says="B: yield_power_w: Field", flags={"at once"}),
    ),
    "database down": (Reply(500, b"Internal Server Error"), faulty("suspect", says="500")),
    "wrong path": (Reply(404, b'{"detail":"Not Found"}'), shut("mend backend.url")),
    # BACKEND.md, "What follows for a sender".
    "some stored, one cannot be for now": (
        summary(207, A="ok", B=CANNOT_STORE),
        open_(owed="B", says=f"B: {CANNOT_STORE}"),
    ),
    "one unknown, one cannot be for now": (
        summary(404, A=NOT_FOUND, B=CANNOT_STORE),
        open_(owed="B", refused="A"),
    ),
    "an error without a text": (summary(207, A="ok", B=""), open_(owed="B", says="B: not in")),
    "a device not in the answer": (summary(201, A="ok"), open_(owed="B", says="B: not in the")),
    "no device in the answer": (summary(201), open_(owed="AB")),
    "a device that was not sent": (summary(207, A="ok", B="ok", Z=NOT_FOUND), open_()),
    "403": (Reply(403), shut("mend backend.api_key")),
    "301": (Reply(301), shut("a redirect: set backend.url")),
    "302, of a login page": (Reply(302, HTML), shut("a redirect: set backend.url")),
    "307, of a trailing slash": (Reply(307), shut("a redirect: set backend.url")),
    "400": (Reply(400, b'{"detail":"There was an error"}'), shut("mend backend.url, or a proxy")),
    "405": (Reply(405), shut("mend backend.url, or a proxy")),
    "413, of a proxy": (Reply(413, HTML), shut("mend backend.url, or a proxy")),
    "408": (Reply(408), faulty(says="408")),
    "425": (Reply(425), faulty(says="425")),
    "429": (Reply(429), faulty(says="429")),
    "502": (Reply(502, HTML), faulty(says="502")),
    "503": (Reply(503), faulty(says="503")),
    "599": (Reply(599), faulty(says="599")),
    "no answer": (NoReply("no connection"), faulty(says="no connection")),
    # 422, by what it points at.
    "422 for both": (
        violation(["body", "devices", 0, "name"], ["body", "devices", 1, "trackers", 0, "power"]),
        open_(refused="AB", says="B: trackers.0.power: Field required", flags={"at once"}),
    ),
    "422 for the whole": (
        violation(["body", "timestamp"]),
        open_(refused="AB", says="as a whole", flags={"at once"}),
    ),
    "422 for a device that was not sent": (
        violation(["body", "devices", 7, "name"], ["body", "devices", -1, "name"]),
        open_(refused="AB", says="as a whole", flags={"at once"}),
    ),
    "422 of something else": (Reply(422, HTML), shut("mend backend.url, or a proxy")),
    # 2xx that is not from the API, or not a whole answer of it.
    "200 of a captive portal": (Reply(200, HTML), shut("not as the Solar Backend API does")),
    "201 cut short": (Reply(201, b'{"results":[{"device_ident'), shut("not as the Solar")),
    "200 with a list": (Reply(200, b"[]"), shut("not as the Solar")),
    "200 with results that are none": (Reply(200, b'{"results":null}'), shut("not as the Solar")),
    "200 with results full of junk": (Reply(200, b'{"results":[1,null,[],{}]}'), open_(owed="AB")),
    # 2xx without results counts (the first rule of "What follows").
    "204": (Reply(204), open_()),
    "200 with an object": (Reply(200, b'{"message":"thanks"}'), open_()),
}


@pytest.mark.parametrize(("answer", "expected"), ANSWERS.values(), ids=ANSWERS.keys())
def test_the_verdict_on_every_answer(answer: Answer, expected: Expected) -> None:
    """What is stored, owed and set aside, and whether the way to the backend is at fault."""
    verdict = judge(answer, AB)
    assert verdict.route is expected.route
    assert verdict.owed == set(expected.owed)
    assert verdict.refused.keys() == set(expected.refused)
    assert expected.says in verdict.reason
    assert (verdict.is_suspect, verdict.is_owed_at_once) == (
        "suspect" in expected.flags,
        "at once" in expected.flags,
    )
    assert verdict.is_done == (not expected.owed and not expected.refused)


def test_three_devices_three_fates() -> None:
    """In one answer a device is stored, one owed, one refused: each on its own."""
    verdict = judge(summary(207, A="ok", B=CANNOT_STORE, C=NOT_FOUND), measurement("A", "B", "C"))
    assert verdict.owed == {"B"}
    assert dict(verdict.refused) == {"C": "Device C not found"}


@pytest.mark.parametrize("other", [NOT_FOUND, CANNOT_STORE])
def test_a_device_said_to_be_stored_is_stored(other: str) -> None:
    """A serial that is in the answer twice, once `ok`: it is never sent again."""
    results = [
        {"device_identifier": "A", "status": "ok"},
        {"device_identifier": "A", "status": "error", "error": other.format("A")},
    ]
    body = json.dumps({"results": results}).encode()
    assert judge(Reply(207, body), measurement("A")).is_done


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_wait_that_the_backend_asks_for_is_in_the_verdict(status: int) -> None:
    """Retry-After goes along with every fault that passes."""
    assert judge(Reply(status, retry_after_s=120.0), AB).retry_after_s == 120.0


def test_the_backends_words_fit_one_line() -> None:
    """A reason has no line breaks, no control characters, and an end."""
    error = "bad\nnews\x1b[31m\u2028" + "x" * 10_000
    (reason,) = judge(summary(404, A=error), measurement("A")).refused.values()
    assert reason.isprintable()
    assert reason.startswith("bad news[31m")
    assert len(reason) <= LONGEST_WORDS


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ("Device A not found", "register it"),
        ("Unauthorized", "mend backend.api_key"),
        ("yield_power_w: Field required", "ask whoever runs the backend"),
    ],
)
def test_what_a_person_can_do(error: str, said: str) -> None:
    """Every refusal comes with a remedy."""
    assert said in remedy(error)


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
replies = st.builds(Reply, statuses, bodies, st.none() | st.floats(min_value=0.0, allow_nan=False))


@given(serials, replies)
def test_every_device_has_one_fate(sent: list[str], reply: Reply) -> None:
    """Whatever comes back: no exception, nobody owed and refused at once, no stranger."""
    verdict = judge(reply, measurement(*sent))
    assert not verdict.owed & verdict.refused.keys()
    assert verdict.owed | verdict.refused.keys() <= set(sent)
    assert verdict.is_done or verdict.reason
    assert verdict.reason.isprintable()


@given(serials, replies)
def test_no_status_makes_data_disappear(sent: list[str], reply: Reply) -> None:
    """A device is done with if the answer says so of it, or is a 2xx that names nobody."""
    verdict = judge(reply, measurement(*sent))
    done = set(sent) - verdict.owed - verdict.refused.keys()
    body = _parsed(reply.body)
    if 200 <= reply.status < 300 and "results" not in body and (body or not reply.body.strip()):
        return
    if 200 <= reply.status < 300 and _is_empty_object(reply.body):
        return
    assert done <= _said_to_be_stored(body)


@given(serials, replies)
def test_what_is_stored_is_never_sent_again(sent: list[str], reply: Reply) -> None:
    """A device that an answer with results says to be `ok` is neither owed nor parked."""
    if not (200 <= reply.status < 300 or reply.status == 404):
        return
    verdict = judge(reply, measurement(*sent))
    assert not _said_to_be_stored(_parsed(reply.body)) & (verdict.owed | verdict.refused.keys())


@given(serials, st.integers(300, 599), st.binary())
def test_no_answer_but_a_2xx_is_the_end(sent: list[str], status: int, body: bytes) -> None:
    """Bytes that are no summary leave every device owed or refused."""
    verdict = judge(Reply(status, body), measurement(*sent))
    assert verdict.owed | verdict.refused.keys() == set(sent)


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _is_empty_object(body: bytes) -> bool:
    try:
        return bool(json.loads(body) == {})
    except (ValueError, RecursionError):
        return False


def _said_to_be_stored(body: dict[str, Any]) -> set[str]:
    results = body.get("results")
    return {
        str(result.get("device_identifier"))
        for result in (results if isinstance(results, list) else [])
        if isinstance(result, dict) and result.get("status") == "ok"
    }
