"""Keeps the GX devices behind a broker: those in the config, or all that the broker announces.

Anybody on the network can announce a GX that does not exist, and retained announcements stay. So an
announced GX is worth asking, but no more: a few are kept, asked less and less often, and in the end
dropped in favour of others. A GX that is *heard* is relayed, whatever else is announced. If the
broker names more than are kept, it is asked again: at once when half of those kept have been heard,
otherwise later. The limit grows with the number that were heard, so a fleet of a thousand is found
in eight rounds, within four minutes.
"""

import re
from collections.abc import Iterable, Mapping
from enum import Enum, auto
from typing import Final

from mqtt_http_bridge.core.backoff import ceiling_s
from mqtt_http_bridge.core.commands import Command, Subscribe, Unsubscribe
from mqtt_http_bridge.core.events import NEVER, Moment
from mqtt_http_bridge.core.log import Log
from mqtt_http_bridge.core.relay.connection import BrokerConnection
from mqtt_http_bridge.core.relay.deadlines import Deadlines, Part
from mqtt_http_bridge.core.relay.serials import Serials
from mqtt_http_bridge.core.relay.site import Site
from mqtt_http_bridge.core.relay.wake_slots import WakeSlots
from mqtt_http_bridge.core.settings import Settings
from mqtt_http_bridge.core.venus import topics
from mqtt_http_bridge.core.venus.readings import make_room

MOST_UNHEARD: Final = 64
"""The most announced but never heard GX devices to keep, while fewer than this are heard."""
MOST_PORTALS: Final = 10_000
"""GX devices to keep in all: far more than one broker has."""
DAY_S: Final = 86_400.0
"""Seconds between two log lines about those that are never heard; also how long a GX may be silent
while others are heard before it counts as replaced.
"""
FIRST_LOOK_S: Final = 60.0
LONGEST_LOOK_S: Final = 3600.0
"""The longest time until the broker is asked for GX devices again, when it announced too many."""
_MOST_NAMED: Final = 3
_OF_A_GX: Final = re.compile("[0-9a-f]{12}")
"""The form of every GX's portal id: others are woken beside these, not before them."""


class _Oddity(Enum):
    """Things that are logged once, however often they happen."""

    NO_PORTAL_ID = auto()
    TOO_MANY = auto()
    SECOND_GX = auto()


