"""Tests which problems and notes people are told about."""

from collections.abc import Sequence

import pytest

from mqtt_http_bridge.core.omission import Cause, Omission, Remark
from mqtt_http_bridge.core.relay.site import SILENCE_S
from mqtt_http_bridge.core.status.problems import notes
from mqtt_http_bridge.core.status.well import is_heard, well
from mqtt_http_bridge.core.venus.readings import ChargerKey
from mqtt_http_bridge.core.views import (
    BackendView,
    ChargerView,
    Loss,
    OutboxView,
    RelayView,
    SiteView,
    StatusView,
)
from tests.support.virtual import moment

STATUS = StatusView(
    version="1",
    started=moment(0.0),
    now=moment(100.0),
    relay=RelayView(moment(100.0), is_connected=False, sites=()),
    backend=BackendView(),
    outbox=OutboxView(),
)


@pytest.mark.parametrize(
    ("silent_s", "expected"),
    [(0.0, True), (SILENCE_S, True), (SILENCE_S + 0.1, False), (float("inf"), False)],
    ids=["just now", "a minute ago", "longer ago", "never"],
)
def test_a_gx_is_heard_as_long_as_it_is_measured(silent_s: float, expected: bool) -> None:
    """The page and the measurements agree on when a GX has fallen silent."""
    site = SiteView("c0619ab35133", "barn", heard_s=1000.0 - silent_s, chargers=())
    assert is_heard(site, 1000.0) is expected


def of_outbox(count: int) -> list[str]:
    """Returns what is noted of an outbox with so many troubles of each kind."""
    outbox = OutboxView(
        in_memory=count,
        fault="full",
        lost=(Loss(count, "", "2026-06-21T11:02:00Z", ("no room",)),),
        damaged=count,
    )
    view = STATUS._replace(outbox=outbox)
    return [note.text for note in notes(view, well(view))]


def test_one_of_something_in_the_outbox_is_told_as_one() -> None:
    """In the plural there is an s, and another verb."""
    assert of_outbox(1) == [
        "1 measurement is in memory only: full",
        "1 measurement was given up, the last of 2026-06-21 11:02 UTC: no room",
        "1 damaged place was found in the outbox",
    ]
    assert of_outbox(2) == [
        "2 measurements are in memory only: full",
        "2 measurements were given up, the last of 2026-06-21 11:02 UTC: no room",
        "2 damaged places were found in the outbox",
    ]


def texts(omission: Omission | None, remarks: Sequence[Remark] = ()) -> list[str]:
    """Returns what is noted of a service with one charger."""
    charger = ChargerView(
        key=ChargerKey("solarcharger", 0),
        serial="A",
        name="Roof",
        is_on_bus=True,
        state=3,
        heard_s=100.0,
        report=None,
        omission=omission,
        remarks=tuple(remarks),
    )
    site = SiteView("c0619ab35133", "barn", heard_s=100.0, chargers=(charger,))
    relay = RelayView(moment(100.0), is_connected=True, sites=(site,))
    status = STATUS._replace(relay=relay)
    return [note.text for note in notes(status, well(status))]


def test_a_charger_that_is_left_out_is_trouble() -> None:
    """Unless that passes, by itself or with the night, or somebody wants it so."""
    found = Omission(Cause.NUMBER_UNKNOWN, found="its power is unknown: /Yield/Power is null")
    (text,) = texts(found)
    assert text.endswith("is left out of measurements: its power is unknown: /Yield/Power is null")
    for cause in (Cause.SETTLING, Cause.JUST_LOST, Cause.IGNORED, Cause.NULL_IN_THE_DARK):
        assert texts(Omission(cause)) == []


def test_only_some_remarks_are_trouble() -> None:
    """A serial that was set for a charger is none."""
    remarks = [Remark("stands still"), Remark("is named", is_trouble=False)]
    assert texts(None, remarks) == ["charger solarcharger/0 stands still"]
