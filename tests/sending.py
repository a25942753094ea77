"""The sender on virtual time: a real agenda and a real outbox, and hours that go by at once."""

from collections.abc import Callable
from pathlib import Path
from typing import Self

from mqtt_http_bridge.adapters.outbox import Boot, Outbox
from mqtt_http_bridge.app.sender import Poster, Sender
from mqtt_http_bridge.core.delivery import Answer
from mqtt_http_bridge.core.measurement import Measurement
from mqtt_http_bridge.core.settings import OutboxSettings

BOOT = Boot("a boot", 0.0)


class PatientOutbox(Outbox):
    """An outbox whose `wait` lets the time pass instead of waiting."""

    now_s = 0.0
    until_s = 0.0
    parks = True
    """Whether the disk takes what is parked."""

    def wait(self, timeout_s: float | None) -> list[int]:
        numbers = super().wait(0.0)
        if not numbers:
            left_s = self.until_s - self.now_s
            self.now_s += left_s if timeout_s is None else min(timeout_s, left_s)
        return numbers

    def park(self, entry: object, serial: str, reason: str) -> bool:
        return self.parks and super().park(entry, serial, reason)  # type: ignore[arg-type]


class Sending:
    """A sender without its thread. Use it as a context: the outbox is closed at the end."""

    def __init__(
        self,
        directory: Path,
        backend: Poster,
        *,
        max_rate_per_s: float = 10.0,
        max_bytes: int = 64_000_000,
    ) -> None:
        self.outbox = PatientOutbox(OutboxSettings(str(directory), max_bytes=max_bytes), BOOT)
        self.sender = Sender(
            self.outbox,
            backend,
            max_rate_per_s=max_rate_per_s,
            now_s=lambda: self.outbox.now_s,
            draw=lambda low, high: high,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.sender._backend.close()
        self.outbox.close()

    @property
    def now_s(self) -> float:
        """Seconds since the start."""
        return self.outbox.now_s

    def run_for(self, seconds: float) -> None:
        """Lets the time pass, and the sender do what is due in it."""
        self.outbox.until_s = self.now_s + seconds
        while self.now_s < self.outbox.until_s:
            self.sender._step()

    def send(self, *measurements: Measurement, for_s: float = 1.0) -> None:
        """Appends them, and lets some time pass."""
        for measurement in measurements:
            self.outbox.append(measurement)
        self.run_for(for_s)

    @property
    def is_all_done(self) -> bool:
        """Whether nothing waits and nothing is parked."""
        return len(self.outbox) == 0 and not self.outbox.parked_serials()


class Scripted:
    """A backend that answers as told, and notes when it was sent what."""

    def __init__(self, answer: Callable[[bytes], Answer]) -> None:
        self.answer = answer
        self.now_s: Callable[[], float] = lambda: 0.0
        self.posts: list[tuple[float, bytes]] = []

    def post(self, body: bytes) -> Answer:
        self.posts.append((self.now_s(), body))
        return self.answer(body)

    def close(self) -> None:
        """Nothing is open."""
