"""Tests `check`: each line is ok if all is right, and fails for the one reason it is there for."""

import errno
import json
import signal
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from mqtt_http_bridge import __version__
from mqtt_http_bridge.adapters import clock, machine, network
from mqtt_http_bridge.adapters.config import load
from mqtt_http_bridge.adapters.outbox import Boot, Outbox
from mqtt_http_bridge.adapters.outbox.files import LogFiles
from mqtt_http_bridge.adapters.state_file import StateFile
from mqtt_http_bridge.app import check, listen, prefixes
from mqtt_http_bridge.app.dialect import DIALECT
from mqtt_http_bridge.app.listen import Heard
from mqtt_http_bridge.app.service_state import service_state
from mqtt_http_bridge.cli import DONE, WRONG_USAGE, main
from mqtt_http_bridge.core.measurement import DeviceReport, Measurement
from mqtt_http_bridge.core.settings import OutboxSettings
from mqtt_http_bridge.core.status.findings import Finding, Mark, ok
from mqtt_http_bridge.core.status.state_json import from_json, to_json
from tests.support.charger_values import multi_tracker, single_tracker
from tests.support.dbus_flashmq import payload_of
from tests.support.faulty_backend import Forced
from tests.support.gx import PORTAL_ID, StandInGx
from tests.support.mosquitto import Login, make_certificate
from tests.support.outboxes import store, take_oldest
from tests.support.patience import wait_until
from tests.support.peer import SERVER_UNAVAILABLE, Peer
from tests.support.running import World
from tests.support.virtual import OTHER_PORTAL

pytestmark = [pytest.mark.long, pytest.mark.lively]

SERIAL = "HQ2211AAAA1"
SECRET = "correct horse battery"
TELLS_AT_ONCE = (
    "from mqtt_http_bridge.app import state_reporter as a;"
    "from mqtt_http_bridge.core.status import state_file as b;"
    "a.LEAST_SPACING_S = b.LEAST_SPACING_S = 0.05"
)
"""Has a service write down at once how it goes: each test would wait 10 s for that."""


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shortens the wait for what does not come: what comes takes a quarter of a second."""
    monkeypatch.setattr(listen, "ANSWER_S", 2.5)
    monkeypatch.setattr(prefixes, "SEARCH_S", 0.3)


def found(world: World, settings: Mapping[str, object] | None = None) -> dict[str, list[Finding]]:
    """All findings by step."""
    steps: dict[str, list[Finding]] = {}
    for finding in check.walk(world.write_config(settings), {}):
        steps.setdefault(finding.step, []).append(finding)
        assert SECRET not in finding.text + finding.fix
        assert (finding.mark is Mark.WRONG) <= bool(finding.fix), finding
        assert finding.text.strip()
    return steps


def wrong(steps: dict[str, list[Finding]], step: str) -> Finding:
    """The first finding of a step, which has to be wrong."""
    finding = steps[step][0]
    assert finding.mark is Mark.WRONG, finding
    return finding


def test_all_holds(world: World, gx: StandInGx, capsys: pytest.CaptureFixture[str]) -> None:
    """In a sound world every line is ok and the exit status 0; nothing is posted by looking."""
    process = world.run({"device.update_interval": 30}, fault=TELLS_AT_ONCE)
    wait_until(lambda: has_stored(world))
    posted = len(world.backend.received)
    assert main(["check", "-c", str(world.directory / "config.yaml")]) == DONE
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if not line.startswith("ok  ")] == []
    steps = [line[6:19].strip() for line in lines]
    assert steps == [
        *("config", "GX name", "GX port", "GX TLS", "GX login", "portal id", "keepalive"),
        *("charger", "GX clock", "backend name", "backend TLS", "backend POST", "backend clock"),
        *("serial", "API key", "outbox", "room", "service", "status page"),
    ]
    charger = next(line for line in lines if "  charger" in line)
    for word in ("solarcharger/277", SERIAL, "South roof", "64.5 W", "PV 62.5 V", "external"):
        assert word in charger
    assert len(world.backend.received) == posted
    assert process.stop() == 0


def has_stored(world: World) -> bool:
    """Tells whether the service has written down that the backend has stored something."""
    state = service_state(OutboxSettings(str(world.spool))).state
    return state is not None and state.stored is not None


def test_before_the_first_start(
    world: World, gx: StandInGx, capsys: pytest.CaptureFixture[str]
) -> None:
    """--json prints one document. No service runs yet, and no key is proven: nothing is wrong."""
    path = world.write_config({"mqtt.password": SECRET})
    assert main(["check", "--json", "-c", str(path)]) == DONE
    text = capsys.readouterr().out
    document = json.loads(text)
    assert document["holds"] is True
    assert SECRET not in text
    marks = {f["step"]: f["mark"] for f in document["findings"] if f["mark"] != "ok"}
    assert marks == {"serial": "unknown", "API key": "unknown", "service": "warning"}
    assert all(set(f) == {"step", "mark", "text", "fix"} for f in document["findings"])


def test_a_config_that_everybody_can_read(
    world: World, gx: StandInGx, open_directory: Path
) -> None:
    """It works, and somebody should know, with the command that fixes it."""
    world.directory = open_directory
    path = world.write_config()
    path.chmod(0o644)
    (finding,) = found(world)["secrets"]
    assert finding.mark is Mark.WARNING
    assert finding.text == f"{path} holds a secret, and every user of this machine can read it"
    assert finding.fix == f"run: chmod o-r {path}"
    path.chmod(0o600)
    assert "secrets" not in found(world)


def test_what_cannot_be_printed_is_shown_as_an_escape(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A name from a GX does not speak to the terminal."""
    odd = [ok("charger", "Roof\x1b[2J\nok   all")]
    monkeypatch.setattr(check, "walk", lambda *_: iter(odd))
    check.check(Path("c.yaml"), {}, as_json=False)
    assert capsys.readouterr().out == "ok    charger       Roof\\x1b[2J\\nok   all\n"


