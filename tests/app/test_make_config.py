"""Tests `config make`, which writes a first config, and whether a version accepts a config."""

from importlib import resources
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mqtt_http_bridge.adapters.config import load
from mqtt_http_bridge.app.make_config import document, old_values
from mqtt_http_bridge.cli import main
from mqtt_http_bridge.core.config_schema import KEYS
from mqtt_http_bridge.core.errors import ConfigError
from mqtt_http_bridge.core.settings import Secret

EXAMPLE = Path(__file__).parents[2] / "config.yaml.example"
OLD = """\
[backend]
url = https://solar.example.org
api_key = 100%secret
timeout = 12
retries = 3
[device]
cerbo_serial = 0123
update_interval = 60
[logging]
level = debug
"""


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "key"
    path.write_text("secret-key\n", encoding="utf-8")
    return path


def test_the_example_in_the_package_is_the_one_that_people_find() -> None:
    """`config make` reads the copy in the package; people read the file beside install.sh."""
    packed = resources.files("mqtt_http_bridge").joinpath("config.yaml.example")
    assert packed.read_bytes() == EXAMPLE.read_bytes(), (
        "the two differ: cp config.yaml.example mqtt_http_bridge/"
    )


def test_a_config_of_url_and_key(tmp_path: Path, key_file: Path) -> None:
    """It can be read at once, and by its owner alone."""
    config = tmp_path / "config.yaml"
    made = ["config", "make", "-o", str(config), "--url", "https://a.example"]
    assert main([*made, "--api-key-file", str(key_file), "--gx", "10.0.0.1"]) == 0
    assert config.stat().st_mode & 0o777 == 0o600
    settings = load(config, {})
    assert settings.backend is not None
    assert settings.backend.api_key == Secret("secret-key")
    assert settings.mqtt.host == "10.0.0.1"
    assert main(["config", "test", "-c", str(config)]) == 0


@pytest.mark.parametrize(
    ("url", "key", "expected"),
    [
        ("ftp://a.example", "k\n", "mqtt-http-bridge: --url: expected an http or https address"),
        (
            "https://a.example",
            "\n",
            "/key: expected the API key, printable ASCII without spaces around it, found",
        ),
        (
            "https://a.example/api/victron/measurements/",
            "k\n",
            "--url: expected the address without /api/victron/measurements, found it with that",
        ),
        ("https://a.example", None, "--api-key-file: expected the name of a file, found none"),
    ],
)
def test_a_wrong_one_is_not_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], url: str, key: str | None, expected: str
) -> None:
    """And nothing is left of it."""
    key_file = tmp_path / "key"
    if key is not None:
        key_file.write_text(key, encoding="utf-8")
    made = ["config", "make", "-o", str(tmp_path / "config.yaml"), "--url", url]
    assert main([*made, "--api-key-file", str(key_file)]) == 2
    assert expected in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir() if path != key_file] == []


