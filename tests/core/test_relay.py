"""Tests the core as a whole: discovery, what reaches which site, and what always holds."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import combinations, pairwise
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqtt_http_bridge.core.broker_failure import BrokerFailure, Cause
from mqtt_http_bridge.core.commands import (
    Command,
    NoteClockStep,
    Publish,
    Reconnect,
    Store,
    Subscribe,
)
from mqtt_http_bridge.core.events import (
    AllRead,
    Connected,
    Disconnected,
    Event,
    Message,
    Moment,
    Tick,
)
from mqtt_http_bridge.core.log import Log
from mqtt_http_bridge.core.relay.keepalives import FULL_SPACING_S
from mqtt_http_bridge.core.relay.relay import Relay
from mqtt_http_bridge.core.settings import Settings
from mqtt_http_bridge.core.venus.keepalive import SUPPRESSED_KEEPALIVE
from tests.support.log_lines import as_logged
from tests.support.virtual import (
    CHARGER,
    OTHER_PORTAL,
    PORTAL,
    Virtual,
    connected,
    echo_of,
    is_full,
    measuring,
    moment,
    seconds,
    settings,
    value,
)


def subscriptions(virtual: Virtual) -> list[Subscribe]:
    """Returns what was subscribed to so far, in order."""
    return [done.command for done in virtual.done if isinstance(done.command, Subscribe)]


def subscribed(portal_id: str, *services: str) -> Subscribe:
    """All that is ever subscribed to of one GX."""
    return Subscribe(
        (
            f"N/{portal_id}/system/0/Serial",
            f"N/{portal_id}/heartbeat",
            f"N/{portal_id}/full_publish_completed",
            *(f"N/{portal_id}/{service}/#" for service in services),
        )
    )


# --- deadlines and the clock -----------------------------------------------------------------


def test_a_charger_that_appears_is_waited_for_from_then_on() -> None:
    """A deadline that becomes earlier by what is said counts, although a later one was known."""
    virtual = measuring(settings(PORTAL, interval_s=3600.0))
    virtual.at(12.0)
    assert virtual.relay.next_deadline_s() > 22.0
    virtual.charger({"Yield/Power": 1.0}, instance=1)
    assert virtual.relay.next_deadline_s() <= 22.0


def test_a_deadline_that_was_postponed_wakes_nobody() -> None:
    """Each heartbeat postpones the end of a connection on which nothing comes."""
    virtual = measuring(settings(PORTAL, interval_s=3600.0))
    virtual.let_beat(50.0)
    assert virtual.relay.next_deadline_s() == 60.0  # A keepalive, not 30 s after the first one.
    virtual.let_beat(20.0)
    assert virtual.relay.next_deadline_s() == 90.0


def test_a_gx_that_falls_silent_after_its_first_heartbeat() -> None:
    """From that on it should be heard, also where nothing was due to be looked after so soon."""
    virtual = connected(settings())
    virtual.at(20.0)
    virtual.tell_portal(retain=False)
    virtual.heartbeat()
    virtual.reset()
    virtual.at(50.0)
    assert [done.at_s for done in virtual.done if done.command == Reconnect()] == [50.0]


def test_a_deadline_of_the_last_connection_means_nothing() -> None:
    """A portal id is waited for from the connection on, whatever became of the one before it."""
    virtual = connected(settings())
    virtual.at(5.0)
    virtual.disconnect()
    virtual.at(8.0)
    virtual.connect()
    virtual.reset()
    virtual.at(17.9)
    assert virtual.log() == []
    virtual.at(18.0)
    assert "has not named a GX" in virtual.log()[0]


@pytest.mark.parametrize("step_s", [-3600.0, 2.1])
def test_a_clock_that_is_set_is_noted(step_s: float) -> None:
    """By how much, once, whatever brings the first moment of the new time; less is no setting."""
    relay = Relay(settings(PORTAL))
    relay.handle(Connected(moment(0.0)))
    late = moment(1.0)._replace(utc=moment(1.0).utc + timedelta(seconds=2.0))
    assert NoteClockStep not in map(type, relay.handle(Tick(late)))
    utc = late.utc + timedelta(seconds=1.0 + step_s)
    commands = relay.handle(Message(Moment(2.0, utc), f"N/{PORTAL}/heartbeat", value(1)))
    assert as_logged(commands[:2]) == [
        Log.info(f"the clock of this machine was set by {step_s:+.0f} s"),
        NoteClockStep(step_s),
    ]
    again = relay.handle(Tick(Moment(3.0, utc + timedelta(seconds=1.0))))
    assert NoteClockStep not in map(type, again)


# --- discovery and subscriptions -------------------------------------------------------------


def test_configured_gx_devices_are_asked_one_by_one() -> None:
    """The connection has subscribed to them by itself; each gets its own request for everything."""
    virtual = connected(settings(PORTAL, OTHER_PORTAL, interval_s=20.0))
    virtual.at(10.0)
    assert subscriptions(virtual) == []
    assert virtual.full_requests_s(PORTAL)[0] == 0.0
    assert virtual.full_requests_s(OTHER_PORTAL) == [10.0]


def test_without_a_portal_id_nothing_is_asked_for() -> None:
    """Nothing is published or subscribed to before it is known to whom."""
    virtual = connected(settings())
    virtual.let(100.0)
    assert [done.command for done in virtual.done if not isinstance(done.command, Log)] == []


@pytest.mark.parametrize("retain", [True, False], ids=["retained", "live, early in boot"])
@pytest.mark.parametrize(
    "services",
    [("solarcharger",), ("solarcharger", "multi", "inverter")],
    ids=["the default", "all"],
)
def test_the_portal_id_is_learnt_and_its_gx_opened(services: tuple[str, ...], retain: bool) -> None:
    """The one retained topic names the GX; from there on it is as if it had been configured."""
    virtual = connected(settings(services=services))
    virtual.at(0.25)
    virtual.tell_portal(retain=retain)
    assert subscriptions(virtual) == [subscribed(PORTAL, *services)]
    assert virtual.full_requests_s() == [0.25]
    virtual.answer()
    assert f"found the GX with portal id {PORTAL}" in virtual.log()
    assert virtual.measured_s() == [0.25]


def test_a_portal_id_said_twice_is_found_once() -> None:
    """The retained message comes with each subscription, and again when the GX says it."""
    virtual = connected(settings())
    virtual.tell_portal()
    virtual.answer()
    virtual.reset()
    virtual.tell_portal()
    virtual.tell_portal(retain=False)
    assert virtual.done == []


def test_a_learnt_portal_id_is_kept_for_the_next_connection() -> None:
    """A reconnect does not wait for discovery."""
    virtual = connected(settings())
    virtual.tell_portal()
    virtual.disconnect()
    virtual.let(1.0)
    virtual.reset()
    virtual.connect()
    assert subscriptions(virtual) == [subscribed(PORTAL, "solarcharger")]
    assert virtual.full_requests_s() == [1.0]


def test_another_gx_beside_a_configured_one_is_left_alone() -> None:
    """A portal id that was not asked for is no error once one was."""
    virtual = measuring(settings(PORTAL))
    virtual.reset()
    virtual.tell_portal(OTHER_PORTAL)
    virtual.charger(portal_id=OTHER_PORTAL)
    assert virtual.done == []


@pytest.mark.parametrize(
    "payload",
    [b"", b"{}", value(None), value("another id"), value(7), b"no JSON"],
    ids=["empty", "no value", "null", "of another GX", "a number", "no JSON"],
)
def test_a_serial_that_is_not_its_topic_is_no_discovery(payload: bytes) -> None:
    """Only a GX that names itself under its own id is one."""
    virtual = connected(settings())
    virtual.reset()
    virtual.say(f"N/{PORTAL}/system/0/Serial", payload, retain=True)
    assert virtual.done == []


def test_one_gx_that_speaks_keeps_the_connection() -> None:
    """The watch is over the connection: a GX that is off does not disturb the other one."""
    virtual = measuring(settings(PORTAL, OTHER_PORTAL), PORTAL)
    virtual.let_beat(300.0, PORTAL)
    assert Reconnect() not in [done.command for done in virtual.done]


def test_retained_messages_do_not_keep_a_deaf_connection() -> None:
    """Everything that the broker has kept proves that the broker is there, not that the GX is."""
    virtual = connected(settings(PORTAL))
    virtual.heartbeat()
    for _ in range(30):
        virtual.let(1.0)
        virtual.tell_portal(retain=True)
    assert [done.at_s for done in virtual.done if done.command == Reconnect()] == [30.0]


# --- messages --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "N",
        f"N/{PORTAL}",
        f"N/{PORTAL}/solarcharger/281/Dc/0/Voltage",
        f"N/{PORTAL}/solarcharger/281/History/Daily/0/Yield",
        f"N/{PORTAL}/battery/1/Serial",
        f"N/{PORTAL}/vebus/1/State",
        f"W/{PORTAL}/solarcharger/281/State",
        f"R/{PORTAL}/keepalive",
        "N//heartbeat",
        "$SYS/broker/uptime",
    ],
)
def test_a_topic_that_is_not_ours_means_nothing(topic: str) -> None:
    """Uninteresting topics are not heard, not counted and not told of."""
    virtual = measuring(settings(PORTAL))
    virtual.reset()
    virtual.say(topic, value(3))
    assert virtual.done == []
    assert virtual.relay.malformed_messages == 0


@pytest.mark.parametrize(
    ("topic", "payload", "told"),
    [
        (
            f"N/{PORTAL}/solarcharger/x/State",
            value(3),
            (
                f"topic 'N/{PORTAL}/solarcharger/x/State': expected a device instance after"
                " solarcharger"
            ),
        ),
        (
            f"N/{PORTAL}/solarcharger/281/State",
            b"no JSON",
            f"N/{PORTAL}/solarcharger/281/State: expected JSON with a value, found b'no JSON'",
        ),
    ],
    ids=["no instance", "no value"],
)
def test_malformed_messages_are_counted_and_the_first_is_told(
    topic: str, payload: bytes, told: str
) -> None:
    """The first one is quoted in the log; all are counted; none stops anything."""
    virtual = measuring(settings(PORTAL))
    virtual.reset()
    for _ in range(1000):
        virtual.say(topic, payload)
    assert virtual.relay.malformed_messages == 1000
    assert virtual.log() == [f"{told}: counted as unknown; further ones will not be logged"]


def test_services_that_were_not_asked_for_are_not_measured() -> None:
    """A recording may hold more than is subscribed to now."""
    virtual = connected(settings(PORTAL, services=("multi",)))
    virtual.charger(instance=1, service="solarcharger")
    virtual.charger({**CHARGER, "NrOfTrackers": 2}, instance=2, service="multi")
    virtual.let(10.0)
    (measurement,) = virtual.measurements()
    assert [device.device_instance for device in measurement.devices] == [2]


def test_there_is_no_deadline_before_anything_happened() -> None:
    """A relay that was never connected has nothing to wake up for."""
    assert Relay(settings(PORTAL)).next_deadline_s() == float("inf")


def test_broker_restarts_are_told_with_both_halves() -> None:
    """A broker that restarts every five minutes; how often that is told `log_limit` decides."""
    virtual = connected(settings(PORTAL, interval_s=60.0))
    for _ in range(12):
        virtual.answer()
        virtual.let_beat(290.0, every_s=29.0)
        virtual.disconnect()
        virtual.let(10.0)
        virtual.connect()
    trouble = "no connection to the broker: the connection was lost: will keep trying: "
    assert virtual.log()[3:] == [
        trouble + BrokerFailure(Cause.LOST).remedy,
        *["the broker and the GX are heard again", trouble + BrokerFailure(Cause.LOST).remedy] * 11,
    ]
    assert len({done.command.kind for done in virtual.done if isinstance(done.command, Log)}) <= 4


# --- whatever happens ------------------------------------------------------------------------

ANSWER: Literal["answer"] = "answer"
"""Stands for the completion of our own last request, whose echo nobody can draw."""


@dataclass(frozen=True, slots=True)
class Step:
    """After `gap_us` microseconds `what` happens; a Message is a topic with a payload."""

    gap_us: int
    what: Literal["answer", "connect", "disconnect", "tick", "read"] | tuple[str, bytes, bool]
    lag_us: int = 0
    """Microseconds before that at which a `read` had read everything."""


PORTALS = st.sampled_from([PORTAL, PORTAL, PORTAL, OTHER_PORTAL])
PAYLOADS = st.one_of(
    st.sampled_from([b"", b"{}", b"[]", b"null", b'{"value":NaN}', b"\xff", b"[" * 5000]),
    st.binary(max_size=8),
    st.one_of(
        st.none(),
        st.booleans(),
        st.floats(allow_nan=False, allow_infinity=False),
        st.integers(),
        st.sampled_from(["HQ1", "HQ2", "", " ", "\x00", [], {}]),
    ).map(value),
)


@st.composite
def said_by_chargers(draw: st.DrawFn) -> tuple[str, bytes, bool]:
    """A message of a charger, well-formed or not."""
    path = draw(st.sampled_from([*CHARGER, "Connected", "NrOfTrackers", "Pv/0/V", "Pv/0/P"]))
    service = draw(st.sampled_from(["solarcharger"] * 4 + ["multi", "battery"]))
    instance = draw(st.sampled_from(["0", "281", "281", "x", "-1"]))
    usual = value(CHARGER.get(path, 1))
    payload = draw(st.one_of(st.just(usual), st.just(usual), st.just(b""), PAYLOADS))
    return f"N/{draw(PORTALS)}/{service}/{instance}/{path}", payload, draw(st.booleans())


@st.composite
def said_by_the_gx(draw: st.DrawFn) -> tuple[str, bytes, bool]:
    """A message of the GX itself."""
    portal_id = draw(PORTALS)
    return draw(
        st.sampled_from(
            [
                (f"N/{portal_id}/heartbeat", value(1), False),
                (f"N/{portal_id}/system/0/Serial", value(portal_id), True),
                (f"N/{portal_id}/system/0/Serial", value(portal_id), False),
                (f"N/{portal_id}/full_publish_completed", value(1), False),
                (
                    f"N/{portal_id}/full_publish_completed",
                    b'{"full-publish-completed-echo":"x"}',
                    False,
                ),
            ]
        )
    )


GAPS_US = st.one_of(
    st.just(0),
    st.integers(0, 3_000_000),
    st.sampled_from([3_000_000, 10_000_000, 30_000_000, 60_000_000, 61_000_000]),
    st.integers(0, 700_000_000),
)
STEPS = st.builds(
    Step,
    GAPS_US,
    st.one_of(
        said_by_chargers(),
        said_by_chargers(),
        said_by_the_gx(),
        st.sampled_from([ANSWER, ANSWER, "connect", "connect", "disconnect", "tick"]),
        st.sampled_from(["read", "read"]),
        st.tuples(st.text(max_size=20), st.binary(max_size=8), st.booleans()),
    ),
    st.sampled_from([0, 0, 400_000, 3_000_000]),
)
HISTORIES = st.lists(STEPS, max_size=60).map(lambda steps: [Step(0, "connect"), *steps])
SETTINGS = st.builds(
    lambda portal_ids, interval_s, refresh_s: settings(
        *portal_ids, interval_s=interval_s, refresh_interval_s=refresh_s
    ),
    st.sampled_from([(), (PORTAL,), (PORTAL, OTHER_PORTAL)]),
    st.sampled_from([1.0, 5.5, 30.0, 47.0]),
    st.sampled_from([60.0, 300.0]),
)


@dataclass(frozen=True, slots=True)
class Run:
    """A history: the events as they were, and what came out at each."""

    events: list[Event]
    commands: list[Command]
    deadlines_s: list[float]


def play(relay_settings: Settings, events: Sequence[Event]) -> Run:
    """Hands `events` to a new relay."""
    relay, run = Relay(relay_settings), Run([], [], [])
    for event in events:
        run.events.append(event)
        run.commands.extend(relay.handle(event))
        run.deadlines_s.append(relay.next_deadline_s())
    return run


def events_of(relay_settings: Settings, steps: Sequence[Step]) -> list[Event]:
    """The events of a history; what answers the relay depends on what the relay asked."""
    relay, events, echo, now_us = Relay(relay_settings), list[Event](), "none yet", 0
    for step in steps:
        now_us += step.gap_us
        event = _event(step, now_us, echo)
        events.append(event)
        asked = [c for c in relay.handle(event) if isinstance(c, Publish) and is_full(c)]
        echo = echo_of(asked[-1]) if asked else echo
    return events


def _event(step: Step, now_us: int, echo: str) -> Event:
    now = moment(now_us / 1_000_000)
    match step.what:
        case "connect":
            return Connected(now, tells_reads=step.lag_us == 0)
        case "read":
            return AllRead(now, max(0.0, moment((now_us - step.lag_us) / 1e6).monotonic_s))
        case "disconnect":
            return Disconnected(now, BrokerFailure(Cause.LOST))
        case "tick":
            return Tick(now)
        case "answer":
            payload = json.dumps({"full-publish-completed-echo": echo}).encode()
            return Message(now, f"N/{PORTAL}/full_publish_completed", payload)
        case (topic, payload, retain):
            return Message(now, topic, payload, retain)


@given(SETTINGS, HISTORIES)
def test_whatever_comes_only_keepalives_go_out(relay_settings: Settings, steps: list[Step]) -> None:
    """No events make the relay raise anything, or publish or subscribe beyond what is ours."""
    run = play(relay_settings, events_of(relay_settings, steps))
    for command in run.commands:
        if isinstance(command, Publish):
            assert command.topic in (f"R/{PORTAL}/keepalive", f"R/{OTHER_PORTAL}/keepalive")
            assert command.payload in (SUPPRESSED_KEEPALIVE, b"") or echo_of(command)
        if isinstance(command, Subscribe):
            assert command in [subscribed(p, "solarcharger") for p in (PORTAL, OTHER_PORTAL)]


@given(SETTINGS, HISTORIES)
def test_whatever_comes_the_next_deadline_lies_ahead(
    relay_settings: Settings, steps: list[Step]
) -> None:
    """After each event all that was due is done: the loop never spins."""
    run = play(relay_settings, events_of(relay_settings, steps))
    for event, deadline_s in zip(run.events, run.deadlines_s, strict=False):
        assert deadline_s > event.moment.monotonic_s


@given(SETTINGS, HISTORIES)
def test_whatever_comes_no_deadline_is_forgotten(
    relay_settings: Settings, steps: list[Step]
) -> None:
    """After each event the next deadline is no later than that of any part."""
    relay = Relay(relay_settings)
    for event in events_of(relay_settings, steps):
        relay.handle(event)
        assert relay.next_deadline_s() <= relay._connection.next_deadline_s()
        for site in relay._portals.sites.values():
            assert relay.next_deadline_s() <= site.next_deadline_s()


@given(SETTINGS, HISTORIES, st.lists(st.integers(0, 700_000_000), max_size=20))
def test_whatever_comes_ticks_change_nothing_but_when(
    relay_settings: Settings, steps: list[Step], extra_us: list[int]
) -> None:
    """The same commands come in the same order with ticks anywhere, at each deadline, or never."""
    events = events_of(relay_settings, steps)
    end = events[-1].moment
    events.append(Tick(end))
    bare = play(relay_settings, [e for e in events[:-1] if not isinstance(e, Tick)] + events[-1:])
    ticks = [Tick(moment(t / 1e6)) for t in extra_us if t / 1e6 <= end.monotonic_s]
    crowded = sorted([*ticks, *events], key=lambda event: event.moment.monotonic_s)
    assert play(relay_settings, crowded).commands == bare.commands
    assert play(relay_settings, _with_deadlines(relay_settings, events)).commands == bare.commands


def _with_deadlines(relay_settings: Settings, events: Sequence[Event]) -> list[Event]:
    """`events` with a tick at each deadline, as a loop that is never late would give them."""
    relay, filled = Relay(relay_settings), list[Event]()
    for event in events:
        while relay.next_deadline_s() < event.moment.monotonic_s:
            filled.append(Tick(event.moment.at(relay.next_deadline_s())))
            relay.handle(filled[-1])
        filled.append(event)
        relay.handle(event)
    return filled


@given(SETTINGS, HISTORIES)
def test_whatever_comes_an_interval_has_one_measurement(
    relay_settings: Settings, steps: list[Step]
) -> None:
    """Of n measurements of a GX the first and the last are more than n - 2 intervals apart.

    Each belongs to an interval of its own; one that waited for a warm-up comes late in its own.
    """
    run = play(relay_settings, events_of(relay_settings, steps))
    stored = [c.measurement for c in run.commands if isinstance(c, Store)]
    interval_s = relay_settings.device.update_interval_s
    for portal_id in (PORTAL, OTHER_PORTAL):
        measured_s = [seconds(m.timestamp) for m in stored if m.cerbo_serial == portal_id]
        for first, last in combinations(range(len(measured_s)), 2):
            assert measured_s[last] - measured_s[first] > (last - first - 1) * interval_s


@given(SETTINGS, HISTORIES)
def test_whatever_comes_requests_are_a_minute_apart_but_for_connections(
    relay_settings: Settings, steps: list[Step]
) -> None:
    """Requests for everything are a minute apart, the first one of each connection aside.

    Empty ones are what keeps an old GX awake.
    """
    virtual = Virtual(relay_settings)
    spaced_s: dict[str, list[float]] = {PORTAL: [], OTHER_PORTAL: []}
    are_opened: set[str] = set()
    for event in events_of(relay_settings, steps):
        virtual.at(event.moment.monotonic_s)
        if isinstance(event, Connected):
            are_opened.clear()
        virtual.happen(event, event.moment.monotonic_s)
        for done in virtual.done:
            if isinstance(done.command, Publish) and is_full(done.command):
                portal_id = done.command.topic.split("/")[1]
                if portal_id in are_opened and done.command.payload:
                    spaced_s[portal_id].append(done.at_s)
                are_opened.add(portal_id)
        virtual.reset()
    for each_s in spaced_s.values():
        for before_s, then_s in pairwise(each_s):
            assert then_s - before_s >= FULL_SPACING_S - 1e-6


@dataclass(slots=True)
class Known:
    """Knows one connection, in another way than the relay does."""

    is_connected: bool = False
    read_s: float = 0.0
    """By when all had been read; infinity where messages are read as they come."""
    heard_s: dict[str, float] = field(default_factory=dict)
    """For each GX by when it had said something live, at the earliest."""

    def note(self, event: Event) -> None:
        now_s = event.moment.monotonic_s
        match event:
            case Connected(tells_reads=tells_reads):
                self.is_connected, self.heard_s = True, {}
                self.read_s = now_s if tells_reads else float("inf")
            case Disconnected():
                self.is_connected = False
            case AllRead(until_s=until_s):
                self.read_s = max(self.read_s, until_s)
            case Message(topic=topic, retain=False) if topic.startswith("N/"):
                self.heard_s[topic.split("/")[1]] = min(now_s, self.read_s)


@given(SETTINGS, HISTORIES)
def test_whatever_comes_a_measurement_is_fresh(relay_settings: Settings, steps: list[Step]) -> None:
    """Each is made on a connection, of a GX heard shortly before, when all had been read."""
    relay, known = Relay(relay_settings), Known()
    for event in _with_deadlines(relay_settings, events_of(relay_settings, steps)):
        commands = relay.handle(event)
        stored = [c.measurement for c in commands if isinstance(c, Store)]
        at_s = [seconds(measurement.timestamp) for measurement in stored]
        if any(found_s < event.moment.monotonic_s for found_s in at_s):
            assert known.is_connected  # It was due before this event.
        else:
            known.note(event)
        for measurement, found_s in zip(stored, at_s, strict=True):
            assert known.is_connected
            assert known.read_s >= found_s - 1.0
            assert known.heard_s[measurement.cerbo_serial] >= found_s - 60.0
        known.note(event)
