"""Tests the config file: YAML, secrets from elsewhere, and errors that a person can act on."""

import os
from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from mqtt_http_bridge.adapters.config import load
from mqtt_http_bridge.core.errors import ConfigError
from mqtt_http_bridge.core.redaction import of_settings
from mqtt_http_bridge.core.settings import Secret, Settings
from mqtt_http_bridge.core.shard import Shard

CANARY = "canary-5e1f"
MINIMAL = """\
backend:
  url: https://solar.example.org
  api_key: key
"""
KEY_VARIABLE = "MQTT_HTTP_BRIDGE_API_KEY"
PASSWORD_VARIABLE = "MQTT_HTTP_BRIDGE_MQTT_PASSWORD"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Returns where the config file of a test goes."""
    return tmp_path / "config.yaml"


def load_text(
    path: Path, text: str | bytes, environment: Mapping[str, str] | None = None
) -> Settings:
    """The settings of a config file with this text."""
    path.write_bytes(text if isinstance(text, bytes) else dedent(text).encode())
    return load(path, environment or {})


def refusal(path: Path, text: str | bytes, environment: Mapping[str, str] | None = None) -> str:
    """Returns what is said, after the name of the file, of a config that must be refused."""
    with pytest.raises(ConfigError) as caught:
        load_text(path, text, environment)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message.removeprefix(f"{path}: ")


# --- the file --------------------------------------------------------------------------------


def test_a_minimal_config_is_enough(path: Path) -> None:
    """An address and a key; everything else has a default, the outbox beside the config."""
    settings = load_text(path, MINIMAL)
    assert settings.backend is not None
    assert settings.backend.url == "https://solar.example.org"
    assert settings.backend.api_key == Secret("key")
    assert settings.outbox.directory == str(path.parent / "outbox")


def test_a_missing_file_says_what_to_do(path: Path) -> None:
    """Whoever starts without a config is told where to get one."""
    with pytest.raises(ConfigError) as caught:
        load(path, {})
    assert str(caught.value) == (
        f"{path}: expected a config file, found none to read (No such file or directory):"
        " run mqtt-http-bridge setup to write one, or name another with --config"
    )


@pytest.mark.parametrize(
    ("error", "todo"),
    [
        (PermissionError(13, "Permission denied"), "run this as the user who may read it, or name"),
        (IsADirectoryError(21, "Is a directory"), "name another with --config"),
    ],
)
def test_a_file_that_cannot_be_read(
    path: Path, error: OSError, todo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is told to write another one, where one lies there."""

    def fail(_: Path) -> bytes:
        raise error

    monkeypatch.setattr("mqtt_http_bridge.adapters.config.read_bytes", fail)
    assert f"({error.strerror}): {todo}" in refusal(path, MINIMAL)


@pytest.mark.parametrize(
    "text",
    ["", "---\n", "# nothing yet\n", "backend:\n"],
    ids=["empty", "dashes", "comment", "bare"],
)
def test_an_empty_file_is_a_config_without_a_backend(path: Path, text: str) -> None:
    """Everything that is missing is asked for by its key."""
    assert refusal(path, text).startswith("backend.url: expected an http or https address")
    assert load(path, {}, needs_backend=False).backend is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "backend: [",
            (
                "line 1: expected YAML, found this: expected the node content, but found"
                " '<stream end>': put a text with special characters in quotes"
            ),
        ),
        (
            "backend:\n  url: a: b\n",
            (
                "line 2: expected YAML, found this: mapping values are not allowed here:"
                " put a text with special characters in quotes"
            ),
        ),
        (
            "backend:\n\turl: x\n",
            (
                "line 2: expected YAML, found this: found character '\\t' that cannot start any"
                " token: use spaces"
            ),
        ),
        (b"\xff\xfe\xfd", "expected YAML, found something else: is it a text file?"),
        (b"\x00\x01", "expected YAML, found something else: is it a text file?"),
        ("a: !!timestamp soon\n", "expected YAML, found something else: is it a text file?"),
        ("a: !!bool maybe\n", "expected YAML, found something else: is it a text file?"),
        ("a: 2026-13-45\n", "expected YAML, found something else: is it a text file?"),
        (
            "- a\n- b\n",
            (
                "expected sections (backend, device, mqtt, outbox, status, logging), each with its"
                " keys below it, found a list: take the dashes away"
            ),
        ),
        (
            "mqtt:\n  host: a\nlogging:\n  level: INFO\nmqtt:\n  port: 1\n",
            "line 5: expected each key once, found 'mqtt' again: remove one",
        ),
        (
            "mqtt:\n  host: a\n  host: b\n",
            "line 3: expected each key once, found 'host' again: remove one",
        ),
        (
            MINIMAL + "mqtt:\n  portal_id: 123456789012\n",
            (
                "mqtt.portal_id: expected auto, a portal id in quotes, or a list of them,"
                " found 123456789012"
            ),
        ),
        (
            MINIMAL + "mqtt:\n  porta_id: auto\n",
            "mqtt.porta_id: expected a known key, found this one: did you mean mqtt.portal_id?",
        ),
    ],
)
def test_a_broken_file_is_refused_in_one_line(path: Path, text: str | bytes, message: str) -> None:
    """The line says where, what was expected and what was found."""
    assert refusal(path, text) == message


