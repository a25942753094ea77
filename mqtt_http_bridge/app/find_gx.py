"""Finds the GX devices of this network: by SSDP, or by name if none answers."""

import queue
import threading
from typing import Final

from mqtt_http_bridge.adapters import machine, network, ssdp, thread_start
from mqtt_http_bridge.core.venus.announcement import Found

NAME_S: Final = 2.0
"""The seconds that a name server may take after the search."""


def find_gx() -> Found:
    """Searches for ssdp.SEARCH_S; the name is looked up meanwhile."""
    names = queue.SimpleQueue[str]()
    # Nobody waits for this thread: the system decides how long a name look-up takes.
    thread_start.start(threading.Thread(target=_look_up, args=[names], name="name", daemon=True))
    found = ssdp.search()
    if found.announcements:
        return found
    try:
        return found._replace(by_name=names.get(timeout=NAME_S))
    except queue.Empty:
        return found


def _look_up(names: "queue.SimpleQueue[str]") -> None:
    try:
        names.put(network.addresses(machine.GX_NAME)[0])
    except (OSError, UnicodeError, IndexError):
        names.put("")
