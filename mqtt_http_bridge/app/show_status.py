"""The verb `status`: the state of the service of a config, as the service saves it."""

import json
import sys

from mqtt_http_bridge.adapters.clock import SystemClock
from mqtt_http_bridge.app.service_state import shown_state
from mqtt_http_bridge.core.settings import OutboxSettings
from mqtt_http_bridge.core.status.findings import end_words, run_words, utc_words
from mqtt_http_bridge.core.status.state_file import GxState, Liveness, State
from mqtt_http_bridge.core.status.state_json import to_members
from mqtt_http_bridge.core.words import counted, span_words, visible


def show_status(outbox: OutboxSettings, *, as_json: bool, as_lines: bool) -> bool:
    """Prints the state; returns whether the service is running."""
    found = shown_state(outbox)
    if as_json:
        state = to_members(found.state) if found.state is not None else None
        print(json.dumps({**found._asdict(), "state": state}, indent=1))
    elif as_lines:
        print("\n".join(f"{name}={visible(value)}" for name, value in lines(found).items()))
    else:
        print("\n".join(texts(found, SystemClock().now().utc.timestamp())))
    sys.stdout.flush()
    return found.is_running


def lines(found: Liveness) -> dict[str, str]:
    """Returns what a shell script needs to know, by name; empty if it is not known.

    A process that has ended says nothing about the next one: then everything is empty.
    """
    known = {
        "running": "yes" if found.is_running else "no",
        "locked": "yes" if found.is_locked else "no",
    }
    state = found.state if found.is_running else None
    return known | (_of_state(state) if state else dict.fromkeys(_NAMES, ""))


_NAMES = (
    "process",
    "version",
    "config",
    "gx",
    "chargers",
    "stored",
    "owed",
    "problems",
    "well",
    "why",
    "fix",
    "in_memory",
)


def _of_state(state: State) -> dict[str, str]:
    process, why = state.process, next(iter(state.problems), None)
    values = (
        f"{process.pid}.{process.start_ticks}",
        process.version,
        process.config,
        ",".join(gx.portal_id for gx in state.gx if (gx.heard or 0.0) >= process.started),
        str(sum(gx.chargers for gx in state.gx)),
        "" if state.stored is None else utc_words(state.stored),
        str(state.owed.measurements + state.owed.parked),
        str(len(state.problems)),
        "yes" if state.is_well else "no",
        why.text if why is not None else "",
        why.fix if why is not None else "",
        str(state.owed.in_memory),
    )
    return dict(zip(_NAMES, values, strict=True))


def texts(found: Liveness, now_s: float) -> list[str]:
    """Returns the same for people, in a few lines; `now_s` in Unix seconds."""
    state = found.state
    if state is None or not found.is_running:
        return [f"service   {end_words(state)}"]
    owed, oldest = state.owed, state.owed.oldest
    told = [f"service   {run_words(state)}, by {state.process.config}"]
    told += [f"well      {'yes' if state.is_well else 'no'}"]
    told += [f"GX        {_gx_words(gx, now_s)}" for gx in state.gx]
    told += [f"stored    the newest {_ago(state.stored, now_s)}"]
    waiting, parked = counted(owed.measurements, "measurement"), counted(owed.parked, "report")
    told += [f"owed      {waiting}, {parked} parked"]
    told += [f"          the oldest of {oldest}"] if oldest else []
    told += [f"          {owed.in_memory} of them in memory only"] if owed.in_memory else []
    for name, problems in (("not well", state.problems), ("note", state.notes)):
        for problem in problems:
            told += [f"{name:8}  {problem.text}", f"          -> {problem.fix}"]
    return list(map(visible, told))


def _gx_words(gx: GxState, now_s: float) -> str:
    marks = {True: "well", False: "not well", None: "not counted"}
    stored = f"stored {_ago(gx.stored, now_s)}, {gx.waiting} waiting, {gx.parked} parked"
    remark = f", {gx.remark}" if gx.remark else ""
    return (
        f"{gx.name}: {marks[gx.is_well]}: heard {_ago(gx.heard, now_s)},"
        f" measured {_ago(gx.measured, now_s)}, {counted(gx.chargers, 'charger')}{remark}, {stored}"
    )


def _ago(at: float | None, now_s: float) -> str:
    return "never yet" if at is None else f"{span_words(now_s - at)} ago"
