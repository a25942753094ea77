"""Chooses the backend whose API is used: the only place that names it."""

from typing import Final

from mqtt_http_bridge.core.delivery.dialect import Dialect
from mqtt_http_bridge.core.solar_backend.dialect import SolarBackend

DIALECT: Final[Dialect] = SolarBackend()
