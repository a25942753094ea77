"""Of what was read together, what still tells something.

Messages that the kernel gathered bear one moment, so of several measured numbers of one path only
the last can ever be seen in a measurement: a charger tells its power every second. In a burst
taking all the others in would be most of the work.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from mqtt_http_bridge.core import topics

Received = tuple[str, bytes, bool]
"""Topic, payload, and whether it was retained."""

_FLEETING_PATHS: Final = frozenset(
    {
        "Yield/Power",
        "Pv/V",
        *topics.LIFE_PATHS,
        *(topics.tracker_path(n, leaf) for n in range(topics.MAX_TRACKERS) for leaf in ("P", "V")),
    }
)
"""Of these no earlier value is remembered once there is a later one. Of a total one is: the last
that was known is reported of a charger that has left."""
_TOPICS_IN_MIND: Final = 16_384


def still_telling(received: Sequence[Received]) -> list[Received]:
    """`received`, which has one moment, without measured numbers that are outdated by its end.

    The relay makes the same of what is left as of all, save that a malformed one may go uncounted.
    A charger that leaves may return as another one: what it says then does not outdate what it
    said before. Nor does what is retained, which is no sign of life; and at the end of a full
    publish the relay looks at all that was said by then.
    """
    told: set[str] = set()
    kept = []
    for each in reversed(received):
        topic, payload, is_retained = each
        if is_retained or not payload or topic.endswith(topics.COMPLETED_ENDING):
            told.clear()
        elif topic in told:
            continue
        elif _is_fleeting(topic):
            told.add(topic)
        kept.append(each)
    kept.reverse()
    return kept


@lru_cache(maxsize=_TOPICS_IN_MIND)
def _is_fleeting(topic: str) -> bool:
    parts = topic.split("/", 4)
    return len(parts) == 5 and parts[4] in _FLEETING_PATHS
