"""Tests when the connection to the broker counts as dead, and what is logged about it."""

import pytest

from mqtt_http_bridge.core.broker_failure import BrokerFailure, Cause
from mqtt_http_bridge.core.commands import Command, Reconnect
from mqtt_http_bridge.core.events import NEVER
from mqtt_http_bridge.core.log import Log
from mqtt_http_bridge.core.log_limit import LogLimit
from mqtt_http_bridge.core.relay.connection import (
    DEAF_S,
    DISCOVERY_S,
    FIRST_FRESH_START_S,
    HELD_S,
    LONGEST_FRESH_START_S,
    READ_WITHIN_S,
    BrokerConnection,
)
from tests.support.log_lines import as_logged
from tests.support.virtual import moment

REASON = BrokerFailure(Cause.PORT_CLOSED, "gx.local", 1883, "Connection refused")
CONNECTED = Log.info("connected to the broker")
TROUBLE = Log.warning(f"no connection to the broker: {REASON}: will keep trying: {REASON.remedy}")
DEAF = Log.warning("connected, but nothing heard for 30 s: reconnecting: check that the GX is on")
UNHEARD = Log.warning(
    "connected, but no GX is heard: reconnecting from time to time: check that the GX is on,"
    " and that mqtt.portal_id is its own"
)
GIVEN_UP = BrokerFailure(Cause.GIVEN_UP)
ENDED = Log.warning(f"no connection to the broker: {GIVEN_UP}: will keep trying: {GIVEN_UP.remedy}")
HEARD_AGAIN = Log.info("the broker and the GX are heard again")
MONTH_S = 30 * 86_400.0


@pytest.fixture
def connection() -> BrokerConnection:
    """A connection whose broker accepted it at second 0, the portal id being known."""
    connection = BrokerConnection()
    assert connection.connect(0.0, tells_reads=False, is_portal_known=True) == [CONNECTED]
    return connection


def test_nothing_is_due_before_the_first_connection() -> None:
    """Without a connection there is nothing to watch: connecting is the broker adapter's work."""
    assert BrokerConnection().next_deadline_s() == NEVER


def test_only_the_first_connection_is_told(connection: BrokerConnection) -> None:
    """A later connection is no news of its own: hearing the GX again is."""
    connection.disconnect(REASON)
    assert connection.connect(2.0, tells_reads=False, is_portal_known=True) == []


def test_what_is_about_many_connections_is_over_when_one_has_held(
    connection: BrokerConnection,
) -> None:
    """Two clients with one id: each is let in again at once, and hears its GX for a moment."""
    taken_over = BrokerFailure(Cause.TAKEN_OVER)
    assert as_logged(connection.disconnect(taken_over)) == [
        Log.warning(
            "no connection to the broker: another client with this client id keeps taking the"
            " connection over: will keep trying: set mqtt.client_id to one that no other client of"
            " this broker has"
        )
    ]
    for at_s in (10.0, 20.0):
        assert connection.connect(at_s, tells_reads=False, is_portal_known=True) == []
        assert connection.hear(at_s + HELD_S - 1.0, is_heartbeat=True) == []
        assert connection.failure == taken_over
        assert connection.disconnect(taken_over) == []
    connection.connect(30.0, tells_reads=False, is_portal_known=True)
    assert as_logged(connection.hear(30.0 + HELD_S, is_heartbeat=True)) == [HEARD_AGAIN]
    assert connection.failure is None


def act_at_deadline(connection: BrokerConnection) -> tuple[float, list[Command]]:
    """Lets the connection act at its next deadline: when that was, and what came of it."""
    due_s = connection.next_deadline_s()
    return due_s, as_logged(connection.act(moment(due_s)))


def test_a_connection_that_had_a_heartbeat_is_dropped_after_30_s_of_silence(
    connection: BrokerConnection,
) -> None:
    """Whatever was said last counts, and the drop comes once."""
    connection.hear(1.0, is_heartbeat=True)
    assert connection.next_deadline_s() == 1.0 + DEAF_S
    connection.hear(29.0, is_heartbeat=False)
    assert act_at_deadline(connection) == (29.0 + DEAF_S, [DEAF, Reconnect()])
    assert connection.deaf_reconnects == 1
    assert connection.next_deadline_s() == NEVER


