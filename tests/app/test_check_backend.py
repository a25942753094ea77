"""Tests what `check` finds about the backend: which answer proves what, and over which route."""

import json
import queue
import re
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from mqtt_http_bridge.adapters import network
from mqtt_http_bridge.adapters.state_file import StateFile
from mqtt_http_bridge.app import check, check_backend, check_posts
from mqtt_http_bridge.app.check_backend import Posting
from mqtt_http_bridge.app.service_state import service_state
from mqtt_http_bridge.cli import DONE, FAILED, main
from mqtt_http_bridge.core.settings import OutboxSettings
from mqtt_http_bridge.core.status.findings import Finding, Mark, ok
from mqtt_http_bridge.core.status.state_file import State
from mqtt_http_bridge.core.status.state_json import from_json, to_json
from mqtt_http_bridge.core.views import DeviceResult
from mqtt_http_bridge.demo.backend import NEVER_REGISTERED
from tests.adapters.test_backend import proxy
from tests.app.test_check import SERIAL, TELLS_AT_ONCE, has_stored, wrong
from tests.support.bare_server import served_by
from tests.support.certificates import TlsBackend, make_certificate
from tests.support.charger_values import single_tracker
from tests.support.faulty_backend import DROP_BEFORE_ANSWER, Forced
from tests.support.gx import PORTAL_ID, StandInGx
from tests.support.patience import wait_until
from tests.support.running import World

pytestmark = [pytest.mark.long, pytest.mark.lively]

NEIGHBOUR = "c0619ab35133"
NEIGHBOURS_SERIAL = "HQ2211NNNN9"
Steps = dict[str, list[Finding]]


def found(
    world: World,
    settings: Mapping[str, object] | None = None,
    posting: Posting = Posting.MADE_UP,
) -> Steps:
    """All findings by step; each says something, and what is wrong how to fix it."""
    return by_step(check.walk(world.write_config(settings), {}, posting))


def by_step(findings: Iterator[Finding]) -> Steps:
    steps: Steps = {}
    for finding in findings:
        steps.setdefault(finding.step, []).append(finding)
        assert finding.text.strip()
        assert (finding.mark is Mark.WRONG) <= bool(finding.fix), finding
        assert "canary" not in finding.text + finding.fix
    return steps


def one(steps: Steps, step: str, mark: Mark) -> Finding:
    """The one finding of a step, with that mark."""
    (finding,) = steps[step]
    assert finding.mark is mark, finding
    return finding


def state_of(world: World) -> State | None:
    return service_state(OutboxSettings(str(world.spool))).state


def results(world: World) -> dict[str, DeviceResult]:
    """Returns what the service has written down of each device."""
    state = state_of(world)
    return {device.serial: device.result for device in state.devices} if state else {}


def posted(world: World) -> list[Any]:
    """The serials in each POST."""
    return [[d["serial"] for d in json.loads(body)["devices"]] for body in world.bodies]


# --- without a service: a serial made up ---------------------------------------------------------


def test_a_serial_made_up_proves_url_and_database(world: World, gx: StandInGx) -> None:
    """One report that keeps the contract, of nobody; it is answered alike with any key."""
    for key in (world.backend.api_key, "wrong"):
        steps = found(world, {"backend.api_key": key})
        assert "URL and database are right" in one(steps, "backend POST", Mark.OK).text
        finding = one(steps, "API key", Mark.UNKNOWN)
        assert finding.text.startswith("backend.api_key: not proven yet")
        assert "check --post" in finding.fix
        assert "has not been asked yet" in one(steps, "serial", Mark.UNKNOWN).text
    assert posted(world) == [[NEVER_REGISTERED]] * 2
    assert world.backend.stored == {}


def test_a_database_that_is_down_is_found(world: World, gx: StandInGx) -> None:
    """A measurement without devices would be answered with 201."""
    world.backend.is_database_down = True
    finding = wrong(found(world), "backend POST")
    assert "500" in finding.text
    assert finding.fix.startswith("it may pass by itself; if not, look at the backend")


def test_nothing_is_posted_that_is_not_to_be(world: World, gx: StandInGx) -> None:
    """--no-post, for installers and scripts: the way is looked at all the same."""
    path = world.write_config()
    assert main(["check", "--no-post", "-c", str(path)]) == DONE
    steps = found(world, posting=Posting.NONE)
    assert one(steps, "backend POST", Mark.UNKNOWN).text == "not posted: --no-post"
    one(steps, "API key", Mark.UNKNOWN)
    assert world.backend.received == []
    world.backend.down()
    assert main(["check", "--no-post", "-c", str(path)]) == FAILED
    assert "Connection refused" in wrong(found(world, posting=Posting.NONE), "backend POST").text


