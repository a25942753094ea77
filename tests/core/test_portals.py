"""Tests which GX devices are relayed: the listed ones, or all that are announced and heard."""

from itertools import pairwise

import pytest

from mqtt_http_bridge.core.commands import Subscribe, Unsubscribe
from mqtt_http_bridge.core.relay.portals import DAY_S, MOST_PORTALS, MOST_UNHEARD
from mqtt_http_bridge.core.relay.wake_slots import WakeSlots
from mqtt_http_bridge.core.settings import BackendSettings, Secret
from mqtt_http_bridge.core.shard import Shard, owner
from mqtt_http_bridge.core.venus.topics import DISCOVERY_TOPIC
from tests.support.virtual import (
    CHARGER,
    OTHER_PORTAL,
    PORTAL,
    Virtual,
    connected,
    measuring,
    moment,
    settings,
    value,
)

HOUR_S = 3600.0


def strays(count: int) -> list[str]:
    """Portal ids of GX devices that are none."""
    return [f"{number:012x}" for number in range(count)]


def named(virtual: Virtual) -> list[str]:
    """Returns what measurements called their GX, in order."""
    return [measurement.cerbo_serial for measurement in virtual.measurements()]


# --- who is relayed ----------------------------------------------------------------------------


def test_every_gx_that_is_told_of_is_relayed() -> None:
    """The second is woken within the interval, so that not everything comes at a time."""
    virtual = connected(settings())
    virtual.tell_portal(PORTAL)
    virtual.tell_portal(OTHER_PORTAL)
    virtual.answer(PORTAL)
    virtual.let_beat(15.0, PORTAL)
    assert virtual.full_requests_s(OTHER_PORTAL) == [15.0]
    virtual.answer(OTHER_PORTAL)
    virtual.let_beat(60.0, PORTAL, OTHER_PORTAL)
    assert virtual.measured_s(PORTAL) == [0.0, 30.0, 60.0]
    assert virtual.measured_s(OTHER_PORTAL) == [15.0, 45.0, 75.0]


def test_a_gx_that_is_told_of_later_is_woken_at_once() -> None:
    """Without a restart: told live, or retained as a bridge comes up."""
    virtual = connected(settings())
    virtual.tell_portal(PORTAL)
    virtual.answer(PORTAL)
    virtual.let_beat(HOUR_S, PORTAL)
    virtual.tell_portal(OTHER_PORTAL)
    assert virtual.full_requests_s(OTHER_PORTAL) == [HOUR_S]
    virtual.answer(OTHER_PORTAL)
    assert virtual.measured_s(OTHER_PORTAL) == [HOUR_S]


def test_a_replaced_gx_goes_on_under_its_new_id() -> None:
    """The old one is silent from then on, and after a day nothing is left of it."""
    virtual = connected(settings())
    virtual.tell_portal(PORTAL)
    virtual.answer(PORTAL)
    virtual.let_beat(60.0, PORTAL)
    virtual.disconnect()
    virtual.let(60.0)
    virtual.connect()
    virtual.tell_portal(OTHER_PORTAL)
    virtual.answer(OTHER_PORTAL)
    virtual.let_beat(60.0, OTHER_PORTAL)
    assert virtual.measured_s(OTHER_PORTAL) == [120.0, 150.0, 180.0]
    assert virtual.measured_s(PORTAL)[-1] == 60.0
    virtual.let_beat(DAY_S + HOUR_S, OTHER_PORTAL, every_s=9.0)
    view = virtual.relay.view(moment(virtual.now_s))
    assert [site.portal_id for site in view.sites] == [OTHER_PORTAL]
    assert virtual.log()[-1].startswith(f"{PORTAL}: forgotten: this GX was silent for a day")


