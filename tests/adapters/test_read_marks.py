"""Tests the marks of what has been read: after messages, before the next ones, and on request."""

import queue
import socket
from collections.abc import Iterator

import pytest

from mqtt_http_bridge.adapters.broker import Broker
from mqtt_http_bridge.adapters.broker import client as client_module
from mqtt_http_bridge.adapters.broker import receive_batching as gathering_module
from mqtt_http_bridge.adapters.broker.read_marks import ReadMarks
from mqtt_http_bridge.adapters.clock import SystemClock
from mqtt_http_bridge.core.events import AllRead, Connected, Event, Message
from mqtt_http_bridge.core.settings import MqttSettings
from mqtt_http_bridge.core.venus import topics
from tests.support.gx import PORTAL_ID
from tests.support.mqtt_packets import CONNACK, publish
from tests.support.virtual import moment

TIMEOUT_S = 20.0
STATE = f"N/{PORTAL_ID}/solarcharger/0/State".encode()
NOW = SystemClock().now


@pytest.fixture
def told() -> list[Event]:
    """Returns what is emitted."""
    return []


@pytest.fixture
def marks(told: list[Event]) -> ReadMarks:
    """Marks of a connection that has just begun."""
    return ReadMarks(told.append, is_on=True)


def read(marks: ReadMarks, at_s: float, *, is_asked: bool = False) -> None:
    """All that came by `at_s` has been read, a hundredth of a second later."""
    marks.all_read(at_s, lambda: moment(at_s + 0.01), is_asked=is_asked)


def test_where_nothing_comes_nothing_is_told_until_it_is_asked_for(
    marks: ReadMarks, told: list[Event]
) -> None:
    """A mark wakes the main thread: only who acts soon needs one."""
    for second in range(5):
        read(marks, float(second))
    assert told == []
    read(marks, 5.0, is_asked=True)
    assert told == [AllRead(moment(5.01), 5.0)]


def test_a_mark_comes_before_messages_and_after_them(marks: ReadMarks, told: list[Event]) -> None:
    """The first tells how old they are at most, the second that they were all."""
    read(marks, 1.0)
    read(marks, 2.0)
    marks.before_messages(moment(2.9))
    marks.before_messages(moment(2.95))
    read(marks, 2.8)
    assert told == [AllRead(moment(2.9), 2.0), AllRead(moment(2.95), 2.8)]


def test_a_mark_of_a_later_read_has_a_moment_of_its_own(
    marks: ReadMarks, told: list[Event]
) -> None:
    """As if the messages were the last that fitted into one read, and nothing was left."""
    marks.before_messages(moment(2.9))
    read(marks, 3.0)
    assert told == [AllRead(moment(3.01), 3.0)]


def test_no_mark_comes_twice(marks: ReadMarks, told: list[Event]) -> None:
    """Everything that was told after the last messages needs not be told before the next."""
    marks.before_messages(moment(1.0))
    read(marks, 0.9)
    marks.before_messages(moment(2.0))
    assert told == [AllRead(moment(1.0), 0.9)]


def test_a_connection_knows_nothing_of_the_one_before(marks: ReadMarks, told: list[Event]) -> None:
    """Its socket is another one."""
    read(marks, 1.0)
    marks.start_afresh()
    marks.before_messages(moment(2.0))
    assert told == []


def test_who_does_not_want_marks_gets_none(told: list[Event]) -> None:
    """As where each message counts as read when it comes."""
    marks = ReadMarks(told.append, is_on=False)
    read(marks, 1.0, is_asked=True)
    marks.before_messages(moment(2.0))
    read(marks, 2.0)
    assert told == []


# --- on a connection -----------------------------------------------------------------------------


class Line:
    """A connection of a Broker, what it emits, and the other end of it."""

    def __init__(
        self, events: "queue.SimpleQueue[Event]", broker: Broker, peer: socket.socket
    ) -> None:
        self.broker = broker
        self.peer = peer
        self._events = events

    def next(self) -> Event:
        """Returns what comes next."""
        return self._events.get(timeout=TIMEOUT_S)

    def comes_nothing(self, for_s: float) -> bool:
        """Tells whether nothing comes for so long."""
        try:
            self._events.get(timeout=for_s)
        except queue.Empty:
            return True
        return False


@pytest.fixture(params=["ours", "stock"], ids=["our reader", "stock paho"])
def line(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Line]:
    """A connection that tells how far it has read, read by our reader or by that of paho."""
    if request.param == "stock":
        monkeypatch.setattr(client_module, "lacking_in", lambda client: ["_sock_recv"])
    events: queue.SimpleQueue[Event] = queue.SimpleQueue()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        broker = Broker(
            MqttSettings(port=listener.getsockname()[1]),
            client_id="marks",
            subscriptions=[],
            wants=topics.is_interesting,
            now=NOW,
            emit=events.put,
            draw=lambda low, high: low,
            batch_s=4.0,
            tells_reads=True,
        )
        broker.start()
        peer, _ = listener.accept()
        with peer:
            peer.recv(4096)
            peer.sendall(CONNACK)
            line = Line(events, broker, peer)
            connected = line.next()
            assert isinstance(connected, Connected)
            assert connected.tells_reads
            yield line
            broker.stop(TIMEOUT_S)
    del broker._client


def test_messages_come_between_two_marks(line: Line) -> None:
    """The one before is of a time before they were sent, the one after of a time after that."""
    before_s = NOW().monotonic_s
    line.broker.read_by(before_s)  # Asked for, so that the time before is known.
    asked = line.next()
    assert isinstance(asked, AllRead)
    line.peer.sendall(publish(STATE, b"1") + publish(STATE, b"2"))
    events: list[Event] = []
    while sum(isinstance(event, Message) for event in events) < 2 or not isinstance(
        events[-1], AllRead
    ):
        events.append(line.next())
    marks = [event for event in events if isinstance(event, AllRead)]
    first = next(event for event in events if isinstance(event, Message))
    assert asked.until_s <= first.moment.monotonic_s
    assert marks[-1].until_s <= marks[-1].moment.monotonic_s
    assert marks[-1].until_s >= asked.until_s
    assert [e.payload for e in events if isinstance(e, Message)] == [b"1", b"2"]
    assert line.comes_nothing(0.2)


def test_a_deadline_has_its_mark_though_nothing_comes(line: Line) -> None:
    """Half a second before, once; who waits for a later one is not disturbed."""
    due_s = NOW().monotonic_s + 1.0
    line.broker.read_by(due_s)
    mark = line.next()
    assert isinstance(mark, AllRead)
    # Later on a busy machine; if nobody reads for the deadline, no mark comes at all.
    assert due_s - gathering_module.READ_BEFORE_S <= mark.until_s <= due_s + TIMEOUT_S
    line.broker.read_by(due_s + 3600.0)
    assert line.comes_nothing(0.3)
