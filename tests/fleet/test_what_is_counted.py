"""Tests what the fleet's long test counts with: it must see a hole, a repeat, an old number."""

import json
from datetime import UTC, datetime
from email.message import Message
from pathlib import Path

import pytest

from mqtt_http_bridge.adapters.outbox import records
from mqtt_http_bridge.adapters.outbox.records import Entry
from mqtt_http_bridge.demo.server import Arrival
from tests.fleet.fleet import INTERVAL_S, NEVER, FleetBackend, Relay, Rows
from tests.fleet.synthetic_gxs import SyntheticGxs, age_s, portal_id, said_power_w, serial

BEGAN_S = datetime(2026, 11, 23, 9, 0, tzinfo=UTC).timestamp()


def arrival(after_s: float, serial: str, *, relay: str = "relay-0", old_s: float = 1.0) -> Arrival:
    """A measurement dated so long after the beginning; its number was said `old_s` before."""
    at_s = BEGAN_S + after_s
    headers = Message()
    headers["X-API-Key"] = relay
    device = {
        "serial": serial,
        "reachable": True,
        "yield_power_w": said_power_w(at_s - old_s),
    }
    timestamp = datetime.fromtimestamp(at_s, UTC).isoformat(timespec="microseconds")
    body = json.dumps({"timestamp": timestamp, "devices": [device]}).encode()
    return Arrival(0.0, "POST", "/", headers, body, 201)


def rows(*arrivals: Arrival) -> Rows:
    """All that is counted of these."""
    backend = FleetBackend()
    backend.received.extend(arrivals)
    return Rows.of(backend)


def on_the_beat(serial: str, *turns: int) -> list[Arrival]:
    """A measurement on each of these turns."""
    return [arrival(turn * INTERVAL_S, serial) for turn in turns]


def test_a_gx_on_its_beat_is_not_disturbed() -> None:
    """In whatever order its measurements arrive; they may be a millisecond off."""
    found = rows(*on_the_beat("A", 2, 0, 1), arrival(3 * INTERVAL_S + 0.0009, "A"))
    assert found.disturbed(["A"]) == []
    assert rows(*on_the_beat("B", 0, 1)).disturbed(["B"]) == []
    assert found.holes_s(["A"]) == [pytest.approx(INTERVAL_S + 0.0009, abs=1e-5)]


@pytest.mark.parametrize(
    "arrivals",
    [
        on_the_beat("A", 0, 1, 3),
        [*on_the_beat("A", 0, 1), arrival(INTERVAL_S + 0.5, "A")],
        [*on_the_beat("A", 0, 1), arrival(2 * INTERVAL_S + 0.002, "A")],
        on_the_beat("A", 0),
        [],
    ],
    ids=["one is missing", "one too many", "late", "one alone", "none"],
)
def test_a_gx_off_its_beat_is_disturbed(arrivals: list[Arrival]) -> None:
    """And no other beside it."""
    assert rows(*arrivals, *on_the_beat("B", 0, 1, 2)).disturbed(["A", "B"]) == ["A"]


def test_a_hole_is_as_long_as_what_is_missing() -> None:
    """It has no end with fewer than two measurements."""
    found = rows(*on_the_beat("A", 0, 1, 4, 5), *on_the_beat("B", 0))
    assert found.holes_s(["A", "B", "C"]) == [3 * INTERVAL_S, NEVER, NEVER]


def test_what_is_posted_twice_counts_once() -> None:
    """A relay posts again when an answer was lost; two GX devices are two all the same."""
    found = rows(*on_the_beat("A", 0, 1), *on_the_beat("A", 1), *on_the_beat("B", 1))
    assert found.count == 3


def test_a_span_of_time() -> None:
    """From its beginning on, up to its end and not with it."""
    found = rows(*on_the_beat("A", 0, 1, 2, 3))
    cut = found.between(BEGAN_S + INTERVAL_S, BEGAN_S + 3 * INTERVAL_S)
    assert [at_s - BEGAN_S for at_s, _ in cut.by_serial["A"]] == [INTERVAL_S, 2 * INTERVAL_S]


def test_the_relay_that_measured_last() -> None:
    """None has measured who is not there."""
    found = rows(arrival(5.0, "A", relay="relay-1"), arrival(0.0, "A", relay="relay-0"))
    assert (found.relay_of("A"), found.relay_of("B")) == ("relay-1", "")


def test_the_oldest_number() -> None:
    """One old number among many is seen, however the power turns over meanwhile."""
    found = rows(*on_the_beat("A", 0, 1, 2), arrival(3 * INTERVAL_S, "A", old_s=700.0))
    assert found.oldest_s == pytest.approx(700.0, abs=0.02)


@pytest.mark.parametrize("at_s", [0.0, 12.0, 12.344, 12.347, 999.996, 1000.0, 1e9 + 0.999])
def test_a_number_is_never_said_in_the_future(at_s: float) -> None:
    """One that is measured as soon as it is said is new, not as old as can be told."""
    assert 0.0 <= age_s(said_power_w(at_s), at_s + 1e-6) < 0.011
    assert age_s(said_power_w(at_s), at_s + 30.0) == pytest.approx(30.0, abs=0.011)


def test_each_gx_is_another() -> None:
    """Portal ids have twelve hexadecimal digits, as a GX has them."""
    assert len({portal_id(n) for n in range(300)} | {serial(n) for n in range(300)}) == 600
    assert all(len(portal_id(n)) == 12 and int(portal_id(n), 16) for n in (0, 299))


def test_the_connections_begin_with_different_nodes() -> None:
    """Each GX is on one of them; with more connections than nodes, they go round."""
    gxs = SyntheticGxs(range(5), ("a", "b"), 0, 3)
    assert (gxs.on("a"), gxs.on("b"), gxs.on("c")) == ({0, 2, 3}, {1, 4}, set())


def test_how_many_a_relay_has_measured(tmp_path: Path) -> None:
    """By the highest number in its outbox: of an entry that is there, or was before a segment."""
    relay = Relay(tmp_path, "relay-0", {})
    assert relay.measured == 0
    log = tmp_path / "relay-0/outbox/log"
    log.mkdir(parents=True)
    entry = Entry(7, "gx", b"{}", is_final=False)
    (log / "1.log").write_bytes(records.head("id", 7) + records.put(entry))
    assert relay.measured == 7
    (log / "2.log").write_bytes(records.head("id", 9))
    assert relay.measured == 8
    with (log / "2.log").open("ab") as segment:
        segment.write(records.done(9, "gx") + records.done(10, "gx"))
    assert relay.measured == 10