@pytest.mark.parametrize("listed", [(), (PORTAL, OTHER_PORTAL)], ids=["announced", "listed"])
def test_the_chargers_of_a_gx_that_was_replaced_are_measured(listed: tuple[str, ...]) -> None:
    """A minute after the old one has fallen silent, it keeps no serial from the new one."""
    virtual = connected(settings(*listed))
    virtual.tell_portal(PORTAL)
    virtual.charger()
    virtual.complete(virtual.last_echo())
    virtual.let_beat(60.0, PORTAL)
    virtual.tell_portal(OTHER_PORTAL)
    virtual.let_beat(15.0, OTHER_PORTAL)
    virtual.charger(dict(CHARGER), portal_id=OTHER_PORTAL)
    virtual.complete(virtual.last_echo(OTHER_PORTAL), OTHER_PORTAL)
    virtual.let_beat(135.0, OTHER_PORTAL)
    assert virtual.measured_s(PORTAL)[-1] == 60.0
    old, _ = virtual.relay.view(moment(virtual.now_s)).sites
    (charger,) = old.chargers
    assert charger.omission is not None
    assert "since its GX was silent" in charger.omission.text
    assert 120.0 < virtual.measured_s(OTHER_PORTAL)[0] < 180.0
    (device,) = virtual.measurements(OTHER_PORTAL)[0].devices
    assert device.serial == CHARGER["Serial"]
    virtual.heartbeat(PORTAL)
    virtual.charger()
    virtual.complete(virtual.last_echo())
    virtual.let_beat(30.0, PORTAL, OTHER_PORTAL)
    assert virtual.measured_s(PORTAL)[-1] > 200.0, "of two that are heard, it had the serial first"


def test_a_gx_that_was_forgotten_holds_no_setting() -> None:
    """A key that fitted a charger of each of two GX devices fits one when the other is gone."""
    virtual = connected(settings(device={"serials": {"281": "SET"}}))
    for portal_id in (PORTAL, OTHER_PORTAL):
        virtual.tell_portal(portal_id)
        virtual.let(15.0)
        virtual.answer(portal_id)
    (device,) = virtual.measurements(OTHER_PORTAL)[0].devices
    assert device.serial == f"HQ-{OTHER_PORTAL}-281"
    after_a_day_of(virtual, OTHER_PORTAL)
    virtual.let_beat(30.0, OTHER_PORTAL)
    (device,) = virtual.measurements(OTHER_PORTAL)[0].devices
    assert device.serial == "SET"


def test_the_only_gx_is_never_forgotten() -> None:
    """Off for ten times as long as others may be, it is still the one that is missing."""
    virtual = connected(settings())
    virtual.tell_portal(PORTAL)
    virtual.answer(PORTAL)
    virtual.let(10 * DAY_S)
    assert [s.portal_id for s in virtual.relay.view(moment(virtual.now_s)).sites] == [PORTAL]


def test_listed_gx_devices_are_relayed_alone() -> None:
    """Whatever else is told of: nobody asks it, and nobody speaks of it."""
    virtual = measuring(settings(PORTAL))
    virtual.reset()
    for stray in strays(3):
        virtual.tell_portal(stray)
        virtual.heartbeat(stray)
    assert virtual.done == []


# --- who is told of and is none ------------------------------------------------------------------


def test_a_stray_retained_id_does_no_harm() -> None:
    """Anybody can leave one on the broker: the GX beside it is measured as if it were not there."""
    virtual = connected(settings())
    virtual.tell_portal("evil")
    virtual.tell_portal(PORTAL)
    assert virtual.full_requests_s(PORTAL) == [0.0]
    virtual.answer(PORTAL)
    virtual.let_beat(60.0, PORTAL)
    assert virtual.measured_s() == [0.0, 30.0, 60.0]
    view = virtual.relay.view(moment(virtual.now_s))
    assert [site.portal_id for site in view.sites] == [PORTAL]
    assert view.unheard == ("evil",)


@pytest.mark.parametrize("name", ["a b", "ä", "a" * 65, "a\nb", "a\x1b[31m"])
def test_what_is_no_portal_id_is_ignored_and_told_once(name: str) -> None:
    """Letters, digits, - and _, 64 at most; what it was is shown without doing anything."""
    virtual = connected(settings())
    virtual.reset()
    for _ in range(100):
        virtual.say(f"N/{name}/system/0/Serial", value(name), retain=True)
        virtual.say(f"N/{name}x/system/0/Serial", value(f"{name}x"), retain=True)
    (line,) = virtual.log()
    assert line.startswith("the broker names a GX that cannot be one: portal id ")
    assert line.isprintable()
    assert len(virtual.done) == 1


