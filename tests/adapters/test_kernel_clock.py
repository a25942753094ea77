"""Tests what the kernel says about its clock."""

import ctypes
from typing import Any

import pytest

from mqtt_http_bridge.adapters import kernel_clock


class Library:
    """A C library whose kernel is in a state, or that cannot ask it."""

    def __init__(self, state: int | None) -> None:
        if state is not None:
            self.adjtimex = lambda buffer: state


@pytest.mark.parametrize(
    ("state", "expected"), [(0, True), (1, True), (4, True), (5, False), (-1, False), (None, False)]
)
def test_the_states_of_the_kernel(
    monkeypatch: pytest.MonkeyPatch, state: int | None, expected: bool
) -> None:
    """Everything but TIME_ERROR is synchronised, leap seconds too; who cannot be asked is not."""
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: Library(state))
    assert kernel_clock.is_synchronised() is expected


def test_the_real_kernel_is_asked_and_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes nothing but a buffer of zeros, which asks for no change."""
    asked: list[bytes] = []
    real = ctypes.CDLL(None)

    class Noting:
        def adjtimex(self, buffer: Any) -> int:
            asked.append(bytes(buffer))
            return int(real.adjtimex(buffer))

    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: Noting())
    assert kernel_clock.is_synchronised() in {True, False}
    assert asked == [bytes(512)]
