"""Tests `health`: what supervisors rely on, and what may restart a service."""

import os
import signal
from pathlib import Path

import pytest

from mqtt_http_bridge.adapters.state_file import StateFile
from mqtt_http_bridge.cli import main
from tests.support.faulty_backend import Forced
from tests.support.patience import wait_until
from tests.support.running import Running, World

pytestmark = pytest.mark.one_charger

ROOT = Path(__file__).parents[2]
QUICK = (
    "from mqtt_http_bridge.app import state_reporter as a;"
    "from mqtt_http_bridge.core.status import state_file as b;"
    "a.LEAST_SPACING_S = b.LEAST_SPACING_S = 0.05"
)
"""A statement that has the state written as soon as there is news."""


def health(world: World, *options: str) -> int:
    return main(["health", *options, "-c", str(world.directory / "config.yaml")])


def started(world: World) -> Running:
    process = world.run(fault=QUICK)
    wait_until(lambda: health(world) == 0)
    return process


def test_a_service_that_runs_is_well_and_alive(world: World) -> None:
    """Once something is stored; a service that has ended is neither."""
    process = started(world)
    assert health(world, "--alive") == 0
    assert process.stop() == 0
    assert (health(world), health(world, "--alive")) == (1, 1)


def test_a_backend_that_is_away_restarts_nobody(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is not well, with the reason and what fixes it, and alive all the same."""
    process = started(world)
    world.backend.always(Forced(status=401))
    wait_until(lambda: health(world) == 1)
    assert "correct backend.api_key or its file" in capsys.readouterr().err
    assert health(world, "--alive") == 0
    assert process.stop() == 0


def test_a_process_that_was_stopped_is_not_alive(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As soon as its state is too old to be believed."""
    process = started(world)
    process.send(signal.SIGSTOP)
    monkeypatch.setattr("mqtt_http_bridge.core.status.state_file.LEAST_PATIENCE_S", 0.0)
    wait_until(lambda: health(world, "--alive") == 1)
    assert "not running since" in capsys.readouterr().err
    process.send(signal.SIGCONT)
    wait_until(lambda: health(world, "--alive") == 0)
    assert process.stop() == 0


def test_a_disk_that_refuses_from_the_start_restarts_nobody(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """There is no file to lock, and what is measured is in memory only: a restart would lose it."""
    run_directory = tmp_path_factory.mktemp("run")
    monkeypatch.setattr(StateFile.__init__, "__defaults__", (run_directory,))
    world.spool.write_text("in the way")
    process = world.run(
        fault=f"{QUICK}; from pathlib import Path;"
        " from mqtt_http_bridge.adapters.state_file import StateFile;"
        f" StateFile.__init__.__defaults__ = (Path({str(run_directory)!r}),)"
    )
    wait_until(lambda: health(world, "--alive") == 0)
    process.kill()
    assert health(world, "--alive") == 1


@pytest.mark.parametrize("verb", [["health"], ["health", "--alive"], ["status"]], ids=" ".join)
def test_a_user_who_may_not_look_is_told(
    verb: list[str],
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Nobody says that no service ever ran: that is not known."""
    config = world.write_config()
    world.spool.mkdir()

    def refuse(path: Path, *_: object) -> int:
        raise PermissionError(13, "Permission denied", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        assert main([*verb, "-c", str(config)]) == 1
    captured = capsys.readouterr()
    assert "this user may not look at it: run this as the service's user" in captured.err
    assert "never ran" not in captured.out + captured.err


def test_no_manifest_has_a_backend_restart_the_service() -> None:
    """Wherever `health` is a health check or a liveness probe, it is `--alive` that is asked."""
    found = []
    for folder in (ROOT, ROOT / "docs", ROOT / "service"):
        for path in folder.iterdir():
            if path.is_file() and path.suffix in (".yaml", ".yml", "") and path.name != "LICENSE":
                text = path.read_text(encoding="utf-8", errors="replace").lower()
                found += [(path.name, part) for part in _checks_in(text)]
    assert [(name, part) for name, part in found if "--alive" not in part] == []


def _checks_in(text: str) -> list[str]:
    """Returns what follows the words that make something restart, as far as it may matter."""
    words = ("healthcheck", "livenessprobe")
    places = [at for word in words for at in _places(text, word)]
    return [text[at : at + 300] for at in places if "health" in text[at + 11 : at + 300]]


def _places(text: str, word: str) -> list[int]:
    return [at for at in range(len(text)) if text.startswith(word, at)]