def test_who_is_never_heard_is_asked_ever_more_seldom() -> None:
    """After 1 min, doubling to 1 h; no other keepalives go there."""
    virtual = connected(settings())
    virtual.tell_portal("evil")
    virtual.let(6 * HOUR_S)
    asked_s = [at_s for at_s, _ in virtual.keepalives("evil")]
    # The third one is empty, and a minute after the second: it might be an old GX.
    assert asked_s[:8] == [0.0, 60.0, 120.0, 360.0, 840.0, 1800.0, 3720.0, 7320.0]
    assert {after_s - before_s for before_s, after_s in pairwise(asked_s[6:])} == {HOUR_S}


def test_who_is_heard_at_last_is_one_of_ours() -> None:
    """It goes by the common rules from then on."""
    virtual = connected(settings())
    virtual.tell_portal()
    virtual.let(200.0)
    virtual.reset()
    virtual.heartbeat()
    assert virtual.log() == [f"found the GX with portal id {PORTAL}"]
    virtual.answer()
    virtual.let_beat(60.0)
    assert len(virtual.measured_s()) == 3


def test_those_never_heard_are_told_once_a_day_in_all() -> None:
    """One line for however many there are."""
    virtual = connected(settings())
    for stray in strays(60):
        virtual.tell_portal(stray)
    virtual.reset()
    virtual.let(3 * DAY_S + HOUR_S)
    lines = [line for line in virtual.log() if "never heard" in line]
    assert len(lines) == 4
    assert lines[-1].startswith(
        "the broker names GX devices that were never heard (60: 000000000000, "
    )
    assert len(virtual.log()) == 4 + 1  # And that the connection is made anew now and then.


def test_a_new_one_is_told_of_with_the_others_a_day_later() -> None:
    """However many are told of in the meantime."""
    virtual = connected(settings())
    for hour in range(48):
        virtual.tell_portal(f"stray-{hour}")
        virtual.let(HOUR_S)
    lines = [line for line in virtual.log() if "never heard" in line]
    assert len(lines) == 2
    assert "(1: stray-0)" in lines[0]


def test_being_told_of_live_is_not_being_heard() -> None:
    """Anybody can tell the broker of a GX, again and again."""
    virtual = connected(settings())
    for _ in range(100):
        virtual.tell_portal("evil", retain=False)
        virtual.let(10.0)
    view = virtual.relay.view(moment(virtual.now_s))
    assert (view.sites, view.unheard) == ((), ("evil",))


def test_never_more_than_64_are_kept_that_were_not_heard() -> None:
    """A GX that was heard is none of them, and is never pushed out."""
    virtual = connected(settings())
    virtual.tell_portal()
    virtual.answer()
    for stray in strays(1000):
        virtual.tell_portal(stray)
        virtual.let_beat(3.0)
    assert len(virtual.relay.view(moment(virtual.now_s)).unheard) == MOST_UNHEARD
    assert virtual.measured_s()[:10] == [30.0 * n for n in range(10)]
    assert virtual.measured_s()[-1] == 3000.0


def test_a_gx_that_is_told_of_after_too_many_others_is_found_all_the_same() -> None:
    """The broker is asked again who there is; who was asked and did not answer makes room."""
    virtual = connected(settings())
    told = [*strays(100), PORTAL]
    for portal_id in told:
        virtual.tell_portal(portal_id)
    assert virtual.keepalives(PORTAL) == []
    while not virtual.keepalives(PORTAL):
        assert virtual.now_s < 300.0
        before = len(virtual.done)
        virtual.let(60.0)
        if Subscribe((DISCOVERY_TOPIC,)) in [done.command for done in virtual.done[before:]]:
            for portal_id in told:
                virtual.tell_portal(portal_id)
    given_up = [done.command for done in virtual.done if isinstance(done.command, Unsubscribe)]
    assert given_up
    assert len(virtual.relay.view(moment(0.0)).unheard) == MOST_UNHEARD
    virtual.reset()
    virtual.heartbeat()
    assert virtual.log() == [f"found the GX with portal id {PORTAL}"]


def test_a_large_broker_has_all_of_its_gx_devices_relayed() -> None:
    """1,000 told of at a time: those for whom there is no room are told of again soon."""
    virtual, told = connected(settings()), strays(1000)
    for portal_id in told:
        virtual.tell_portal(portal_id)
    looks = 0
    for second in range(1, 240):
        virtual.reset()
        virtual.at(float(second))
        for portal_id in {k for k in told if virtual.keepalives(k)}:
            virtual.heartbeat(portal_id)
        if Subscribe((DISCOVERY_TOPIC,)) in [done.command for done in virtual.done]:
            looks += 1
            for portal_id in told:
                virtual.tell_portal(portal_id)
    assert len(virtual.relay.view(moment(virtual.now_s)).sites) == 1000
    assert looks == 8


