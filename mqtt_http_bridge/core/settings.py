"""Everything a person can set, checked and in the units the code uses.

`adapters.config` makes these from YAML; the tests make them directly. File names are absolute.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from mqtt_http_bridge.core.shard import AutoShard, Shard

AUTO = "auto"
_WITH_PORT: Final = r"(\[[^\]]+\]|[^:]+):([0-9]{1,5})"


class Secret:
    """A text that no log, traceback or `repr` may show; `reveal()` is the only way to it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself, for the one line that sends it."""
        return self._text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __repr__(self) -> str:
        return "Secret(***)"


class BackendSettings(NamedTuple):
    """The settings of the backend that measurements go to."""

    url: str
    """The root of the API, `http` or `https`, without a trailing slash."""
    api_key: Secret
    timeout_s: float = 30.0
    """Seconds to wait for a connection, and for an answer once the request is sent."""
    ca_file: str | None = None
    """Certificate authorities to trust instead of the system's."""
    api_key_file: str | None = None
    """The file that `api_key` was read from, if any."""
    api_key_files: Mapping[str, str] = MappingProxyType({})
    """The files with the keys of single GX devices, by portal id."""
    connections: int | None = None
    """The most POSTs under way at a time; None: one for each GX device, up to 8."""

    @property
    def own_keys(self) -> Mapping[str, str]:
        """The names of the keys of the GX devices that do not use the common one, by portal id."""
        files = self.api_key_files.items()
        return {portal_id: file for portal_id, file in files if file != self.api_key_file}


class MqttSettings(NamedTuple):
    """The settings of the GX's broker, and what to ask of it. The defaults fit on the GX itself."""

    hosts: tuple[str, ...] = ("127.0.0.1",)
    """Addresses of the broker: the nodes of a cluster are tried one after another. One of several
    may have its own port, as `host:port` or `[IPv6]:port`.
    """
    port: int = 1883
    username: str | None = None
    password: Secret | None = None
    tls: bool = False
    ca_file: str | None = None
    """Certificate authorities to trust instead of the system's; the host name is checked."""
    pinned_certificate: str | None = None
    """The only certificate to trust, by its key, whatever name is in it: the GX's own matches no
    name.
    """
    client_id: str | None = None
    """None: made once for this installation and kept beside the outbox."""
    portal_ids: tuple[str, ...] = ()
    """Empty: all that the broker announces."""
    shard: Shard | AutoShard | None = None
    """The share of the GX devices that this relay serves; None: all. An AutoShard is replaced by a
    Shard before anybody asks.
    """
    topic_prefix: str = ""
    """The prefix of all topics on a bridged broker, without the slash at its end."""
    services: tuple[str, ...] = ("solarcharger",)
    refresh_interval_s: float = 300.0

    @property
    def host(self) -> str:
        """The host of one address, or the first of several as the config has it."""
        return self.hosts[0]

    @property
    def place(self) -> str:
        """Host and port of each address, for people."""
        return ", ".join(f"{one.host}:{one.port}" for one in self.each())

    @property
    def own_portal_ids(self) -> tuple[str, ...]:
        """The listed GX devices that this relay serves."""
        return tuple(filter(self.serves, self.portal_ids))

    def relays(self, portal_id: str) -> bool:
        """Tells whether a GX is to be relayed, if it is there."""
        return (not self.portal_ids or portal_id in self.portal_ids) and self.serves(portal_id)

    def serves(self, portal_id: str) -> bool:
        """Tells whether a GX is in this relay's shard."""
        return not isinstance(self.shard, Shard) or self.shard.serves(portal_id)

    def each(self) -> tuple["MqttSettings", ...]:
        """These settings for each address alone, with its host and port apart."""
        return tuple(map(self._at, self.hosts))

    def _at(self, text: str) -> "MqttSettings":
        if ":" in text and (own := re.fullmatch(_WITH_PORT, text)):
            return self._replace(hosts=(own[1].strip("[]"),), port=int(own[2]))
        return self._replace(hosts=(text,))


class DeviceSettings(NamedTuple):
    """The settings of what is measured, and how it is reported."""

    cerbo_serial: str | Mapping[str, str] | None = None
    """The name of the GX in measurements (of the first one heard, if there are several), or a name
    for each portal id. A GX without a name is called by its portal id.
    """
    update_interval_s: float = 30.0
    serials: Mapping[str, str] = MappingProxyType({})
    """Serials by place, whatever the device reports: `30`, `solarcharger/30`, or the most exact,
    `<portal id>/solarcharger/30`.
    """
    ignored: frozenset[str] = frozenset()
    """Serials and places (as in `serials`) of chargers not to relay."""
    forget_after_s: float = 86400.0
    """Seconds for which a lost charger is still reported as off; 0: not at all."""
    drop_frozen_after_s: float | None = None
    """Seconds for which the values of a charger in the sun may not change before it is left out;
    None: for ever.
    """


class OutboxSettings(NamedTuple):
    """The settings of the outbox, where measurements wait until the backend has taken them."""

    directory: str
    max_bytes: int | None = None
    """The most that waiting and parked measurements may take; None: a fifth of the space that is
    free at the start, but at most 64 MB.
    """
    max_rate_per_s: float = 10.0
    """The most POSTs a second while a backlog drains."""


class StatusSettings(NamedTuple):
    """The settings of the status page."""

    listen: tuple[str, int] | None = None
    """Address and port of the status page; None: there is none."""
    host_names: tuple[str, ...] = ()
    """Names by which it may be reached, besides IP addresses and this machine's own names."""
    per_charger_metrics: bool = True
    """True if `/metrics` has series for each charger, not just for each GX."""


class Settings(NamedTuple):
    """One whole configuration. `backend` is None only if the verb posts nothing."""

    backend: BackendSettings | None
    outbox: OutboxSettings
    mqtt: MqttSettings = MqttSettings()
    device: DeviceSettings = DeviceSettings()
    logging_level: str = "INFO"
    logs_to_syslog: bool = False
    """True if `run` also writes its log to /dev/log."""
    status: StatusSettings = StatusSettings()
    source: str = "no config"
    """The place that the settings came from, for people."""
    secret_files: tuple[str, ...] = ()
    """The files that hold secrets of this config: nobody but the service should read them."""
    more_secrets: tuple[Secret, ...] = ()
    """The keys of single GX devices, as they were when the config was read."""

    @property
    def own_keys(self) -> Mapping[str, str]:
        """The same as that of the backend: a verb that posts nothing knows no keys."""
        return self.backend.own_keys if self.backend is not None else {}
