"""Tests the bulk reader against stock paho: the same messages and answers, however bytes arrive."""

import ast
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode

from mqtt_http_bridge.adapters.broker import bulk_reader as bulk
from mqtt_http_bridge.adapters.broker import signs_of_life
from mqtt_http_bridge.adapters.broker.bulk_reader import (
    MOST_BYTES,
    MOST_WITH_RARE,
    BulkClient,
    lacking_in,
)
from mqtt_http_bridge.core.venus.superseded import Received
from mqtt_http_bridge.core.venus.topic_cache import LEAST_ROOM, LONGEST_TOPIC
from tests.support.extent import fuzzed
from tests.support.mosquitto import make_certificate
from tests.support.mqtt_packets import (
    CONNACK,
    PINGRESP,
    QOS_1,
    QOS_2,
    SUBACK,
    length_of,
    publish,
)

SUCCESS = MQTTErrorCode.MQTT_ERR_SUCCESS


@dataclass
class Heard:
    """The messages that came of a stream of bytes."""

    messages: list[Received] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    end: str = ""
    """The code or the error with which reading ended; empty if it did not."""
    answers: bytes = b""


class FakeSocket:
    """A connection that gives out what a test put in, in the pieces that it was put in.

    A piece that is empty has not come yet when it is asked for.
    """

    def __init__(self, pieces: Sequence[bytes], *, is_closed_after: bool) -> None:
        self._pieces = list(pieces)
        self._is_closed_after = is_closed_after
        self.is_idle = False
        """True if somebody has asked for more than there is."""
        self.sent = b""

    def recv(self, size: int) -> bytes:
        if not self._pieces:
            if self._is_closed_after:
                return b""
            self.is_idle = True
            raise BlockingIOError
        if not self._pieces[0]:
            self._pieces.pop(0)
            raise BlockingIOError
        piece = self._pieces.pop(0)
        if len(piece) > size:
            self._pieces.insert(0, piece[size:])
        return piece[:size]

    def send(self, data: bytes) -> int:
        self.sent += data
        return len(data)

    def close(self) -> None:
        self._pieces.clear()


def make_client(heard: Heard, *, is_bulk: bool, wants: Any = lambda topic: True) -> paho.Client:
    """A client that notes what it hears."""
    if is_bulk:
        client: paho.Client = BulkClient(
            CallbackAPIVersion.VERSION2, wants=wants, deliver=heard.messages.extend
        )
    else:
        client = paho.Client(CallbackAPIVersion.VERSION2)

    def on_message(_client: Any, _userdata: Any, message: paho.MQTTMessage) -> None:
        try:
            name = message.topic
        except UnicodeDecodeError:
            return
        if wants(name):
            heard.messages.append((name, bytes(message.payload), message.retain))

    client.on_message = on_message
    client.on_connect = lambda *_: heard.events.append(f"connected after {len(heard.messages)}")
    client.on_subscribe = lambda *_: heard.events.append(f"subscribed after {len(heard.messages)}")
    client.on_disconnect = lambda *_: heard.events.append("disconnected")
    client.on_socket_register_write = lambda *_: None
    return client


def hear(
    pieces: Sequence[bytes],
    *,
    is_bulk: bool,
    is_closed_after: bool = False,
    wants: Any = lambda topic: True,
) -> Heard:
    """Returns what a client makes of these bytes, until nothing comes, or it ends."""
    heard = Heard()
    client = make_client(heard, is_bulk=is_bulk, wants=wants)
    sock = FakeSocket(pieces, is_closed_after=is_closed_after)
    client._sock = sock  # type: ignore[assignment]
    for _ in range(2 * sum(map(len, pieces)) + len(pieces) + 4):
        try:
            code = client.loop_read()
            client.loop_write()
        except Exception as error:  # noqa: BLE001 - what stock paho raises is what counts here
            heard.end = type(error).__name__
            break
        if code != SUCCESS or client.socket() is None:
            heard.end = code.name
            break
        if sock.is_idle:
            break
    heard.answers = sock.sent
    client._sock = None
    return heard