@pytest.mark.parametrize(
    ("depth", "expected"),
    [(20, "device.serials: expected"), (30, "expected YAML, found something else")],
)
def test_brackets_within_brackets_are_read_only_so_far(
    path: Path, depth: int, expected: str
) -> None:
    """PyYAML takes a second for some hundreds of them."""
    text = f"device:\n  serials: {'[' * depth}{']' * depth}\n"
    assert refusal(path, text).startswith(expected)


@examples(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.one_of(
        st.binary(max_size=100),
        st.text(max_size=100).map(str.encode),
        st.text("abc:-[]{}!&*'\"|>%@` \n#,?0123456789.", max_size=60).map(str.encode),
        st.text("!tinbofamps: \n'", max_size=30).map(lambda tail: f"mqtt: {tail}".encode()),
    )
)
def test_any_file_gives_settings_or_a_config_error(path: Path, content: bytes) -> None:
    """Whatever a file holds is taken or refused in one line."""
    path.write_bytes(content)
    said = ""
    try:
        load(path, {}, needs_backend=False)
    except ConfigError as error:
        said = str(error)
    assert "\n" not in said


# --- names of files --------------------------------------------------------------------------


def test_names_of_files_are_relative_to_the_config(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not matter from where the service was started."""
    (tmp_path / "ca.pem").touch()
    (tmp_path / "elsewhere").mkdir()
    path.write_text(MINIMAL + "  ca_file: ca.pem\noutbox:\n  directory: spool\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path / "elsewhere")
    settings = load(Path("../config.yaml"), {})
    assert settings.backend is not None
    assert settings.backend.ca_file is not None
    assert Path(settings.backend.ca_file).samefile(tmp_path / "ca.pem")
    assert Path(settings.outbox.directory).resolve() == (tmp_path / "spool").resolve()
    assert Path(settings.outbox.directory).is_absolute()


def test_an_absolute_name_stays_as_it_is(path: Path) -> None:
    """Absolute names are not taken relative to anything."""
    settings = load_text(path, MINIMAL + "outbox:\n  directory: /var/spool/bridge\n")
    assert settings.outbox.directory == "/var/spool/bridge"


@pytest.mark.parametrize(
    "name", ["api_key_file", "ca_file", "password_file", "mqtt ca_file", "pinned_certificate"]
)
def test_a_file_that_is_not_there_is_named(path: Path, name: str) -> None:
    """Said at the start, by its key and its whole name, not when it is needed."""
    section = "backend" if name in ("api_key_file", "ca_file") else "mqtt"
    leaf = name.removeprefix("mqtt ")
    text = f"{section}:\n  {leaf}: missing.pem\n"
    found = f"none at {path.parent}/missing.pem"
    if leaf in ("api_key_file", "password_file"):
        found = f"none to read as text at {path.parent}/missing.pem (No such file or directory)"
    assert refusal(path, text) == f"{section}.{leaf}: expected the name of a file, found {found}"


def test_a_file_that_this_user_may_not_read_is_named(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not said that there is no certificate in it."""
    (path.parent / "gx.pem").touch()
    monkeypatch.setattr("os.access", lambda *_: False)
    assert refusal(path, "mqtt:\n  pinned_certificate: gx.pem\n") == (
        "mqtt.pinned_certificate: expected a file that this user may read, found"
        f" {path.parent}/gx.pem, which it may not: give it to the user that the service runs as"
    )


# --- secrets ---------------------------------------------------------------------------------

WITHOUT_KEY = "backend:\n  url: https://solar.example.org\n"
WITH_KEY_FILE = WITHOUT_KEY + "  api_key_file: key.txt\n"


@pytest.mark.parametrize(
    ("text", "environment", "key"),
    [
        (MINIMAL, {}, "key"),
        (MINIMAL, {KEY_VARIABLE: "from environment"}, "from environment"),
        (MINIMAL, {KEY_VARIABLE: ""}, "key"),
        (WITH_KEY_FILE, {}, "from file"),
        (WITH_KEY_FILE, {KEY_VARIABLE: "from environment"}, "from environment"),
        (WITHOUT_KEY, {KEY_VARIABLE: "from environment"}, "from environment"),
    ],
    ids=[
        "config",
        "environment before config",
        "an empty variable is none",
        "file",
        "environment before file",
        "environment alone",
    ],
)
def test_the_environment_comes_before_the_file_and_the_config(
    path: Path, text: str, environment: dict[str, str], key: str
) -> None:
    """A secret is taken from where the least can read it."""
    (path.parent / "key.txt").write_text("from file\nanother line\n", encoding="utf-8")
    settings = load_text(path, text, environment)
    assert settings.backend is not None
    assert settings.backend.api_key == Secret(key)


@pytest.mark.parametrize(
    ("text", "environment"),
    [
        (MINIMAL + "mqtt:\n  password: pässword\n", {}),
        (MINIMAL + "mqtt:\n  password_file: password.txt\n", {}),
        (MINIMAL, {PASSWORD_VARIABLE: "pässword"}),
    ],
    ids=["config", "file", "environment"],
)
def test_the_password_comes_from_the_same_places(
    path: Path, text: str, environment: dict[str, str]
) -> None:
    """The second secret works as the first."""
    (path.parent / "password.txt").write_text("pässword\n", encoding="utf-8")
    assert load_text(path, text, environment).mqtt.password == Secret("pässword")


def test_a_secret_that_stands_twice_in_the_config_is_refused(path: Path) -> None:
    """Nobody can know which one was meant."""
    (path.parent / "key.txt").write_text("from file", encoding="utf-8")
    assert refusal(path, MINIMAL + "  api_key_file: key.txt\n") == (
        "backend.api_key: expected only one of backend.api_key and backend.api_key_file, found both"
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b"",
            (
                "backend.api_key_file: in {}: backend.api_key: expected the API key, printable"
                " ASCII without spaces around it, found something else (not shown here)"
            ),
        ),
        (
            CANARY.encode() + b" \n",
            (
                "backend.api_key_file: in {}: backend.api_key: expected the API key, printable"
                " ASCII without spaces around it, found something else (not shown here)"
            ),
        ),
        (
            CANARY.encode() + b"\xff",
            (
                "backend.api_key_file: expected the name of a file, found none to read as text at"
                " {} (it is not UTF-8)"
            ),
        ),
    ],
    ids=["empty", "a trailing blank", "no text"],
)
def test_a_file_without_a_key_is_refused(path: Path, content: bytes, message: str) -> None:
    """A file that holds no key is no key, and what it holds is not shown."""
    key_file = path.parent / "key.txt"
    key_file.write_bytes(content)
    assert refusal(path, WITH_KEY_FILE) == message.format(key_file)


