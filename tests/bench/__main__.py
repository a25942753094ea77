"""The benchmark: python -m tests.bench [--quick] [--json FILE] [SECTION...].

It needs what the tests need, and mosquitto_sub. Everything is compared with floors that are
measured in the same run: read the ratios, the seconds are this machine's.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.bench import (
    backlog,
    devices,
    fleet,
    idle,
    inside,
    link,
    outbox,
    portals,
    start,
    through_broker,
)
from tests.bench.flash import flash
from tests.bench.imports import imports
from tests.bench.machine import machine_facts
from tests.bench.markdown import markdown
from tests.bench.memory import memory
from tests.bench.own_load import own_load
from tests.bench.plan import Plan
from tests.bench.results import Results
from tests.bench.table import machine_text, section_text, targets_text
from tests.bench.targets import judged
from tests.bench.waiting import Failed
from tests.support.mosquitto import ProgramFailed

SECTIONS: Mapping[str, Callable[[Plan], Results]] = {
    "start": start.start_times,
    "imports": imports,
    "build": inside.build,
    "portals in the core": portals.in_core,
    "spool": inside.spool,
    "outbox": outbox.outbox,
    "flash": flash,
    "link": link.link,
    "outage of a day": backlog.outage,
    "drain": backlog.drain,
    "fleet": fleet.fleet,
    "flat out": through_broker.flat_out,
    "loss": through_broker.loss,
    "memory": memory,
    "idle, two chargers": idle.two_chargers,
    "idle, twenty chargers": idle.twenty_chargers,
    "portals, by message": portals.by_message,
    "portals, awake": portals.awake,
    "GX devices": devices.devices,
}
OWN = "own load"
NOT_QUICK = (
    "flash",
    "link",
    "outage of a day",
    "fleet",
    "loss",
    "idle, twenty chargers",
    "portals",
    "GX devices",
)
"""The beginnings of what a quick run leaves out, unless it is asked for it: it would take more than
five minutes."""


def main() -> int:
    """Measures and reports; returns 1 if a section failed."""
    parser = _parser()
    options = parser.parse_args()
    if options.markdown:
        print(markdown(json.loads(options.markdown.read_text(encoding="utf-8"))))
        return 0
    plan = Plan(
        is_quick=options.quick,
        recording=options.recording,
        chargers=options.chargers,
        rate_per_s=options.rate,
        against=options.against,
    )
    if plan.rate_per_s is not None and not plan.has_own_load:
        parser.error("--rate is for a load of your own: add --recording or --chargers")
    chosen = _chosen(plan, options.sections)
    if not chosen:
        parser.error(f"expected the beginning of one of {list(SECTIONS)}")
    report: dict[str, Any] = {"machine": machine_facts(), "quick": plan.is_quick, "sections": {}}
    print(machine_text(report["machine"]), flush=True)
    for name, measure in chosen.items():
        print(f"measuring: {name}", file=sys.stderr, flush=True)
        report["sections"][name] = _section(measure, plan)
        report["targets"] = judged(report["sections"])
        print(section_text(name, report["sections"][name]), flush=True)
        if options.json:
            options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(targets_text(report.get("targets", [])))
    return int(any("failed" in section for section in report["sections"].values()))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument(
        "sections", nargs="*", metavar="SECTION", help=f"the beginning of one of {list(SECTIONS)}"
    )
    parser.add_argument("--quick", action="store_true", help="less than five minutes, and rough")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there")
    parser.add_argument(
        "--markdown", type=Path, metavar="FILE", help="measure nothing: show results as Markdown"
    )
    parser.add_argument(
        "--against", type=Path, metavar="DIR", help="measure another checkout in the same run"
    )
    own = parser.add_argument_group("a load of one's own, instead of the sections")
    own.add_argument("--recording", type=Path, metavar="FILE", help="what a GX said")
    own.add_argument("--chargers", type=int, metavar="N", help="synthetic chargers of 48 paths")
    own.add_argument(
        "--rate", type=float, metavar="N", help="messages a second in all; flat out without"
    )
    return parser


def _chosen(plan: Plan, wanted: list[str]) -> dict[str, Callable[[Plan], Results]]:
    """The sections that are asked for, in their order."""
    if plan.has_own_load:
        return {OWN: own_load}
    if wanted:
        return {n: s for n, s in SECTIONS.items() if any(n.startswith(w) for w in wanted)}
    return {n: s for n, s in SECTIONS.items() if not (plan.is_quick and n.startswith(NOT_QUICK))}


def _section(measure: Callable[[Plan], Results], plan: Plan) -> dict[str, Any]:
    """Returns what a section found, or why it found nothing: the others go on."""
    began_s = time.monotonic()
    try:
        found = measure(plan).as_json()
    except (Failed, ProgramFailed, OSError) as error:
        found = {"failed": str(error)}
    return found | {"took_s": time.monotonic() - began_s}


if __name__ == "__main__":
    sys.exit(main())