def cut_at(data: bytes, places: Sequence[int], waits: Sequence[bool]) -> list[bytes]:
    """`data` in pieces that end at `places`; where `waits` says so, the next one comes later."""
    bounds = [0, *sorted({place % (len(data) + 1) for place in places}), len(data)]
    pieces = [data[a:b] for a, b in pairwise(bounds)]
    is_later = [*waits, *[False] * len(pieces)]
    return [
        part
        for piece, later in zip(pieces, is_later, strict=False)
        for part in ([b"", piece] if later else [piece])
    ]


TOPICS = st.sampled_from(
    [b"N/c0619ab2f7e1/solarcharger/0/Pv/V", b"N/x/heartbeat", b"t", b"\xff\xfe", b"", b"\xc3\xa4"]
)
SOUND = st.one_of(
    st.builds(publish, TOPICS, st.binary(max_size=300), st.sampled_from([0x30, 0x31, 0x38, 0x39])),
    st.sampled_from([CONNACK, SUBACK, PINGRESP, QOS_1, QOS_2, b"\xb0\x02\x00\x01"]),
)
ODD = st.one_of(
    # A first byte of type 0 makes stock paho depend on how the bytes are cut.
    st.tuples(st.integers(16, 255), st.binary(max_size=20)).map(
        lambda p: bytes([p[0]]) + length_of(len(p[1])) + p[1]
    ),
    st.binary(min_size=1, max_size=12).filter(lambda data: data[0] >= 16),
    st.just(b"\x30\xff\xff\xff\xff\x01"),
)
STREAMS = st.lists(SOUND | ODD, max_size=12).map(b"".join)


# --- against stock paho --------------------------------------------------------------------------


@pytest.mark.slow
@fuzzed
@given(
    STREAMS,
    st.lists(st.integers(0, 5000), max_size=12),
    st.lists(st.booleans(), max_size=12),
    st.booleans(),
)
@example(b"\x30\xff\xff\xff\xff\x01", [], [], False)
@example(publish(b"t", b"x" * 20_000), [3, 16_383, 16_384], [False, True, True, True], False)
@example(b"\x30\x02\x00\x01", [], [], False)
@example(b"\x30\x00", [1], [False, True], True)
@example(publish(b"t", b"cut off")[:-1], [2], [], True)
def test_the_same_as_stock_paho(
    data: bytes, places: list[int], waits: list[bool], is_closed: bool
) -> None:
    """Sound, odd and malformed packets, cut anywhere: heard, answered, ended as by stock paho.

    The pieces come at once, so that one reading takes them all, or one after the other.
    """
    stock = hear([data], is_bulk=False, is_closed_after=is_closed)
    heard = hear(cut_at(data, places, waits), is_bulk=True, is_closed_after=is_closed)
    if stock.end:
        # What comes after them ends the connection: nobody is there to get the answers.
        stock.answers = heard.answers = b""
    assert heard == stock


def test_every_way_to_cut_a_stream_in_two() -> None:
    """Whatever byte a piece ends with, and byte by byte, the same comes out."""
    long = publish(b"t/long", b"x" * 200) + publish(b"t/retained", b"", 0x31)
    data = CONNACK + publish(b"t/1", b"{}") + SUBACK + long + PINGRESP + publish(b"t/2", b"1")
    stock = hear([data], is_bulk=False)
    assert len(stock.messages) == 4
    assert stock.events == ["connected after 0", "subscribed after 1"]
    for place in range(len(data) + 1):
        assert hear([data[:place], data[place:]], is_bulk=True) == stock
        assert hear([data[:place], b"", data[place:]], is_bulk=True) == stock
    assert hear([data[i : i + 1] for i in range(len(data))], is_bulk=True) == stock


def test_an_oversized_packet() -> None:
    """A message of a megabyte comes through, in the pieces in which the network brings it."""
    data = publish(b"t", b"x" * 1_000_000) + publish(b"t", b"after it")
    pieces = [data[i : i + 1448] for i in range(0, len(data), 1448)]
    heard = hear(pieces, is_bulk=True)
    assert [len(payload) for _, payload, _ in heard.messages] == [1_000_000, 8]
    assert heard == hear([data], is_bulk=False)


