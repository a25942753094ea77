"""Tests the inbox: it loses and reorders nothing, and each item ends a wait."""

import threading
import time

from mqtt_http_bridge.app.inbox import FLOOD_BYTES, MESSAGE_BYTES, Inbox, Item, Stop
from mqtt_http_bridge.core.broker_failure import BrokerFailure, Cause
from mqtt_http_bridge.core.events import Disconnected, Dropped, Message
from tests.support.virtual import PORTAL, moment, value

PATIENCE_S = 10.0


def said(number: int) -> Message:
    """A message like no other."""
    return Message(moment(0), f"N/{PORTAL}/heartbeat", value(number))


def test_what_is_put_comes_in_order() -> None:
    """And only once; after that there is nothing."""
    inbox = Inbox()
    for number in range(3):
        inbox.put(said(number))
    assert inbox
    assert [inbox.get(0.0) for _ in range(3)] == [said(number) for number in range(3)]
    assert not inbox
    assert inbox.get(0.0) is None


def test_what_is_put_ends_a_wait() -> None:
    """Also one without a limit."""
    inbox, items, stop = Inbox(), list[Item | None](), Stop()
    waiting = threading.Thread(target=lambda: items.append(inbox.get()), daemon=True)
    waiting.start()
    inbox.put(stop)
    waiting.join(PATIENCE_S)
    assert items == [stop]


def test_who_asks_for_the_end_waits_for_no_flood() -> None:
    """And what came before is still there, for whoever writes it down."""
    inbox, stop, count = Inbox(), Stop(), 2 * FLOOD_BYTES // MESSAGE_BYTES
    for number in range(count):
        inbox.put(said(number))
    inbox.put(stop)
    assert inbox.get(0.0) is stop
    assert [inbox.get(0.0) for _ in range(count)] == [said(number) for number in range(count)]


def test_a_wait_for_nothing_takes_its_time() -> None:
    """It is not over before, or the main loop would turn for nothing."""
    started_s = time.monotonic()
    assert Inbox().get(0.05) is None
    assert time.monotonic() - started_s >= 0.05


# --- too much of it ------------------------------------------------------------------------------


def test_what_is_over_is_dropped_and_told_at_once() -> None:
    """Until there is another connection: what was in it is not known."""
    inbox = Inbox(3 * (MESSAGE_BYTES + len(said(0).topic) + len(said(0).payload)))
    for number in range(10):
        inbox.put(said(number))
    assert [inbox.get(0.0) for _ in range(4)] == [
        *(said(number) for number in range(3)),
        Dropped(moment(0), messages=1),
    ]
    inbox.put(said(10))
    stop = Stop()
    inbox.put(stop)
    ended = Disconnected(moment(1), BrokerFailure(Cause.GIVEN_UP))
    inbox.put(ended)
    inbox.put(said(11))
    rest = [stop, ended, Dropped(moment(1), messages=7), said(11)]
    assert [inbox.get(0.0) for _ in range(4)] == rest
    assert not inbox


def test_what_is_taken_out_makes_room() -> None:
    """Any number of messages may come, if they are taken."""
    inbox = Inbox(3 * (MESSAGE_BYTES + len(said(0).topic) + len(said(0).payload)))
    for number in range(100):
        inbox.put(said(number))
        assert inbox.get(0.0) == said(number)
    large = Message(moment(0), "t", bytes(4 * MESSAGE_BYTES))
    inbox.put(large)
    assert inbox.get(0.0) == Dropped(moment(0), messages=1)
