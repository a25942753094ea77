"""Tests that the API key and the MQTT password are only in the requests that need them."""

import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest

from mqtt_http_bridge.adapters.api_keys import ApiKeys
from mqtt_http_bridge.adapters.backend import Backend
from mqtt_http_bridge.adapters.config import load
from mqtt_http_bridge.adapters.outbox import Outbox
from mqtt_http_bridge.app.dialect import DIALECT
from mqtt_http_bridge.app.inbox import Inbox, ThreadDied, watch_threads
from mqtt_http_bridge.app.senders import Senders
from mqtt_http_bridge.cli import WRONG_USAGE, main
from mqtt_http_bridge.core.errors import ConfigError
from mqtt_http_bridge.core.settings import BackendSettings, OutboxSettings, Secret
from mqtt_http_bridge.core.solar_backend.body import to_body
from mqtt_http_bridge.core.solar_backend.dialect import SolarBackend
from tests.support.certificates import TlsBackend, make_certificate
from tests.support.faulty_backend import (
    DRIP,
    DROP_BEFORE_ANSWER,
    GARBAGE,
    HALF,
    FaultyBackend,
    Forced,
)
from tests.support.gx import StandInGx
from tests.support.measuring import measurement
from tests.support.mosquitto import Login, Mosquitto
from tests.support.outboxes import store
from tests.support.sending import BOOT

pytestmark = pytest.mark.long

CANARY = "canary"
API_KEY = 'canary-"key"-5f3a'
"""With characters that JSON and logs write in another way."""
PASSWORD = "canary-password-9d1b"
ESCAPED = b"\\u0063\\u0061\\u006E\\u0061\\u0072\\u0079"
"""As JSON may write CANARY."""
TIMEOUT_S = 20.0
NOBODY = 9
"""A port where nobody listens."""


def in_results(error: str) -> bytes:
    """A summary that refuses the device with `error`."""
    result = {"device_identifier": "A", "status": "error", "error": error}
    return json.dumps({"results": [result]}).encode()


def in_details(message: str) -> bytes:
    """A schema violation of the first device, with `message`."""
    return json.dumps({"detail": [{"loc": ["body", "devices", 0], "msg": message}]}).encode()


ANSWERS = {
    "stored": None,
    "key refused": Forced(401, b'{"error":"unauthorized"}'),
    "key repeated": Forced(401, API_KEY.encode()),
    "key repeated for a device": Forced(404, in_results(f"no inverter of {API_KEY}")),
    "key repeated for a field": Forced(422, in_details(f"X-API-Key {API_KEY}")),
    "key repeated in escapes": Forced(404, in_results(API_KEY).replace(b"canary", ESCAPED)),
    "key repeated in a URL": Forced(404, in_results("/login?key=" + quote(API_KEY))),
    "key repeated in a redirect": Forced(302, headers={"Location": f"/login?key={API_KEY}"}),
    "key repeated in a header": Forced(503, headers={"Retry-After": API_KEY}),
    "server error": Forced(500, API_KEY.encode()),
    "garbage": GARBAGE,
    "half": HALF,
    "dropped": DROP_BEFORE_ANSWER,
    "drip": DRIP,
}


def config_text(*, backend_url: str, outbox: Path, mqtt_port: int = NOBODY) -> str:
    return f"""
backend: {{url: "{backend_url}", api_key: '{API_KEY}', timeout: 1}}
mqtt: {{host: 127.0.0.1, port: {mqtt_port}, username: me, password: "{PASSWORD}"}}
outbox: {{directory: "{outbox}"}}
logging: {{level: DEBUG}}
"""


def assert_nothing_in(directory: Path) -> None:
    """No file below it has a secret in its name or in what it holds."""
    for path in directory.rglob("*"):
        assert CANARY not in str(path.relative_to(directory))
        assert not path.is_file() or CANARY.encode() not in path.read_bytes()


# --- in this process -----------------------------------------------------------------------------


