"""Says where a measurement goes at the Solar Backend API, and what goes with it."""

from typing import Final

from mqtt_http_bridge.core.settings import Secret

MEASUREMENTS_PATH: Final = "/api/victron/measurements"
"""Without a trailing slash, which the API would answer with a redirect."""


def headers(api_key: Secret) -> dict[str, str]:
    """Returns what the API asks for; clients that accept web pages are sent to a login."""
    return {
        "Accept": "application/json",
        "Content-Type": "application/json",
        "X-API-Key": api_key.reveal(),
    }
