"""Measures how much the link to the backend carries a day, as bytes of IP packets.

In a network namespace, where nothing else is on the wire, every packet of the loopback interface is
captured. Time is scaled: a POST each half second, over a connection that the server keeps, or has
closed meanwhile. What a POST costs does not depend on how long nothing came before.
"""

import json
import subprocess
import sys
from typing import Final

from tests.bench.plan import Plan
from tests.bench.processes import environment
from tests.bench.results import RELAY, Results
from tests.bench.waiting import Failed

DAY: Final = "{}, {}: MB a day"
KINDS: Final = ("TLS 1.3", "TLS 1.2", "plain")
KEPT, CLOSED = "the server keeps connections", "it closes them after 5 s"
ANEW: Final = "a full handshake for each POST"
POSTS_A_DAY: Final = 2880
WITHIN_S: Final = 300.0


def link(plan: Plan) -> Results:
    """MB a day on the wire, of a measurement of two chargers each 30 s.

    Raises Failed where this machine gives no network namespace.
    """
    results = Results({"packets": "IPv4 with TCP timestamps, at most 1,500 bytes each"})
    for kind in KINDS:
        for way in (KEPT, CLOSED):
            columns = [RELAY] if way is KEPT else [RELAY, ANEW]
            for column in columns:
                each = _bytes_a_post(kind, way, column, plan.pick(20, 5))
                results.add(DAY.format(kind, way), column, each * POSTS_A_DAY / 1e6)
    return results


def _bytes_a_post(kind: str, way: str, column: str, count: int) -> float:
    words = [kind, str(int(way is CLOSED)), str(int(column is ANEW)), str(count)]
    command = ["unshare", "-rn", sys.executable, "-m", "tests.bench.wire", *words]
    try:
        done = subprocess.run(
            command,
            check=False,
            capture_output=True,
            text=True,
            env=environment(),
            timeout=WITHIN_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Failed(f"expected a network namespace, found: {error}") from error
    if done.returncode:
        raise Failed(f"expected bytes in a network namespace, found: {done.stderr[-500:]}")
    return float(json.loads(done.stdout))
