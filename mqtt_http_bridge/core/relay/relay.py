"""Handles events and returns commands: no clock, no thread, no I/O; the time comes with the events.

Everything that is due is done before the next event, as of the moment it was due. So a late or
missing `Tick` only delays the commands. Work that needs everything said by its moment waits for
`AllRead`, even if that is late.
"""

from typing import Final

from mqtt_http_bridge.core.broker_failure import (
    REFUSAL_REMEDY,
    BrokerFailure,
    refusal_text,
)
from mqtt_http_bridge.core.commands import Command, NoteClockStep, Reconnect
from mqtt_http_bridge.core.errors import MalformedMessage
from mqtt_http_bridge.core.events import (
    NEVER,
    AllRead,
    Connected,
    Disconnected,
    Dropped,
    Event,
    Message,
    Moment,
    SubscriptionRefused,
    Tick,
)
from mqtt_http_bridge.core.log import Log
from mqtt_http_bridge.core.relay.connection import BrokerConnection
from mqtt_http_bridge.core.relay.deadlines import Deadlines, Part
from mqtt_http_bridge.core.relay.portals import Portals
from mqtt_http_bridge.core.relay.site import Site
from mqtt_http_bridge.core.settings import Settings
from mqtt_http_bridge.core.venus.payloads import Unreadable
from mqtt_http_bridge.core.venus.readings import (
    ChargerReading,
    ChargerSpoke,
    Heartbeat,
    PortalSeen,
    Reading,
    read,
)
from mqtt_http_bridge.core.views import RelayView

MOST_REFUSED: Final = 64
"""The most refused topic filters to keep for people."""
CLOCK_STEP_S: Final = 2.0
"""A wall clock that moves by less was adjusted, not set."""


