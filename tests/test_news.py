"""The log's lines on chargers: each change once, and which charger it is, and what to do."""

from dataclasses import replace

import pytest

from mqtt_http_bridge.core.chargers import Omission
from mqtt_http_bridge.core.commands import Log
from mqtt_http_bridge.core.measurement import DeviceReport
from mqtt_http_bridge.core.news import ChargerNews
from mqtt_http_bridge.core.venus import ChargerKey
from tests.sayings import KEY, SINGLE, Bus

OTHER = ChargerKey("solarcharger", 278)
WHO = "barn: charger solarcharger/277"
NAMED = f"{WHO} 'South roof' (BlueSolar Charger MPPT 150/45 rev3, HQ2211AAAA1)"


def report() -> DeviceReport:
    """The report of a charger that is measured."""
    bus = Bus()
    bus.say(SINGLE)
    return bus.report(0.0)


MEASURED = report()
OFF = replace(MEASURED, reachable=False, producing=False)


def told(*found: DeviceReport | Omission | None) -> list[list[Log]]:
    """The lines for each of several rolls in a row; None is a charger not in the roll."""
    news = ChargerNews("barn")
    return [news.tell({KEY: one} if one is not None else {}) for one in found]


@pytest.mark.parametrize(
    ("found", "line"),
    [
        (MEASURED, Log("INFO", f"{NAMED} is measured")),
        (OFF, Log("INFO", f"{NAMED} is off: reported as not reachable")),
        (
            Omission.NUMBERS_UNKNOWN,
            Log(
                "WARNING",
                f"{WHO} is left out of measurements: its power or its total yield is unknown",
            ),
        ),
        (
            Omission.SERIAL_UNKNOWN,
            Log(
                "WARNING",
                f"{WHO} is left out of measurements: it tells no serial:"
                " set one for its instance under device.serials",
            ),
        ),
        (
            Omission.GONE_AND_UNKNOWN,
            Log(
                "WARNING",
                f"{WHO} is left out of measurements:"
                " it left the bus before its serial and its total yield were known",
            ),
        ),
    ],
    ids=["measured", "off", "no numbers", "no serial", "gone"],
)
def test_a_state_is_told_once(found: DeviceReport | Omission, line: Log) -> None:
    """In the first roll that has it, and in none of those that follow."""
    assert told(found, found, found) == [[line], [], []]


@pytest.mark.parametrize("passing", [Omission.SETTLING, Omission.UNCONFIRMED], ids=lambda o: o.name)
def test_what_passes_is_not_told(passing: Omission) -> None:
    """A reconnect makes no lines: neither for the doubt nor for its end."""
    assert told(passing, MEASURED, passing, MEASURED)[2:] == [[], []]
    assert told(passing) == [[]]


def test_each_change_is_told() -> None:
    """Also the way back, and to where it has been before."""
    lines = told(MEASURED, Omission.NUMBERS_UNKNOWN, OFF, MEASURED)
    assert [len(of_one_roll) for of_one_roll in lines] == [1, 1, 1, 1]
    assert lines[0] == lines[3]


def test_a_change_behind_a_passing_state_is_told() -> None:
    """The state before the doubt is what the one after it is compared with."""
    assert len(told(MEASURED, Omission.UNCONFIRMED, OFF)[2]) == 1


def test_new_numbers_are_no_news() -> None:
    """Only what people would act on: not the power, nor whether it produces."""
    dimmer = replace(MEASURED, yield_power_w=1.0, producing=False, trackers=(), last_update_s=7)
    assert told(MEASURED, dimmer) == [told(MEASURED)[0], []]


@pytest.mark.parametrize(
    "changed",
    [
        replace(MEASURED, serial="HQ2211BBBB2"),
        replace(MEASURED, name="North roof"),
        replace(MEASURED, product_name="SmartSolar"),
    ],
    ids=["serial", "name", "product"],
)
def test_another_identity_is_news(changed: DeviceReport) -> None:
    """A unit that was swapped or renamed is told under what it is called now."""
    assert len(told(MEASURED, changed)[1]) == 1


def test_a_charger_that_was_forgotten_is_new_when_it_returns() -> None:
    """Nothing is remembered of those that left too long ago."""
    assert told(MEASURED, None, MEASURED)[2] == told(MEASURED)[0]


def test_chargers_are_told_apart() -> None:
    """News of one says nothing of the other."""
    news = ChargerNews("barn")
    first = news.tell({KEY: MEASURED, OTHER: MEASURED})
    assert [line.text.split(" '")[0] for line in first] == [WHO, "barn: charger solarcharger/278"]
    assert news.tell({KEY: MEASURED, OTHER: Omission.NUMBERS_UNKNOWN}) == [
        Log.warning(
            "barn: charger solarcharger/278 is left out of measurements:"
            " its power or its total yield is unknown"
        )
    ]


def test_a_name_cannot_forge_a_line() -> None:
    """What a device says may hold a newline; the log's lines do not."""
    forged = replace(MEASURED, name="roof\n2026-01-01 all is well")
    ((line,),) = told(forged)
    assert "\n" not in line.text
