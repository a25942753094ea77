"""Tests the documents of the page: bounded, true, and with what to do."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from mqtt_http_bridge.core.omission import Cause, Omission
from mqtt_http_bridge.core.status.document import (
    LONGEST_NAME,
    MOST_TOLD,
    document,
    history_document,
)
from mqtt_http_bridge.core.status.history import History
from mqtt_http_bridge.core.status.problem import Kind, Problem
from mqtt_http_bridge.core.status.problems import heading as headed
from mqtt_http_bridge.core.views import ChargerView, ParkedView
from tests.support import page_states as states
from tests.support.page_states import NOON_S, SOUTH, State, plant, with_chargers


def size(found: Any) -> int:
    """Counts the bytes as they are sent."""
    return len(json.dumps(found, ensure_ascii=False, separators=(",", ":")).encode())


def charger(view: ChargerView) -> dict[str, Any]:
    """Tells what is told of one charger."""
    found = document(with_chargers(plant(NOON_S), view))
    (told,) = found["gx"][0]["chargers"]
    return dict(told)


def test_two_hundred_chargers_are_not_much() -> None:
    """With the changes, and names as long as they may be."""
    state = states.many()
    long = [
        site._replace(chargers=tuple(c._replace(name="n" * 500) for c in site.chargers))
        for site in state.status.relay.sites
    ]
    status = state.status._replace(relay=state.status.relay._replace(sites=tuple(long)))
    assert size(document(status, state.changes)) < 300_000
    assert size(history_document(state.history)) < 500_000


def test_trouble_without_end_is_counted() -> None:
    """A hundred chargers that are left out, and as many that are parked, fill no page."""
    omission = Omission(Cause.NUMBER_UNKNOWN, found="x" * 5000, subject="x")
    views = [SOUTH.view(NOON_S, report=None, omission=omission, serial=f"{n}") for n in range(100)]
    parked = tuple(ParkedView(f"{n}", 1, "y" * 5000, "z" * 5000, 0.0) for n in range(100))
    status = with_chargers(plant(NOON_S), *views)
    status = status._replace(outbox=status.outbox._replace(parked=parked))
    found = document(status)
    assert len(found["notes"]) == MOST_TOLD + 1
    assert found["notes"][-1]["text"].startswith("and ")
    assert (len(found["outbox"]["parked"]), found["outbox"]["parked_devices"]) == (MOST_TOLD, 100)
    assert size(found) < 200_000


def test_nothing_stored_is_told_as_never() -> None:
    """However many chargers there are on one GX, each has its own time."""
    state = states.many(200, per_gx=50)
    gx = document(state.status)["gx"][0]
    (never,) = (each for each in gx["chargers"] if each["stored"] is None)
    assert never["mood"] == "left_out"
    assert len(gx["chargers"]) == 50


def test_a_charger_that_is_left_out_keeps_what_is_known() -> None:
    """And says what is missing, and what to do."""
    omission = Omission(Cause.NUMBER_UNKNOWN, found="/Yield/System is null", subject="x")
    told = charger(SOUTH.view(NOON_S, report=None, omission=omission, total_kwh=None))
    assert told["mood"] == "left_out"
    assert told["trouble"] == "left out: /Yield/System is null"
    assert told["fix"]
    assert told["power_w"] > 0
    assert told["total_kwh"] is None


def test_a_problem_names_the_charger() -> None:
    """By its name, which people know, not by its serial alone."""
    left_out, parked = document(states.left_out().status), document(states.set_aside().status)
    assert [each["subject"] for each in left_out["notes"]] == ["Barn", "South roof"]
    assert [each["subject"] for each in parked["problems"]] == ["Carport"]


def test_times_in_texts_are_handed_over() -> None:
    """By their spelling, so that a page can show them on the clock of whoever reads it."""
    found = document(states.left_out().status)
    assert found["times"] == {"2026-06-21 11:02 UTC": 1782039720.0}
    (still, _) = found["notes"]
    assert "has been stuck since 2026-06-21 11:02 UTC" in still["text"]
    found = document(states.bad_disk().status)
    assert list(found["times"]) == ["2026-06-20 20:59 UTC"]
    (lost,) = found["outbox"]["lost"]
    assert (lost["since"], lost["until"]) == (1781979840.0, 1781989170.0)
    assert found["outbox"]["oldest"] < found["now"]


@pytest.mark.parametrize("make", states.STATES, ids=lambda make: make.__name__)
def test_no_state_contradicts_itself(make: Callable[[], State]) -> None:
    """Those that the page is tested with are such as the service can be in."""
    state = make()
    found = document(state.status)
    outbox, now = found["outbox"], found["now"]
    assert outbox["waiting"] == sum(gx["waiting"] for gx in found["gx"])
    assert sum(each["count"] for each in outbox["parked"]) == sum(g["parked"] for g in found["gx"])
    assert (outbox["oldest"] is not None) == (outbox["waiting"] > 0)
    assert outbox["in_memory"] in (0, outbox["waiting"])
    for change in state.changes:
        assert found["started"] <= change.at <= now
    assert sum(found["backend"]["posts"].values()) == found["measurements"]
    assert found["measurements"] * found["interval_s"] <= (
        (now - found["started"] + found["interval_s"]) * max(1, len(found["gx"]))
    )
    for gx in found["gx"]:
        assert gx["heard"] <= now
        assert gx["measured"] <= gx["heard"] + 10.0
        assert gx["live"] == (now - gx["heard"] <= 60.0)
        assert gx["stored"] is None or gx["stored"] <= gx["measured"] + 1.0
        assert (gx["well"] is False) == bool(gx["problems"])
        for each in gx["chargers"]:
            assert each["heard"] <= gx["heard"]
            assert (each["mood"] in ("left_out", "lost")) <= bool(each["trouble"])
            assert each["mood"] != "left_out" or each["stored"] in (None, each["heard"])
            assert each["mood"] != "lost" or (each["power_w"], each["trackers"]) == (0.0, [])


@pytest.mark.parametrize(
    ("kinds", "heading"),
    [
        ([Kind.CHARGER_LEFT_OUT, Kind.CHARGER_IN_DOUBT], "All is stored, but look at this"),
        ([Kind.CHARGER_LEFT_OUT, Kind.DISK], "All is well, but look at this"),
        ([Kind.PARKED], "All is well, but look at this"),
        ([Kind.DISK, Kind.LOST], "Measurements were given up"),
    ],
)
def test_nothing_is_called_stored_that_is_not(kinds: list[Kind], heading: str) -> None:
    """It may be well now, and not all be there."""
    assert headed([Problem(kind, "x", "y") for kind in kinds])[0] == heading


@pytest.mark.parametrize(
    ("view", "mood", "state"),
    [
        (SOUTH.view(NOON_S), "producing", "bulk"),
        (SOUTH.view(0.0), "asleep", "no sun: asleep"),
        (SOUTH.view(0.0, state=3), "idle", "bulk"),
        (SOUTH.view(NOON_S, state=0), "producing", "off"),
        (
            SOUTH.view(0.0, report=None, omission=Omission(Cause.NULL_IN_THE_DARK)),
            "asleep",
            "no sun: asleep",
        ),
        (
            SOUTH.view(NOON_S, report=SOUTH.report(NOON_S)._replace(reachable=False)),
            "lost",
            "no contact",
        ),
        (
            SOUTH.view(NOON_S, report=None, omission=Omission(Cause.SETTLING)),
            "settling",
            "bulk",
        ),
        (SOUTH.view(NOON_S, report=None, omission=Omission(Cause.IGNORED)), "ignored", "bulk"),
    ],
)
def test_how_it_is_with_a_charger(view: ChargerView, mood: str, state: str) -> None:
    """One word decides how it is drawn and counted."""
    told = charger(view)
    assert (told["mood"], told["state"]) == (mood, state)
    assert bool(told["trouble"]) == (mood in ("lost", "left_out"))


def test_one_that_is_switched_off_by_day_is_not_asleep() -> None:
    """There is voltage: it could."""
    report = SOUTH.report(0.0)._replace(
        trackers=tuple(t._replace(voltage_v=60.0) for t in SOUTH.report(0.0).trackers),
    )
    assert charger(SOUTH.view(0.0, report=report))["mood"] == "idle"


def test_a_name_is_cut() -> None:
    """A page is not filled by one."""
    told = charger(SOUTH.view(NOON_S, name="n" * 5000))
    assert len(told["name"]) == LONGEST_NAME


def test_a_history_has_no_more_digits_than_a_plot_shows() -> None:
    """Nulls are gaps; what is not known at the begin is left out."""
    state = states.young()
    told = history_document(state.history)
    powers = told["chargers"][SOUTH.serial]["power_w"]
    assert 8 <= len(powers) <= 10
    assert all(isinstance(power, int) for power in powers if power >= 100)


def test_nobody_was_measured_yet() -> None:
    """It is JSON all the same."""
    told = history_document(History(60).view())
    assert json.dumps(told, allow_nan=False)
    assert told["since"] is None
