"""Puts the rest of this package behind the one interface that delivery knows."""

from typing import Final

from mqtt_http_bridge.core.solar_backend import body, remedies, request, stored_text, verdict


class SolarBackend:
    """Implements `core.delivery.dialect.Dialect`. Holds nothing: any thread may use it."""

    path: Final = request.MEASUREMENTS_PATH
    causes: Final = remedies.REFUSALS
    headers = staticmethod(request.headers)
    body = staticmethod(body.to_body)
    read = staticmethod(stored_text.read)
    only = staticmethod(stored_text.only)
    timestamp = staticmethod(stored_text.timestamp)
    shifted = staticmethod(stored_text.shifted)
    judge = staticmethod(verdict.judge)
