"""Tests who has which serial: settings that name chargers, and one report for each serial."""

from typing import Any

import pytest

from mqtt_http_bridge.core.measurement import DeviceReport
from mqtt_http_bridge.core.omission import Cause, Omission
from mqtt_http_bridge.core.relay.serials import PATIENCE_S
from mqtt_http_bridge.core.venus.readings import ChargerKey
from tests.support.sayings import KEY, PORTAL_ID, SEVERAL, SINGLE, Bus, moment, without

OTHER_ID = "c0619ab35133"
MULTI = ChargerKey("multi", 277)
SECOND = ChargerKey("solarcharger", 278)
NAMELESS = without(SINGLE, "Serial")
NAMELESS_MULTI = without(SEVERAL, "Serial")


def serial(bus: Bus, at_s: float, key: ChargerKey = KEY) -> str | None:
    """Under which serial the charger is reported; None if it is not."""
    found = bus.found(at_s, key)
    return found.serial if isinstance(found, DeviceReport) else None


def omission(bus: Bus, at_s: float, key: ChargerKey = KEY) -> Omission:
    """Returns why the charger is left out, which there must be a reason for."""
    found = bus.found(at_s, key)
    assert isinstance(found, Omission), found
    return found


def two_gxs(**settings: Any) -> tuple[Bus, Bus]:
    """The buses of two GX devices in one process."""
    first = Bus(**settings)
    return first, Bus(OTHER_ID, first)


# --- device.serials ------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["277", "solarcharger/277", f"{PORTAL_ID}/solarcharger/277"])
@pytest.mark.parametrize("values", [NAMELESS, SINGLE], ids=["nameless", "named"])
def test_a_own_keys_the_charger_it_fits(key: str, values: dict[str, object]) -> None:
    """It does, also where the device tells another serial."""
    bus = Bus(serials={key: "SET"})
    bus.say(values)
    assert serial(bus, 20.0) == "SET"


def test_the_most_exact_key_wins() -> None:
    """And one that is beaten for one charger may still name another."""
    keys = {
        "277": "LEAST",
        "solarcharger/277": "MORE",
        f"{PORTAL_ID}/solarcharger/277": "MOST",
    }
    first, second = two_gxs(serials=keys)
    for bus in (first, second):
        bus.say(NAMELESS)
    second.say(NAMELESS_MULTI, key=MULTI)
    assert [serial(first, 20.0), serial(second, 20.0), serial(second, 20.0, MULTI)] == [
        "MOST",
        "MORE",
        "LEAST",
    ]


def test_a_key_that_fits_two_chargers_names_none() -> None:
    """Nobody could tell whose numbers are whose: the exact keys are told instead."""
    bus = Bus(serials={"277": "SET"})
    bus.say(NAMELESS)
    assert serial(bus, 20.0) == "SET"
    bus.say(NAMELESS_MULTI, 30.0, MULTI)
    bus.chargers.establish(30.0, 31.0)
    for key in (KEY, MULTI):
        found = omission(bus, 50.0, key)
        assert found.cause is Cause.SERIAL_UNKNOWN
        assert "device.serials: 277 fits several chargers, so it is used for none" in found.text
        assert f"{PORTAL_ID}/multi/277 and {PORTAL_ID}/solarcharger/277" in found.text


def test_a_key_that_comes_to_fit_two_gives_each_its_own_serial_back() -> None:
    """Reports each under the serial that it tells, also the one that has not spoken since."""
    bus = Bus(serials={"277": "SET"})
    bus.say(SINGLE)
    assert serial(bus, 20.0) == "SET"
    bus.say({**SEVERAL, "Serial": "HQ2211BBBB2"}, 30.0, MULTI)
    bus.chargers.establish(30.0, 31.0)
    assert serial(bus, 31.0) == SINGLE["Serial"]
    assert serial(bus, 31.0, MULTI) == "HQ2211BBBB2"


def test_a_key_that_fits_chargers_of_two_gxs_names_none() -> None:
    """Until one of them has left."""
    first, second = two_gxs(serials={"solarcharger/277": "SET"})
    first.say(NAMELESS)
    second.say(NAMELESS, 5.0)
    for bus in (first, second):
        bus.chargers.establish(5.0, 6.0)
    assert omission(first, 20.0).cause is Cause.SERIAL_UNKNOWN
    assert omission(second, 20.0).cause is Cause.SERIAL_UNKNOWN
    second.leave(30.0)
    assert serial(first, 31.0) == "SET"


def test_a_key_without_effect_is_remarked_on_a_charger_that_tells_its_serial() -> None:
    """It is reported under its own, and somebody meant another."""
    bus = Bus(serials={"277": "SET"})
    bus.say(SINGLE)
    bus.say({**SEVERAL, "Serial": "OTHER"}, key=MULTI)
    now = moment(20.0)
    reports = bus.chargers.reports(now)
    (remark,) = bus.chargers.remarks(now, reports)[KEY]
    assert remark.is_trouble
    assert "277 fits several chargers" in remark.text
    assert serial(bus, 20.0) == SINGLE["Serial"]