def dropped_by(data: bytes, size: int) -> tuple[Heard, int]:
    """Returns what a bulk reader hears of `data` in pieces of `size`, and what it dropped."""
    heard, dropped = Heard(), 0
    client = make_client(heard, is_bulk=True)
    assert isinstance(client, BulkClient)
    pieces = [data[i : i + size] for i in range(0, len(data), size)]
    sock = FakeSocket(pieces, is_closed_after=False)
    client._sock = sock  # type: ignore[assignment]
    while not sock.is_idle:
        assert client.loop_read() == SUCCESS
        client.loop_write()
        dropped += client.take_dropped()
        assert len(client._rest) <= bulk.MOST_PACKET_BYTES
    heard.answers = sock.sent
    client._sock = None
    return heard, dropped


@pytest.mark.parametrize("size", [1448, 65_536])
def test_a_packet_over_a_megabyte_is_thrown_away(size: int) -> None:
    """Everything that comes before and after it is heard, and the connection stays."""
    huge = publish(b"t", b"x" * bulk.MOST_PACKET_BYTES)
    answer = b"\x90" + length_of(5000) + b"\x00\x01" + b"\x80" * 4998
    data = publish(b"t", b"1") + huge + publish(b"t", b"2") + answer + huge + publish(b"t", b"3")
    heard, dropped = dropped_by(data, size)
    assert [payload for _, payload, _ in heard.messages] == [b"1", b"2", b"3"]
    assert dropped == 3
    assert heard.events == []


def test_the_largest_packet_there_can_be() -> None:
    """Of 256 MB, of which nothing is held, whatever it is."""
    for first in (b"\x30", b"\x32", b"\x20", b"\x90", b"\xe0"):
        heard, dropped = dropped_by(first + b"\xff\xff\xff\x7f" + b"x" * 3_000_000, 65_536)
        assert (heard.messages, heard.events, dropped) == ([], [], 1)


@pytest.mark.parametrize(
    "packet", [CONNACK, QOS_1, QOS_2, b"\xc0\x00", b"\x62\x02\x00\x06"], ids=repr
)
def test_what_nobody_asked_for_draws_answers_to_a_point(packet: bytes) -> None:
    """A flood of it is thrown away; else the answers would fill the memory."""
    count = 3 * bulk.MOST_UNASKED
    heard, dropped = dropped_by(packet * count, 65_536)
    assert count - bulk.MOST_UNASKED - 1 <= dropped <= count - bulk.MOST_UNASKED
    assert len(heard.answers) <= 4 * (bulk.MOST_UNASKED + 1)
    many = publish(b"t", bytes(100_000), 0x34).replace(b"\x00\x01t\x00\x00", b"\x00\x01t\x00\x07")
    assert dropped_by(many * 20, 65_536)[1] == 10


@pytest.mark.parametrize("first", [0x40, 0x50, 0x70, 0x90, 0xB0, 0xD0])
def test_few_answers_are_heard_of_a_flood(first: int) -> None:
    """Paho takes its time over each: a flood of them would hold up all that a GX says."""
    size = 3 if first == 0x90 else 0 if first == 0xD0 else 2
    packet = bytes([first, size]) + b"\x00\x01\x00"[:size]
    _, dropped = dropped_by(packet * 10 * bulk.MOST_ANSWERS, 65_536)
    assert dropped == 9 * bulk.MOST_ANSWERS


# --- what is dropped, remembered and minded ------------------------------------------------------


def test_a_topic_is_asked_about_once() -> None:
    """All that is not wanted is dropped as bytes: nobody decodes or looks at its topic again."""
    asked: list[str] = []

    def wants(topic: str) -> bool:
        asked.append(topic)
        return topic == "good"

    frames = publish(b"good", b"1") + publish(b"bad", b"2")
    heard = hear([frames * 3], is_bulk=True, wants=wants)
    assert heard.messages == [("good", b"1", False)] * 3
    assert asked == ["good", "bad"]


