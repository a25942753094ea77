"""`check`: each line holds in a sound world, and each fails for the reason it is there for."""

import json
import ssl
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from mqtt_http_bridge.adapters import clock
from mqtt_http_bridge.adapters.outbox import Boot, Outbox
from mqtt_http_bridge.app import check, listen
from mqtt_http_bridge.cli import DONE, FAILED, WRONG_USAGE, main
from mqtt_http_bridge.core.findings import Finding, Mark
from mqtt_http_bridge.core.measurement import DeviceReport, Measurement
from mqtt_http_bridge.core.settings import OutboxSettings
from tests.charger_values import multi_tracker, single_tracker
from tests.faulty_backend import Forced
from tests.gx import PORTAL_ID, StandInGx
from tests.mosquitto import Login, make_certificate
from tests.running import World

SERIAL = "HQ2211AAAA1"
SECRET = "correct horse battery"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A broker and a backend; strict it is not, as a check posts what a relay never would."""
    with World(tmp_path, strict=False) as world:
        yield world


@pytest.fixture
def gx(world: World) -> StandInGx:
    """A GX with one charger that has one tracker."""
    gx = world.add_gx(heartbeat_s=0.2)
    gx.add("solarcharger", 277, single_tracker())
    return gx


def found(world: World, settings: Mapping[str, object] | None = None) -> dict[str, list[Finding]]:
    """All findings by step."""
    steps: dict[str, list[Finding]] = {}
    for finding in check.walk(world.write_config(settings), {}):
        steps.setdefault(finding.step, []).append(finding)
        assert SECRET not in finding.text + finding.fix
        assert (finding.mark is Mark.WRONG) <= bool(finding.fix), finding
    return steps


def wrong(steps: dict[str, list[Finding]], step: str) -> Finding:
    """The first finding of a step, which has to be wrong."""
    finding = steps[step][0]
    assert finding.mark is Mark.WRONG, finding
    return finding


def test_all_holds(world: World, gx: StandInGx, capsys: pytest.CaptureFixture[str]) -> None:
    """In a sound world every line is ok and the exit status 0; nothing is stored by looking."""
    process = world.run({"device.update_interval": 30})
    world.backend.wait_for(1, 20.0)
    stored = len(world.backend.stored)
    assert main(["check", "-c", str(world.directory / "config.yaml")]) == DONE
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if not line.startswith("ok  ")] == []
    steps = [line[6:19].strip() for line in lines]
    assert steps == [
        *("config", "GX name", "GX port", "GX TLS", "GX login", "portal id", "keepalive"),
        *("charger", "GX clock", "backend name", "backend TLS", "backend POST", "backend clock"),
        *("serial", "outbox", "room", "service", "status page"),
    ]
    charger = next(line for line in lines if "  charger" in line)
    for word in ("solarcharger/277", SERIAL, "South roof", "64.5 W", "PV 62.5 V", "external"):
        assert word in charger
    assert len(world.backend.stored) == stored
    assert process.stop() == 0


def test_as_json(world: World, gx: StandInGx, capsys: pytest.CaptureFixture[str]) -> None:
    """--json prints one document; without a running service not all holds, and the status is 1."""
    path = world.write_config({"mqtt.password": SECRET})
    assert main(["check", "--json", "-c", str(path)]) == FAILED
    text = capsys.readouterr().out
    document = json.loads(text)
    assert document["holds"] is False
    assert SECRET not in text
    assert [f["step"] for f in document["findings"] if f["mark"] != "ok"] == ["service"]
    assert all(set(f) == {"step", "mark", "text", "fix"} for f in document["findings"])


def test_no_config(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a config nothing else can be looked at, and each line says so."""
    assert main(["check", "-c", str(tmp_path / "none.yaml")]) == WRONG_USAGE
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("FAIL  config")
    assert lines[1].strip().startswith("-> ")
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
    assert "mqtt.host" in wrong(steps, "GX name").fix
    assert steps["GX port"][0].mark is Mark.UNKNOWN
    assert steps["backend POST"][0].mark is Mark.OK


def test_closed_port(world: World) -> None:
    """MQTT access is off: the menu of the GX is named."""
    world.broker.stop()
    finding = wrong(found(world), "GX port")
    assert "Connection refused" in finding.text
    assert "MQTT Access" in finding.fix


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
    assert "no TLS on port" in finding.text


