"""Reads a GX's password from elsewhere than a config."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from mqtt_http_bridge.adapters.small_files import first_line
from mqtt_http_bridge.core.settings import Secret

PASSWORD_VARIABLE: Final = "MQTT_HTTP_BRIDGE_MQTT_PASSWORD"  # noqa: S105 - the name of it


def password_from(file: Path | None, environment: Mapping[str, str]) -> Secret | None:
    """Returns the GX's password from the environment or the first line of a file; else None.

    Raises ConfigError if the file that was named cannot be read.
    """
    if from_environment := environment.get(PASSWORD_VARIABLE):
        return Secret(from_environment)
    if file is None:
        return None
    password = first_line("--password-file", file)
    return Secret(password) if password else None
