"""Tests `outbox drain`: it sends what waits, and does nothing else."""

import os
import signal
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from mqtt_http_bridge.app import delivering
from mqtt_http_bridge.app import drain as drain_module
from mqtt_http_bridge.app.senders import Senders
from mqtt_http_bridge.cli import main
from mqtt_http_bridge.core.errors import LocalFault
from mqtt_http_bridge.demo.backend import StandInBackend
from mqtt_http_bridge.demo.server import Answer, Arrival
from tests.support.outboxes import fill, measurement, opened, store, waiting

KEY = "a-long-key"


@pytest.fixture
def backend_options() -> dict[str, Any]:
    """Knows one charger and one key."""
    return {"known_serials": {"HQ1"}, "api_key": KEY}


@pytest.fixture
def config(tmp_path: Path, backend: StandInBackend) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(
        f"backend: {{url: '{backend.url}', api_key: {KEY}}}\noutbox: {{max_rate: 1000}}\n",
        encoding="utf-8",
    )
    return path


def drain(config: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    capsys.readouterr()
    return main(["outbox", "drain", "-c", str(config)]), capsys.readouterr().err


def test_what_waits_is_sent(
    config: Path, backend: StandInBackend, capsys: pytest.CaptureFixture[str]
) -> None:
    """All of it, and it is told how much that was."""
    with opened(config.parent / "outbox") as outbox:
        fill(outbox, *range(20))
    status, said = drain(config, capsys)
    assert (status, len(backend.stored)) == (0, 20)
    assert said.endswith("20 measurements waited: 20 stored, 0 left\n")
    assert drain(config, capsys)[1].endswith("nothing waits\n")


def test_what_is_given_up_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """It was not stored."""
    drain_module._tell(20, 3, 2, [])
    assert capsys.readouterr().err == "20 measurements waited: 15 stored, 3 left, 2 given up\n"


def test_what_has_to_wait_is_told(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With what fixes it, and another exit status."""
    with opened(config.parent / "outbox") as outbox:
        store(outbox, measurement(1, "HQ1", "unknown"))
    status, said = drain(config, capsys)
    assert status == 1
    assert "1 measurement waited: 0 stored, 1 left" in said
    assert "parked: 1 of unknown: Device unknown not found: register it at the backend" in said


def test_an_outbox_is_free_again_if_nothing_can_send(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine has no room for senders: what was stored is there for the next one."""

    def refuse(*arguments: Any, **options: Any) -> None:
        raise LocalFault("no room")

    with opened(config.parent / "outbox") as outbox:
        fill(outbox, 1)
    with monkeypatch.context() as patch:
        patch.setattr(delivering, "Senders", refuse)
        assert drain(config, capsys) == (1, "mqtt-http-bridge: no room\n")
    assert drain(config, capsys)[0] == 0


def test_a_backend_that_is_not_there_ends_it(
    config: Path,
    backend: StandInBackend,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing is lost, and it is said why nothing was sent, whatever the kernel knows."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
    text = config.read_text(encoding="utf-8").replace(backend.url, url)
    config.write_text(text, encoding="utf-8")
    for is_known in (True, False):
        monkeypatch.setattr(drain_module, "is_synchronised", lambda known=is_known: known)
        with opened(config.parent / "outbox") as outbox:
            fill(outbox, 1)
            before = waiting(outbox)
        status, said = drain(config, capsys)
        assert status == 1
        assert "Connection refused" in said
        with opened(config.parent / "outbox") as outbox:
            assert waiting(outbox) == before


def test_it_does_not_take_the_outbox_from_the_service(
    config: Path, backend: StandInBackend, capsys: pytest.CaptureFixture[str]
) -> None:
    """The service sends what waits anyway."""
    with opened(config.parent / "outbox") as outbox:
        fill(outbox, 1)
        status, said = drain(config, capsys)
    assert status == 1
    assert "another mqtt-http-bridge" in said
    assert backend.stored == {}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_what_is_answered_at_an_early_end_is_not_sent_again(
    config: Path,
    backend: StandInBackend,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    number: signal.Signals,
) -> None:
    """The POST under way gets its answer, and that is written down."""
    with opened(config.parent / "outbox") as outbox:
        fill(outbox, *range(20))
    is_ending, answer, stop = threading.Event(), backend.answer, Senders.stop

    def answer_at_the_end(arrival: Arrival) -> Answer:
        os.kill(os.getpid(), number)
        assert is_ending.wait(10.0)
        return answer(arrival)

    def noted(senders: Senders, timeout_s: float) -> None:
        if number == signal.SIGHUP:  # A shell sends its jobs one more.
            os.kill(os.getpid(), number)
        is_ending.set()
        stop(senders, timeout_s)

    monkeypatch.setattr(backend, "answer", answer_at_the_end)
    monkeypatch.setattr(Senders, "stop", noted)
    before = signal.getsignal(number)
    status, said = drain(config, capsys)
    assert (status, said.splitlines()[-1]) == (1, "interrupted")
    assert signal.getsignal(number) == before
    assert len(backend.stored) == 1
    with opened(config.parent / "outbox") as outbox:
        assert waiting(outbox) == 19
