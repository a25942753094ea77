"""Tests `listen` in virtual time: what it asks, when it asks again, and what ends the wait."""

import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from mqtt_http_bridge.app import listen
from mqtt_http_bridge.app.inbox import Inbox
from mqtt_http_bridge.app.listen import ANSWER_S, LOGIN_S, OLD_GX_S, GxHeard, Heard
from mqtt_http_bridge.core import omission
from mqtt_http_bridge.core.broker_failure import BrokerFailure, Cause
from mqtt_http_bridge.core.commands import Publish
from mqtt_http_bridge.core.events import (
    Connected,
    Disconnected,
    Event,
    Message,
    SubscriptionRefused,
)
from mqtt_http_bridge.core.relay.serials import Serials
from mqtt_http_bridge.core.settings import DeviceSettings, MqttSettings
from mqtt_http_bridge.core.shard import Shard, owner
from tests.support.charger_values import single_tracker
from tests.support.gx import StandInGx
from tests.support.mosquitto import Mosquitto
from tests.support.virtual import OTHER_PORTAL, PORTAL, START, echo_of, moment, value

AUTO = MqttSettings()
LISTED = MqttSettings(portal_ids=(PORTAL,))
TWO_HOSTS = MqttSettings(hosts=("first:1", "second:2"))
REFUSED = BrokerFailure(Cause.LOGIN_REFUSED, host="gx", port=1883)
LOST = BrokerFailure(Cause.LOST)


