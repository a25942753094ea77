"""The connection to the broker: when it counts as dead, and what is told of it."""

import pytest

from mqtt_http_bridge.core.commands import Command, Log, Reconnect
from mqtt_http_bridge.core.link import DEAF_S, DISCOVERY_S, NEVER, STEADY_S, Link
from tests.virtual import moment

REASON = "gx.local:1883: Connection refused"
CONNECTED = Log.info("connected to the broker")
TROUBLE = Log.warning(f"no connection to the broker: {REASON}: will keep trying")
DEAF = Log.warning("connected, but nothing heard for 30 s: connecting anew")
HEARD_AGAIN = Log.info("the broker and the GX are heard again")
MONTH_S = 30 * 86_400.0


@pytest.fixture
def link() -> Link:
    """A link whose broker accepted it at second 0, the portal id being known."""
    link = Link()
    assert link.connect(0.0, is_portal_known=True) == [CONNECTED]
    return link


def test_nothing_is_due_before_the_first_connection() -> None:
    """Without a connection there is nothing to watch: connecting is the broker adapter's work."""
    assert Link().next_deadline_s() == NEVER


def test_only_the_first_connection_is_told(link: Link) -> None:
    """A later connection is no news of its own: hearing the GX again is."""
    link.disconnect(1.0, REASON)
    assert link.connect(2.0, is_portal_known=True) == []


@pytest.mark.parametrize("heard_s", [None, 0.5, 29.0], ids=["never", "at once", "late"])
def test_a_deaf_connection_is_dropped_30_s_after_the_last_word(heard_s: float | None) -> None:
    """A connection is dead 30 s after it was made, or after the last word on it, and no sooner."""
    link = Link()
    link.connect(0.0, is_portal_known=True)
    if heard_s is not None:
        link.hear(heard_s)
    dead_s = (heard_s or 0.0) + DEAF_S
    if link.next_deadline_s() < dead_s:
        assert link.act(moment(link.next_deadline_s())) == []
    assert link.next_deadline_s() == dead_s
    assert link.act(moment(dead_s)) == [DEAF, Reconnect()]
    assert link.deaf_reconnects == 1


def test_a_connection_is_dropped_for_deafness_once(link: Link) -> None:
    """After the drop the link waits for the broker: it neither drops again nor has a deadline."""
    link.act(moment(DEAF_S))
    assert link.next_deadline_s() == NEVER


def test_what_was_heard_on_the_last_connection_does_not_shorten_the_patience(link: Link) -> None:
    """Each connection has its own 30 s, however long ago the GX was last heard."""
    link.hear(1.0)
    link.disconnect(500.0, REASON)
    link.connect(600.0, is_portal_known=True)
    assert link.next_deadline_s() == 600.0 + DEAF_S


def test_a_closed_connection_is_not_watched(link: Link) -> None:
    """Nothing is due while there is no connection."""
    link.disconnect(1.0, REASON)
    assert link.next_deadline_s() == NEVER


def test_each_kind_of_trouble_is_told_once(link: Link) -> None:
    """The same reason is told once, another one is told too."""
    assert link.disconnect(1.0, REASON) == [TROUBLE]
    assert link.disconnect(2.0, REASON) == []
    (other,) = link.disconnect(3.0, "login refused")
    assert other == Log.warning("no connection to the broker: login refused: will keep trying")
    assert link.disconnect(4.0, REASON) == []


def test_the_end_of_trouble_is_told_once_and_only_when_the_gx_speaks(link: Link) -> None:
    """A connection alone ends no trouble; the first word of a GX does, and only the first."""
    link.disconnect(1.0, REASON)
    assert link.connect(2.0, is_portal_known=True) == []
    assert link.hear(3.0) == [HEARD_AGAIN]
    assert link.hear(4.0) == []


def test_the_first_word_ever_is_no_recovery(link: Link) -> None:
    """Without trouble there is nothing to recover from."""
    assert link.hear(1.0) == []


@pytest.mark.parametrize(
    ("held_s", "told"),
    [(STEADY_S - 1.0, []), (STEADY_S, [TROUBLE])],
    ids=["too short to end the trouble", "long enough"],
)
def test_trouble_is_told_anew_after_a_steady_connection(held_s: float, told: list[Log]) -> None:
    """Only a connection that held for ten minutes ends the trouble before it."""
    link = Link()
    link.disconnect(0.0, REASON)
    link.connect(1.0, is_portal_known=True)
    assert link.disconnect(1.0 + held_s, REASON) == told


def test_a_broker_without_a_gx_is_told_of_after_10_s_and_kept() -> None:
    """A GX that starts up tells its portal id late: that is said once, and nothing is dropped."""
    link = Link()
    link.connect(0.0, is_portal_known=False)
    assert link.next_deadline_s() == DISCOVERY_S
    (line,) = link.act(moment(DISCOVERY_S))
    assert line == Log.warning(
        "the broker has not told a portal id yet: waiting for the GX to start up."
        " If it is up, is this broker a GX? If so, set mqtt.portal_id"
    )
    assert link.next_deadline_s() == NEVER


def test_a_portal_found_late_is_watched_from_then_on() -> None:
    """The GX has 30 s to speak from the moment its portal id is known."""
    link = Link()
    link.connect(0.0, is_portal_known=False)
    link.act(moment(DISCOVERY_S))
    link.find_portal(100.0)
    assert link.next_deadline_s() == 100.0 + DEAF_S


@pytest.mark.parametrize("cycle_s", [2.0, 45.0, 599.0], ids="every {} s".format)
def test_a_broker_that_flaps_for_a_month_is_told_of_twice(cycle_s: float) -> None:
    """Connections that come and go for a month are one trouble: one line, and one at its end."""
    link = Link()
    lines: list[Command] = []
    for cycle in range(int(MONTH_S / cycle_s)):
        lines += link.connect(cycle * cycle_s, is_portal_known=True)
        lines += link.hear(cycle * cycle_s + 0.5)
        lines += link.disconnect(cycle * cycle_s + 1.0, REASON)
    assert lines == [CONNECTED, TROUBLE, HEARD_AGAIN]


def test_a_silent_broker_is_told_of_once_in_a_month() -> None:
    """A month of connections on which nothing comes is one line, and a drop every half minute."""
    link = Link()
    lines: list[Command] = []
    now_s = 0.0
    while now_s < MONTH_S:
        link.connect(now_s, is_portal_known=True)
        now_s += DEAF_S
        lines += [command for command in link.act(moment(now_s)) if isinstance(command, Log)]
        lines += link.disconnect(now_s, "ended by us, as nothing came")
    assert len(lines) == 2
    assert link.deaf_reconnects == MONTH_S / DEAF_S
