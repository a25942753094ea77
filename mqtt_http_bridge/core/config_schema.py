"""Holds the table of the config keys, and checks a config file against it.

The table `KEYS` is complete: config files are checked against it, settings are made from it, and
tests compare the documentation with it. `config_values` reads the values; `config_settings` makes
settings of them.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from mqtt_http_bridge.core.config_values import (
    LOGGING_LEVELS,
    LONGEST_PREFIX,
    MOST_CONNECTIONS,
    Mistake,
    read_boolean,
    read_client_id,
    read_connections,
    read_host_names,
    read_hosts,
    read_ignored,
    read_key_files,
    read_level,
    read_listen,
    read_max_bytes,
    read_mqtt_text,
    read_names,
    read_number,
    read_off_or_seconds,
    read_password,
    read_port,
    read_portal_ids,
    read_secret,
    read_serials,
    read_services,
    read_shard,
    read_text,
    read_topic_prefix,
    read_url,
)
from mqtt_http_bridge.core.errors import ConfigError
from mqtt_http_bridge.core.venus.paths import SERVICES

FORMAT: Final = 1
"""The highest config format that this version reads; a config that names none has format 1."""


class Key(NamedTuple):
    """One key: `read` turns what YAML found into the setting, or raises ValueError or TypeError."""

    expected: str
    read: Callable[[Any], object]
    is_secret: bool = False


KEYS: Final[Mapping[str, Key]] = {
    "backend.url": Key("an http or https address such as https://solar.example.org", read_url),
    "backend.api_key": Key(
        "the API key, printable ASCII without spaces around it", read_secret, True
    ),
    "backend.api_key_file": Key("the name of a file that holds the API key", read_text),
    "backend.api_keys": Key(
        "key files by portal id, such as {c0619ab1cd34: {file: api-key.txt}}", read_key_files
    ),
    "backend.connections": Key(
        f"auto, or a whole number from 1 to {MOST_CONNECTIONS}", read_connections
    ),
    "backend.timeout": Key("a number of seconds from 1 to 600", read_number(1, 600)),
    "backend.ca_file": Key("the name of a file with CA certificates in PEM", read_text),
    "device.cerbo_serial": Key(
        "auto, a text (in quotes if it is all digits), or a different one for each portal id",
        read_names,
    ),
    "device.update_interval": Key("a number of seconds from 1 to 3600", read_number(1, 3600)),
    "device.serials": Key(
        'a serial for each place, such as {281: "HQ2208AXN7V"} or {multi/0: "HQ2208AXN7V"}',
        read_serials,
    ),
    "device.ignore": Key(
        "a list of serials and places, such as [HQ2208AXN7V, multi/0]", read_ignored
    ),
    "device.forget_after": Key(
        "a number of seconds from 0 to 31536000", read_number(0, 31_536_000)
    ),
    "device.drop_frozen_after": Key(
        "off, or a number of seconds from 60 to 86400", read_off_or_seconds
    ),
    "mqtt.host": Key(
        "a host name or an IP address, or a list of them such as [node1, node2:1884]", read_hosts
    ),
    "mqtt.port": Key("a port number from 1 to 65535", read_port),
    "mqtt.username": Key("a text", read_mqtt_text),
    "mqtt.password": Key("the password, a printable text in quotes", read_password, True),
    "mqtt.password_file": Key("the name of a file that holds the password", read_text),
    "mqtt.tls": Key("true or false", read_boolean),
    "mqtt.ca_file": Key("the name of a file with CA certificates in PEM", read_text),
    "mqtt.pinned_certificate": Key(
        "the name of a file with the GX's certificate in PEM", read_text
    ),
    "mqtt.client_id": Key("auto, or a text without + and #", read_client_id),
    "mqtt.portal_id": Key("auto, a portal id in quotes, or a list of them", read_portal_ids),
    "mqtt.shard": Key("a shard of several such as 2/8, counted from 0, or auto/8", read_shard),
    "mqtt.topic_prefix": Key(
        f"what stands before /N/ in the broker's topics, such as venus, {LONGEST_PREFIX} bytes at"
        " most, without + and #, and without $ at the beginning",
        read_topic_prefix,
    ),
    "mqtt.services": Key(f"a list of some of {', '.join(SERVICES)}", read_services),
    "mqtt.refresh_interval": Key("a number of seconds from 60 to 86400", read_number(60, 86_400)),
    "outbox.directory": Key("the name of a directory", read_text),
    "outbox.max_bytes": Key("auto, or a whole number of bytes from 100000 up", read_max_bytes),
    "outbox.max_rate": Key("a number of POSTs a second from 0.1 to 10000", read_number(0.1, 10000)),
    "status.listen": Key("off, or an IP address and a port such as 127.0.0.1:8480", read_listen),
    "status.host_names": Key("a list of host names, such as [relay.example.org]", read_host_names),
    "status.per_charger_metrics": Key("true or false", read_boolean),
    "logging.level": Key(f"one of {', '.join(LOGGING_LEVELS)}", read_level),
    "logging.syslog": Key("true or false", read_boolean),
}
FILE_KEYS: Final = (
    "backend.api_key_file",
    "backend.ca_file",
    "mqtt.password_file",
    "mqtt.ca_file",
    "mqtt.pinned_certificate",
    "outbox.directory",
)
"""Keys whose value is the name of a file; a relative name is relative to the config file."""
SECTIONS: Final = tuple(dict.fromkeys(name.partition(".")[0] for name in KEYS))

Values = dict[str, Any]
"""The values of the keys that are set, by the full name of the key."""


def read_document(document: object) -> Values:
    """Checks a whole config. Raises ConfigError for the first thing that is wrong with it."""
    if document is None:
        return {}
    if not isinstance(document, dict):
        todo = ": take the dashes away" if isinstance(document, list) else ""
        raise ConfigError(
            f"expected sections ({', '.join(SECTIONS)}), each with its keys below it, found"
            f" {_kind(document)}{todo}"
        )
    # This comes first: in a newer format, any key may mean something else.
    _check_format(document.get("format"))
    values: Values = {}
    for section, members in document.items():
        if section == "format":
            continue
        if section not in SECTIONS:
            raise ConfigError(_unknown("section", "", _name(section)))
        if members is None:
            continue
        if not isinstance(members, dict):
            todo = ": take the dashes away" if isinstance(members, list) else ""
            raise ConfigError(f"{section}: expected keys below it, found {_kind(members)}{todo}")
        for leaf, value in members.items():
            name = f"{section}.{_name(leaf)}"
            if value is not None or name not in KEYS:
                values[name] = read_value(name, value)
    return values


def _check_format(value: object) -> None:
    if value is None:
        return
    if type(value) is not int or value < 1:
        raise ConfigError(f"format: expected a whole number such as {FORMAT}, found something else")
    if value > FORMAT:
        raise ConfigError(
            f"format: expected {FORMAT} or lower, found a newer one: a newer version has written"
            " this config: install that one again"
        )


def read_value(name: str, value: object) -> object:
    """The setting that `value` stands for. Raises ConfigError if the key cannot have it."""
    if name not in KEYS:
        section, _, leaf = name.partition(".")
        raise ConfigError(_unknown("key", section, leaf))
    key = KEYS[name]
    try:
        return key.read(value)
    except (ValueError, TypeError) as error:
        remedy = f": {error}" if isinstance(error, Mistake) else ""
        found = shown_value(name, value)
        raise ConfigError(f"{name}: expected {key.expected}, found {found}{remedy}") from error


def shown_value(name: str, value: object) -> str:
    """Shows what was found for a key, cut short and without anything that is secret."""
    if KEYS[name].is_secret:
        return "something else (not shown here)"
    try:
        text = repr(value)
    except ValueError:
        return "a number of thousands of digits"
    without_password = re.sub(r"//[^/@]*@", "//***@", text)
    return re.sub(r"(://[^?#]*[?#]).*", r"\1***", without_password)[:120]


def _unknown(what: str, section: str, name: str) -> str:
    """The complaint about an unknown section, or an unknown key of `section`."""
    from difflib import get_close_matches  # Most configs need none.

    known = SECTIONS if not section else [n[len(section) + 1 :] for n in KEYS if _is_in(n, section)]
    dotted = f"{section}." if section else ""
    shown = shown_key(name)
    if nearest := get_close_matches(shown, known, n=1):
        return (
            f"{dotted}{shown}: expected a known {what}, found this one:"
            f" did you mean {dotted}{nearest[0]}?"
        )
    # `{password, 5f3a}`: a comma instead of a colon makes a key of what should be a value.
    where = f"{section}: " if section else ""
    return (
        f"{where}expected a known {what} ({', '.join(known)}), found another"
        " (not shown here: it may be a secret)"
    )


def _is_in(name: str, section: str) -> bool:
    return name.startswith(f"{section}.")


def shown_key(name: str) -> str:
    """A key up to its first other character: YAML takes all of `api_key=5f3a` for a key."""
    letters = re.match(r"[A-Za-z_.-]{0,40}", name)
    return letters[0] if letters and letters[0] == name else f"{letters[0] if letters else ''}..."


def _name(key: object) -> str:
    """Shows what was found where a key should be."""
    return key if isinstance(key, str) else "something"


def _kind(value: object) -> str:
    return "a list" if isinstance(value, list) else "a single value"