class Stage(Inbox):
    """A connection on which a test says what comes when; waiting for it takes no time.

    It is the inbox and the broker at once, and notes when it is asked for what.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0
        self.plan: list[Event] = []
        """In the order of time."""
        self.answers: dict[str, list[str]] = {}
        """The names of messages after each keepalive, by portal id; `echo` is the completion that
        was asked for."""
        self.asked: list[tuple[float, Publish]] = []
        self.subscribed: list[str] = []

    def get(self, timeout_s: float | None = None) -> Event | None:
        assert timeout_s is not None
        assert timeout_s >= 0.0
        ends_s = self.now_s + timeout_s
        if self.plan and self.plan[0].moment.monotonic_s <= ends_s:
            event = self.plan.pop(0)
            self.now_s = max(self.now_s, event.moment.monotonic_s)
            return event
        self.now_s = ends_s
        return None

    def subscribe(self, topics: tuple[str, ...]) -> None:
        self.subscribed += topics

    def publish(self, topic: str, payload: bytes) -> None:
        publish = Publish(topic, payload)
        self.asked.append((self.now_s, publish))
        portal_id = topic.split("/")[1]
        for name in self.answers.get(portal_id, []):
            self.plan.insert(0, said(self.now_s, name, portal_id, echo=echo_of(publish)))

    def asked_of(self, portal_id: str) -> list[tuple[float, bytes]]:
        topic = f"R/{portal_id}/keepalive"
        return [(at_s, publish.payload) for at_s, publish in self.asked if publish.topic == topic]


def said(at_s: float, name: str, portal_id: str = PORTAL, *, echo: str = "", **more: Any) -> Event:
    """A message of a GX."""
    texts = {
        "seen": ("system/0/Serial", value(portal_id)),
        "heartbeat": ("heartbeat", value(int(START.timestamp()))),
        "echo": ("full_publish_completed", completed(echo)),
        "somebody's echo": ("full_publish_completed", completed("another")),
        "no echo": ("full_publish_completed", value(1)),
        "power": ("solarcharger/277/Yield/Power", value(64.5)),
    }
    topic, payload = texts[name]
    return Message(moment(at_s), f"N/{portal_id}/{topic}", payload, **more)


def completed(echo: str) -> bytes:
    return json.dumps({"value": 1, "full-publish-completed-echo": echo}).encode()


@pytest.fixture(params=[Stage])
def stage(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """The connection; its time is the time of what is tested."""
    own: Stage = request.param()
    monkeypatch.setattr(listen, "time", SimpleNamespace(monotonic=lambda: own.now_s))
    yield own
    assert own.plan == []


def run(stage: Stage, *plan: Event, mqtt: MqttSettings = AUTO) -> Heard:
    """Listens until something ends it; returns what was heard."""
    return session_of(stage, *plan, mqtt=mqtt).heard


def session_of(stage: Stage, *plan: Event, mqtt: MqttSettings = AUTO) -> listen._Session:
    stage.plan += plan
    device = DeviceSettings()
    broker: Any = stage
    session = listen._Session(broker, mqtt, Serials(device), device)
    session.run(stage)
    return session


class Flood(Stage):
    """A connection on which there is always one more message, whatever the time is."""

    def get(self, timeout_s: float | None = None) -> Event | None:
        if self.plan:
            return super().get(timeout_s)
        self.now_s += 0.5
        assert self.now_s < 2 * LOGIN_S, "it goes on for ever"
        return said(self.now_s, "power")


def connected(at_s: float = 0.0) -> Connected:
    return Connected(moment(at_s))


def failed(at_s: float, failure: BrokerFailure = REFUSED) -> Disconnected:
    return Disconnected(moment(at_s), failure)


# --- the connection ------------------------------------------------------------------------------


@pytest.mark.parametrize("mqtt", [AUTO, TWO_HOSTS], ids=["one", "two"])
def test_each_address_has_its_time_to_answer(stage: Stage, mqtt: MqttSettings) -> None:
    """After that the failure names the first of them, and how long they had."""
    heard = run(stage, mqtt=mqtt)
    limit_s = LOGIN_S * len(mqtt.hosts)
    assert stage.now_s == limit_s
    assert heard.failure is not None
    assert heard.failure.cause is Cause.TIMED_OUT
    assert str(heard.failure) == f"{mqtt.each()[0].place}: no answer within {limit_s:.0f} s"
    assert not heard.is_connected


def test_an_address_that_fails_is_the_end_if_there_is_no_other(stage: Stage) -> None:
    """Its reason is what is told."""
    heard = run(stage, failed(3.0))
    assert stage.now_s == 3.0
    assert (heard.is_connected, heard.failure) == (False, REFUSED)


def test_the_last_address_that_fails_is_the_end(stage: Stage) -> None:
    """Not the first: the other one may let us in."""
    heard = run(stage, failed(3.0), failed(5.0, LOST), mqtt=TWO_HOSTS)
    assert stage.now_s == 5.0
    assert (heard.is_connected, heard.failure) == (False, LOST)


def test_the_second_address_lets_us_in(stage: Stage) -> None:
    """Then nothing is said of the first."""
    heard = run(stage, failed(3.0), connected(4.0), mqtt=TWO_HOSTS)
    assert stage.now_s == 4.0 + ANSWER_S
    assert (heard.is_connected, heard.failure) == (True, None)


def test_a_connection_that_breaks_is_the_end(stage: Stage) -> None:
    """Even if there is another address."""
    heard = run(stage, connected(1.0), failed(2.0, LOST), mqtt=TWO_HOSTS)
    assert stage.now_s == 2.0
    assert (heard.is_connected, heard.failure) == (False, LOST)


def test_what_the_broker_refuses_is_kept(stage: Stage) -> None:
    """All of it."""
    refused = [SubscriptionRefused(moment(1.0), topics) for topics in (("a", "b"), ("c",))]
    assert run(stage, connected(), *refused).refused_topics == ["a", "b", "c"]


def test_another_prefix_is_searched_for_only_if_nothing_was_heard(
    mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes some seconds."""
    searches = list[MqttSettings]()

    def find(mqtt: MqttSettings) -> dict[str, str]:
        searches.append(mqtt)
        return {"home": PORTAL}

    monkeypatch.setattr(listen, "find_prefixes", find)
    monkeypatch.setattr(listen, "ANSWER_S", 1.5)
    mqtt = MqttSettings(port=mosquitto.port)
    with StandInGx(mosquitto, heartbeat_s=0.1):
        assert listen.listen(mqtt, DeviceSettings()).prefixes == {}
    assert searches == []
    mosquitto.stop()
    mosquitto.start()  # Without what it retained.
    assert listen.listen(mqtt, DeviceSettings()).prefixes == {"home": PORTAL}
    assert searches == [mqtt]
    mosquitto.stop()
    assert listen.listen(mqtt, DeviceSettings()).prefixes == {}
    assert searches == [mqtt]


@pytest.mark.parametrize(("name", "is_told"), [("seen", True), ("power", True), ("", False)])
def test_something_is_told_by_an_announcement_or_an_answer(
    stage: Stage, name: str, *, is_told: bool
) -> None:
    """Of one of several GX devices; then the prefix is right."""
    plan = [said(1.0, name)] if name else []
    both = MqttSettings(portal_ids=(PORTAL, OTHER_PORTAL))
    assert session_of(stage, connected(), *plan, mqtt=both).is_any_told is is_told


def test_what_a_charger_has_not_said_by_the_end_it_does_not_say(mosquitto: Mosquitto) -> None:
    """It is told what is missing, and not that more may come."""
    values = single_tracker()
    del values["Yield/Power"]
    with StandInGx(mosquitto, heartbeat_s=0.1) as gx:
        gx.add("solarcharger", 277, values)
        heard = listen.listen(MqttSettings(port=mosquitto.port), DeviceSettings())
    (charger,) = heard.gxs[PORTAL].chargers
    assert charger.omission is not None
    assert charger.omission.cause is omission.Cause.NUMBER_UNKNOWN


