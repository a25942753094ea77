"""Tests which config a verb uses, and what `config test` finds beyond its syntax."""

from pathlib import Path

import pytest

from mqtt_http_bridge.adapters import config_place
from mqtt_http_bridge.cli import main

CONFIG = "backend: {url: https://a.example, api_key: a-long-key}\n"


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Gives the folder in which the places of configs are, and works in another, empty one."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setattr(config_place, "ON_A_GX", tmp_path / "data" / "config.yaml")
    monkeypatch.setattr(config_place, "ON_A_HOST", tmp_path / "etc")
    return tmp_path


def write(path: Path, text: str = CONFIG) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)


# --- which one ---------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", [["config", "test"], ["outbox", "status"], ["status"]])
def test_the_config_of_the_service_is_found(
    places: Path, capsys: pytest.CaptureFixture[str], verb: list[str]
) -> None:
    """That of this folder first, then that of a GX, then that of a host; it is said which."""
    for name in ("etc/config.yaml", "data/config.yaml", "here/config.yaml"):
        write(places / name)
        main(verb)
        shown = "config.yaml" if name.startswith("here") else places / name
        assert capsys.readouterr().err.splitlines()[0] == f"config: {shown}"


def test_with_several_services_one_has_to_be_named(
    places: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """They are listed, and the command says how."""
    write(places / "etc" / "barn.yaml")
    write(places / "etc" / "config.yaml")
    assert main(["outbox", "status"]) == 2
    said = capsys.readouterr().err
    assert "found several: name one with -c" in said
    assert f"{places}/etc/barn.yaml, {places}/etc/config.yaml" in said
    assert main(["config", "test", "-c", str(places / "etc" / "barn.yaml")]) == 0


def test_one_instance_alone_is_the_one(places: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever its name is."""
    write(places / "etc" / "barn.yaml")
    assert main(["config", "test"]) == 0
    assert capsys.readouterr().err == f"config: {places}/etc/barn.yaml\n"


def test_without_any_it_is_said_where_one_is_expected(capsys: pytest.CaptureFixture[str]) -> None:
    """In this folder, as docs/config.md has it."""
    assert main(["config", "test"]) == 2
    assert "config.yaml: expected a config file, found none" in capsys.readouterr().err


# --- what is in it -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "backend: {url: https://a.example/api/victron/measurements, api_key: a-long-key}",
            "config.yaml: backend.url: expected the address without /api/victron/measurements",
        ),
        (
            f"{CONFIG}outbox: {{directory: taken}}",
            "config.yaml: outbox.directory: expected a directory, found a file at ",
        ),
        (
            f"{CONFIG}outbox: {{directory: {'x' * 5000}}}",
            "config.yaml: outbox.directory: expected the name of a directory, found one that",
        ),
        (
            f"{CONFIG}outbox: {{directory: taken/below}}",
            "config.yaml: outbox.directory: expected a directory, found a file at ",
        ),
    ],
)
def test_what_would_not_work_is_found(
    places: Path, capsys: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    """With what was expected, and an exit status of 2."""
    write(places / "here" / "taken")
    write(places / "here" / "config.yaml", text)
    assert main(["config", "test"]) == 2
    assert said in capsys.readouterr().err


def test_a_directory_in_which_nobody_can_write_is_found(
    places: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A test that runs as root has to be told so."""
    monkeypatch.setattr("os.access", lambda path, mode: False)
    write(places / "here" / "config.yaml")
    assert main(["config", "test"]) == 2
    assert "expected to be allowed to write in " in capsys.readouterr().err


def test_an_outbox_that_is_not_there_yet_is_no_fault(places: Path) -> None:
    """The service makes it, and nothing else does."""
    write(places / "here" / "config.yaml", f"{CONFIG}outbox: {{directory: a/b/c}}")
    assert main(["config", "test"]) == 0
    assert not (places / "here" / "a").exists()


def test_a_portal_id_in_capitals_is_odd(places: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It may be right, so it is a warning."""
    write(places / "here" / "config.yaml", f"{CONFIG}mqtt: {{portal_id: C0619AB35133}}")
    assert main(["config", "test"]) == 0
    assert "found 'C0619AB35133': is it 'c0619ab35133'?" in capsys.readouterr().err
