"""Tests the relay as a process, between a GX on a real broker and a backend, with signals.

What holds in every test, `World` checks at its end: nothing but keepalives is published, and every
POST keeps the contract.
"""

import os
import signal
import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.support.charger_values import multi_tracker, single_tracker
from tests.support.faulty_backend import DROP_AFTER_STORING, Forced
from tests.support.fixtures import BARN, ROOF
from tests.support.gx import PORTAL_ID, StandInGx
from tests.support.mosquitto import Login, make_certificate
from tests.support.running import TIMEOUT_S, Document, Running, World, held_up_s

ROOF_SERIAL, BARN_SERIAL = "HQ2211AAAA1", "1234567 HQ2233RS45X"
OTHER_PORTAL_ID = "c0619ab35133"

LEFT_OUT_FOR_1_S = (
    "from mqtt_http_bridge.core.relay import charger_report; charger_report.LEFT_OUT_S = 1.0"
)
"""A charger that is lost is reported as such after a second."""
DEAF_AFTER_1_S = "from mqtt_http_bridge.core.relay import connection; connection.DEAF_S = 1.0"


def device(document: Document, instance: int = ROOF) -> dict[str, Any]:
    """The report of one charger in a measurement; empty if it is not in there."""
    return next((d for d in document["devices"] if d["device_instance"] == instance), {})


def power_w(document: Document, instance: int = ROOF) -> float | None:
    """The power of one charger in a measurement; None if it is not in there."""
    return device(document, instance).get("yield_power_w")


def timestamps(world: World) -> list[datetime]:
    """Returns when the measurements were taken that have been stored, in order, each once."""
    return sorted(
        {datetime.fromisoformat(timestamp) for timestamp, _ in list(world.backend.stored)}
    )


def wait_for_unbroken(world: World, count: int) -> list[datetime]:
    """The timestamps of what is stored, once the last `count` have none missing between them.

    None is missing at an interval of 1 s if each is the one before plus 1.000000 s. One that a busy
    machine has made late has its own time, and the next one that of the beat.
    """

    def is_there() -> bool:
        last = timestamps(world)[-count:]
        steps = {after - before for before, after in pairwise(last)}
        return len(last) == count and steps == {timedelta(seconds=1)}

    world.wait_until(is_there, timeout_s=count + TIMEOUT_S)
    return timestamps(world)


def instances(document: Document) -> list[int]:
    """The chargers in a measurement, in order."""
    return [device["device_instance"] for device in document["devices"]]


def bodies_by_timestamp(world: World) -> dict[str, set[bytes]]:
    """Returns what was sent of each measurement: more than one body where tries differ."""
    bodies: dict[str, set[bytes]] = {}
    for arrival in list(world.backend.received):
        bodies.setdefault(arrival.document["timestamp"], set()).add(arrival.body)
    return bodies


# --- the start -----------------------------------------------------------------------------------


def test_three_seconds_from_the_start_to_the_first_measurement(world: World, gx: StandInGx) -> None:
    """Within 3 s of its start the backend has what the GX says of both chargers, to the digit.

    What it waits for a processor that is busy with others does not count.
    """
    before, before_s = datetime.now(UTC), held_up_s(os.getpid())
    process = world.run({"device.update_interval": 30})
    (arrival,) = world.backend.wait_for(1, timeout_s=TIMEOUT_S)
    after, waited_s = datetime.now(UTC), process.held_up_s
    waited_s += held_up_s(os.getpid()) - before_s  # The GX and the backend are in here.

    measurement = arrival.document
    taken = datetime.fromisoformat(measurement.pop("timestamp"))
    heard = {
        device["device_instance"]: device.pop("last_update") for device in measurement["devices"]
    }
    assert arrival.monotonic_s - process.started_s - waited_s < 3.0
    assert arrival.status == 201
    # Its clock is good to 50 ms.
    assert before - timedelta(seconds=0.1) <= taken <= after + timedelta(seconds=0.1)
    assert heard == {ROOF: int(taken.timestamp()), BARN: int(taken.timestamp())}
    assert measurement == {
        "cerbo_serial": PORTAL_ID,
        "devices": [
            {
                "device_instance": BARN,
                "serial": BARN_SERIAL,
                "name": "MPPT RS barn",
                "product_name": "SmartSolar MPPT RS 450/200",
                "reachable": True,
                "producing": True,
                "yield_power_w": 3388.0,
                "yield_total_kwh": 18250.48046875,
                "trackers": [
                    {"tracker": 0, "name": "Barn east", "voltage": 310.32, "power": 1458.0},
                    {"tracker": 1, "name": "Barn west", "voltage": 290.88, "power": 1271.0},
                    {"tracker": 2, "name": "PV-3", "voltage": 303.88, "power": 659.0},
                ],
            },
            {
                "device_instance": ROOF,
                "serial": ROOF_SERIAL,
                "name": "South roof",
                "product_name": "BlueSolar Charger MPPT 150/45 rev3",
                "reachable": True,
                "producing": True,
                "yield_power_w": 64.52999877929688,
                "yield_total_kwh": 20.760000228881836,
                "trackers": [
                    {
                        "tracker": 0,
                        "name": "PV",
                        "voltage": 62.47999954223633,
                        "power": 64.52999877929688,
                    }
                ],
            },
        ],
    }