# --- what ends the wait --------------------------------------------------------------------------


def test_it_ends_when_all_is_said(stage: Stage) -> None:
    """A GX that is announced, has published everything and has a clock has nothing to add."""
    stage.answers[PORTAL] = ["echo", "heartbeat", "power"]
    heard = run(stage, connected(), said(0.5, "seen"))
    assert stage.now_s == 0.5
    assert heard.seen == [PORTAL]
    gx = heard.gxs[PORTAL]
    assert (gx.is_answered, gx.is_completed) == (True, True)
    assert (gx.is_asked_plainly, gx.is_old, gx.is_retained) == (False, False, False)
    assert gx.ahead_s == -0.5
    ((_, publish),) = stage.asked
    assert publish.topic == f"R/{PORTAL}/keepalive"
    assert f"N/{PORTAL}/multi/#" in stage.subscribed


def test_a_completion_without_an_echo_will_do(stage: Stage) -> None:
    """Venus OS before 3.50 tells none."""
    stage.answers[PORTAL] = ["no echo", "heartbeat"]
    assert run(stage, connected(), said(0.5, "seen")).gxs[PORTAL].is_completed
    assert stage.now_s == 0.5


@pytest.mark.parametrize(
    "answers",
    [["heartbeat", "power"], ["echo", "power"], ["somebody's echo", "heartbeat"], []],
    ids=["not completed", "no heartbeat", "completed for somebody else", "nothing"],
)
def test_it_waits_for_what_is_missing(stage: Stage, answers: list[str]) -> None:
    """As long as an answer may take, from the connection on."""
    stage.answers[PORTAL] = answers
    heard = run(stage, connected(2.0), said(2.5, "seen"))
    assert stage.now_s == 2.0 + ANSWER_S
    assert heard.failure is None
    gx = heard.gxs[PORTAL]
    assert gx.is_answered is bool(answers)
    assert gx.is_completed is ("echo" in answers)
    assert (gx.ahead_s is not None) is ("heartbeat" in answers)


def test_what_was_completed_stays_so(stage: Stage) -> None:
    """Somebody else may ask right after us."""
    stage.answers[PORTAL] = ["somebody's echo", "echo"]
    assert run(stage, connected(), said(0.5, "seen")).gxs[PORTAL].is_completed


def test_it_waits_for_a_gx_that_is_set_and_not_announced(stage: Stage) -> None:
    """Only the announcement shows that its portal id is right."""
    stage.answers[PORTAL] = ["echo", "heartbeat"]
    heard = run(stage, connected(), mqtt=LISTED)
    assert heard.gxs[PORTAL].is_completed
    assert stage.now_s == ANSWER_S


def test_it_waits_for_each_gx(stage: Stage) -> None:
    """That one has said all does not end it."""
    stage.answers[PORTAL] = ["echo", "heartbeat"]
    both = said(0.5, "seen", OTHER_PORTAL), said(0.5, "seen")
    heard = run(stage, connected(), *both)
    assert (heard.gxs[PORTAL].is_completed, heard.gxs[OTHER_PORTAL].is_completed) == (True, False)
    assert stage.now_s == ANSWER_S


def test_it_waits_for_no_gx_that_is_not_ours(stage: Stage) -> None:
    """It is announced, and that is all that is wanted of it."""
    stage.answers[PORTAL] = ["echo", "heartbeat"]
    heard = run(stage, connected(), said(0.5, "seen", OTHER_PORTAL), said(0.6, "seen"), mqtt=LISTED)
    assert heard.seen == [OTHER_PORTAL, PORTAL]
    assert list(heard.gxs) == [PORTAL]
    assert stage.asked_of(OTHER_PORTAL) == []
    assert stage.now_s == 0.6


def test_of_a_fleet_only_our_share_is_asked(stage: Stage) -> None:
    """The others are listed."""
    ours = Shard(owner(PORTAL, 3), 3)
    assert not ours.serves(OTHER_PORTAL)
    seen = said(0.5, "seen", OTHER_PORTAL), said(0.5, "seen")
    heard = run(stage, connected(), *seen, mqtt=AUTO._replace(shard=ours))
    assert (heard.seen, list(heard.gxs)) == ([OTHER_PORTAL, PORTAL], [PORTAL])


@pytest.mark.parametrize("stage", [Flood], indirect=True)
@pytest.mark.parametrize("is_let_in", [True, False])
def test_a_flood_ends_in_time(stage: Stage, *, is_let_in: bool) -> None:
    """Also one that comes before the login is answered."""
    heard = run(stage, *([connected(2.0)] if is_let_in else []), mqtt=LISTED)
    assert heard.is_connected is is_let_in
    assert stage.now_s == (2.0 + ANSWER_S if is_let_in else LOGIN_S)
    assert len(stage.asked_of(PORTAL)) == (2 if is_let_in else 0)


