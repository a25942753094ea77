"""Decides what dbus-flashmq publishes, and when: use it alone if no broker is needed.

It behaves as dbus-flashmq v25 does, seen from an MQTT client:

- One topic is retained: the portal id, under `system/0/Serial`. Nothing else comes unasked.
- `R/<portal>/keepalive` wakes it for 60 s. Unless the payload says `suppress-republish`, every
  known value follows in arbitrary order, and then `full_publish_completed`.
- While awake it publishes changes, and a heartbeat every 3 s. Then it stops, without a goodbye.
- A device that leaves gets a zero-length payload on each of its topics, asleep or awake.

Venus OS before 3.20 is played as well: a keepalive is a list of topics there, so that an object
selects none and only an empty one wakes all; and there is neither heartbeat nor completion.

Two things differ:

- A full publish counts against the limit of 3 for one second from its own moment on, where the real
  limit is renewed at fixed seconds. So the fourth in a burst is refused for certain.
- Every value is known right after a broker start, when the real one is still scanning.
"""

import json
import math
import random
import time
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

FULL_PUBLISHES_PER_SECOND = 3


def payload_of(value: object) -> bytes:
    """A value as dbus-flashmq prints it: compact, UTF-8, keys sorted; invalid numbers are null."""
    if isinstance(value, float) and not math.isfinite(value):
        value = None
    return _compact_json({"value": value})


@dataclass(frozen=True, slots=True)
class Message:
    """An MQTT message; the topic is the whole of it."""

    topic: str
    payload: bytes
    retain: bool = False


