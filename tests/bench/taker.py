"""The backend of the benchmark, as a process of its own, and how much it has taken."""

import http.client
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
        """How many measurements it has taken so far."""
        self.connection.request("GET", "/")
        return int(self.connection.getresponse().read())


@contextmanager
def backend() -> Iterator[Taker]:
    """A backend, ended with the context."""
    command = [sys.executable, "-m", "tests.bench.quick_backend"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment()) as process:
        assert process.stdout is not None
        try:
            taker = Taker(int(process.stdout.readline()))
            with closing(taker.connection):
                yield taker
        finally:
            process.terminate()
