"""Defines the fixtures of the installer's tests; here `gx` is a root that looks like a GX's."""

from collections.abc import Iterator

import pytest

from tests.support.browser import Browser, find_program
from tests.support.installing import (
    archive,
    checkout,
    firmware,
    gx,
    once,
    surroundings,
    unpacked,
)

__all__ = ["archive", "checkout", "firmware", "gx", "once", "surroundings", "unpacked"]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One browser for all."""
    if find_program() is None:
        pytest.fail("no Chromium: on Debian, apt-get install chromium")
    with Browser() as browser:
        yield browser