def speaker(topic: str) -> str:
    """Whoever speaks on `topic`, in these tests: a letter and a slash."""
    return topic[:2] if topic[1:2] == "/" else ""


def heard_of_speakers(*messages: tuple[bytes, bytes], is_retained: bool = False) -> list[Received]:
    """Returns what is delivered of these messages, read together; what ends on `!` is wanted."""
    heard = Heard()
    client = BulkClient(
        CallbackAPIVersion.VERSION2,
        wants=lambda topic: topic.endswith("!"),
        deliver=heard.messages.extend,
        speaker_of=speaker,
    )
    frames = b"".join(publish(t, p, 0x31 if is_retained else 0x30) for t, p in messages)
    client._sock = FakeSocket([frames], is_closed_after=False)  # type: ignore[assignment]
    client.loop_read()
    client._sock = None
    return heard.messages


def test_who_speaks_of_no_interest_is_delivered_once() -> None:
    """However much is said, and by how many by turns; not what has no speaker."""
    said = [(b"a/x", b"1"), (b"a/y", b"2"), (b"b/x", b"3"), (b"a/x", b"4"), (b"none", b"5")] * 9
    assert heard_of_speakers(*said) == [("a/", b"{}", False), ("b/", b"{}", False)]


def test_who_is_heard_anyway_is_not_delivered_again() -> None:
    """A message that is wanted of it shows that it speaks."""
    said = [(b"a/x", b"1"), (b"a/w!", b"2"), (b"b/x", b"3"), (b"a/y", b"4")]
    assert heard_of_speakers(*said) == [("a/w!", b"2", False), ("b/", b"{}", False)]


def test_a_goodbye_and_what_is_retained_are_no_signs_of_life() -> None:
    """A zero-length payload says that somebody has left."""
    assert heard_of_speakers((b"a/x", b""), (b"a/y", b"")) == []
    assert heard_of_speakers((b"a/x", b"1"), is_retained=True) == []
    mixed = heard_of_speakers((b"a/x", b""), (b"a/y", b"2"), (b"a/z", b""))
    assert mixed == [("a/", b"{}", False)]


