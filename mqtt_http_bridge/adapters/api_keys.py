"""Holds the API keys: the one in the config, and those of single GX devices, each in its own file.

A key file is read again when the backend refuses its key, so a changed key needs no restart.
"""

import logging
from collections.abc import Callable
from typing import Final

from mqtt_http_bridge.adapters.key_file import key_in
from mqtt_http_bridge.core.errors import ConfigError
from mqtt_http_bridge.core.settings import BackendSettings, Secret

log = logging.getLogger(__name__)


class ApiKeys:
    """Holds the keys by the names of their files; the name is empty for a key not in a file."""

    def __init__(
        self, settings: BackendSettings, hide: Callable[[Secret], None] = lambda secret: None
    ) -> None:
        """Reads the files of single GX devices. Raises ConfigError for a file without a key.

        `hide` is called with each key that is read again, before it is used: the log must not
        show it.
        """
        self._hide = hide
        self.default: Final = settings.api_key_file or ""
        """The name of the key of all GX devices without their own."""
        self._files = settings.api_key_files
        self._keys: dict[str, Secret] = {self.default: settings.api_key}
        for path in {*self._files.values()} - {self.default}:
            self._keys[path] = key_in(path)

    def name_of(self, portal_id: str) -> str:
        """Returns the name of the key for the measurements of a GX."""
        return self._files.get(portal_id, self.default)

    def key(self, portal_id: str) -> Secret:
        """Returns the key for the measurements of a GX."""
        return self._keys[self.name_of(portal_id)]

    def of_name(self, name: str) -> Secret:
        """Returns a key by its name."""
        return self._keys[name]

    def read_again(self, name: str) -> bool:
        """Reads the file of a key again; returns whether the key has changed."""
        if not name:
            return False
        try:
            found = key_in(name)
        except ConfigError as error:
            log.debug("%s", error)
            return False
        if found == self._keys[name]:
            return False
        self._hide(found)
        self._keys[name] = found
        return True
