"""Drops outdated numbers from messages that were read together.

Messages that collected in the kernel get the same moment, so of several measured numbers on one
path, only the last can ever appear in a measurement: a charger reports its power every second. In a
burst, handling all the others would be most of the work.
"""

from collections.abc import Sequence
from typing import Final

from mqtt_http_bridge.core.venus.paths import PATHS
from mqtt_http_bridge.core.venus.topic_cache import TopicCache
from mqtt_http_bridge.core.venus.topics import COMPLETED

Received = tuple[str, bytes, bool]
"""Topic, payload, and whether it was retained."""

_COMPLETED_ENDING: Final = f"/{COMPLETED}"


def without_superseded(received: Sequence[Received]) -> list[Received]:
    """`received`, which has one moment, without measured numbers that are outdated by its end.

    To the relay, the rest means the same as all of it, except that a malformed message may go
    uncounted. A charger that leaves may return as another one: what it says then does not outdate
    what it said before. Nor does what is retained, which is no sign of life; and at the end of a
    full publish the relay looks at all that was said by then.
    """
    told: set[str] = set()
    kept = []
    for each in reversed(received):
        topic, payload, is_retained = each
        if is_retained or not payload or topic.endswith(_COMPLETED_ENDING):
            told.clear()
        elif topic in told:
            continue
        else:
            is_fleeting = _FLEETING.new.get(topic)
            if is_fleeting is None:
                is_fleeting = _look_up(topic)
            if is_fleeting:
                told.add(topic)
        kept.append(each)
    kept.reverse()
    return kept


_FLEETING: Final[TopicCache[str, bool]] = TopicCache()


def make_room(gxs: int) -> None:
    """Makes room to remember the topics of this many GX devices."""
    _FLEETING.make_room(gxs)


def _look_up(topic: str) -> bool:
    found = _FLEETING.recall(topic)
    return _FLEETING.remember(topic, _is_fleeting(topic)) if found is None else found


def _is_fleeting(topic: str) -> bool:
    """Tells whether a later value on `topic` makes all earlier ones useless.

    For totals it does not: the last known one is reported for a charger that has left.
    """
    parts = topic.split("/", 4)
    row = PATHS.get(parts[2], {}).get(parts[4]) if len(parts) == 5 else None
    return row is not None and row.is_fleeting
