"""Reads the values of config keys: each function accepts or rejects what YAML found.

It rejects with a ValueError or a TypeError; `Mistake` also says what to do. The table of keys in
`config_schema` says what was expected.
"""

import re
from collections.abc import Callable, Mapping
from ipaddress import ip_address
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import urlsplit

from mqtt_http_bridge.core.settings import (
    AUTO,
    Secret,
)
from mqtt_http_bridge.core.shard import MOST_SHARDS, AutoShard, Shard
from mqtt_http_bridge.core.venus import topics
from mqtt_http_bridge.core.venus.paths import SERVICES

LOGGING_LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR")
MIN_OUTBOX_BYTES: Final = 100_000
"""Room for an hour or so: with less, there would be no point in an outbox."""
MOST_CONNECTIONS: Final = 64
MOST_HOSTS: Final = 32
LONGEST_LABEL: Final = 63
"""The most characters between two dots of a host name; Python refuses to look up a longer one."""
LONGEST_PREFIX: Final = 100
"""The most bytes of a topic prefix: with it, a topic is still short enough to be cached."""


def read_text(value: Any) -> str:
    """Reads a text of one line that is not blank."""
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise ValueError
    return value


class Mistake(ValueError):
    """A common mistake; its text says how to correct it."""


def _no_number(value: Any) -> None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise Mistake("put it in quotes, or YAML takes it for a number")


def read_secret(value: Any) -> Secret:
    """Reads a key: printable ASCII without spaces around it."""
    _no_number(value)
    text = read_text(value)
    if text != text.strip() or not text.isascii():
        raise ValueError
    return Secret(text)


def read_password(value: Any) -> Secret:
    """Reads a password: a printable text."""
    _no_number(value)
    return Secret(read_text(value))


def read_url(value: Any) -> str:
    """Reads an http or https address without login and query; no slash is left at its end."""
    parts = urlsplit(read_text(value))
    if " " in value or parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError
    _check_labels(parts.hostname)
    _ = parts.port  # Raises ValueError for a port that is none.
    return parts.geturl().rstrip("/")


def read_host(value: Any) -> str:
    """Reads a host name or an IP address, without a port."""
    if re.fullmatch(r"[^:]+:\d{1,5}", read_text(value)):
        raise Mistake("put the port into mqtt.port")
    if not re.fullmatch(r"[0-9A-Za-z._:%-]{1,253}", read_text(value)):
        raise ValueError
    _check_labels(value)
    return str(value)


def _check_labels(host: str) -> None:
    """Raises ValueError for a name that no name server could have."""
    labels = host.removesuffix(".").split(".")
    if not all(0 < len(label) <= LONGEST_LABEL for label in labels):
        raise ValueError


def read_hosts(value: Any) -> tuple[str, ...]:
    """Reads a host, or a list of hosts."""
    if not isinstance(value, list):
        return (read_host(value),)
    hosts = tuple(read_host_and_port(each) for each in value)
    if not 1 <= len(hosts) <= MOST_HOSTS or len(set(hosts)) < len(hosts):
        raise ValueError
    return hosts


def read_host_and_port(value: Any) -> str:
    """Reads one of several hosts, which may have its own port."""
    if own := re.fullmatch(r"(\[[0-9A-Fa-f:.%a-z]+\]|[^:\[\]]+):([0-9]{1,5})", read_text(value)):
        read_port(int(own[2]))
        read_host(own[1].strip("[]"))
        return str(value)
    return read_host(value)


def read_boolean(value: Any) -> bool:
    """Reads true or false."""
    if not isinstance(value, bool):
        raise TypeError
    return value


