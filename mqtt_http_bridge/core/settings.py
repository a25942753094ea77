"""Everything a person can set, checked and in the units the code uses.

`adapters.config` makes these from YAML; the tests make them directly. File names are absolute.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

AUTO = "auto"


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


@dataclass(frozen=True, slots=True)
class BackendSettings:
    """Where measurements go."""

    url: str
    """The root of the API, `http` or `https`, without a trailing slash."""
    api_key: Secret
    timeout_s: float = 30.0
    """How long to wait for a connection, and for an answer once the request is sent."""
    ca_file: str | None = None
    """Certificate authorities to trust instead of the system's."""


@dataclass(frozen=True, slots=True)
class MqttSettings:
    """How to reach the GX's broker and what to ask of it. The defaults fit on the GX itself."""

    host: str = "127.0.0.1"
    port: int = 1883
    username: str | None = None
    password: Secret | None = None
    tls: bool = False
    ca_file: str | None = None
    """Certificate authorities to trust instead of the system's; the host name is checked."""
    pinned_certificate: str | None = None
    """The one certificate to trust, whatever name it bears: the GX's own has none that fits."""
    client_id: str | None = None
    """None: made once for this installation and kept beside the spool."""
    portal_ids: tuple[str, ...] = ()
    """Empty: learn the only one from the broker."""
    services: tuple[str, ...] = ("solarcharger",)
    refresh_interval_s: float = 300.0


@dataclass(frozen=True, slots=True)
class DeviceSettings:
    """What to measure and how to report it."""

    cerbo_serial: str | None = None
    """What measurements call the GX; None: its portal id."""
    update_interval_s: float = 30.0
    serials: Mapping[int, str] = field(default_factory=lambda: MappingProxyType({}))
    """Serials by device instance, for chargers that do not tell theirs."""
    forget_after_s: float = 86400.0
    """How long a charger that left the bus goes on being reported as off; 0: not at all."""


@dataclass(frozen=True, slots=True)
class OutboxSettings:
    """Where measurements wait until the backend has taken them."""

    directory: str
    max_bytes: int | None = None
    """The most that waiting and parked measurements may take; None: a fifth of the space that is
    free at the start, and 64 MB at most."""
    max_rate_per_s: float = 10.0
    """The most POSTs a second while a backlog drains."""


@dataclass(frozen=True, slots=True)
class StatusSettings:
    """Where to show how things stand."""

    listen: tuple[str, int] | None = None
    """Address and port of the status page; None: there is none."""


@dataclass(frozen=True, slots=True)
class Settings:
    """One whole configuration. `backend` is None only where the verb posts nothing."""

    backend: BackendSettings | None
    outbox: OutboxSettings
    mqtt: MqttSettings = field(default_factory=MqttSettings)
    device: DeviceSettings = field(default_factory=DeviceSettings)
    logging_level: str = "INFO"
    logs_to_syslog: bool = False
    """Whether `run` also writes its log to /dev/log."""
    status: StatusSettings = field(default_factory=StatusSettings)
    source: str = field(default="no config", compare=False)
    """Where this was read, for people."""
