"""Tests `setup`: from a search to a relay that delivers, with a real broker and a real terminal."""

import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml

from mqtt_http_bridge.adapters.config import load
from mqtt_http_bridge.app.setup import _World, carried_out
from mqtt_http_bridge.cli import DONE, FAILED, WRONG_USAGE
from mqtt_http_bridge.core.setup import steps
from tests.app.test_pin import fingerprint_of
from tests.support.charger_values import single_tracker
from tests.support.faulty_backend import FaultyBackend
from tests.support.gx import PORTAL_ID
from tests.support.paired_gx import PASSWORD, PairedGx
from tests.support.ssdp import LOOPBACK, Device, Network, description
from tests.support.terminal import Terminal

pytestmark = pytest.mark.long

LIMIT_S = 60.0
"""The longest that a newcomer may wait for the first measurement at the backend."""
ON_LOOPBACK = """
import functools, sys
from mqtt_http_bridge.adapters import ssdp
from mqtt_http_bridge.cli import main
ssdp.search = functools.partial(ssdp.search, port={port}, interfaces=[{interface!r}])
sys.exit(main())
"""


class Place:
    """A GX that can be paired, a backend, and a network in which `devices` answer a search."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self.directory = directory / "here"
        self.directory.mkdir()
        self.stack = stack
        self.gx = stack.enter_context(PairedGx(directory / "gx"))
        self.gx.gx.add("solarcharger", 277, single_tracker())
        self.backend = stack.enter_context(FaultyBackend())

    def command(self, *devices: Device, more: tuple[str, ...] = ()) -> list[str]:
        """The command line of `setup`, in a network of these devices."""
        network = self.stack.enter_context(Network(devices))
        code = ON_LOOPBACK.format(port=network.port, interface=LOOPBACK)
        ports = ["--port", str(self.gx.broker.port), "--web-port", str(self.gx.web.server_port)]
        return [sys.executable, "-c", code, "setup", *ports, *more]

    def terminal(self, *devices: Device, more: tuple[str, ...] = ()) -> Terminal:
        command = self.command(*devices, more=more)
        return self.stack.enter_context(Terminal(command, self.directory))

    def script(self, *more: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Runs it where nobody can be asked."""
        return subprocess.run(
            self.command(more=more),
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            text=True,
            env={"PATH": "/usr/bin:/bin", "PYTHONPATH": ":".join(sys.path), **environment},
            timeout=400,
        )

    @property
    def certificates(self) -> tuple[str, str]:
        """The fingerprints of the broker and the web server."""
        both = (self.gx.certificate, self.gx.web_certificate)
        broker, web = (fingerprint_of(each.certificate_file) for each in both)
        return broker, web

    @property
    def files(self) -> dict[str, int]:
        """The files that lie there, with the permissions of each."""
        found = (path for path in self.directory.iterdir() if path.is_file())
        return {path.name: stat.S_IMODE(path.stat().st_mode) for path in found}

    def given(self) -> tuple[str, ...]:
        """The options that answer what the backend is asked for."""
        (self.directory.parent / "key").write_text(f"{self.backend.api_key}\n")
        key = str(self.directory.parent / "key")
        return ("--url", self.backend.url, "--api-key-file", key)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with ExitStack() as stack:
        yield Place(tmp_path, stack)


# --- at a terminal -------------------------------------------------------------------------------