@pytest.mark.parametrize(
    ("settings", "fix"),
    [
        ({}, "set mqtt.password"),
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


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not come is not waited for as long."""
    monkeypatch.setattr(listen, "ANSWER_S", 0.7)


@pytest.mark.usefixtures("_impatient")
def test_wrong_portal_id(world: World, gx: StandInGx) -> None:
    """Configured is one, the broker tells another: both are shown."""
    steps = found(world, {"mqtt.portal_id": "c0619ab35133"})
    finding = wrong(steps, "portal id")
    assert "c0619ab35133 is set" in finding.text
    assert PORTAL_ID in finding.text
    assert "VRM Portal ID" in finding.fix
    wrong(steps, "keepalive")
    assert {topic for topic, _ in gx.foreign_publishes} == {"R/c0619ab35133/keepalive"}
    gx._foreign_publishes.clear()


@pytest.mark.usefixtures("_impatient")
def test_no_portal_id(world: World) -> None:
    """A broker that is none of a GX."""
    finding = wrong(found(world), "portal id")
    assert "tells none" in finding.text


def test_two_portal_ids(world: World, gx: StandInGx) -> None:
    """Auto takes one GX; the line to write is shown."""
    world.add_gx(portal_id="c0619ab35133", heartbeat_s=0.2)
    # Whether the second is told in time is up to the broker: the first has much to say.
    steps = found(world, {"mqtt.portal_id": ["c0619ab35133", PORTAL_ID]})
    assert steps["portal id"][0].mark is Mark.OK
    assert [finding.mark for finding in steps["keepalive"]] == [Mark.OK, Mark.OK]


@pytest.mark.usefixtures("_impatient")
def test_asleep(world: World, gx: StandInGx) -> None:
    """The broker lives, the GX says nothing: not even a charger is guessed at."""
    gx.freeze()
    steps = found(world)
    assert "does not answer" in wrong(steps, "keepalive").text
    assert steps["charger"][0].mark is Mark.UNKNOWN


def test_no_charger(world: World) -> None:
    """A GX without a charger."""
    world.add_gx(heartbeat_s=0.2)
    assert "none on the GX" in wrong(found(world), "charger").text


def test_pv_only_under_multi(world: World) -> None:
    """A Multi RS is found where nobody listens: the key to change is named."""
    world.add_gx(heartbeat_s=0.2).add("multi", 1, multi_tracker())
    finding = wrong(found(world), "charger")
    assert "multi/1" in finding.text
    assert finding.fix == "set mqtt.services: [solarcharger, multi]"


def test_without_a_serial(world: World) -> None:
    """A charger that tells no serial is left out until one is set."""
    world.add_gx(heartbeat_s=0.2).add("solarcharger", 277, single_tracker(serial=None))
    assert "device.serials" in wrong(found(world), "charger").fix
    steps = found(world, {"device.serials": {277: "X1"}})
    assert steps["charger"][0].mark is Mark.OK


def test_numbers_unknown_at_night(world: World) -> None:
    """Null at night is worth a note, and wrong only if it stays."""
    world.add_gx(heartbeat_s=0.2).add("solarcharger", 277, single_tracker(power_w=None))
    finding = found(world)["charger"][0]
    assert finding.mark is Mark.WARNING


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
    [(401, "backend.api_key"), (403, "backend.api_key"), (404, "backend.url"), (500, "")],
)
def test_backend_refuses(world: World, gx: StandInGx, status: int, key: str) -> None:
    """What the backend answers is told, with the key to mend."""
    world.backend.answer_next(Forced(status, b"no"))
    finding = wrong(found(world), "backend POST")
    assert str(status) in finding.text
    assert key in finding.fix


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
    [("Device HQ2211AAAA1 not found", "register it"), ("Unauthorized", "backend.api_key")],
)
def test_refused_serial(world: World, gx: StandInGx, reason: str, fix: str) -> None:
    """What is parked tells which serial the backend refuses, and why."""
    report = DeviceReport(277, SERIAL, "a", "b", True, True, 1, 1.0, 1.0, ())
    outbox = Outbox(OutboxSettings(str(world.spool)), Boot("", 0.0))
    outbox.append(Measurement(clock.SystemClock().now().utc, "c", (report,)))
    entry = outbox.take(outbox.oldest(1)[0])
    assert entry is not None
    outbox.park(entry, SERIAL, reason)
    outbox.settle(entry, None)
    steps = found(world)
    outbox.close()
    finding = wrong(steps, "serial")
    assert reason in finding.text
    assert fix in finding.fix
    assert "outbox retry" in finding.fix
    assert steps["service"][0].mark is Mark.OK


# --- this machine --------------------------------------------------------------------------------


def test_outbox_is_no_directory(world: World, gx: StandInGx) -> None:
    """Something else is where the outbox should be."""
    world.spool.write_text("", encoding="utf-8")
    assert "outbox.directory" in wrong(found(world), "outbox").fix


def test_no_room(world: World, gx: StandInGx) -> None:
    """A limit that is reached within the hour."""
    Outbox(OutboxSettings(str(world.spool)), Boot("", 0.0)).close()
    finding = wrong(found(world, {"outbox.max_bytes": 100_000}), "room")
    assert "outbox.max_bytes" in finding.fix


def test_no_service(world: World, gx: StandInGx) -> None:
    """No process has the outbox."""
    assert "start it" in wrong(found(world), "service").fix


def test_a_page_for_everybody(world: World, gx: StandInGx) -> None:
    """An address that others reach is allowed, and worth a warning."""
    (finding,) = found(world, {"status.listen": "0.0.0.0:8480"})["status page"]
    assert finding.mark is Mark.WARNING
    assert "everybody" in finding.text
    (finding,) = found(world, {"status.listen": "127.0.0.1:8480"})["status page"]
    assert finding.mark is Mark.OK
