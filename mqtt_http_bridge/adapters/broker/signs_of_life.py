"""Finds out which chargers published something, without looking at each message.

Nine in ten messages carry no reading we need, and are dropped after a look-up of their topic. It is
useful to know that their charger is alive, but a note for each message would cost too much.
Instead, the data of one read is searched for the topics of chargers of which nothing else was in
it. That is a few searches every few seconds, and each ends at the first message that counts.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Final

from mqtt_http_bridge.core.events import NEVER
from mqtt_http_bridge.core.venus.superseded import Received
from mqtt_http_bridge.core.venus.topics import above

MOST_SPEAKERS: Final = 4096
MOST_TOPICS: Final = 8192
"""Topics of which it is remembered who speaks there: with many more, it is found out again."""
SMALL_BYTES: Final = 4096
"""Data up to this size is always searched: it is what a GX publishes in some seconds."""
EVERY_S: Final = 1.0
"""Seconds between two searches of larger data: in a flood, everybody publishes all the time."""
SPOKE: Final = b"{}"
"""The payload to report for a speaker: it must not be empty, which would mean that it is gone."""
_PUBLISH: Final = 0b0011_0000
"""The first byte of a PUBLISH with QoS 0 that is not retained."""


class SignsOfLife:
    """Finds the speakers of one connection."""

    def __init__(self, speaker_of: Callable[[str], str], prefix: str = "") -> None:
        """Uses `speaker_of`, which returns the speaker's topic for a topic that begins with it.

        Both are without `prefix`, which all topics have in the data.
        """
        self._speaker_of = lru_cache(MOST_TOPICS)(speaker_of)
        self._prefix = prefix
        self._speakers: dict[str, bytes] = {}
        """The topic of each speaker as text, and as bytes with the prefix."""
        self._due_s = -NEVER

    def forget(self) -> None:
        """Starts a new connection."""
        self._speakers.clear()
        self._due_s = -NEVER

    def learn(self, topic: str) -> None:
        """Learns a topic that has come up for the first time."""
        speaker = self._speaker_of(topic)
        if speaker and speaker not in self._speakers and len(self._speakers) < MOST_SPEAKERS:
            self._speakers[speaker] = above(self._prefix, speaker).encode()

    def found(
        self, data: bytes, start: int, stop: int, wanted: list[Received], now_s: float
    ) -> list[Received]:
        """Returns a message for each speaker from `start` to `stop` that is not in `wanted`."""
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
    """Tells whether there is a live message with a payload on a topic that begins with `name`."""
    at = data.find(name, start, stop)
    while at >= 0:
        if _is_live(data, start, at):
            return True
        at = data.find(name, at + 1, stop)
    return False


def _is_live(data: bytes, start: int, at: int) -> bool:
    """Tells whether the topic at `at` belongs to a live PUBLISH with a payload.

    Before it come the first byte, the length in one or two bytes, and the topic's length in two.
    """
    if at < start + 4:
        return False
    topic_length = data[at - 2] << 8 | data[at - 1]
    first, length = data[at - 4], data[at - 3]
    if first & 128 and at >= start + 5:
        first, length = data[at - 5], first & 127 | length << 7
    return first == _PUBLISH and length > 2 + topic_length