class DbusFlashmq:
    """Knows and says what dbus-flashmq does: events in, messages out. No thread, no socket.

    Times handed in are seconds of one monotonic clock; deadlines are, too.
    """

    def __init__(
        self,
        *,
        portal_id: str,
        awake_s: float,
        heartbeat_s: float,
        echo: bool,
        seed: int,
        is_old: bool = False,
    ) -> None:
        self.full_publishes = 0
        self._portal_id = portal_id
        self._awake_s = awake_s
        self._heartbeat_s = heartbeat_s
        self._echo = echo
        self._is_old = is_old
        self._random = random.Random(seed)
        # Service and instance as in a topic, path, payload.
        self._services = {"system/0": {"Serial": payload_of(portal_id)}}
        self._asleep_at_s: float | None = None
        self._next_heartbeat_s: float | None = None
        self._full_publish_limit = _Limit(FULL_PUBLISHES_PER_SECOND)

    def forget_clients(self) -> None:
        """The broker has gone. What is on the D-Bus stays known, who listened does not."""
        self._asleep_at_s = None
        self._next_heartbeat_s = None
        self._full_publish_limit = _Limit(FULL_PUBLISHES_PER_SECOND)

    def retained(self) -> list[Message]:
        """Returns what a broker that has just started is told unasked."""
        return [message for message in self._all_values() if message.retain]

    @property
    def awake(self) -> bool:
        """Tells whether changes are published."""
        return self._asleep_at_s is not None

    def next_deadline_s(self) -> float | None:
        """Returns when `tick` will have something to do; None: not before the next keepalive."""
        deadlines_s = (self._asleep_at_s, self._next_heartbeat_s)
        return min((each for each in deadlines_s if each is not None), default=None)

    def tick(self, now_s: float) -> list[Message]:
        """Do what is due."""
        if self._asleep_at_s is not None and self._asleep_at_s <= now_s:
            self._asleep_at_s = None
        if self._next_heartbeat_s is not None and self._next_heartbeat_s <= now_s:
            return self._heartbeat(now_s)
        return []

    def keepalive(self, payload: bytes, now_s: float) -> list[Message]:
        """A full publish if one is asked for and within the limit; awake from now on either way."""
        if self._is_old:
            return self._old_keepalive(payload, now_s)
        messages: list[Message] = []
        if b"suppress-republish" not in payload and self._full_publish_limit.allows(now_s):
            messages += self._full_publish(_echo_in(payload))
        self._asleep_at_s = now_s + self._awake_s
        if self._next_heartbeat_s is None:
            messages += self._heartbeat(now_s)
        return messages

    def _old_keepalive(self, payload: bytes, now_s: float) -> list[Message]:
        """As before Venus OS 3.20; lists of single topics are not played."""
        if payload:
            return []
        self._asleep_at_s = now_s + self._awake_s
        self.full_publishes += 1
        return self._all_values()

    def add(self, service: str, instance: int, values: Mapping[str, object]) -> list[Message]:
        """A service appears on the D-Bus. ValueError if it is there already."""
        name = f"{service}/{instance}"
        if name in self._services:
            raise ValueError(
                f"{name} is on the bus already: set() its values, or remove() it first"
            )
        self._services[name] = {_checked(path): payload_of(value) for path, value in values.items()}
        return self._audible(self._values_of(name))

    def set(self, service: str, instance: int, path: str, value: object) -> list[Message]:
        """A path of a service appears or changes. ValueError if there is no such service."""
        payload = payload_of(value)
        name = f"{service}/{instance}"
        values = self._present(name)
        if values.get(_checked(path)) == payload:
            return []
        values[path] = payload
        return self._audible([self._message(f"{name}/{path}", payload)])

    def remove(self, service: str, instance: int) -> list[Message]:
        """A service leaves the D-Bus. ValueError if there is no such service."""
        name = f"{service}/{instance}"
        messages = [self._message(f"{name}/{path}", b"") for path in self._present(name)]
        del self._services[name]
        # What is retained is never taken back.
        return self._shuffled(message for message in messages if not message.retain)

    def _present(self, name: str) -> dict[str, bytes]:
        if name not in self._services:
            raise ValueError(f"{name} is not on the bus: add() it first")
        return self._services[name]

    def _audible(self, messages: list[Message]) -> list[Message]:
        """Returns what of this is published now: retained topics also while asleep."""
        return [message for message in messages if self.awake or message.retain]

    def _full_publish(self, echo: str | None) -> list[Message]:
        self.full_publishes += 1
        completed: dict[str, object] = {"value": int(time.time())}
        if self._echo and echo is not None:
            completed["full-publish-completed-echo"] = echo
        return [
            *self._all_values(),
            self._message("full_publish_completed", _compact_json(completed)),
        ]

    def _heartbeat(self, now_s: float) -> list[Message]:
        """One heartbeat, and the next one planned; the first one due while asleep is the last."""
        if not self.awake:
            self._next_heartbeat_s = None
            return []
        self._next_heartbeat_s = now_s + self._heartbeat_s
        return [self._message("heartbeat", payload_of(int(time.time())))]

    def _all_values(self) -> list[Message]:
        return self._shuffled(
            message for name in self._services for message in self._values_of(name)
        )

    def _values_of(self, name: str) -> list[Message]:
        values = self._services[name].items()
        return self._shuffled(self._message(f"{name}/{path}", payload) for path, payload in values)

    def _shuffled(self, messages: Iterable[Message]) -> list[Message]:
        shuffled = list(messages)
        self._random.shuffle(shuffled)
        return shuffled

    def _message(self, topic_after_portal: str, payload: bytes) -> Message:
        return Message(
            topic=f"N/{self._portal_id}/{topic_after_portal}",
            payload=payload,
            retain=topic_after_portal == "system/0/Serial",
        )


class _Limit:
    """Allows so many in any one second; what it refuses does not count."""

    def __init__(self, per_second: int) -> None:
        self._per_second = per_second
        self._allowed_at_s: deque[float] = deque(maxlen=per_second)

    def allows(self, now_s: float) -> bool:
        if len(self._allowed_at_s) == self._per_second and now_s < self._allowed_at_s[0] + 1.0:
            return False
        self._allowed_at_s.append(now_s)
        return True


def _compact_json(value: Mapping[str, object]) -> bytes:
    return json.dumps(
        value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), sort_keys=True
    ).encode()


def _echo_in(keepalive: bytes) -> str | None:
    """The text to echo, of `{"keepalive-options": [{"full-publish-completed-echo": "text"}]}`.

    The last one counts. What cannot be read is as good as an empty keepalive.
    """
    try:
        options = json.loads(keepalive)["keepalive-options"]
    except (ValueError, TypeError, KeyError):
        return None
    echo = None
    for option in options if isinstance(options, list) else ():
        if isinstance(option, dict):
            echo = option.get("full-publish-completed-echo")
    return echo if isinstance(echo, str) else None


def _checked(path: str) -> str:
    if not path or path.startswith("/") or path.endswith("/"):
        raise ValueError(f"path {path!r}: expected it as in a topic, like 'Pv/V'")
    return path
