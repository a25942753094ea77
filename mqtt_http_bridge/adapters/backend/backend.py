"""The backend, which loads what speaks HTTP when the first measurement is there to be sent.

requests takes as long to import as all the rest: seconds on a GX, in which nobody would listen.
"""

import ssl
from typing import TYPE_CHECKING

from mqtt_http_bridge.core.delivery import Answer
from mqtt_http_bridge.core.errors import ConfigError
from mqtt_http_bridge.core.settings import BackendSettings

if TYPE_CHECKING:
    from mqtt_http_bridge.adapters.backend.http import Route


class Backend:
    """The measurements route of one backend. One thread uses it."""

    def __init__(self, settings: BackendSettings) -> None:
        """Connects to nothing yet. Raises ConfigError if `ca_file` is no such file."""
        _check(settings.ca_file)
        self._settings = settings
        self._route: Route | None = None

    def post(self, body: bytes) -> Answer:
        """Sends `body` once and waits for the answer. Whatever goes wrong is an answer, too."""
        if self._route is None:
            from mqtt_http_bridge.adapters.backend.http import Route

            self._route = Route(self._settings)
        return self._route.post(body)

    def close(self) -> None:
        """Closes idle connections."""
        if self._route is not None:
            self._route.close()


def _check(ca_file: str | None) -> None:
    """Raises ConfigError if the file has no certificates."""
    try:
        if ca_file is not None:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=ca_file)
    except OSError as error:
        raise ConfigError(
            f"backend.ca_file: expected certificates in PEM, found none in {ca_file}"
        ) from error
