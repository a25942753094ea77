"""Collects everything that the status page of a running service shows."""

import json
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from mqtt_http_bridge.adapters import machine
from mqtt_http_bridge.adapters.status_page import FILES, Resource, StatusServer, file_resource
from mqtt_http_bridge.core.status import metrics
from mqtt_http_bridge.core.status.changes import Change
from mqtt_http_bridge.core.status.document import document, history_document
from mqtt_http_bridge.core.status.history import HistoryView
from mqtt_http_bridge.core.status.well import well
from mqtt_http_bridge.core.views import StatusView
from mqtt_http_bridge.core.words import visible

JSON: Final = "application/json"
TEXT: Final = "text/plain; charset=utf-8"


class Histories(Protocol):
    """Returns what is known of the last day."""

    def __call__(self, *, is_recent: bool) -> HistoryView:
        """Returns all of it, or only what is new."""


class StatusSources:
    """Makes the answers of the status page, in its own threads."""

    def __init__(
        self,
        status: Callable[[], StatusView],
        history: Histories,
        changes: Callable[[], Sequence[Change]],
        *,
        per_charger_metrics: bool = True,
    ) -> None:
        """Uses functions that each collect something; any thread may call them."""
        self._status = status
        self._history = history
        self._changes = changes
        self._has_charger_metrics = per_charger_metrics

    def resources(self) -> dict[str, Resource]:
        """Returns everything that can be requested, by path."""
        return {
            **{path: file_resource(name) for path, name in FILES.items()},
            "/status.json": Resource(JSON, self._json),
            "/history.json": Resource(JSON, lambda: self._history_json(is_recent=False)),
            "/history-recent.json": Resource(JSON, lambda: self._history_json(is_recent=True)),
            "/metrics": Resource(metrics.CONTENT_TYPE, self._metrics),
            "/healthz": Resource(TEXT, lambda: (200, b"alive\n"), is_instant=True),
            "/readyz": Resource(TEXT, self._readiness),
        }

    def _json(self) -> tuple[int, bytes]:
        return 200, _bytes(document(self._status(), self._changes()))

    def _history_json(self, *, is_recent: bool) -> tuple[int, bytes]:
        return 200, _bytes(history_document(self._history(is_recent=is_recent)))

    def _metrics(self) -> tuple[int, bytes]:
        text = metrics.render(self._status(), per_charger=self._has_charger_metrics)
        return 200, text.encode()

    def _readiness(self) -> tuple[int, bytes]:
        found = well(self._status())
        if found.is_well:
            return 200, b"ready\n"
        told = [f"{problem.text}: {problem.fix}" for problem in found.problems]
        return 503, "\n".join(["not ready", *map(visible, told), ""]).encode()


def _bytes(found: Any) -> bytes:
    # Text from a device may contain half of a UTF-16 pair, which cannot be encoded.
    text = json.dumps(found, ensure_ascii=False, separators=(",", ":"))
    return text.encode(errors="replace")


def open_page(
    address: tuple[str, int], host_names: Sequence[str], sources: StatusSources
) -> StatusServer:
    """Opens the page at `address`, for `host_names` and this machine's own names."""
    server = StatusServer(address, sources.resources(), [*machine.host_names(), *host_names])
    server.start()
    return server
