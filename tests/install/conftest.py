"""Defines the fixtures of the installer's tests; here `gx` is a root that looks like a GX's."""

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
