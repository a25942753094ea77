"""Tests the pure functions of the page: scales, ticks, paths, and names of numbers.

Run in the browser, as nothing else in the tests needs JavaScript.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support import page_states as states
from tests.support.browser import Browser

pytestmark = pytest.mark.once


@pytest.fixture(scope="module", autouse=True)
def _page(browser: Browser) -> Iterator[None]:
    """Shows the page, so that its own server is asked for the modules."""
    with states.serving(states.no_charger()) as served:
        browser.timezone(states.ZONE)
        browser.go(served.url)
        browser.wait_for("document.querySelector('#verdict')")
        browser.evaluate(
            "Promise.all([import('/plot.js'), import('/words.js')]).then(([plot, words]) =>"
            " { window.plot = plot; window.words = words; })"
        )
        yield


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        # Round numbers from 0, not more than asked for.
        ("ticks(7690, 4)", [0, 2000, 4000, 6000]),
        ("ticks(48.5, 3)", [0, 20, 40]),
        ("ticks(1, 4)", [0, 0.5, 1]),
        ("ticks(1000, 4)", [0, 500, 1000]),
        ("ticks(0, 4)", [0]),
        ("ticks(null, 4)", [0]),
        # Round times of the clock of who looks, also where that is half an hour off.
        ("timeTicks(0, 7200, 4, 0)", [0, 1800, 3600, 5400, 7200]),
        ("timeTicks(100, 7200, 3, 0)", [3600, 7200]),
        ("timeTicks(0, 7200, 3, 1800)", [1800, 5400]),
        (
            "timeTicks(0, 86400, 6, 7200)",
            [7200, 21600, 36000, 50400, 64800, 79200],
        ),
        # A straight way, and no division by 0.
        ("scale([0, 10], [100, 0])(2.5)", 75),
        ("scale([5, 5], [0, 10])(5)", 0),
        # Gaps.
        ("runs([null, 1, 2, null, 0, null])", [[1, 2], [4, 4]]),
        ("runs([])", []),
        ("runs([null])", []),
        # Series that begin at different times end at the same.
        ("fitted([1, 2], 4)", [None, None, 1, 2]),
        ("fitted([1, 2, 3], 2)", [2, 3]),
        ("summed([[1, 2, 3], [10]])", [1, 2, 13]),
        ("summed([[null, 1], [null, null]])", [None, 1]),
        ("summed([])", []),
        # What is new replaces what was known of the same time, and goes on from there.
        ("merged([1, 2, 3], [30, 4], 1, 9)", [1, 2, 30, 4]),
        ("merged([1, 2, 3], [4], 3, 9)", [1, 2, 3, None, None, 4]),
        ("merged([1, 2, 3], [4], 1, 2)", [3, 4]),
        ("merged([], [7, 8], 1, 9)", [8]),
        # One on top of the other; one that is not known beside others takes no room.
        (
            "stacked([[1, null, null], [2, 3, null]])",
            [
                {"lower": [0, 0, None], "upper": [1, 0, None]},
                {"lower": [1, 0, None], "upper": [3, 3, None]},
            ],
        ),
        ("stacked([[-5]])", [{"lower": [0], "upper": [0]}]),
        # The most, and the first of several.
        ("largest([null, 3, 7, 7])", {"value": 7, "place": 2}),
        ("largest([null])", None),
        # Energy of the quarters since a time.
        ("gained([1, 2, null, 4], 3600, 900, 900)", 6),
        ("gained([1, 2, null, 4], 3600, 900, 901)", 4),
        ("gained([], 3600, 900, 0)", 0),
    ],
)
def test_plot(browser: Browser, call: str, expected: Any) -> None:
    """Each function, with the ordinary and the odd."""
    assert browser.evaluate(f"plot.{call}") == expected


def test_a_line_has_a_part_for_each_stretch(browser: Browser) -> None:
    """It goes through the middles of the spans, and from their begin to their end."""
    line = "plot.linePath([5, 6, null, 7], n => n * 10 + 5, v => v, n => n * 10)"
    assert browser.evaluate(line) == (
        "M0.0,5.0L5.0,5.0L15.0,6.0L20.0,6.0M30.0,7.0L35.0,7.0L40.0,7.0"
    )
    area = "plot.areaPath([0, 0], [5, null], n => n * 10 + 5, v => v, n => n * 10)"
    assert browser.evaluate(area) == "M0.0,5.0L5.0,5.0L10.0,5.0L10.0,0.0L5.0,0.0L0.0,0.0Z"


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ("power(64.53)", "64.5 W"),
        ("power(0)", "0 W"),
        ("power(120.4)", "120 W"),
        ("power(999.4)", "999 W"),
        ("power(999.6)", "1.00 kW"),
        ("power(3388)", "3.39 kW"),
        ("power(12345)", "12.3 kW"),
        ("power(297000)", "297 kW"),
        ("power(2.7e6)", "2.70 MW"),
        ("power(null)", "unknown"),
        ("energy(7)", "7 Wh"),
        ("energy(840)", "840 Wh"),
        ("energy(18300)", "18.3 kWh"),
        ("energy(18.3e6)", "18.3 MWh"),
        ("bytes(812)", "812 B"),
        ("bytes(2714332)", "2.71 MB"),
        ("volts(62.48)", "62.5 V"),
        ("volts(null)", "unknown"),
        ("total(20.76)", "20.76 kWh"),
        ("total(1274.25)", "1274.3 kWh"),
        ("total(18312.4)", "18.3 MWh"),
        ("total(null)", "unknown"),
        ("span(3)", "3 s"),
        ("span(119)", "119 s"),
        ("span(600)", "10 min"),
        ("span(10860)", "3 h"),
        ("span(259200)", "3 days"),
        ("span(-5)", "0 s"),
        ("ago(null, 5)", "never"),
        ("ago(2, 5)", "3 s ago"),
        ("counted(1, 'charger')", "1 charger"),
        ("counted(1234, 'measurement')", "1,234 measurements"),
        # 2026-06-21 14:30 in Berlin.
        ("clock(1782045000)", "14:30"),
        ("clock(1782045000, 1782045000 + 86400)", "Sun 21 Jun 14:30"),
        ("midnight(1782045000)", 1781992800),
        # Times in texts, on the clock of who reads.
        (
            (
                "local('x since 2026-06-21 12:30 UTC, 2026-06-20 12:30 UTC', {now: 1782045000,"
                " times: {'2026-06-21 12:30 UTC': 1782045000, '2026-06-20 12:30 UTC': 1781958600}})"
            ),
            "x since 14:30, Sat 20 Jun 14:30",
        ),
        ("local('2026-06-21 12:30 UTC', {now: 1, times: {}})", "2026-06-21 12:30 UTC"),
    ],
)
def test_words(browser: Browser, call: str, expected: Any) -> None:
    """Units as people read them."""
    found = browser.evaluate(f"words.{call}")
    assert (found.replace("\u202f", " ") if isinstance(found, str) else found) == expected