def read_number(minimum: float, maximum: float) -> Callable[[Any], float]:
    """Makes a reader for numbers from `minimum` to `maximum`."""

    def read(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise TypeError
        if not minimum <= value <= maximum:
            raise ValueError
        return float(value)

    return read


def read_connections(value: Any) -> int | None:
    """Reads the number of connections; None: auto."""
    if value == AUTO:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST_CONNECTIONS:
        raise ValueError
    return value


def read_key_files(value: Any) -> Mapping[str, str]:
    """Reads the names of key files by portal id, each below the one member `file`."""
    if not isinstance(value, dict):
        raise TypeError
    files = {}
    for portal_id, source in value.items():
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", read_text(portal_id)):
            raise ValueError
        if not isinstance(source, dict) or set(source) != {"file"}:
            raise ValueError
        files[portal_id] = read_text(source["file"])
    return MappingProxyType(files)


def read_max_bytes(value: Any) -> int | None:
    """Reads the size of the outbox in bytes; None: auto."""
    if value == AUTO:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < MIN_OUTBOX_BYTES:
        raise ValueError
    return value


def read_port(value: Any) -> int:
    """Reads the number of a port."""
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 65535:
        raise ValueError
    return value


def read_auto_or_text(value: Any) -> str | None:
    """Reads a text; None: auto."""
    return None if value == AUTO else read_text(value)


def read_client_id(value: Any) -> str | None:
    """Reads an MQTT client id that a GX accepts; None: auto."""
    client_id = read_auto_or_text(value)
    if client_id is not None and ("+" in client_id or "#" in client_id):
        raise ValueError
    return client_id


def read_portal_ids(value: Any) -> tuple[str, ...]:
    """Reads one portal id or several; none: auto."""
    if value == AUTO:
        return ()
    portal_ids = value if isinstance(value, list) else [value]
    if not portal_ids or AUTO in portal_ids or len(set(portal_ids)) != len(portal_ids):
        raise ValueError
    if not all(topics.is_portal_id(read_text(portal_id)) for portal_id in portal_ids):
        raise ValueError
    return tuple(portal_ids)


def read_names(value: Any) -> str | Mapping[str, str] | None:
    """Reads one name for one GX, or one for each by portal id; no two may have the same."""
    if not isinstance(value, dict):
        return read_auto_or_text(value)
    if not value or not all(topics.is_portal_id(read_text(portal_id)) for portal_id in value):
        raise ValueError
    names = {portal_id: read_text(name) for portal_id, name in value.items()}
    if len(set(names.values())) != len(names):
        raise ValueError
    return MappingProxyType(names)


def read_shard(value: Any) -> Shard | AutoShard:
    """Reads which shard this is, of how many."""
    found = re.fullmatch(r"(auto|0|[1-9][0-9]{0,3})/([1-9][0-9]{0,3})", read_text(value))
    if found is None or int(found[2]) > MOST_SHARDS:
        raise ValueError
    count = int(found[2])
    if found[1] == AUTO:
        return AutoShard(count)
    if int(found[1]) >= count:
        raise Mistake(f"shards are counted from 0, so the last one is {count - 1}/{count}")
    return Shard(int(found[1]), count)


def read_topic_prefix(value: Any) -> str:
    """Reads the prefix of the topics of a GX, without the slashes around it."""
    prefix = read_text(value)
    if prefix.endswith("/") or prefix.startswith("/"):
        raise Mistake("leave the / before and after it out")
    if len(prefix.encode()) > LONGEST_PREFIX or re.search(r"[+#]|//|^\$", prefix):
        raise ValueError
    return prefix


def read_services(value: Any) -> tuple[str, ...]:
    """Reads a list of D-Bus services that can have chargers."""
    if not isinstance(value, list) or not value or len(set(value)) != len(value):
        raise ValueError
    if not set(value) <= set(SERVICES):
        raise ValueError
    return tuple(value)


_PLACE: Final = rf"(([^/+#\s]+/)?({'|'.join(SERVICES)})/)?(0|[1-9][0-9]{{0,8}})"
"""A device instance, alone or with its service and its GX."""


def read_place(value: Any) -> str:
    """Reads a device instance, alone or with its service and its GX."""
    place = str(value) if type(value) is int else read_text(value)
    if not re.fullmatch(_PLACE, place):
        raise ValueError
    return place


def read_serials(value: Any) -> Mapping[str, str]:
    """Reads the serials of chargers, by place."""
    if not isinstance(value, dict):
        raise TypeError
    serials = {read_place(place): read_text(serial) for place, serial in value.items()}
    if len(serials) < len(value):
        raise ValueError
    return MappingProxyType(serials)


def read_ignored(value: Any) -> frozenset[str]:
    """Reads serials and places."""
    if not isinstance(value, list):
        raise TypeError
    return frozenset(read_place(each) if type(each) is int else read_text(each) for each in value)


def read_off_or_seconds(value: Any) -> float | None:
    """Reads a number of seconds; None: off."""
    return None if value in (False, "off") else read_number(60, 86_400)(value)


def read_listen(value: Any) -> tuple[str, int] | None:
    """Reads an IP address, not a name, which may change. IPv6 in brackets; `off` for none."""
    if value in (False, "off"):  # To YAML, off is false.
        return None
    found = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[0-9.]+):([0-9]{1,5})", read_text(value))
    if found is None:
        raise ValueError
    address = ip_address(found[1].strip("[]"))
    return str(address), read_port(int(found[2]))


def read_host_names(value: Any) -> tuple[str, ...]:
    """Reads host names, which become lower case."""
    if not isinstance(value, list):
        raise TypeError
    return tuple(read_host(name).lower() for name in value)


def read_level(value: Any) -> str:
    """Reads the level of the log."""
    level = read_text(value).upper()
    if level not in LOGGING_LEVELS:
        raise ValueError
    return level
