"""The HTTP side: `backend` is what the others see of it, `http` sends a POST and makes an answer.

`deadline` limits an exchange, `reasons` says what went wrong where nothing came.
"""

from mqtt_http_bridge.adapters.backend.backend import Backend

__all__ = ["Backend"]