def test_without_a_heartbeat_a_fresh_start_comes_ever_more_seldom() -> None:
    """After 5 min, doubling to an hour: nothing proves that the connection is dead."""
    connection, now_s, waits_s, lines = BrokerConnection(), 0.0, list[float](), list[Command]()
    for _ in range(6):
        connection.connect(now_s, tells_reads=False, is_portal_known=True)
        due_s, commands = act_at_deadline(connection)
        assert commands[-1] == Reconnect()
        waits_s.append(due_s - now_s)
        lines += commands[:-1]
        now_s = due_s
        connection.disconnect(GIVEN_UP)
    assert waits_s == [FIRST_FRESH_START_S, 600.0, 1200.0, 2400.0, *2 * [LONGEST_FRESH_START_S]]
    assert as_logged(lines) == [UNHEARD]


def test_what_is_heard_without_a_heartbeat_puts_the_fresh_start_off(
    connection: BrokerConnection,
) -> None:
    """An old GX that spoke lately is there; one that spoke between two starts begins anew."""
    assert connection.next_deadline_s() == FIRST_FRESH_START_S
    connection.hear(200.0, is_heartbeat=False)
    assert act_at_deadline(connection)[0] == 200.0 + FIRST_FRESH_START_S
    connection.connect(600.0, tells_reads=False, is_portal_known=True)
    connection.hear(601.0, is_heartbeat=False)
    connection.connect(700.0, tells_reads=False, is_portal_known=True)
    assert connection.next_deadline_s() == 700.0 + FIRST_FRESH_START_S


def test_a_heartbeat_of_the_last_connection_means_nothing(connection: BrokerConnection) -> None:
    """Each connection has to bring one of its own before 30 s of silence say anything."""
    connection.hear(1.0, is_heartbeat=True)
    connection.disconnect(REASON)
    connection.connect(600.0, tells_reads=False, is_portal_known=True)
    assert connection.next_deadline_s() == 600.0 + FIRST_FRESH_START_S


def test_silence_is_not_judged_before_all_has_been_read() -> None:
    """A process that stood still for 40 s has heard nothing: it looks into the socket first."""
    connection = BrokerConnection()
    connection.connect(0.0, tells_reads=True, is_portal_known=True)
    connection.note_read(5.0)
    connection.hear(5.0, is_heartbeat=True)
    assert connection.act(moment(35.0)) == []
    assert connection.next_deadline_s() == NEVER
    connection.hear(45.0, is_heartbeat=True)
    connection.note_read(45.0)
    assert connection.judge(moment(45.0)) == []
    assert connection.next_deadline_s() == 45.0 + DEAF_S


def test_silence_that_was_read_late_is_silence() -> None:
    """All has been read, and there was nothing: dropped then."""
    connection = BrokerConnection()
    connection.connect(0.0, tells_reads=True, is_portal_known=True)
    connection.hear(5.0, is_heartbeat=True)
    assert connection.act(moment(35.0)) == []
    connection.note_read(45.0)
    assert as_logged(connection.judge(moment(45.0))) == [DEAF, Reconnect()]
    assert connection.judge(moment(45.0)) == []


def test_how_far_a_connection_has_been_read() -> None:
    """The words of the last second may be missing; without a connection all may be."""
    connection = BrokerConnection()
    assert not connection.is_read_up_to(0.0)
    connection.connect(10.0, tells_reads=True, is_portal_known=True)
    assert connection.is_read_up_to(10.0 + READ_WITHIN_S)
    assert not connection.is_read_up_to(10.1 + READ_WITHIN_S)
    connection.note_read(20.0)
    connection.note_read(15.0)
    assert connection.is_read_up_to(20.0 + READ_WITHIN_S)
    connection.disconnect(REASON)
    connection.note_read(30.0)
    assert not connection.is_read_up_to(21.0)
    connection.connect(40.0, tells_reads=False, is_portal_known=True)
    assert connection.is_read_up_to(1e9)


def test_a_closed_connection_is_not_watched(connection: BrokerConnection) -> None:
    """Nothing is due while there is no connection."""
    connection.disconnect(REASON)
    assert connection.next_deadline_s() == NEVER


def test_each_kind_of_trouble_is_told_once(connection: BrokerConnection) -> None:
    """The same reason is told once, another one is told too."""
    assert as_logged(connection.disconnect(REASON)) == [TROUBLE]
    assert connection.disconnect(REASON) == []
    refused = BrokerFailure(Cause.LOGIN_REFUSED)
    (other,) = connection.disconnect(refused)
    text = (
        "no connection to the broker: login refused: will keep trying: run: mqtt-http-bridge setup"
    )
    assert isinstance(other, Log)
    assert other.text.startswith(text)
    assert connection.disconnect(REASON) == []


