"""The verb `check`: looks at everything from the config to the service.

It goes on after a fault; only a config that cannot be read ends it, as all else depends on that.
"""

import json
import os
import queue
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Final, TextIO

from mqtt_http_bridge import __version__
from mqtt_http_bridge.adapters import config, machine, thread_start
from mqtt_http_bridge.adapters.outbox import inspection
from mqtt_http_bridge.app.check_backend import Posting, look_at_backend
from mqtt_http_bridge.app.check_gx import look_at_gx
from mqtt_http_bridge.app.check_posts import MEASURED_WITHIN_S
from mqtt_http_bridge.app.dialect import DIALECT
from mqtt_http_bridge.app.outbox_observer import count_waiting, room_of
from mqtt_http_bridge.app.own_outbox import SHARED_FIX, shared_outbox
from mqtt_http_bridge.app.service_state import shown_state
from mqtt_http_bridge.core.errors import ConfigError, LocalFault
from mqtt_http_bridge.core.settings import OutboxSettings, Settings
from mqtt_http_bridge.core.status import findings
from mqtt_http_bridge.core.status.findings import Finding, Mark, ok, unknown, wrong
from mqtt_http_bridge.core.words import counted, visible

MARKS: Final = {
    Mark.OK: ("ok  ", "32"),
    Mark.WARNING: ("note", "33"),
    Mark.WRONG: ("FAIL", "31"),
    Mark.UNKNOWN: ("  ? ", "2"),
}
LIMIT_S: Final = 120.0
"""The most seconds for all of it, not counting the wait for the service's next measurement."""


def check(
    path: Path,
    environment: Mapping[str, str],
    *,
    as_json: bool,
    posting: Posting = Posting.MADE_UP,
) -> list[Finding]:
    """Prints a line for each thing looked at, as it is found, and returns them all."""
    found = []
    limit_s = LIMIT_S + (MEASURED_WITHIN_S if posting is Posting.REAL else 0.0)
    for finding in within(limit_s, walk(path, environment, posting)):
        found.append(finding)
        if not as_json:
            _print(finding, sys.stdout, has_colour=_has_colour(sys.stdout, environment))
    if as_json:
        holds = findings.all_hold(found)
        print(json.dumps({"holds": holds, "findings": [f._asdict() for f in found]}, indent=1))
    return found


def within(limit_s: float, walked: Iterator[Finding]) -> Iterator[Finding]:
    """Yields what is found while there is time, and says so when the time is up.

    Each check has its own limit, but limits of the system, such as for a name look-up, may be long.
    So the checks run in a thread that nobody waits for.
    """
    items: queue.SimpleQueue[Finding | Exception | None] = queue.SimpleQueue()
    looking = threading.Thread(target=_look, args=[walked, items], name="check", daemon=True)
    ends_s = time.monotonic() + limit_s
    thread_start.start(looking)
    step = "start"
    while True:
        try:
            item = items.get(timeout=max(0.0, ends_s - time.monotonic()))
        except queue.Empty:
            text = f"not finished within {limit_s:.0f} s: what follows the line {step!r} hangs"
            yield wrong("time", text, "run it again; is a name server or a disk slow?")
            return
        if item is None:
            return
        if isinstance(item, Exception):
            raise item
        step = item.step
        yield item


def _look(
    walked: Iterator[Finding], items: "queue.SimpleQueue[Finding | Exception | None]"
) -> None:
    try:
        for finding in walked:
            items.put(finding)
    except Exception as error:  # noqa: BLE001 - it is raised where somebody waits for it
        items.put(error)
    items.put(None)


def _has_colour(out: TextIO, environment: Mapping[str, str]) -> bool:
    return out.isatty() and not environment.get("NO_COLOR")


def _print(finding: Finding, out: TextIO, *, has_colour: bool) -> None:
    mark, colour = MARKS[finding.mark]
    mark = f"\033[{colour}m{mark}\033[0m" if has_colour else mark
    print(f"{mark}  {finding.step:13} {visible(finding.text)}", file=out, flush=True)
    if finding.fix:
        print(f"{'':20}-> {visible(finding.fix)}", file=out, flush=True)


def walk(
    path: Path, environment: Mapping[str, str], posting: Posting = Posting.MADE_UP
) -> Iterator[Finding]:
    """Yields all findings, in order; after a fault, those that do not depend on it."""
    settings, finding = _load(path, environment)
    yield finding
    if settings is None:
        for step in ("GX", "backend", "outbox", "service"):
            yield unknown(step, "the config comes first")
        return
    for file_name in config.readable_by_others(settings):
        yield findings.secret_file(file_name)
    heard = yield from look_at_gx(settings)
    yield from look_at_backend(settings, heard, posting)
    if shared := shared_outbox(settings):
        yield Finding("outbox", Mark.WARNING, shared, SHARED_FIX)
    yield from _outbox(settings.outbox, settings.device.update_interval_s)
    listening = settings.status.listen
    is_local = listening is None or ip_address(listening[0]).is_loopback
    yield findings.status_page(settings.status, is_local=is_local)


def _load(path: Path, environment: Mapping[str, str]) -> tuple[Settings | None, Finding]:
    """Loads as much of the config as possible: the GX can be checked without the backend part."""
    try:
        return config.load(path, environment), ok("config", str(path))
    except ConfigError as error:
        fix = "correct this key, or the file; config.yaml.example shows what each key takes"
        if not os.access(path, os.R_OK):
            fix = "fix this, then run check again"
        finding = wrong("config", str(error), fix)
    try:
        return config.load(path, environment, needs_backend=False), finding
    except ConfigError:
        return None, finding


# --- this machine ------------------------------------------------------------------------------


def _outbox(outbox: OutboxSettings, interval_s: float) -> Iterator[Finding]:
    directory = Path(outbox.directory)
    error = machine.write_error(directory)
    fix = "fix its owner or its disk, set outbox.directory, or run check as the service's user"
    if error:
        yield wrong("outbox", f"{directory}: {error}", fix)
    else:
        yield ok("outbox", f"{directory} is writable")
    try:
        status = inspection.status(directory, outbox.max_bytes, DIALECT)
    except LocalFault as fault:
        if isinstance(fault.__cause__, FileNotFoundError):
            yield ok("room", "nothing waits: the outbox is made at the first start")
        else:
            yield wrong("room", f"not known: {fault}", fix)
    else:
        yield _room(room_of(status, interval_s), count_waiting(status.portals))
        yield from findings.damage(status.directory, status.damaged, status.unreadable)
    try:
        yield findings.service(str(directory), shown_state(outbox), __version__)
    except LocalFault as fault:
        yield unknown("service", str(fault))


def _room(hours: float, waiting: int) -> Finding:
    wait = (
        counted(waiting, "measurement waits", "measurements wait") if waiting else "nothing waits"
    )
    text = f"{wait}, there is room for {counted(round(hours), 'more hour')}"
    if hours >= 1:
        return ok("room", text)
    return wrong("room", text, "make room on the disk, or raise outbox.max_bytes")