# --- asking again --------------------------------------------------------------------------------


def test_a_gx_that_says_nothing_is_asked_plainly(stage: Stage) -> None:
    """Once, as an old one needs it; one that then answers is old."""
    heard = run(stage, connected(1.0), said(1.5, "seen"), said(6.0, "power"))
    first, second = stage.asked_of(PORTAL)
    assert (first[0], second) == (1.5, (1.0 + OLD_GX_S, b""))
    gx = heard.gxs[PORTAL]
    assert (gx.is_asked_plainly, gx.is_answered, gx.is_old) == (True, True, True)


def test_a_gx_that_publishes_is_asked_the_same_again(stage: Stage) -> None:
    """It may have had too many requests at once; it is not old."""
    heard = run(stage, connected(), said(0.5, "seen"), said(1.0, "power"), said(6.0, "power"))
    first, second = stage.asked_of(PORTAL)
    assert second == (OLD_GX_S, first[1])
    gx = heard.gxs[PORTAL]
    assert (gx.is_asked_plainly, gx.is_old) == (False, False)


def test_an_old_gx_stays_old(stage: Stage) -> None:
    """However much it says."""
    later = [said(at_s, "power") for at_s in (6.0, 6.5, 7.0)]
    assert run(stage, connected(), said(0.5, "seen"), *later).gxs[PORTAL].is_old


def test_a_gx_that_has_published_all_is_not_asked_again(stage: Stage) -> None:
    """Another that has not is."""
    stage.answers[PORTAL] = ["echo", "heartbeat"]
    run(stage, connected(), said(0.5, "seen", OTHER_PORTAL), said(0.5, "seen"))
    assert len(stage.asked_of(PORTAL)) == 1
    assert [payload for _, payload in stage.asked_of(OTHER_PORTAL)][1:] == [b""]


# --- what counts ---------------------------------------------------------------------------------


def test_a_gx_is_announced_once(stage: Stage) -> None:
    """Its announcement comes again whenever it likes."""
    heard = run(stage, connected(), said(0.5, "seen"), said(0.6, "seen"))
    assert heard.seen == [PORTAL]
    assert len(stage.asked_of(PORTAL)) == 2  # Again as nothing came.


def test_what_the_broker_retains_is_no_answer(stage: Stage) -> None:
    """It is noted of a charger: a GX's own broker retains nothing of one."""
    retained = [said(1.0, name, retain=True) for name in ("power", "heartbeat", "no echo")]
    gx = run(stage, connected(), said(0.5, "seen", retain=True), *retained).gxs[PORTAL]
    assert (gx.is_retained, gx.is_answered, gx.is_completed) == (True, False, False)
    assert gx.ahead_s is None


def test_a_heartbeat_that_is_retained_is_no_charger_that_is(stage: Stage) -> None:
    """Nor is the announcement."""
    plan = said(0.5, "seen", retain=True), said(1.0, "heartbeat", retain=True)
    assert not run(stage, connected(), *plan).gxs[PORTAL].is_retained


def test_an_announcement_is_no_answer(stage: Stage) -> None:
    """Any client can make one, retained or not."""
    gx = run(stage, connected(), said(0.5, "seen"), said(0.6, "seen")).gxs[PORTAL]
    assert not gx.is_answered


def test_of_a_gx_that_is_not_ours_nothing_counts(stage: Stage) -> None:
    """Nor does what is no message of a GX."""
    odd = Message(moment(1.0), f"N/{PORTAL}/solarcharger/x/State", value(1))
    other = Message(moment(1.0), f"N/{PORTAL}/battery/1/Soc", value(1))
    stray = [said(1.0, name, OTHER_PORTAL) for name in ("power", "heartbeat", "no echo")]
    heard = run(stage, connected(), odd, other, *stray, mqtt=LISTED)
    assert list(heard.gxs) == [PORTAL]
    assert not heard.gxs[PORTAL].is_answered


@pytest.mark.parametrize(
    ("payload", "ahead_s"),
    [
        (value(START.timestamp() + 3.5), 2.5),
        (value(int(START.timestamp())), -1.0),
        (value("noon"), None),
        (value(None), None),
        (b"", None),
    ],
)
def test_the_clock_of_a_gx(stage: Stage, payload: bytes, ahead_s: float | None) -> None:
    """Its seconds minus ours; a heartbeat that tells none is one all the same."""
    heartbeat = Message(moment(1.0), f"N/{PORTAL}/heartbeat", payload)
    gx: GxHeard = run(stage, connected(), said(0.5, "seen"), heartbeat).gxs[PORTAL]
    assert (gx.ahead_s, gx.is_answered) == (ahead_s, True)
