"""The verb `config make`: a first config, from the installer's options or an older bridge.

It is the commented example with values filled in, as JSON, which is YAML as well.
"""

import configparser
import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import resources
from pathlib import Path
from typing import Any, Final

from mqtt_http_bridge.adapters.config import load
from mqtt_http_bridge.adapters.small_files import NoText, first_line, is_there, read_text
from mqtt_http_bridge.app.config_test import check_url
from mqtt_http_bridge.core.errors import ConfigError, LocalFault
from mqtt_http_bridge.core.setup.answers import read_answer

OLD_TEXTS: Final = ("backend.url", "backend.api_key", "device.cerbo_serial", "logging.level")
OLD_NUMBERS: Final = ("backend.timeout", "device.update_interval")
"""The keys that mean the same in the D-Bus bridge's config.ini."""
OPTIONS: Final = {"backend.url": "--url", "mqtt.host": "--gx"}


def make_config(
    path: Path, values: Mapping[str, Any], api_key_file: Path | None, outbox: str | None
) -> bool:
    """Writes a config of `values` and the key in `api_key_file`; only its owner may read it.

    Without either, it writes the example and returns False: a person has to fill it in. `outbox` is
    its outbox directory, if it is not to be the default. Raises ConfigError, and leaves nothing
    behind, if `run` could not start with the config.
    """
    if is_there(path):
        raise ConfigError(f"{path}: expected no file yet, found one: remove it, or edit it")
    if api_key_file:
        values = {**values, "backend.api_key": api_key_in(api_key_file)}
    draft = path.with_name(f".{path.name}.new")
    try:
        draft.unlink(missing_ok=True)
        draft.touch(mode=0o600, exist_ok=False)
        outbox_value = {} if outbox is None else {"outbox.directory": outbox}
        draft.write_text(document({**values, **outbox_value}), encoding="utf-8")
        if values:
            load(draft, {})
        draft.replace(path)
    except OSError as error:
        raise LocalFault(f"{path}: cannot write it: {error.strerror}") from error
    except ConfigError as error:
        raise ConfigError(str(error).replace(str(draft), str(path))) from error
    finally:
        with suppress(OSError):
            draft.unlink()
    return bool(values)


def document(values: Mapping[str, Any]) -> str:
    """Returns the example with `values` in it, each in the line of its key."""
    example = resources.files("mqtt_http_bridge").joinpath("config.yaml.example")
    lines = example.read_text(encoding="utf-8").splitlines()
    places = _places(lines)
    for name, value in values.items():
        text = json.dumps(value, ensure_ascii=False)
        lines[places[name]] = f"  {name.partition('.')[2]}: {text}"
    return "\n".join(lines) + "\n"


def _places(lines: Sequence[str]) -> dict[str, int]:
    """Finds the line of each key: the one that sets it, or the last comment that shows how to."""
    set_in, shown_in, section = dict[str, int](), dict[str, int](), ""
    for place, line in enumerate(lines):
        heading = re.fullmatch(r"(\w+):", line)
        section = heading[1] if heading else section
        if key := re.match(r"  (# )?(\w+):", line):
            (shown_in if key[1] else set_in)[f"{section}.{key[2]}"] = place
    return shown_in | set_in


def old_values(path: Path) -> tuple[dict[str, Any], list[str]]:
    """Reads a config.ini of the D-Bus bridge; also returns its keys with no meaning here."""
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(read_text(path))
    except (NoText, configparser.Error) as error:
        what = str(error).splitlines()[0]
        raise ConfigError(f"{path}: expected the D-Bus bridge's config, found: {what}") from error
    found = {
        f"{name}.{key}": text for name in parser.sections() for key, text in parser[name].items()
    }
    known = {name: text for name, text in found.items() if text and name in OLD_TEXTS + OLD_NUMBERS}
    values = {n: _number(t) if n in OLD_NUMBERS else t for n, t in known.items()}
    return values, sorted(set(found) - set(OLD_TEXTS) - set(OLD_NUMBERS))


def _number(text: str) -> float | str:
    """The number in `text`, or `text`: the check of the config says what is wrong with it."""
    try:
        return float(text)
    except ValueError:
        return text


def check_options(options: Mapping[str, str | None]) -> dict[str, str]:
    """Returns those that are given, by the keys that they set. Raises ConfigError, which names one.

    An error of the resulting config would name a file that its caller may not have chosen.
    """
    given = {key: text for key, text in options.items() if text is not None}
    for key, text in given.items():
        read_answer(key, text, OPTIONS[key])
    check_url(given.get("backend.url", ""), OPTIONS["backend.url"])
    return given


def api_key_in(path: Path) -> str:
    """Returns the API key in a file, without spaces around it. Raises ConfigError."""
    key = first_line("--api-key-file", path).strip()
    read_answer("backend.api_key", key, f"--api-key-file {path}")
    return key
