"""Tests a broker that sends too much, or refuses: it is counted, and logged once."""

import pytest

from mqtt_http_bridge.core.broker_failure import BrokerFailure, Cause
from mqtt_http_bridge.core.commands import Reconnect
from mqtt_http_bridge.core.events import (
    Connected,
    Disconnected,
    Dropped,
    SubscriptionRefused,
)
from mqtt_http_bridge.core.log import Log
from mqtt_http_bridge.core.omission import Cause as OmissionCause
from mqtt_http_bridge.core.relay import serials
from mqtt_http_bridge.core.relay.chargers import MOST_CHARGERS, Chargers
from mqtt_http_bridge.core.venus.payloads import GONE, Value
from mqtt_http_bridge.core.venus.readings import ChargerKey
from tests.support.charger_values import single_tracker
from tests.support.log_lines import as_logged
from tests.support.virtual import PORTAL, Virtual, moment, settings, value

SERIAL_TWICE = OmissionCause.SERIAL_TWICE
DAY_S = 86_400.0


def connected() -> Virtual:
    """A relay that knows its portal id, and is connected."""
    virtual = Virtual(settings(PORTAL))
    virtual.connect()
    return virtual


def test_a_gx_has_so_many_chargers_and_no_more() -> None:
    """The first stay, the others are ignored and counted, and it is told once."""
    virtual = connected()
    virtual.heartbeat()
    for instance in range(MOST_CHARGERS + 100):
        topic = f"N/{PORTAL}/solarcharger/{instance}/Serial"
        virtual.say(topic, value(f"S{instance}"), retain=True)
        virtual.say(topic, value(f"S{instance}"))
        virtual.say(f"N/{PORTAL}/solarcharger/{instance}/CustomName", value("a"), retain=True)
    view = virtual.relay.view(moment(1.0))
    (site,) = view.sites
    assert [charger.key.instance for charger in site.chargers] == list(range(MOST_CHARGERS))
    assert view.malformed_messages == 300
    told = [line for line in virtual.log() if "chargers" in line]
    (line,) = told
    assert line.startswith(f"{PORTAL}: names more than 64 chargers, or all GX devices 10000: the")


@pytest.mark.parametrize("retain", [False, True])
def test_a_charger_has_so_much_to_say_and_no_more(retain: bool) -> None:
    """A text or a number with which it would be too much is counted, and not kept."""
    virtual = connected()
    virtual.heartbeat()
    for n in range(16):
        virtual.say(
            f"N/{PORTAL}/solarcharger/0/Pv/{n}/Name", value("\U0001f31e" * 120), retain=retain
        )
    assert virtual.relay.view(moment(1.0)).malformed_messages == 0
    virtual.say(f"N/{PORTAL}/solarcharger/0/ProductName", value("x" * 81), retain=retain)
    assert virtual.relay.view(moment(1.0)).malformed_messages == 1
    virtual.say(f"N/{PORTAL}/solarcharger/0/NrOfTrackers", value(10**800), retain=retain)
    assert virtual.relay.view(moment(1.0)).malformed_messages == 2
    virtual.say(f"N/{PORTAL}/solarcharger/0/Pv/0/Name", value("y" * 120), retain=retain)
    virtual.say(f"N/{PORTAL}/solarcharger/0/ProductName", value("x" * 80), retain=retain)
    virtual.say(f"N/{PORTAL}/solarcharger/0/Serial", value("x"), retain=retain)
    view = virtual.relay.view(moment(1.0))
    assert view.malformed_messages == 3
    assert all(charger.serial is None for site in view.sites for charger in site.chargers)
    (told,) = [line for line in virtual.log() if "chargers" in line]
    assert "and so are texts over 2000 characters for one charger" in told


