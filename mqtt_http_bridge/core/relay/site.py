"""One GX: when to wake it, when to trust what it said, when to measure.

All deadlines are on the monotonic clock. What is due is done as of the moment it was due, however
late the caller comes, and before anything that happened later: what a site measures depends only on
the messages and their moments, live and in a replay. For that, everything said by then must have
been read. If it has not, the process was held up: what is due waits until all has been read, and is
then done once, however often it was due in the meantime. See `read`.

    keepalives   what is asked of the GX, and when
    warm_up      when a new connection may be trusted
    freshness    when what was said is new enough
    beat         the moments of measurements
    chargers     what was said
"""

from typing import Final

from mqtt_http_bridge.core.commands import Command, ReadAtOnce, Store
from mqtt_http_bridge.core.events import NEVER, Moment
from mqtt_http_bridge.core.log import Log
from mqtt_http_bridge.core.measurement import DeviceReport, Measurement
from mqtt_http_bridge.core.relay.beat import Beat
from mqtt_http_bridge.core.relay.charger_log import ChargerLog
from mqtt_http_bridge.core.relay.chargers import MOST_CHARGERS, MOST_TEXT, Chargers
from mqtt_http_bridge.core.relay.connection import BrokerConnection
from mqtt_http_bridge.core.relay.freshness import Freshness
from mqtt_http_bridge.core.relay.keepalives import Keepalives
from mqtt_http_bridge.core.relay.presence import Change
from mqtt_http_bridge.core.relay.serials import MOST_CHARGERS_IN_ALL, Serials
from mqtt_http_bridge.core.relay.site_log import SiteLog
from mqtt_http_bridge.core.relay.warm_up import LAGGARD_S, WarmUp
from mqtt_http_bridge.core.settings import Settings
from mqtt_http_bridge.core.venus.keepalive import AWAKE_S
from mqtt_http_bridge.core.venus.readings import (
    ChargerReading,
    ChargerSpoke,
    Heartbeat,
    PublishCompleted,
    Reading,
)
from mqtt_http_bridge.core.views import SiteView

SILENCE_S: Final = 60.0
"""A GX that is silent for this long is logged: shorter silences come and go."""
IN_STEP_S: Final = 10.0
"""A keepalive that is due so shortly before the next measurement is sent early, with this one: from
then on, one wake-up serves both. It covers the longest warm-up."""