def test_an_inverter_without_pv_takes_no_key() -> None:
    """It is no charger: `277` means the one that is."""
    bus = Bus(serials={"277": "SET"})
    bus.say(NAMELESS)
    bus.say({**NAMELESS_MULTI, "NrOfTrackers": 0}, key=MULTI)
    assert serial(bus, 20.0) == "SET"


def test_a_device_that_tells_another_serial_is_remarked() -> None:
    """No trouble: somebody has set it. But it is to be seen."""
    bus = Bus(serials={"277": "SET"})
    bus.say(SINGLE)
    now = moment(1.0)
    (remark,) = bus.chargers.remarks(now, bus.chargers.reports(now))[KEY]
    assert not remark.is_trouble
    assert remark.text == f"reports the serial {SINGLE['Serial']}, but device.serials says SET"


def test_a_setting_that_fits_nobody_is_told_once() -> None:
    """It is told once every GX has said everything, or has had its time to."""
    first, second = two_gxs(
        serials={"277": "SET", "multi/277": "GONE"}, ignored=frozenset({"NOBODY"})
    )
    first.say(NAMELESS)
    assert first.serials.tell_unused(0.0) == []
    first.chargers.confirm(0.0, 1.0)
    assert first.serials.tell_unused(2.0) == []
    second.chargers.establish(0.0, 3.0)
    lines = [line.text for line in first.serials.tell_unused(4.0)]
    assert lines == [
        "device.ignore: NOBODY fits no charger seen so far",
        "device.serials: multi/277 fits no charger seen so far",
    ]
    assert first.serials.tell_unused(5.0) == []


def test_a_gx_that_is_never_heard_does_not_keep_it_back() -> None:
    """Ten minutes after the first one."""
    first, _ = two_gxs(serials={"multi/277": "GONE"})
    first.chargers.confirm(0.0, 1.0)
    assert first.serials.tell_unused(PATIENCE_S) == []
    assert len(first.serials.tell_unused(PATIENCE_S + 1.0)) == 1


# --- device.ignore -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "entry",
    ["277", "solarcharger/277", f"{PORTAL_ID}/solarcharger/277", str(SINGLE["Serial"]), "SET"],
)
def test_an_ignored_charger_is_left_out_and_nobody_waits_for_it(entry: str) -> None:
    """By its place, by its serial, or by the one that is set for it."""
    settings: dict[str, Any] = {"serials": {"277": "SET"}} if entry == "SET" else {}
    bus = Bus(ignored=frozenset({entry}), **settings)
    bus.say(without(SINGLE, "Yield/System"))
    assert omission(bus, 20.0) == Omission(Cause.IGNORED)
    assert not bus.chargers.is_somebody_unheard
    assert bus.serials.unused_settings() == []
    bus.leave(30.0)
    assert omission(bus, 31.0).cause in (Cause.IGNORED, Cause.JUST_LOST)


def test_an_ignored_charger_takes_no_part() -> None:
    """Neither in what a key fits nor in whose a serial is."""
    bus = Bus(serials={"277": "SET"}, ignored=frozenset({"multi/277", "solarcharger/278"}))
    bus.say(NAMELESS)
    bus.say(NAMELESS_MULTI, key=MULTI)
    bus.say({**SINGLE, "Serial": "SET"}, 5.0, SECOND)
    assert serial(bus, 20.0) == "SET"


# --- one report for each serial ------------------------------------------------------------------


def test_behind_one_gx_the_last_to_appear_has_it() -> None:
    """Plugged in elsewhere before its old place is gone; the warning names both."""
    bus = Bus()
    bus.say(SINGLE)
    bus.say(SINGLE, 100.0, SECOND)
    found = omission(bus, 101.0)
    assert (found.cause, found.text) == (
        Cause.SERIAL_TWICE,
        f"solarcharger/278 has the same serial {SINGLE['Serial']}",
    )
    assert serial(bus, 101.0, SECOND) == SINGLE["Serial"]


def test_behind_two_gxs_the_first_that_had_it_keeps_it() -> None:
    """Also over a new connection, in whatever order they are heard then."""
    first, second = two_gxs()
    second.say(SINGLE)
    first.say(SINGLE, 50.0)
    assert serial(second, 51.0) == SINGLE["Serial"]
    assert f"{OTHER_ID}/solarcharger/277" in omission(first, 51.0).text
    for bus in (first, second):
        bus.chargers.unconfirm(100.0)
    first.say(SINGLE, 101.0)
    second.say(SINGLE, 102.0)
    assert serial(second, 103.0) == SINGLE["Serial"]
    assert omission(first, 103.0).cause is Cause.SERIAL_TWICE


