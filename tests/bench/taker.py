"""The backend of the benchmark, as a process of its own, and how much it has taken."""

import http.client
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager

from tests.bench.processes import environment

ANSWER_WITHIN_S = 10.0


class Taker:
    """A backend that takes everything. For one thread."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_WITHIN_S)

    @property
    def taken(self) -> int:
        """Counts how many measurements it has taken so far."""
        return int(self._get("/"))

    @property
    def serials(self) -> int:
        """Counts the devices of which a report came so far."""
        return int(self._get("/serials"))

    def take_delays_s(self) -> list[float]:
        """Gives how many seconds old each measurement came, of those since the last call."""
        return [float(delay_s) for delay_s in json.loads(self._get("/delays"))]

    def _get(self, path: str) -> bytes:
        self.connection.request("GET", path)
        return self.connection.getresponse().read()


@contextmanager
def backend(post_s: float = 0.0) -> Iterator[Taker]:
    """A backend that takes so long for each POST, ended with the context."""
    command = [sys.executable, "-m", "tests.bench.quick_backend", str(post_s)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment()) as process:
        assert process.stdout is not None
        try:
            taker = Taker(int(process.stdout.readline()))
            with closing(taker.connection):
                yield taker
        finally:
            process.terminate()
