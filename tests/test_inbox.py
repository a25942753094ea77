"""The inbox: nothing is lost or reordered, and only what cannot wait ends a wait."""

import queue
import threading

import pytest

from mqtt_http_bridge.app.inbox import LONGEST_LEFT_S, MOST_LEFT, Inbox, Item, Stop, ThreadDied
from mqtt_http_bridge.core.events import Message, Tick
from tests.virtual import PORTAL, moment, value

PATIENCE_S = 10.0


def said(number: int) -> Message:
    """A message like no other."""
    return Message(moment(0), f"N/{PORTAL}/heartbeat", value(number))


def test_what_is_put_and_left_comes_in_order() -> None:
    """Left, put or put together: the order is that of coming."""
    inbox = Inbox()
    inbox.leave([said(1), said(2)])
    inbox.put(said(3))
    inbox.put_all([said(4), said(5)])
    assert [inbox.get(0.0) for _ in range(5)] == [said(number) for number in (1, 2, 3, 4, 5)]
    assert inbox.get(0.0) is None
    assert not inbox


def after_a_wait(inbox: Inbox, items: list[Item | None]) -> threading.Thread:
    """A thread that waits in `get`, for longer than it should, and notes what it got."""
    thread = threading.Thread(target=lambda: items.append(inbox.get(PATIENCE_S)))
    thread.start()
    return thread


def test_put_ends_a_wait_and_leave_does_not() -> None:
    """What is left is taken along with what ends the wait, and comes first."""
    inbox, items = Inbox(), list[Item | None]()
    waiting = after_a_wait(inbox, items)
    inbox.leave([said(1)])
    waiting.join(0.2)
    # Either it had not begun to wait, and took it at once, or it does not know of it.
    if waiting.is_alive():
        assert items == []
    inbox.put(Stop())
    waiting.join(PATIENCE_S)
    assert [*items, inbox.get(0.0)] == [said(1), Stop()]


@pytest.mark.parametrize("timeout_s", [None, LONGEST_LEFT_S + 1.0])
def test_what_is_left_ends_a_long_wait(timeout_s: float | None) -> None:
    """A loop to which nothing is due for long hears of the one message that would change that.

    So it is when a GX starts up, and tells its portal id minutes after the connection was made.
    """
    inbox, items = Inbox(), list[Item | None]()
    waiting = threading.Thread(target=lambda: items.append(inbox.get(timeout_s)), daemon=True)
    waiting.start()
    waiting.join(0.05)
    inbox.leave([said(1)])
    waiting.join(PATIENCE_S)
    assert items == [said(1)]
    inbox.get(0.0)
    inbox.leave([said(2)])
    assert inbox._bell.empty()


def test_what_is_left_does_not_end_a_wait_under_way() -> None:
    """The bell is what a wait listens to: left messages do not ring it, many do, put does."""
    inbox = Inbox()
    inbox.leave([said(1)])
    assert inbox._bell.empty()
    inbox.leave([said(number) for number in range(MOST_LEFT)])
    assert not inbox._bell.empty()
    other = Inbox()
    other.put_all([said(1)])
    assert not other._bell.empty()


class LeavingBell:
    """Stands in for the bell: something is left in the wait, whose time then runs out."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox

    def get(self, timeout: float | None) -> None:
        """A wait."""
        del timeout
        self._inbox.leave([said(1)])
        raise queue.Empty


def test_what_is_left_comes_when_the_time_is_up() -> None:
    """The end of a wait takes along what was left in it."""
    inbox = Inbox()
    inbox._bell = LeavingBell(inbox)  # type: ignore[assignment]
    assert inbox.get(PATIENCE_S) == said(1)


def test_a_ring_left_over_ends_no_wait_for_nothing() -> None:
    """Two were put and both are taken: the ring that remains does not make up a third."""
    inbox = Inbox()
    inbox.put(Tick(moment(0)))
    inbox.put(ThreadDied("sender"))
    assert inbox.get(0.0) == Tick(moment(0))
    assert inbox.get(0.0) == ThreadDied("sender")
    assert inbox.get(0.05) is None


def test_many_threads_lose_nothing() -> None:
    """What several threads put and leave arrives, once each, and each thread's in its order."""
    inbox = Inbox()

    def fill(first: int) -> None:
        for number in range(first, first + 1000):
            if number % 3:
                inbox.leave([said(number)])
            else:
                inbox.put(said(number))
        inbox.put(Stop())

    threads = [threading.Thread(target=fill, args=(1000 * place,)) for place in range(4)]
    for thread in threads:
        thread.start()
    found: list[Item] = []
    while found.count(Stop()) < len(threads):
        item = inbox.get(PATIENCE_S)
        assert item is not None
        found.append(item)
    for place in range(4):
        wanted = [said(number) for number in range(1000 * place, 1000 * place + 1000)]
        theirs = {message.payload for message in wanted}
        assert [i for i in found if isinstance(i, Message) and i.payload in theirs] == wanted
