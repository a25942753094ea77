"""Tests delivery against a backend that does anything: nothing is lost, nothing hangs.

Time runs a thousand times as fast for the plan: an hour's pause takes some seconds.
"""

import itertools
import random
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from mqtt_http_bridge.adapters.backend import Backend
from mqtt_http_bridge.adapters.outbox import Outbox
from mqtt_http_bridge.app.dialect import DIALECT
from mqtt_http_bridge.app.senders import Senders
from mqtt_http_bridge.app.storing import Storing
from mqtt_http_bridge.core.commands import Store
from mqtt_http_bridge.core.settings import BackendSettings, Secret
from tests.support.extent import extent
from tests.support.hostile_backend import ANSWERS, HostileBackend, Stored, mutated
from tests.support.measuring import measurement
from tests.support.outboxes import BOOT, settings
from tests.support.sending import OneKey

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("quick_disk")]

FASTER: Final = 1000.0
TIMEOUT_S: Final = 0.25
PORTALS: Final = ("gx0", "gx1", "gx2")
MEASUREMENTS: Final = extent(8, 60)
ROUNDS: Final = extent(1, 10)
MUTATED: Final = extent(40, 3_000)
MOST_MORE_MIB: Final = 64
END_S: Final = 600.0
LONGEST_S: Final = 2 * TIMEOUT_S + 10.0
"""Seconds that an exchange may take, on a busy machine."""


class FastOutbox(Outbox):
    """An outbox whose waits are as short as the time is fast."""

    def wait(self, seen: int, timeout_s: float) -> int:
        return super().wait(seen, timeout_s / FASTER)


@contextmanager
def delivering(directory: Path, url: str) -> Iterator[tuple[FastOutbox, Senders]]:
    """The outbox, and the threads that send what is in there, which end within seconds."""
    outbox = FastOutbox(settings(directory), DIALECT, BOOT)
    backend = BackendSettings(url, Secret("the-key"), timeout_s=TIMEOUT_S)
    senders = Senders(
        outbox,
        lambda: Backend(backend, DIALECT),
        DIALECT,
        OneKey(),
        max_rate_per_s=1_000.0,
        now_s=lambda: time.monotonic() * FASTER,
    )
    senders.start()
    try:
        yield outbox, senders
    finally:
        senders.stop(20.0)
        outbox.close()
    left = [thread.name for thread in threading.enumerate() if thread.name.startswith("sender")]
    assert left == []


def store_some(outbox: Outbox, senders: Senders, moments: Iterator[int]) -> set[Stored]:
    """Stores measurements of several GX devices, each of another moment; what is in them."""
    storing = Storing(outbox, DIALECT, expect=senders.expect, is_clock_trusted=True)
    stored = set[Stored]()
    for n in itertools.islice(moments, MEASUREMENTS):
        for portal_id in PORTALS:
            serials = [f"{portal_id}-{letter}" for letter in "AB"]
            made = measurement(*serials, at_s=30.0 * n)
            storing.store(Store(made, portal_id))
            stored |= {(made.timestamp.isoformat(timespec="microseconds"), s) for s in serials}
    return stored


def left_in(outbox: Outbox) -> int:
    """Counts how many entries are owed or parked."""
    return sum(
        portal.owed + sum(parked.entries for parked in portal.parked)
        for portal in outbox.view().portals
    )


def memory_mib(field: str) -> float:
    """Returns what the system says of the memory of this process."""
    text = Path("/proc/self/status").read_text(encoding="ascii")
    found = re.search(rf"^{field}:\s+(\d+)", text, re.MULTILINE)
    assert found
    return int(found[1]) / 1024


def forget_peak() -> None:
    """Has the peak of the memory counted anew."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def test_any_answer(tmp_path: Path) -> None:
    """Nothing leaves the outbox but what was said `ok` for; in the end that is everything."""
    rng = random.Random(2026)
    answers = [*ANSWERS * ROUNDS, *map(mutated, range(MUTATED))]
    rng.shuffle(answers)
    with HostileBackend() as backend:
        with delivering(tmp_path / "outbox", backend.url) as (outbox, senders):
            forget_peak()
            before_mib = memory_mib("VmRSS")
            backend.answer_next(*answers)
            moments = itertools.count()
            stored = store_some(outbox, senders, moments)
            ends_s = time.monotonic() + END_S
            while left_in(outbox) or not backend.is_honest:
                assert time.monotonic() < ends_s, (backend.posts, outbox.view())
                if not left_in(outbox):
                    stored |= store_some(outbox, senders, moments)
                time.sleep(0.02)
            assert outbox.view().losses == ()
            more_mib = memory_mib("VmHWM") - before_mib
        assert backend.ok == stored
    print(f"{backend.posts} POSTs, {more_mib:.0f} MiB more, {backend.longest_s:.1f} s")
    assert backend.longest_s < LONGEST_S
    assert more_mib < MOST_MORE_MIB