@pytest.mark.parametrize(
    "text",
    [
        f"backend:\n  api_key: [{CANARY}]\n",
        f"backend:\n  api_key: {CANARY}\n  api_key: {CANARY}\n",
        f"backend:\n  apikey: {CANARY}\n",
        f"backend:\n  api_key:{CANARY}\n",
        f"backend:\n  api_key: *{CANARY}\n",
        f"backend:\n  api_key: !{CANARY}\n",
        f"backend:\n  api_key: !{CANARY}!x\n",
        f"backend:\n  api_key: &{CANARY} a\n  url: &{CANARY} b\n",
        f"backend:\n  api_key: !!{CANARY} x\n",
        f"backend:\n  api_key: '{CANARY}\n",
        f"backend:\n  api_key: {CANARY}: x\n",
        f"backend:\n  api_key: %{CANARY}\n",
        f"backend:\n  api_key: @{CANARY}\n",
        f"backend:\n  api_key: |{CANARY}\n",
        f"backend:\n  api_key: {CANARY}\n",
        f"backend:\n  url: https://me:{CANARY}@example.org\n",
        f'mqtt:\n  password: "{CANARY}\\0"\n',
    ],
)
def test_no_error_shows_a_secret(path: Path, text: str) -> None:
    """However a secret is mistyped, the error, which goes into a log, does not quote it."""
    assert CANARY not in refusal(path, text)