def test_a_wrong_address_is_named_by_its_option(
    tmp_path: Path, key_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The config is not named: it is the option that somebody typed."""
    made = ["config", "make", "-o", str(tmp_path / "config.yaml"), "--url", "https://a.example"]
    assert main([*made, "--api-key-file", str(key_file), "--gx", "a b"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("mqtt-http-bridge: --gx: expected a host name or an IP address")
    assert "config.yaml" not in said


@pytest.mark.parametrize(
    "content", [b"\xef\xbb\xbfsecret-key\r\n", b"secret-key\r\n"], ids=["with a BOM", "without"]
)
def test_a_key_file_made_on_windows(tmp_path: Path, content: bytes) -> None:
    """Notepad puts a mark before the text, which is no part of the key."""
    key_file, config = tmp_path / "key.txt", tmp_path / "config.yaml"
    key_file.write_bytes(content)
    made = ["config", "make", "-o", str(config), "--url", "https://a.example"]
    assert main([*made, "--api-key-file", str(key_file)]) == 0
    settings = load(config, {})
    assert settings.backend is not None
    assert settings.backend.api_key == Secret("secret-key")


@pytest.mark.parametrize("content", ["\xe4\n", "", "a\tb\n"])
def test_a_key_file_with_something_else_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    """It is named as it was given, by `setup` as well, and what is in it is not shown."""
    key_file, config = tmp_path / "key.txt", tmp_path / "config.yaml"
    key_file.write_text(content, encoding="utf-8")
    options = ["--url", "https://a.example", "--api-key-file", str(key_file)]
    assert main(["config", "make", "-o", str(config), *options]) == 2
    assert main(["setup", "-c", str(config), "--host", "127.0.0.1", *options]) == 2
    lines = capsys.readouterr().err.splitlines()
    expected = f"mqtt-http-bridge: --api-key-file {key_file}: expected the API key, printable ASCII"
    assert [line.startswith(expected) for line in lines] == [True, True], lines
    assert "config.yaml" not in "".join(lines)


def test_a_config_that_is_there_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Somebody's work is in it."""
    config = tmp_path / "config.yaml"
    config.write_text("mine\n", encoding="utf-8")
    assert main(["config", "make", "-o", str(config), "--url", "https://a.example"]) == 2
    assert "expected no file yet, found one: remove it, or edit it" in capsys.readouterr().err
    assert config.read_text(encoding="utf-8") == "mine\n"


def test_a_directory_that_is_not_there_is_named(
    tmp_path: Path, key_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A fault of this machine, not of the config."""
    config = tmp_path / "none/config.yaml"
    made = ["config", "make", "-o", str(config), "--url", "https://a.example"]
    assert main([*made, "--api-key-file", str(key_file)]) == 1
    assert f"{config}: cannot write it: No such file or directory" in capsys.readouterr().err


def test_the_settings_of_the_d_bus_bridge(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Taken over as they were meant: numbers as numbers, texts as texts, the rest is named."""
    old = tmp_path / "config.ini"
    old.write_text(OLD, encoding="utf-8")
    config = tmp_path / "config.yaml"
    assert main(["config", "make", "-o", str(config), "--old-config", str(old)]) == 0
    assert capsys.readouterr().err == f"{old}: backend.retries is not taken over\n"
    settings = load(config, {})
    assert settings.backend is not None
    assert (settings.backend.url, settings.backend.timeout_s) == ("https://solar.example.org", 12.0)
    assert settings.backend.api_key == Secret("100%secret")
    assert (settings.device.cerbo_serial, settings.device.update_interval_s) == ("0123", 60.0)
    assert settings.logging_level == "DEBUG"


def test_a_number_that_is_none_is_for_the_check_to_name(tmp_path: Path) -> None:
    """It is handed on as it stands."""
    old = tmp_path / "config.ini"
    old.write_text("[backend]\ntimeout = soon\nurl =\n", encoding="utf-8")
    assert old_values(old) == ({"backend.timeout": "soon"}, [])


@pytest.mark.parametrize("content", [b"no section\n", b"\xff\xfe", None])
def test_an_old_config_that_is_none_is_named(tmp_path: Path, content: bytes | None) -> None:
    """It is named if it cannot be read, and if it is something else."""
    old = tmp_path / "config.ini"
    if content is not None:
        old.write_bytes(content)
    with pytest.raises(ConfigError, match=r"config\.ini: expected the D-Bus bridge's config"):
        old_values(old)


printable = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1)


@given(printable, printable)
def test_every_text_comes_back_as_it_was(key: str, url: str) -> None:
    """Quotes, colons and hashes in a key are letters like any other."""
    found = yaml.safe_load(document({"backend.api_key": key, "backend.url": url}))["backend"]
    assert (found["api_key"], found["url"]) == (key, url)


@pytest.mark.parametrize("name", sorted(KEYS))
def test_the_example_has_a_place_for_each_key(name: str) -> None:
    """Once it is set there, and stands nowhere else."""
    section, _, leaf = name.partition(".")
    lines = document({name: "it is here"}).splitlines()
    assert lines.count(f'  {leaf}: "it is here"') == 1
    assert yaml.safe_load("\n".join(lines))[section][leaf] == "it is here"


def test_without_anything_to_go_by_the_example_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As after pip: a person fills it in, and is told what."""
    config = tmp_path / "config.yaml"
    assert main(["config", "make", "-o", str(config)]) == 0
    assert config.read_text(encoding="utf-8") == EXAMPLE.read_text(encoding="utf-8")
    assert "now set backend.url and backend.api_key in it" in capsys.readouterr().err
    assert main(["config", "test", "-c", str(config)]) == 2
