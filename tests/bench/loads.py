"""Makes what is played to the consumers: ready-made frames, each with its time.

Synthetic chargers say 48 paths, as others were measured with; a recording is what real ones said.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import cycle, groupby, islice
from pathlib import Path

from mqtt_http_bridge.core.venus import topics
from tests.bench.gx import instances
from tests.bench.traffic import frames, publish_frame, said_by
from tests.bench.waiting import Failed
from tests.support.dbus_flashmq import Message
from tests.support.recorded_messages import recorded_messages

RATE_PER_CHARGER = 10
"""Messages a second of a charger in daylight."""
COMPLETED = "full_publish_completed"
NEVER = float("inf")
TURNS = 120
"""So many turns are prepared; then they come again."""
CHANGING = (
    "Yield/Power",
    "Pv/V",
    "Dc/0/Voltage",
    "Dc/0/Current",
    "History/Daily/0/Yield",
    "History/Daily/0/MaxPower",
    "History/Daily/0/Consumption",
    "History/Daily/0/TimeInFloat",
    "History/Daily/1/TimeInFloat",
    "Yield/User",
)
"""Paths on which a charger speaks each second: power, voltages, currents, and some nobody needs."""

Timed = tuple[float, Message]


@dataclass(frozen=True, kw_only=True)
class Load:
    """Messages to be played over and over."""

    name: str
    opening: bytes
    """Frames that have to be known before: not part of what is measured."""
    pieces: tuple[tuple[float, tuple[bytes, ...]], ...]
    """Frames that are sent together, and when: seconds since the beginning."""
    period_s: float
    """After so long it begins again."""
    interesting: float
    """The share of the messages that is on a path which the relay reads."""
    changed: float
    """The share of the messages that is on such a path, and says something new."""

    def flat(self, count: int) -> bytes:
        """`count` messages without a pause."""
        every = [frame for _, piece in self.pieces for frame in piece]
        return b"".join(islice(cycle(every), count))

    def faster(self, factor: float) -> "Load":
        """The same in a shorter time."""
        pieces = tuple((at_s / factor, piece) for at_s, piece in self.pieces)
        return replace(self, pieces=pieces, period_s=self.period_s / factor)

    def evenly(self, rate_per_s: float) -> "Load":
        """The same messages one by one, at this rate."""
        every = [frame for _, piece in self.pieces for frame in piece]
        pieces = tuple((number / rate_per_s, (frame,)) for number, frame in enumerate(every))
        name = f"{self.name}, {rate_per_s:g} messages a second"
        return replace(self, name=name, pieces=pieces, period_s=len(every) / rate_per_s)

    def about(self) -> str:
        """Returns how much of it concerns the relay."""
        return f"{self.interesting:.0%} of it is read, {self.changed:.0%} is read and new"


def synthetic(portals: Sequence[str], chargers: int, turns: int = TURNS) -> Load:
    """Chargers that say all of their 48 paths in turn, a tenth of which have changed."""
    said = [
        (float(turn), message)
        for turn in range(turns)
        for portal_id in portals
        for instance in instances(chargers)
        for message in said_by(portal_id, instance, turn)
    ]
    return _load(f"{chargers} synthetic chargers of 48 paths", [], said, float(turns))


def bursts(portal_id: str, chargers: int) -> Load:
    """Ten messages a second of each charger, at once, and the chargers one after the other."""
    said = [
        (turn + number / chargers, message)
        for turn in range(TURNS)
        for number, instance in enumerate(instances(chargers))
        for message in said_by(portal_id, instance, turn, CHANGING)
    ]
    return _load("bursts", [], said, float(TURNS))


def even(portal_id: str, chargers: int) -> Load:
    """Ten messages a second of each charger, one by one and evenly spaced."""
    said = [
        said_by(portal_id, instance, turn, [path])[0]
        for turn in range(TURNS)
        for path in CHANGING
        for instance in instances(chargers)
    ]
    gap_s = 1.0 / RATE_PER_CHARGER / chargers
    timed = [(number * gap_s, message) for number, message in enumerate(said)]
    return _load("even", [], timed, float(TURNS))


def recording(path: Path, portal_id: str) -> Load:
    """Reads a recording of solar chargers: one full publish, then the rest at its pace."""
    said = list(recorded_messages(path))
    full_s = min((t for t, m in said if m.topic.endswith(COMPLETED)), default=NEVER)
    ours = [(t, _moved(message, portal_id)) for t, message in said if _is_charger(message)]
    opening = [message for t, message in ours if t <= full_s]
    steady = [(t - full_s, message) for t, message in ours if t > full_s]
    if not steady:
        raise Failed(f"{path}: expected a full publish and what a charger says after it")
    return _load(f"recording {path.name.split('.')[0]}", opening, steady, steady[-1][0])


def _is_charger(message: Message) -> bool:
    return message.topic.split("/")[2] == "solarcharger"


def _moved(message: Message, portal_id: str) -> Message:
    rest = message.topic.split("/", 2)[2]
    return Message(f"N/{portal_id}/{rest}", message.payload)


def _load(name: str, opening: Sequence[Message], said: Sequence[Timed], period_s: float) -> Load:
    pieces = tuple(
        (at_s, tuple(publish_frame(m.topic, m.payload) for _, m in together))
        for at_s, together in groupby(said, key=lambda timed: timed[0])
    )
    interesting, changed = _shares(opening, [message for _, message in said])
    return Load(
        name=name,
        opening=frames(opening),
        pieces=pieces,
        period_s=period_s,
        interesting=interesting,
        changed=changed,
    )


def _shares(opening: Iterable[Message], said: Sequence[Message]) -> tuple[float, float]:
    """The share that is interesting, and the share that is interesting and says something new."""
    known = {message.topic: message.payload for message in opening}
    interesting = changed = 0
    for message in said:
        if topics.is_interesting(message.topic):
            interesting += 1
            changed += known.get(message.topic) != message.payload
            known[message.topic] = message.payload
    return interesting / len(said), changed / len(said)