def test_a_newcomer(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """No address is typed; at the end a measurement is at the backend, and no secret was shown."""
    place.gx.web.delay_s = 0.5
    terminal = place.terminal(Device(description(PORTAL_ID)))
    terminal.answer("Address of the backend", place.backend.url)
    terminal.answer("API key of the backend (not shown)", place.backend.api_key)
    terminal.expect(f"Found Workshop, Cerbo GX, 127.0.0.1, portal id {PORTAL_ID}")
    broker, web = place.certificates
    terminal.expect(broker)
    terminal.answer("Trust it from now on? [Y/n]", "")
    terminal.expect(web)
    terminal.answer("Trust it from now on? [Y/n]", "")
    terminal.answer("Network password of the GX", PASSWORD)
    terminal.expect("Paired: the broker takes the token.")
    terminal.expect("HQ2211AAAA1")
    files = ("config.yaml", "gx.pem", "gx_web.pem", "gx_token.txt", "api_key.txt")
    terminal.expect(f"Wrote {', '.join(files)}.")
    terminal.expect("Checking:")
    terminal.answer("Start relaying now? [Y/n]", "")
    place.backend.wait_for_arrivals(2, LIMIT_S)
    took_s = terminal.took_s
    with capsys.disabled():
        print(f"\nsetup: {took_s:.1f} s from the command to the first measurement stored")
    assert took_s < LIMIT_S
    terminal.interrupt()
    assert terminal.end() == DONE
    assert "FAIL" not in terminal.seen
    assert place.files == {
        "config.yaml": 0o600,
        "api_key.txt": 0o600,
        "gx_token.txt": 0o600,
        "gx.pem": 0o644,
        "gx_web.pem": 0o644,
    }
    for secret in (PASSWORD, place.backend.api_key, *place.gx.web.tokens.values()):
        assert secret not in terminal.seen
        assert secret not in (place.directory / "config.yaml").read_text()


def test_in_pairing_mode(place: Place) -> None:
    """Nothing is typed for the password once pairing was started on the GX."""
    terminal = place.terminal(Device(description(PORTAL_ID)), more=(*place.given(), "--no-start"))
    terminal.answer("Trust it from now on? [Y/n]", "")
    terminal.answer("Trust it from now on? [Y/n]", "")
    terminal.answer("Network password of the GX", "")
    terminal.expect("found 403 (Forbidden): the GX is not in pairing mode")
    place.gx.web.is_pairing = True
    terminal.answer("Network password of the GX", "")
    terminal.expect("Paired: the broker takes the token.")
    assert terminal.end() == DONE
    mqtt = yaml.safe_load((place.directory / "config.yaml").read_text())["mqtt"]
    assert list(place.gx.web.tokens) == [mqtt["username"]]


def test_two_gx_and_a_liar(place: Place) -> None:
    """Both are shown; the answer that sends us elsewhere is told, and leads nowhere."""
    other = Device(description("c0619ab35133", name="Barn"), address="127.0.0.2")
    liar = Device(location="http://127.0.0.4:80/", address="127.0.0.3")
    terminal = place.terminal(
        liar, other, Device(description(PORTAL_ID, pairing="0")), more=place.given()
    )
    terminal.expect("127.0.0.3 sends us to http://127.0.0.4:80/, which is another machine")
    terminal.expect("1  Workshop")
    terminal.expect("2  Barn")
    terminal.answer("Which one? (1-2)", "1")
    terminal.answer("Trust it from now on? [Y/n]", "")
    terminal.answer("Network password of the GX", "wrong")
    terminal.expect("login refused")
    terminal.answer("Network password of the GX", PASSWORD)
    terminal.expect("Wrote config.yaml, gx.pem, api_key.txt, gx_password.txt.")
    terminal.answer("Start relaying now? [Y/n]", "n")
    assert terminal.end() == DONE
    assert f" run -c {place.directory}/config.yaml" in terminal.seen
    password = place.directory / "gx_password.txt"
    assert password.read_text() == f"{PASSWORD}\n"
    assert place.files["gx_password.txt"] == 0o600
    assert place.gx.web.requests == []


def test_none(place: Place) -> None:
    """The address is asked for; who does not trust what is there leaves nothing behind."""
    terminal = place.terminal(more=place.given())
    terminal.expect("No GX answers")
    terminal.answer("Address of the GX", "127.0.0.1")
    terminal.answer("Trust it from now on? [Y/n]", "n")
    assert terminal.end() == FAILED
    assert "no secret was sent to it" in terminal.seen
    assert place.files == {}


def test_the_second_time(place: Place) -> None:
    """A certificate that was pinned is trusted without a question, and another one is refused."""
    (place.directory / "gx.pem").write_text(place.gx.certificate.certificate_file.read_text())
    gx = Device(description(PORTAL_ID, pairing="0"))
    terminal = place.terminal(gx, more=(*place.given(), "--no-start"))
    terminal.answer("Network password of the GX", PASSWORD)
    assert terminal.end() == DONE
    assert "Trust it" not in terminal.seen
    (place.directory / "config.yaml").unlink()
    (place.directory / "gx.pem").write_text(place.gx.web_certificate.certificate_file.read_text())
    terminal = place.terminal(more=(*place.given(), "--host", "127.0.0.1"))
    assert terminal.end() == FAILED
    assert "remove that file" in terminal.seen
    assert "config.yaml" not in place.files


def test_the_web_server_is_not_trusted(place: Place) -> None:
    """It goes on with the password of the GX, and nothing is asked of the web server."""
    terminal = place.terminal(Device(description(PORTAL_ID)), more=(*place.given(), "--no-start"))
    terminal.answer("Trust it from now on? [Y/n]", "")
    terminal.answer("Trust it from now on? [Y/n]", "n")
    terminal.answer("Network password of the GX", PASSWORD)
    assert terminal.end() == DONE
    assert not any(request.startswith("POST") for request in place.gx.web.requests)
    assert sorted(place.files) == ["api_key.txt", "config.yaml", "gx.pem", "gx_password.txt"]


# --- in a script ---------------------------------------------------------------------------------


def test_a_script_that_pairs(place: Place) -> None:
    """The secrets come from files and the environment, and those that were written count."""
    broker, web = place.certificates
    said = place.script(
        *("--host", "127.0.0.1", "--url", place.backend.url, "--no-start"),
        *("--fingerprint", broker, "--web-fingerprint", web),
        MQTT_HTTP_BRIDGE_API_KEY=place.backend.api_key,
        MQTT_HTTP_BRIDGE_MQTT_PASSWORD=PASSWORD,
    )
    assert said.returncode == DONE, said.stderr
    settings = load(place.directory / "config.yaml", {})
    assert settings.mqtt.portal_ids == (PORTAL_ID,)
    assert settings.mqtt.username in place.gx.web.tokens
    assert "let in as token/mqtt_http_bridge/" in said.stdout
    for secret in (PASSWORD, place.backend.api_key, *place.gx.web.tokens.values()):
        assert secret not in said.stdout + said.stderr


def test_a_script_says_whom_to_trust(place: Place) -> None:
    """Without a fingerprint, or with another, nothing is sent and no config is left."""
    options = ("--host", "127.0.0.1", *place.given())
    said = place.script(*options)
    assert said.returncode == WRONG_USAGE
    assert "expected --fingerprint SHA256, found none, and nobody to ask" in said.stderr
    broker, web = place.certificates
    assert broker in said.stderr
    said = place.script(*options, "--fingerprint", web)
    assert said.returncode == FAILED
    assert f"expected the fingerprint {web}, found {broker}" in said.stderr
    assert place.files == {}


def test_a_script_lacks_something(place: Place) -> None:
    """The option that is missing is named, before anybody is spoken to."""
    assert "expected --url URL, found none" in place.script("--host", "127.0.0.1").stderr
    said = place.script("--host", "127.0.0.1", "--url", place.backend.url)
    assert "expected --api-key-file FILE, found none" in said.stderr
    said = place.script(*place.given())
    assert "expected --host ADDRESS, found none" in said.stderr


def test_a_config_that_is_there_is_kept(place: Place) -> None:
    """Nothing is asked, nothing is written."""
    (place.directory / "config.yaml").write_text("backend:\n")
    said = place.script(*place.given())
    assert said.returncode == WRONG_USAGE
    assert "expected no config yet, found one" in said.stderr
    assert (place.directory / "config.yaml").read_text() == "backend:\n"


def test_a_second_config_in_one_folder(place: Place) -> None:
    """Its measurements wait in another place than those of the first, and it says where."""
    other = "backend: {url: 'http://127.0.0.1:1', api_key: key}\n"
    (place.directory / "config.yaml").write_text(other)
    broker, _ = place.certificates
    options = ("-c", "barn.yaml", "--host", "127.0.0.1", *place.given(), "--fingerprint", broker)
    said = place.script(*options, "--outbox", "outbox")
    assert said.returncode == WRONG_USAGE
    assert "found that outbox is that of config.yaml: choose another one" in said.stderr
    said = place.script(*options, MQTT_HTTP_BRIDGE_MQTT_PASSWORD=PASSWORD)
    assert said.returncode == DONE, said.stdout + said.stderr
    assert "the measurements of this one wait in barn.outbox" in said.stderr
    settings = load(place.directory / "barn.yaml", {})
    assert settings.outbox.directory == str(place.directory / "barn.outbox")


def test_what_is_said_does_not_speak_to_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its control characters are shown as escapes."""
    world = _World(steps.Given(is_interactive=False), tmp_path / "config.yaml", None)
    world.do(steps.Say("subject  CN=a\x1b[2J"))
    assert capsys.readouterr().err == "subject  CN=a\\x1b[2J\n"


def test_a_dialogue_is_carried_out_step_by_step() -> None:
    """Each result goes back to where it was asked for."""

    def talk() -> steps.Dialogue[list[str]]:
        first = yield from steps.ask("0", "--option")
        second = yield from steps.ask("1", "--option")
        return [first, second]

    asked: list[object] = []

    def do(step: steps.Step) -> str:
        asked.append(step)
        return f"answer {len(asked)}"

    assert carried_out(talk(), do) == ["answer 1", "answer 2"]
    assert asked == [steps.Ask(str(number), "--option") for number in range(2)]
