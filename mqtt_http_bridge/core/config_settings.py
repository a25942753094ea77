"""Makes settings from the values in a config, and checks that they go together."""

from collections.abc import Mapping
from typing import Any, Final

from mqtt_http_bridge.core.config_schema import KEYS, Values
from mqtt_http_bridge.core.errors import ConfigError
from mqtt_http_bridge.core.settings import (
    BackendSettings,
    DeviceSettings,
    MqttSettings,
    OutboxSettings,
    Settings,
    StatusSettings,
)

TLS_PORT: Final = 8883
DEFAULT_USERNAME: Final = "mqtt-http-bridge"
"""Sent with a password if no name is set: the GX ignores it, but some firmware wants one."""


def settings_from(values: Values, *, needs_backend: bool) -> Settings:
    """The settings of a config whose secrets and file names have been filled in.

    Raises ConfigError if keys are missing or do not go together.
    """
    return Settings(
        backend=_backend(values) if needs_backend else None,
        outbox=OutboxSettings(
            directory=values["outbox.directory"],
            **_given(values, max_bytes="outbox.max_bytes", max_rate_per_s="outbox.max_rate"),
        ),
        mqtt=_mqtt(values),
        device=_device(values),
        status=StatusSettings(
            **_given(
                values,
                listen="status.listen",
                host_names="status.host_names",
                per_charger_metrics="status.per_charger_metrics",
            )
        ),
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
        **_given(
            values,
            timeout_s="backend.timeout",
            ca_file="backend.ca_file",
            api_key_file="backend.api_key_file",
            api_key_files="backend.api_keys",
            connections="backend.connections",
        ),
    )


def _mqtt(values: Values) -> MqttSettings:
    _check_tls(values)
    arguments = _given(
        values,
        hosts="mqtt.host",
        port="mqtt.port",
        username="mqtt.username",
        password="mqtt.password",  # noqa: S106 - the name of the key
        tls="mqtt.tls",
        ca_file="mqtt.ca_file",
        pinned_certificate="mqtt.pinned_certificate",
        client_id="mqtt.client_id",
        portal_ids="mqtt.portal_id",
        shard="mqtt.shard",
        topic_prefix="mqtt.topic_prefix",
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
    _check_names(values.get("device.cerbo_serial"), values.get("mqtt.portal_id", ()))
    return DeviceSettings(
        **_given(
            values,
            cerbo_serial="device.cerbo_serial",
            update_interval_s="device.update_interval",
            serials="device.serials",
            ignored="device.ignore",
            forget_after_s="device.forget_after",
            drop_frozen_after_s="device.drop_frozen_after",
        )
    )


def _check_names(found: object, portal_ids: tuple[str, ...]) -> None:
    """Checks that one name is for one GX, and that several are for GX devices in the list."""
    if isinstance(found, str) and len(portal_ids) > 1:
        raise ConfigError(
            "device.cerbo_serial: expected auto, or a name for each portal id, as mqtt.portal_id"
            f" lists several GX devices, found {found!r}"
        )
    strange = sorted(set(found) - set(portal_ids)) if isinstance(found, Mapping) else []
    if portal_ids and strange:
        raise ConfigError(
            "device.cerbo_serial: expected portal ids that mqtt.portal_id lists, found"
            f" {strange[0]!r}"
        )
