"""The config file: YAML on disk, secrets from their own files or the environment, checked."""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import yaml

from mqtt_http_bridge.core import schema
from mqtt_http_bridge.core.errors import ConfigError
from mqtt_http_bridge.core.settings import Settings

_SECRETS: Final = {
    "backend.api_key": ("backend.api_key_file", "MQTT_HTTP_BRIDGE_API_KEY"),
    "mqtt.password": ("mqtt.password_file", "MQTT_HTTP_BRIDGE_MQTT_PASSWORD"),
}
"""For each secret the key that names a file with it, and the variable, which comes first."""
_MUST_EXIST: Final = ("backend.ca_file", "mqtt.ca_file", "mqtt.pinned_certificate")


def load(path: Path, environment: Mapping[str, str], *, needs_backend: bool = True) -> Settings:
    """The settings in the file at `path`; names of files in it are taken relative to it.

    Without `needs_backend` the backend may be left out, and is. Raises ConfigError, whose text is
    one line: file, key, what was expected, what was found, what to do.
    """
    try:
        values = schema.read_document(_parse(path))
        _resolve_files(values, path.absolute().parent)
        for name, (file_key, variable) in _SECRETS.items():
            _resolve_secret(values, name, file_key, variable, environment.get(variable))
        settings = schema.settings_from(values, needs_backend=needs_backend)
        return replace(settings, source=str(path))
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def _parse(path: Path) -> object:
    try:
        return yaml.load(path.read_bytes(), Loader=_Loader)  # noqa: S506 - a SafeLoader
    except OSError as error:
        raise ConfigError(
            f"expected a config file, found none to read ({error.strerror}):"
            " copy config.yaml.example there, or name another with --config"
        ) from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(
            f"line {line}: expected YAML, found this: {_without_text(error.problem)}:"
            " put a text with special characters in quotes"
        ) from error
    # PyYAML's own readers of numbers, times and tags let these out.
    except (
        yaml.YAMLError,
        ArithmeticError,
        AttributeError,
        LookupError,
        TypeError,
        ValueError,
        RecursionError,
    ) as error:
        raise ConfigError("expected YAML, found something else: is it a text file?") from error


def _without_text(problem: str | None) -> str:
    """PyYAML's complaint without the text it quotes: a bare password may begin with `!` or `*`."""
    return re.sub(r"\b(alias|anchor|handle|tag) .*", r"\1", problem or "something else")


class _Loader(yaml.SafeLoader):
    """Refuses a key that stands twice, which YAML forbids and PyYAML lets pass."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: list[object] = []
        for key, _ in node.value:
            if key.value in seen:
                line = key.start_mark.line + 1
                raise ConfigError(
                    f"line {line}: expected each key once, found {key.value!r} again: remove one"
                )
            seen.append(key.value)
        return super().construct_mapping(node, deep)


def _resolve_files(values: schema.Values, directory: Path) -> None:
    values.setdefault("outbox.directory", "outbox")
    for name in schema.FILE_KEYS:
        if name in values:
            values[name] = str(directory / values[name])
    for name in _MUST_EXIST:
        if name in values and not Path(values[name]).is_file():
            raise ConfigError(f"{name}: expected the name of a file, found none at {values[name]}")


def _resolve_secret(
    values: schema.Values, name: str, file_key: str, variable: str, from_environment: str | None
) -> None:
    if name in values and file_key in values:
        raise ConfigError(f"{name}: expected only one of {name} and {file_key}, found both")
    if from_environment:
        values[name] = _read_secret(name, from_environment, f"{variable} in the environment")
    elif file_key in values:
        path = Path(values[file_key])
        values[name] = _read_secret(name, _first_line(file_key, path), f"{file_key}: in {path}")


def _read_secret(name: str, text: str, source: str) -> object:
    try:
        return schema.read_value(name, text)
    except ConfigError as error:
        raise ConfigError(f"{source}: {error}") from error


def _first_line(file_key: str, path: Path) -> str:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{file_key}: expected the name of a file, found none to read as text at {path}"
        ) from error
    return lines[0] if lines else ""