class Site:
    """The state and the schedule of one GX. Owned by one thread, as is the relay that holds it."""

    def __init__(
        self,
        portal_id: str,
        name: str,
        settings: Settings,
        connection: BrokerConnection,
        serials: Serials,
        *,
        is_listed: bool,
    ) -> None:
        """`is_listed`: the config names it; otherwise the broker announced it, perhaps wrongly."""
        self.portal_id = portal_id
        self.keepalives = Keepalives(
            portal_id, settings.mqtt.refresh_interval_s, is_listed=is_listed
        )
        self.is_listed = is_listed
        self.is_heard = False
        """True once it was heard."""
        self.is_known = is_listed
        """True if this GX certainly exists."""
        self._name = name
        self._connection = connection
        self._freshness = Freshness(connection)
        self._warm_up = WarmUp()
        self._beat = Beat(settings.device.update_interval_s)
        self._serials = serials
        self._chargers = Chargers(portal_id, settings.device, serials)
        self._log = SiteLog(portal_id, name, settings.mqtt.topic_prefix)
        self._charger_log = ChargerLog(name)
        self._measured_s = -NEVER
        self._wake_due_s = NEVER
        self._laggards_due_s = NEVER
        self._is_refusal_told = False
        self._is_silent = False
        """True if it was silent for so long that its chargers have to be heard again."""
        self._is_put_off = False
        """True if something that was due still has to be done, because not all had been read."""

    @property
    def heard_s(self) -> float:
        """Returns when the GX itself last said anything; retained messages do not count."""
        return self._freshness.heard_s

    def rename(self, name: str) -> None:
        """Sets its name in measurements and in the log, which tells of its chargers anew."""
        self._name = self._log.name = name
        self._charger_log = ChargerLog(name)

    def view(self, now: Moment) -> SiteView:
        """Takes a snapshot of the GX at `now`, for people."""
        return SiteView(
            portal_id=self.portal_id,
            name=self._name,
            heard_s=self.heard_s,
            chargers=self._chargers.views(now, self.heard_s),
            measured_s=self._measured_s,
            has_heartbeat=self._freshness.has_heartbeat,
            is_old=self.keepalives.is_empty,
        )

    # --- connection --------------------------------------------------------------------------

    def connect(self, now_s: float, wake_s: float) -> None:
        """Begins a connection: trusts nothing said before, and asks for everything at `wake_s`."""
        self._unconfirm(now_s)
        self._warm_up.wait()
        self._wake_due_s = max(now_s, wake_s)

    def disconnect(self, now_s: float) -> None:
        """The connection is gone: nothing can be asked for, and nothing new is known."""
        self._freshness.end(now_s)
        self._stop()

    def _stop(self) -> None:
        self.keepalives.stop()
        self._warm_up.wait()
        self._wake_due_s = self._laggards_due_s = NEVER
        self._is_put_off = False

    def end(self, now_s: float) -> None:
        """Stops: the GX is no longer relayed, nothing is due, and nothing is waited for."""
        self._stop()
        self._beat.end()
        self._chargers.end(now_s)

    def _wake(self, now: Moment) -> list[Command]:
        self._wake_due_s = NEVER
        self._warm_up.begin(now.monotonic_s)
        return [self.keepalives.begin(now), ReadAtOnce()]

    def _warm_up_again(self, now: Moment) -> list[Command]:
        """Trusts nothing said before a gap: it may have changed while the GX was asleep.

        Until it is asked for everything, it only reports changes.
        """
        self._unconfirm(now.monotonic_s)
        self._warm_up.begin(now.monotonic_s)
        return [*self._ask_soon(now), ReadAtOnce()]

    def _unconfirm(self, now_s: float) -> None:
        self._chargers.unconfirm(now_s)
        self._freshness.begin()
        self._is_silent = False

    # --- what is heard -----------------------------------------------------------------------

    def has_spoken_at(self, now_s: float) -> bool:
        """Tells whether it was heard at exactly that moment."""
        return self._freshness.spoke_s == now_s

    def hear(self, reading: Reading, now: Moment, *, retained: bool) -> list[Command]:
        """Applies a reading of this site."""
        commands: list[Command] = []
        match reading:
            case ChargerReading():
                commands = self._hear_charger(reading, now, retained=retained)
            case ChargerSpoke() if not retained:
                self._chargers.hear_life(reading.charger, now.monotonic_s)
            case PublishCompleted():
                self._chargers.note_full_publish(now.monotonic_s)
                commands = self._hear_echo(reading.echo, now)
        if self._warm_up.is_echoed and not self._warm_up.is_over:
            self._end_warm_up_if_possible()
        return commands

    def hear_life(self, reading: Reading, now: Moment) -> list[Command]:
        """Notes that the GX says something on its own, now."""
        is_heartbeat = isinstance(reading, Heartbeat)
        commands: list[Command] = []
        self.is_heard = self.is_known = True
        gap_s = self._freshness.hear(now.monotonic_s, is_heartbeat=is_heartbeat)
        is_answer = is_heartbeat or isinstance(reading, PublishCompleted)
        self.keepalives.hear(now.monotonic_s, is_answer=is_answer)
        if self.keepalives.is_empty:
            commands += self._log.tell_of_age()
        if (gap_s > AWAKE_S or self._is_silent) and self._warm_up.is_over:
            commands += self._warm_up_again(now)
        return commands

    def _hear_charger(
        self, reading: ChargerReading, now: Moment, *, retained: bool
    ) -> list[Command]:
        said = (reading.charger, reading.path, reading.said, now.monotonic_s)
        if retained:
            self._chargers.hear_retained(*said)
            return self._tell_of_refused()
        change = self._chargers.hear(*said)
        if change in (Change.SWAPPED, Change.RETURNED):
            return self._ask_soon(now)
        if change is Change.APPEARED and self._warm_up.is_over:
            self._laggards_due_s = now.monotonic_s + LAGGARD_S
        return self._tell_of_refused()

    def _tell_of_refused(self) -> list[Command]:
        if self._chargers.refused == 0 or self._is_refusal_told:
            return []
        self._is_refusal_told = True
        return [
            Log.warning(
                f"{self._name}: names more than {MOST_CHARGERS} chargers, or all GX devices"
                f" {MOST_CHARGERS_IN_ALL}: the others are ignored and counted, and so are texts"
                f" over {MOST_TEXT} characters for one charger; is it a GX?",
                crowd="GX devices name too many chargers",
            )
        ]

    @property
    def refused(self) -> int:
        """Returns the number of messages about more than a GX can have."""
        return self._chargers.refused

    def _hear_echo(self, echo: str | None, now: Moment) -> list[Command]:
        if echo is None or echo != self.keepalives.awaited_echo:
            return []
        self.keepalives.awaited_echo = None
        self.keepalives.answer_due_s = NEVER
        self._warm_up.is_echoed = True
        is_somebody_missing = self._chargers.confirm(self.keepalives.requested_s, now.monotonic_s)
        if self._warm_up.is_over:
            return self._ask_soon(now) if is_somebody_missing else []
        if self._chargers.is_somebody_unheard:
            self._laggards_due_s = now.monotonic_s + LAGGARD_S
        return []  # `hear` decides whether the warm-up is over, now and later.

    # --- what is due -------------------------------------------------------------------------

    def next_deadline_s(self) -> float:
        """Returns the time at which to call `act`; infinity if nothing will ever be due."""
        beat_s = self._beat.next_s
        return beat_s if self._is_put_off else min(beat_s, self._due_s)

    @property
    def _due_s(self) -> float:
        """Returns the time at which there is something to do other than measuring."""
        asked = self.keepalives
        return min(
            self._wake_due_s,
            self._warm_up.due_s,
            self._laggards_due_s,
            asked.next_s,
            asked.full_due_s,
            asked.answer_due_s,
        )

    def act(self, now: Moment) -> list[Command]:
        """Does everything that is due at `now`, which is the moment of the deadline itself."""
        commands: list[Command] = []
        if self._beat.next_s <= now.monotonic_s:
            self._beat.strike()
            commands += self._measure(now) if self._is_measurable(now) else self._owe(now)
        if self._due_s <= now.monotonic_s:
            self._is_put_off = not self._connection.is_read_up_to(now.monotonic_s)
            commands += [] if self._is_put_off else self._do_what_is_due(now)
        return commands

    @property
    def waits_for_reading(self) -> bool:
        """Tells whether to call `read` when everything has been read."""
        return self._is_put_off or self._beat.is_due

    def read(self, now: Moment) -> list[Command]:
        """Does what had to wait until everything that came by now was read."""
        commands: list[Command] = []
        if self._is_put_off and self._connection.is_read_up_to(now.monotonic_s):
            self._is_put_off = False
            commands += self._do_what_is_due(now)
        if self._beat.is_due and self._is_measurable(now):
            commands += self._measure(now)
        return commands

    def _do_what_is_due(self, now: Moment) -> list[Command]:
        """Does what is due, once everything that came by now has been read."""
        commands: list[Command] = []
        if self._wake_due_s <= now.monotonic_s:
            commands += self._wake(now)
        if self.keepalives.is_too_late(now.monotonic_s):
            commands += self._warm_up_again(now)
        if self._laggards_due_s <= now.monotonic_s:
            self._laggards_due_s = NEVER
            commands += self._ask_soon(now) if self._chargers.is_somebody_unheard else []
        if self.keepalives.answer_due_s <= now.monotonic_s:
            self.keepalives.judge_answer(now.monotonic_s)
            if self._chargers.establish(self.keepalives.requested_s, now.monotonic_s):
                commands += self._ask_soon(now)
        if self._warm_up.due_s <= now.monotonic_s:
            commands += self._end_warm_up_at_last(now)
        return commands + self._keep_awake(now)

    def _keep_awake(self, now: Moment) -> list[Command]:
        commands: list[Command] = []
        if self.keepalives.full_due_s <= now.monotonic_s:
            commands.append(self.keepalives.repeat(now))
        if self.keepalives.next_s <= now.monotonic_s:
            commands += [self.keepalives.prolong(now), *self._look_into_silence(now)]
        return commands

    # --- the end of the warm-up --------------------------------------------------------------

    def _end_warm_up_if_possible(self) -> None:
        """Ends the warm-up if everything was said; the next read then measures what is due."""
        if self._chargers.has_somebody_said_all:
            self._warm_up.end()

    def _end_warm_up_at_last(self, now: Moment) -> list[Command]:
        self._warm_up.end()
        is_asked_enough = self._warm_up.is_echoed or self._chargers.has_said_all
        commands = self._ask_soon(now) if self.is_heard and not is_asked_enough else []
        if self._beat.is_due and self._is_measurable(now):
            commands += self._measure(now)
        return commands

    # --- keepalives --------------------------------------------------------------------------

    def _ask_soon(self, now: Moment) -> list[Command]:
        """Requests everything now, or as soon as the last request is old enough."""
        if not self._is_awoken:
            return []
        self.keepalives.ask_soon(now.monotonic_s)
        if self.keepalives.full_due_s > now.monotonic_s:
            return []
        return [self.keepalives.repeat(now)]

    @property
    def _is_awoken(self) -> bool:
        """Tells whether everything was requested on this connection."""
        return self.keepalives.full_due_s < NEVER

    # --- measuring ---------------------------------------------------------------------------

    def _is_measurable(self, now: Moment) -> bool:
        return self._warm_up.is_over and self._freshness.allows(now.monotonic_s)

    def _owe(self, now: Moment) -> list[Command]:
        """Notes that a measurement could not be made: for a while, messages are read at once."""
        is_passing = now.monotonic_s - self.heard_s < SILENCE_S
        return [ReadAtOnce()] if is_passing and self._connection.is_connected else []

    def _measure(self, now: Moment) -> list[Command]:
        self._beat.measured(now.monotonic_s)
        self._measured_s = now.monotonic_s
        commands: list[Command] = [*self._log.tell_of_measuring()]
        reports = self._chargers.reports(now)
        self._chargers.count(reports)
        commands += self._charger_log.tell(reports, self._chargers.remarks(now, reports))
        commands += self._serials.tell_unused(now.monotonic_s)
        devices = tuple(found for found in reports.values() if isinstance(found, DeviceReport))
        if devices:
            commands.append(Store(Measurement(now.utc, self._name, devices), self.portal_id))
        return [*commands, *self._fall_into_step(now)]

    def _fall_into_step(self, now: Moment) -> list[Command]:
        """Sends a keepalive early, so that the next one is due with the next measurement.

        Not to an old GX: it takes each one for a request for everything.
        """
        asked, beat_s = self.keepalives, self._beat.next_s
        is_out_of_step = beat_s - IN_STEP_S <= asked.next_s < beat_s
        return [asked.prolong(now)] if is_out_of_step and not asked.is_empty else []

    def _look_into_silence(self, now: Moment) -> list[Log]:
        """Logs a long silence. Runs with each keepalive, so it causes no wake-up of its own.

        The GX may have been replaced: its chargers hold no serial against those that are heard.
        """
        silent_since_s = max(self.heard_s, self._connection.connected_s)
        if now.monotonic_s - silent_since_s <= SILENCE_S:
            return []
        if not self._is_silent:
            self._is_silent = True
            self._chargers.unconfirm(now.monotonic_s)
        return self._log.tell_of_silence()
