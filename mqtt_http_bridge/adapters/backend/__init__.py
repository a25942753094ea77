"""The HTTP side: `backend` is its interface, `http` sends a POST and returns an answer.

`link` makes its connections, with `tls` sessions that are resumed, for as long as `keep_time` says;
`deadline` limits an exchange, `reasons` says what went wrong if nothing came.
"""

from mqtt_http_bridge.adapters.backend.backend import Backend, Backends, check_authorities

__all__ = ["Backend", "Backends", "check_authorities"]
