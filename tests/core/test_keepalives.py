"""Tests old GX devices beside new ones: how they are recognized, and how each is woken."""

from mqtt_http_bridge.core.commands import Publish
from mqtt_http_bridge.core.events import NEVER
from mqtt_http_bridge.core.relay.keepalives import Keepalives
from mqtt_http_bridge.core.venus.keepalive import SUPPRESSED_KEEPALIVE
from tests.support.virtual import (
    CHARGER,
    OTHER_PORTAL,
    PORTAL,
    Virtual,
    connected,
    is_full,
    measuring,
    moment,
    settings,
)


def kinds(virtual: Virtual, portal_id: str = PORTAL) -> list[tuple[float, str]]:
    """Returns when which keepalive went."""
    return [(at_s, _kind(publish)) for at_s, publish in virtual.keepalives(portal_id)]


def _kind(publish: Publish) -> str:
    if not publish.payload:
        return "empty"
    return "full" if is_full(publish) else "suppress"


def old_gx(virtual: Virtual, seconds: float, portal_id: str = PORTAL) -> None:
    """Lets time pass beside a GX that understands an empty keepalive alone, and is woken by it."""
    end_s, answered = virtual.now_s + seconds, len(virtual.keepalives(portal_id))
    awake_until_s = 0.0
    while virtual.now_s < end_s:
        virtual.let(1.0)
        asked = virtual.keepalives(portal_id)[answered:]
        answered += len(asked)
        if any(publish.payload == b"" for _, publish in asked):
            awake_until_s = virtual.now_s + 60.0
            virtual.charger({**CHARGER, "Yield/Power": virtual.now_s}, portal_id=portal_id)
        elif virtual.now_s < awake_until_s:
            virtual.charger({"Yield/Power": virtual.now_s}, portal_id=portal_id)


def test_an_old_gx_gets_an_empty_keepalive_once_two_full_ones_brought_nothing() -> None:
    """It has neither a heartbeat nor an end of a full publish; from then on it is measured."""
    virtual = connected(settings(PORTAL))
    old_gx(virtual, 180.0)
    assert kinds(virtual)[:5] == [
        (0.0, "full"),
        (10.0, "full"),
        (40.0, "empty"),
        (70.0, "empty"),
        (100.0, "empty"),
    ]
    assert virtual.measured_s() == [50.0, 80.0, 110.0, 140.0, 170.0]
    told = [line for line in virtual.log() if "3.20" in line]
    assert told == [
        f"{PORTAL}: it answers as Venus OS before 3.20 does: waking it with empty keepalives"
    ]
    (site,) = virtual.relay.view(moment(virtual.now_s)).sites
    assert site.is_old
    assert not site.has_heartbeat


def test_full_keepalives_are_counted_across_connections() -> None:
    """One on each of two connections will do, if there was time for an answer."""
    virtual = connected(settings())
    virtual.tell_portal()
    virtual.at(15.0)
    virtual.disconnect()
    virtual.at(20.0)
    virtual.connect()
    virtual.at(35.0)
    virtual.disconnect()
    virtual.at(40.0)
    virtual.reset()
    virtual.connect()
    assert kinds(virtual) == [(40.0, "empty")]


def test_one_that_is_cut_off_before_it_can_answer_is_not_counted() -> None:
    """A connection that comes and goes says nothing of the GX."""
    virtual = connected(settings(PORTAL))
    for _ in range(10):
        virtual.let(5.0)
        virtual.disconnect()
        virtual.connect()
    assert {kind for _, kind in kinds(virtual)} == {"full"}


def test_an_old_gx_that_others_keep_awake_is_known_as_well() -> None:
    """It speaks, but not as the answer to what it was asked."""
    virtual = connected(settings(PORTAL))
    for _ in range(30):
        virtual.let(1.0)
        virtual.charger({"Yield/Power": virtual.now_s})
    assert {kind for _, kind in kinds(virtual)} == {"full"}
    old_gx(virtual, 120.0)
    assert kinds(virtual)[-1][1] == "empty"
    assert virtual.measured_s()


def test_a_new_gx_that_was_off_at_first_is_none_of_the_old() -> None:
    """A heartbeat shows it: from then on it gets what the new ones get."""
    virtual = connected(settings(PORTAL))
    virtual.at(200.0)
    assert kinds(virtual)[-1][1] == "empty"
    virtual.answer()
    virtual.reset()
    virtual.let_beat(90.0)
    assert {kind for _, kind in kinds(virtual)} == {"suppress"}
    assert len(virtual.measured_s()) >= 3
    (site,) = virtual.relay.view(moment(virtual.now_s)).sites
    assert not site.is_old


