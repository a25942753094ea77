"""Tests what ends a wait and what does not, and that nothing is missed between two waits."""

import fcntl
import resource
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from mqtt_http_bridge.adapters.broker.wakeup import Wakeup

LONG_S = 20.0
SHORT_S = 0.05


@pytest.fixture
def wakeup() -> Iterator[Wakeup]:
    """A wakeup."""
    wakeup = Wakeup()
    yield wakeup
    wakeup.close()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends of a connection."""
    here, there = socket.socketpair()
    with here, there:
        yield here, there


def seconds_of_wait(
    wakeup: Wakeup, sock: socket.socket, timeout_s: float, *, is_to_write: bool = False
) -> float:
    """Returns how long a wait takes."""
    started_s = time.monotonic()
    wakeup.wait(sock, timeout_s, is_to_write=is_to_write)
    return time.monotonic() - started_s


def test_a_wait_ends_by_itself(wakeup: Wakeup, pair: tuple[socket.socket, socket.socket]) -> None:
    """A wait in which nothing happens lasts its time; that one may write is nothing."""
    assert SHORT_S <= seconds_of_wait(wakeup, pair[0], SHORT_S) < LONG_S


def test_what_ends_a_wait(wakeup: Wakeup, pair: tuple[socket.socket, socket.socket]) -> None:
    """Something to read, room to write where that is wanted, and the end of the connection."""
    here, there = pair
    assert seconds_of_wait(wakeup, here, LONG_S, is_to_write=True) < LONG_S
    there.send(b"x")
    assert seconds_of_wait(wakeup, here, LONG_S) < LONG_S
    here.recv(1)
    there.close()
    assert seconds_of_wait(wakeup, here, LONG_S) < LONG_S


def test_a_wakeup_ends_one_wait(wakeup: Wakeup, pair: tuple[socket.socket, socket.socket]) -> None:
    """The one under way or else the next, once, however often it is woken."""
    for _ in range(3):
        wakeup.wake()
    assert seconds_of_wait(wakeup, pair[0], LONG_S) < LONG_S
    assert seconds_of_wait(wakeup, pair[0], SHORT_S) >= SHORT_S
    timer = threading.Timer(SHORT_S, wakeup.wake)
    timer.start()
    assert seconds_of_wait(wakeup, pair[0], LONG_S) < LONG_S
    timer.join()


def test_whoever_was_only_woken_need_not_read(
    wakeup: Wakeup, pair: tuple[socket.socket, socket.socket]
) -> None:
    """Nor need one that may write; something to read, the end, and the end of the time say so."""
    here, there = pair
    assert wakeup.wait(here, SHORT_S, is_to_write=False)
    wakeup.wake()
    assert not wakeup.wait(here, LONG_S, is_to_write=False)
    assert not wakeup.wait(here, LONG_S, is_to_write=True)
    wakeup.wake()
    assert not wakeup.wait(here, LONG_S, is_to_write=True)
    wakeup.wake()
    assert wakeup.wait(here, 0.0, is_to_write=True)
    wakeup.wake()
    there.send(b"x")
    assert wakeup.wait(here, LONG_S, is_to_write=True)
    here.recv(1)
    wakeup.wake()
    there.close()
    assert wakeup.wait(here, LONG_S, is_to_write=False)


def test_waking_is_never_an_error(pair: tuple[socket.socket, socket.socket]) -> None:
    """Neither when it was woken a hundred thousand times without a wait, nor after its end."""
    wakeup = Wakeup()
    for _ in range(100_000):
        wakeup.wake()
    wakeup.close()
    wakeup.wake()


def test_a_process_with_many_descriptors(wakeup: Wakeup) -> None:
    """A socket above the 1023 that `select` can tell apart is waited for like any other."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 2048)), hard))
    try:
        here, there = socket.socketpair()
        with here, there, socket.socket(fileno=fcntl.fcntl(here, fcntl.F_DUPFD, 1500)) as high:
            there.send(b"x")
            assert seconds_of_wait(wakeup, high, LONG_S) < LONG_S
    finally:
        with suppress(ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
