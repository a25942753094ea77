"""Reads and checks the config, a YAML file; secrets may be in other files or the environment."""

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from mqtt_http_bridge.adapters.key_file import key_in
from mqtt_http_bridge.adapters.small_files import MOST_BYTES, TooLarge, first_line, read_bytes
from mqtt_http_bridge.adapters.yaml_loading import yaml
from mqtt_http_bridge.core import config_schema as schema
from mqtt_http_bridge.core.config_settings import settings_from
from mqtt_http_bridge.core.errors import ConfigError
from mqtt_http_bridge.core.settings import Secret, Settings
from mqtt_http_bridge.core.shard import AutoShard

_SECRETS: Final = {
    "backend.api_key": ("backend.api_key_file", "MQTT_HTTP_BRIDGE_API_KEY"),
    "mqtt.password": ("mqtt.password_file", "MQTT_HTTP_BRIDGE_MQTT_PASSWORD"),
}
"""For each secret, the key that names its file, and the environment variable, which wins."""
SHARD_VARIABLE: Final = "MQTT_HTTP_BRIDGE_SHARD"
"""It wins over the config, so that one config serves all relays of a fleet."""
DEFAULT_OUTBOX: Final = "outbox"
MOST_NEIGHBOURS: Final = 50
"""Files beside a config that are looked at: a folder may hold thousands of other things."""
MOST_NESTED: Final = 20
"""The most brackets within brackets."""
MOST_CERTIFICATE_BYTES: Final = 4_194_304
"""All authorities of a system together have 250,000."""
_MUST_EXIST: Final = ("backend.ca_file", "mqtt.ca_file", "mqtt.pinned_certificate")


def load(path: Path, environment: Mapping[str, str], *, needs_backend: bool = True) -> Settings:
    """Reads the settings in the file at `path`; file names in it are relative to it.

    Without `needs_backend`, the backend may be missing, and is left out. Raises ConfigError, whose
    text is one line: file, key, what was expected, what was found, what to do.
    """
    try:
        values = schema.read_document(_parse(path))
        is_inline = any(name in values for name in _SECRETS)
        more_secrets = _resolve_files(values, path.absolute().parent)
        for name, (file_key, variable) in _SECRETS.items():
            _resolve_secret(values, name, file_key, variable, environment.get(variable))
        _resolve_shard(values, environment.get(SHARD_VARIABLE))
        settings = settings_from(values, needs_backend=needs_backend)
        return settings._replace(
            source=str(path),
            secret_files=_secret_files(path, values, is_inline=is_inline),
            more_secrets=more_secrets,
        )
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def _secret_files(path: Path, values: schema.Values, *, is_inline: bool) -> tuple[str, ...]:
    """Lists the files with secrets: those that the config names, and itself if it holds one."""
    named = [values[file_key] for file_key, _ in _SECRETS.values() if file_key in values]
    named += dict.fromkeys(values.get("backend.api_keys", {}).values())
    return (*([str(path.absolute())] if is_inline else []), *named)


def readable_by_others(settings: Settings) -> list[str]:
    """Lists the files with secrets that any user of this machine can read."""
    return [name for name in settings.secret_files if _is_readable_by_others(Path(name))]


def _is_readable_by_others(path: Path) -> bool:
    try:
        real = path.resolve()
        if not real.stat().st_mode & stat.S_IROTH:
            return False
        return all(parent.stat().st_mode & stat.S_IXOTH for parent in real.parents)
    except OSError:
        return False


def others_with_outbox(path: Path, outbox: str) -> list[str]:
    """The other configs in the folder of `path` that name this outbox directory, too.

    Whatever is there and is no config of ours, or a broken one, is none of them.
    """
    wanted = os.path.realpath(path.absolute().parent / outbox)
    others = (other for suffix in ("yaml", "yml") for other in path.parent.glob(f"*.{suffix}"))
    own = os.path.realpath(path)
    found = sorted(other for other in others if os.path.realpath(other) != own)
    return [str(other) for other in found[:MOST_NEIGHBOURS] if _outbox_of(other) == wanted]


def _outbox_of(path: Path) -> str | None:
    try:
        values = schema.read_document(_parse(path))
    except ConfigError:
        return None
    if "backend.url" not in values:
        return None
    directory: str = values.get("outbox.directory", DEFAULT_OUTBOX)
    return os.path.realpath(path.absolute().parent / directory)


