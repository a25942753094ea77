"""The MQTT side: one paho client, one thread, and a connection that is always made again.

`broker` is the interface of the connection; `bulk_reader` reads the socket; `trust` decides what to
trust, and what to report when something is refused.
"""

from mqtt_http_bridge.adapters.broker.broker import Broker

__all__ = ["Broker"]