def test_two_gx_devices_behind_one_broker(world: World, gx: StandInGx) -> None:
    """With both portal ids listed, each GX has measurements of its own."""
    other = world.add_gx(portal_id=OTHER_PORTAL_ID)
    other.add("solarcharger", 5, single_tracker(serial="HQ9999OTHER"))

    world.run({"mqtt.portal_id": [PORTAL_ID, OTHER_PORTAL_ID]})

    first = world.wait_for_measurement(lambda m: m["cerbo_serial"] == PORTAL_ID)
    second = world.wait_for_measurement(lambda m: m["cerbo_serial"] == OTHER_PORTAL_ID)
    assert (instances(first), instances(second)) == ([BARN, ROOF], [5])


def test_one_of_two_gx_devices(world: World, gx: StandInGx) -> None:
    """With one portal id configured, the other GX behind the broker is not even woken."""
    other = world.add_gx(portal_id=OTHER_PORTAL_ID)
    other.add("solarcharger", 5, single_tracker(serial="HQ9999OTHER"))

    world.run({"mqtt.portal_id": PORTAL_ID, "device.cerbo_serial": "the barn"})

    assert instances(world.wait_for_measurement()) == [BARN, ROOF]
    assert world.wait_for_measurement()["cerbo_serial"] == "the barn"
    assert other.keepalives == []


def test_every_gx_behind_the_broker(world: World, gx: StandInGx) -> None:
    """Without a portal id each that is told of is relayed, later ones too; a stray one is not."""
    world.add_gx(portal_id="evil").freeze()
    other = world.add_gx(portal_id=OTHER_PORTAL_ID)
    other.add("solarcharger", 5, single_tracker(serial="HQ9999OTHER"))

    process = world.run({"device.cerbo_serial": {OTHER_PORTAL_ID: "the barn"}})

    assert instances(world.wait_for_measurement(lambda m: m["cerbo_serial"] == "the barn")) == [5]
    world.wait_for_measurement(lambda m: m["cerbo_serial"] == PORTAL_ID)
    late = world.add_gx(portal_id="c0619ab00003")
    late.add("solarcharger", 6, single_tracker(serial="HQ9999LATER"))
    world.wait_for_measurement(lambda m: m["cerbo_serial"] == "c0619ab00003")
    assert len(process.said("found the GX with portal id")) == 3
    assert process.stop() == 0


def test_on_a_gx_that_gx_alone(world: World, gx: StandInGx, tmp_path: Path) -> None:
    """It knows its own portal id: nobody else is subscribed to, whatever the broker tells of."""
    other = world.add_gx(portal_id=OTHER_PORTAL_ID)
    other.add("solarcharger", 5, single_tracker(serial="HQ9999OTHER"))
    unique_id = tmp_path / "unique-id"
    unique_id.write_text(f"{PORTAL_ID}\n", encoding="ascii")

    process = world.run(
        fault=(
            "from pathlib import Path; from mqtt_http_bridge.adapters import machine;"
            f" machine.UNIQUE_ID = Path({str(unique_id)!r})"
        )
    )

    process.wait_for(f"(portal id {PORTAL_ID})")
    assert instances(world.wait_for_measurement()) == [BARN, ROOF]
    assert other.keepalives == []


def test_an_old_gx(world: World) -> None:
    """Venus OS before 3.20 understands an empty keepalive alone, and gets one in the end."""
    gx = world.add_gx(is_old=True)
    gx.add("solarcharger", ROOF, single_tracker())

    process = world.run(
        fault=(
            "from mqtt_http_bridge.core.relay import keepalives, warm_up;"
            "keepalives.ANSWER_S = warm_up.WARM_UP_S = 1.0; keepalives.FULL_SPACING_S = 1.0;"
            "keepalives.FIRST_UNHEARD_S = 2.0"
        )
    )

    assert instances(world.wait_for_measurement()) == [ROOF]
    assert gx.keepalives[2] == b""
    process.wait_for("it answers as Venus OS before 3.20 does")


