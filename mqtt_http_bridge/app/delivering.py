"""Opens the outbox for a verb that delivers, while no service runs."""

from collections.abc import Iterator
from contextlib import closing, contextmanager

from mqtt_http_bridge.adapters.api_keys import ApiKeys
from mqtt_http_bridge.adapters.backend import Backends, check_authorities
from mqtt_http_bridge.adapters.clock import SystemClock, boot_id
from mqtt_http_bridge.adapters.outbox import Boot, Outbox
from mqtt_http_bridge.app.dialect import DIALECT
from mqtt_http_bridge.app.log import hide
from mqtt_http_bridge.app.senders import STOP_SENDERS_S, Senders
from mqtt_http_bridge.core.settings import BackendSettings, Settings


@contextmanager
def delivering(
    settings: Settings, backend: BackendSettings, clock: SystemClock
) -> Iterator[tuple[Outbox, Senders]]:
    """Yields the outbox, and senders that are not started yet; ends both.

    Raises OutboxBusy while the service has the outbox, and ConfigError for a file without a key or
    without certificates.
    """
    keys = ApiKeys(backend, hide)
    check_authorities(backend)
    with closing(Outbox(settings.outbox, DIALECT, Boot(boot_id(), clock.distance_s))) as outbox:
        senders = Senders(
            outbox,
            Backends(backend, DIALECT),
            DIALECT,
            keys,
            max_rate_per_s=settings.outbox.max_rate_per_s,
            connections=backend.connections,
        )
        try:
            yield outbox, senders
        finally:
            senders.stop(STOP_SENDERS_S)