def _parse(path: Path) -> object:
    try:
        content = read_bytes(path)
    except OSError as error:
        todo = ""
        if isinstance(error, FileNotFoundError):
            todo = "run mqtt-http-bridge setup to write one, or "
        elif isinstance(error, PermissionError):
            todo = "run this as the user who may read it, or "
        raise ConfigError(
            f"expected a config file, found none to read ({error.strerror}):"
            f" {todo}name another with --config"
        ) from error
    except TooLarge as error:
        raise ConfigError(
            f"expected a config file of {MOST_BYTES} bytes at most, found more: is it another file?"
        ) from error
    try:
        return yaml.load(content, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        is_tab = r"'\t'" in (error.problem or "")
        todo = "use spaces" if is_tab else "put a text with special characters in quotes"
        raise ConfigError(
            f"line {line}: expected YAML, found this: {_without_text(error.problem)}: {todo}"
        ) from error
    # PyYAML's own readers of numbers, times and tags raise these.
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
    """Removes the quoted text from PyYAML's complaint: a password may begin with `!` or `*`.

    Left are single characters, and the names that PyYAML has for parts, such as '<stream end>'.
    """
    return re.sub(
        r"(?:\b(?:alias|anchor|handle|tag)\b|'(?!<)[^']{3,}'|\").*",
        "something (not shown here)",
        problem or "something else",
    )


class _Loader(yaml.SafeLoader):
    """Refuses what a config does not need: duplicate keys and aliases.

    YAML forbids duplicate keys, but PyYAML accepts them. With aliases, a few lines can expand to
    more than any memory holds.
    """

    def fetch_flow_collection_start(self, token_class: Any) -> None:
        # For each further bracket, PyYAML looks at all earlier ones again.
        if self.flow_level > MOST_NESTED:
            raise RecursionError
        super().fetch_flow_collection_start(token_class)

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            line = self.peek_event().start_mark.line + 1  # type: ignore[no-untyped-call]
            raise ConfigError(
                f"line {line}: expected a value, found an alias (*): write the value itself there,"
                " in quotes if it begins with *"
            )
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[object] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            if key.value in seen:
                line = key.start_mark.line + 1
                raise ConfigError(
                    f"line {line}: expected each key once, found {schema.shown_key(key.value)!r}"
                    " again: remove one"
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _resolve_files(values: schema.Values, directory: Path) -> tuple[Secret, ...]:
    """Completes file names; returns the keys of single GX devices, some of which are in files."""
    values.setdefault("outbox.directory", DEFAULT_OUTBOX)
    for name in schema.FILE_KEYS:
        if name in values:
            values[name] = str(directory / values[name])
    for name in _MUST_EXIST:
        if name not in values:
            continue
        path = Path(values[name])
        try:
            is_file, why = path.is_file(), ""
        except OSError as error:
            is_file, why = False, f" ({error.strerror})"
        if not is_file:
            raise ConfigError(f"{name}: expected the name of a file, found none at {path}{why}")
        if not os.access(path, os.R_OK):
            raise ConfigError(
                f"{name}: expected a file that this user may read, found {path}, which it may not:"
                " give it to the user that the service runs as"
            )
        if path.stat().st_size > MOST_CERTIFICATE_BYTES:
            raise ConfigError(
                f"{name}: expected certificates, {MOST_CERTIFICATE_BYTES} bytes at most, found more"
                f" in {path}: is it another file?"
            )
    key_files = {gx: str(directory / n) for gx, n in values.get("backend.api_keys", {}).items()}
    if key_files:
        values["backend.api_keys"] = key_files
    return tuple(key_in(path) for path in dict.fromkeys(key_files.values()))


def _resolve_secret(
    values: schema.Values, name: str, file_key: str, variable: str, from_environment: str | None
) -> None:
    if name in values and file_key in values:
        raise ConfigError(f"{name}: expected only one of {name} and {file_key}, found both")
    if from_environment:
        values.pop(file_key, None)
        values[name] = _read_secret(name, from_environment, f"{variable} in the environment")
    elif file_key in values:
        path = Path(values[file_key])
        values[name] = _read_secret(name, first_line(file_key, path), f"{file_key}: in {path}")


def _resolve_shard(values: schema.Values, from_environment: str | None) -> None:
    """Sets the shard from the environment; `auto` becomes that of this host."""
    if from_environment:
        try:
            values["mqtt.shard"] = schema.read_value("mqtt.shard", from_environment)
        except ConfigError as error:
            raise ConfigError(f"{SHARD_VARIABLE} in the environment: {error}") from error
    shard = values.get("mqtt.shard")
    if not isinstance(shard, AutoShard):
        return
    name = os.uname().nodename
    values["mqtt.shard"] = shard.of_host(name)
    if values["mqtt.shard"] is None:
        raise ConfigError(
            f"mqtt.shard: expected a host name that ends in a number below {shard.total}, as those"
            f" of a StatefulSet's pods do, found {name!r}: set the shard itself, such as"
            f" 0/{shard.total}, or {SHARD_VARIABLE}"
        )


def _read_secret(name: str, text: str, source: str) -> object:
    try:
        return schema.read_value(name, text)
    except ConfigError as error:
        raise ConfigError(f"{source}: {error}") from error
