"""The verb `outbox drain`: sends what is owed and ends, without measuring."""

import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from mqtt_http_bridge.adapters.backend import Backend
from mqtt_http_bridge.adapters.clock import SystemClock
from mqtt_http_bridge.adapters.kernel_clock import is_synchronised
from mqtt_http_bridge.adapters.outbox import Outbox, inspection
from mqtt_http_bridge.adapters.standard_streams import say
from mqtt_http_bridge.app.clock_check import ClockCheck
from mqtt_http_bridge.app.delivering import delivering
from mqtt_http_bridge.app.dialect import DIALECT
from mqtt_http_bridge.app.interrupting import interrupting
from mqtt_http_bridge.app.outbox_observer import parked_views
from mqtt_http_bridge.app.storing import Storing
from mqtt_http_bridge.core.delivery.answers import Answer
from mqtt_http_bridge.core.errors import LocalFault
from mqtt_http_bridge.core.settings import BackendSettings, Settings
from mqtt_http_bridge.core.views import ParkedView
from mqtt_http_bridge.core.words import counted

LONGEST_FLUSH_S: Final = 60.0


def drain(settings: Settings, backend: BackendSettings) -> bool:
    """Sends until nothing is left, or the rest has to wait; returns whether all of it was stored.

    Raises OutboxBusy while the service has the outbox, LocalFault if the backend cannot be reached,
    and KeyboardInterrupt at SIGTERM, the end of the terminal and Ctrl+C. Only the main thread may
    call it.
    """
    before = _count(settings)
    if not before:
        say("nothing waits")
        return True
    clock = SystemClock()
    with (
        interrupting(signal.SIGTERM, signal.SIGHUP),
        delivering(settings, backend, clock) as (outbox, senders),
    ):
        _wait_for_the_clock(clock, Backend(backend, DIALECT), Storing(outbox, DIALECT), outbox)
        senders.start()
        is_stored = senders.finish(LONGEST_FLUSH_S)
        parked, given_up = parked_views(outbox.view().portals), senders.given_up
    _tell(before, _count(settings), given_up, parked)
    return is_stored


def _count(settings: Settings) -> int:
    """Counts the measurements of which anything waits or is parked."""
    directory = Path(settings.outbox.directory)
    try:
        is_empty = not (directory / "log").is_dir()
    except OSError:  # Reading it says why.
        is_empty = False
    return 0 if is_empty else sum(1 for _ in inspection.entries(directory, DIALECT))


def _wait_for_the_clock(
    clock: SystemClock, backend: Backend, storing: Storing, outbox: Outbox
) -> None:
    """Returns once the clock is trusted, as `run` does before it sends anything."""

    def trust() -> bool:
        storing.trust_clock()
        return outbox.flush(LONGEST_FLUSH_S)

    def unheard(answer: Answer) -> None:
        reason = DIALECT.judge(answer, ()).reason
        raise LocalFault(f"nothing was sent: {reason}: run check")

    check = ClockCheck(clock.now, is_synchronised, trust)
    while (wait_s := check.ask(backend, unheard)) is not None:
        time.sleep(wait_s)
    backend.close()


def _tell(before: int, left: int, given_up: int, parked: Sequence[ParkedView]) -> None:
    lost = f", {given_up} given up" if given_up else ""
    stored = before - left - given_up
    say(f"{counted(before, 'measurement')} waited: {stored} stored, {left} left{lost}")
    for each in parked:
        say(f"parked: {each.reports} of {each.serial}: {each.reason}: {each.remedy}")