def test_the_end_of_trouble_is_told_once_and_only_when_the_gx_speaks(
    connection: BrokerConnection,
) -> None:
    """A connection alone ends no trouble; the first word of a GX does, and only the first."""
    connection.disconnect(REASON)
    assert connection.connect(2.0, tells_reads=False, is_portal_known=True) == []
    assert as_logged(connection.hear(3.0, is_heartbeat=True)) == [HEARD_AGAIN]
    assert connection.hear(4.0, is_heartbeat=True) == []


def test_the_first_word_ever_is_no_recovery(connection: BrokerConnection) -> None:
    """Without trouble there is nothing to recover from."""
    assert connection.hear(1.0, is_heartbeat=True) == []


def test_trouble_is_told_anew_once_its_end_was_told(connection: BrokerConnection) -> None:
    """Or the log would end with that all is well. How often it may be told is decided elsewhere."""
    for _ in range(3):
        assert as_logged(connection.disconnect(REASON)) == [TROUBLE]
        connection.connect(1.0, tells_reads=False, is_portal_known=True)
        assert as_logged(connection.hear(2.0, is_heartbeat=True)) == [HEARD_AGAIN]


def test_a_broker_without_a_gx_is_told_of_after_10_s_and_kept() -> None:
    """A GX that starts up tells its portal id late: that is said once, and nothing is dropped."""
    connection = BrokerConnection()
    connection.connect(0.0, tells_reads=False, is_portal_known=False)
    assert connection.next_deadline_s() == DISCOVERY_S
    (line,) = connection.act(moment(DISCOVERY_S))
    assert as_logged([line]) == [
        Log.warning(
            "the broker has not named a GX yet: waiting for the GX to start. If it is up,"
            " and this is its broker, set mqtt.portal_id to its VRM portal ID"
        )
    ]
    assert connection.next_deadline_s() == FIRST_FRESH_START_S


def test_a_portal_id_that_comes_in_time_is_not_missed() -> None:
    """It is told of within 10 s as a rule: then there is nothing to say."""
    connection = BrokerConnection()
    connection.connect(0.0, tells_reads=False, is_portal_known=False)
    connection.find_portal()
    assert connection.next_deadline_s() == FIRST_FRESH_START_S


@pytest.mark.parametrize("cycle_s", [45.0, 599.0], ids="every {} s".format)
def test_a_broker_that_flaps_for_a_month_is_told_of_a_few_times_a_day(cycle_s: float) -> None:
    """Connections that come and go are one trouble: both halves of it, three times a day."""
    connection, limit = BrokerConnection(), LogLimit()
    lines: list[Log] = []
    for cycle in range(int(MONTH_S / cycle_s)):
        now_s = cycle * cycle_s
        commands = connection.connect(now_s, tells_reads=False, is_portal_known=True)
        commands += connection.hear(now_s + 0.5, is_heartbeat=True)
        commands += connection.disconnect(REASON)
        for command in commands:
            assert isinstance(command, Log)
            lines += limit.pass_on(command, now_s)
    assert len(lines) <= 1 + 30 * 7


def test_a_silent_broker_is_told_of_once_in_a_month() -> None:
    """A month of connections on which nothing comes is one line, and a drop an hour in the end."""
    connection = BrokerConnection()
    lines: list[Command] = []
    now_s = 0.0
    while now_s < MONTH_S:
        connection.connect(now_s, tells_reads=False, is_portal_known=True)
        now_s, commands = act_at_deadline(connection)
        lines += [command for command in commands if isinstance(command, Log)]
        lines += connection.disconnect(GIVEN_UP)
    assert as_logged(lines) == [UNHEARD, ENDED]
    assert connection.deaf_reconnects < MONTH_S / LONGEST_FRESH_START_S + 5


def test_the_end_of_trouble_is_told_as_the_end_of_that_trouble(
    connection: BrokerConnection,
) -> None:
    """Names what both are about: else the log might leave one out and tell the other."""
    lines = [*connection.disconnect(REASON)]
    connection.connect(2.0, tells_reads=False, is_portal_known=True)
    lines += connection.hear(3.0, is_heartbeat=True)
    found = [(line.about, line.is_end) for line in lines if isinstance(line, Log)]
    assert found == [("broker", False), ("broker", True)]


def test_the_times_are_those_that_are_promised() -> None:
    """Waits ten seconds for a portal id, and trusts a connection again after five minutes."""
    assert (DISCOVERY_S, HELD_S) == (10.0, 300.0)
    assert (DEAF_S, FIRST_FRESH_START_S, LONGEST_FRESH_START_S) == (30.0, 300.0, 3600.0)
