"""The benchmark: python -m tests.bench [--quick] [--json FILE] [SECTION...].

It needs what the tests need, and mosquitto_sub. Everything is compared with floors that are
measured in the same run: read the ratios, the seconds are this machine's.
"""

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.bench import inside, sections
from tests.bench.processes import in_child
from tests.bench.table import render

Section = Callable[[bool], Any]


def _portals(quick: bool) -> dict[str, Any]:
    counts = (1, 10) if quick else (1, 10, 100, 1000)
    return {f"{n} portals": sections.flat_out(1, 50_000, 1, portals=n) for n in counts}


def _spool(quick: bool) -> dict[str, float]:
    with sections.directory() as place:
        return inside.spool(200 if quick else 1000, place)


def _outage(quick: bool) -> dict[str, float]:
    del quick
    with sections.directory() as place:
        call = f"json.dumps(outage({str(place)!r}))"
        return in_child(f"import json; from tests.bench.inside import outage; print({call})")


SECTIONS: dict[str, Section] = {
    "start, ms": lambda quick: sections.start_times(3 if quick else 15),
    "imports": lambda quick: sections.imports(3 if quick else 9),
    "build, CPU ms": lambda quick: inside.build_times(3 if quick else 9),
    "portals in the core, CPU us per portal and minute": lambda quick: inside.portal_curve(
        2 if quick else 5
    ),
    "spool": _spool,
    "outage of a day, MiB": _outage,
    "drain": lambda quick: sections.drain(2_000 if quick else 20_000),
    "flat out, CPU us per message": lambda quick: sections.flat_out(1 if quick else 5, 100_000),
    "loss, percent": lambda quick: sections.loss(100_000 if quick else 300_000),
    "memory, MiB": lambda quick: sections.memory(20_000 if quick else 72_000),
    "idle, two chargers": lambda quick: sections.idle(1 if quick else 3, 30 if quick else 90),
    "idle, twenty chargers": lambda quick: sections.idle(1, 30 if quick else 90, 20),
    "portals, CPU us per message": _portals,
}


def main() -> int:
    """Measures and reports; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"of {list(SECTIONS)}")
    parser.add_argument("--quick", action="store_true", help="a few minutes, and rough")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there")
    arguments = parser.parse_args()
    report: dict[str, Any] = {"machine": _machine()}
    for name, measure in SECTIONS.items():
        if not arguments.sections or any(name.startswith(s) for s in arguments.sections):
            print(f"measuring: {name}", file=sys.stderr, flush=True)
            report[name] = measure(arguments.quick)
            print(render({name: report[name]}), flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return 0


def _machine() -> dict[str, str]:
    return {
        "cores": str(os.cpu_count()),
        "machine": platform.machine(),
        "system": platform.system(),
        "python": platform.python_version(),
        "paho-mqtt": version("paho-mqtt"),
    }


if __name__ == "__main__":
    sys.exit(main())
