"""The inbox: nothing is lost or reordered, and what is put ends a wait."""

import threading
import time

from mqtt_http_bridge.app.inbox import Inbox, Item, Stop
from mqtt_http_bridge.core.events import Message
from tests.virtual import PORTAL, moment, value

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
    inbox, items = Inbox(), list[Item | None]()
    waiting = threading.Thread(target=lambda: items.append(inbox.get()), daemon=True)
    waiting.start()
    inbox.put(Stop())
    waiting.join(PATIENCE_S)
    assert items == [Stop()]


def test_a_wait_for_nothing_takes_its_time() -> None:
    """It is not over before, or the main loop would turn for nothing."""
    started_s = time.monotonic()
    assert Inbox().get(0.05) is None
    assert time.monotonic() - started_s >= 0.05