class Portals:
    """The GX devices of one relay, by portal id, and which may be added to them."""

    def __init__(
        self, settings: Settings, connection: BrokerConnection, deadlines: Deadlines[Part]
    ) -> None:
        """Adds each GX to `deadlines`, and removes those that are given up."""
        self.sites: dict[str, Site] = {}
        self._settings = settings
        self._connection = connection
        self._deadlines = deadlines
        self._serials = Serials(settings.device, settings.own_keys)
        """Decides which charger is reported under which serial, for all GX devices at once."""
        self._slots = WakeSlots(settings.device.update_interval_s)
        self._odd_slots = WakeSlots(settings.device.update_interval_s)
        self._unheard: dict[str, Site] = {}
        """Those that were announced and never heard, in the order of announcement."""
        names = settings.device.cerbo_serial
        self._names: Mapping[str, str] = names if isinstance(names, Mapping) else {}
        self._one_name = names if isinstance(names, str) else None
        self._named: str | None = None
        """The portal id of the GX that has the single name in the config."""
        self._told: set[_Oddity] = set()
        self._unheard_told_s = -NEVER
        self._given_up: dict[str, None] = {}
        """Portal ids that were announced, never heard and recently dropped: they push out no
        others.
        """
        self._looks = 0
        self._look_due_s = NEVER
        self._tell_due_s = NEVER
        self._sweep_due_s = NEVER
        for portal_id in settings.mqtt.own_portal_ids:
            self._add(portal_id, is_listed=True)

    def _add(self, portal_id: str, *, is_listed: bool) -> Site:
        name = self._names.get(portal_id, portal_id)
        site = Site(
            portal_id,
            name,
            self._settings,
            self._connection,
            self._serials,
            is_listed=is_listed,
        )
        self.sites[portal_id] = site
        self._deadlines.add(site)
        make_room(len(self.sites))
        return site

    @property
    def is_any_known(self) -> bool:
        """Tells whether there is any GX to ask."""
        return bool(self.sites)

    @property
    def unheard(self) -> tuple[str, ...]:
        """The portal ids that were announced and never heard."""
        return tuple(self._unheard)

    # --- connection --------------------------------------------------------------------------

    def connect(self, now_s: float) -> list[Command]:
        """Notes that there is a connection: wakes all, one after another within one interval."""
        commands: list[Command] = []
        sites = sorted(self.sites.values(), key=_unlikeliness)
        step_s = self._settings.device.update_interval_s / max(1, len(sites))
        for number, site in enumerate(sites):
            site.connect(now_s, now_s + number * step_s)
            if not site.is_listed:
                commands.append(self._subscribe(site))
        return commands

    def disconnect(self, now_s: float) -> None:
        """Notes that there is no connection any more."""
        for site in self.sites.values():
            site.disconnect(now_s)
        self._look_due_s = NEVER

    def _subscribe(self, site: Site) -> Subscribe:
        return Subscribe(topics.subscriptions(site.portal_id, self._settings.mqtt.services))

    # --- who is told of ----------------------------------------------------------------------

    def tell(self, portal_id: str, now_s: float) -> tuple[Site | None, list[Command]]:
        """Notes an announced GX; returns it, if it is new, and the commands for it."""
        if self._settings.mqtt.portal_ids or portal_id in self.sites:
            return None, []
        if not topics.is_portal_id(portal_id):
            return None, self._tell_once(
                _Oddity.NO_PORTAL_ID,
                f"the broker names a GX that cannot be one: portal id {portal_id[:80]!r}, expected"
                " letters, digits, - and _, 64 at most: it is ignored, and so are others like it",
            )
        if not self._settings.mqtt.serves(portal_id):
            return None, []
        if len(self.sites) >= MOST_PORTALS:
            text = f"the broker names more than {MOST_PORTALS} GX devices: ignoring the rest"
            return None, self._tell_once(_Oddity.TOO_MANY, text)
        gone = self._make_room(portal_id, now_s)
        if len(self._unheard) >= self._most_unheard:
            self._look_again_later(now_s)
            return None, []
        site = self._unheard[portal_id] = self._add(portal_id, is_listed=False)
        slots = self._slots if _OF_A_GX.fullmatch(portal_id) else self._odd_slots
        site.connect(now_s, slots.next_s(now_s))
        may_tell_s = max(now_s + FIRST_LOOK_S, self._unheard_told_s + DAY_S)
        self._tell_due_s = min(self._tell_due_s, may_tell_s)
        return site, [*gone, self._subscribe(site)]

    def _tell_once(self, oddity: _Oddity, text: str) -> list[Command]:
        if oddity in self._told:
            return []
        self._told.add(oddity)
        return [Log.warning(text)]

    def _make_room(self, portal_id: str, now_s: float) -> list[Command]:
        """If there is no room, drops one that was asked again and did not answer."""
        if len(self._unheard) < self._most_unheard or portal_id in self._given_up:
            return []
        for site in self._unheard.values():
            if site.keepalives.is_waited_for:
                self._give_up(site.portal_id)
                return self._remove(site, now_s)
        return []

    @property
    def _most_unheard(self) -> int:
        return max(MOST_UNHEARD, len(self.sites) - len(self._unheard))

    def _give_up(self, portal_id: str) -> None:
        self._given_up[portal_id] = None
        if len(self._given_up) > MOST_PORTALS:
            del self._given_up[next(iter(self._given_up))]

    def _remove(self, site: Site, now_s: float) -> list[Command]:
        site.end(now_s)
        del self.sites[site.portal_id]
        self._deadlines.remove(site)
        self._unheard.pop(site.portal_id, None)
        services = self._settings.mqtt.services
        return [Unsubscribe(topics.subscriptions(site.portal_id, services))]

    def _look_again_later(self, now_s: float) -> None:
        if self._look_due_s < NEVER:
            return
        self._looks += 1
        wait_s = ceiling_s(self._looks, first_s=FIRST_LOOK_S, limit_s=LONGEST_LOOK_S)
        self._look_due_s = now_s + wait_s

    def _look_now(self, now_s: float) -> None:
        """Asks the broker at once who else there is, if it announced too many and there is room."""
        if self._look_due_s < NEVER and len(self._unheard) <= self._most_unheard // 2:
            self._look_due_s = min(self._look_due_s, now_s)

    # --- who is heard ------------------------------------------------------------------------

    def greet(self, site: Site, now_s: float) -> list[Command]:
        """Prepares for a GX that is about to be heard for the first time."""
        self._unheard.pop(site.portal_id, None)
        self._looks = 0  # There is room for one more.
        self._look_now(now_s)
        if not site.is_listed:
            self._sweep_due_s = min(self._sweep_due_s, now_s + LONGEST_LOOK_S)
        text = f"found the GX with portal id {site.portal_id}"
        return [Log.info(text, crowd="GX devices were found"), *self._give_name(site)]

    def _give_name(self, site: Site) -> list[Command]:
        """Gives the single name in the config to the first GX that is heard, which keeps it."""
        name = self._one_name
        if name is None:
            return []
        if self._named in (None, site.portal_id):
            self._named = site.portal_id
            site.rename(name)
            return []
        return self._tell_once(
            _Oddity.SECOND_GX,
            f"device.cerbo_serial: {name!r} stays the name of the GX {self._named}:"
            f" {site.portal_id} is called by its portal id. To name both, set"
            f" device.cerbo_serial: {{{self._named}: {name}, {site.portal_id}: ...}}",
        )

    def _hand_on_name(self) -> list[Log]:
        """Gives the single name to the only GX that is left, if the one that had it is forgotten.

        It has replaced the other. Of several, nobody can tell which one has.
        """
        before, name = self._named, self._one_name
        left = [site for site in self.sites.values() if site.is_heard]
        if name is None or before is None or before in self.sites or len(left) != 1:
            return []
        site = left[0]
        self._named = site.portal_id
        self._told.discard(_Oddity.SECOND_GX)
        site.rename(name)
        text = f"{name!r} is now the name of the GX {site.portal_id}, which replaced {before}"
        return [Log.info(f"device.cerbo_serial: {text}")]

    # --- what is due -------------------------------------------------------------------------

    def next_deadline_s(self) -> float:
        """Returns the time at which to call `act`; infinity if nothing will ever be due."""
        return min(self._look_due_s, self._tell_due_s, self._sweep_due_s)

    def act(self, now: Moment) -> list[Command]:
        """Does everything that is due at `now`."""
        commands: list[Command] = []
        if self._look_due_s <= now.monotonic_s:
            self._look_due_s = NEVER
            commands.append(Subscribe((topics.DISCOVERY_TOPIC,)))
        if self._tell_due_s <= now.monotonic_s:
            commands += self._tell_of_unheard(now.monotonic_s)
        if self._sweep_due_s <= now.monotonic_s:
            self._sweep_due_s = now.monotonic_s + LONGEST_LOOK_S
            commands += self._forget_replaced(now.monotonic_s)
        return commands

    def _tell_of_unheard(self, now_s: float) -> list[Command]:
        waiting = [i for i, site in self._unheard.items() if site.keepalives.is_waited_for]
        self._tell_due_s = NEVER
        if not waiting:
            self._tell_due_s = now_s + FIRST_LOOK_S if self._unheard else NEVER
            return []
        self._unheard_told_s = now_s
        self._tell_due_s = now_s + DAY_S
        named = ", ".join(waiting[:_MOST_NAMED]) + (", ..." if len(waiting) > _MOST_NAMED else "")
        text = (
            f"the broker names GX devices that were never heard ({len(waiting)}: {named}):"
            " asking them from time to time. If they do not exist, list yours in mqtt.portal_id"
        )
        return [Log.info(text)]

    def _forget_replaced(self, now_s: float) -> list[Command]:
        """Forgets each GX that has been silent for a day while another one was heard."""
        latest_s = max((site.heard_s for site in self.sites.values()), default=-NEVER)
        replaced = [
            site
            for site in self.sites.values()
            if site.is_heard and not site.is_listed and latest_s - site.heard_s > DAY_S
        ]
        commands = [command for site in replaced for command in self._forget(site, now_s)]
        return commands + self._hand_on_name()

    def _forget(self, site: Site, now_s: float) -> Iterable[Command]:
        text = f"{site.portal_id}: forgotten: this GX was silent for a day while another was heard"
        crowd = "GX devices were forgotten: not heard for a day, while others were"
        return [Log.info(text, crowd=crowd), *self._remove(site, now_s)]


def _unlikeliness(site: Site) -> tuple[bool, bool]:
    """Sorts GX devices for waking: first those heard before, then those with a usual portal id."""
    return not site.is_heard, _OF_A_GX.fullmatch(site.portal_id) is None