def test_a_charger_that_has_not_told_its_serial_again_holds_nobody_up() -> None:
    """After a new connection it may be another unit: the one that reports the serial has it."""
    first, second = two_gxs()
    first.say(SINGLE)
    second.say(SINGLE, 50.0)
    first.chargers.unconfirm(100.0)
    first.say({"Yield/Power": 1.0}, 101.0)
    assert serial(second, 102.0) == SINGLE["Serial"]


def test_who_was_lost_in_between_has_it_last() -> None:
    """It moved, and moved back while its new place still speaks."""
    first, second = two_gxs()
    first.say(SINGLE)
    first.leave(100.0)
    second.say(SINGLE, 110.0)
    first.say(SINGLE, 120.0)
    assert serial(second, 121.0) == SINGLE["Serial"]
    assert omission(first, 121.0).cause is Cause.SERIAL_TWICE


def test_a_living_charger_beats_one_that_is_lost() -> None:
    """Moved to another GX and back: each time there is one report, and no ghost."""
    first, second = two_gxs()
    first.say(SINGLE)
    first.leave(100.0)
    assert serial(first, 160.0) == SINGLE["Serial"]
    second.say(SINGLE, 170.0)
    assert first.found(171.0) is None
    assert second.report(171.0).reachable
    second.leave(200.0)
    first.say(SINGLE, 210.0)
    assert second.found(211.0) is None
    assert first.report(300.0).reachable


def test_of_two_that_are_lost_the_last_heard_is_reported() -> None:
    """It told its serial only after it had been lost elsewhere for long."""
    first, second = two_gxs()
    first.say(SINGLE)
    second.say(SINGLE, 50.0)
    for bus in (second, first):
        bus.leave(100.0)
    assert first.found(200.0) is None
    assert not second.report(200.0).reachable


def test_a_charger_elsewhere_that_keeps_speaking_is_not_taken_for_new() -> None:
    """Its old driver says `/Connected` 0 for ever: nothing of that is reported, nor told twice."""
    first, second = two_gxs()
    first.say(SINGLE)
    first.say({"Connected": 0}, 100.0)
    second.say(SINGLE, 110.0)
    assert first.found(120.0) is None
    first.publish({**SINGLE, "Connected": 0}, 300.0)
    assert first.found(301.0) is None
    assert second.report(301.0).reachable
    second.leave(310.0)
    assert first.found(400.0) is None
    first.say({"Connected": 1}, 500.0)
    assert first.found(501.0) is not None


def test_gxs_with_different_keys_may_have_the_same_serial() -> None:
    """Each key is another account, where the serial is another charger; the common key is one."""
    keys = {OTHER_ID: "neighbour.txt", "c0619ab0cccc": "neighbour.txt"}
    first = Bus(own_keys=keys)
    second, third = Bus(OTHER_ID, first), Bus("c0619ab0cccc", first)
    for number, bus in enumerate((first, second, third)):
        bus.say({**SINGLE, "Serial": "0000"}, float(number))
    assert [serial(bus, 20.0) for bus in (first, second)] == ["0000", "0000"]
    assert "c0619ab35133/solarcharger/277" in omission(third, 20.0).text
    second.leave(30.0)
    assert serial(third, 31.0) == "0000"
    first.leave(40.0)
    assert not first.report(200.0).reachable, "it is lost, whoever speaks in the other account"


def test_two_units_on_one_instance_hold_no_serial() -> None:
    """A unit that moved from there is reported where it is."""
    bus = Bus()
    bus.say(SINGLE)
    bus.publish({**SINGLE, "Serial": "HQ2211BBBB2"}, 0.0)
    bus.say(SINGLE, 20.0, SECOND)
    assert serial(bus, 21.0, SECOND) == SINGLE["Serial"]


def test_a_serial_that_changed_is_free_again() -> None:
    """The unit is gone from there: another with its serial is reported at once."""
    first, second = two_gxs()
    first.say(SINGLE)
    second.say(SINGLE, 10.0)
    first.say({"Serial": "HQ2211BBBB2"}, 1000.0)
    assert serial(second, 1001.0) == SINGLE["Serial"]


def test_a_place_that_had_the_serial_once_says_nothing_under_it_when_it_is_lost() -> None:
    """Its last unit told another serial: the unit that was lost elsewhere is still reported."""
    first, second = two_gxs()
    first.say(SINGLE)
    first.say({**SINGLE, "Serial": "HQ2211BBBB2"}, 1000.0)
    first.publish({**SINGLE, "Serial": "HQ2211BBBB2"}, 1001.0)
    second.say(SINGLE, 1010.0)
    second.leave(1020.0)
    first.say({"Yield/Power": 1.0}, 1030.0)
    first.leave(1040.0)
    assert not second.report(1200.0).reachable
    assert serial(first, 1200.0) == "HQ2211BBBB2"