def test_memory_for_speakers_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker that invents chargers does not fill it either."""
    monkeypatch.setattr(signs_of_life, "MOST_SPEAKERS", 2)
    said = [(letter + b"/x", b"1") for letter in (b"a", b"b", b"c", b"d")]
    assert heard_of_speakers(*said, *said) == [("a/", b"{}", False), ("b/", b"{}", False)]


def test_memory_for_topics_is_bounded() -> None:
    """A broker that invents topics does not fill the memory."""
    heard = Heard()
    client = make_client(heard, is_bulk=True, wants=lambda topic: False)
    frames = b"".join(publish(b"%d" % number, b"") for number in range(5 * LEAST_ROOM))
    client._sock = FakeSocket([frames], is_closed_after=False)  # type: ignore[assignment]
    client.loop_read()
    assert isinstance(client, BulkClient)
    assert LEAST_ROOM <= len(client._fates) <= 2 * LEAST_ROOM
    client._sock = None


@pytest.mark.parametrize(("gxs", "times"), [(MOST_WITH_RARE, 1), (MOST_WITH_RARE + 1, 3)])
def test_what_is_said_in_full_publishes_alone(gxs: int, times: int) -> None:
    """Of many GX devices it would push out what is said all the time: it is asked about again."""
    asked: list[str] = []

    def wants(topic: str) -> bool:
        asked.append(topic)
        return False

    often, rare = b"N/gx/solarcharger/1/Pv/V", b"N/gx/solarcharger/1/History/Daily/0/Yield"
    client = make_client(Heard(), is_bulk=True, wants=wants)
    assert isinstance(client, BulkClient)
    client.make_room(gxs)
    said = (publish(often, b"") + publish(rare, b"")) * 3
    client._sock = FakeSocket([said], is_closed_after=False)  # type: ignore[assignment]
    client.loop_read()
    client._sock = None
    assert asked == [often.decode(), *[rare.decode()] * times]


def test_a_fleet_has_room_for_what_each_gx_says() -> None:
    """By what is subscribed to: of a thousand GX devices no topic is asked about twice."""
    asked: list[str] = []

    def wants(topic: str) -> bool:
        asked.append(topic)
        return False

    said = [b"N/gx%d/solarcharger/1/%d" % (gx, path) for gx in range(1000) for path in range(20)]
    client = make_client(Heard(), is_bulk=True, wants=wants)
    assert isinstance(client, BulkClient)
    client.make_room(1000)
    for _ in range(3):
        frames = b"".join(publish(topic, b"") for topic in said)
        client._sock = FakeSocket([frames], is_closed_after=False)  # type: ignore[assignment]
        client.loop_read()
    client._sock = None
    assert len(asked) == len(said)


def test_long_topics_are_not_remembered() -> None:
    """They are asked about each time: no GX has any, and they would fill the memory, too."""
    asked: list[str] = []

    def wants(topic: str) -> bool:
        asked.append(topic)
        return True

    longest, longer = b"x" * LONGEST_TOPIC, b"x" * (LONGEST_TOPIC + 1)
    hear([(publish(longest, b"") + publish(longer, b"")) * 2], is_bulk=True, wants=wants)
    assert [len(topic) for topic in asked] == [LONGEST_TOPIC, LONGEST_TOPIC + 1, LONGEST_TOPIC + 1]


def test_the_keepalive_of_paho_is_kept() -> None:
    """Reading in bulk counts as a sign of life, as paho's ping goes by it."""
    client = make_client(Heard(), is_bulk=True)
    receipt = "_last_bytes_received" if hasattr(client, "_last_bytes_received") else "_last_msg_in"
    setattr(client, receipt, 0.0)
    client._sock = FakeSocket([publish(b"t", b"")], is_closed_after=False)  # type: ignore[assignment]
    client.loop_read()
    assert time.monotonic() - getattr(client, receipt) < 60.0
    client._sock = None


def test_a_new_connection_starts_afresh() -> None:
    """Half a packet of one connection is not finished by the next, nor waited for."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        heard = Heard()
        client = make_client(heard, is_bulk=True)
        lost = publish(b"old", b"") + publish(b"t", b"x" * 1000)[:-2]
        client._sock = FakeSocket([lost], is_closed_after=False)  # type: ignore[assignment]
        client.loop_read()
        client.connect("127.0.0.1", listener.getsockname()[1])
        peer, _ = listener.accept()
        with peer:
            peer.sendall(CONNACK + publish(b"t", b"new"))
            read_until(client, heard, 2)
    assert heard.messages == [("old", b"", False), ("t", b"new", False)]
    assert isinstance(client, BulkClient)
    assert list(client._fates.new) == [b"t"], "topics that nobody says any more make room"
    close(client)


def test_this_paho_has_what_the_reader_needs() -> None:
    """The paho that these tests have just compared with is one that the reader is used with."""
    assert lacking_in(paho.Client(CallbackAPIVersion.VERSION2)) == []


def test_a_paho_without_what_the_reader_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is found out by looking at a client, for methods as for what it holds."""
    client = paho.Client(CallbackAPIVersion.VERSION2)
    del client._msgtime_mutex
    assert lacking_in(client) == ["_msgtime_mutex"]
    monkeypatch.delattr(paho.Client, "_sock_recv")
    for name in {"_last_bytes_received", "_last_msg_in"} & set(vars(client)):
        delattr(client, name)
    assert lacking_in(client) == ["_sock_recv", "_msgtime_mutex", "_last_bytes_received"]


def test_nothing_else_of_paho_is_leaned_on() -> None:
    """No private name of paho stands in the code but those that every paho is known to have."""
    client = paho.Client(CallbackAPIVersion.VERSION2)
    tree = ast.parse(Path(bulk.__file__).read_text(encoding="utf-8"))
    names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    private = {name for name in names if name.startswith("_") and not name.startswith("__")}
    assert {name for name in private if hasattr(client, name)} == {"_sock_recv", "_msgtime_mutex"}


