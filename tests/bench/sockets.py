"""Lists the TCP connections of this machine, as the kernel knows them."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

_ESTABLISHED = "01"


@dataclass(frozen=True, slots=True)
class Connection:
    """One end of a connection over IPv4."""

    port: int
    peer_port: int
    inode: str
    queued_bytes: int
    """Bytes that wait in the kernel at this end: to be read, or until the other end takes them."""


def connections() -> list[Connection]:
    """Both ends of each that is established."""
    lines = Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]
    rows = [line.split() for line in lines]
    return [_connection(row) for row in rows if row[3] == _ESTABLISHED]


def queued_bytes(ports: Collection[int]) -> int:
    """Counts what waits in the kernel, at both ends, of connections with one of these ports."""
    found = [c for c in connections() if c.port in ports or c.peer_port in ports]
    return sum(connection.queued_bytes for connection in found)


def _connection(row: list[str]) -> Connection:
    to_send, to_read = row[4].split(":")
    return Connection(_port(row[1]), _port(row[2]), row[9], int(to_send, 16) + int(to_read, 16))


def _port(address: str) -> int:
    return int(address.rpartition(":")[2], 16)
