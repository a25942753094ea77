"""Tests the log of a relay with a thousand GX devices: found, lost and back, as counts."""

import pytest

from mqtt_http_bridge.core.log import Log
from mqtt_http_bridge.core.log_limit import (
    CROWD_GATHERS_S,
    CROWD_SPACING_S,
    DAY_S,
    MOST_OF_A_CROWD,
    LogLimit,
)
from tests.support.virtual import Virtual, settings

MANY = 1000
PORTALS = tuple(f"c0619ab{number:05x}" for number in range(MANY))
FEW_LINES = 8 * MOST_OF_A_CROWD
"""For a crowd of each kind that there is."""


class Told:
    """The log of a relay, minute by minute."""

    def __init__(self, virtual: Virtual) -> None:
        self._virtual = virtual
        self._limit = LogLimit()
        self._seen = 0

    def lines(self) -> list[str]:
        """The lines since the last call, with what is due a minute after them."""
        told = []
        done, self._seen = self._virtual.done[self._seen :], len(self._virtual.done)
        for each in done:
            if isinstance(each.command, Log):
                told += self._limit.pass_on(each.command, each.at_s)
        told += self._limit.due(self._virtual.now_s + CROWD_GATHERS_S)
        return [line.text for line in told]


@pytest.fixture
def fleet() -> Virtual:
    """A thousand GX devices that are listed, so that all are there at once, and connected."""
    virtual = Virtual(settings(*PORTALS))
    virtual.connect()
    return virtual


def all_speak(fleet: Virtual) -> None:
    """Each says everything, with a charger."""
    for portal_id in PORTALS:
        fleet.heartbeat(portal_id)
        fleet.charger(portal_id=portal_id)
    fleet.let_beat(60.0, *PORTALS, every_s=9.0)


def test_found_lost_and_back(fleet: Virtual) -> None:
    """Each time some names, then how many more, and within a minute: never a line for each."""
    told = Told(fleet)
    all_speak(fleet)
    lines = told.lines()
    assert len(lines) < FEW_LINES
    assert f"{MANY - MOST_OF_A_CROWD} more: GX devices were found" in lines
    assert f"{MANY - MOST_OF_A_CROWD} more: chargers are measured" in lines

    fleet.let(400.0)  # Nobody says a word.
    lines = told.lines()
    assert f"{MANY - MOST_OF_A_CROWD} more: GX devices are not heard: not measuring" in lines
    assert len(lines) < FEW_LINES

    all_speak(fleet)
    lines = told.lines()
    assert len(lines) < FEW_LINES
    assert f"{MANY - MOST_OF_A_CROWD} more: GX devices are heard again: measuring" in lines


# --- the limit itself ----------------------------------------------------------------------------


def one(number: int, *, is_end: bool = False) -> Log:
    """A line about one of many."""
    text = f"GX {number} is {'heard again' if is_end else 'not heard'}"
    crowd = "GX devices are heard again" if is_end else "GX devices are not heard"
    make = Log.info if is_end else Log.warning
    return make(text, about=f"GX {number}", is_end=is_end, crowd=crowd)


def told(limit: LogLimit, *lines: Log, now_s: float = 0.0) -> list[str]:
    return [each.text for line in lines for each in limit.pass_on(line, now_s)]


def test_a_few_are_told_by_name() -> None:
    """As many as somebody reads."""
    few = [one(number) for number in range(MOST_OF_A_CROWD)]
    limit = LogLimit()
    assert told(limit, *few) == [line.text for line in few]
    assert limit.due(DAY_S - 1.0) == []


def test_the_others_are_counted_after_a_minute_and_then_each_hour() -> None:
    """Each once, however often it comes; with the level of the lines; and nothing afterwards."""
    limit = LogLimit()
    lines = [one(number) for number in range(50)]
    told(limit, *lines, *lines)
    assert limit.due(CROWD_GATHERS_S - 1.0) == []
    (line,) = limit.due(CROWD_GATHERS_S)
    assert (line.level, line.text) == ("WARNING", "30 more: GX devices are not heard")
    told(limit, one(7), now_s=CROWD_GATHERS_S + 1.0)
    assert limit.due(CROWD_SPACING_S) == []
    (line,) = limit.due(CROWD_GATHERS_S + CROWD_SPACING_S)
    assert line.text == "1 more: GX devices are not heard"
    assert limit.due(DAY_S - 1.0) == []


def test_an_outage_of_hours_is_not_told_again_one_by_one() -> None:
    """That a trouble lasts is told of what was left out, and not of what was counted."""
    limit = LogLimit()
    told(limit, *[one(number) for number in range(MANY)])
    hours = [line for hour in range(1, 23) for line in limit.due(hour * 3600.0)]
    assert [line.text for line in hours] == ["980 more: GX devices are not heard"]
    back = told(limit, *[one(number, is_end=True) for number in range(MANY)], now_s=80_000.0)
    assert len(back) == MOST_OF_A_CROWD
    assert [line.text for line in limit.due(80_100.0)] == ["980 more: GX devices are heard again"]


def test_a_new_day_begins_with_names() -> None:
    """Before that, the rest is counted."""
    limit = LogLimit()
    told(limit, *[one(number) for number in range(30)])
    assert told(limit, one(99), now_s=DAY_S) == ["10 more: GX devices are not heard", one(99).text]
