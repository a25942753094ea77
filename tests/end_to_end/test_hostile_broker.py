"""Tests a broker that attacks: the service stays small, keeps posting, and logs little."""

import signal
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from mqtt_http_bridge.core.venus.paths import PATHS
from tests.support.extent import IS_LONG, extent
from tests.support.hostile_broker import PORTAL, HostileBroker, of_charger, value
from tests.support.mqtt_packets import CONNACK, SUBACK, length_of, publish
from tests.support.running import World, call

MIB = 1_048_576
MOST_MORE_MIB = 64
MOST_MORE_FOR_GXS_MIB = 72
"""Ten thousand GX devices, as many as are kept, take 52 to 57 MiB more, depending on who else is at
work; all that are told of would take 139."""
MOST_MORE_FOR_FLEET_MIB = 144
"""A fleet of that size takes 105 to 126 MiB more, most of it for ten thousand chargers."""
MOST_LINES = 80
"""A line for each charger that is left out, 64 at most, is the worst."""
MOST_KEEPALIVES = 20
MOST_GXS = 10_000
Packets = Iterable[bytes]


def huge_packets() -> Packets:
    """Of 256 MB each, one that is wanted and two of other kinds."""
    topic = f"N/{PORTAL}/solarcharger/277/Serial".encode()
    for first in (b"\x30", b"\x32", b"\x90"):
        yield first + b"\xff\xff\xff\x7f" + len(topic).to_bytes(2, "big") + topic
        for _ in range(255):
            yield bytes(MIB)
        yield bytes(256 * MIB - 1 - 255 * MIB - 2 - len(topic))


def many_chargers() -> Packets:
    """A hundred thousand; two in a long run."""
    for begin in range(0, extent(100_000, 200_000), 1000):
        numbers = range(begin + 1000, begin + 2000)
        yield b"".join(of_charger("Serial", f"S{n}", n) for n in numbers)
        yield b"".join(of_charger("Yield/Power", 1.5, n) for n in numbers)


def long_texts() -> Packets:
    """Serials and names of 10 MB, and of nearly one."""
    yield of_charger("Serial", "x" * 10_000_000)
    for number in range(100):
        yield of_charger("CustomName", f"{number}" + "x" * 1_000_000)
        yield of_charger("Pv/0/Name", [number, *[[]] * 300_000])
        yield publish(f"N/{PORTAL}/full_publish_completed".encode(), value(["y" * 900_000]))


def much_text() -> Packets:
    """Hundreds of chargers, with the longest text that is taken on each of their paths."""
    longest = "\U0001f31e" * 999
    for n in range(16):
        portal = f"evil{n}"
        yield publish(f"N/{portal}/system/0/Serial".encode(), value(portal))
        yield publish(f"N/{portal}/heartbeat".encode(), value(1))
        for path in PATHS["solarcharger"]:
            for m in range(64):
                yield of_charger(path, f"{m % 10}{longest}", m, portal)


def many_rivals() -> Packets:
    """Thirty thousand units that share an instance by turns, with serials of a thousand letters."""
    for n in range(30_000):
        first, second = (of_charger("Serial", f"{n:0>999}{letter}", 300) for letter in "AB")
        yield first + second + first


def many_welcomes() -> Packets:
    """Thirty thousand CONNACKs, and as many answers to what was asked once."""
    yield CONNACK * 30_000
    yield SUBACK * 30_000


def questions() -> Packets:
    """A million of what asks for an answer; four in a long run."""
    for _ in range(extent(5, 20)):
        yield b"\xc0\x00" * 100_000
        yield b"\x62\x02\x00\x01" * 100_000


def kept_messages() -> Packets:
    """Messages of QoS 2, which have to be kept until they are released: 500 MB of them."""
    for number in range(1, 1001):
        body = b"\x00\x01t" + number.to_bytes(2, "big") + bytes(500_000)
        yield b"\x34" + length_of(len(body)) + body


def many_gxs() -> Packets:
    """Thirty thousand that are told of, and speak."""
    for begin in range(0, 30_000, 1000):
        for n in range(begin, begin + 1000):
            yield publish(f"N/evil{n}/system/0/Serial".encode(), value(f"evil{n}"))
            yield publish(f"N/evil{n}/heartbeat".encode(), value(1))


def many_topics() -> Packets:
    """Makes room for a fleet, and fills it with topics as long as any is remembered.

    Four hundred thousand take twice the memory that is allowed; in a long run there are a million.
    """
    for n in range(1000):
        yield publish(f"N/evil{n}/system/0/Serial".encode(), value(f"evil{n}"))
        yield publish(f"N/evil{n}/heartbeat".encode(), value(1))
    for begin in range(0, extent(400_000, 1_000_000), 1000):
        names = (f"N/{n:0>104}/solarcharger/1/Serial" for n in range(begin, begin + 1000))
        yield b"".join(publish(name.encode(), value("x")) for name in names)