def test_all_three_services(tmp_path: Path) -> None:
    """A Multi RS and an Inverter RS are measured beside a charger of the same instance."""
    with World(tmp_path, services=3) as world:
        gx = world.add_gx()
        gx.add("solarcharger", 1, single_tracker())
        gx.add("multi", 1, multi_tracker(serial="HQ2222MULTI"))
        gx.add("inverter", 1, multi_tracker(serial="HQ2222INV"))
        gx.add("inverter", 2, {"Serial": "NO PV INPUT", "ProductName": "Phoenix Inverter"})

        world.run({"mqtt.services": ["solarcharger", "multi", "inverter"]})

        devices = world.wait_for_measurement()["devices"]
        serials = [device["serial"] for device in devices]
        assert serials == ["HQ2222INV", "HQ2222MULTI", ROOF_SERIAL]


@pytest.mark.once
def test_exactly_one_second_apart(world: World, gx: StandInGx) -> None:
    """Ten measurements at an interval of 1 s: each timestamp is the one before plus 1.000000 s."""
    world.run()

    assert len(wait_for_unbroken(world, 10)) >= 10


# --- the broker ----------------------------------------------------------------------------------


def restart_broker(world: World, gx: StandInGx, process: Running) -> None:
    """Starts the broker again, with the GX on it before the relay, as on a GX itself."""
    process.send(signal.SIGSTOP)
    connections = gx.connections
    world.broker.start()
    gx.wait_for_connection(connections + 1)
    process.send(signal.SIGCONT)


@pytest.mark.parametrize("ending", ["stop", "kill"])
def test_the_broker_restarts(world: World, gx: StandInGx, ending: str) -> None:
    """After SIGTERM or SIGKILL and a new start of the broker, measurements show new values."""
    process = world.run()
    world.wait_for_measurement()

    getattr(world.broker, ending)()
    process.wait_for("WARNING no connection to the broker")
    gx.set("solarcharger", ROOF, "Yield/Power", 99.5)
    restart_broker(world, gx, process)

    world.wait_for_measurement(lambda m: power_w(m) == 99.5)
    process.wait_for("the broker and the GX are heard again")


def test_no_broker_at_the_start(world: World, gx: StandInGx) -> None:
    """Without a broker it says so once and waits; when the broker comes, it measures."""
    world.broker.stop()

    process = world.run()
    line = process.wait_for("no connection to the broker")
    assert line.startswith("WARNING ")
    assert f"127.0.0.1:{world.broker.port}: Connection refused" in line
    world.broker.start()

    assert power_w(world.wait_for_measurement()) == 64.52999877929688
    assert len(process.said("no connection to the broker")) == 1


def test_a_gx_that_falls_silent(world: World) -> None:
    """Connected but deaf, it drops the connection and makes a new one until the GX is back.

    The 30 s of patience are 1 s here.
    """
    gx = world.add_gx(heartbeat_s=0.2)
    gx.add("solarcharger", ROOF, single_tracker())
    process = world.run(fault=DEAF_AFTER_1_S)
    world.wait_for_measurement()

    gx.freeze()
    process.wait_for("WARNING connected, but nothing heard")
    gx.set("solarcharger", ROOF, "Yield/Power", 99.5)
    gx.thaw()

    world.wait_for_measurement(lambda m: power_w(m) == 99.5)
    process.wait_for("the broker and the GX are heard again")


# --- chargers ------------------------------------------------------------------------------------


def test_a_charger_leaves_and_returns(world: World, gx: StandInGx) -> None:
    """Gone, it is reported as off with its last total; back, it is reported as ever."""
    world.run(fault=LEFT_OUT_FOR_1_S)
    before = world.wait_for_measurement()

    gx.remove("solarcharger", ROOF)
    off = world.wait_for_measurement(lambda m: device(m).get("reachable") is False)
    gx.add("solarcharger", ROOF, single_tracker(power_w=12.0, total_kwh=21.0))
    back = world.wait_for_measurement(lambda m: power_w(m) == 12.0)

    said, last_words = device(before), device(off)
    assert last_words.pop("last_update") >= said.pop("last_update")
    changed = {"reachable": False, "producing": False, "yield_power_w": 0.0, "trackers": []}
    assert last_words == said | changed
    assert power_w(off, BARN) == 3388.0
    assert instances(back) == [BARN, ROOF]
    assert device(back)["yield_total_kwh"] == 21.0