def test_there_is_an_end_to_what_can_be_heard() -> None:
    """Ten thousand made-up GX devices that speak fill no memory, and are told of once."""
    virtual = connected(settings())
    for stray in strays(MOST_PORTALS + 50):
        virtual.tell_portal(stray, retain=False)
        virtual.heartbeat(stray)
    assert len(virtual.relay.view(moment(0.0)).sites) == MOST_PORTALS
    assert sum("more than 10000 GX devices" in line for line in virtual.log()) == 1


def test_who_was_given_up_is_waited_for_no_more() -> None:
    """Also with read marks: nothing of it is left that could come up."""
    virtual = Virtual(settings())
    virtual.tells_reads = True
    virtual.connect()
    for stray in strays(MOST_UNHEARD):
        virtual.tell_portal(stray)
    for _ in range(100):
        virtual.let(1.0)
        virtual.read_all()
    virtual.tell_portal()
    virtual.read_all()
    for _ in range(40):
        virtual.let(1.0)
        virtual.read_all()
    assert len(virtual.full_requests_s(PORTAL)) == 1
    assert sum(isinstance(done.command, Unsubscribe) for done in virtual.done) == 1


# --- one after another ---------------------------------------------------------------------------


def test_a_connection_wakes_those_heard_before_first_and_spreads_all_over_one_interval() -> None:
    """Five GX devices, one of them never heard: each its fifth of the interval."""
    virtual = connected(settings())
    ids = strays(5)
    for portal_id in ids:
        virtual.tell_portal(portal_id)
    for portal_id in ids[1:]:
        virtual.heartbeat(portal_id)
    virtual.let(1.0)
    virtual.disconnect()
    virtual.at(100.0)
    virtual.reset()
    virtual.connect()
    virtual.let(29.0)
    woken_s = [virtual.full_requests_s(portal_id)[0] for portal_id in [*ids[1:], ids[0]]]
    assert woken_s == [100.0, 106.0, 112.0, 118.0, 124.0]


def test_slots_lie_in_the_largest_gap_that_is_left() -> None:
    """However many come, they are spread; after an interval the next one is first again."""
    slots = WakeSlots(8.0)
    assert [slots.next_s(100.0) for _ in range(8)] == [
        100.0 + slot for slot in (0.0, 4.0, 2.0, 6.0, 1.0, 5.0, 3.0, 7.0)
    ]
    assert slots.next_s(108.0) == 108.0
    assert slots.next_s(115.0) == 115.0  # Its slot is over already.


# --- accounts ----------------------------------------------------------------------------------


def test_gx_devices_with_different_keys_may_have_the_same_serial() -> None:
    """By the config: a file of its own is another account, the file of all others is not."""
    for file, measured in (("b.txt", [PORTAL, OTHER_PORTAL]), ("a.txt", [PORTAL])):
        backend = BackendSettings(
            "http://a", Secret("a"), api_key_file="a.txt", api_key_files={OTHER_PORTAL: file}
        )
        virtual = connected(settings(PORTAL, OTHER_PORTAL)._replace(backend=backend))
        virtual.let_beat(20.0, PORTAL, OTHER_PORTAL)
        for portal_id in (PORTAL, OTHER_PORTAL):
            virtual.charger(dict(CHARGER), portal_id=portal_id)
            virtual.complete(virtual.last_echo(portal_id), portal_id)
        virtual.let_beat(30.0, PORTAL, OTHER_PORTAL)
        assert sorted({*named(virtual)}) == sorted(measured)


# --- names -----------------------------------------------------------------------------------


def test_the_first_gx_that_is_heard_keeps_the_one_name() -> None:
    """Once a second is heard, that is told, with what to write."""
    virtual = connected(settings(device={"cerbo_serial": "Workshop"}))
    virtual.tell_portal(OTHER_PORTAL)
    virtual.tell_portal(PORTAL)
    virtual.let(15.0)
    virtual.answer(PORTAL)
    virtual.answer(OTHER_PORTAL)
    virtual.let_beat(30.0, PORTAL, OTHER_PORTAL)
    assert sorted(named(virtual)) == ["Workshop", "Workshop", OTHER_PORTAL, OTHER_PORTAL]
    (line,) = [line for line in virtual.log() if "device.cerbo_serial" in line]
    assert line == (
        f"device.cerbo_serial: 'Workshop' stays the name of the GX {PORTAL}: {OTHER_PORTAL} is"
        " called by its portal id. To name both, set device.cerbo_serial:"
        f" {{{PORTAL}: Workshop, {OTHER_PORTAL}: ...}}"
    )


