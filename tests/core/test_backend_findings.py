"""Tests what `check` concludes from the saved state of the service, and from a verdict."""

import pytest

from mqtt_http_bridge.core.delivery.answers import NoReply, Reply
from mqtt_http_bridge.core.delivery.refusal import UNKNOWN, Refusal
from mqtt_http_bridge.core.delivery.verdict import DeviceFate, Fate, Outcome, Verdict, all_owed
from mqtt_http_bridge.core.status import backend_findings
from mqtt_http_bridge.core.status.backend_findings import Said, is_old, said_of, serial
from mqtt_http_bridge.core.status.findings import Mark, all_hold, ok, unproven, wrong
from mqtt_http_bridge.core.status.problem import Kind, Problem
from mqtt_http_bridge.core.status.state_file import GxState, Process, State
from mqtt_http_bridge.core.status.well import WAIT
from mqtt_http_bridge.core.views import DeviceResult

NOW = 1780315200.0
PROCESS = Process("1.2", 17, "boot", 4711, NOW - 1000.0, "config.yaml", 30.0)
GX = GxState("c0619ab35133", "barn", NOW - 1.0, NOW - 5.0, 2)
STATE = State(PROCESS, NOW - 1.0, 100.0, gx=(GX,), stored=NOW - 5.0)
TAKES_NOTHING = Problem(Kind.BACKEND_TAKES_NOTHING, "the backend takes nothing: x", "wait")


@pytest.mark.parametrize(
    ("state", "mark", "text"),
    [
        (STATE, Mark.OK, "the newest was stored 5 s ago"),
        (STATE._replace(stored=NOW - 156.0), Mark.WRONG, "stored 3 min ago"),
        (STATE._replace(stored=NOW - 154.0), Mark.OK, "stored 3 min ago"),
        (STATE._replace(stored=NOW - 999.0, gx=()), Mark.OK, "stored 17 min ago"),
        (STATE._replace(stored=None), Mark.WRONG, "nothing since its start, 17 min ago"),
        (STATE._replace(stored=None, gx=()), Mark.UNKNOWN, "nothing since its start"),
        (STATE._replace(problems=(TAKES_NOTHING,)), Mark.WRONG, "takes nothing: x"),
    ],
    ids=["fresh", "old", "just fresh", "nobody to measure", "never", "never, nobody", "failing"],
)
def test_what_the_service_has_stored(state: State, mark: Mark, text: str) -> None:
    """It has to be as new as what is measured, by three intervals or two minutes."""
    finding = backend_findings.stored_by_service(state, NOW)
    assert finding.mark is mark
    assert text in finding.text


def test_check_does_not_say_to_run_check() -> None:
    """It has the service's own remedy, or what a look from here says, or at least that it waits."""
    own = STATE._replace(problems=(TAKES_NOTHING._replace(fix="set backend.ca_file"),))
    found = backend_findings.stored_by_service(own, NOW, "is the backend up?")
    assert found.fix == "set backend.ca_file"
    unsent = STATE._replace(problems=(Problem(Kind.NOT_STORED, "not sent yet", WAIT),))
    found = backend_findings.stored_by_service(unsent, NOW, "is the backend up?")
    assert found.fix == "is the backend up?"
    assert backend_findings.stored_by_service(unsent, NOW).fix == backend_findings.PASSES


@pytest.mark.parametrize(("interval_s", "limit_s"), [(1.0, 135.0), (30.0, 155.0), (300.0, 1205.0)])
def test_how_old_the_newest_may_be(interval_s: float, limit_s: float) -> None:
    """With what the service may take to write it down."""
    assert not is_old(limit_s, interval_s)
    assert is_old(limit_s + 0.1, interval_s)


def test_what_a_verdict_says_of_each_device() -> None:
    """A report that is owed has failed with all, or alone."""
    refusal = Refusal(UNKNOWN, "no")
    fates: dict[str, DeviceFate] = {"A": Fate.STORED, "B": refusal, "C": Fate.OWED}
    assert said_of(Verdict(Outcome.JUDGED, fates, "C: later")) == {
        "A": Said(DeviceResult.STORED),
        "B": Said(DeviceResult.REFUSED, "no", refusal),
        "C": Said(DeviceResult.OWED, "C: later"),
    }
    assert said_of(all_owed(Outcome.FAILED, "A", "500")) == {
        "A": Said(DeviceResult.FAILED, "500"),
    }


def test_a_charger_that_is_owed_without_a_reason() -> None:
    """The line is not empty there."""
    said = Said(DeviceResult.OWED)
    finding = serial("A", said, key="k", interval_s=30.0, is_parked=False)
    assert (finding.mark, finding.text) == (Mark.WRONG, "A: not stored: no reason is told")


def test_why_a_post_came_to_nothing() -> None:
    """With the remedy that goes with it, once."""
    answer = NoReply("no answer", "wait")
    finding = backend_findings.trouble(
        answer, all_owed(Outcome.UNAVAILABLE, "A", "no answer: wait")
    )
    assert (finding.text, finding.fix) == ("no answer", "wait")
    finding = backend_findings.trouble(
        NoReply("no answer"), all_owed(Outcome.UNAVAILABLE, "A", "x")
    )
    assert finding.fix == backend_findings.PASSES
    down = all_owed(Outcome.UNAVAILABLE, "A", "the backend answered 503", remedy="see to it")
    assert backend_findings.trouble(Reply(503), down).fix == "see to it"
    verdict = all_owed(Outcome.OVERLOADED, "A", "the backend answered 429")
    assert backend_findings.trouble(Reply(429), verdict).text == "the backend answered 429"


def test_what_does_not_hold() -> None:
    """It is what is wrong; not what is only unproven."""
    assert all_hold([ok("a", "b"), unproven("a", "b", "c")])
    assert not all_hold([ok("a", "b"), wrong("a", "b", "c")])