@pytest.mark.parametrize("forced", ANSWERS.values(), ids=ANSWERS.keys())
def test_no_answer_brings_the_key_into_the_log(
    forced: Forced | None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Every logger at DEBUG, those of the libraries too; the spool is clean as well."""
    caplog.set_level(logging.DEBUG)
    with FaultyBackend(api_key=API_KEY) as faulty:
        faulty.always(forced)
        settings = BackendSettings(faulty.url, Secret(API_KEY), timeout_s=0.2)
        backend = Backend(settings, DIALECT)
        keys = ApiKeys(settings)
        outbox = Outbox(OutboxSettings(str(tmp_path)), DIALECT, BOOT)
        senders = Senders(outbox, lambda: backend, DIALECT, keys, max_rate_per_s=1000.0)
        store(outbox, measurement("A"))
        senders.start()
        senders.finish()
        senders.stop(TIMEOUT_S)
        outbox.close()
        assert faulty.received[0].headers["X-API-Key"] == API_KEY
    assert caplog.records
    assert CANARY not in caplog.text
    assert CANARY not in repr((settings, backend, vars(backend), keys, vars(keys)))
    assert_nothing_in(tmp_path)


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "https://127.0.0.1:9", "http://[::1]:9"])
@pytest.mark.parametrize("proxy", [None, "http://me:canary@127.0.0.1:9"])
def test_no_failure_to_connect_tells_a_secret(
    url: str, proxy: str | None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither the key nor the password of a proxy, at DEBUG."""
    caplog.set_level(logging.DEBUG)
    for name in ("HTTP_PROXY", "HTTPS_PROXY") if proxy else ():
        monkeypatch.setenv(name, str(proxy))
    backend = Backend(BackendSettings(url, Secret(API_KEY), timeout_s=1.0), DIALECT)
    answer = backend.post(to_body(measurement("A")))
    backend.close()
    assert CANARY not in repr(answer)
    assert CANARY not in caplog.text


def test_a_thread_that_dies_leaves_a_traceback_without_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Even one that dies with the key at hand."""

    def die(*_: object) -> None:
        raise RuntimeError("a mistake of ours")

    monkeypatch.setattr(SolarBackend, "judge", die)
    inbox = Inbox()
    outbox = Outbox(OutboxSettings(str(tmp_path)), DIALECT, BOOT)
    with FaultyBackend(api_key=API_KEY) as faulty, watch_threads(inbox):
        settings = BackendSettings(faulty.url, Secret(API_KEY))
        backend = Backend(settings, DIALECT)
        keys = ApiKeys(settings)
        senders = Senders(outbox, lambda: backend, DIALECT, keys, max_rate_per_s=10.0)
        store(outbox, measurement("A"))
        senders.start()
        assert inbox.get(TIMEOUT_S) == ThreadDied("sender 1")
        backend.close()
    outbox.close()
    assert "a mistake of ours" in caplog.text
    assert CANARY not in caplog.text


def test_settings_do_not_show_secrets(tmp_path: Path) -> None:
    """However they are printed."""
    config = tmp_path / "config.yaml"
    config.write_text(config_text(backend_url="http://a", outbox=tmp_path), encoding="utf-8")
    settings = load(config, {})
    assert settings.backend is not None
    assert settings.backend.api_key.reveal() == API_KEY
    assert settings.mqtt.password is not None
    assert settings.mqtt.password.reveal() == PASSWORD
    for shown in (repr(settings), str(settings), f"{settings}", repr(settings.backend)):
        assert CANARY not in shown


MALFORMED = {
    "user in the url": 'backend: {url: "https://me:canary@a.example", api_key: k}',
    "key as a list": "backend: {url: http://a, api_key: [canary]}",
    "key as a mapping": "backend: {url: http://a, api_key: {canary: 1}}",
    "key with a blank": 'backend: {url: http://a, api_key: "canary "}',
    "key beyond ASCII": 'backend: {url: http://a, api_key: "canary\u00e4"}',
    "key over two lines": 'backend: {url: http://a, api_key: "canary\\nX-Other: 1"}',
    "key as an anchor": "backend:\n  url: http://a\n  api_key: &canary\n",
    "key without its end": "backend:\n  url: http://a\n  api_key: 'canary\n",
    "key with a colon": "backend:\n  url: http://a\n  api_key: canary: 1\n",
    "no blank after the colon": "backend:\n  url: http://a\n  api_key:canary\n",
    "key in a section's place": "backend: canary",
    "key and file": "backend: {url: http://a, api_key: canary, api_key_file: config.yaml}",
    "password as a number": "backend: {url: http://a, api_key: k}\nmqtt: {password: [canary]}",
    "key in the url": 'backend: {url: "https://a.example/?key=canary", api_key: k}',
    "key as an alias": "backend:\n  url: http://a\n  api_key: *canary\n",
    "key as a tag": "backend:\n  url: http://a\n  api_key: !canary x\n",
    "an equals sign in the colon's place": "backend: {url: http://a, api_key=canary}",
    "no blank after the colon, in braces": "backend: {url: http://a, api_key:canary}",
    "a blank in the colon's place": "backend: {url: http://a, api_key canary}",
    "key twice, without a colon": "backend:\n  api_key=canary:\n  api_key=canary:\n",
    "a section of its own": "api_key=canary:\n",
    "key as a tag of YAML's": "backend:\n  url: http://a\n  api_key: !!canary x\n",
}


@pytest.mark.parametrize("text", MALFORMED.values(), ids=MALFORMED)
def test_no_complaint_about_the_config_tells_a_secret(
    text: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """It says what is wrong and where, and shows no value of a secret key."""
    config = tmp_path / "config.yaml"
    config.write_text(text, encoding="utf-8")
    assert main(["run", "--config", str(config)]) == WRONG_USAGE
    printed = capfd.readouterr()
    assert "config.yaml: " in printed.err
    assert CANARY not in printed.out + printed.err


SECRET = "canary-5f3a"


def slips() -> Iterator[str]:
    """Configs with a slip: a character too few, too many or wrong, anywhere around the secret."""
    whole = f"backend:\n  url: http://a\n  api_key: {SECRET}\nmqtt: {{password: '{SECRET}'}}\n"
    for place in range(whole.index("  api_key"), len(whole)):
        yield whole[:place] + whole[place + 1 :]
        for character in "\n\t:-?[]{},#&*!|>'\"%@`= \\":
            yield whole[:place] + character + whole[place:]
            yield whole[:place] + character + whole[place + 1 :]


def complaint_about(config: Path) -> str:
    """Returns why it is refused; empty if it is not."""
    try:
        load(config, {})
    except ConfigError as error:
        return str(error)
    return ""


def test_no_slip_in_a_config_tells_a_secret(tmp_path: Path) -> None:
    """Nor six characters of one: wherever the slip is, the line that is wrong is not quoted."""
    config = tmp_path / "config.yaml"
    parts = {SECRET[start : start + 6] for start in range(len(SECRET) - 5)}
    refused = 0
    for text in slips():
        config.write_text(text, encoding="utf-8")
        said = complaint_about(config)
        refused += said != ""
        assert [part for part in parts if part in said] == [], text
    assert refused > 500


def test_run_tells_once_that_others_can_read_the_key(open_directory: Path) -> None:
    """With the file, and how to fix it."""
    config = open_directory / "config.yaml"
    text = config_text(backend_url=f"http://127.0.0.1:{NOBODY}", outbox=open_directory / "o")
    config.write_text(text, encoding="utf-8")
    config.chmod(0o644)
    told = (
        f"WARNING {config}: holds a secret, and every user of this machine can read it:"
        f" run: chmod o-r {config}"
    )
    for count in (1, 0):
        with child("run", "-c", str(config)) as running:
            running.wait_for_line("no connection to the broker")
        assert running.printed.count(told) == count
        assert running.printed.count("every user") == count
        config.chmod(0o640)


# --- as a process of its own ---------------------------------------------------------------------


class Child:
    """`mqtt-http-bridge` as its users start it, with everything it prints."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self.printed = ""

    def wait_for_line(self, *parts: str) -> None:
        """Reads on until a line has one of `parts`; it ends itself if none ever comes."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.printed += line
            if any(part in line for part in parts):
                return
        raise AssertionError(f"expected one of {parts}, found:\n{self.printed}")

    def end(self) -> None:
        """Asks it to stop, and reads the rest."""
        self._process.send_signal(signal.SIGTERM)
        self.printed += self._process.communicate(timeout=TIMEOUT_S)[0]


@contextmanager
def child(*arguments: str) -> Iterator[Child]:
    """The program, at work in the background; ended at the end."""
    process = subprocess.Popen(
        [sys.executable, "-X", "dev", "-u", "-m", "mqtt_http_bridge", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONWARNINGS": "default"},
    )
    try:
        with process:
            running = Child(process)
            yield running
            running.end()
    finally:
        process.kill()


@contextmanager
def wrong_backend(kind: str, directory: Path) -> Iterator[str]:
    """The address of a backend that is not what it should be."""
    if kind == "no backend":
        yield f"http://127.0.0.1:{NOBODY}"
        return
    if kind == "wrong certificate":
        directory.mkdir()
        with TlsBackend(make_certificate(directory), api_key=API_KEY) as backend:
            yield backend.url
        return
    with FaultyBackend(api_key=API_KEY) as backend:
        backend.always(ANSWERS[kind])
        yield backend.url


@pytest.mark.parametrize(
    "kind",
    [
        "no backend",
        "wrong certificate",
        "key refused",
        "key repeated for a device",
        "garbage",
        "key repeated in a redirect",
    ],
)
def test_a_service_with_everything_wrong_tells_no_secret(kind: str, tmp_path: Path) -> None:
    """`run` at DEBUG: no broker, a wrong backend, something to send; all it prints and writes."""
    spool = tmp_path / "outbox"
    outbox = Outbox(OutboxSettings(str(spool)), DIALECT, BOOT)
    store(outbox, measurement("A"))
    outbox.close()
    config = tmp_path / "config.yaml"
    with wrong_backend(kind, tmp_path / "certificate") as url:
        config.write_text(config_text(backend_url=url, outbox=spool), encoding="utf-8")
        with child("run", "--config", str(config)) as running:
            running.wait_for_line("not delivered", "parked until")
    assert "stopped: " in running.printed
    assert CANARY not in running.printed
    assert_nothing_in(spool)


def test_a_recording_has_no_password(tmp_path: Path) -> None:
    """`record` with a login that is right: in the file and in what it prints."""
    config, recording = tmp_path / "config.yaml", tmp_path / "made.jsonl"
    with Mosquitto(login=Login(user="me", password=PASSWORD)) as broker, StandInGx(broker):
        config.write_text(
            config_text(backend_url="http://a", outbox=tmp_path / "o", mqtt_port=broker.port),
            encoding="utf-8",
        )
        with child("record", "-c", str(config), "-o", str(recording)) as running:
            running.wait_for_line("found the GX")
    assert '"event":"connected"' in recording.read_text(encoding="utf-8")
    assert CANARY not in recording.read_text(encoding="utf-8")
    assert CANARY not in running.printed


def test_a_refused_login_tells_no_password(tmp_path: Path) -> None:
    """The line names the key to correct, not what it holds."""
    config = tmp_path / "config.yaml"
    with Mosquitto(login=Login(user="me", password="another")) as broker:
        config.write_text(
            config_text(backend_url="http://a", outbox=tmp_path / "o", mqtt_port=broker.port),
            encoding="utf-8",
        )
        with child("run", "-c", str(config)) as running:
            running.wait_for_line("login refused")
    assert "mqtt.password" in running.printed
    assert CANARY not in running.printed