def test_what_is_of_no_interest_shows_that_a_charger_is_heard(world: World, gx: StandInGx) -> None:
    """By day a charger in float may change nothing but its current for minutes."""
    world.run()
    first = device(world.wait_for_measurement())["last_update"]
    assert isinstance(first, int)
    time.sleep(2.1)  # `last_update` is in whole seconds.
    gx.set("solarcharger", ROOF, "Dc/0/Current", 77.5)
    world.wait_for_measurement(lambda m: device(m)["last_update"] > first)


def test_a_unit_is_swapped(world: World, gx: StandInGx) -> None:
    """Another unit in the same place starts afresh: nothing of the old one is told as its own."""
    world.run()
    world.wait_for_measurement()

    gx.remove("solarcharger", ROOF)
    new = single_tracker(serial="HQ2400NEW01", custom_name="", power_w=7.5, total_kwh=0.25)
    gx.add("solarcharger", ROOF, new)
    world.wait_for_measurement(lambda m: device(m).get("serial") == "HQ2400NEW01")

    stored = list(world.backend.stored.items())
    by_serial = {
        serial: {
            (report["name"], report["yield_power_w"], report["yield_total_kwh"])
            for (_, of), report in stored
            if of == serial
        }
        for serial in (ROOF_SERIAL, "HQ2400NEW01")
    }
    assert by_serial["HQ2400NEW01"] == {("BlueSolar Charger MPPT 150/45 rev3", 7.5, 0.25)}
    old_totals = {total for _, _, total in by_serial[ROOF_SERIAL]}
    assert old_totals == {20.760000228881836}


def test_unknown_is_not_zero(world: World, gx: StandInGx) -> None:
    """A charger whose power is null is left out until it says a number; the others are measured."""
    world.run()
    world.wait_for_measurement()

    gx.set("solarcharger", ROOF, "Yield/Power", None)
    without = world.wait_for_measurement(lambda m: not device(m))
    gx.set("solarcharger", ROOF, "Yield/Power", 1.5)
    again = world.wait_for_measurement(lambda m: power_w(m) == 1.5)

    assert instances(without) == [BARN]
    assert instances(again) == [BARN, ROOF]


# --- the backend ---------------------------------------------------------------------------------


def test_the_backend_is_away(world: World, gx: StandInGx) -> None:
    """All that was measured while nobody listened at the backend arrives later, without a gap."""
    process = world.run()
    first = world.wait_for_measurement()
    world.backend.down()
    process.wait_for("WARNING not delivered, kept in the outbox")
    world.backend.up()
    process.wait_for("the backend stores measurements again")

    assert wait_for_unbroken(world, 5)[0].isoformat(timespec="microseconds") == first["timestamp"]


def test_the_same_bytes_on_every_try(world: World, gx: StandInGx) -> None:
    """Refused, dropped, or stored with the answer lost: each try sends what the first one sent."""
    unavailable = Forced(503)
    world.backend.answer_next(unavailable, DROP_AFTER_STORING, unavailable)
    world.run()
    for tries in (1, 2, 3):
        world.backend.wait_for(tries, timeout_s=TIMEOUT_S)
        gx.set("solarcharger", ROOF, "Yield/Power", 100.0 + tries)
    tried = {arrival.body for arrival in world.backend.wait_for(3, TIMEOUT_S)}

    world.wait_until(lambda: tried <= world.taken)

    assert all(len(bodies) == 1 for bodies in bodies_by_timestamp(world).values())


def test_a_serial_that_the_backend_does_not_know(tmp_path: Path) -> None:
    """It is kept and said once, holds nobody up, and goes alone when somebody has registered it."""
    known = {ROOF_SERIAL}
    with World(tmp_path, known_serials=known) as world:
        gx = world.add_gx()
        gx.add("solarcharger", ROOF, single_tracker())
        gx.add("solarcharger", BARN, multi_tracker())
        process = world.run()
        arrivals = world.backend.wait_for(3, timeout_s=TIMEOUT_S)
        line = process.wait_for("parked until fixed")
        assert process.stop() == 0

        known.add(BARN_SERIAL)
        gx.remove("solarcharger", ROOF)
        gx.remove("solarcharger", BARN)
        world.run()
        owed = [(arrival.document["timestamp"], BARN_SERIAL) for arrival in arrivals]
        world.wait_until(lambda: set(owed) <= set(world.backend.stored))

        assert [arrival.status for arrival in arrivals] == [207, 207, 207]
        assert f"readings of {BARN_SERIAL}: Device {BARN_SERIAL} not found" in line
        assert len(process.said("parked until")) == 1
        assert len(world.backend.accepted) == len(set(world.backend.accepted))
        for arrival in arrivals:
            sent_later = [
                later.document
                for later in world.backend.received[len(arrivals) :]
                if later.document["timestamp"] == arrival.document["timestamp"]
            ]
            expected = arrival.document | {"devices": [device(arrival.document, BARN)]}
            assert sent_later == [expected]