@pytest.mark.parametrize("variable", [KEY_VARIABLE, PASSWORD_VARIABLE])
def test_a_wrong_secret_in_the_environment_is_not_shown(path: Path, variable: str) -> None:
    """Everything that is in the environment is as secret as what is in the file."""
    assert CANARY not in refusal(path, MINIMAL, {variable: f"{CANARY}\n{CANARY}"})


def test_the_keys_of_single_gx_devices_are_secrets_as_well(tmp_path: Path) -> None:
    """They are taken out of the log, and their files are looked at."""
    path, key_file = tmp_path / "config.yaml", tmp_path / "key.txt"
    key_file.write_text("key-of-the-neighbour\n", encoding="utf-8")
    keys = "{c0619ab1: {file: key.txt}, c0619ab2: {file: key.txt}}"
    path.write_text(
        f"backend: {{url: https://a.example, api_key: our-own-key, api_keys: {keys}}}",
        encoding="utf-8",
    )
    settings = load(path, {})
    assert settings.secret_files == (str(path), str(key_file))
    said = of_settings(settings).without_secrets("our-own-key, key-of-the-neighbour")
    assert said == "***, ***"


# --- the shard -------------------------------------------------------------------------------


def on_host(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Calls this machine so."""
    uname = os.uname_result(("Linux", name, "6.1", "#1", "x86_64"))
    monkeypatch.setattr(os, "uname", lambda: uname)


def test_the_shard_of_the_environment_comes_first(path: Path) -> None:
    """One config serves all relays of a fleet."""
    text = MINIMAL + "mqtt: {shard: 1/4}\n"
    assert load_text(path, text).mqtt.shard == Shard(1, 4)
    assert load_text(path, text, {"MQTT_HTTP_BRIDGE_SHARD": "2/8"}).mqtt.shard == Shard(2, 8)
    assert load_text(path, MINIMAL, {"MQTT_HTTP_BRIDGE_SHARD": "2/8"}).mqtt.shard == Shard(2, 8)
    assert load_text(path, MINIMAL).mqtt.shard is None


def test_the_shard_by_the_host_name(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a StatefulSet gives it; a host without a fitting number has none, and that is said."""
    on_host(monkeypatch, "relay-3")
    text = MINIMAL + "mqtt: {shard: auto/4}\n"
    assert load_text(path, text).mqtt.shard == Shard(3, 4)
    on_host(monkeypatch, "relay-4")
    said = refusal(path, text)
    assert said.startswith("mqtt.shard: expected a host name that ends in a number below 4, ")
    assert "found 'relay-4'" in said


def test_a_wrong_shard_in_the_environment(path: Path) -> None:
    """It is told where it stands."""
    said = refusal(path, MINIMAL, {"MQTT_HTTP_BRIDGE_SHARD": "8/8"})
    assert said.startswith("MQTT_HTTP_BRIDGE_SHARD in the environment: mqtt.shard: expected")
    assert said.endswith("the last one is 7/8")
