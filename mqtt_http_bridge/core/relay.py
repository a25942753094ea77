"""The core: events in, commands out. No clock, no thread, no I/O: time comes with the events.

Everything that is due is done before the event that comes after it, at the moment it was due. A
late `Tick`, or none at all, therefore changes nothing but how soon the commands come out.
"""

from typing import Final

from mqtt_http_bridge.core import topics, venus
from mqtt_http_bridge.core.commands import Command, Log, NoteClockStep, Subscribe
from mqtt_http_bridge.core.errors import ConfigError, MalformedMessage
from mqtt_http_bridge.core.events import Connected, Disconnected, Event, Message, Moment, Tick
from mqtt_http_bridge.core.link import Link
from mqtt_http_bridge.core.quota import LogQuota
from mqtt_http_bridge.core.schedule import Schedule
from mqtt_http_bridge.core.settings import Settings
from mqtt_http_bridge.core.site import Site
from mqtt_http_bridge.core.venus import ChargerReading, PortalSeen, Reading, Unreadable
from mqtt_http_bridge.core.views import RelayView

CLOCK_STEP_S: Final = 60.0
"""A wall clock that moves by less is being kept, not set."""


class Relay:
    """All GX devices behind one broker. One thread owns it; there is no lock."""

    def __init__(self, settings: Settings) -> None:
        self.malformed_messages = 0
        """Messages on topics of ours that were not as the GX sends them."""
        self._settings = settings
        self._schedule: Schedule[Link | Site] = Schedule()
        self._link = Link()
        self._schedule.add(self._link)
        self._log_quota = LogQuota()
        self._sites: dict[str, Site] = {}
        for portal_id in settings.mqtt.portal_ids:
            self._add_site(portal_id)
        self._last_moment: Moment | None = None

    def _add_site(self, portal_id: str) -> None:
        self._sites[portal_id] = Site(portal_id, self._settings)
        self._schedule.add(self._sites[portal_id])

    def next_deadline_s(self) -> float:
        """When to hand in a `Tick` if nothing else happens; infinity for never.

        It may be earlier than anything is due, as silence is watched for: never later.
        """
        return self._schedule.next_s()

    def handle(self, event: Event) -> list[Command]:
        """Does what was due before `event`, then takes the event in.

        Moments must not go back. Raises ConfigError when the broker shows that a setting is wrong.
        """
        commands = self._watch_clock(event.moment)
        commands += self._act_until(event.moment)
        match event:
            case Message():
                commands += self._hear(event)
            case Connected(moment):
                commands += self._connect(moment)
            case Disconnected(moment, reason):
                commands += self._disconnect(moment, reason)
            case Tick():
                pass
        return self._within_quota(commands, event.moment.monotonic_s) if commands else commands

    def _within_quota(self, commands: list[Command], now_s: float) -> list[Command]:
        kept: list[Command] = []
        for command in commands:
            if isinstance(command, Log):
                kept += self._log_quota.pass_on(command, now_s)
            else:
                kept.append(command)
        return kept

    def view(self, now: Moment) -> RelayView:
        """How everything stands at `now`, for people."""
        return RelayView(
            moment=now,
            is_connected=self._link.is_connected,
            trouble=self._link.trouble,
            sites=tuple(site.view(now) for site in self._sites.values()),
            deaf_reconnects=self._link.deaf_reconnects,
            malformed_messages=self.malformed_messages,
        )

    def _watch_clock(self, moment: Moment) -> list[Command]:
        """Notes when the wall clock is no longer where it was beside the monotonic one."""
        last, self._last_moment = self._last_moment or moment, moment
        if last is moment:  # Messages that were read together share one.
            return []
        step_s = (moment.utc - last.at(moment.monotonic_s).utc).total_seconds()
        if abs(step_s) <= CLOCK_STEP_S:
            return []
        text = f"the clock of this machine was set by {step_s:+.0f} s"
        return [Log.info(text), NoteClockStep(step_s)]

    def _bring_forward(self, *parts: Link | Site) -> None:
        """Minds the deadlines of `parts`, which may have become earlier than they were."""
        for part in parts:
            self._schedule.bring_forward(part, part.next_deadline_s())

    def _act_until(self, moment: Moment) -> list[Command]:
        commands: list[Command] = []
        while (due_s := self._schedule.next_s()) <= moment.monotonic_s:
            part = self._schedule.pop()
            if part.next_deadline_s() <= due_s:
                commands += part.act(moment.at(due_s))
            self._bring_forward(part)
        return commands

    # --- connection --------------------------------------------------------------------------

    def _connect(self, now: Moment) -> list[Command]:
        is_portal_known = bool(self._sites)
        commands = self._link.connect(now.monotonic_s, is_portal_known=is_portal_known)
        for portal_id in self._sites:
            commands += self._open(portal_id, now)
        self._bring_forward(self._link, *self._sites.values())
        return commands

    def _open(self, portal_id: str, now: Moment) -> list[Command]:
        """Asks for everything that one GX says; it is subscribed to already if it is configured."""
        mqtt, commands = self._settings.mqtt, self._sites[portal_id].connect(now)
        if portal_id in mqtt.portal_ids:
            return commands
        return [Subscribe(topics.subscriptions(portal_id, mqtt.services)), *commands]

    def _disconnect(self, now: Moment, reason: str) -> list[Command]:
        for site in self._sites.values():
            site.disconnect()
        return self._link.disconnect(now.monotonic_s, reason)

    # --- messages ----------------------------------------------------------------------------

    def _hear(self, message: Message) -> list[Command]:
        try:
            reading = venus.read(message.topic, message.payload)
        except MalformedMessage as error:
            return self._complain(str(error))
        if reading is None:
            return []
        commands: list[Command] = []
        if isinstance(reading, PortalSeen):
            commands += self._discover(reading.portal_id, message.moment)
        site = self._sites.get(reading.portal_id)
        if site is None or not self._is_wanted(reading):
            return commands
        if isinstance(reading, ChargerReading) and isinstance(reading.said, Unreadable):
            found = f"found {message.payload!r:.80}"
            commands += self._complain(f"{message.topic}: expected JSON with a value, {found}")
        if not message.retain:
            commands += self._link.hear(message.moment.monotonic_s)
        commands += site.hear(reading, message.moment, retained=message.retain)
        self._bring_forward(site)
        return commands

    def _is_wanted(self, reading: Reading) -> bool:
        """False for services that are not subscribed to, as a recording may hold them."""
        if not isinstance(reading, ChargerReading):
            return True
        return reading.charger.service in self._settings.mqtt.services

    def _complain(self, text: str) -> list[Command]:
        self.malformed_messages += 1
        if self.malformed_messages > 1:
            return []
        return [Log.warning(f"{text}: counted as unknown; others like it will not be told")]

    def _discover(self, portal_id: str, now: Moment) -> list[Command]:
        if self._settings.mqtt.portal_ids or portal_id in self._sites:
            return []
        if self._sites:
            found = ", ".join(sorted([portal_id, *self._sites]))
            raise ConfigError(
                f"mqtt.portal_id: expected one GX behind the broker, found {found}:"
                " list those to relay, for example mqtt.portal_id: [" + found + "]"
            )
        self._add_site(portal_id)
        self._link.find_portal(now.monotonic_s)
        self._bring_forward(self._link)
        return [Log.info(f"found the GX with portal id {portal_id}"), *self._open(portal_id, now)]
