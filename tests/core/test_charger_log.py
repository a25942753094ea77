"""Tests the log lines about chargers: each change once, with the charger and what to do."""

from dataclasses import replace

import pytest

from mqtt_http_bridge.core.log import Log
from mqtt_http_bridge.core.measurement import DeviceReport
from mqtt_http_bridge.core.omission import Cause, Omission, Remark
from mqtt_http_bridge.core.relay.charger_log import ChargerLog
from mqtt_http_bridge.core.venus.readings import ChargerKey
from tests.support.log_lines import as_logged
from tests.support.sayings import KEY, SINGLE, Bus

OTHER = ChargerKey("solarcharger", 278)
WHO = "barn: charger solarcharger/277"
NAMED = f"{WHO} 'South roof' (BlueSolar Charger MPPT 150/45 rev3, HQ2211AAAA1)"


def report() -> DeviceReport:
    """The report of a charger that is measured."""
    bus = Bus()
    bus.say(SINGLE)
    return bus.report(0.0)


MEASURED = report()
OFF = MEASURED._replace(reachable=False, producing=False)


def told(*found: DeviceReport | Omission | None) -> list[list[Log]]:
    """The lines for each of several looks in a row; None is a charger not in the reports."""
    news = ChargerLog("barn")
    looks = ({KEY: one} if one is not None else {} for one in found)
    return [as_logged(news.tell(look, {})) for look in looks]


UNKNOWN = Omission(Cause.NUMBER_UNKNOWN, found="its power is unknown: /Yield/Power is null")


@pytest.mark.parametrize(
    ("found", "line"),
    [
        (MEASURED, Log("INFO", f"{NAMED} is measured")),
        (OFF, Log("INFO", f"{NAMED} is lost: reported as not reachable")),
        (UNKNOWN, Log("WARNING", f"{WHO} is left out of measurements: {UNKNOWN.found}")),
        (
            Omission(Cause.LOST_AND_UNKNOWN),
            Log(
                "WARNING",
                f"{WHO} is left out of measurements:"
                " the GX lost it before its serial and its total yield were known",
            ),
        ),
        (
            Omission(Cause.IGNORED),
            Log("INFO", f"{WHO} is left out of measurements: device.ignore names it"),
        ),
    ],
    ids=["measured", "lost", "no numbers", "lost and unknown", "ignored"],
)
def test_a_state_is_told_once(found: DeviceReport | Omission, line: Log) -> None:
    """In the first reports that has it, and in none of those that follow."""
    assert told(found, found, found) == [[line], [], []]


@pytest.mark.parametrize(
    "cause", [Cause.SETTLING, Cause.UNCONFIRMED, Cause.JUST_LOST], ids=lambda o: o.name
)
def test_what_passes_is_not_told(cause: Cause) -> None:
    """A reconnect makes no lines: neither for the doubt nor for its end."""
    passing = Omission(cause)
    assert told(passing, MEASURED, passing, MEASURED)[2:] == [[], []]
    assert told(passing) == [[]]


def test_each_change_is_told() -> None:
    """Also the way back, and to where it has been before."""
    lines = told(MEASURED, UNKNOWN, OFF, MEASURED)
    assert [len(of_one_roll) for of_one_roll in lines] == [1, 1, 1, 1]
    assert lines[0] == lines[3]


def test_a_change_behind_a_passing_state_is_told() -> None:
    """The state before the doubt is what the one after it is compared with."""
    assert len(told(MEASURED, Omission(Cause.UNCONFIRMED), OFF)[2]) == 1


def test_new_numbers_are_no_news() -> None:
    """Only what people would act on: not the power, nor whether it produces."""
    dimmer = MEASURED._replace(yield_power_w=1.0, producing=False, trackers=(), last_update_s=7)
    assert told(MEASURED, dimmer) == [told(MEASURED)[0], []]


@pytest.mark.parametrize(
    "changed",
    [
        MEASURED._replace(serial="HQ2211BBBB2"),
        MEASURED._replace(name="North roof"),
        MEASURED._replace(product_name="SmartSolar"),
    ],
    ids=["serial", "name", "product"],
)
def test_another_identity_is_news(changed: DeviceReport) -> None:
    """A unit that was swapped or renamed is told under what it is called now."""
    assert len(told(MEASURED, changed)[1]) == 1


def test_a_charger_that_was_forgotten_is_new_when_it_returns() -> None:
    """Nothing is remembered of those that left too long ago."""
    assert told(MEASURED, None, MEASURED)[2] == told(MEASURED)[0]


def test_a_charger_that_is_forgotten_is_told() -> None:
    """Both halves of a change: it was told that it is lost, and now that it is no more reported."""
    (line,) = told(OFF, None)[1]
    assert line.text == f"{WHO} is no longer reported: lost for too long, or moved"
    assert told(OFF, None, None)[2] == []


def test_another_wording_of_the_same_is_no_news() -> None:
    """A number that is out of range may be another one each time."""
    other = replace(UNKNOWN, found="its power is unknown: /Yield/Power is 1e12")
    assert told(UNKNOWN, other)[1] == []
    assert len(told(UNKNOWN, replace(UNKNOWN, subject="another path"))[1]) == 1


def test_a_remark_is_told_once_while_it_holds() -> None:
    """As a warning if somebody should do something about it."""
    log, still, named = ChargerLog("barn"), Remark("stands still"), Remark("is named", False)
    told_at_first = [
        Log.info(f"{NAMED} is measured"),
        Log.warning(f"{WHO} stands still"),
        Log.info(f"{WHO} is named"),
    ]
    assert as_logged(log.tell({KEY: MEASURED}, {KEY: (still, named)})) == told_at_first
    assert log.tell({KEY: MEASURED}, {KEY: (still, named)}) == []
    assert log.tell({KEY: MEASURED}, {KEY: ()}) == []
    again = log.tell({KEY: MEASURED}, {KEY: (still,)})
    assert as_logged(again) == [Log.warning(f"{WHO} stands still")]


def test_chargers_are_told_apart() -> None:
    """News of one says nothing of the other."""
    news = ChargerLog("barn")
    first = news.tell({KEY: MEASURED, OTHER: MEASURED}, {})
    assert [line.text.split(" '")[0] for line in first] == [WHO, "barn: charger solarcharger/278"]
    assert as_logged(news.tell({KEY: MEASURED, OTHER: UNKNOWN}, {})) == [
        Log.warning(f"barn: charger solarcharger/278 is left out of measurements: {UNKNOWN.found}")
    ]


def test_a_name_cannot_forge_a_line() -> None:
    """A name may hold a newline; the log's lines do not."""
    forged = MEASURED._replace(name="roof\n2026-01-01 all is well")
    ((line,),) = told(forged)
    assert "\n" not in line.text
