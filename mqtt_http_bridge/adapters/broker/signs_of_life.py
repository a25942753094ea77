"""Finds out which chargers spoke in what was read, without a look at each message.

Nine in ten messages carry no reading, and are dropped at the price of looking up their topic. That
their charger spoke is worth knowing, but no tenth of that price. So nothing is noted for a message;
instead, what was read together is searched for the topics of those of whom nothing else came in
it. That is a few searches for each few seconds, and each ends at the first message that counts.
"""

from collections.abc import Callable
from typing import Final

from mqtt_http_bridge.core.events import NEVER
from mqtt_http_bridge.core.venus.superseded import Received
from mqtt_http_bridge.core.venus.topics import above

MOST_SPEAKERS: Final = 4096
SMALL_BYTES: Final = 4096
"""Bytes up to which what was read is always searched: what a GX says in some seconds."""
EVERY_S: Final = 1.0
"""Seconds between two searches of what is larger: in a flood, everybody speaks all the time."""
SPOKE: Final = b"{}"
"""The payload that is told of somebody who spoke: any but that of a goodbye."""
_PUBLISH: Final = 0b0011_0000
"""The first byte of a PUBLISH of QoS 0 that is not retained."""


class SignsOfLife:
    """The speakers of one connection."""

    def __init__(self, speaker_of: Callable[[str], str], prefix: str = "") -> None:
        """`speaker_of` tells the topic of whoever speaks on a topic, with which it begins.

        Both are without `prefix`, which all topics have in what was read.
        """
        self._speaker_of = speaker_of
        self._prefix = prefix
        self._speakers: dict[str, bytes] = {}
        """The topic of each, as text, and as bytes with the prefix."""
        self._due_s = -NEVER

    def forget(self) -> None:
        """There is a new connection."""
        self._speakers.clear()
        self._due_s = -NEVER

    def learn(self, topic: str) -> None:
        """A topic has come up for the first time."""
        speaker = self._speaker_of(topic)
        if speaker and speaker not in self._speakers and len(self._speakers) < MOST_SPEAKERS:
            self._speakers[speaker] = above(self._prefix, speaker).encode()

    def found(
        self, data: bytes, start: int, stop: int, wanted: list[Received], now_s: float
    ) -> list[Received]:
        """One message for each who spoke between `start` and `stop`, and not in `wanted`."""
        if stop - start > SMALL_BYTES:
            if now_s < self._due_s:
                return []
            self._due_s = now_s + EVERY_S
        heard = {self._speaker_of(topic) for topic, _, is_retained in wanted if not is_retained}
        return [
            (speaker, SPOKE, False)
            for speaker, name in self._speakers.items()
            if speaker not in heard and _is_said(name, data, start, stop)
        ]


def _is_said(name: bytes, data: bytes, start: int, stop: int) -> bool:
    """Tells whether something live with a payload is said on a topic that begins with `name`."""
    at = data.find(name, start, stop)
    while at >= 0:
        if _is_live(data, start, at):
            return True
        at = data.find(name, at + 1, stop)
    return False


def _is_live(data: bytes, start: int, at: int) -> bool:
    """Tells whether the topic at `at` is that of a live PUBLISH with a payload.

    Before it stand the first byte, the length in one or two bytes, and that of the topic in two.
    """
    if at < start + 4:
        return False
    topic_length = data[at - 2] << 8 | data[at - 1]
    first, length = data[at - 4], data[at - 3]
    if first & 128 and at >= start + 5:
        first, length = data[at - 5], first & 127 | length << 7
    return first == _PUBLISH and length > 2 + topic_length
