"""Finds the config of this machine if the command names none."""

from pathlib import Path
from typing import Final

from mqtt_http_bridge.adapters.small_files import is_there
from mqtt_http_bridge.core.errors import ConfigError

HERE: Final = Path("config.yaml")
ON_A_GX: Final = Path("/data/mqtt-http-bridge/config.yaml")
ON_A_HOST: Final = Path("/etc/mqtt-http-bridge")
"""The folder in which the installer keeps `config.yaml`, and the configs of further instances."""


def find_config() -> Path | None:
    """Returns the config in this folder, or that of the installed service; None without any.

    Raises ConfigError if there are several services, because it cannot know which one is meant.
    """
    if is_there(HERE):
        return HERE
    if is_there(ON_A_GX):
        return ON_A_GX
    found = sorted(ON_A_HOST.glob("*.yaml"))
    if len(found) > 1:
        names = ", ".join(map(str, found))
        raise ConfigError(f"expected one service here, found several: name one with -c: {names}")
    return found[0] if found else None
