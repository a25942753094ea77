"""The config keys: what each one takes, and how it becomes a setting.

The table `KEYS` is all there is: the check of a config file, the settings made from it and the
documentation are held against it.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import urlsplit

from mqtt_http_bridge.core import topics
from mqtt_http_bridge.core.errors import ConfigError
from mqtt_http_bridge.core.settings import (
    AUTO,
    BackendSettings,
    DeviceSettings,
    MqttSettings,
    OutboxSettings,
    Secret,
    Settings,
    StatusSettings,
)

LOGGING_LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR")
TLS_PORT: Final = 8883
MIN_OUTBOX_BYTES: Final = 100_000
"""Room for an hour or so: less would not be an outbox."""
DEFAULT_USERNAME: Final = "mqtt-http-bridge"
"""Sent with a password where none is set: the GX ignores it, but some firmware wants one."""


@dataclass(frozen=True, slots=True)
class Key:
    """One key: `read` turns what YAML found into the setting, or raises ValueError or TypeError."""

    expected: str
    read: Callable[[Any], object]
    is_secret: bool = False


# --- what a value may be ---------------------------------------------------------------------


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise ValueError
    return value


def _secret(value: Any) -> Secret:
    text = _text(value)
    if text != text.strip() or not text.isascii():
        raise ValueError
    return Secret(text)


def _password(value: Any) -> Secret:
    return Secret(_text(value))


def _url(value: Any) -> str:
    parts = urlsplit(_text(value))
    if " " in value or parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError
    _ = parts.port  # Raises ValueError for a port that is none.
    return parts.geturl().rstrip("/")


def _host(value: Any) -> str:
    if not re.fullmatch(r"[0-9A-Za-z._:%-]{1,253}", _text(value)) or ".." in value:
        raise ValueError
    return str(value)


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _number(minimum: float, maximum: float) -> Callable[[Any], float]:
    def read(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise TypeError
        if not minimum <= value <= maximum:
            raise ValueError
        return float(value)

    return read


def _max_bytes(value: Any) -> int | None:
    if value == AUTO:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < MIN_OUTBOX_BYTES:
        raise ValueError
    return value


def _port(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 65535:
        raise ValueError
    return value


def _auto_or_text(value: Any) -> str | None:
    return None if value == AUTO else _text(value)


def _client_id(value: Any) -> str | None:
    client_id = _auto_or_text(value)
    if client_id is not None and ("+" in client_id or "#" in client_id):
        raise ValueError
    return client_id


def _portal_ids(value: Any) -> tuple[str, ...]:
    if value == AUTO:
        return ()
    portal_ids = value if isinstance(value, list) else [value]
    if not portal_ids or AUTO in portal_ids or len(set(portal_ids)) != len(portal_ids):
        raise ValueError
    if not all(re.fullmatch(r"[^/+#\s]+", _text(portal_id)) for portal_id in portal_ids):
        raise ValueError
    return tuple(portal_ids)


def _services(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or len(set(value)) != len(value):
        raise ValueError
    if not set(value) <= set(topics.SERVICES):
        raise ValueError
    return tuple(value)


def _serials(value: Any) -> Mapping[int, str]:
    if not isinstance(value, dict):
        raise TypeError
    if not all(type(instance) is int and instance >= 0 for instance in value):
        raise ValueError
    return MappingProxyType({instance: _text(serial) for instance, serial in value.items()})


def _listen(value: Any) -> tuple[str, int] | None:
    """An address, no name: what a name stands for may change. IPv6 in brackets; `off` for none."""
    if value in (False, "off"):  # To YAML, off is false.
        return None
    found = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[0-9.]+):([0-9]{1,5})", _text(value))
    if found is None:
        raise ValueError
    address = ip_address(found[1].strip("[]"))
    return str(address), _port(int(found[2]))


def _level(value: Any) -> str:
    level = _text(value).upper()
    if level not in LOGGING_LEVELS:
        raise ValueError
    return level


KEYS: Final[Mapping[str, Key]] = {
    "backend.url": Key("an http or https address such as https://solar.example.org", _url),
    "backend.api_key": Key("the API key, printable ASCII without blanks around it", _secret, True),
    "backend.api_key_file": Key("the name of a file that holds the API key", _text),
    "backend.timeout": Key("a number of seconds from 1 to 600", _number(1, 600)),
    "backend.ca_file": Key("the name of a file with CA certificates in PEM", _text),
    "device.cerbo_serial": Key("auto, or a text (in quotes if it is all digits)", _auto_or_text),
    "device.update_interval": Key("a number of seconds from 1 to 3600", _number(1, 3600)),
    "device.serials": Key('serials by device instance, such as {281: "HQ2208AXN7V"}', _serials),
    "device.forget_after": Key("a number of seconds from 0 to 31536000", _number(0, 31_536_000)),
    "mqtt.host": Key("a host name or an IP address", _host),
    "mqtt.port": Key("a port number from 1 to 65535", _port),
    "mqtt.username": Key("a text", _text),
    "mqtt.password": Key("the password, a printable text in quotes", _password, True),
    "mqtt.password_file": Key("the name of a file that holds the password", _text),
    "mqtt.tls": Key("true or false", _boolean),
    "mqtt.ca_file": Key("the name of a file with CA certificates in PEM", _text),
    "mqtt.pinned_certificate": Key("the name of a file with the GX's certificate in PEM", _text),
    "mqtt.client_id": Key("auto, or a text without + and #", _client_id),
    "mqtt.portal_id": Key("auto, a portal id in quotes, or a list of them", _portal_ids),
    "mqtt.services": Key(f"a list of some of {', '.join(topics.SERVICES)}", _services),
    "mqtt.refresh_interval": Key("a number of seconds from 60 to 86400", _number(60, 86_400)),
    "outbox.directory": Key("the name of a directory", _text),
    "outbox.max_bytes": Key("auto, or a whole number of bytes from 100000 up", _max_bytes),
    "outbox.max_rate": Key("a number of POSTs a second from 0.1 to 1000", _number(0.1, 1000)),
    "status.listen": Key("off, or an IP address and a port such as 127.0.0.1:8480", _listen),
    "logging.level": Key(f"one of {', '.join(LOGGING_LEVELS)}", _level),
    "logging.syslog": Key("true or false", _boolean),
}
FILE_KEYS: Final = (
    "backend.api_key_file",
    "backend.ca_file",
    "mqtt.password_file",
    "mqtt.ca_file",
    "mqtt.pinned_certificate",
    "outbox.directory",
)
"""Keys whose value names something on disk; a relative name starts at the config file."""
SECTIONS: Final = tuple(dict.fromkeys(name.partition(".")[0] for name in KEYS))

Values = dict[str, Any]
"""What the keys that are set have been read as, by the whole name of the key."""


def read_document(document: object) -> Values:
    """Checks a whole config. Raises ConfigError for the first thing that is wrong with it."""
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise ConfigError(f"expected sections ({', '.join(SECTIONS)}), found {_kind(document)}")
    values: Values = {}
    for section, members in document.items():
        if section not in SECTIONS:
            raise ConfigError(_unknown("section", str(section), SECTIONS))
        if members is None:
            continue
        if not isinstance(members, dict):
            raise ConfigError(f"{section}: expected keys below it, found {_kind(members)}")
        for leaf, value in members.items():
            name = f"{section}.{leaf}"
            if value is not None or name not in KEYS:
                values[name] = read_value(name, value)
    return values


def read_value(name: str, value: object) -> object:
    """The setting that `value` stands for. Raises ConfigError if it is none for the key `name`."""
    if name not in KEYS:
        raise ConfigError(_unknown("key", name, KEYS))
    key = KEYS[name]
    try:
        return key.read(value)
    except (ValueError, TypeError) as error:
        found = "something else (not shown here)" if key.is_secret else _shown(value)
        raise ConfigError(f"{name}: expected {key.expected}, found {found}") from error


def _shown(value: object) -> str:
    """What was found, cut short, and without a password or a key that stands in an address."""
    without_password = re.sub(r"//[^/@]*@", "//***@", repr(value))
    return re.sub(r"(://[^?#]*[?#]).*", r"\1***", without_password)[:120]


def _unknown(what: str, name: str, known: Mapping[str, Key] | tuple[str, ...]) -> str:
    from difflib import get_close_matches  # Most configs need none.

    nearest = get_close_matches(name, known, n=1, cutoff=0.0)[0]
    shown = name if name.isprintable() else repr(name)
    return f"{shown}: expected a known {what}, found this one: did you mean {nearest}?"


def _kind(value: object) -> str:
    return "a list" if isinstance(value, list) else "a single value"


# --- from values to settings -------------------------------------------------------------------


def settings_from(values: Values, *, needs_backend: bool) -> Settings:
    """The settings of a config whose secrets and file names have been put in place.

    Raises ConfigError where keys are missing or do not go together.
    """
    return Settings(
        backend=_backend(values) if needs_backend else None,
        outbox=OutboxSettings(
            directory=values["outbox.directory"],
            **_given(values, max_bytes="outbox.max_bytes", max_rate_per_s="outbox.max_rate"),
        ),
        mqtt=_mqtt(values),
        device=_device(values),
        status=StatusSettings(**_given(values, listen="status.listen")),
        **_given(values, logging_level="logging.level", logs_to_syslog="logging.syslog"),
    )


def _given(values: Values, **names: str) -> dict[str, Any]:
    """Keyword arguments for the keys that are set; the others keep their defaults."""
    return {argument: values[name] for argument, name in names.items() if name in values}


def _backend(values: Values) -> BackendSettings:
    for name, remedy in (
        ("backend.url", "set it to where the measurements go"),
        ("backend.api_key", "set it, or backend.api_key_file, or MQTT_HTTP_BRIDGE_API_KEY"),
    ):
        if name not in values:
            raise ConfigError(f"{name}: expected {KEYS[name].expected}, found nothing: {remedy}")
    return BackendSettings(
        url=values["backend.url"],
        api_key=values["backend.api_key"],
        **_given(values, timeout_s="backend.timeout", ca_file="backend.ca_file"),
    )


def _mqtt(values: Values) -> MqttSettings:
    _check_tls(values)
    arguments = _given(
        values,
        host="mqtt.host",
        port="mqtt.port",
        username="mqtt.username",
        password="mqtt.password",  # noqa: S106 - the name of the key
        tls="mqtt.tls",
        ca_file="mqtt.ca_file",
        pinned_certificate="mqtt.pinned_certificate",
        client_id="mqtt.client_id",
        portal_ids="mqtt.portal_id",
        services="mqtt.services",
        refresh_interval_s="mqtt.refresh_interval",
    )
    if "password" in arguments:
        arguments.setdefault("username", DEFAULT_USERNAME)
    if arguments.get("tls"):
        arguments.setdefault("port", TLS_PORT)
    return MqttSettings(**arguments)


def _check_tls(values: Values) -> None:
    trust = [name for name in ("mqtt.ca_file", "mqtt.pinned_certificate") if name in values]
    if len(trust) > 1:
        raise ConfigError(f"{trust[1]}: expected only one of {' and '.join(trust)}, found both")
    if trust and not values.get("mqtt.tls"):
        raise ConfigError(f"mqtt.tls: expected true, as {trust[0]} is set, found false")


def _device(values: Values) -> DeviceSettings:
    if values.get("device.cerbo_serial") and len(values.get("mqtt.portal_id", ())) > 1:
        raise ConfigError(
            "device.cerbo_serial: expected auto, as mqtt.portal_id lists several GX devices,"
            f" found {values['device.cerbo_serial']!r}"
        )
    return DeviceSettings(
        **_given(
            values,
            cerbo_serial="device.cerbo_serial",
            update_interval_s="device.update_interval",
            serials="device.serials",
            forget_after_s="device.forget_after",
        )
    )