# --- the end -------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_the_end(world: World, gx: StandInGx, number: signal.Signals) -> None:
    """Each of these ends it in good order: status 0, in no time, with a last line."""
    process = world.run()
    world.wait_for_measurement()

    assert process.stop(number) == 0

    assert process.lines[-1].startswith("INFO stopped: ")


def test_the_end_while_the_backend_does_not_answer(world: World, gx: StandInGx) -> None:
    """A POST without an answer does not hold the end up; the next process sends the same bytes."""
    world.backend.answer_next(Forced(201, delay_s=60.0))
    process = world.run({"device.update_interval": 60})
    world.backend.wait_for_arrivals(1, timeout_s=TIMEOUT_S)
    assert process.stop() == 0
    assert process.said("INFO stopped: 1 ")

    gx.remove("solarcharger", ROOF)
    gx.remove("solarcharger", BARN)
    world.run()

    first, second = world.backend.wait_for_arrivals(2, timeout_s=TIMEOUT_S)[:2]
    assert first.body == second.body


def test_the_end_while_the_broker_is_away(world: World, gx: StandInGx) -> None:
    """Waiting for a broker does not hold the end up either."""
    world.broker.stop()
    process = world.run()
    process.wait_for("no connection to the broker")

    assert process.stop() == 0


def test_a_power_cut(world: World, gx: StandInGx) -> None:
    """Whatever was not delivered when it was killed, the next process delivers, unchanged."""
    world.backend.always(Forced(503))
    process = world.run()
    tried = {arrival.body for arrival in world.backend.wait_for(2, timeout_s=TIMEOUT_S)}
    process.kill()

    world.backend.always(None)
    gx.remove("solarcharger", ROOF)
    gx.remove("solarcharger", BARN)
    world.run()

    world.wait_until(lambda: tried <= world.taken)


@pytest.mark.parametrize(
    ("thread", "fault"),
    [
        ("broker", "from mqtt_http_bridge.core.venus import topics; topics.is_interesting = None"),
        ("sender 1", "from mqtt_http_bridge.adapters.backend import Backend; Backend.post = None"),
    ],
    ids=["broker", "sender"],
)
def test_a_thread_dies(world: World, gx: StandInGx, thread: str, fault: str) -> None:
    """A bug that kills one thread ends the process, for its supervisor to start it afresh."""
    process = world.run(fault=fault)

    assert process.wait() == 1

    assert process.said(f"CRITICAL the thread {thread} died")
    assert process.lines[-1].startswith(f"mqtt-http-bridge: the thread {thread} has died")


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGTERM, -signal.SIGTERM), (signal.SIGINT, 1)],
    ids=["SIGTERM", "Ctrl+C"],
)
def test_the_end_while_the_rest_is_loaded(
    world: World, gx: StandInGx, number: signal.Signals, status: int
) -> None:
    """However long that takes on a small device: nothing has been measured, so nothing is lost."""
    process = world.run(
        fault="import time; from mqtt_http_bridge.adapters.broker import Broker;"
        " start = Broker.start;"
        " Broker.start = lambda *a: (start(*a), print('asked', flush=True), time.sleep(60.0))"
    )
    process.wait_for("asked")
    process.send(number)
    assert process.wait() == status


# --- who may connect -----------------------------------------------------------------------------


def test_a_wrong_password(world: World, gx: StandInGx) -> None:
    """It is told once and not tried again for a minute; waiting, it still ends when asked to."""
    world.broker.stop()
    world.broker.login = Login(user="mqtt-http-bridge", password="the right one")
    world.broker.start()

    wrong = world.run({"mqtt.password": "the wrong one"})
    line = wrong.wait_for("WARNING no connection to the broker")
    right = world.run({"mqtt.password": "the right one", "outbox.directory": "another"})

    assert "login refused" in line
    assert "compare mqtt.password with the network password" in line
    world.wait_for_measurement()
    assert wrong.stop() == 0
    assert len(wrong.said("no connection")) == 1
    assert right.stop() == 0