def many_chargers_of_many_gxs() -> Packets:
    """Makes up a fleet of ten thousand, many of them with as many chargers as one may have."""
    for n in range(10_000):
        yield publish(f"N/evil{n}/system/0/Serial".encode(), value(f"evil{n}"))
        yield publish(f"N/evil{n}/heartbeat".encode(), value(1))
    for n in range(1000):
        for path, said in (("Serial", f"S{n}"), ("Yield/Power", 1.5), ("Yield/System", 1.5)):
            yield b"".join(of_charger(path, said, m, f"evil{n}") for m in range(64))


def flood() -> Packets:
    """Two million messages that are wanted, as fast as they go."""
    some = b"".join(of_charger(path, 1.25 * n) for n in range(100) for path in ("Pv/V", "State"))
    for _ in range(10_000):
        yield some


def malformed() -> Packets:
    """Makes messages that are no JSON, and some that name no charger."""
    for n in range(20_000):
        yield publish(f"N/{PORTAL}/solarcharger/{n}x/Serial".encode(), b"\xff" * 50)
        yield publish(f"N/{PORTAL}/solarcharger/277/CustomName".encode(), b"{%d" % n)


ATTACKS = (
    huge_packets,
    many_chargers,
    long_texts,
    much_text,
    many_rivals,
    many_welcomes,
    questions,
    kept_messages,
    many_gxs,
    many_topics,
    pytest.param(
        many_chargers_of_many_gxs,
        marks=pytest.mark.skipif(not IS_LONG, reason="takes a minute: tests/run slow runs it"),
    ),
    flood,
    malformed,
)


@pytest.fixture
def broker() -> Iterator[HostileBroker]:
    """Not attacking yet."""
    with HostileBroker() as broker:
        yield broker


@pytest.fixture
def backend_options() -> dict[str, Any]:
    """A backend that knows every charger; the broker of the world is not used."""
    return {"strict": False}


@pytest.mark.once
@pytest.mark.slow
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: str(attack.__name__))
def test_an_attack(attack: Callable[[], Packets], world: World, broker: HostileBroker) -> None:
    """Takes less than 64 MiB more, posts on, says a handful of lines, and wakes nobody too often.

    Those that make up GX devices may take more: see MOST_MORE_FOR_GXS_MIB, MOST_MORE_FOR_FLEET_MIB.
    """
    is_fleet = attack is many_chargers_of_many_gxs
    makes_gxs = attack in (many_gxs, many_topics, many_chargers_of_many_gxs, much_text)
    most_more_mib = MOST_MORE_FOR_GXS_MIB if makes_gxs else MOST_MORE_MIB
    process = world.run({"mqtt.port": broker.port, "device.update_interval": 10 if is_fleet else 1})
    world.backend.wait_for(2, 60.0)
    before_mib = process.memory_mib("VmRSS")
    keepalives, lines = broker.keepalives, len(process.lines)
    broker.attack(attack())
    world.backend.wait_for(len(world.backend.received) + 3, 60.0)
    more_mib = process.memory_mib("VmHWM") - before_mib
    print(f"{attack.__name__}: {more_mib:.0f} MiB, {broker.keepalives - keepalives} keepalives")
    assert more_mib < (MOST_MORE_FOR_FLEET_MIB if is_fleet else most_more_mib)
    assert len(process.lines) - lines <= MOST_LINES
    woken = 2 * MOST_GXS if makes_gxs else 0
    assert broker.keepalives - keepalives < MOST_KEEPALIVES + woken
    if makes_gxs:  # So many take their time to be told of one last time.
        process.send(signal.SIGTERM)
        assert process.wait() == 0
    else:
        assert process.stop() == 0


def test_a_burst_is_taken_in(world: World, broker: HostileBroker) -> None:
    """Three hundred thousand messages at once, right after the start, are no flood."""
    process = world.run({"mqtt.port": broker.port})
    world.backend.wait_for(2, 60.0)
    numbers = [(path, 1.25 * n) for n in range(100) for path in ("Pv/V", "Yield/Power", "State")]
    broker.attack([b"".join(of_charger(path, said) for path, said in numbers)] * 1000)
    world.backend.wait_for(len(world.backend.received) + 3, 60.0)
    assert not process.said("messages come faster")
    assert broker.connections == 1


def test_a_broker_that_grants_nothing(world: World, broker: HostileBroker) -> None:
    """It is told as what it is, by the log, by `status` and by `check`."""
    broker.refuses = True
    process = world.run({"mqtt.port": broker.port})
    process.wait_for("the broker refuses the subscription to N/+/system/0/Serial: have it allow")
    assert len(process.said("the broker refuses")) <= 2
    assert process.stop() == 0
    said = call("check", "-c", "config.yaml", directory=world.directory)
    assert "FAIL  subscription  the broker refuses the subscription to N/" in said.stdout
