"""The MQTT side: one paho client, one thread, and a connection that is made again for ever.

`broker` is the connection as the others see it; `bulk` reads the socket; `trust` says whom to trust
and what to tell when something is refused.
"""

from mqtt_http_bridge.adapters.broker.broker import Broker

__all__ = ["Broker"]
