"""One GX: when to wake it, when to trust what it said, when to measure.

All deadlines are on the monotonic clock. What is due is done at the moment it was due, however
late the caller comes, and before anything that happened later: what a site measures follows from
the messages and their moments alone, live and in a replay.
"""

from typing import Final

from mqtt_http_bridge.core import topics, venus
from mqtt_http_bridge.core.commands import Command, Log, Publish, Store
from mqtt_http_bridge.core.events import Moment
from mqtt_http_bridge.core.fleet import Change, Fleet
from mqtt_http_bridge.core.measurement import DeviceReport, Measurement
from mqtt_http_bridge.core.news import ChargerNews
from mqtt_http_bridge.core.settings import Settings
from mqtt_http_bridge.core.venus import (
    AWAKE_S,
    KEEPALIVE_INTERVAL_S,
    ChargerReading,
    PublishCompleted,
    Reading,
)
from mqtt_http_bridge.core.views import SiteView

WARM_UP_S: Final = 10.0
"""How long a full publish may take; after that what has come is all there is to go by."""
COMPLETENESS_S: Final = 2.0
"""How long a charger that has appeared may take to say everything: it comes in one burst."""
SILENCE_S: Final = 60.0
"""A site not heard for so long is not measured: a gap is honest, an old value is not."""
FULL_PUBLISH_SPACING_S: Final = 60.0
"""The least time between two requests for everything, but for those of new connections."""

NEVER: Final = float("inf")


