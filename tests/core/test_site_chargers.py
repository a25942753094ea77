"""Tests how a site handles chargers that are lost, return, fall silent or share a place."""

import pytest

from mqtt_http_bridge.core.views import ChargerView
from tests.support.virtual import (
    CHARGER,
    PORTAL,
    Virtual,
    connected,
    measuring,
    moment,
    settings,
    value,
)


def test_a_charger_that_is_back_is_asked_for_everything() -> None:
    """Off the bus, or out of reach: what it does not say by itself is not known of it any more."""
    for goodbye, hello in (({}, CHARGER), ({"Connected": 0}, {"Connected": 1})):
        virtual = measuring(settings(PORTAL))
        virtual.let_beat(99.0)
        virtual.reset()
        if goodbye:
            virtual.charger(goodbye)
        else:
            virtual.charger_leaves()
        virtual.let_beat(6.0)
        assert virtual.full_requests_s() == []
        virtual.charger(hello)
        assert virtual.full_requests_s() == [105.0]


def test_what_is_of_no_interest_shows_that_a_charger_speaks() -> None:
    """`last_update` counts it; what a broker has kept and a goodbye of a path do not count."""
    virtual = measuring(settings(PORTAL))
    topic = f"N/{PORTAL}/solarcharger/281/Dc/0/Current"
    for at_s, payload, retain in ((10.0, value(1.5), False), (20.0, value(2.5), True)):
        virtual.at(at_s)
        virtual.heartbeat()
        virtual.say(topic, payload, retain=retain)
    virtual.at(25.0)
    virtual.say(topic, b"")
    virtual.heartbeat()
    virtual.at(30.0)
    (device,) = virtual.measurements()[-1].devices
    assert device.last_update_s == int(moment(10.0).utc.timestamp())


def test_two_units_on_one_instance_are_asked_for_once() -> None:
    """The GX is not made to say everything once a minute for what will not change."""
    virtual = connected(settings(PORTAL))
    for serial in ("A", "B"):
        virtual.charger({**CHARGER, "Serial": serial})
    virtual.complete(virtual.last_echo())
    virtual.let_beat(600.0)
    for serial in ("A", "B"):
        virtual.charger({**CHARGER, "Serial": serial})
    virtual.let_beat(120.0)
    assert len(virtual.full_requests_s()) <= 4
    assert virtual.measurements() == []


def test_how_often_a_charger_was_left_out_is_counted() -> None:
    """By measurement, not by look."""
    virtual = measuring(settings(PORTAL))
    virtual.charger({"Yield/Power": None})
    virtual.let_beat(60.0)
    for _ in range(3):
        view = virtual.relay.view(moment(virtual.now_s))
    (charger,) = view.sites[0].chargers
    assert charger.left_out == 2


def test_a_charger_that_stands_still_is_told_in_spite_of_other_clients() -> None:
    """Their full publishes say everything again, and what is of no interest here among it."""
    virtual = measuring(settings(PORTAL))
    for _ in range(65):
        virtual.let_beat(10.0, every_s=5.0)
        virtual.charger({**CHARGER, "Mode": 1})
        virtual.complete("of another")
    assert [line for line in virtual.log() if "has been stuck since" in line]


def test_what_changes_ends_a_standstill() -> None:
    """Also a value that is of no interest, as long as no full publish brings it."""
    virtual = measuring(settings(PORTAL))
    for turn in range(130):
        virtual.let_beat(5.0, every_s=5.0)
        virtual.charger({"Dc/0/Current": turn})
    assert [line for line in virtual.log() if "has been stuck since" in line] == []


def test_of_two_units_the_one_that_is_left_is_asked_for_everything_without_an_echo_too() -> None:
    """Older firmware tells no end of a full publish: it is over 10 s after it was asked for."""
    virtual = connected(settings(PORTAL))
    for serial in ("A", "B"):
        virtual.charger({**CHARGER, "Serial": serial})
    while len(virtual.full_requests_s()) < 4:
        virtual.let_beat(1.0, every_s=1.0)
        if virtual.full_requests_s()[-1] == virtual.now_s:
            virtual.charger({**CHARGER, "Serial": "B"})
    virtual.charger({**CHARGER, "Serial": "B"})
    virtual.let_beat(60.0)
    (device,) = virtual.measurements()[-1].devices
    assert device.serial == "B"
    # The connection's, the swap's, the refresh, and what is asked of the one that is left.
    assert virtual.full_requests_s() == [0.0, 0.0, 300.0, 360.0]


def test_a_setting_that_fits_no_charger_is_told() -> None:
    """Once, with the first measurement after everything was said."""
    virtual = measuring(settings(PORTAL, device={"serials": {"multi/0": "X"}}))
    virtual.let_beat(60.0)
    told = [line for line in virtual.log() if "fits no charger" in line]
    assert told == ["device.serials: multi/0 fits no charger seen so far"]


def seen(virtual: Virtual) -> ChargerView:
    """The charger as people see it now."""
    (charger,) = virtual.relay.view(moment(virtual.now_s)).sites[0].chargers
    return charger


@pytest.mark.parametrize("drop_frozen_after_s", [None, 600.0], ids=["told", "left out"])
def test_no_charger_is_stuck_while_nobody_hears_its_gx(drop_frozen_after_s: float | None) -> None:
    """Its values may change all the time: what was known last is what can be said."""
    virtual = measuring(settings(PORTAL, device={"drop_frozen_after_s": drop_frozen_after_s}))
    virtual.let_beat(300.0)
    virtual.disconnect()
    virtual.let(3000.0)
    assert (seen(virtual).remarks, seen(virtual).omission) == ((), None)


@pytest.mark.parametrize("drop_frozen_after_s", [None, 600.0], ids=["told", "left out"])
def test_a_charger_that_was_stuck_before_stays_so(drop_frozen_after_s: float | None) -> None:
    """That its GX is not heard any more takes nothing back."""
    virtual = measuring(settings(PORTAL, device={"drop_frozen_after_s": drop_frozen_after_s}))
    virtual.let_beat(700.0)
    virtual.disconnect()
    virtual.let(3000.0)
    found = seen(virtual)
    assert bool(found.remarks) == (drop_frozen_after_s is None)
    assert (found.omission is not None) == (drop_frozen_after_s is not None)


def test_a_charger_keeps_its_name_until_it_is_heard_again() -> None:
    """The broker is back, and the GX is silent: it has been told who it is all the same."""
    virtual = measuring(settings(PORTAL))
    virtual.let_beat(60.0)
    name = seen(virtual).name
    virtual.disconnect()
    virtual.connect()
    virtual.let(60.0)
    assert name == CHARGER["CustomName"]
    assert (seen(virtual).name, seen(virtual).serial) == (name, CHARGER["Serial"])
    # Another unit in its place is another charger.
    virtual.charger({**CHARGER, "Serial": "OTHER", "CustomName": "Barn"})
    assert (seen(virtual).name, seen(virtual).serial) == ("Barn", "OTHER")


def test_a_retained_serial_of_another_unit_has_not_its_name() -> None:
    """Nobody knows what that one is called."""
    virtual = measuring(settings(PORTAL))
    virtual.let_beat(60.0)
    virtual.disconnect()
    virtual.connect()
    virtual.say(f"N/{PORTAL}/solarcharger/281/Serial", value("OTHER"), retain=True)
    assert seen(virtual).serial == "OTHER"
    assert seen(virtual).name != CHARGER["CustomName"]
