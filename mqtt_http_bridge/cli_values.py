"""Reads the values of options; each reader raises argparse's own error for a wrong one."""

import argparse
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


def seconds(text: str) -> float:
    """Reads a number of seconds, 0 or more."""
    return _checked(text, float, lambda number: 0.0 <= number < float("inf"), "a number of seconds")


def speed(text: str) -> float:
    """Reads a factor above 0."""
    return _checked(text, float, lambda number: 0.0 < number < float("inf"), "a number above 0")


def port(text: str) -> int:
    """Reads a TCP port."""
    return _checked(text, int, lambda number: 1 <= number <= 65535, "a number from 1 to 65535")


def host(text: str) -> str:
    """Reads a host name or an IP address, as `mqtt.host` takes it."""
    from mqtt_http_bridge.core.config_values import read_host  # Not every verb needs it.

    return _checked(text, read_host, bool, "a host name or an IP address, without a port")


def fingerprint(text: str) -> str:
    """Reads a SHA-256, as `core.fingerprint` spells it."""
    from mqtt_http_bridge.core.fingerprint import fingerprint  # `run` does not need it.

    return _checked(text, fingerprint, bool, "a SHA-256 fingerprint of 64 hex digits")


def _checked(text: str, read: Callable[[str], T], is_fit: Callable[[T], bool], expected: str) -> T:
    with suppress(ValueError):
        if is_fit(value := read(text)):
            return value
    raise argparse.ArgumentTypeError(f"expected {expected}, found {text!r}")
