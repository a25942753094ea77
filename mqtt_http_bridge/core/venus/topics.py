"""The topics of a GX: which to subscribe to, which matter, and which one wakes it.

`readings` interprets what is said on them. This module is needed before anything has been said, so
it is quick to load. Source of the facts: Victron's dbus-flashmq v25 and recordings of real devices.
"""

import re
from collections.abc import Callable, Iterable
from typing import Final

from mqtt_http_bridge.core.settings import MqttSettings
from mqtt_http_bridge.core.venus.paths import PATHS

# --- what the GX says --------------------------------------------------------------------------

HEARTBEAT: Final = "heartbeat"
COMPLETED: Final = "full_publish_completed"
PORTAL_ID: Final = "system/0/Serial"
"""The topics of the GX itself, each below its portal id."""

LONGEST_TOPIC: Final = 256
"""Five times what a GX needs for any topic we use: limits what remembering topics costs."""


RARE: Final = (b"/History/", b"/system/")
"""Parts of nine in ten topics of a charger, which only come in full publishes, and of the one that
a GX is known by: with many GX devices, none of these is worth remembering.
"""


_PORTAL_ID: Final = re.compile("[0-9A-Za-z_-]{1,64}")


def is_portal_id(text: str) -> bool:
    """Tells whether `text` may be the portal id of a GX: usually, but not always, 12 hex digits."""
    return _PORTAL_ID.fullmatch(text) is not None


def is_interesting(topic: str) -> bool:
    """Tells whether `topic` may carry a reading: cheap, for the nine in ten that do not."""
    if len(topic) > LONGEST_TOPIC:
        return False
    parts = topic.split("/", 4)
    if len(parts) < 5:
        return len(parts) == 3 and parts[2] in (HEARTBEAT, COMPLETED)
    paths = PATHS.get(parts[2])
    return parts[4] in paths if paths else "/".join(parts[2:]) == PORTAL_ID


def interest(mqtt: MqttSettings) -> Callable[[str], bool]:
    """Makes an `is_interesting` that ignores the GX devices of other shards."""
    if mqtt.shard is None:
        return is_interesting
    return lambda topic: is_interesting(topic) and mqtt.serves(topic.split("/", 2)[1])


def speaker_of(topic: str) -> str:
    """The topic of the charger that speaks on `topic`, `N/<portal id>/<service>/<instance>/`.

    For a message without a reading, nothing else counts. Empty if it does not belong to a charger.
    """
    parts = topic.split("/", 4)
    if len(parts) < 5 or parts[2] not in PATHS or len(topic) > LONGEST_TOPIC:
        return ""
    return topic[: len(topic) - len(parts[4])]


# --- behind a bridge ---------------------------------------------------------------------------


def below(prefix: str, topic: str) -> str:
    """The part of `topic` after `prefix` and its slash; empty if it does not begin with them.

    A bridge often puts a prefix before all topics of a GX (`venus/N/...`). Without one, all of it.
    """
    if not prefix:
        return topic
    return topic[len(prefix) + 1 :] if topic.startswith(f"{prefix}/") else ""


def above(prefix: str, topic: str) -> str:
    """The `topic` of a GX as seen on a bridged broker, below `prefix`."""
    return f"{prefix}/{topic}" if prefix else topic


MOST_PREFIX_LEVELS: Final = 3
_SIGNS: Final = (PORTAL_ID, HEARTBEAT)
"""Signs of a GX: the first is retained, the other comes every 3 s."""
_SIGN: Final = rf"(?:(.+)/)?N/([^/]+)/(?:{'|'.join(_SIGNS)})"

PREFIX_SEARCH: Final = tuple(
    "+/" * levels + f"N/+/{sign}" for levels in range(MOST_PREFIX_LEVELS + 1) for sign in _SIGNS
)
"""The topic filters that find each prefix below which there is a GX: cheap on any broker."""


def sign_of_gx(topic: str) -> tuple[str, str] | None:
    """The prefix and the portal id, if `topic` is one of those that PREFIX_SEARCH looks for."""
    found = re.fullmatch(_SIGN, topic)
    return (found[1] or "", found[2]) if found and is_portal_id(found[2]) else None


# --- what it is asked for ----------------------------------------------------------------------

DISCOVERY_TOPIC: Final = f"N/+/{PORTAL_ID}"


def subscriptions(portal_id: str, services: Iterable[str]) -> tuple[str, ...]:
    """The topic filters for one GX; never `N/#`, which would be ten times the traffic."""
    return (
        f"N/{portal_id}/{PORTAL_ID}",
        f"N/{portal_id}/{HEARTBEAT}",
        f"N/{portal_id}/{COMPLETED}",
        *(f"N/{portal_id}/{service}/#" for service in services),
    )


def first_subscriptions(mqtt: MqttSettings) -> tuple[tuple[str, ...], ...]:
    """Returns what to subscribe to as soon as there is a connection, each at once.

    That of each GX that is listed and in our shard, or else what tells one.
    """
    if not mqtt.portal_ids:
        return ((DISCOVERY_TOPIC,),)
    return tuple(subscriptions(portal_id, mqtt.services) for portal_id in mqtt.own_portal_ids)


def keepalive_topic(portal_id: str) -> str:
    """The only topic the relay ever publishes on."""
    return f"R/{portal_id}/keepalive"
