"""The status page of a running service: what is watched, put together for who asks."""

import json
import time
from collections.abc import Callable
from typing import Final

from mqtt_http_bridge import __version__
from mqtt_http_bridge.adapters.status import Resource, StatusServer, page_headers, page_html
from mqtt_http_bridge.core import metrics
from mqtt_http_bridge.core.events import Moment
from mqtt_http_bridge.core.status import document, is_ready
from mqtt_http_bridge.core.views import BackendView, OutboxView, RelayView, StatusView

JSON: Final = "application/json"
TEXT: Final = "text/plain; charset=utf-8"
HTML: Final = "text/html; charset=utf-8"
OUTBOX_KEPT_S: Final = 2.0
"""How long what was found in the outbox is good enough: looking reads the disk."""
OUTBOX_SHARE: Final = 0.02
"""How much of the time may go into looking, when a large outbox takes long to count."""


class Desk:
    """Puts together what is known, for the threads of the status page alone."""

    def __init__(
        self,
        now: Callable[[], Moment],
        relay: Callable[[], RelayView],
        backend: Callable[[], BackendView],
        outbox: Callable[[], OutboxView],
    ) -> None:
        """Each of these may be called from any thread."""
        self._started = now()
        self._now = now
        self._relay = relay
        self._backend = backend
        self._outbox = outbox
        self._outbox_view = OutboxView()
        self._outbox_due_s = -float("inf")

    def status(self) -> StatusView:
        """How everything stands now."""
        relay, backend = self._relay(), self._backend()
        now = self._now()
        # Not by `now`: that of a recording ends with it.
        begun_s = time.monotonic()
        if begun_s >= self._outbox_due_s:
            self._outbox_due_s = begun_s + OUTBOX_KEPT_S
            self._outbox_view = self._outbox()
            taken_s = time.monotonic() - begun_s
            self._outbox_due_s += taken_s / OUTBOX_SHARE
        return StatusView(__version__, self._started, now, relay, backend, self._outbox_view)

    def resources(self) -> dict[str, Resource]:
        """Everything there is to ask for, by path."""
        return {
            "/": Resource(HTML, lambda: (200, page_html()), page_headers()),
            "/status.json": Resource(JSON, self._json),
            "/metrics": Resource(metrics.CONTENT_TYPE, self._metrics),
            "/healthz": Resource(TEXT, lambda: (200, b"alive\n")),
            "/readyz": Resource(TEXT, self._readiness),
        }

    def _json(self) -> tuple[int, bytes]:
        return 200, json.dumps(document(self.status()), ensure_ascii=False).encode()

    def _metrics(self) -> tuple[int, bytes]:
        return 200, metrics.render(self.status()).encode()

    def _readiness(self) -> tuple[int, bytes]:
        if is_ready(self.status()):
            return 200, b"ready\n"
        return 503, b"not ready: see / or /status.json\n"


def open_page(address: tuple[str, int], desk: Desk) -> StatusServer:
    """The page at `address`, started. Raises LocalFault if it cannot be had."""
    server = StatusServer(address, desk.resources())
    server.start()
    return server
