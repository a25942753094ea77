"""Tests a broker that sends nonsense, with the memory of a GX: the service lives and posts.

Whatever comes in between, what the GX says still arrives. The limit is that of service/gx/run. What
a broker can do by sheer size is tried in tests/end_to_end/test_hostile_broker.py.
"""

import random
import re
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from tests.support.charger_values import single_tracker
from tests.support.extent import IS_LONG, extent
from tests.support.hostile_broker import PORTAL, HostileBroker, of_charger, value
from tests.support.mqtt_packets import CONNACK, PINGRESP, length_of, publish
from tests.support.patience import wait_until
from tests.support.places import ROOT
from tests.support.running import World

pytestmark = pytest.mark.slow

MOST_MORE_MIB = 64
MOST_AT_REST_MIB = 60
"""Of what counts for the limit, which is 143 MiB: with stacks of the usual size it was 71."""
PATIENCE_S = 60.0
MANY = extent(2_000, 200_000)
CONNECTIONS = extent(25, 3_000)
FAULT = (
    "import resource; from mqtt_http_bridge.adapters.broker import reconnect_delay;"
    " resource.setrlimit(resource.RLIMIT_DATA, ({0}, {0}));"
    " reconnect_delay.LONGEST_RECONNECT_WAIT_S = 0.05"
)
"""The limit, and no long wait after a connection that was none."""

Packets = Iterable[bytes]


def data_limit_bytes() -> int:
    """Limits the memory to what the service may take on a GX."""
    text = (ROOT / "service/gx/run").read_text(encoding="utf-8")
    found = re.search(r"softlimit -d (\d+)", text)
    assert found, text
    return int(found[1])


# --- what it says --------------------------------------------------------------------------------


