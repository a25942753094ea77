"""Runs a clustered MQTT broker on loopback: three nodes of nats-server, whose MQTT is JetStream.

Debian packages three brokers that speak MQTT and form a cluster. RabbitMQ needs Erlang and a
plugin, VerneMQ is not there any more, and nats-server is one program without a configuration of
its own: hence this one. Retained messages are kept by two of the three nodes at least, so a node
may die.
"""

import contextlib
import random
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Self

from tests.support.mosquitto import PORTS, ProgramFailed, ProgramMissing

HOSTS = ("127.0.0.1", "127.0.0.2", "127.0.0.3")
"""The nodes listen on the same ports, each on an address of its own, as machines do."""
READY_WITHIN_S = 60.0
READINESS_INTERVAL_S = 0.1


class NatsCluster:
    """Three nodes; use it as a context manager, which starts and ends them. For one thread.

    port: where each of HOSTS takes MQTT clients.
    """

    def __init__(self) -> None:
        self._program = shutil.which("nats-server", path="/usr/sbin:/usr/bin:/usr/local/bin")
        if self._program is None:
            raise ProgramMissing("nats-server is missing: on Debian, apt-get install nats-server")
        self._directory = tempfile.TemporaryDirectory(prefix="nats-")
        self.port, self._client_port, self._route_port, self._monitor_port = _free_ports(4)
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        try:
            for node in range(len(HOSTS)):
                self._launch(node)
            for node in range(len(HOSTS)):
                self._wait_until_ready(node)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for node in list(self._processes):
            self.kill(node)
        self._directory.cleanup()

    def kill(self, node: int) -> None:
        """Ends a node as a power cut does."""
        process = self._processes.pop(node)
        process.kill()
        process.wait()

    def start(self, node: int) -> None:
        """Starts a node that was killed, and returns when it takes clients."""
        self._launch(node)
        self._wait_until_ready(node)

    def _launch(self, node: int) -> None:
        directory = Path(self._directory.name)
        configuration = directory / f"node{node}.conf"
        configuration.write_text(self._configuration(node), encoding="utf-8")
        with (directory / f"node{node}.log").open("ab") as log:
            self._processes[node] = subprocess.Popen(
                [str(self._program), "-c", str(configuration)], stdout=log, stderr=log
            )

    def _configuration(self, node: int) -> str:
        host, store = HOSTS[node], Path(self._directory.name) / f"store{node}"
        routes = ", ".join(f'"nats://{each}:{self._route_port}"' for each in HOSTS)
        return f"""
            server_name: node{node}
            listen: "{host}:{self._client_port}"
            http: "{host}:{self._monitor_port}"
            jetstream {{ store_dir: "{store}" }}
            cluster {{ name: gx, listen: "{host}:{self._route_port}", routes: [{routes}] }}
            mqtt {{ listen: "{host}:{self.port}" }}
            """

    def _wait_until_ready(self, node: int) -> None:
        deadline_s = time.monotonic() + READY_WITHIN_S
        while not self._is_healthy(node):
            if self._processes[node].poll() is not None or time.monotonic() > deadline_s:
                log = Path(self._directory.name) / f"node{node}.log"
                raise ProgramFailed(
                    f"nats-server: expected node {node} to be ready within {READY_WITHIN_S:g} s, "
                    f"found:\n{log.read_text(encoding='utf-8', errors='replace')[-3000:]}"
                )
            time.sleep(READINESS_INTERVAL_S)

    def _is_healthy(self, node: int) -> bool:
        """Tells whether a node is a member of the cluster, with its share of JetStream."""
        url = f"http://{HOSTS[node]}:{self._monitor_port}/healthz"
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5.0) as answer:
            return bool(answer.status == 200)
        return False


def _free_ports(count: int) -> list[int]:
    """Picks ports on which nobody listens now, below those that outgoing connections take."""
    found: list[int] = []
    for port in random.sample(PORTS, k=len(PORTS)):
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            for host in HOSTS:
                stack.enter_context(socket.create_server((host, port)))
            found.append(port)
        if len(found) == count:
            return found
    raise ProgramFailed(f"expected {count} free ports on loopback, found {len(found)}")