class Site:
    """The state and the schedule of one GX. Owned by one thread, as is the relay that holds it."""

    def __init__(self, portal_id: str, settings: Settings) -> None:
        self.heard_s = -NEVER
        """When the GX last said anything of its own accord; a retained message proves nothing."""
        self._portal_id = portal_id
        self._name = settings.device.cerbo_serial or portal_id
        self._interval_s = settings.device.update_interval_s
        self._refresh_interval_s = settings.mqtt.refresh_interval_s
        self._fleet = Fleet(settings.device)
        self._news = ChargerNews(self._name)
        self._is_silence_told = False
        self._is_measurement_owed = True
        self._awaited_echo: str | None = None
        self._requested_s = -NEVER
        self._keepalive_due_s = NEVER
        self._refresh_due_s = NEVER
        self._warm_up_due_s = NEVER
        self._completeness_due_s = NEVER
        self._overdue_s = NEVER
        """When a request for everything that got no echo counts as answered."""
        self._measure_due_s = NEVER

    def view(self, now: Moment) -> SiteView:
        """How it stands at `now`, for people."""
        return SiteView(self._portal_id, self._name, self.heard_s, self._fleet.views(now))

    # --- connection --------------------------------------------------------------------------

    def connect(self, now: Moment) -> list[Command]:
        """Everything is subscribed to: ask for all values, and trust nothing said before."""
        self._fleet.unconfirm()
        self._warm_up_due_s = now.monotonic_s + WARM_UP_S
        return self._request_everything(now)

    def disconnect(self) -> None:
        """Nothing can be asked for any more. Measuring goes on while what was heard is fresh."""
        self._keepalive_due_s = self._refresh_due_s = NEVER
        self._warm_up_due_s = self._completeness_due_s = self._overdue_s = NEVER
        self._awaited_echo = None

    @property
    def _is_connected(self) -> bool:
        return self._keepalive_due_s < NEVER

    @property
    def _is_warming_up(self) -> bool:
        return self._warm_up_due_s < NEVER

    # --- what is heard -----------------------------------------------------------------------

    def hear(self, reading: Reading, now: Moment, *, retained: bool) -> list[Command]:
        """Takes in a reading of this site."""
        commands = [] if retained else self._hear_life(now)
        if isinstance(reading, ChargerReading):
            commands += self._hear_charger(reading, now)
        elif isinstance(reading, PublishCompleted) and reading.echo is not None:
            commands += self._hear_echo(reading.echo, now)
        if self._is_warming_up and self._awaited_echo is None and self._fleet.has_said_all:
            commands += self._end_warm_up(now)
        return commands

    def _hear_life(self, now: Moment) -> list[Command]:
        gap_s = now.monotonic_s - self.heard_s
        self.heard_s = now.monotonic_s
        if gap_s <= AWAKE_S or self._is_warming_up or not self._is_connected:
            return []
        # It had gone to sleep: it says only what changes until it is asked for everything, and
        # what it said before may have changed unheard.
        self._fleet.unconfirm()
        self._warm_up_due_s = now.monotonic_s + WARM_UP_S
        return self._request_everything_soon(now)

    def _hear_charger(self, reading: ChargerReading, now: Moment) -> list[Command]:
        change = self._fleet.hear(reading.charger, reading.path, reading.said, now.monotonic_s)
        if change is Change.SWAPPED:
            return self._request_everything_soon(now)
        if change is Change.APPEARED and not self._is_warming_up:
            self._completeness_due_s = now.monotonic_s + COMPLETENESS_S
        return []

    def _hear_echo(self, echo: str, now: Moment) -> list[Command]:
        if echo != self._awaited_echo:
            return []
        self._awaited_echo = None
        self._overdue_s = NEVER
        is_somebody_missing = self._fleet.confirm(self._requested_s, now.monotonic_s)
        return self._request_everything_soon(now) if is_somebody_missing else []

    # --- what is due -------------------------------------------------------------------------

    def next_deadline_s(self) -> float:
        """When `act` is to be called; infinity if nothing will ever be due."""
        return min(
            self._keepalive_due_s,
            self._refresh_due_s,
            self._warm_up_due_s,
            self._completeness_due_s,
            self._overdue_s,
            self._measure_due_s,
        )

    def act(self, now: Moment) -> list[Command]:
        """Does all that is due at `now`, which is the moment of the deadline itself."""
        commands: list[Command] = []
        if self._completeness_due_s <= now.monotonic_s:
            commands += self._request_what_is_missing(now)
        if self._overdue_s <= now.monotonic_s:
            self._overdue_s = NEVER
            self._fleet.establish()
        if self._refresh_due_s <= now.monotonic_s:
            commands += self._request_everything(now)
        if self._keepalive_due_s <= now.monotonic_s:
            commands += [self._keepalive(venus.SUPPRESSED_KEEPALIVE, now)]
        if self._measure_due_s <= now.monotonic_s:
            self._measure_due_s += self._interval_s
            self._is_measurement_owed = True
            if not self._is_warming_up:
                commands += self._measure(now)
        if self._warm_up_due_s <= now.monotonic_s:
            commands += self._end_warm_up(now)
        return commands

    def _end_warm_up(self, now: Moment) -> list[Command]:
        """Makes the measurement that waited for it; the first of all sets the beat."""
        self._warm_up_due_s = NEVER
        self._measure_due_s = min(self._measure_due_s, now.monotonic_s + self._interval_s)
        commands = self._request_what_is_missing(now)
        if self._is_measurement_owed:
            commands += self._measure(now)
        return commands

    # --- keepalives --------------------------------------------------------------------------

    def _keepalive(self, payload: bytes, now: Moment) -> Command:
        self._keepalive_due_s = now.monotonic_s + KEEPALIVE_INTERVAL_S
        return Publish(topics.keepalive_topic(self._portal_id), payload)

    def _request_everything(self, now: Moment) -> list[Command]:
        # The moment tells this request from every other, of ours or of another relay's, and is
        # the same again in a replay.
        self._awaited_echo = f"mqtt-http-bridge {now.utc.isoformat(timespec='microseconds')}"
        self._requested_s = now.monotonic_s
        self._overdue_s = now.monotonic_s + WARM_UP_S
        self._refresh_due_s = now.monotonic_s + self._refresh_interval_s
        return [self._keepalive(venus.full_keepalive(self._awaited_echo), now)]

    def _request_everything_soon(self, now: Moment) -> list[Command]:
        """Asks for everything at once, or as soon as the last request is old enough."""
        if not self._is_connected:
            return []
        allowed_s = self._requested_s + FULL_PUBLISH_SPACING_S
        if now.monotonic_s >= allowed_s:
            return self._request_everything(now)
        self._refresh_due_s = min(self._refresh_due_s, allowed_s)
        return []

    def _request_what_is_missing(self, now: Moment) -> list[Command]:
        """Asks again if a charger that speaks has not said who it is.

        QoS 0 may have lost it. Or a unit was plugged in elsewhere: when its old place on the bus
        goes, topics are emptied that its new place shares, and only what changes is said again.
        """
        self._completeness_due_s = NEVER
        return self._request_everything_soon(now) if self._fleet.is_somebody_unheard else []

    # --- measuring ---------------------------------------------------------------------------

    def _measure(self, now: Moment) -> list[Command]:
        if now.monotonic_s - self.heard_s > SILENCE_S:
            return self._tell_of_silence()
        self._is_measurement_owed = False
        commands: list[Command] = []
        if self._is_silence_told:
            self._is_silence_told = False
            commands.append(Log.info(f"{self._name}: the GX is heard again: measuring"))
        roll = self._fleet.roll(now)
        commands += self._news.tell(roll)
        devices = tuple(found for found in roll.values() if isinstance(found, DeviceReport))
        if devices:
            commands.append(Store(Measurement(now.utc, self._name, devices)))
        return commands

    def _tell_of_silence(self) -> list[Command]:
        if self._is_silence_told:
            return []
        self._is_silence_told = True
        text = (
            f"the GX is not heard: not measuring. Is it on, and is {self._portal_id} its portal id?"
        )
        return [Log.warning(f"{self._name}: {text}")]