def test_the_certificate_of_a_gx(world: World, gx: StandInGx) -> None:
    """Pinned, it is trusted under an address that it does not name."""
    world.broker.stop()
    world.broker.certificate = make_certificate(world.directory)
    world.broker.start()

    world.run({"mqtt.tls": True, "mqtt.pinned_certificate": "certificate.pem"})

    assert instances(world.wait_for_measurement()) == [BARN, ROOF]


def test_the_certificate_of_a_gx_as_an_authority(world: World, gx: StandInGx) -> None:
    """As mqtt.ca_file it does not fit an address, and the log says so in one line."""
    world.broker.stop()
    world.broker.certificate = make_certificate(world.directory)
    world.broker.start()

    process = world.run({"mqtt.tls": True, "mqtt.ca_file": "certificate.pem"})

    line = process.wait_for("WARNING no connection to the broker")
    assert "its certificate is not trusted" in line
    assert "IP address mismatch" in line
    assert process.stop() == 0


# --- one installation ----------------------------------------------------------------------------


def test_the_client_id_stays(world: World, gx: StandInGx) -> None:
    """Made at the first start and kept beside the spool, it is the one that the broker sees."""
    ids = []
    for start in (1, 2):
        process = world.run()
        gx.wait_for_keepalive(start)
        assert process.stop() == 0
        ids.append((world.spool / "client-id").read_text(encoding="ascii").strip())

    first, second = ids
    assert first == second
    assert world.broker._log().count(f" as {first} ") == 2


def test_two_processes_with_one_outbox(world: World, gx: StandInGx) -> None:
    """The second one ends with status 1 and says why; the first one goes on."""
    first = world.run()
    count = len(world.backend.wait_for(1, timeout_s=TIMEOUT_S))

    second = world.run()

    assert second.wait() == 1
    assert second.lines[-1].startswith(f"mqtt-http-bridge: {world.spool}: expected to own this")
    world.backend.wait_for(count + 1, timeout_s=TIMEOUT_S)
    assert first.stop() == 0
    # Under the one name that both have, the second would have thrown the first off.
    name = (world.spool / "client-id").read_text(encoding="ascii").strip()
    assert world.broker._log().count(f" as {name} ") == 1


# --- the log -------------------------------------------------------------------------------------


def test_a_short_log(world: World, gx: StandInGx) -> None:
    """From the start to the end of a quiet run there are seven lines."""
    process = world.run()
    world.backend.wait_for(2, timeout_s=TIMEOUT_S)
    process.wait_for("the backend stores measurements")
    assert process.stop() == 0

    openings = [
        "INFO mqtt-http-bridge ",
        "INFO connected to the broker",
        f"INFO found the GX with portal id {PORTAL_ID}",
        f"INFO {PORTAL_ID}: charger solarcharger/{BARN} 'MPPT RS barn' ",
        f"INFO {PORTAL_ID}: charger solarcharger/{ROOF} 'South roof' ",
        "INFO the backend stores measurements",
        "INFO stopped: ",
    ]
    assert len(process.lines) == len(openings)
    assert all(map(str.startswith, process.lines, openings))


def test_no_secret_in_the_log(world: World, gx: StandInGx) -> None:
    """Neither the API key nor the password is in the log, at DEBUG, through thick and thin."""
    secrets = ["canary-api-key", "canary-password"]
    world.backend.api_key = secrets[0]
    world.backend.answer_next(Forced(401), DROP_AFTER_STORING)
    world.broker.stop()
    world.broker.login = Login(user="mqtt-http-bridge", password=secrets[1])
    world.broker.start()
    settings = {
        "backend.api_key": secrets[0],
        "mqtt.password": secrets[1],
        "logging.level": "DEBUG",
    }

    process = world.run(settings)
    process.wait_for("not delivered")
    assert process.stop() == 0
    again = world.run(settings)
    again.wait_for("not delivered")
    world.backend.wait_for(4, timeout_s=TIMEOUT_S)
    assert again.stop() == 0
    refused = world.run({**settings, "mqtt.username": "somebody else"})
    refused.wait_for("login refused")
    assert refused.stop() == 0

    lines = [*process.lines, *again.lines, *refused.lines]
    assert any("DEBUG" in line for line in lines)
    assert not [line for line in lines for secret in secrets if secret in line]
