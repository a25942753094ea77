"""The bulk reader against stock paho: the same messages, answers and end, however bytes come in."""

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

from mqtt_http_bridge.adapters.broker import bulk, lean
from mqtt_http_bridge.adapters.broker.bulk import LONGEST_TOPIC, MOST_BYTES, MOST_TOPICS, BulkClient
from mqtt_http_bridge.core.latest import Received
from tests.fuzzing import fuzzed
from tests.mosquitto import make_certificate

SUCCESS = MQTTErrorCode.MQTT_ERR_SUCCESS
CONNACK = b"\x20\x02\x00\x00"
SUBACK = b"\x90\x03\x00\x01\x00"
PINGRESP = b"\xd0\x00"
QOS_1 = b"\x32\x07\x00\x01t\x00\x05hi"
QOS_2 = b"\x34\x07\x00\x01t\x00\x06hi"


def publish(topic: bytes, payload: bytes, first: int = 0x30) -> bytes:
    """A QoS 0 PUBLISH as a broker sends it."""
    body = len(topic).to_bytes(2, "big") + topic + payload
    return bytes([first]) + length_of(len(body)) + body


def length_of(count: int) -> bytes:
    """The length of a packet, in as many bytes as it takes."""
    encoded = bytearray()
    while count > 127:
        encoded.append(count & 127 | 128)
        count >>= 7
    return bytes([*encoded, count])


@dataclass
class Heard:
    """What came of a stream of bytes."""

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
        """Whether somebody has asked for more than there is."""
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
    """What a client makes of these bytes; reading goes on until nothing comes, or it ends."""
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


# --- what is dropped, remembered and minded ------------------------------------------------------


def test_a_topic_is_asked_about_once() -> None:
    """What is not wanted is dropped as bytes: nobody decodes or looks at its topic again."""
    asked: list[str] = []

    def wants(topic: str) -> bool:
        asked.append(topic)
        return topic == "good"

    frames = publish(b"good", b"1") + publish(b"bad", b"2")
    heard = hear([frames * 3], is_bulk=True, wants=wants)
    assert heard.messages == [("good", b"1", False)] * 3
    assert asked == ["good", "bad"]


def test_memory_for_topics_is_bounded() -> None:
    """A broker that invents topics does not fill the memory."""
    heard = Heard()
    client = make_client(heard, is_bulk=True, wants=lambda topic: False)
    frames = b"".join(publish(b"%d" % number, b"") for number in range(3 * MOST_TOPICS))
    client._sock = FakeSocket([frames], is_closed_after=False)  # type: ignore[assignment]
    client.loop_read()
    assert isinstance(client, BulkClient)
    assert 0 < len(client._fates) <= MOST_TOPICS
    client._sock = None


def test_what_is_remembered_is_not_given_up_for_what_comes_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where there are more topics than are kept in mind, going round them still finds some."""
    monkeypatch.setattr(bulk, "MOST_TOPICS", 2)
    asked: list[str] = []

    def wants(topic: str) -> bool:
        asked.append(topic)
        return True

    heard = hear(
        [b"".join(publish(t, b"") for t in (b"a", b"b", b"c")) * 2], is_bulk=True, wants=wants
    )
    assert len(heard.messages) == 6
    assert asked == ["a", "b", "c", "c"]


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
    """What is read in bulk counts as a sign of life, as paho's ping goes by it."""
    client = make_client(Heard(), is_bulk=True)
    client._last_bytes_received = 0.0
    client._sock = FakeSocket([publish(b"t", b"")], is_closed_after=False)  # type: ignore[assignment]
    client.loop_read()
    assert time.monotonic() - client._last_bytes_received < 60.0
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
    assert list(client._fates) == [b"t"], "topics that nobody says any more make room"
    close(client)


def test_the_version_is_one_of_the_tested() -> None:
    """The paho that these tests have just compared with is one that the reader is used with."""
    assert lean.is_tested(), f"add {lean.paho_version()} to lean.TESTED_VERSIONS if all else passes"


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
    """What TLS has already taken from the kernel is read, though select sees nothing of it."""
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
