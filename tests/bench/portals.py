"""Measures many GX devices: in the core alone, by the message, and just by being there."""

import time

from mqtt_http_bridge.core.commands import Command
from mqtt_http_bridge.core.events import Event, Message, Tick
from mqtt_http_bridge.core.venus.topics import is_interesting
from tests.bench.consumers import Consumer, paho_floor, relay, scene
from tests.bench.idle import watch
from tests.bench.loads import CHANGING, synthetic
from tests.bench.plan import Plan
from tests.bench.results import Results, rounds
from tests.bench.taker import backend
from tests.bench.through_broker import PER_100_000, play
from tests.bench.traffic import HEARTBEAT_S, payload, portal_ids, said_by
from tests.bench.virtual_gx import VirtualGx, moment
from tests.bench.waiting import Failed

PORTALS = (1, 10, 100, 1000)
NAMES = {count: f"{count} portal{'s' if count > 1 else ''}" for count in PORTALS}
IN_CORE = "CPU ms of the core for a portal and minute"
_CORE_S = 60
_INTERVAL_S = 30


# --- the core alone ----------------------------------------------------------------------------


def in_core(plan: Plan) -> Results:
    """Of one charger with ten messages a second; the core handles what the door lets through."""
    results = Results({"load": "one charger, ten messages a second, a measurement each 30 s"})
    for each_round in rounds(PORTALS, plan.pick(3, 1)):
        for count in each_round:
            ms = _core_cpu_s(count, plan.pick(_CORE_S, _INTERVAL_S)) * 1000 / count
            results.add(f"{NAMES[count]}, {IN_CORE}", "relay", ms)
    return results


def _core_cpu_s(portals: int, seconds: int) -> float:
    """CPU seconds of the core for a minute of all portals, measured over so many seconds."""
    gx = VirtualGx(portal_ids(portals), 1)
    gx.start()
    gx.let(_INTERVAL_S)
    began_s = gx.now_s
    cpu_s = 0.0
    for second in range(seconds):
        now_s = gx.now_s = max(gx.now_s, began_s + second)
        events = _events(portal_ids(portals), second, now_s)
        began_cpu_s = time.thread_time()
        commands = _handle(gx, events, now_s)
        cpu_s += time.thread_time() - began_cpu_s
        for command in commands:
            gx.carry_out(command)
    return cpu_s * 60 / seconds


def _handle(gx: VirtualGx, events: list[Event], now_s: float) -> list[Command]:
    commands: list[Command] = []
    while (due_s := gx.relay.next_deadline_s()) <= now_s:
        commands += gx.relay.handle(Tick(moment(due_s).at(due_s)))
    for event in events:
        commands += gx.relay.handle(event)
    return commands


def _events(portals: list[str], second: int, now_s: float) -> list[Event]:
    """Returns what the door lets through of one second."""
    now = moment(now_s)
    found: list[Event] = []
    for portal_id in portals:
        if second % HEARTBEAT_S == 0:
            found.append(Message(now, f"N/{portal_id}/heartbeat", payload(second)))
        found += [
            Message(now, said.topic, said.payload)
            for said in said_by(portal_id, 0, second, CHANGING)
            if is_interesting(said.topic)
        ]
    return found


# --- through a broker --------------------------------------------------------------------------


def by_message(plan: Plan) -> Results:
    """CPU time of 100,000 messages with many portals: no heartbeats, no measurements meanwhile."""
    results = Results({"load": "one charger of 48 paths at each portal, flat out"})
    with backend() as taker:
        for each_round in rounds(plan.pick(PORTALS, (10,)), plan.pick(3, 1)):
            for count in each_round:
                _play_to_portals(taker.url, count, plan.pick(200_000, 30_000), results)
    return results


def _play_to_portals(url: str, count: int, messages: int, results: Results) -> None:
    ids = portal_ids(count)
    load = synthetic(ids, 1, turns=max(2, messages // 48 // count))
    opening, data = load.flat(48 * count), load.flat(messages)
    calm = relay(url, ids, device={"update_interval": 3600}, outbox=_NO_PACE)
    for consumer in (calm, paho_floor()):
        with scene([_patient(consumer, count)], ids, 1) as found:
            play(found, consumer, opening)  # Every topic has been heard then.
            cpu_s = play(found, consumer, data)
        results.add(f"{NAMES[count]}, {PER_100_000}", consumer.name, cpu_s / messages * 1e5)


def awake(plan: Plan) -> Results:
    """Percent of a core with many portals awake: heartbeats, measurements and POSTs, no more."""
    window_s = plan.pick(60.0, 30.0)
    results = Results({"load": f"heartbeats each 3 s, measurements each 30 s, {window_s:g} s"})
    with backend() as taker:
        for count in plan.pick(PORTALS, (10,)):
            ids = portal_ids(count)
            consumers = [relay(taker.url, ids, outbox=_NO_PACE), paho_floor()]
            with scene([_patient(each, count) for each in consumers], ids, 1) as found:
                taken = taker.taken
                watch(found, window_s, NAMES[count], results)
                posts, expected = taker.taken - taken, count * window_s / _INTERVAL_S
            if posts < expected * 0.8:
                raise Failed(f"expected {expected:g} POSTs of {count} portals, found {posts}")
            results.add(f"{NAMES[count]}, POSTs", "relay", posts)
    return results


_NO_PACE: dict[str, object] = {"max_rate": 1000}


def _patient(consumer: Consumer, portals: int) -> Consumer:
    """The consumer with the time that the first measurements of many portals take."""
    return Consumer(consumer.name, consumer.start, consumer.warm_s + portals / 100)