def test_a_flood_is_read_in_turns() -> None:
    """`loop_read` leaves off after a megabyte, and says that it did until all has been read."""
    heard = Heard()
    client = make_client(heard, is_bulk=True)
    assert isinstance(client, BulkClient)
    frame = publish(b"t", b"x" * 1000)
    count = 2 * MOST_BYTES // len(frame)
    client._sock = FakeSocket([frame * count], is_closed_after=False)  # type: ignore[assignment]
    turns = 0
    while client.loop_read() == SUCCESS and client.has_more:
        turns += 1
        assert len(heard.messages) * len(frame) <= turns * (MOST_BYTES + bulk.RECEIVE_BYTES)
    assert len(heard.messages) == count
    assert turns in (1, 2)
    client._sock = None


def test_what_comes_while_it_reads_waits() -> None:
    """Less than was asked for is all there was: the reader does not run after the sender."""
    heard = Heard()
    client = make_client(heard, is_bulk=True)
    pieces = [publish(b"t", b"1") + publish(b"t", b"2"), publish(b"t", b"3")]
    client._sock = FakeSocket(pieces, is_closed_after=False)  # type: ignore[assignment]
    client.loop_read()
    assert [payload for _, payload, _ in heard.messages] == [b"1", b"2"]
    client.loop_read()
    assert [payload for _, payload, _ in heard.messages] == [b"1", b"2", b"3"]
    client._sock = None


def test_small_receives_are_bounded_in_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """TLS gives out one record at a time: each counts for as much as many messages would."""
    monkeypatch.setattr(bulk, "MOST_BYTES", 10 * bulk.LEAST_COUNTED_BYTES)
    heard = Heard()
    client = make_client(heard, is_bulk=True)
    assert isinstance(client, BulkClient)
    record = publish(b"t", b"x")
    monkeypatch.setattr(bulk, "RECEIVE_BYTES", len(record))  # Or it would be a plain socket's last.
    client._sock = FakeSocket([record] * 25, is_closed_after=False)  # type: ignore[assignment]
    counts = []
    while client.loop_read() == SUCCESS and client.has_more:
        counts.append(len(heard.messages))
    assert [*counts, len(heard.messages)] == [10, 20, 25]
    client._sock = None


# --- TLS -----------------------------------------------------------------------------------------


def test_tls_with_pending_bytes(tmp_path: Path) -> None:
    """All that TLS has already taken from the kernel is read, though select sees nothing of it."""
    messages = [(f"t/{number}", b"x" * 900, False) for number in range(100)]
    frames = b"".join(publish(topic.encode(), payload) for topic, payload, _ in messages)
    heard = Heard()
    client = make_client(heard, is_bulk=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    with tls_peer(tmp_path, CONNACK + frames) as (port, certificate):
        context.load_verify_locations(cafile=certificate)
        client.tls_set_context(context)
        client.tls_insecure_set(True)
        client.connect("127.0.0.1", port)
        read_until(client, heard, len(messages))
    assert heard.messages == messages
    close(client)


@contextmanager
def tls_peer(directory: Path, data: bytes) -> Iterator[tuple[int, str]]:
    """A server that speaks TLS, sends `data` in one go, and waits for the other side to leave."""
    certificate = make_certificate(directory)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.certificate_file, certificate.key_file)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        done = threading.Event()

        def serve() -> None:
            plain, _ = listener.accept()
            with context.wrap_socket(plain, server_side=True) as peer:
                peer.sendall(data)
                done.wait(20.0)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1], str(certificate.certificate_file)
        finally:
            done.set()
            thread.join()


def read_until(client: paho.Client, heard: Heard, count: int) -> None:
    """Reads until so many messages have been heard."""
    deadline_s = time.monotonic() + 20.0
    while len(heard.messages) < count and time.monotonic() < deadline_s:
        client.loop(0.1)


def close(client: paho.Client) -> None:
    """Closes what paho would leave to the garbage collector."""
    client._reset_sockets()
