"""The verb `config make`: a first config, from what the installer was told or an older bridge had.

Every value is written as JSON, which is YAML as well.
"""

import configparser
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from mqtt_http_bridge.adapters.config import load
from mqtt_http_bridge.core.errors import ConfigError, LocalFault

OLD_TEXTS: Final = ("backend.url", "backend.api_key", "device.cerbo_serial", "logging.level")
OLD_NUMBERS: Final = ("backend.timeout", "device.update_interval")
"""The keys that mean the same in the D-Bus bridge's config.ini."""

HEAD: Final = (
    "# Made by the installer. config.yaml.example has every key and says what it is for.\n"
)


def make_config(path: Path, values: Mapping[str, Any], api_key_file: Path | None) -> None:
    """Writes a config of `values` and the key in `api_key_file`, for its owner's eyes only.

    Raises ConfigError, and leaves nothing behind, if `run` could not start with it.
    """
    if path.exists():
        raise ConfigError(f"{path}: expected no file yet, found one: remove it, or edit it")
    if api_key_file:
        values = {**values, "backend.api_key": _first_line(api_key_file)}
    draft = path.with_name(f".{path.name}.new")
    try:
        draft.unlink(missing_ok=True)
        draft.touch(mode=0o600, exist_ok=False)
        draft.write_text(document(values), encoding="utf-8")
        load(draft, {})
        draft.replace(path)
    except OSError as error:
        raise LocalFault(f"{path}: cannot write it: {error.strerror}") from error
    except ConfigError as error:
        raise ConfigError(str(error).replace(str(draft), str(path))) from error
    finally:
        draft.unlink(missing_ok=True)


def document(values: Mapping[str, Any]) -> str:
    """The config file as text: sections in the order in which they first come up."""
    sections: dict[str, list[str]] = {}
    for name, value in values.items():
        section, _, leaf = name.partition(".")
        sections.setdefault(section, []).append(
            f"  {leaf}: {json.dumps(value, ensure_ascii=False)}\n"
        )
    return HEAD + "".join(f"\n{name}:\n{''.join(lines)}" for name, lines in sections.items())


def old_values(path: Path) -> tuple[dict[str, Any], list[str]]:
    """What a config.ini of the D-Bus bridge sets, and the keys in it that have no meaning here."""
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, configparser.Error) as error:
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


def _first_line(path: Path) -> str:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: expected a text file with the API key, found none") from error
    return lines[0].strip() if lines else ""