def test_no_config(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a config nothing else can be looked at, and each line says so."""
    assert main(["check", "-c", str(tmp_path / "none.yaml")]) == WRONG_USAGE
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("FAIL  config")
    assert "run mqtt-http-bridge setup" in lines[0]
    assert lines[1].strip() == "-> fix this, then run check again"
    assert all("the config comes first" in line for line in lines[2:])


def test_no_backend_in_the_config(world: World, gx: StandInGx) -> None:
    """The GX is looked at all the same."""
    path = world.directory / "config.yaml"
    path.write_text(f"mqtt: {{port: {world.broker.port}}}", encoding="utf-8")
    findings = list(check.walk(path, {}))
    assert findings[0].mark is Mark.WRONG
    assert "backend.url" in findings[0].text
    marks = {finding.step: finding.mark for finding in findings}
    assert (marks["charger"], marks["backend"]) == (Mark.OK, Mark.UNKNOWN)


# --- the GX --------------------------------------------------------------------------------------


def test_unknown_name(world: World) -> None:
    """A name that stands for nothing; what needs it is not looked at, the rest is."""
    steps = found(world, {"mqtt.host": "gx.invalid"})
    finding = wrong(steps, "GX name")
    assert "gx.invalid:" in finding.text
    assert "this name does not resolve" in finding.text
    assert "mqtt.host" in finding.fix
    assert "mqtt-http-bridge setup" in finding.fix
    assert steps["GX port"][0].mark is Mark.UNKNOWN
    assert steps["backend POST"][0].mark is Mark.OK


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize(
    ("host", "text"),
    [
        ("127.0.0.1", "127.0.0.1 is an address: there is no name to look up"),
        ("localhost", "localhost is 127.0.0.1"),
    ],
)
def test_a_name_and_an_address(
    world: World, monkeypatch: pytest.MonkeyPatch, host: str, text: str
) -> None:
    """Only a name is looked up, that of the backend as well."""
    asked = list[str]()

    def addresses(name: str) -> list[str]:
        asked.append(name)
        return ["127.0.0.1"]

    monkeypatch.setattr(network, "addresses", addresses)
    steps = found(world, {"mqtt.host": host})
    assert asked.count("localhost") == (host == "localhost"), "the second time it may fail"
    assert steps["GX name"] == [ok("GX name", text)]
    address = "127.0.0.1 is an address: there is no name to look up"
    assert steps["backend name"] == [ok("backend name", address)]


@pytest.mark.parametrize(
    ("is_gx", "fix"),
    [
        (True, "switch on MQTT access"),
        (False, "this machine is no GX: set mqtt.host to the GX's address, or run: mqtt-http"),
    ],
    ids=["on a GX", "elsewhere"],
)
def test_closed_port(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_gx: bool, fix: str
) -> None:
    """MQTT access is off: the menu of the GX is named, unless this machine is no GX."""
    world.broker.stop()
    unique_id = tmp_path / "unique-id"
    if is_gx:
        unique_id.touch()
    monkeypatch.setattr(machine, "UNIQUE_ID", unique_id)
    finding = wrong(found(world), "GX port")
    assert "Connection refused" in finding.text
    assert finding.fix.startswith(fix)


@pytest.mark.usefixtures("_impatient")
def test_a_shard(world: World, gx: StandInGx) -> None:
    """Of several GX devices, others relay those that are not ours: nothing else is said."""
    world.add_gx(portal_id=OTHER_PORTAL)
    for settings, text in (
        (dict[str, object](), "announced by the broker: each GX is relayed"),
        ({"mqtt.shard": "0/2"}, "announced by the broker"),
    ):
        steps = found(world, settings)
        assert steps["portal id"][0].text.endswith(text)
        assert ("shard" in steps) == bool(settings)


@pytest.fixture
def tls(world: World, tmp_path: Path) -> Path:
    """The certificate of a broker that speaks TLS like a GX."""
    world.broker.stop()
    world.broker.certificate = make_certificate(tmp_path)
    world.broker.start()
    return world.broker.certificate.certificate_file


def test_pinned(world: World, tls: Path) -> None:
    """The certificate is shown, with its subject, and is the pinned one."""
    with StandInGx(world.broker) as gx:
        gx.add("solarcharger", 277, single_tracker())
        steps = found(world, {"mqtt.tls": True, "mqtt.pinned_certificate": str(tls)})
    (finding,) = steps["GX TLS"]
    assert finding.mark is Mark.OK
    assert "CN=venus.local, pinned" in finding.text
    assert finding.text.count(":") == 31
    assert steps["charger"][0].mark is Mark.OK


def test_self_signed(world: World, tls: Path) -> None:
    """A self-signed certificate that is not pinned: shown, with the verb that pins it."""
    steps = found(world, {"mqtt.tls": True})
    finding = wrong(steps, "GX TLS")
    assert "not pinned and not trusted" in finding.text
    assert "mqtt-http-bridge pin 127.0.0.1" in finding.fix
    assert steps["GX login"][0].mark is Mark.UNKNOWN


def test_another_certificate(world: World, tls: Path, tmp_path: Path) -> None:
    """Somebody else answers, or the GX was reset."""
    (tmp_path / "other").mkdir()
    other = make_certificate(tmp_path / "other").certificate_file
    finding = wrong(
        found(world, {"mqtt.tls": True, "mqtt.pinned_certificate": str(other)}), "GX TLS"
    )
    assert "not the one in mqtt.pinned_certificate" in finding.text


def test_pinned_file_is_no_certificate(world: World, tls: Path, tmp_path: Path) -> None:
    """The file that should hold it holds something else: nothing is thrown, the verb is named."""
    (tmp_path / "gx.pem").write_text("hello", encoding="utf-8")
    steps = found(world, {"mqtt.tls": True, "mqtt.pinned_certificate": "gx.pem"})
    assert "pin 127.0.0.1" in wrong(steps, "GX TLS").fix


def test_tls_on_a_plain_port(world: World, gx: StandInGx) -> None:
    """The port does not speak TLS."""
    finding = wrong(found(world, {"mqtt.tls": True, "mqtt.port": world.broker.port}), "GX TLS")
    assert "no TLS there" in finding.text


@pytest.mark.parametrize(
    ("settings", "fix"),
    [
        ({}, "set mqtt.password to"),
        ({"mqtt.password": SECRET}, "compare mqtt.password"),
    ],
    ids=["none", "wrong"],
)
def test_refused_login(world: World, settings: dict[str, object], fix: str) -> None:
    """A login that is missing or wrong: the key, and the menu where the password is."""
    world.broker.stop()
    world.broker.login = Login(user="mqtt-http-bridge", password="another")
    world.broker.start()
    steps = found(world, settings)
    finding = wrong(steps, "GX login")
    assert "refused" in finding.text
    assert fix in finding.fix
    assert "Access & Security" in finding.fix
    assert steps["portal id"][0].mark is Mark.UNKNOWN


def test_a_broker_that_is_merely_unavailable(world: World) -> None:
    """It is not the login that it refuses, so no password is asked for."""
    with Peer(SERVER_UNAVAILABLE) as peer:
        finding = wrong(found(world, {"mqtt.port": peer.port}), "GX login")
    assert "Server unavailable" in finding.text
    assert "password" not in finding.fix
    assert finding.fix.startswith("wait: ")


def test_a_connection_that_breaks(world: World) -> None:
    """A broker that lets us in and hangs up has not let us in for long: that is what is told."""
    with Peer(b"\x20\x02\x00\x00", hangs_up=True) as peer:
        steps = found(world, {"mqtt.port": peer.port})
    assert "the connection was lost" in wrong(steps, "GX login").text
    assert steps["portal id"][0].mark is Mark.UNKNOWN


@pytest.mark.usefixtures("_impatient")
def test_wrong_portal_id(world: World, gx: StandInGx) -> None:
    """Configured is one, the broker tells another: both are shown."""
    steps = found(world, {"mqtt.portal_id": "c0619ab35133"})
    finding = wrong(steps, "portal id")
    assert "c0619ab35133 is set" in finding.text
    assert PORTAL_ID in finding.text
    assert "VRM Portal ID" in finding.fix
    # Whether a GX sleeps that there may not be is not guessed at.
    assert [f.mark for f in steps["keepalive"]] == [Mark.UNKNOWN]
    assert not any("asleep" in f.text for each in steps.values() for f in each)
    assert {topic for topic, _ in gx.foreign_publishes} == {"R/c0619ab35133/keepalive"}
    gx._foreign_publishes.clear()


@pytest.mark.usefixtures("_impatient")
def test_no_portal_id(world: World) -> None:
    """A broker that is none of a GX."""
    finding = wrong(found(world), "portal id")
    assert "announces none" in finding.text


def test_two_portal_ids(world: World, gx: StandInGx) -> None:
    """Each is asked, and each is told of."""
    world.add_gx(portal_id="c0619ab35133", heartbeat_s=0.2)
    # Whether the second is told in time is up to the broker: the first has much to say.
    steps = found(world, {"mqtt.portal_id": ["c0619ab35133", PORTAL_ID]})
    assert steps["portal id"][0].mark is Mark.OK
    assert [finding.mark for finding in steps["keepalive"]] == [Mark.OK, Mark.OK]


@pytest.mark.usefixtures("_impatient")
def test_what_is_no_portal_id_is_neither_asked_nor_listed(world: World, gx: StandInGx) -> None:
    """It is left out as the relay leaves it out, however many there are."""
    gx._client.publish("N/a b/system/0/Serial", payload_of("a b"), retain=True)
    heard = heard_by_all(world)
    assert heard.seen == [PORTAL_ID]
    assert list(heard.gxs) == [PORTAL_ID]


@pytest.mark.usefixtures("_impatient")
def test_there_is_an_end_to_what_is_listed(
    world: World, gx: StandInGx, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At as many as the relay keeps."""
    monkeypatch.setattr(listen, "MOST_PORTALS", 3)
    for number in range(9):
        gx._client.publish(f"N/{number}/system/0/Serial", payload_of(f"{number}"), retain=True)
    heard = heard_by_all(world)
    assert len(heard.seen) == 3
    assert set(heard.gxs) == set(heard.seen)
    gx._foreign_publishes.clear()


def heard_by_all(world: World) -> Heard:
    """Returns what is heard of each GX that the broker announces."""
    settings = load(world.write_config({"mqtt.portal_id": "auto"}), {}, needs_backend=False)
    return listen.listen(settings.mqtt, settings.device)


@pytest.mark.usefixtures("_impatient")
def test_a_portal_id_that_somebody_left_on_the_broker(world: World, gx: StandInGx) -> None:
    """Any client can leave one there: it is told, and is nothing to fix."""
    gx._client.publish("N/evil/system/0/Serial", payload_of("evil"), retain=True)
    steps = found(world)
    assert steps["portal id"][0].mark is Mark.OK
    marks = {finding.text.split()[0]: finding.mark for finding in steps["keepalive"]}
    assert marks == {PORTAL_ID: Mark.OK, "evil": Mark.WARNING}
    assert [finding.mark for finding in steps["charger"]] == [Mark.OK]
    assert {topic for topic, _ in gx.foreign_publishes} == {"R/evil/keepalive"}
    gx._foreign_publishes.clear()


@pytest.mark.usefixtures("_impatient")
def test_a_gx_that_is_not_configured_is_let_sleep(world: World, gx: StandInGx) -> None:
    """Behind a broker of several, only those that are configured are asked for anything."""
    other = world.add_gx(portal_id="c0619ab35133", heartbeat_s=0.2)
    gx.freeze()  # So that nothing ends the wait before the other one has been told for long.
    found(world, {"mqtt.portal_id": PORTAL_ID})
    gx.wait_for_keepalive(1)
    assert (other.keepalives, other.awake) == ([], False)


def test_a_broker_that_does_not_answer(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Something takes the connection and never says a word: that is told, with how long it had."""
    monkeypatch.setattr(listen, "LOGIN_S", 0.6)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        steps = found(world, {"mqtt.port": silent.getsockname()[1]})
    assert "no answer within 1 s" in wrong(steps, "GX login").text


@pytest.mark.usefixtures("_impatient")
def test_asleep(world: World, gx: StandInGx) -> None:
    """The broker lives, the GX says nothing: not even a charger is guessed at."""
    gx.freeze()
    steps = found(world)
    assert "does not answer" in wrong(steps, "keepalive").text
    assert steps["charger"][0].mark is Mark.UNKNOWN


@pytest.mark.parametrize("is_old", [True, False], ids=["old", "slow"])
def test_an_old_gx(
    world: World, gx: StandInGx, monkeypatch: pytest.MonkeyPatch, is_old: bool
) -> None:
    """Venus OS before 3.20 answers to an empty keepalive alone, and has no heartbeat.

    It is told, and its chargers are found. A newer one that was only slow has a heartbeat.
    """
    monkeypatch.setattr(listen, "OLD_GX_S", 0.3)
    monkeypatch.setattr(listen, "ANSWER_S", 5.0)
    gx.freeze()
    answer = threading.Thread(target=answer_an_empty_keepalive, args=[gx, is_old], daemon=True)
    answer.start()
    steps = found(world)
    answer.join()
    (finding,) = steps["keepalive"]
    assert finding.mark is (Mark.WARNING if is_old else Mark.OK)
    assert ("before 3.20" in finding.text) is is_old
    assert SERIAL in steps["charger"][0].text


def answer_an_empty_keepalive(gx: StandInGx, is_old: bool) -> None:
    """Says everything once an empty keepalive has come, as the second."""
    gx.wait_for_keepalive(2)
    assert gx.keepalives[1] == b""
    for path, value in single_tracker().items():
        gx.publish_raw(f"solarcharger/277/{path}", payload_of(value))
    if not is_old:
        gx.publish_raw("heartbeat", payload_of(int(time.time())))
        gx.publish_raw("full_publish_completed", payload_of(int(time.time())))


def test_no_charger(world: World) -> None:
    """A GX without a charger."""
    world.add_gx(heartbeat_s=0.2)
    assert wrong(found(world), "charger").text == "no chargers found there"


def test_pv_only_under_multi(world: World) -> None:
    """A Multi RS is found where nobody listens: the key to change is named."""
    world.add_gx(heartbeat_s=0.2).add("multi", 1, multi_tracker())
    finding = wrong(found(world), "charger")
    assert "multi/1" in finding.text
    assert finding.fix == "set mqtt.services: [solarcharger, multi]"


def test_without_a_serial(world: World) -> None:
    """A charger that tells no serial is left out until one is set."""
    world.add_gx(heartbeat_s=0.2).add("solarcharger", 277, single_tracker(serial=None))
    fix = 'set device.serials: {solarcharger/277: "its serial"}, as its label has it'
    assert wrong(found(world), "charger").fix == fix
    steps = found(world, {"device.serials": {277: "X1"}})
    assert steps["charger"][0].mark is Mark.OK


def test_without_a_serial_at_night(world: World) -> None:
    """That its numbers are unknown, too, does not hide what has to be set."""
    night = single_tracker(serial=None, power_w=None, voltage_v=0.0)
    world.add_gx(heartbeat_s=0.2).add("solarcharger", 277, night)
    finding = wrong(found(world), "charger")
    assert finding.fix.startswith("set device.serials: {solarcharger/277: ")
    assert "sun" in finding.fix


def test_numbers_unknown_at_night(world: World) -> None:
    """Null at night is worth a note, and wrong only if it stays."""
    night = single_tracker(power_w=None, voltage_v=0.0)
    world.add_gx(heartbeat_s=0.2).add("solarcharger", 277, night)
    finding = found(world)["charger"][0]
    assert finding.mark is Mark.WARNING
    assert "sun" in finding.fix


def test_a_number_unknown_by_day(world: World) -> None:
    """The finding says which one it is and what was found, and does not speak of the sun."""
    world.add_gx(heartbeat_s=0.2).add("solarcharger", 277, single_tracker(power_w=None))
    finding = wrong(found(world), "charger")
    assert "its power is unknown: /Yield/Power is null" in finding.text
    assert "sun" not in finding.fix


def test_what_is_set_for_chargers(world: World, gx: StandInGx) -> None:
    """Tells who is called otherwise than it says, who is left out, and what fits nobody."""
    gx.add("solarcharger", 279, single_tracker(serial="HQ2211DDDD4"))
    keys = {
        "device.serials": {277: "X1", "multi/277": "X2"},
        "device.ignore": ["HQ2211DDDD4", "NOBODY"],
    }
    steps = found(world, keys)
    named, ignored = steps["charger"]
    assert (named.mark, ignored.mark) == (Mark.WARNING, Mark.OK)
    assert "reports the serial HQ2211AAAA1, but device.serials says X1" in named.text
    assert "is not relayed: device.ignore names it" in ignored.text
    assert [finding.text for finding in steps["settings"]] == [
        "device.ignore: NOBODY fits no charger",
        "device.serials: multi/277 fits no charger",
    ]


def test_clock(world: World, gx: StandInGx, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock of this machine two hours ahead shows against the GX's and the backend's."""
    true_distance = clock._distance_us
    monkeypatch.setattr(clock, "_distance_us", lambda us: true_distance(us) + 7_200_000_000)
    steps = found(world)
    for step in ("GX clock", "backend clock"):
        assert "behind this machine's" in wrong(steps, step).text
    assert "Date & time" in steps["GX clock"][0].fix


# --- the backend ---------------------------------------------------------------------------------


def test_backend_closed(world: World, gx: StandInGx) -> None:
    """Nothing listens at the backend's address."""
    world.backend.down()
    steps = found(world)
    assert "Connection refused" in wrong(steps, "backend POST").text
    assert steps["backend clock"][0].mark is Mark.UNKNOWN


def test_backend_name(world: World, gx: StandInGx) -> None:
    """The backend's name stands for nothing."""
    steps = found(world, {"backend.url": "http://solar.invalid"})
    assert "backend.url" in wrong(steps, "backend name").fix
    wrong(steps, "backend POST")


@pytest.mark.parametrize(
    ("status", "key"),
    [
        (401, "backend.api_key"),
        (403, "backend.api_key"),
        (404, "backend.url"),
        (500, ""),
        (200, "backend.url"),
    ],
)
def test_backend_refuses(world: World, gx: StandInGx, status: int, key: str) -> None:
    """Everything that the backend answers is told, with the key to correct."""
    world.backend.answer_next(Forced(status, b"no"))
    finding = wrong(found(world), "backend POST")
    assert str(status) in finding.text
    assert key in finding.fix


def test_backend_fails(world: World, gx: StandInGx) -> None:
    """Tells whose turn it is: nobody's for an answer that will pass; for none, perhaps ours."""
    world.backend.answer_next(Forced(503, b"no"))
    assert "it may pass by itself" in wrong(found(world), "backend POST").fix
    world.backend.down()
    assert "is the backend up" in wrong(found(world), "backend POST").fix


def test_backend_self_signed(world: World, gx: StandInGx, tmp_path: Path) -> None:
    """A backend with a certificate nobody vouches for; trusted once it is the authority."""
    certificate = make_certificate(tmp_path, "127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.certificate_file, certificate.key_file)
    server = HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        steps = found(world, {"backend.url": f"https://127.0.0.1:{server.server_port}"})
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    finding = wrong(steps, "backend TLS")
    assert "CN=127.0.0.1" in finding.text
    assert "backend.ca_file" in finding.fix
    assert "not trusted" in wrong(steps, "backend POST").text


def test_backend_without_tls(world: World, gx: StandInGx) -> None:
    """An https address where plain HTTP is spoken."""
    url = world.backend.url.replace("http:", "https:")
    assert "no TLS" in wrong(found(world, {"backend.url": url}), "backend TLS").text


@pytest.mark.parametrize(
    ("reason", "fix"),
    [
        ("not registered: Device HQ2211AAAA1 not found", "register it"),
        ("unauthorized: Unauthorized", "backend.api_key"),
        ("what another version wrote", "ask whoever runs the backend"),
    ],
)
def test_refused_serial(world: World, gx: StandInGx, reason: str, fix: str) -> None:
    """Everything that is parked tells which serial the backend refuses, and why."""
    report = DeviceReport(277, SERIAL, "a", "b", True, True, 1, 1.0, 1.0, ())
    outbox = Outbox(OutboxSettings(str(world.spool)), DIALECT, Boot("", 0.0))
    store(outbox, Measurement(clock.SystemClock().now().utc, "c", (report,)))
    entry = take_oldest(outbox)
    outbox.park(entry, entry.body, [SERIAL], reason)
    steps = found(world)
    outbox.close()
    finding = wrong(steps, "serial")
    assert finding.text.endswith(f"refused: {reason.rpartition(': ')[2]}")
    assert fix in finding.fix
    assert "outbox retry" in finding.fix
    assert steps["service"][0].mark is Mark.WARNING


# --- this machine --------------------------------------------------------------------------------


def test_outbox_is_no_directory(world: World, gx: StandInGx) -> None:
    """Something else is where the outbox should be."""
    world.spool.write_text("", encoding="utf-8")
    assert "outbox.directory" in wrong(found(world), "outbox").fix


def test_no_room(world: World, gx: StandInGx) -> None:
    """A limit that is reached within the hour."""
    Outbox(OutboxSettings(str(world.spool)), DIALECT, Boot("", 0.0)).close()
    finding = wrong(found(world, {"outbox.max_bytes": 100_000}), "room")
    assert "outbox.max_bytes" in finding.fix


def test_a_damaged_outbox(world: World, gx: StandInGx) -> None:
    """Everything that was found in it that was no measurement is told, and where it is kept."""
    Outbox(OutboxSettings(str(world.spool)), DIALECT, Boot("", 0.0)).close()
    (world.spool / "damaged").mkdir()
    (world.spool / "damaged" / "0000000000000001-00000000").touch()
    (_, finding) = found(world)["outbox"]
    assert finding.mark is Mark.WARNING
    assert finding.text == "damaged places: 1"
    assert f"look at {world.spool}/damaged" in finding.fix


def test_an_outbox_that_cannot_be_read(
    world: World, gx: StandInGx, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tells which part of it, why, and what fixes that."""
    outbox = Outbox(OutboxSettings(str(world.spool)), DIALECT, Boot("", 0.0))
    outbox.store(b"{}", portal_id="gx", is_clock_trusted=True)
    outbox.close()

    def refuse(files: LogFiles, segment: int) -> bytes:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(LogFiles, "read", refuse)
    (_, finding) = found(world)["outbox"]
    assert finding.mark is Mark.WRONG
    assert finding.text.startswith("segment 1 cannot be read: Permission denied: give its files")


def test_no_service(world: World, gx: StandInGx) -> None:
    """No process has the outbox: to be noted before the first start, and wrong after it."""
    (finding,) = found(world)["service"]
    assert finding.mark is Mark.WARNING
    assert "start it" in finding.fix
    assert finding.fix.endswith("else mqtt-http-bridge run")
    assert finding.text.endswith("it never ran here")
    process = world.run()
    world.backend.wait_for(2, 60.0)
    process.stop()
    assert "not running since 20" in wrong(found(world), "service").text


def test_a_service_that_this_user_may_not_see(
    world: World, gx: StandInGx, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody says that it never ran, and should be started: that is not known."""
    monkeypatch.setattr(machine, "is_hidden", lambda _: True)
    (finding,) = found(world)["service"]
    assert finding.mark is Mark.UNKNOWN
    assert finding.text.endswith("this user may not look at it: run this as the service's user")


def test_who_runs(world: World, gx: StandInGx, monkeypatch: pytest.MonkeyPatch) -> None:
    """Version, start, process and config; a command of another version says so."""
    process = world.run({"device.update_interval": 30})
    world.backend.wait_for(1, 60.0)
    (finding,) = found(world, {"device.update_interval": 30})["service"]
    assert finding.mark is Mark.OK
    assert finding.text.startswith(f"mqtt-http-bridge {__version__} runs since 20")
    assert f"(pid {process._process.pid}), by {world.directory / 'config.yaml'}" in finding.text
    monkeypatch.setattr(check, "__version__", "99")
    (finding,) = found(world, {"device.update_interval": 30})["service"]
    assert (finding.mark, "this is 99" in finding.text) == (Mark.WARNING, True)
    assert process.stop() == 0


def test_a_service_that_stands_still(world: World, gx: StandInGx) -> None:
    """It holds its outbox, and has not said how it goes for too long."""
    process = world.run()
    world.backend.wait_for(1, 60.0)
    process.send(signal.SIGSTOP)
    file = StateFile(world.spool)
    (text,) = file.read()
    state = from_json(text)
    file.write(to_json(state._replace(written_s=state.written_s - 61.0)))
    finding = wrong(found(world), "service")
    assert "hangs: not running since 20" in finding.text
    assert finding.fix.startswith("restart it")
    process.send(signal.SIGCONT)


def test_a_state_file_of_somebody_else(world: World, gx: StandInGx) -> None:
    """Whatever lies there, the check says that it cannot read it, and goes on."""
    with_lock = Outbox(OutboxSettings(str(world.spool)), DIALECT, Boot("", 0.0))
    (world.spool / "state.json").write_bytes(b"{" * 5000)
    (finding,) = found(world)["service"]
    with_lock.close()
    assert finding.mark is Mark.WARNING
    assert "cannot be read" in finding.text


def test_a_page_for_everybody(world: World, gx: StandInGx) -> None:
    """An address that others reach is allowed, and worth a warning."""
    (finding,) = found(world, {"status.listen": "0.0.0.0:8480"})["status page"]
    assert finding.mark is Mark.WARNING
    assert "everybody" in finding.text
    (finding,) = found(world, {"status.listen": "127.0.0.1:8480"})["status page"]
    assert finding.mark is Mark.OK
