"""Measures what imports cost, each in a process of its own."""

import re
from collections import Counter

from tests.bench.plan import Plan
from tests.bench.processes import in_child, run_child
from tests.bench.results import Results, rounds
from tests.bench.taker import backend

SUBSCRIBING = "import argparse, mqtt_http_bridge.adapters.config, mqtt_http_bridge.app.run"
RUN = f"{SUBSCRIBING}, mqtt_http_bridge.app.wiring"
ALL_THREE = "import paho.mqtt.client, requests, yaml"
MODULES_LATER = "modules that the second POST imports"
_CASES = {
    "nothing": "pass",
    "paho": "import paho.mqtt.client",
    "requests": "import requests",
    "PyYAML": "import yaml",
    "all three": ALL_THREE,
    "argparse": "import argparse",
    "dataclasses": "import dataclasses",
    "run before it subscribes": SUBSCRIBING,
    "run before its first POST": RUN,
}
_WEIGHED = """
import time
began_s = time.process_time()
{}
ms = (time.process_time() - began_s) * 1000
import json, pathlib
pages = pathlib.Path("/proc/self/statm").read_text().split()[1]
print(json.dumps({{"ms": ms, "mib": int(pages) * 4096 / 2**20}}))
"""
_POST = f"""
{RUN}
from mqtt_http_bridge.adapters.backend import Backend
from mqtt_http_bridge.app.dialect import DIALECT
from mqtt_http_bridge.core.settings import BackendSettings, Secret
backend = Backend(BackendSettings({{url!r}}, Secret("key")), DIALECT)
backend.post(b"{{{{}}}}")
"""
_LATER = """
import json, sys
{}
before = set(sys.modules)
backend.post(b"{{}}")
print(json.dumps(len(set(sys.modules) - before)))
"""
_DEAREST = 12
_TIMED = re.compile(r"import time: +(\d+) \| +\d+ \| +(\S+)")


def imports(plan: Plan) -> Results:
    """CPU milliseconds and RSS of imports, and the packages of `run` that take longest."""
    results = Results()
    with backend() as taker:
        post = _POST.format(url=taker.url)
        cases = [*_CASES.items(), ("run after its first POST", post)]
        for each_round in rounds(cases, plan.pick(9, 3)):
            for name, statements in each_round:
                found = in_child(_WEIGHED.format(statements))
                results.add(f"{name}, ms", "value", found["ms"])
                results.add(f"{name}, MiB", "value", found["mib"])
        results.add(MODULES_LATER, "value", in_child(_LATER.format(post)))
        for package, ms in _dearest(post):
            results.add(f"of these {package}, ms", "value", ms)
    return results


def _dearest(statements: str) -> list[tuple[str, float]]:
    """The packages whose modules take longest, with the milliseconds of all of these."""
    lines = run_child(statements, "-X", "importtime").stderr.splitlines()
    us: Counter[str] = Counter()
    for found in filter(None, map(_TIMED.match, lines)):
        us[found[2].partition(".")[0]] += int(found[1])
    return [(package, total / 1000) for package, total in us.most_common(_DEAREST)]
