"""Tests sixty GX devices for a week without internet, in virtual time: nothing lost or changed.

A backend that fails on one device of one of them comes back: the present goes first, and nobody
else waits for that one. `./tests/run slow` plays the whole week, 1.2 million measurements.
"""

from pathlib import Path

import pytest

from mqtt_http_bridge.app.dialect import DIALECT
from mqtt_http_bridge.core.delivery.answers import Answer, NotSent, Reply
from mqtt_http_bridge.core.measurement import Measurement
from tests.support.extent import extent
from tests.support.measuring import measurement, summary
from tests.support.sending import Scripted, Sending

INTERVAL_S = 30.0
GX_DEVICES = 60
WEEK = extent(150, 7 * 24 * 120)
"""Measurements of each GX while the internet is away."""
POST_S = 0.02
"""Seconds that a POST takes."""
RATE = 30.0
"""POSTs of the backlog, a second."""
SICK = 7
"""The GX of which the backend fails on the second device."""
CULPRIT = f"S{SICK}b"
MAX_BYTES = 2_000_000_000

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("quick_disk")]


def made(gx: int, n: int) -> Measurement:
    """Returns what a GX measures in an interval; each has its own beat."""
    at_s = INTERVAL_S * (n + gx / GX_DEVICES)
    return measurement(f"S{gx}a", f"S{gx}b", at_s=at_s)


class Internet(Scripted):
    """Away for a week, then back; a POST takes its time."""

    def __init__(self) -> None:
        super().__init__(self._answer)
        self.is_up = False
        self.sending: Sending | None = None
        self.stored: dict[str, set[str]] = {}
        """By serial, the timestamps."""
        self.twice: list[tuple[str, str]] = []
        self.changed: list[bytes] = []
        self.with_culprit: list[tuple[str, ...]] = []
        self.late_s: dict[int, float] = {}
        """Seconds until the first live value of each GX came after the return."""

    def _answer(self, body: bytes) -> Answer:
        assert self.sending is not None
        if not self.is_up:
            return NotSent("no connection")
        self.sending.outbox.now_s += POST_S
        found = DIALECT.read(body)
        if CULPRIT in found.serials:
            self.with_culprit.append(found.serials)
            return Reply(500, b"Internal Server Error")
        self._keep(body, found.serials, DIALECT.timestamp(body))
        return summary(201, **dict.fromkeys(found.serials, "ok"))

    def _keep(self, body: bytes, serials: tuple[str, ...], stamp: str) -> None:
        gx = int(serials[0][1:-1])
        if body != DIALECT.only(expected(gx, stamp), serials):
            self.changed.append(body)
        for serial in serials:
            stamps = self.stored.setdefault(serial, set())
            if stamp in stamps:
                self.twice.append((serial, stamp))
            stamps.add(stamp)


def expected(gx: int, stamp: str) -> bytes:
    """Returns what was stored for a GX at a time."""
    zero_s = made(gx, 0).timestamp
    n = round(
        (
            DIALECT.read(b'{"timestamp":"%s","devices":[]}' % stamp.encode()).timestamp - zero_s
        ).total_seconds()
        / INTERVAL_S
    )
    return DIALECT.body(made(gx, n))


def play(sending: Sending, n: int) -> None:
    """One interval: each GX measures, on its own beat."""
    began_s = n * INTERVAL_S
    for gx in range(GX_DEVICES):
        due_s = began_s + INTERVAL_S * gx / GX_DEVICES
        if sending.now_s < due_s and sending.backend.is_up:  # type: ignore[attr-defined]
            sending.run_for(due_s - sending.now_s)
        sending.store(made(gx, n), portal_id=f"gx{gx}")
    if sending.now_s < began_s + INTERVAL_S:
        sending.run_for(began_s + INTERVAL_S - sending.now_s)


@pytest.mark.once
def test_a_week_without_internet(tmp_path: Path) -> None:
    """Everything arrives once and unchanged, the live values at once; one device harms nobody."""
    internet = Internet()
    directory = tmp_path / "outbox"
    with Sending(directory, internet, max_rate_per_s=RATE, max_bytes=MAX_BYTES) as sending:
        internet.sending = sending
        for n in range(WEEK):
            play(sending, n)
        assert sending.waiting == WEEK * GX_DEVICES
        assert sum(f.stat().st_size for f in (directory / "log").iterdir()) < MAX_BYTES
        internet.is_up = True
        n = WEEK
        while sending.waiting > GX_DEVICES:
            play(sending, n)
            stamps = {
                serial: DIALECT.timestamp(DIALECT.body(made(gx, n))) for gx, serial in HEALTHY
            }
            behind = [
                serial
                for serial, stamp in stamps.items()
                if stamp not in internet.stored.get(serial, set())
            ]
            assert len(behind) <= 2, (n, behind)  # The beats at the very end of the interval.
            n += 1
        sending.run_for(60.0)
        assert sending.waiting == 0
        assert sending.parked == [CULPRIT]
        (portal,) = [p for p in sending.outbox.view().portals if p.parked]
        assert portal.parked[0].entries == n
    assert {serial: len(stamps) for serial, stamps in internet.stored.items()} == {
        serial: n for _, serial in HEALTHY
    }
    assert (internet.twice, internet.changed) == ([], [])
    assert len(internet.with_culprit) < 30


HEALTHY = [
    (gx, f"S{gx}{device}")
    for gx in range(GX_DEVICES)
    for device in "ab"
    if f"S{gx}{device}" != CULPRIT
]
