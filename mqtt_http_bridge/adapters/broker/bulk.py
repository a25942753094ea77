"""paho's client with a reader that takes whatever the socket holds, and cuts it up itself.

Stock paho spends one `select`, three `recv`, locks and objects on each message: ten times what all
the rest of this program costs. Here `loop_read`, which is public, receives 64 KiB at a time:

    socket --64 KiB--> _rest --cut--> QoS 0 PUBLISH, wanted topic ----> deliver, all of it at once
                                      QoS 0 PUBLISH, other topic -----> dropped, still as bytes
                                      anything else, odd or malformed -> paho's own reader

What is handed to paho's reader is one whole packet: it finds it where it looks for the socket, and
then nothing more; or, when the connection has ended, just that. So everything that is not a plain
value from the GX is done by paho, in the order in which it came.

Three private names of paho are leaned on: `_sock_recv`, `_msgtime_mutex` and
`_last_bytes_received`. They are there in the versions that `lean` names, each of which the tests
compare with its own stock reader; with any other version, stock paho does everything.
"""

import ssl
import time
from collections.abc import Callable
from typing import Any, Final

from paho.mqtt.enums import MQTTErrorCode

from mqtt_http_bridge.adapters.broker.lean import paho
from mqtt_http_bridge.core.latest import Received

RECEIVE_BYTES: Final = 65_536
MOST_BYTES: Final = 1_048_576
"""In one `loop_read`: a flood must not keep paho from writing and from minding its keepalive."""
LEAST_COUNTED_BYTES: Final = 1024
"""What a receive counts for at least: TLS gives out one record at a time, which may be one message,
and what a GX says in some seconds is read in one go all the same."""
MOST_TOPICS: Final = 32_768
"""How many topics of a connection to remember the fate of: all of sixty chargers, in some 4 MiB."""
LONGEST_TOPIC: Final = 256
"""Bytes of a topic to remember: five times what a GX has."""
_LONGEST_LENGTH: Final = 4
"""Bytes that the length of a packet may take."""


class BulkClient(paho.Client):
    """As paho.Client, but QoS 0 messages go to `deliver`, not to `on_message`."""

    def __init__(
        self,
        *arguments: Any,
        wants: Callable[[str], bool],
        deliver: Callable[[list[Received]], None],
        **options: Any,
    ) -> None:
        """`wants` is asked for a topic about once, `deliver` is called with what came together."""
        super().__init__(*arguments, **options)
        self._wants = wants
        self._deliver = deliver
        self._fates: dict[bytes, str] = {}
        """The name of each topic that was met lately; empty if it is not wanted, or no UTF-8."""
        self._rest = bytearray()
        """What came and is not used up: the beginning of a packet, after `loop_read`."""
        self._needed = 0
        """How many bytes there have to be before it is worth looking at them again."""
        self._handed = b""
        self._is_over = False
        self.has_more = False
        """Whether `loop_read` left off before the end: too little may be there to end a wait."""

    def reconnect(self) -> MQTTErrorCode:
        """As paho's, which `connect` calls; what came of the last packet will not be finished."""
        self._rest.clear()
        self._needed = 0
        self.has_more = False
        self._fates.clear()
        return super().reconnect()

    # --- receiving -------------------------------------------------------------------------------

    def loop_read(self, max_packets: int = 1) -> MQTTErrorCode:  # noqa: ARG002 - as paho's
        """Takes in all that the socket holds, up to MOST_BYTES; as paho's otherwise."""
        self.has_more, left = False, MOST_BYTES
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
                # All there was. Who asks for more runs after a broker that sends message by
                # message, and wakes the main thread for each: that doubled the CPU time of a flood.
                return MQTTErrorCode.MQTT_ERR_SUCCESS
            left -= max(len(received), LEAST_COUNTED_BYTES)
        self.has_more = True
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _take_in(self, received: bytes) -> MQTTErrorCode:
        with self._msgtime_mutex:
            self._last_bytes_received = time.monotonic()
        self._rest += received
        if len(self._rest) < self._needed:
            return MQTTErrorCode.MQTT_ERR_SUCCESS
        data = bytes(self._rest)
        self._rest.clear()
        self._needed = 0
        return self._cut(data)

    # --- cutting ---------------------------------------------------------------------------------

    def _cut(self, data: bytes) -> MQTTErrorCode:
        """Uses up the whole packets in `data`, in order, and keeps the rest."""
        code, start = MQTTErrorCode.MQTT_ERR_SUCCESS, 0
        while True:
            wanted, start = self._cut_messages(data, start)
            if wanted:
                self._deliver(wanted)
            size = _packet_size(data, start)
            if size is None or start + size > len(data):
                self._needed = size or 0
                self._rest += data[start:]
                return code
            code = self._hand_to_paho(data[start : start + size])
            if code != MQTTErrorCode.MQTT_ERR_SUCCESS or self.socket() is None:
                return code
            start += size

    def _cut_messages(self, data: bytes, start: int) -> tuple[list[Received], int]:
        """The wanted messages from `start` on, up to what is no whole, sound QoS 0 PUBLISH.

        Also where that begins. Everything is in local names, as this runs for each message.
        """
        fates, end, wanted = self._fates, len(data), []
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
        """Asks what becomes of a topic, and remembers it, if it is none that takes up much room."""
        try:
            name = topic.decode()
        except UnicodeDecodeError:
            name = ""
        fate = name if self._wants(name) else ""
        if len(topic) <= LONGEST_TOPIC and len(self._fates) < MOST_TOPICS:
            self._fates[topic] = fate
        return fate

    # --- paho's own reader -----------------------------------------------------------------------

    def _hand_to_paho(self, packet: bytes, *, is_over: bool = False) -> MQTTErrorCode:
        """Has paho's reader find `packet` on the socket, and then nothing more yet, or the end."""
        self._handed, self._is_over = packet, is_over
        return super().loop_read()

    def _sock_recv(self, bufsize: int) -> bytes:
        """What paho's reader takes for the socket."""
        if not self._handed and not self._is_over:
            raise BlockingIOError
        data, self._handed = self._handed[:bufsize], self._handed[bufsize:]
        return data


_SHORTEST: Final = 5
"""Bytes of the shortest PUBLISH: two of header, two of length, one of topic."""
_LONGEST: Final = 0x3FFF
"""What two bytes can tell of length: paho reads what is longer, which no GX sends."""
_TYPE_AND_QOS: Final = 0b1111_0110
_PUBLISH_QOS_0: Final = 0b0011_0000


def _packet_size(data: bytes, start: int) -> int | None:
    """The size of the packet at `start`, header and all; None if too little of it is there.

    A length that goes on for too long is a packet of its own, for paho to complain about.
    """
    length = 0
    for count, byte in enumerate(data[start + 1 : start + 1 + _LONGEST_LENGTH]):
        length |= (byte & 127) << 7 * count
        if byte < 128:
            return 2 + count + length
    return 2 + _LONGEST_LENGTH if len(data) > start + 1 + _LONGEST_LENGTH else None