class Relay:
    """Serves all GX devices behind one broker. One thread owns it; there is no lock."""

    def __init__(self, settings: Settings) -> None:
        self.malformed_messages = 0
        """The number of messages on our topics that did not have the form that a GX sends."""
        self._settings = settings
        self._deadlines: Deadlines[Part] = Deadlines()
        self._connection = BrokerConnection()
        self._deadlines.add(self._connection)
        self._portals = Portals(settings, self._connection, self._deadlines)
        self._deadlines.add(self._portals)
        self._heard: set[Site] = set()
        """The sites whose deadlines may have become earlier since they were planned."""
        self._waiting: dict[Site, None] = {}
        """The sites that wait until everything has been read, in the order in which they began
        to."""
        self._last_moment: Moment | None = None
        self._refused_topics: dict[str, None] = {}
        self._told: set[str] = set()

    def next_deadline_s(self) -> float:
        """Returns when to pass in a `Tick` if nothing else happens; infinity for never.

        Deadlines that have been postponed since they were planned are planned anew here.
        """
        self._plan_heard()
        while (due_s := self._deadlines.next_s()) < NEVER:
            part = self._deadlines.first()
            if part is not None and part.next_deadline_s() <= due_s:
                break
            self._deadlines.pop()
            if part is not None:
                self._bring_forward(part)
        return due_s

    def handle(self, event: Event) -> list[Command]:
        """Does what was due before `event`, then handles the event. Moments must not go back."""
        commands: list[Command] = []
        if event.moment is not self._last_moment:  # Messages that were read together share one.
            commands += self._watch_clock(event.moment)
            commands += self._act_until(event.moment)
        match event:
            case Message():
                commands += self._hear(event)
            case AllRead(moment, until_s):
                self._connection.note_read(until_s)
                commands += self._read(moment)
            case Connected():
                commands += self._connect(event)
            case Disconnected(moment, failure):
                commands += self._disconnect(moment, failure)
            case Dropped():
                commands += self._note_dropped(event)
            case SubscriptionRefused(_, topics):
                commands += self._note_refusal(topics)
            case Tick():
                pass
        return commands

    def view(self, now: Moment) -> RelayView:
        """Takes a snapshot of everything at `now`, for people."""
        return RelayView(
            moment=now,
            is_connected=self._connection.is_connected,
            failure=self._connection.failure,
            sites=tuple(site.view(now) for site in self._portals.sites.values() if site.is_known),
            unheard=self._portals.unheard,
            deaf_reconnects=self._connection.deaf_reconnects,
            malformed_messages=self.malformed_messages
            + sum(site.refused for site in self._portals.sites.values()),
            refused_topics=tuple(self._refused_topics),
        )

    def _watch_clock(self, moment: Moment) -> list[Command]:
        """Notes if the wall clock has moved relative to the monotonic one."""
        last, self._last_moment = self._last_moment or moment, moment
        step_s = (moment.utc - last.at(moment.monotonic_s).utc).total_seconds()
        if abs(step_s) <= CLOCK_STEP_S:
            return []
        text = f"the clock of this machine was set by {step_s:+.0f} s"
        return [Log.info(text, kind="the clock was set"), NoteClockStep(step_s)]

    def _bring_forward(self, *parts: Part) -> None:
        """Updates the deadlines of `parts`, which may have become earlier."""
        for part in parts:
            self._deadlines.bring_forward(part, part.next_deadline_s())

    def _plan_heard(self) -> None:
        """Updates the deadlines of the sites that were heard: once for what was read together."""
        for site in self._heard:
            if self._portals.sites.get(site.portal_id) is site:  # Or it was removed meanwhile.
                self._bring_forward(site)
        self._heard.clear()

    def _act_until(self, moment: Moment) -> list[Command]:
        commands: list[Command] = []
        self._plan_heard()
        while (due_s := self._deadlines.next_s()) <= moment.monotonic_s:
            part = self._deadlines.pop()
            if part is None:
                continue
            if part.next_deadline_s() <= due_s:
                commands += part.act(moment.at(due_s))
                self._note_waiting(part)
            self._bring_forward(part)
        return commands

    def _note_waiting(self, part: Part) -> None:
        if isinstance(part, Site) and part.waits_for_reading:
            self._waiting[part] = None

    # --- what does not come ------------------------------------------------------------------

    def _note_dropped(self, dropped: Dropped) -> list[Command]:
        self.malformed_messages += dropped.packets + dropped.messages
        commands: list[Command] = []
        if dropped.packets:
            commands += self._tell_once(
                "the broker sends what no GX sends: packets over 1 MB, or answers that nobody asked"
                " for: they are discarded and counted",
                kind="the broker sends what no GX sends",
            )
        if dropped.messages:
            # Nobody knows what was in them, so nothing known is certain any more.
            commands += self._tell_once(
                "messages come faster than they can be handled: the excess is discarded and"
                " counted, and all values are requested again",
                kind="messages come faster than they can be handled",
            )
            if self._connection.is_connected:
                commands.append(Reconnect())
        return commands

    def _note_refusal(self, topics: tuple[str, ...]) -> list[Command]:
        for topic in topics[: MOST_REFUSED - len(self._refused_topics)]:
            self._refused_topics[topic] = None
        text = f"{refusal_text(topics)}: {REFUSAL_REMEDY}"
        return self._tell_once(text, kind=refusal_text(topics[:1]))

    def _tell_once(self, text: str, *, kind: str) -> list[Command]:
        if kind in self._told or len(self._told) >= MOST_REFUSED:
            return []
        self._told.add(kind)
        return [Log.warning(text, kind=kind)]

    # --- connection --------------------------------------------------------------------------

    def _connect(self, connected: Connected) -> list[Command]:
        now = connected.moment
        self._refused_topics.clear()
        commands = self._connection.connect(
            now.monotonic_s,
            tells_reads=connected.tells_reads,
            is_portal_known=self._portals.is_any_known,
            where=connected.where,
        )
        commands += self._portals.connect(now.monotonic_s)
        self._bring_forward(self._connection, *self._portals.sites.values())
        return commands + self._act_until(now)

    def _disconnect(self, now: Moment, failure: BrokerFailure) -> list[Command]:
        self._portals.disconnect(now.monotonic_s)
        self._waiting.clear()
        return self._connection.disconnect(failure)

    def _read(self, now: Moment) -> list[Command]:
        """Notes that everything that came has been handled; continues what waited for that."""
        commands = self._connection.judge(now)
        self._bring_forward(self._connection)
        for site in list(self._waiting):
            if site.waits_for_reading:
                commands += self._let_read(site, now)
        self._waiting = {site: None for site in self._waiting if site.waits_for_reading}
        return commands

    def _let_read(self, site: Site, now: Moment) -> list[Command]:
        commands = site.read(now)
        self._bring_forward(site)
        return commands

    # --- messages ----------------------------------------------------------------------------

    def _hear(self, message: Message) -> list[Command]:
        try:
            reading = read(message.topic, message.payload)
        except MalformedMessage as error:
            return self._complain(str(error))
        if reading is None:
            return []
        commands: list[Command] = []
        if isinstance(reading, PortalSeen):
            commands += self._discover(reading.portal_id, message.moment)
        site = self._portals.sites.get(reading.portal_id)
        if site is None or not self._is_wanted(reading):
            return commands
        if isinstance(reading, ChargerReading) and isinstance(reading.said, Unreadable):
            found = f"found {message.payload[:80]!r:.80}"
            commands += self._complain(f"{message.topic}: expected JSON with a value, {found}")
        if not message.retain and _is_life(site, reading, message.moment.monotonic_s):
            commands += self._hear_life(site, reading, message.moment)
        commands += site.hear(reading, message.moment, retained=message.retain)
        if site.waits_for_reading and self._connection.read_until_s == NEVER:
            commands += self._let_read(site, message.moment)
        self._heard.add(site)
        return commands

    def _hear_life(self, site: Site, reading: Reading, now: Moment) -> list[Command]:
        is_heartbeat = isinstance(reading, Heartbeat)
        commands = self._connection.hear(now.monotonic_s, is_heartbeat=is_heartbeat)
        if is_heartbeat:
            self._bring_forward(self._connection)
        if not site.is_heard:
            commands += self._portals.greet(site, now.monotonic_s)
            self._bring_forward(self._portals)
        return commands + site.hear_life(reading, now)

    def _is_wanted(self, reading: Reading) -> bool:
        """Tells whether a service is subscribed to; a recording may contain others."""
        if not isinstance(reading, ChargerReading | ChargerSpoke):
            return True
        return reading.charger.service in self._settings.mqtt.services

    def _complain(self, text: str) -> list[Command]:
        self.malformed_messages += 1
        if self.malformed_messages > 1:
            return []
        return [Log.warning(f"{text}: counted as unknown; further ones will not be logged")]

    def _discover(self, portal_id: str, now: Moment) -> list[Command]:
        site, commands = self._portals.tell(portal_id, now.monotonic_s)
        self._bring_forward(self._portals)
        if site is None:
            return commands
        self._connection.find_portal()
        self._bring_forward(site)
        return commands + self._act_until(now)


def _is_life(site: Site, reading: Reading, now_s: float) -> bool:
    """Tells whether a live reading proves that its GX is alive."""
    if isinstance(reading, ChargerReading | ChargerSpoke):
        return not site.has_spoken_at(now_s)  # Of what was read together the first is enough.
    # An announced GX has not spoken: anybody can announce one.
    return site.is_known or not isinstance(reading, PortalSeen)
