"""Connects to the MQTT broker: one paho client, one thread, reconnecting until it is stopped.

`broker` is the interface of the connection; `bulk_reader` reads the socket; `trust` decides what to
trust, and what to report when something is refused.
"""

from mqtt_http_bridge.adapters.broker.broker import Broker

__all__ = ["Broker"]