def test_the_end_of_a_full_publish_alone_shows_a_new_gx() -> None:
    """Venus OS 3.20 to 3.49 tells the end, and echoes nothing."""
    virtual = connected(settings(PORTAL))
    virtual.charger()
    virtual.complete(None)
    virtual.at(100.0)
    assert {kind for _, kind in kinds(virtual)} == {"suppress", "full"}


def test_an_old_gx_beside_a_new_one() -> None:
    """Each by its own rules: payloads, and for how long it may be silent."""
    virtual = measuring(settings(PORTAL, OTHER_PORTAL), PORTAL)
    for _ in range(180):
        virtual.let_beat(1.0, PORTAL, every_s=1.0)
        asked = [publish for at_s, publish in virtual.keepalives(OTHER_PORTAL)]
        if asked and asked[-1].payload == b"":
            said = {**CHARGER, "Serial": "B", "Yield/Power": virtual.now_s}
            virtual.charger(said, portal_id=OTHER_PORTAL)
    assert {kind for _, kind in kinds(virtual)} == {"full", "suppress"}
    assert kinds(virtual, OTHER_PORTAL)[-1][1] == "empty"
    assert virtual.measured_s(PORTAL) == [30.0 * n for n in range(7)]
    assert len(virtual.measured_s(OTHER_PORTAL)) >= 3


def test_a_new_gx_never_gets_an_empty_keepalive() -> None:
    """For a day, with a connection that is made anew now and then."""
    virtual = connected(settings(PORTAL))
    for _ in range(48):
        virtual.answer()
        virtual.let_beat(1800.0, every_s=9.0)
        virtual.disconnect()
        virtual.let(5.0)
        virtual.connect()
    assert {publish.payload for _, publish in virtual.keepalives() if not is_full(publish)} == {
        SUPPRESSED_KEEPALIVE
    }
    assert {kind for _, kind in kinds(virtual)} == {"full", "suppress"}


def test_who_is_never_heard_is_asked_more_and_more_rarely() -> None:
    """Asks after a minute, doubling to an hour; from the second time on it is waited for."""
    keepalives = Keepalives(PORTAL, 300.0, is_listed=False)
    assert keepalives.requested_s == -NEVER
    keepalives.begin(moment(0.0))
    due_s, waited_for = [keepalives.full_due_s], [keepalives.is_waited_for]
    for _ in range(7):
        keepalives.repeat(moment(0.0))
        due_s.append(keepalives.full_due_s)
        waited_for.append(keepalives.is_waited_for)
    assert due_s == [60.0, 120.0, 240.0, 480.0, 960.0, 1920.0, 3600.0, 3600.0]
    assert waited_for == [False] + [True] * 7


def test_who_was_heard_once_is_kept_awake_for_ever() -> None:
    """Is asked as one that the config names from then on, whatever it says later."""
    keepalives = Keepalives(PORTAL, 300.0, is_listed=False)
    keepalives.begin(moment(0.0))
    keepalives.hear(1.0, is_answer=False)
    assert (keepalives.next_s, keepalives.full_due_s) == (30.0, 300.0)
    keepalives.repeat(moment(300.0))
    assert (keepalives.next_s, keepalives.full_due_s) == (330.0, 600.0)
    assert not keepalives.is_waited_for


def test_who_is_heard_late_is_kept_awake_a_second_later() -> None:
    """Is asked for everything, too: it may have said only what changes."""
    keepalives = Keepalives(PORTAL, 300.0, is_listed=False)
    keepalives.begin(moment(0.0))
    keepalives.hear(1000.0, is_answer=False)
    assert (keepalives.next_s, keepalives.full_due_s) == (1001.0, 1001.0)


def test_an_answer_makes_up_for_those_that_were_missing() -> None:
    """Counts anew after it: two in a row without an answer show an old GX."""
    keepalives = Keepalives(PORTAL, 300.0, is_listed=True)
    for is_answered in (False, True, False):
        keepalives.repeat(moment(0.0))
        if is_answered:
            keepalives.hear(1.0, is_answer=True)
        keepalives.judge_answer(10.0)
        assert not keepalives.is_empty
    keepalives.repeat(moment(20.0))
    keepalives.judge_answer(30.0)
    assert keepalives.is_empty
