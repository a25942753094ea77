"""Tests the path and the headers of a POST, as in docs/backend.md."""

from mqtt_http_bridge.core.settings import Secret
from mqtt_http_bridge.core.solar_backend import request


def test_what_the_api_asks_for() -> None:
    """Sends it, word by word; a slash at the end would lead to a redirect."""
    assert request.MEASUREMENTS_PATH == "/api/victron/measurements"
    assert request.headers(Secret("a key")) == {
        "Accept": "application/json",
        "Content-Type": "application/json",
        "X-API-Key": "a key",
    }
