"""The topics of a GX: which ones to subscribe to, which are worth a look, which one wakes it.

The other half of the dialect of Venus OS is `venus`, which knows what is said on them. This half is
needed before anything has been said, and is quick to load. Source of the facts: Victron's
dbus-flashmq v25 and recordings of real devices.
"""

from collections.abc import Iterable
from typing import Final

SERVICES: Final = ("solarcharger", "multi", "inverter")
"""D-Bus services that can have PV trackers; the last two have where `NrOfTrackers` is above 0."""

# --- the paths of a charger --------------------------------------------------------------------

CHARGER_PATHS: Final = (
    "Connected",
    "CustomName",
    "NrOfTrackers",
    "ProductName",
    "Pv/V",
    "Serial",
    "State",
    "Yield/Power",
    "Yield/System",
)
"""What a measurement is made from."""

TRACKER_PATHS: Final = ("Enabled", "Name", "P", "V")
"""The same for `Pv/<n>/...`, one set for each tracker n of a charger with several."""

LIFE_PATHS: Final = ("Dc/0/Voltage",)
"""Read for the moment alone: at night, when the PV values stand still, a charger goes on telling
the voltage of its battery."""

MAX_TRACKERS: Final = 16
"""More than any charger has (four); bounds what a stray topic can make us keep."""


def tracker_path(index: int, leaf: str) -> str:
    """The path of `leaf` of the tracker `index`, counted from 0."""
    return f"Pv/{index}/{leaf}"


_INTERESTING_PATHS: Final = frozenset(
    {
        *CHARGER_PATHS,
        *LIFE_PATHS,
        *(tracker_path(index, leaf) for index in range(MAX_TRACKERS) for leaf in TRACKER_PATHS),
    }
)

# --- what the GX says --------------------------------------------------------------------------

COMPLETED_ENDING: Final = "/full_publish_completed"

LONGEST_TOPIC: Final = 256
"""Five times what a GX needs for any topic of ours: bounds what remembering topics takes."""


def is_interesting(topic: str) -> bool:
    """Whether `topic` may carry a reading: cheap, for the nine in ten messages that do not."""
    if len(topic) > LONGEST_TOPIC:
        return False
    parts = topic.split("/", 4)
    if len(parts) < 5:
        return len(parts) == 3 and parts[2] in ("heartbeat", "full_publish_completed")
    path = parts[4]
    return path in _INTERESTING_PATHS


# --- what it is asked for ----------------------------------------------------------------------

DISCOVERY_TOPIC: Final = "N/+/system/0/Serial"


def subscriptions(portal_id: str, services: Iterable[str]) -> tuple[str, ...]:
    """The topic filters for one GX; never `N/#`, which would be ten times the traffic."""
    return (
        f"N/{portal_id}/system/0/Serial",
        f"N/{portal_id}/heartbeat",
        f"N/{portal_id}/full_publish_completed",
        *(f"N/{portal_id}/{service}/#" for service in services),
    )


def first_subscriptions(
    portal_ids: Iterable[str], services: Iterable[str]
) -> tuple[tuple[str, ...], ...]:
    """What to subscribe to as soon as there is a connection, each to be asked for at once.

    That of each GX that is known by its portal id, or else what tells one.
    """
    known = tuple(subscriptions(portal_id, services) for portal_id in portal_ids)
    return known or ((DISCOVERY_TOPIC,),)


def keepalive_topic(portal_id: str) -> str:
    """The only topic the relay ever publishes on."""
    return f"R/{portal_id}/keepalive"
