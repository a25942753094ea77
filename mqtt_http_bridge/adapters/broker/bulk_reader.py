"""Reads MQTT in bulk: paho's client, with a reader that takes everything in the socket at once.

The protocol. An MQTT connection is a stream of packets, and TCP does not separate them: the result
of one `recv` may hold many packets, and end in the middle of one.

    any packet   type and flags, 1 byte | length of the rest, 1 to 4 bytes | the rest
    a PUBLISH    0011 d qq r            | length | topic's length, 2 bytes | topic | id | payload

A PUBLISH is one message. Its first byte holds the type, 3, and the flags: d for sent again, qq
for QoS, r for retained. It has an id only with QoS 1 or 2, and the rest is the payload. The length
has seven bits in each byte, the lowest first; the top bit says that another byte follows.
Everything that a GX publishes comes as PUBLISH with QoS 0. Packets of other types are answers to
what we sent: CONNACK, SUBACK, PINGRESP.

Why stock paho is slow. It reads one packet at a time: `select`, a `recv` for the first byte, one
for each byte of the length, one or more for the rest; then it builds an object for the message,
takes several locks and looks up who wants it. That takes ten times as long as the rest of this
program, and nine in ten messages are not needed. Measured (docs/costs.md): for 100,000 messages of
two chargers, the whole relay takes 0.5 s of CPU time, and stock paho alone 3.6 s.

What this module does. paho lets its user wait for the socket and then call `loop_read`, which is
public. Here, `loop_read` receives 64 KiB at a time and cuts plain messages out of it, without a
system call or a lock for each. It asks once whether a topic is wanted, and remembers the answer by
the topic's bytes, so an unwanted message costs one look-up and is never decoded:

    socket --64 KiB--> _rest --cut--> QoS 0 PUBLISH, wanted topic ----> deliver, all of it at once
                                      QoS 0 PUBLISH, other topic -----> dropped, still as bytes,
                                                                        see `signs_of_life`
                                      anything else, odd or malformed -> paho's own reader

What is left to paho. Everything that is not a plain message: answers to what we sent, QoS 1 and 2,
lengths over two bytes, malformed packets, the end of the connection. paho's reader gets its bytes
from `_sock_recv`, which this class overrides. It returns one whole packet, and then nothing, as if
the socket were empty; or, when the connection has ended, just the end. So paho still handles
logins, pings, acknowledgements and errors, and everything stays in order.

This depends on three private parts of paho, NEEDED_OF_PAHO. Every paho from 2.0 on has them, and
the tests compare this reader with that of stock paho 2.0, 2.1 and the newest. A future paho may
lack them: so a stock client is checked first, and if it lacks one of them, it is used as it is. The
check cannot see whether paho still uses them in the same way; the tests can.
"""

import ssl
import time
from collections.abc import Callable
from typing import Any, Final

import paho.mqtt.client as paho
from paho.mqtt.enums import MQTTErrorCode

from mqtt_http_bridge.adapters.broker.signs_of_life import SignsOfLife
from mqtt_http_bridge.core.events import NEVER
from mqtt_http_bridge.core.venus.superseded import Received
from mqtt_http_bridge.core.venus.topic_cache import TopicCache
from mqtt_http_bridge.core.venus.topics import RARE, below

RECEIVE_BYTES: Final = 65_536
MOST_BYTES: Final = 1_048_576
"""The most to read in one `loop_read`: a flood must not keep paho from writing and from its
keepalive."""
LEAST_COUNTED_BYTES: Final = 1024
"""A receive counts as at least this much: TLS returns one record at a time, which may be a single
message, and a few seconds of a GX's messages should still be read in one go."""
MOST_WITH_RARE: Final = 8
"""With up to this many GX devices, topics that only come in full publishes are remembered too."""
MOST_PACKET_BYTES: Final = 1_048_576
"""The largest PUBLISH: anything larger is read and discarded, and the connection stays."""
MOST_ANSWER_BYTES: Final = 4096
"""The largest packet of any other type: an answer to what we sent has a few dozen bytes at most."""
MOST_ANSWERS: Final = 100
"""The most answers to handle in one read: paho is slow with each, and we expect only a few."""
MOST_UNASKED: Final = 1000
MOST_UNASKED_BYTES: Final = 1_048_576
"""The most packets, and bytes of them, on one connection that paho would answer or keep: with QoS 0
there are none. More are discarded, or what paho has to write would fill the memory."""
_LONGEST_LENGTH: Final = 4
"""The most bytes that the length of a packet takes."""
_LAST_RECEIPT: Final = ("_last_bytes_received", "_last_msg_in")
NEEDED_OF_PAHO: Final = (("_sock_recv",), ("_msgtime_mutex",), _LAST_RECEIPT)
"""The private members of paho that receive bytes, lock, and note the time of the last receipt: each
with its possible names, first the newest paho's, then that of 2.0 and 2.1."""


def lacking_in(client: paho.Client) -> list[str]:
    """Names the members that the bulk reader needs and a stock client lacks."""
    return [
        names[0] for names in NEEDED_OF_PAHO if not any(hasattr(client, name) for name in names)
    ]


