"""Loads the HTTP client when there is a first measurement to send, and uses it.

Importing requests takes as long as everything else: seconds on a GX, during which messages would be
missed.
"""

import ssl
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from mqtt_http_bridge.core.delivery.answers import Answer, NotSent
from mqtt_http_bridge.core.delivery.dialect import Dialect
from mqtt_http_bridge.core.errors import ConfigError
from mqtt_http_bridge.core.settings import BackendSettings, Secret

if TYPE_CHECKING:
    from mqtt_http_bridge.adapters.backend.http import MeasurementsClient
    from mqtt_http_bridge.adapters.backend.link import Link


_loading: Final = threading.Lock()
"""Several threads have a backend each, and may need the client at the same time."""
_GUESSERS: Final = ("chardet", "charset_normalizer")
_LOAD_REMEDY: Final = "look at the disk, and at what uses up the open files; else install it again"


class Backends:
    """Makes a backend for each thread; they share the link, and its sessions."""

    def __init__(self, settings: BackendSettings, dialect: Dialect) -> None:
        self._settings = settings
        self._dialect = dialect
        self._link: Link | None = None

    def __call__(self) -> "Backend":
        """Makes another one. Any thread may call it."""
        return Backend(self._settings, self._dialect, self)

    def client(self) -> "MeasurementsClient":
        """Loads the HTTP client code if needed, and makes a client for the link."""
        with _loading, _no_guessing():
            from mqtt_http_bridge.adapters.backend.http import MeasurementsClient
            from mqtt_http_bridge.adapters.backend.link import Link

            self._link = self._link or Link(self._settings)
        return MeasurementsClient(self._settings, self._dialect, self._link)


class Backend:
    """Sends measurements to one backend. One thread uses it."""

    def __init__(
        self, settings: BackendSettings, dialect: Dialect, makers: Backends | None = None
    ) -> None:
        """Does not connect yet."""
        self._settings = settings
        self._makers = makers or Backends(settings, dialect)
        self._client: MeasurementsClient | None = None

    def post(self, body: bytes, api_key: Secret | None = None) -> Answer:
        """Sends `body` once and waits for the answer. Any failure is returned as an answer, too.

        `api_key`, if given, is sent instead of the one in the settings.
        """
        return self._ask(lambda client: client.post(body, api_key or self._settings.api_key))

    def ask_time(self) -> Answer:
        """Asks for headers only, without a key; the answer contains the backend's time."""
        return self._ask(lambda client: client.ask_time())

    def _ask(self, send: Callable[["MeasurementsClient"], Answer]) -> Answer:
        try:
            client = self._loaded()
        except (OSError, ImportError) as error:
            why = getattr(error, "strerror", None) or error
            return NotSent(f"cannot load the program's own HTTP client: {why}", _LOAD_REMEDY)
        return send(client)

    @property
    def proxy(self) -> str | None:
        """Returns the address of the proxy that is used; None without a proxy."""
        return self._loaded().proxy

    def _loaded(self) -> "MeasurementsClient":
        if self._client is None:
            self._client = self._makers.client()
        return self._client

    def close(self) -> None:
        """Closes idle connections."""
        if self._client is not None:
            self._client.close()


@contextmanager
def _no_guessing() -> Iterator[None]:
    """Lets requests be imported without the package it guesses text encodings with.

    requests supports that, with a warning, and we read bytes. It saves 3.5 of 34 MiB, and a third
    of the time to import requests (40 of 120 ms with the plain Python of the GX archive; 2.5 MiB
    and 20 of 105 ms with the compiled one).
    """
    hidden = [name for name in _GUESSERS if name not in sys.modules]
    # With an entry of None, Python itself marks a module as unavailable.
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name in hidden:
            del sys.modules[name]


def check_authorities(settings: BackendSettings) -> None:
    """Raises ConfigError if `ca_file` has no certificates."""
    ca_file = settings.ca_file
    try:
        if ca_file is not None:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=ca_file)
    except OSError as error:
        raise ConfigError(
            f"backend.ca_file: expected certificates in PEM, found none in {ca_file}"
        ) from error
