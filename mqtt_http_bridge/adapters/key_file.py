"""Reads a file with the API key of single GX devices, as `backend.api_keys` names it."""

from pathlib import Path

from mqtt_http_bridge.adapters.small_files import first_line
from mqtt_http_bridge.core.config_schema import read_value
from mqtt_http_bridge.core.errors import ConfigError
from mqtt_http_bridge.core.settings import Secret


def key_in(path: str) -> Secret:
    """Returns the key in its first line. Raises ConfigError."""
    text = first_line("backend.api_keys", Path(path))
    try:
        key = read_value("backend.api_key", text)
    except ConfigError as error:
        raise ConfigError(f"backend.api_keys: in {path}: {error}") from error
    if not isinstance(key, Secret):
        raise TypeError
    return key