def test_each_key_is_tried_and_the_wrong_one_is_named(world: World, gx: StandInGx) -> None:
    """As far as the backend tells: with 401 or 403, whatever is sent."""
    for name in ("one.txt", "two.txt"):
        (world.directory / name).write_text(f"key in {name}")
    keys = {"a": {"file": "one.txt"}, "b": {"file": "two.txt"}, "c": {"file": "one.txt"}}
    world.backend.answer_next(None, Forced(401), None)
    steps = found(world, {"backend.api_keys": keys})
    sent = [arrival.headers["X-API-Key"] for arrival in world.backend.received]
    assert sent == [world.backend.api_key, "key in one.txt", "key in two.txt"]
    one(steps, "backend POST", Mark.OK)
    assert [(f.mark, f.text.partition(":")[0]) for f in steps["API key"]] == [
        (Mark.UNKNOWN, "backend.api_key"),
        (Mark.WRONG, f"backend.api_keys ({world.directory / 'one.txt'})"),
        (Mark.UNKNOWN, f"backend.api_keys ({world.directory / 'two.txt'})"),
    ]
    assert "401" in steps["API key"][1].text


def test_a_key_that_nobody_uses_is_not_tried(world: World, gx: StandInGx) -> None:
    """Each GX of the config has its own; the one in a file is called by its file."""
    (world.directory / "own.txt").write_text("own")
    (world.directory / "all.txt").write_text("all")
    config = world.write_config({"backend.api_keys": {PORTAL_ID: {"file": "own.txt"}}})
    text = config.read_text().replace("api_key: demo-key", "api_key_file: all.txt")
    for portal_id, sent in (("", ["all", "own"]), (f"  portal_id: {PORTAL_ID}\n", ["own"])):
        config.write_text(text.replace("mqtt:\n", f"mqtt:\n{portal_id}"))
        before = len(world.backend.received)
        steps = by_step(check.walk(config, {}))
        assert [a.headers["X-API-Key"] for a in world.backend.received[before:]] == sent
        is_named = any("backend.api_key_file (" in f.text for f in steps["API key"])
        assert is_named == ("all" in sent)


def test_once_nothing_is_answered_no_other_key_is_tried(world: World, gx: StandInGx) -> None:
    """It would take as long again, and tell nothing."""
    (world.directory / "one.txt").write_text("one")
    world.backend.always(DROP_BEFORE_ANSWER)
    steps = found(world, {"backend.api_keys": {"a": {"file": "one.txt"}}})
    assert "is the backend up" in wrong(steps, "backend POST").fix
    assert len(world.backend.received) == 1
    assert [f.mark for f in steps["API key"]] == [Mark.UNKNOWN] * 2


@pytest.mark.parametrize(
    ("result", "mark", "text"),
    [
        ({"status": "ok"}, Mark.WARNING, "somebody has registered that serial"),
        ({"status": "error", "error": "Unauthorized"}, Mark.WRONG, "Unauthorized"),
        ({"status": "error", "error": "no such thing"}, Mark.WARNING, "not known: no such"),
        ({"status": "error", "error": "Failed to store it"}, Mark.WRONG, "Failed to store"),
        ({"status": "error", "error": ""}, Mark.WRONG, "without a reason"),
    ],
    ids=["stored", "of somebody", "in other words", "database", "no reason"],
)
def test_what_else_may_be_said_of_a_serial_made_up(
    world: World, gx: StandInGx, result: dict[str, str], mark: Mark, text: str
) -> None:
    """Each is told for what it is."""
    answer = {"results": [{"device_identifier": NEVER_REGISTERED, **result}]}
    world.backend.answer_next(Forced(207, json.dumps(answer).encode()))
    assert text in one(found(world), "backend POST", mark).text


@pytest.mark.parametrize(
    "answer",
    [Forced(404, b'{"results":[]}'), Forced(201, b'{"results":[]}'), Forced(201), Forced(422)],
    ids=["404", "201", "empty", "422"],
)
def test_no_reason_is_empty(world: World, gx: StandInGx, answer: Forced) -> None:
    """Whatever is answered that names no device, the line says what it was."""
    world.backend.answer_next(answer)
    assert str(answer.status) in wrong(found(world), "backend POST").text


