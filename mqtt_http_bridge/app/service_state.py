"""Reads the state of a config's service from another process."""

from pathlib import Path

from mqtt_http_bridge.adapters import machine
from mqtt_http_bridge.adapters.clock import SystemClock, boot_id
from mqtt_http_bridge.adapters.state_file import StateFile, start_ticks
from mqtt_http_bridge.core.errors import LocalFault
from mqtt_http_bridge.core.settings import OutboxSettings
from mqtt_http_bridge.core.status.state_file import Liveness, Process, liveness
from mqtt_http_bridge.core.status.state_json import read_all


def service_state(outbox: OutboxSettings) -> Liveness:
    """Looks at the outbox's lock and at what the service has written. Changes nothing."""
    directory = Path(outbox.directory)
    # The lock first: a service that ends writes its state first, and then releases the lock.
    is_locked = machine.is_locked(directory / "lock")
    states = read_all(StateFile(directory).read())
    return liveness(
        states, now=SystemClock().now(), boot_id=boot_id(), is_locked=is_locked, is_there=_is_there
    )


def shown_state(outbox: OutboxSettings) -> Liveness:
    """Looks at the same, for a verb that shows it. Raises LocalFault if this user may not look."""
    found = service_state(outbox)
    if found.state is None and machine.is_hidden(Path(outbox.directory) / "lock"):
        raise LocalFault(
            f"{outbox.directory}: this user may not look at it: run this as the service's user"
        )
    return found


def _is_there(process: Process) -> bool:
    """Tells whether this very process is there; false also where others cannot be seen."""
    return process.start_ticks > 0 and start_ticks(process.pid) == process.start_ticks
