"""paho, loaded without what it has for proxies, and which versions of it are known so well.

It imports `urllib.request`, and with that an HTTP client and a mail parser, which is a third of
what paho takes to load. It looks for proxies only where PySocks is installed, which is none of our
packages: there, everything is loaded.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from types import ModuleType
from typing import Final

import paho.mqtt as paho_mqtt

TESTED_VERSIONS: Final = frozenset({"2.2.0"})
"""Of paho: extend it when tests/test_bulk.py and test_imports.py have passed with another one."""

_FOR_PROXIES: Final = "urllib.request"
_OPTIONAL: Final = ("socks", "dns")
"""What paho loads besides, if it is there: who knows what that loads in turn."""


def paho_version() -> str:
    """The version of paho that is installed."""
    return str(paho_mqtt.__version__)


def is_tested() -> bool:
    """Whether this paho is one whose insides are known."""
    return paho_version() in TESTED_VERSIONS


@contextmanager
def _without_proxies() -> Iterator[None]:
    """Within this, who imports `urllib.request` gets an empty module in its place.

    Nothing of it is left: paho keeps the package `urllib`, in which the true one is found once
    somebody has loaded it.
    """
    if _FOR_PROXIES in sys.modules or not is_tested() or any(map(find_spec, _OPTIONAL)):
        yield
        return
    sys.modules[_FOR_PROXIES] = ModuleType(_FOR_PROXIES)
    try:
        yield
    finally:
        del sys.modules[_FOR_PROXIES]


with _without_proxies():
    import paho.mqtt.client as paho

__all__ = ["TESTED_VERSIONS", "is_tested", "paho", "paho_version"]