def test_a_redirect_is_told_with_its_target(world: World, gx: StandInGx) -> None:
    """Without the path of the API it is the address to set, unless a login page answers."""
    world.backend.answer_next(
        Forced(301, headers={"Location": "https://solar.example.org/api/victron/measurements"})
    )
    finding = wrong(found(world), "backend POST")
    assert finding.text.endswith("a redirect to https://solar.example.org/api/victron/measurements")
    assert finding.fix == (
        "set backend.url to where it leads, without /api/..., unless that is a login page"
    )


# --- what the service has seen -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "key", "serial"),
    [
        ({"backend.api_key": "wrong"}, Mark.WRONG, f"{SERIAL}: refused: Unauthorized"),
        ({}, Mark.UNKNOWN, f"{SERIAL}: refused: Device {SERIAL} not found"),
    ],
    ids=["wrong key", "not registered"],
)
def test_what_the_backend_refuses_the_service(
    world: World, gx: StandInGx, settings: dict[str, object], key: Mark, serial: str
) -> None:
    """It fails, with the backend's words, though something is there that answers."""
    if not settings:
        world.backend._known_serials = ()
    world.run(settings, fault=TELLS_AT_ONCE)
    wait_until(lambda: results(world) == {SERIAL: DeviceResult.REFUSED})
    path = world.directory / "config.yaml"
    assert main(["check", "-c", str(path)]) == FAILED
    steps = by_step(check.walk(path, {}))
    finding = wrong(steps, "serial")
    assert finding.text == serial
    assert finding.fix.endswith("then run: mqtt-http-bridge outbox retry")
    one(steps, "API key", key)
    assert all(serials == [SERIAL] for serials in posted(world))


def test_what_the_service_cannot_deliver(world: World, gx: StandInGx) -> None:
    """Its own words for it, and those of a look from here."""
    world.backend.always(Forced(401))
    world.run(fault=TELLS_AT_ONCE)
    wait_until(lambda: results(world) == {SERIAL: DeviceResult.FAILED})
    steps = by_step(check.walk(world.directory / "config.yaml", {}))
    finding = wrong(steps, "backend POST")
    told = "the newest measurement is not stored: the backend answered 401"
    assert finding.text.startswith(f"the service's: {PORTAL_ID}: {told}")
    assert finding.fix == "correct backend.api_key or its file"
    assert "401" in wrong(steps, "serial").text


def test_what_was_stored_long_ago_does_not_hold(world: World, gx: StandInGx) -> None:
    """The service measures, and nothing of it has been stored for three intervals."""
    process = world.run(fault=TELLS_AT_ONCE)
    wait_until(lambda: has_stored(world))
    process.send(signal.SIGSTOP)
    file = StateFile(world.spool)
    state = from_json(file.read()[0])
    old = tuple(device._replace(at=device.at - 200.0) for device in state.devices)
    file.write(to_json(state._replace(stored=state.written - 200.0, devices=old)))
    steps = by_step(check.walk(world.directory / "config.yaml", {}))
    process.send(signal.SIGCONT)
    assert "the newest was stored 3 min ago" in wrong(steps, "backend POST").text
    assert wrong(steps, "serial").text == f"{SERIAL}: stored 3 min ago, and nothing since"


def test_a_charger_that_the_service_tells_nothing_of(world: World, gx: StandInGx) -> None:
    """It may have been asked, so nobody says that it was not."""
    process = world.run(fault=TELLS_AT_ONCE)
    wait_until(lambda: has_stored(world))
    process.send(signal.SIGSTOP)
    file = StateFile(world.spool)
    file.write(to_json(from_json(file.read()[0])._replace(devices=())))
    steps = by_step(check.walk(world.directory / "config.yaml", {}))
    process.send(signal.SIGCONT)
    assert "the service has no answer yet" in one(steps, "serial", Mark.UNKNOWN).text


def two_owners(world: World, serial: str = NEIGHBOURS_SERIAL) -> dict[str, object]:
    """Settings with a second GX of somebody else, who has a key for it."""
    world.backend._owners = {serial: "of the neighbour"}
    neighbour = world.add_gx(portal_id=NEIGHBOUR, heartbeat_s=0.2)
    neighbour.add("solarcharger", 1, single_tracker(serial=serial))
    (world.directory / "neighbour.txt").write_text("of the neighbour")
    return {
        "mqtt.portal_id": [PORTAL_ID, NEIGHBOUR],
        "backend.api_keys": {NEIGHBOUR: {"file": "neighbour.txt"}},
    }


