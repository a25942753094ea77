"""The backend, which loads what speaks HTTP when the first measurement is there to be sent.

requests takes as long to import as all the rest: seconds on a GX, in which nobody would listen.
"""

import ssl
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from mqtt_http_bridge.core.delivery import Answer
from mqtt_http_bridge.core.errors import ConfigError
from mqtt_http_bridge.core.settings import BackendSettings

if TYPE_CHECKING:
    from mqtt_http_bridge.adapters.backend.http import Route


_GUESSERS: Final = ("chardet", "charset_normalizer")


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
            with _no_guessing():
                from mqtt_http_bridge.adapters.backend.http import Route
            self._route = Route(self._settings)
        return self._route.post(body)

    def close(self) -> None:
        """Closes idle connections."""
        if self._route is not None:
            self._route.close()


@contextmanager
def _no_guessing() -> Iterator[None]:
    """Within this, requests is imported without what it guesses the encoding of texts by.

    It does without, with a warning: we read bytes, and the guessing takes 3 MiB, a tenth of all.
    """
    hidden = [name for name in _GUESSERS if name not in sys.modules]
    # An entry of None is how Python itself notes that a module is not to be had.
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name in hidden:
            del sys.modules[name]


def _check(ca_file: str | None) -> None:
    """Raises ConfigError if the file has no certificates."""
    try:
        if ca_file is not None:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=ca_file)
    except OSError as error:
        raise ConfigError(
            f"backend.ca_file: expected certificates in PEM, found none in {ca_file}"
        ) from error