def long_topics() -> Packets:
    """Of 64 KB, each another one: of a charger, of its GX, of another GX, and of none."""
    for n in range(MANY // 100):
        for begin in (f"N/{PORTAL}/solarcharger/277/", f"N/{PORTAL}/solarcharger/", "N/", ""):
            yield publish(f"{begin}{n}".encode().ljust(65_535, b"x"), value(1))
            yield publish(f"{begin}{n}/".encode().ljust(65_535, b"/"), value(1), 0x31)


def portal_ids() -> Packets:
    """Retained, as a broker keeps what anybody has once said; some are none."""
    for n in range(MANY // 10):
        for name in (f"evil{n}", f"{n}" * 64, f"Zürich {n}", f"+/{n}", f"\0{n}"):
            yield publish(f"N/{name}/system/0/Serial".encode(), value(name), 0x31)


def answers_to_nothing() -> Packets:
    """CONNACKs, SUBACKs and all the others, of lengths and numbers that are none."""
    yield CONNACK * MANY
    yield PINGRESP * MANY
    for n in range(MANY):
        number = (n % 65_536).to_bytes(2, "big")
        yield b"\x90" + length_of(3) + number + b"\x80"
        yield (
            b"\xb0\x02"
            + number
            + b"\x40\x02"
            + number
            + b"\x50\x02"
            + number
            + b"\x70\x02"
            + number
        )
    yield b"\x90" + length_of(2 + 60_000) + b"\x00\x01" + b"\x80" * 60_000


def the_same_again() -> Packets:
    """Everything that the charger says, again and again, as if it were sent for the second time."""
    everything = b"".join(of_charger(path, said) for path, said in single_tracker().items())
    again = b"".join(
        publish(f"N/{PORTAL}/solarcharger/277/{path}".encode(), value(said), 0x38)
        for path, said in single_tracker().items()
    )
    for _ in range(MANY // 10):
        yield everything + again


def slow_bytes() -> Packets:
    """A message byte by byte, in between those that the broker sends: from then on none is one."""
    packet = of_charger("Pv/V", 62.5)
    for place in range(len(packet)):
        yield packet[place : place + 1]


def half_a_packet() -> Packets:
    """Of which the rest never comes: the next packets are taken for it."""
    yield b"\x30\xff\xff\x7f\x00\x10N/"


def no_packets() -> Packets:
    """Types that are none, and a length without an end."""
    yield b"\x00\x00\xf0\x00"
    yield b"\x30\xff\xff\xff\xff\xff\xff"


def nonsense(rng: random.Random) -> bytes:
    """Some of what a GX says, with bytes in it replaced, doubled and left out; or any bytes."""
    if rng.random() < 0.2:
        return rng.randbytes(rng.choice([1, 10, 1000, 100_000]))
    said = [
        *(of_charger(path, value) for path, value in single_tracker().items()),
        publish(f"N/{PORTAL}/full_publish_completed".encode(), value(1)),
        publish(f"N/{PORTAL}/system/0/Serial".encode(), value(PORTAL), 0x31),
        *(CONNACK, PINGRESP, b"\x90\x03\x00\x01\x00"),
    ]
    stream = bytearray(b"".join(rng.choices(said, k=rng.randint(1, 40))))
    for _ in range(rng.randint(1, 4)):
        start = rng.randrange(len(stream) + 1)
        stop = start + rng.choice([0, 1, 1, 7, 300])
        stream[start:stop] = rng.randbytes(rng.choice([0, 1, 1, 4])) + stream[start:stop][:1] * (
            rng.choice([0, 0, 1, 500])
        )
    return bytes(stream)


# --- how it says that ----------------------------------------------------------------------------


class HangingUp(HostileBroker):
    """One that can end a connection, too."""

    def hang_up(self) -> None:
        """Ends the connection, if there is one."""
        client = self._client
        if client is not None:
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
            wait_until(lambda: self._client is not client)

    def wait_for_client(self) -> None:
        """Returns when there is a connection."""
        wait_until(lambda: self._client is not None)


Attack = Callable[[HangingUp], None]


def saying(packets: Callable[[], Packets]) -> Attack:
    """All of it on the connection that there is."""

    def attack(broker: HangingUp) -> None:
        broker.attack(packets())

    attack.__name__ = packets.__name__
    return attack


def any_bytes(broker: HangingUp) -> None:
    """On connections one after the other, each of which ends in the middle of something."""
    rng = random.Random(2026)
    deadly = (slow_bytes(), half_a_packet(), no_packets())
    for packets in (*deadly, *([nonsense(rng)] for _ in range(CONNECTIONS))):
        broker.wait_for_client()
        broker.attack(packets)
        broker.hang_up()


EACH: tuple[Attack, ...] = (
    *map(saying, (long_topics, portal_ids, answers_to_nothing, the_same_again)),
    any_bytes,
)
ATTACKS = [(attack,) for attack in EACH] if IS_LONG else [EACH]
"""Each against a service of its own; in a short run all against one."""

# --- what becomes of it --------------------------------------------------------------------------


@pytest.fixture
def broker() -> Iterator[HangingUp]:
    """Not attacking yet."""
    with HangingUp() as broker:
        yield broker


@pytest.fixture
def backend_options() -> dict[str, Any]:
    """A backend that knows every charger; the broker of the world is not used."""
    return {"strict": False}


def let_post(world: World) -> None:
    """Waits for the POST of what is measured from now on."""
    world.backend.wait_for(len(world.backend.received) + 2, PATIENCE_S)


@pytest.mark.parametrize("attacks", ATTACKS, ids=lambda attacks: attacks[0].__name__)
def test_nonsense(world: World, broker: HangingUp, attacks: tuple[Attack, ...]) -> None:
    """It posts in between and afterwards, has not grown, and ends when it is told to."""
    process = world.run({"mqtt.port": broker.port}, fault=FAULT.format(data_limit_bytes()))
    let_post(world)
    assert process.memory_mib("VmData") < MOST_AT_REST_MIB
    before_mib = process.memory_mib("VmRSS")
    for attack in attacks:
        attack(broker)
    let_post(world)
    more_mib = process.memory_mib("VmHWM") - before_mib
    print(f"{more_mib:.0f} MiB more, {broker.connections} connections")
    assert more_mib < MOST_MORE_MIB
    assert process.stop() == 0
