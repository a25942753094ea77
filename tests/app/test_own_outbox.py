"""Two configs in one folder: each has an outbox of its own, and where not, that is said."""

from pathlib import Path

import pytest
import yaml

from mqtt_http_bridge.adapters.config import load, others_with_outbox
from mqtt_http_bridge.app import check, run
from mqtt_http_bridge.app.own_outbox import own_outbox
from mqtt_http_bridge.cli import DONE, WRONG_USAGE, main
from mqtt_http_bridge.core.errors import ConfigError
from mqtt_http_bridge.core.status.findings import Mark

ROOF = "backend: {url: 'http://127.0.0.1:1', api_key: key}\nmqtt: {port: 1}\n"


@pytest.fixture(autouse=True)
def _one_config(own_directory: Path) -> None:
    """Works in a folder with one config, whose outbox is the default."""
    write("config.yaml")


def write(name: str, more: str = "") -> Path:
    path = Path(name)
    path.write_text(ROOF + more, encoding="utf-8")
    path.chmod(0o600)
    return path


def test_the_first_has_the_default() -> None:
    """Nothing is written for it, whatever its name is."""
    Path("config.yaml").unlink()
    assert own_outbox(Path("barn.yaml"), None) is None
    assert own_outbox(Path("barn.yaml"), "/data/outbox") == "/data/outbox"


def test_the_second_has_another() -> None:
    """It is named after its config; one that is wished for and free is taken."""
    assert own_outbox(Path("barn.yaml"), None) == "barn.outbox"
    assert own_outbox(Path("barn.yaml"), "mine") == "mine"


@pytest.mark.parametrize("wish", ["outbox", "./outbox/", "{here}/outbox"])
def test_one_that_is_taken_is_refused(tmp_path: Path, wish: str) -> None:
    """However it is spelled."""
    with pytest.raises(ConfigError) as caught:
        own_outbox(Path("barn.yaml"), wish.format(here=tmp_path))
    assert "is that of config.yaml: choose another one with --outbox" in str(caught.value)


def test_both_names_taken() -> None:
    """Even the second choice may be somebody else's."""
    write("other.yaml", "outbox: {directory: barn.outbox}\n")
    with pytest.raises(ConfigError, match=r"barn\.outbox is that of other\.yaml"):
        own_outbox(Path("barn.yaml"), None)


def test_other_files_are_no_configs(tmp_path: Path) -> None:
    """Not one for Docker, not a broken one, not the same one by another name."""
    config = tmp_path / "config.yaml"
    (tmp_path / "compose.yaml").write_text("services: {relay: {image: x}}\n", encoding="utf-8")
    (tmp_path / "broken.yaml").write_text("backend: [\n", encoding="utf-8")
    (tmp_path / "half.yaml").write_text("mqtt: {host: gx}\n", encoding="utf-8")
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "link.yaml").symlink_to(config)
    (tmp_path / "loop.yaml").symlink_to("loop.yaml")
    assert others_with_outbox(config, "outbox") == []
    write("roof.yml")
    assert others_with_outbox(config, "outbox") == [str(tmp_path / "roof.yml")]


def test_config_make(capsys: pytest.CaptureFixture[str]) -> None:
    """It says what it has chosen, and refuses what is taken."""
    Path("key").write_text("key\n", encoding="utf-8")
    made = ["config", "make", "-o", "barn.yaml", "--url", "https://a.example"]
    assert main([*made, "--api-key-file", "key", "--outbox", "outbox"]) == WRONG_USAGE
    assert not Path("barn.yaml").exists()
    assert main([*made, "--api-key-file", "key"]) == DONE
    said = capsys.readouterr().err
    assert "barn.yaml: outbox.directory is barn.outbox, as config.yaml has the outbox out" in said
    assert load(Path("barn.yaml"), {}).outbox.directory == str(Path("barn.outbox").absolute())


def test_the_example_gets_one_as_well(capsys: pytest.CaptureFixture[str]) -> None:
    """A person fills it in, and would not think of that."""
    assert main(["config", "make", "-o", "barn.yaml"]) == DONE
    assert "now set backend.url and backend.api_key" in capsys.readouterr().err
    text = Path("barn.yaml").read_text(encoding="utf-8")
    assert yaml.safe_load(text)["outbox"]["directory"] == "barn.outbox"


def test_check_and_config_test_say_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Both name the other config; it may be a copy that nobody runs, so it is a note."""
    barn = write("barn.yaml").absolute()
    said = f"{tmp_path}/outbox is the outbox of {tmp_path}/config.yaml, too"
    (finding,) = (f for f in check.walk(barn, {}) if f.text.startswith(said))
    assert finding.mark is Mark.WARNING
    assert finding.fix == "set another outbox.directory in one of them"
    assert main(["config", "test", "-c", str(barn)]) == DONE
    assert f"{said}: each would send" in capsys.readouterr().err
    write("barn.yaml", "outbox: {directory: elsewhere}\n")
    assert not any("is the outbox of" in f.text for f in check.walk(barn, {}))


def test_run_says_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Before it begins, in a warning with the way out."""
    write("barn.yaml")
    only_tell(tmp_path / "barn.yaml")
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    said = f"{tmp_path}/outbox is the outbox of {tmp_path}/config.yaml, too: each would send"
    assert record.getMessage().startswith(said)
    caplog.clear()
    only_tell(write("barn.yaml", "outbox: {directory: elsewhere}\n"))
    assert caplog.records == []


def only_tell(config: Path) -> None:
    """Goes through `run` up to the point where it would connect."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "run", lambda settings, backend: None)
        assert main(["run", "-c", str(config)]) == DONE