def after_a_day_of(virtual: Virtual, *portal_ids: str) -> None:
    """Lets these GX devices speak for so long that all others are forgotten."""
    virtual.let_beat(DAY_S + 2 * HOUR_S, *portal_ids, every_s=9.0)
    virtual.reset()


def test_a_gx_that_replaced_another_takes_over_the_one_name() -> None:
    """As soon as it is known to have: no restart is needed, and none takes the name away."""
    virtual = connected(settings(device={"cerbo_serial": "Workshop"}))
    for portal_id in (PORTAL, OTHER_PORTAL):
        virtual.tell_portal(portal_id)
        virtual.let(15.0)
        virtual.answer(portal_id)
    assert virtual.measurements(OTHER_PORTAL)
    after_a_day_of(virtual, OTHER_PORTAL)
    virtual.let_beat(60.0, OTHER_PORTAL)
    assert {*named(virtual)} == {"Workshop"}
    virtual.tell_portal(PORTAL, retain=False)
    virtual.heartbeat(PORTAL)
    assert f"'Workshop' stays the name of the GX {OTHER_PORTAL}: {PORTAL} is" in virtual.log()[-1]


def test_a_name_that_is_handed_on_is_told() -> None:
    """With both portal ids, once; whoever reads the measurements finds another GX under it."""
    virtual = connected(settings(device={"cerbo_serial": "Workshop"}))
    for portal_id in (PORTAL, OTHER_PORTAL):
        virtual.tell_portal(portal_id)
        virtual.let(15.0)
        virtual.answer(portal_id)
    virtual.let_beat(DAY_S + 2 * HOUR_S, OTHER_PORTAL, every_s=9.0)
    text = f"device.cerbo_serial: 'Workshop' is now the name of the GX {OTHER_PORTAL}"
    assert virtual.log().count(f"{text}, which replaced {PORTAL}") == 1


def test_the_one_name_waits_for_its_gx_while_several_others_are_there() -> None:
    """Nobody can tell which of them replaced it: it may be none, and come back."""
    third = "c0619ab0cccc"
    virtual = connected(settings(device={"cerbo_serial": "Workshop"}))
    for portal_id in (PORTAL, OTHER_PORTAL, third):
        virtual.tell_portal(portal_id)
        virtual.let(15.0)
        virtual.answer(portal_id)
    after_a_day_of(virtual, OTHER_PORTAL, third)
    virtual.let_beat(60.0, OTHER_PORTAL, third)
    assert {*named(virtual)} == {OTHER_PORTAL, third}
    virtual.tell_portal(PORTAL, retain=False)
    virtual.let_beat(15.0, OTHER_PORTAL, third)
    virtual.answer(PORTAL)
    virtual.let_beat(30.0, PORTAL, OTHER_PORTAL, third)
    assert "Workshop" in named(virtual)


def test_each_gx_may_have_its_name() -> None:
    """A mapping by portal id; who is not in it is called by its portal id."""
    virtual = connected(settings(device={"cerbo_serial": {OTHER_PORTAL: "Barn"}}))
    virtual.tell_portal(PORTAL)
    virtual.answer(PORTAL)
    virtual.tell_portal(OTHER_PORTAL)
    virtual.let(15.0)
    virtual.answer(OTHER_PORTAL)
    assert named(virtual) == [PORTAL, "Barn"]
    assert all("cerbo_serial" not in line for line in virtual.log())


def test_a_relay_takes_those_of_its_shard() -> None:
    """Also of a broker that tells it of all, as a recording does."""
    told = strays(20)
    for ordinal in range(2):
        virtual = connected(settings(shard=Shard(ordinal, 2)))
        for portal_id in told:
            virtual.tell_portal(portal_id)
        subscribed = {
            done.command.topics[0].split("/")[1]
            for done in virtual.done
            if isinstance(done.command, Subscribe)
        }
        assert subscribed == {each for each in told if owner(each, 2) == ordinal}
