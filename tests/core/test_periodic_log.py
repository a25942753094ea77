"""Tests the log of a day: it says what happens, and takes no more than a page."""

from datetime import UTC, datetime

from mqtt_http_bridge.app.relay_observer import RelayObserver
from mqtt_http_bridge.core.commands import Store
from mqtt_http_bridge.core.events import Connected, Event, Message, Moment, Tick
from mqtt_http_bridge.core.log import Log
from mqtt_http_bridge.core.relay.relay import Relay
from mqtt_http_bridge.core.settings import OutboxSettings, Settings
from mqtt_http_bridge.core.status.periodic_log import PeriodicLog
from mqtt_http_bridge.core.views import (
    BackendView,
    GxDelivery,
    GxOwed,
    OutboxView,
    ParkedView,
    RelayView,
    StatusView,
    Unstored,
)
from tests.support.charger_values import single_tracker
from tests.support.dbus_flashmq import payload_of
from tests.support.gx import PORTAL_ID

DAY_S = 86_400
START = Moment(1000.0, datetime(2026, 6, 1, 4, 0, tzinfo=UTC))
SERIAL = "HQ2211AAAA1"


def at(second: float) -> Moment:
    """So many seconds after the start."""
    return START.at(START.monotonic_s + second)


class Day:
    """A relay on a clock that goes as told, with what the log is told of the rest."""

    def __init__(self) -> None:
        self.delivery: GxDelivery | None = None
        """The fate of the newest measurement; None: it was stored just now."""
        self.owed = GxOwed()
        self.outbox = OutboxView()
        self.logs: list[Log] = []
        self.stored = 0
        self.relay = Relay(Settings(backend=None, outbox=OutboxSettings("unused")))
        told = PeriodicLog(START, self.status)
        self.observer = RelayObserver(self.relay.view, START, teller=told)

    def status(self, now: Moment, relay: RelayView) -> StatusView:
        """Returns what is known."""
        delivery = self.delivery or GxDelivery(newest=1, tried=now, stored=now, is_answered=True)
        backend = BackendView(moment=now, gx={PORTAL_ID: delivery})
        gx = {PORTAL_ID: self.owed} if self.owed != GxOwed() else {}
        outbox = self.outbox._replace(gx=gx, looked_s=now.monotonic_s)
        return StatusView("1", START, now, relay, backend, outbox)

    def handle(self, event: Event) -> None:
        """One event."""
        commands = self.relay.handle(event)
        for command in [*commands, *self.observer.see(event, commands)]:
            if isinstance(command, Log):
                self.logs.append(command)
            self.stored += isinstance(command, Store)

    def begin(self) -> None:
        """A GX with one charger is heard."""
        self.handle(Connected(at(0)))
        self.say(0.1, "system/0/Serial", payload_of(PORTAL_ID))
        for path, value in single_tracker().items():
            self.say(0.2, f"solarcharger/277/{path}", payload_of(value))

    def say(self, second: float, topic: str, payload: bytes) -> None:
        """The GX says something."""
        self.handle(Message(at(second), f"N/{PORTAL_ID}/{topic}", payload))

    def pass_until(self, second: int, since: int = 1) -> None:
        """Heartbeats, only every 9 s, to be quick: after 10 s nothing would be measured."""
        for beat in range(since, second, 9):
            self.say(beat, "heartbeat", b'{"value":1}')
            self.say(beat, "solarcharger/277/Pv/V", payload_of(60.0 + beat % 7))


def test_a_good_day_has_one_line() -> None:
    """After the lines of the start, one line a day: how much was measured, and by whom."""
    day = Day()
    day.begin()
    day.pass_until(2 * DAY_S + 60)
    texts = [line.text for line in day.logs if "all is well" in line.text]
    assert len(texts) == 2
    assert len(day.logs) - len(texts) <= 4
    assert "2880 measurements" in texts[1]
    assert "South roof 20.8 kWh" in texts[1]


def test_a_bad_day_has_one_line_an_hour() -> None:
    """While it is not well: what is wrong, and what to do; no more than 30 lines in all."""
    day = Day()
    day.begin()
    why = Unstored("the backend answered 401", "correct backend.api_key or its file")
    day.delivery = GxDelivery(newest=1, tried=START, unstored={SERIAL: why})
    day.owed = GxOwed(waiting=120, newest=1, since_s=START.monotonic_s)
    day.pass_until(DAY_S + 60)
    bad = [line for line in day.logs if line.text.startswith("not well")]
    assert len(bad) == 24
    assert len(day.logs) <= 30
    assert {line.level for line in bad} == {"WARNING"}
    assert bad[0].text == (
        f"not well: {PORTAL_ID}: the newest measurement is not stored: the backend answered 401:"
        " 120 measurements wait, the oldest for 60 min: correct backend.api_key or its file"
    )
    assert not [line for line in day.logs if "all is well" in line.text]


def test_the_end_of_trouble_is_told_within_the_hour() -> None:
    """Whoever read that something is wrong reads that it is over; a day later it is as ever."""
    day = Day()
    day.begin()
    day.owed = GxOwed(waiting=9, newest=1, since_s=START.monotonic_s)
    day.pass_until(3700)
    day.owed = GxOwed()
    day.pass_until(4 * 3600, since=3700)
    told = [line for line in day.logs if "well" in line.text]
    assert [line.text.partition(":")[0] for line in told] == ["not well", "all is well again"]


def test_what_is_parked_is_told_with_its_remedy() -> None:
    """Few are named, the others counted."""
    day = Day()
    day.begin()
    day.owed = GxOwed(
        parked=tuple(
            ParkedView(f"S{n}", 10, f"Device S{n} not found", "register it", START.monotonic_s)
            for n in range(5)
        )
    )
    day.pass_until(3700)
    (line,) = [line for line in day.logs if line.text.startswith("not well")]
    assert "10 reports of S0 are parked: Device S0 not found: register it, then" in line.text
    assert "outbox retry" in line.text
    assert "2 more" in line.text
    assert "S4" not in line.text


def test_what_only_memory_has_is_told_each_hour() -> None:
    """Though all of it may be stored at the backend: the next may be lost."""
    day = Day()
    day.begin()
    day.outbox = OutboxView(in_memory=7, fault="No space left on device")
    day.pass_until(3700)
    (line,) = [line for line in day.logs if "in memory" in line.text]
    assert line.level == "WARNING"
    assert line.text.startswith(
        "all is stored, but 7 measurements are in memory only: No space left on device: fix"
    )


def test_a_note_is_told_once_a_day() -> None:
    """A note that is no reason not to be well does not fill the log, nor is it kept quiet."""
    day = Day()
    day.begin()
    day.outbox = OutboxView(damaged=2)
    day.pass_until(DAY_S + 60)
    (line,) = [line for line in day.logs if "2 damaged places" in line.text]
    assert line.text.startswith("all is well, but look at this: 2 damaged places")
    assert "2880 measurements since" in line.text
    assert line.level == "WARNING"


def test_the_hour_comes_even_when_nothing_happens() -> None:
    """Without a connection nothing comes in: the log still has its time."""
    day = Day()
    assert day.observer.next_deadline_s() == START.monotonic_s + 3600.0
    day.handle(Tick(at(3600)))
    (line,) = day.logs
    assert "no connection to the GX's broker: no answer yet" in line.text
