"""The verb `outbox drain`: sends what is owed and ends, without measuring."""

import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from mqtt_http_bridge.adapters.api_keys import ApiKeys
from mqtt_http_bridge.adapters.backend import Backend, Backends, check_authorities
from mqtt_http_bridge.adapters.clock import SystemClock, boot_id
from mqtt_http_bridge.adapters.kernel_clock import is_synchronised
from mqtt_http_bridge.adapters.outbox import Boot, Outbox, inspection
from mqtt_http_bridge.adapters.standard_streams import say
from mqtt_http_bridge.app.clock_check import ClockCheck
from mqtt_http_bridge.app.dialect import DIALECT
from mqtt_http_bridge.app.log import hide
from mqtt_http_bridge.app.outbox_observer import parked_views
from mqtt_http_bridge.app.senders import Senders
from mqtt_http_bridge.app.storing import Storing
from mqtt_http_bridge.core.delivery.answers import Answer
from mqtt_http_bridge.core.errors import LocalFault
from mqtt_http_bridge.core.settings import BackendSettings, Settings
from mqtt_http_bridge.core.views import ParkedView
from mqtt_http_bridge.core.words import counted

LONGEST_FLUSH_S: Final = 60.0
STOP_SENDERS_S: Final = 3.0
"""Seconds that the POSTs under way get at an early end: what is answered by then is not sent again.
"""


def drain(settings: Settings, backend: BackendSettings) -> bool:
    """Sends until nothing is left, or the rest has to wait; returns whether nothing is left.

    Raises OutboxBusy while the service has the outbox, LocalFault if the backend cannot be reached,
    and KeyboardInterrupt at SIGTERM, the end of the terminal and Ctrl+C. Only the main thread may
    call it.
    """
    before = _count(settings)
    if not before:
        say("nothing waits")
        return True
    keys = ApiKeys(backend, hide)
    check_authorities(backend)
    clock = SystemClock()
    outbox = Outbox(settings.outbox, DIALECT, Boot(boot_id(), clock.distance_s))
    senders = Senders(
        outbox,
        Backends(backend, DIALECT),
        DIALECT,
        keys,
        max_rate_per_s=settings.outbox.max_rate_per_s,
        connections=backend.connections,
    )
    with _ended_by_signals():
        try:
            _wait_for_the_clock(clock, Backend(backend, DIALECT), Storing(outbox, DIALECT), outbox)
            senders.start()
            is_empty = senders.finish(LONGEST_FLUSH_S)
            parked = parked_views(outbox.view().portals)
        finally:
            senders.stop(STOP_SENDERS_S)
            outbox.close()
    _tell(before, _count(settings), parked)
    return is_empty


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Treats SIGTERM and the end of the terminal as Ctrl+C; what is ignored stays ignored."""
    ending = (signal.SIGTERM, signal.SIGHUP)
    before = {n: signal.getsignal(n) for n in ending if signal.getsignal(n) != signal.SIG_IGN}
    for number in before:
        signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


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


def _tell(before: int, left: int, parked: Sequence[ParkedView]) -> None:
    say(f"{counted(before, 'measurement')} waited: {before - left} stored, {left} left")
    for each in parked:
        say(f"parked: {each.reports} of {each.serial}: {each.reason}: {each.remedy}")