class BulkClient(paho.Client):
    """Works like paho.Client, but passes QoS 0 messages to `deliver`, not to `on_message`."""

    def __init__(
        self,
        *arguments: Any,
        wants: Callable[[str], bool],
        deliver: Callable[[list[Received]], None],
        speaker_of: Callable[[str], str] = lambda topic: "",
        prefix: str = "",
        **options: Any,
    ) -> None:
        """Calls `wants` about once for a topic, and `deliver` with the messages of one read.

        For each speaker that sent only unwanted messages, it delivers one message to show that it
        is alive, on the topic that `speaker_of` returns for theirs. Topics are passed without the
        `prefix` that all of them have on this broker.
        """
        super().__init__(*arguments, **options)
        self._wants = wants
        self._deliver = deliver
        self._prefix = prefix
        self._signs_of_life = SignsOfLife(speaker_of, prefix)
        self._last_receipt = next(name for name in _LAST_RECEIPT if hasattr(self, name))
        self._fates: TopicCache[bytes, str] = TopicCache()
        """Recent topics, by their bytes: the name without the prefix; empty if it is not wanted, or
        not UTF-8."""
        self._is_rare_kept = True
        self._received_s = -NEVER
        """The time of the last receipt, on the monotonic clock."""
        self._rest = bytearray()
        """Bytes received and not used yet: after `loop_read`, the beginning of a packet."""
        self._needed = 0
        """The size that `_rest` must have before it is worth looking at again."""
        self._left_to_drop = 0
        """Bytes still to come of a packet that is being discarded."""
        self._dropped = 0
        self._is_let_in = False
        self._unasked = self._unasked_bytes = self._answers = 0
        self._handed = b""
        self._is_over = False
        self.has_more = False
        """True if `loop_read` left something, which may be too little to end a wait."""

    def reconnect(self) -> MQTTErrorCode:
        """Does the same as paho's, and forgets the unfinished packet. `connect` calls it too."""
        self._rest.clear()
        self._needed = self._left_to_drop = 0
        self._unasked = self._unasked_bytes = 0
        self._is_let_in = False
        self.has_more = False
        self._fates.clear()
        self._signs_of_life.forget()
        return super().reconnect()

    def make_room(self, gxs: int) -> None:
        """Makes room to remember the frequent topics of this many GX devices."""
        self._fates.make_room(gxs)
        self._is_rare_kept = gxs <= MOST_WITH_RARE

    def take_dropped(self) -> int:
        """Returns how many packets were discarded since the last call."""
        dropped, self._dropped = self._dropped, 0
        return dropped

    # --- receiving -------------------------------------------------------------------------------

    def loop_read(self, max_packets: int = 1) -> MQTTErrorCode:  # noqa: ARG002 - as paho's
        """Reads everything in the socket, up to MOST_BYTES; otherwise does the same as paho's."""
        self.has_more, left, self._answers = False, MOST_BYTES, 0
        while left > 0:
            if self.socket() is None:
                return MQTTErrorCode.MQTT_ERR_NO_CONN
            try:
                received = super()._sock_recv(RECEIVE_BYTES)
            except BlockingIOError:
                return MQTTErrorCode.MQTT_ERR_SUCCESS
            except OSError:
                received = b""
            if not received:
                return self._hand_to_paho(b"", is_over=True)
            code = self._take_in(received)
            if code != MQTTErrorCode.MQTT_ERR_SUCCESS or self.socket() is None:
                return code
            if len(received) < RECEIVE_BYTES and not isinstance(self.socket(), ssl.SSLSocket):
                # That was all. Trying again would chase a broker that sends message by message, and
                # wake the main thread for each: that doubled the CPU time of a flood.
                return MQTTErrorCode.MQTT_ERR_SUCCESS
            left -= max(len(received), LEAST_COUNTED_BYTES)
        self.has_more = True
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _take_in(self, received: bytes) -> MQTTErrorCode:
        self._received_s = time.monotonic()
        with self._msgtime_mutex:
            setattr(self, self._last_receipt, self._received_s)
        if self._left_to_drop:
            dropping = min(self._left_to_drop, len(received))
            self._left_to_drop -= dropping
            received = received[dropping:]
        self._rest += received
        if len(self._rest) < self._needed:
            return MQTTErrorCode.MQTT_ERR_SUCCESS
        data = bytes(self._rest)
        self._rest.clear()
        self._needed = 0
        return self._cut(data)

    # --- cutting ---------------------------------------------------------------------------------

    def _cut(self, data: bytes) -> MQTTErrorCode:
        """Handles the complete packets in `data`, in order, and keeps the rest."""
        code, start = MQTTErrorCode.MQTT_ERR_SUCCESS, 0
        while True:
            began = start
            wanted, start = self._cut_messages(data, start)
            wanted += self._signs_of_life.found(data, began, start, wanted, self._received_s)
            if wanted:
                self._deliver(wanted)
            size = _packet_size(data, start)
            if size is not None and self._is_to_be_dropped(data[start], size):
                self._dropped += 1
                self._left_to_drop = max(0, start + size - len(data))
                start = min(start + size, len(data))
                continue
            if size is None or start + size > len(data):
                self._needed = size or 0
                self._rest += data[start:]
                return code
            if not self._is_fit(data[start], size):
                self._dropped += 1
                start += size
                continue
            code = self._hand_to_paho(data[start : start + size])
            if code != MQTTErrorCode.MQTT_ERR_SUCCESS or self.socket() is None:
                return code
            start += size

    def _is_to_be_dropped(self, first: int, size: int) -> bool:
        """Tells whether a packet is larger than any useful one, and so is discarded."""
        return size > (MOST_PACKET_BYTES if first >> 4 == _PUBLISH else MOST_ANSWER_BYTES)

    def _is_fit(self, first: int, size: int) -> bool:
        """Tells whether a packet may be handed to paho; counts those that we did not ask for."""
        if first >> 4 == _CONNACK and not self._is_let_in:
            self._is_let_in = True
            return True
        if first >> 4 in _ANSWERS:
            self._answers += 1
            return self._answers <= MOST_ANSWERS
        if first >> 4 not in _UNASKED or first & _TYPE_AND_QOS == _PUBLISH_QOS_0:
            return True
        self._unasked += 1
        self._unasked_bytes += size
        return self._unasked <= MOST_UNASKED and self._unasked_bytes <= MOST_UNASKED_BYTES

    def _cut_messages(self, data: bytes, start: int) -> tuple[list[Received], int]:
        """Returns the wanted messages from `start` on, and where the first other packet begins.

        It stops at anything but a complete, valid QoS 0 PUBLISH. It uses only local names, because
        it runs for each message.
        """
        fates, end, wanted = self._fates.new, len(data), []
        while end - start >= _SHORTEST and data[start] & _TYPE_AND_QOS == _PUBLISH_QOS_0:
            length, body = data[start + 1], start + 2
            if length > 127:
                length, body = length & 127 | data[body] << 7, body + 1
            stop = body + length
            if length < 3 or stop > end or length > _LONGEST:
                break
            name_stop = body + 2 + (data[body] << 8 | data[body + 1])
            if not body + 2 < name_stop <= stop:
                break
            topic = data[body + 2 : name_stop]
            name = fates.get(topic)
            if name is None:
                name = self._learn(topic)
            if name:
                wanted.append((name, data[name_stop:stop], data[start] & 1 == 1))
            start = stop
        return wanted, start

    def _learn(self, topic: bytes) -> str:
        """Finds out whether a topic is wanted, and remembers it if it is frequent."""
        known = self._fates.recall(topic)
        if known is not None:
            return known
        try:
            name = below(self._prefix, topic.decode())
        except UnicodeDecodeError:
            name = ""
        fate = name if self._wants(name) else ""
        if self._is_rare_kept or not any(part in topic for part in RARE):
            self._fates.remember(topic, fate)
            self._signs_of_life.learn(name)
        return fate

    # --- paho's own reader -----------------------------------------------------------------------

    def _hand_to_paho(self, packet: bytes, *, is_over: bool = False) -> MQTTErrorCode:
        """Makes paho's reader receive `packet`, and then nothing more, or the end."""
        self._handed, self._is_over = packet, is_over
        return super().loop_read()

    def _sock_recv(self, bufsize: int) -> bytes:
        """Replaces the socket for paho's reader."""
        if not self._handed and not self._is_over:
            raise BlockingIOError
        data, self._handed = self._handed[:bufsize], self._handed[bufsize:]
        return data


