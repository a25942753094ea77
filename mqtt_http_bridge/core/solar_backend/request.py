"""Defines the path and the headers for the Solar Backend API."""

from typing import Final

from mqtt_http_bridge.core.settings import Secret

MEASUREMENTS_PATH: Final = "/api/victron/measurements"
"""Without a trailing slash, which the API would answer with a redirect."""


def headers(api_key: Secret) -> dict[str, str]:
    """Returns the headers that the API needs; clients that accept web pages are sent to a login."""
    return {
        "Accept": "application/json",
        "Content-Type": "application/json",
        "X-API-Key": api_key.reveal(),
    }
