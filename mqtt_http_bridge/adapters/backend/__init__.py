"""The HTTP side: `http` sends a POST and makes an answer of what comes, `deadline` limits it.

`reasons` says what went wrong where nothing came.
"""

from mqtt_http_bridge.adapters.backend.http import Backend

__all__ = ["Backend"]
