"""paho, loaded without what it has for proxies.

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

_FOR_PROXIES: Final = "urllib.request"


@contextmanager
def _without_proxies() -> Iterator[None]:
    """Within this, whoever imports `urllib.request` gets an empty module, and keeps nothing of it.

    paho keeps the package `urllib`, in which the true one is found once somebody has loaded it.
    """
    if _FOR_PROXIES in sys.modules or find_spec("socks") is not None:
        yield
        return
    sys.modules[_FOR_PROXIES] = ModuleType(_FOR_PROXIES)
    try:
        yield
    finally:
        del sys.modules[_FOR_PROXIES]


with _without_proxies():
    import paho.mqtt.client as paho

__all__ = ["paho"]
