"""The log through a day: what happens is told, and nobody has to read more than a page of it."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from mqtt_http_bridge.app.watch import WatchedBackend, WatchedRelay
from mqtt_http_bridge.core.commands import Log, Store
from mqtt_http_bridge.core.delivery import Answer, NoReply, Reply
from mqtt_http_bridge.core.events import Connected, Event, Message, Moment, Tick
from mqtt_http_bridge.core.measurement import DeviceReport, Measurement, to_json
from mqtt_http_bridge.core.settings import OutboxSettings, Settings
from mqtt_http_bridge.core.story import Facts
from mqtt_http_bridge.core.views import BackendView, OutboxView, ParkedView, RelayView
from tests.charger_values import single_tracker
from tests.dbus_flashmq import payload_of
from tests.gx import PORTAL_ID
from tests.mosquitto import Login
from tests.running import World

DAY_S = 86_400
START = Moment(1000.0, datetime(2026, 6, 1, 4, 0, tzinfo=UTC))
SERIAL = "HQ2211AAAA1"


def at(second: float) -> Moment:
    """So many seconds after the start."""
    return START.at(START.monotonic_s + second)


class Day:
    """A relay on a clock that goes as told, with what the story is told of the rest."""

    def __init__(self) -> None:
        self.backend = BackendView(moment=START, is_taking=True)
        self.outbox = OutboxView()
        self.logs: list[Log] = []
        self.stored = 0
        self.relay = WatchedRelay(
            Settings(backend=None, outbox=OutboxSettings("unused")),
            START,
            is_shown=False,
            facts=self._facts,
        )

    def _facts(self, relay: RelayView) -> Facts:
        return Facts(relay, self.backend, self.outbox)

    def handle(self, event: Event) -> None:
        """One event."""
        for command in self.relay.handle(event):
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
        """Heartbeats, only every 20 s, to be quick."""
        for beat in range(since, second, 20):
            self.say(beat, "heartbeat", b'{"value":1}')
            self.say(beat, "solarcharger/277/Dc/0/Voltage", b'{"value":52.1}')


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
    """While something is owed: how much, why, and what to do; no more than 30 lines in all."""
    day = Day()
    day.begin()
    day.backend = BackendView(moment=START, reason="the backend answered 401: mend backend.api_key")
    day.outbox = OutboxView(waiting=120)
    day.pass_until(DAY_S + 60)
    owed = [line for line in day.logs if line.text.startswith("still owed")]
    assert len(owed) == 24
    assert len(day.logs) <= 30
    assert {line.level for line in owed} == {"WARNING"}
    assert "120 measurements wait: the backend answered 401: mend backend.api_key" in owed[0].text


def test_what_is_parked_is_owed_with_its_remedy() -> None:
    """Few are named, the others counted."""
    day = Day()
    day.begin()
    day.outbox = OutboxView(
        parked=tuple(ParkedView(f"S{n}", 10, f"Device S{n} not found") for n in range(5))
    )
    day.pass_until(3700)
    (line,) = [line for line in day.logs if line.text.startswith("still owed")]
    assert "10 reports of S0: Device S0 not found: register it at the backend" in line.text
    assert "outbox retry" in line.text
    assert "2 more" in line.text
    assert "S4" not in line.text


def test_a_backlog_that_drains_is_not_owed() -> None:
    """What is on its way needs nobody."""
    day = Day()
    day.begin()
    day.outbox = OutboxView(waiting=500)
    day.pass_until(3700)
    assert not [line for line in day.logs if "owed" in line.text]


def test_the_hour_comes_even_when_nothing_happens() -> None:
    """Without a connection nothing comes in: the story still has its time."""
    day = Day()
    assert day.relay.next_deadline_s() == START.monotonic_s + 3600.0
    day.backend = BackendView()
    day.outbox = OutboxView(waiting=3)
    day.handle(Tick(at(3600)))
    (line,) = day.logs
    assert "the backend has not answered yet" in line.text


# --- what is watched -----------------------------------------------------------------------------


class Answers:
    """A backend that answers as told."""

    def __init__(self) -> None:
        self.answer: Answer = Reply(201)
        self.is_closed = False

    def post(self, body: bytes) -> Answer:
        """As told."""
        return self.answer

    def close(self) -> None:
        """Noted."""
        self.is_closed = True


@pytest.fixture
def body() -> bytes:
    """A measurement of one charger."""
    report = DeviceReport(277, SERIAL, "a", "b", True, True, 1, 1.0, 1.0, ())
    return to_json(Measurement(START.utc, PORTAL_ID, (report,)))


def test_the_backend_is_watched(body: bytes) -> None:
    """What came of each POST is counted; the answer itself is passed on as it is."""
    answers = Answers()
    watched = WatchedBackend(answers, lambda: at(5))
    assert watched.post(body) is answers.answer
    assert watched.latest.is_taking
    assert dict(watched.latest.stored) == {SERIAL: at(5)}
    answers.answer = NoReply("gone")
    watched.post(body)
    assert (watched.latest.is_taking, watched.latest.reason) == (False, "gone")
    assert watched.latest.status is None
    result = {"device_identifier": SERIAL, "status": "error", "error": f"Device {SERIAL} not found"}
    answers.answer = Reply(404, str({"results": [result]}).replace("'", '"').encode())
    watched.post(body)
    assert watched.latest.is_taking
    assert dict(watched.latest.results) == {"stored": 1, "failed": 1, "partly": 1}
    watched.close()
    assert answers.is_closed


# --- the log of a process ------------------------------------------------------------------------


def test_the_start_is_told(tmp_path: Path) -> None:
    """Version, config, portal and chargers, in as many lines as there is something to say."""
    with World(tmp_path) as world:
        world.add_gx().add("solarcharger", 277, single_tracker())
        process = world.run()
        world.backend.wait_for(2, 20.0)
        process.stop()
        lines = process.lines
    assert str(tmp_path / "config.yaml") in lines[0]
    assert "portal id auto" in lines[0]
    assert any(PORTAL_ID in line for line in lines)
    assert any(SERIAL in line for line in lines)
    assert len(lines) <= 6


def test_debug_tells_each_post_and_keepalive_and_no_secret(tmp_path: Path) -> None:
    """DEBUG adds what is sent; passwords and keys are not in it."""
    secret = "pass-SECRET-word"
    with World(tmp_path) as world:
        world.backend.api_key = "key-SECRET-key"
        world.broker.stop()
        world.broker.login = Login(user="mqtt-http-bridge", password=secret)
        world.broker.start()
        gx = world.add_gx()
        gx.add("solarcharger", 277, single_tracker())
        settings = {"logging.level": "DEBUG", "mqtt.password": secret}
        process = world.run(settings)
        world.backend.wait_for(2, 20.0)
        process.wait_for("POST of")
        process.wait_for(f"keepalive to R/{PORTAL_ID}/keepalive")
        process.stop()
        assert process.said("SECRET") == []
        assert all(line.startswith("DEBUG") for line in process.said("POST of"))