def test_one_serial_with_two_keys_is_two_chargers(world: World, gx: StandInGx) -> None:
    """Each belongs to another account, so `check` finds both measured, as the service does."""
    settings = two_owners(world, SERIAL)
    chargers = found(world, settings, Posting.NONE)["charger"]
    assert [finding.mark for finding in chargers] == [Mark.OK, Mark.OK]
    del settings["backend.api_keys"]
    chargers = found(world, settings, Posting.NONE)["charger"]
    assert {finding.mark for finding in chargers} > {Mark.OK}


def test_the_wrong_one_of_two_keys_is_named(world: World, gx: StandInGx) -> None:
    """By the chargers that are sent with it."""
    settings = two_owners(world)
    (world.directory / "neighbour.txt").write_text("revoked")
    world.run(settings, fault=TELLS_AT_ONCE)
    expected = {SERIAL: DeviceResult.STORED, NEIGHBOURS_SERIAL: DeviceResult.REFUSED}
    wait_until(lambda: results(world) == expected)
    steps = by_step(check.walk(world.directory / "config.yaml", {}))
    label = f"backend.api_keys ({world.directory / 'neighbour.txt'})"
    marks = {f.text.partition(":")[0]: f.mark for f in steps["API key"]}
    assert marks == {"backend.api_key": Mark.OK, label: Mark.WRONG}
    fixes = {f.text.partition(":")[0]: f.fix for f in steps["serial"]}
    assert f"correct {label}" in fixes[NEIGHBOURS_SERIAL]
    assert fixes[SERIAL] == ""


# --- check --post --------------------------------------------------------------------------------