_SHORTEST: Final = 5
"""Bytes of the shortest PUBLISH: two of header, two of length, one of topic."""
_LONGEST: Final = 0x3FFF
"""The largest length in two bytes. paho reads anything longer, which no GX sends."""
_TYPE_AND_QOS: Final = 0b1111_0110
_PUBLISH_QOS_0: Final = 0b0011_0000
_CONNACK: Final = 2
_PUBLISH: Final = 3
_PUBREL: Final = 6
_PINGREQ: Final = 12
_ANSWERS: Final = (4, 5, 7, 9, 11, 13)
"""PUBACK, PUBREC, PUBCOMP, SUBACK, UNSUBACK and PINGRESP: answers to what we sent."""
_UNASKED: Final = (_CONNACK, _PUBLISH, _PUBREL, _PINGREQ)


def _packet_size(data: bytes, start: int) -> int | None:
    """Returns the size of the packet at `start`, with its header; None if it is too short to tell.

    A length field that is too long counts as a packet of its own, which paho then rejects.
    """
    length = 0
    for count, byte in enumerate(data[start + 1 : start + 1 + _LONGEST_LENGTH]):
        length |= (byte & 127) << 7 * count
        if byte < 128:
            return 2 + count + length
    return 2 + _LONGEST_LENGTH if len(data) > start + 1 + _LONGEST_LENGTH else None
