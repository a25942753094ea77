"""Tests `status`: what it shows of the saved state, for people and for scripts."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from mqtt_http_bridge import __version__
from mqtt_http_bridge.adapters.clock import SystemClock
from mqtt_http_bridge.app.show_status import lines, texts
from mqtt_http_bridge.cli import DONE, FAILED, WRONG_USAGE, main
from mqtt_http_bridge.core.status.problem import Kind, Problem
from mqtt_http_bridge.core.status.state_file import GxState, Liveness, Owed, Process, State
from tests.support.gx import PORTAL_ID
from tests.support.patience import wait_until
from tests.support.running import Running, World

pytestmark = [pytest.mark.long, pytest.mark.one_charger]

STATE = State(
    process=Process("1.2", 17, "boot", 4711, 1780315200.0, "/data/config.yaml", 30.0),
    written=1780315300.0,
    written_s=100.0,
    gx=(
        GxState(
            "c0619ab35133",
            "barn",
            1780315297.0,
            1780315290.0,
            2,
            is_well=False,
            stored=1780315291.0,
            waiting=1,
            parked=3,
        ),
        GxState("c0619ab35134", "roof", None, None, 0),
        GxState("c0619ab35135", "shed", 1780315100.0, None, 0, is_well=False),
        GxState("c0619ab35136", "hut", 1780315299.0, 1780315298.0, 0, True, "no charger to report"),
    ),
    problems=(Problem(Kind.PARKED, "3 reports\nof X", "register it"),),
    notes=(Problem(Kind.DAMAGED, "2 files", "look at them"),),
    owed=Owed(1, 3, "2026-06-01T12:01:00+00:00", in_memory=2),
    stored=1780315291.0,
)
BARN = "heard 3 s ago, measured 10 s ago, 2 chargers"
ROOF = "heard never yet, measured never yet, 0 chargers"
SHED = "heard 3 min ago, measured never yet, 0 chargers"
HUT = "heard 1 s ago, measured 2 s ago, 0 chargers, no charger to report"
RUNNING = Liveness(is_running=True, is_locked=True, state=STATE)
OVER = Liveness(is_running=False, is_locked=False, state=STATE)


def test_for_scripts() -> None:
    """One value a line, each by a name that stays; a GX that was never heard is not one of them."""
    assert lines(RUNNING) == {
        "running": "yes",
        "locked": "yes",
        "process": "17.4711",
        "version": "1.2",
        "config": "/data/config.yaml",
        "gx": "c0619ab35133,c0619ab35136",
        "chargers": "2",
        "stored": "2026-06-01 12:01:31 UTC",
        "owed": "4",
        "problems": "1",
        "well": "no",
        "why": "3 reports\nof X",
        "fix": "register it",
        "in_memory": "2",
    }
    well = lines(RUNNING._replace(state=STATE._replace(problems=())))
    assert (well["well"], well["why"], well["fix"], well["problems"]) == ("yes", "", "", "0")


def test_for_scripts_a_process_that_has_ended_tells_nothing() -> None:
    """A script that waits for the next one must not take what the last one said for it."""
    assert list(lines(OVER)) == list(lines(RUNNING))
    assert set(lines(OVER).values()) == {"no", ""}
    assert lines(OVER._replace(is_locked=True, state=None))["locked"] == "yes"


def test_for_people() -> None:
    """Tells who runs, how each GX stands, what is stored and owed, what is wrong, what to do."""
    assert texts(RUNNING, 1780315300.0) == [
        "service   mqtt-http-bridge 1.2 runs since 2026-06-01 12:00:00 UTC, by /data/config.yaml",
        "well      no",
        *(
            f"GX        {line}"
            for line in (
                f"barn: not well: {BARN}, stored 9 s ago, 1 waiting, 3 parked",
                f"roof: not counted: {ROOF}, stored never yet, 0 waiting, 0 parked",
                f"shed: not well: {SHED}, stored never yet, 0 waiting, 0 parked",
                f"hut: well: {HUT}, stored never yet, 0 waiting, 0 parked",
            )
        ),
        "stored    the newest 9 s ago",
        "owed      1 measurement, 3 reports parked",
        "          the oldest of 2026-06-01T12:01:00+00:00",
        "          2 of them in memory only",
        "not well  3 reports\\nof X",
        "          -> register it",
        "note      2 files",
        "          -> look at them",
    ]
    assert texts(OVER, 0.0) == ["service   not running since 2026-06-01 12:01:40 UTC"]
    assert texts(OVER._replace(state=None), 0.0) == ["service   it never ran here"]


def test_times_out_of_range() -> None:
    """A file may say anything."""
    state = STATE._replace(written=1e300, process=STATE.process._replace(started=-1e300))
    assert texts(RUNNING._replace(state=state), 0.0)[0].startswith(
        "service   mqtt-http-bridge 1.2 runs since an unknown time"
    )
    assert texts(OVER._replace(state=state), 0.0) == ["service   not running since an unknown time"]


# --- the verb ------------------------------------------------------------------------------------


@pytest.fixture
def told(world: World, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Returns what `status` prints."""

    def told(*options: str, expects: int = DONE) -> str:
        assert main(["status", *options, "-c", str(world.directory / "config.yaml")]) == expects
        return capsys.readouterr().out

    return told


def test_from_start_to_end(world: World, told: Callable[..., str]) -> None:
    """The very process that runs is told, and that its measurements are stored; then its end."""
    process = world.run({"device.update_interval": 30})
    world.backend.wait_for(1, 60.0)
    wait_until(lambda: "stored=20" in told("--lines"))
    values = dict(line.split("=", 1) for line in told("--lines").splitlines())
    assert values["process"].partition(".")[0] == str(process._process.pid)
    assert (values["version"], values["gx"], values["chargers"]) == (__version__, PORTAL_ID, "1")
    assert (values["owed"], values["problems"]) == ("0", "0")
    document = json.loads(told("--json"))
    (device,) = document["state"]["devices"]
    assert (device["serial"], device["result"]) == ("HQ2211AAAA1", "stored")
    assert document["is_running"] is True
    (gx,) = document["state"]["gx"]
    assert gx["heard"] >= gx["measured"] >= document["state"]["process"]["started"]
    assert "1 charger," in told()

    before_s = SystemClock().now().monotonic_s
    end(process)
    assert told("--lines", expects=FAILED).startswith("running=no\nlocked=no\n")
    assert told(expects=FAILED).startswith("service   not running since ")
    document = json.loads(told("--json", expects=FAILED))
    assert document["is_running"] is False
    assert document["state"]["written_s"] >= before_s


def end(process: Running) -> None:
    assert process.stop() == 0


def test_without_a_config(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody knows which service is meant."""
    assert main(["status", "-c", str(tmp_path / "none.yaml")]) == WRONG_USAGE
    assert capsys.readouterr().out == ""


def test_a_refused_device(world: World, told: Callable[..., str]) -> None:
    """The last verdict on it, with the backend's words, and the problem that follows."""
    world.backend._known_serials = ()
    process = world.run()
    world.backend.wait_for(1, 60.0)
    wait_until(lambda: '"refused"' in told("--json"))
    document = json.loads(told("--json"))
    (device,) = document["state"]["devices"]
    assert "not found" in device["reason"]
    assert "parked" in [problem["kind"] for problem in document["state"]["problems"]]
    end(process)