def test_all_gx_devices_together_have_so_many_chargers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of one that is given up make room; a retained name takes the place of its charger."""
    monkeypatch.setattr(serials, "MOST_CHARGERS_IN_ALL", 5)
    virtual = Virtual(settings("a", "b"))
    virtual.connect()
    for portal_id in ("a", "b"):
        virtual.say(f"N/{portal_id}/heartbeat", value(1))
        for instance in range(4):
            topic = f"N/{portal_id}/solarcharger/{instance}/Serial"
            virtual.say(topic, value(f"{portal_id}{instance}"), retain=True)
            virtual.say(topic, value(f"{portal_id}{instance}"))
    view = virtual.relay.view(moment(1.0))
    assert [len(site.chargers) for site in view.sites] == [4, 1]
    assert view.malformed_messages == 6
    (told,) = [line for line in virtual.log() if "chargers" in line]
    assert told.startswith("b: names more than 64 chargers, or all GX devices 10000: the others")


def test_a_gx_that_is_given_up_makes_room() -> None:
    """For as many chargers as it had."""
    of_all = serials.Serials(settings().device)
    chargers = Chargers(PORTAL, settings().device, of_all)
    for instance in range(70):
        chargers.hear(ChargerKey("solarcharger", instance), "Yield/Power", Value(1.5), 0.0)
    assert of_all.places_left == serials.MOST_CHARGERS_IN_ALL - 64
    chargers.end(0.0)
    assert of_all.places_left == serials.MOST_CHARGERS_IN_ALL


def test_a_charger_that_is_forgotten_makes_room() -> None:
    """Otherwise made-up ones, or instances that change, would use up all room for ever."""
    of_all = serials.Serials(settings().device)
    chargers = Chargers(PORTAL, settings().device, of_all)
    for day in range(100):
        key = ChargerKey("solarcharger", day)
        chargers.hear(key, "Yield/Power", Value(1.5), day * DAY_S)
        chargers.hear(key, "Yield/Power", GONE, day * DAY_S)
        chargers.reports(moment((day + 1) * DAY_S))
    assert of_all.places_left == serials.MOST_CHARGERS_IN_ALL
    assert chargers.refused == 0


def test_a_name_that_is_not_retained_any_more_makes_room() -> None:
    """With each new connection the broker says anew what it retains."""
    of_all = serials.Serials(settings().device)
    chargers = Chargers(PORTAL, settings().device, of_all)
    for instance in (1, 2, 3):
        chargers.hear_retained(ChargerKey("solarcharger", instance), "Serial", Value("HQ"), 0.0)
    chargers.hear(ChargerKey("solarcharger", 1), "Yield/Power", Value(1.5), 0.0)
    chargers.unconfirm(1.0)
    assert of_all.places_left == serials.MOST_CHARGERS_IN_ALL - 1


def test_many_that_claim_one_serial_cost_no_more_than_some() -> None:
    """One is reported, and the others are left out, for the same reason."""
    virtual = Virtual(settings())
    virtual.connect()
    for n in range(5):
        virtual.say(f"N/evil{n}/system/0/Serial", value(f"evil{n}"), retain=True)
        virtual.say(f"N/evil{n}/heartbeat", value(1))
        for instance in range(64):
            for path, said in single_tracker(serial="HQ1").items():
                virtual.say(f"N/evil{n}/solarcharger/{instance}/{path}", value(said))
    chargers = [each for site in virtual.relay.view(moment(1.0)).sites for each in site.chargers]
    assert len(chargers) == 320
    assert [each.report is not None for each in chargers].count(True) == 1
    assert {each.omission.cause for each in chargers if each.omission} == {SERIAL_TWICE}
    claims = virtual.relay._portals._serials._claims
    assert [len(of_one) for of_one in claims.values()] == [serials.MOST_CLAIMS]


def test_what_was_thrown_away_is_counted_and_told_once() -> None:
    """Packets do not matter; lost messages may, so all values are requested again."""
    virtual = connected()
    virtual.reset()
    for _ in range(3):
        assert Reconnect() not in virtual.relay.handle(Dropped(moment(1.0), packets=5))
    for _ in range(2):
        assert Reconnect() in virtual.relay.handle(Dropped(moment(2.0), messages=1))
    virtual.relay.handle(Disconnected(moment(3.0), BrokerFailure(Cause.GIVEN_UP)))
    assert virtual.relay.handle(Dropped(moment(3.0), messages=100)) == []
    assert virtual.relay.view(moment(3.0)).malformed_messages == 117


def test_each_kind_is_told_once() -> None:
    """However often it comes."""
    virtual = connected()
    lines = [
        command.text
        for dropped in 4 * [Dropped(moment(1.0), packets=1), Dropped(moment(1.0), messages=1)]
        for command in virtual.relay.handle(dropped)
        if isinstance(command, Log)
    ]
    assert [line[:30] for line in lines] == [
        "the broker sends what no GX se",
        "messages come faster than they",
    ]


def test_a_refused_subscription_is_told() -> None:
    """Once, with the way to fix it; the view has it as long as the connection lasts."""
    virtual = connected()
    refused = SubscriptionRefused(moment(1.0), ("N/+/system/0/Serial", "N/a/#"))
    assert as_logged(virtual.relay.handle(refused)) == [
        Log.warning(
            "the broker refuses the subscription to N/+/system/0/Serial and 1 more: have it allow"
            " this login to read the topics of the GX, N/<portal id>/#"
        )
    ]
    assert virtual.relay.handle(refused) == []
    # The same refusal with other words is no news, a refusal of another topic is.
    same = SubscriptionRefused(moment(1.0), refused.topics[:1])
    assert virtual.relay.handle(same) == []
    assert virtual.relay.view(moment(1.0)).refused_topics == refused.topics
    assert len(virtual.relay.handle(SubscriptionRefused(moment(1.0), ("N/b/#",)))) == 1
    for number in range(1000):
        virtual.relay.handle(SubscriptionRefused(moment(1.0), (f"N/{number}/#",)))
    assert len(virtual.relay.view(moment(1.0)).refused_topics) == 64
    virtual.relay.handle(Disconnected(moment(2.0), BrokerFailure(Cause.LOST)))
    virtual.relay.handle(Connected(moment(3.0)))
    assert virtual.relay.view(moment(3.0)).refused_topics == ()
