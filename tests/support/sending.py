"""Runs delivery on virtual time, with a real dispatcher and outbox: use it for what takes hours."""

from collections.abc import Callable
from pathlib import Path
from typing import Self

from mqtt_http_bridge.adapters.outbox import Boot, Outbox
from mqtt_http_bridge.app.dialect import DIALECT
from mqtt_http_bridge.app.dispatcher import Dispatcher, Keys, Poster
from mqtt_http_bridge.app.storing import Storing
from mqtt_http_bridge.core.commands import Store
from mqtt_http_bridge.core.delivery.answers import Answer, Reply
from mqtt_http_bridge.core.delivery.dialect import Dialect
from mqtt_http_bridge.core.delivery.exchange import Exchange
from mqtt_http_bridge.core.delivery.plan import Job
from mqtt_http_bridge.core.delivery.verdict import Verdict
from mqtt_http_bridge.core.measurement import Measurement
from mqtt_http_bridge.core.settings import OutboxSettings, Secret
from tests.support.measuring import measurement_in, summary
from tests.support.outboxes import GX, parked_serials, waiting

BOOT = Boot("a boot", 0.0)
KEY = Secret("demo-key")
"""That of the stand-in backend."""


class OneKey:
    """A key for all, which nobody changes."""

    def __init__(self, key: Secret = KEY) -> None:
        self._key = key

    def name_of(self, portal_id: str) -> str:
        return ""

    def key(self, portal_id: str) -> Secret:
        return self._key

    def read_again(self, name: str) -> bool:
        return False


class PatientOutbox(Outbox):
    """An outbox whose `wait` lets the time pass instead of waiting."""

    now_s = 0.0
    until_s = 0.0
    _idle = 0

    def wait(self, seen: int, timeout_s: float) -> int:
        self.flush(20.0)
        now = super().wait(seen, 0.0)
        if now != seen:
            return now
        self._idle = 0 if timeout_s else self._idle + 1
        assert self._idle < 100, "expected something to be due, found nothing"
        self.now_s += min(timeout_s, self.until_s - self.now_s)
        return now


class Sending:
    """Delivery over one connection, without threads. Use it as a context."""

    def __init__(
        self,
        directory: Path,
        backend: Poster,
        *,
        max_rate_per_s: float = 10.0,
        max_bytes: int = 64_000_000,
        dialect: Dialect = DIALECT,
        keys: Keys | None = None,
        boot: Boot = BOOT,
        draw: Callable[[float, float], float] = lambda low, high: high,
        on_verdict: Callable[[Answer, Verdict], None] = lambda answer, verdict: None,
        on_entry: Callable[[Job, Exchange, str], None] = lambda job, exchange, timestamp: None,
    ) -> None:
        settings = OutboxSettings(str(directory), max_bytes=max_bytes)
        self.backend = backend
        self.outbox = PatientOutbox(settings, dialect, boot)
        self.dispatcher = Dispatcher(
            self.outbox,
            dialect,
            keys or OneKey(),
            max_rate_per_s=max_rate_per_s,
            on_verdict=on_verdict,
            on_entry=on_entry,
            now_s=lambda: self.outbox.now_s,
            draw=draw,
        )
        self.storing = Storing(
            self.outbox, dialect, expect=self.dispatcher.expect, is_clock_trusted=True
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.backend.close()
        self.outbox.close()

    @property
    def now_s(self) -> float:
        """Seconds since the start."""
        return self.outbox.now_s

    def run_for(self, seconds: float) -> None:
        """Lets the time pass, and what is due in it be sent."""
        self.outbox.until_s = self.now_s + seconds
        while self.now_s < self.outbox.until_s:
            job = self.dispatcher.choose()
            if job is None:
                self.dispatcher.wait()
            else:
                self.dispatcher.send(job, self.backend)

    def store(self, *measurements: Measurement, portal_id: str = GX) -> None:
        """Stores them, and waits until the outbox has them."""
        for measurement in measurements:
            self.storing.store(Store(measurement, portal_id))
        assert self.outbox.flush(20.0)

    def send(self, *measurements: Measurement, for_s: float = 1.0, portal_id: str = GX) -> None:
        """Stores them one by one, and lets some time pass after the last."""
        for measurement in measurements:
            self.store(measurement, portal_id=portal_id)
        self.run_for(for_s)

    @property
    def waiting(self) -> int:
        """Counts how many entries are owed."""
        return waiting(self.outbox)

    @property
    def parked(self) -> list[str]:
        """The devices of which something is parked."""
        return parked_serials(self.outbox)

    @property
    def is_all_done(self) -> bool:
        """Tells whether nothing waits and nothing is parked."""
        return not self.waiting and not self.parked


class Scripted:
    """A backend that answers as told, and notes when it was sent what."""

    def __init__(self, answer: Callable[[bytes], Answer]) -> None:
        self.answer = answer
        self.now_s: Callable[[], float] = lambda: 0.0
        self.posts: list[tuple[float, bytes]] = []

    def post(self, body: bytes, api_key: Secret | None = None) -> Answer:
        self.posts.append((self.now_s(), body))
        return self.answer(body)

    def ask_time(self) -> Answer:
        return Reply(405)

    def close(self) -> None:
        """Nothing is open."""


def serials_in(body: bytes) -> tuple[str, ...]:
    """The devices of a body."""
    return tuple(device.serial for device in measurement_in(body).devices)


def taken(body: bytes) -> Reply:
    """The answer of a backend that stores all of it."""
    return summary(201, **dict.fromkeys(serials_in(body), "ok"))