def test_one_measurement_is_posted_for_real(
    world: World, gx: StandInGx, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each GX with its key and its name, by the contract, and each charger is told of."""
    settings = two_owners(world) | {"device.cerbo_serial": {NEIGHBOUR: "next door"}}
    path = world.write_config(settings)
    assert main(["check", "--post", "-c", str(path)]) == DONE
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines if "stored it" in line] == ["ok", "ok"]
    assert [line.split()[0] for line in lines if "with it" in line] == ["ok", "ok"]
    names = [json.loads(body)["cerbo_serial"] for body in world.bodies]
    assert names == [PORTAL_ID, "next door"]
    assert {serial for _, serial in world.backend.stored} == {SERIAL, NEIGHBOURS_SERIAL}
    (report,) = [r for (_, s), r in world.backend.stored.items() if s == SERIAL]
    assert (round(report["yield_power_w"], 1), report["reachable"]) == (64.5, True)


@pytest.mark.parametrize(
    ("settings", "known", "key", "text"),
    [
        ({"backend.api_key": "wrong"}, None, Mark.WRONG, "refused: Unauthorized"),
        ({}, (), Mark.UNKNOWN, f"refused: Device {SERIAL} not found"),
    ],
    ids=["wrong key", "not registered"],
)
def test_a_real_measurement_that_is_refused(
    *,
    world: World,
    gx: StandInGx,
    settings: dict[str, object],
    known: Sequence[str] | None,
    key: Mark,
    text: str,
) -> None:
    """The key or the serial is what has to be fixed; nothing is parked, so none is retried."""
    world.backend._known_serials = known
    steps = found(world, settings, Posting.REAL)
    finding = wrong(steps, "serial")
    assert finding.text == f"{SERIAL}: {text}"
    assert "outbox retry" not in finding.fix
    assert "0 of 1 charger stored" in one(steps, "backend POST", Mark.OK).text
    one(steps, "API key", key)


def test_a_real_measurement_that_gets_no_answer(world: World, gx: StandInGx) -> None:
    """The charger is not stored, for the reason of the whole."""
    world.backend.always(Forced(401))
    steps = found(world, {}, Posting.REAL)
    assert "401" in wrong(steps, "backend POST").text
    assert "401" in wrong(steps, "serial").text
    assert "401" in wrong(steps, "API key").text


def test_nothing_is_posted_by_a_wrong_clock(
    world: World, gx: StandInGx, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong time that is stored is wrong for ever. The kernel knows, or the backend does."""
    monkeypatch.setattr(check_backend, "AGREES_S", -1.0)
    monkeypatch.setattr(check_backend, "is_synchronised", lambda: False)
    finding = wrong(found(world, {}, Posting.REAL), "backend POST")
    assert finding.text.startswith("nothing was posted: ")
    assert "NTP" in finding.fix
    assert world.backend.received == []
    monkeypatch.setattr(check_backend, "is_synchronised", lambda: True)
    one(found(world, {}, Posting.REAL), "backend POST", Mark.OK)


def test_there_is_nothing_to_post(world: World) -> None:
    """No charger, no POST."""
    world.add_gx(heartbeat_s=0.2)
    finding = one(found(world, {}, Posting.REAL), "backend POST", Mark.UNKNOWN)
    assert "no charger can be measured" in finding.text
    assert world.backend.received == []


def test_where_a_service_runs_it_is_the_one_to_post(
    world: World, gx: StandInGx, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its next measurement is waited for: what is fixed meanwhile is seen."""
    world.backend._known_serials = ()
    world.run(fault=TELLS_AT_ONCE)
    wait_until(lambda: results(world) == {SERIAL: DeviceResult.REFUSED})
    world.backend._known_serials = None
    path = world.directory / "config.yaml"
    assert main(["check", "--post", "-c", str(path)]) == DONE
    told = capsys.readouterr()
    assert re.search(rf"serial        {SERIAL}: stored \d s ago", told.out)
    assert "waiting for the service's next measurement, for 17 s at most" in told.err
    assert NEVER_REGISTERED not in {serial for serials in posted(world) for serial in serials}


def test_a_service_that_posts_nothing_meanwhile(
    world: World, gx: StandInGx, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything that it said before counts for nothing then, and the time has an end."""
    monkeypatch.setattr(check_posts, "WRITE_S", -1.5)
    process = world.run(fault=TELLS_AT_ONCE)
    wait_until(lambda: has_stored(world))
    process.send(signal.SIGSTOP)
    steps = by_step(check.walk(world.directory / "config.yaml", {}, Posting.REAL))
    process.send(signal.SIGCONT)
    assert "has posted nothing of it" in one(steps, "serial", Mark.UNKNOWN).text
    one(steps, "API key", Mark.UNKNOWN)


# --- the way -------------------------------------------------------------------------------------


def test_it_goes_by_the_proxy_of_the_environment(
    world: World, gx: StandInGx, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As delivery does: nothing goes straight, no name of the backend is looked up here."""
    backend = TlsBackend(make_certificate(tmp_path), api_key=world.backend.api_key)
    with served_by(proxy) as wire, backend:
        monkeypatch.setenv("HTTPS_PROXY", wire.url.replace("//", "//me:canary@"))
        settings = {
            "backend.url": backend.url,
            "backend.ca_file": str(tmp_path / "certificate.pem"),
        }
        steps = found(world, settings)
        count = wire.connections
    assert wire.url in one(steps, "proxy", Mark.OK).text
    assert "looked up by the proxy" in one(steps, "backend name", Mark.OK).text
    assert one(steps, "backend TLS", Mark.OK).text == "trusted, behind the proxy"
    one(steps, "backend POST", Mark.OK)
    one(steps, "backend clock", Mark.OK)
    assert count >= 1
    assert len(backend.received) == 1


def test_a_proxy_that_wants_a_login(
    world: World, gx: StandInGx, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The line says so, and where to put it."""

    def refuse(connection: Any) -> None:
        connection.recv(65_536)
        connection.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")

    with served_by(refuse) as wire:
        monkeypatch.setenv("HTTPS_PROXY", wire.url)
        steps = found(world, {"backend.url": "https://solar.invalid"})
    finding = wrong(steps, "backend POST")
    assert finding.text.endswith("the proxy set in the environment wants a login (407)")
    assert "http://user:password@host:port" in finding.fix
    one(steps, "backend TLS", Mark.UNKNOWN)


def test_a_proxy_whose_name_stands_for_nothing(
    world: World, gx: StandInGx, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the proxy that has to be fixed, not the backend."""
    monkeypatch.setenv("HTTPS_PROXY", "http://me:canary@proxy.invalid:3128")
    steps = found(world, {"backend.url": "https://solar.invalid"})
    assert "NO_PROXY" in wrong(steps, "proxy").fix
    assert "cannot be reached" in wrong(steps, "backend POST").text


@pytest.mark.parametrize(
    ("host", "until", "text", "fix"),
    [
        ("127.0.0.1", "2001", "certificate has expired", "renew it"),
        ("localhost", "2199", "Hostname mismatch", "a name that the certificate is for"),
    ],
    ids=["expired", "another name"],
)
def test_a_certificate_that_is_not_good(
    *, world: World, gx: StandInGx, tmp_path: Path, host: str, until: str, text: str, fix: str
) -> None:
    """It is shown, with what is wrong with it and who can fix that."""
    certificate = make_certificate(tmp_path, until=until)
    with TlsBackend(certificate) as backend:
        url = backend.url.replace("127.0.0.1", host)
        steps = found(world, {"backend.url": url, "backend.ca_file": str(certificate.file)})
    finding = wrong(steps, "backend TLS")
    assert text in finding.text
    assert finding.text.startswith("SHA-256 ")
    assert fix in finding.fix
    assert text in wrong(steps, "backend POST").text


def test_a_certificate_that_is_good(world: World, gx: StandInGx, tmp_path: Path) -> None:
    """It is shown, and trusted."""
    certificate = make_certificate(tmp_path)
    with TlsBackend(certificate, api_key=world.backend.api_key) as backend:
        steps = found(world, {"backend.url": backend.url, "backend.ca_file": str(certificate.file)})
    assert one(steps, "backend TLS", Mark.OK).text.endswith("CN=solar.example.org, trusted")
    one(steps, "backend POST", Mark.OK)


def test_https_where_http_is_spoken(world: World, gx: StandInGx) -> None:
    """Everything that answers there is known by a request that it understands."""
    steps = found(world, {"backend.url": world.backend.url.replace("http:", "https:")})
    finding = wrong(steps, "backend TLS")
    assert "it speaks HTTP without, and backend.url is https" in finding.text
    assert "set backend.url to http://" in finding.fix


def test_http_where_tls_is_spoken(world: World, gx: StandInGx, tmp_path: Path) -> None:
    """The other way round."""
    with TlsBackend(make_certificate(tmp_path)) as backend:
        steps = found(world, {"backend.url": backend.url.replace("https:", "http:")})
    finding = wrong(steps, "backend TLS")
    assert finding.text.endswith("speaks TLS, and backend.url is http")
    assert finding.fix == "set backend.url to https://"


def test_nobody_asks_a_sound_backend_for_tls(
    world: World, gx: StandInGx, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything that answers to HTTP is not troubled with what it does not speak."""
    monkeypatch.setattr(network, "speaks_tls", lambda *_: pytest.fail("asked"))
    one(found(world), "backend TLS", Mark.OK)


def test_a_file_without_certificates_ends_nothing(world: World, gx: StandInGx) -> None:
    """It is one line of all."""
    (world.directory / "ca.pem").write_text("none")
    steps = found(world, {"backend.ca_file": "ca.pem"})
    assert "expected certificates in PEM" in wrong(steps, "backend").text
    assert "status page" in steps


def test_what_was_damaged_in_the_outbox_is_told(world: World, gx: StandInGx) -> None:
    """With where to look; it works all the same."""
    process = world.run()
    world.backend.wait_for(1, 60.0)
    process.stop()
    (world.spool / "damaged").mkdir(exist_ok=True)
    (world.spool / "damaged" / "1").write_bytes(b"x")
    _, finding = found(world)["outbox"]
    assert finding.mark is Mark.WARNING
    assert f"{world.spool}/damaged" in finding.fix


# --- the time ------------------------------------------------------------------------------------


def test_a_check_that_hangs_ends_all_the_same() -> None:
    """Everything that was found until then is told, and after which line nothing came."""
    is_over = threading.Event()

    def walked() -> Iterator[Finding]:
        yield ok("GX name", "it is there")
        is_over.wait()
        yield ok("GX port", "too late")

    told = list(check.within(0.3, walked()))
    is_over.set()
    assert [finding.step for finding in told] == ["GX name", "time"]
    assert told[1].mark is Mark.WRONG
    assert "'GX name' hangs" in told[1].text


def test_what_goes_wrong_in_it_is_not_lost() -> None:
    """It comes out where it is waited for."""

    def walked() -> Iterator[Finding]:
        yield ok("GX name", "it is there")
        raise queue.Full

    told = check.within(20.0, walked())
    assert next(told).step == "GX name"
    with pytest.raises(queue.Full):
        next(told)
