"""Tests the last day of each charger: means over spans that grow, and energy by quarter hour."""

from collections.abc import Sequence
from datetime import timedelta
from math import isnan

import pytest

from mqtt_http_bridge.core.measurement import Measurement
from mqtt_http_bridge.core.status import history as module
from mqtt_http_bridge.core.status.history import (
    LONGEST_SPAN_S,
    QUARTERS,
    RECENT_SLOTS,
    SLOTS,
    History,
    first_span_s,
)
from tests.monitoring.views import REPORT, SERIAL
from tests.support.virtual import PORTAL, START

DAY_S = 86_400


def measure(
    history: History, at_s: float, power_w: float, total_kwh: float = 10.0, serial: str = SERIAL
) -> None:
    """Adds one measurement of one charger, so many seconds after noon."""
    report = REPORT._replace(serial=serial, yield_power_w=power_w, yield_total_kwh=total_kwh)
    history.add(Measurement(START + timedelta(seconds=at_s), PORTAL, (report,)))


def powers(history: History, serial: str = SERIAL) -> list[float | None]:
    """Lists the power in each span from the first on that is known."""
    return known(history.view().chargers[serial].power_w)


def gains(history: History) -> list[float | None]:
    """Lists the energy in each quarter from the first on that is known."""
    return known(history.view().chargers[SERIAL].gains_wh)


def known(values: Sequence[float]) -> list[float | None]:
    found = [None if isnan(value) else round(value, 3) for value in values]
    first = next((n for n, value in enumerate(found) if value is not None), len(found))
    return found[first:]


def test_a_span_has_the_mean_of_what_was_measured_in_it() -> None:
    """Each by itself, and the newest as far as it has come."""
    history = History(60)
    for at_s, power_w in ((0, 10.0), (30, 20.0), (60, 40.0)):
        measure(history, at_s, power_w)
    assert powers(history) == [15.0, 40.0]
    view = history.view()
    assert view.ends_s == START.timestamp() + 120
    assert view.since_s == START.timestamp()


def test_a_gap_is_a_gap() -> None:
    """Nothing is known of a span in which nothing was measured, or the charger was out of reach."""
    history = History(60)
    measure(history, 0, 10.0)
    lost = REPORT._replace(reachable=False, yield_power_w=0.0)
    history.add(Measurement(START + timedelta(seconds=60), PORTAL, (lost,)))
    measure(history, 120, 30.0)
    measure(history, 240, 50.0)
    assert powers(history) == [10.0, None, 30.0, None, 50.0]


def test_all_end_at_the_same_time() -> None:
    """A charger that was measured last an hour ago has nothing since."""
    history = History(60)
    measure(history, 0, 10.0, serial="gone")
    measure(history, 3600, 20.0)
    assert powers(history, "gone") == [10.0] + [None] * 60
    assert {len(each.power_w) for each in history.view().chargers.values()} == {SLOTS}


def test_spans_double_until_a_day_fits() -> None:
    """All of before keeps its time and its mean."""
    history = History(60)
    for minute in range(SLOTS):
        measure(history, 60 * minute, float(minute % 2))
    assert history.view().span_s == 60
    measure(history, 60 * SLOTS, 7.0)
    view = history.view()
    assert view.span_s == 120
    assert powers(history) == [0.5] * (SLOTS // 2) + [7.0]
    for minute in range(SLOTS, 6 * SLOTS):
        measure(history, 60 * minute, 3.0)
    assert history.view().span_s == LONGEST_SPAN_S
    assert SLOTS * LONGEST_SPAN_S == DAY_S
    assert powers(history) == [3.0] * SLOTS


def test_it_takes_no_more_after_a_week() -> None:
    """The ring is as long as it was."""
    history = History(240)
    for step in range(7 * SLOTS):
        measure(history, 240 * step, 1.0)
    (charger,) = history.view().chargers.values()
    assert (len(charger.power_w), len(charger.gains_wh)) == (SLOTS, QUARTERS)


def test_an_interval_that_is_long_has_long_spans() -> None:
    """None is so short that it may be without a measurement."""
    assert [first_span_s(s) for s in (1.0, 30.0, 31.0, 60.0, 300.0)] == [60, 60, 120, 120, 960]


def test_energy_is_what_the_total_has_grown_by() -> None:
    """By the quarter of an hour; the first total is where it begins."""
    history = History(60)
    for at_s, total_kwh in ((0, 100.0), (600, 100.25), (900, 100.5), (1799, 101.0), (3600, 103.0)):
        measure(history, at_s, 1.0, total_kwh)
    assert gains(history) == [250.0, 750.0, None, None, 2000.0]
    assert history.view().quarters_end_s == START.timestamp() + 4500
    assert history.view().chargers[SERIAL].total_kwh == 103.0


def test_a_total_that_shrinks_is_no_energy() -> None:
    """Another unit, or one that was reset: it goes on from there."""
    history = History(60)
    for at_s, total_kwh in ((0, 100.0), (60, 3.0), (120, 3.5)):
        measure(history, at_s, 1.0, total_kwh)
    assert gains(history) == [500.0]


def test_a_clock_that_is_set_begins_anew() -> None:
    """Back, or a day ahead: the times of before mean nothing. By seconds: nobody notices."""
    history = History(60)
    measure(history, 0, 1.0)
    measure(history, -30, 3.0)
    assert powers(history) == [2.0]
    measure(history, -7200, 5.0)
    assert powers(history) == [5.0]
    measure(history, 40 * 365 * DAY_S, 6.0)
    assert powers(history) == [6.0]
    assert history.view().since_s == START.timestamp() + 40 * 365 * DAY_S


def test_there_are_no_more_chargers_than_there_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that was measured the longest ago makes room."""
    monkeypatch.setattr(module, "MOST_CHARGERS", 2)
    history = History(60)
    for at_s, serial in enumerate(("a", "b", "a", "c")):
        measure(history, at_s, 1.0, serial=serial)
    assert set(history.view().chargers) == {"a", "c"}


def test_what_is_new_is_short() -> None:
    """It is the end of the whole."""
    history = History(60)
    for minute in range(100):
        measure(history, 60 * minute, float(minute))
    whole, recent = history.view(), history.view(is_recent=True)
    assert recent.ends_s == whole.ends_s
    assert list(recent.chargers[SERIAL].power_w) == [float(n) for n in range(90, 100)]
    assert len(recent.chargers[SERIAL].power_w) == RECENT_SLOTS


def test_nothing_is_known_at_the_start() -> None:
    """No charger, and no time."""
    view = History(60).view()
    assert dict(view.chargers) == {}
    assert isnan(view.since_s)
