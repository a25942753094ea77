"""Talks HTTP to the backend: `backend` is the interface, `http` sends a POST and returns an answer.

`link` makes the connections, with resumed `tls` sessions, for as long as `keep_time` allows;
`deadline` limits an exchange, `reasons` says what went wrong if there was no answer.
"""

from mqtt_http_bridge.adapters.backend.backend import Backend, Backends, check_authorities

__all__ = ["Backend", "Backends", "check_authorities"]
