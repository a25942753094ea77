"""The outbox: measurements on the disk until the backend has taken them.

One adapter in several modules: `outbox` is what the service uses, `spool` is the entries wherever
they are, on the `disk` or in `memory`, and `inspection` is for whoever looks in from outside.
"""

from mqtt_http_bridge.adapters.outbox.clock_steps import Boot
from mqtt_http_bridge.adapters.outbox.entry import Entry
from mqtt_http_bridge.adapters.outbox.outbox import Outbox

__all__ = ["Boot", "Entry", "Outbox"]
