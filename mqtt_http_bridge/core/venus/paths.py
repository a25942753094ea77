"""The D-Bus paths of chargers: one table, by service, and what kind of value each path has.

Everything about a charger's paths comes from here: which topics matter, which number replaces an
earlier one, what a report needs. A new field takes one row here, and the code that uses it. Source
of the facts: Victron's dbus-flashmq v25 and recordings of real devices.

The table is needed before anything has been subscribed to. So its classes are plain ones: each
dataclass takes a GX some ten milliseconds to make.
"""

from collections.abc import Mapping
from enum import IntEnum
from typing import Any, Final, Generic, TypeVar

_T = TypeVar("_T")
_T_co = TypeVar("_T_co", covariant=True)


class State(IntEnum):
    """The values of `/State` that settle whether a charger produces; there are others, and more."""

    OFF = 0
    FAULT = 2
    BULK = 3
    ABSORPTION = 4
    FLOAT = 5


# --- kinds -------------------------------------------------------------------------------------


class Kind(Generic[_T_co]):
    """The kind of values that a path has: converts whatever was said to its own type."""

    __slots__ = ()

    def of(self, value: object) -> _T_co:
        """The value; for a value of another kind, or None, the default when nothing is known."""
        raise NotImplementedError


class Number(Kind[float | None]):
    """A measured number within bounds that no device exceeds and every backend can hold."""

    __slots__ = ("maximum", "minimum", "unit")

    def __init__(self, unit: str, minimum: float, maximum: float) -> None:
        self.unit: Final = unit
        self.minimum: Final = minimum
        self.maximum: Final = maximum

    def of(self, value: object) -> float | None:
        """The number, or None if it is not one or is impossible."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        return float(value) if self.minimum <= value <= self.maximum else None


class Code(Kind[int | None]):
    """A whole number that counts or names something; D-Bus may deliver it as `5.0`."""

    __slots__ = ()

    def of(self, value: object) -> int | None:
        """The code, or None for anything that is no whole number."""
        if isinstance(value, float) and value.is_integer():
            return int(value)
        return value if isinstance(value, int) and not isinstance(value, bool) else None


class Flag(Kind[bool]):
    """Something that holds unless the device says 0: some services say `false`."""

    __slots__ = ()

    def of(self, value: object) -> bool:
        """False for 0 and false alone."""
        return not (isinstance(value, int | float) and value == 0)


class Text(Kind[str | None]):
    """A text that is not blank and that every backend can store."""

    __slots__ = ()

    def of(self, value: object) -> str | None:
        """The text verbatim, or None if it is not a text, is blank or cannot be stored."""
        if not isinstance(value, str):
            return None
        return value if value.strip() and _is_storable(value) else None


def _is_storable(text: str) -> bool:
    """No NUL and no half of a surrogate pair: PostgreSQL refuses the first, UTF-8 the second."""
    try:
        return b"\0" not in text.encode()
    except UnicodeEncodeError:
        return False


# --- rows --------------------------------------------------------------------------------------


class Path(Generic[_T]):
    """One row of the table: a path below the instance, its kind, and what its values are for."""

    __slots__ = ("is_fleeting", "is_identity", "is_lasting", "is_needed", "kind", "name")

    def __init__(
        self,
        name: str,
        kind: Kind[_T],
        *,
        is_needed: bool = False,
        is_lasting: bool = False,
        is_fleeting: bool = False,
        is_identity: bool = False,
    ) -> None:
        self.name: Final = name
        self.kind: Final = kind
        self.is_needed: Final = is_needed
        """A report waits until something was said on it, even if only null."""
        self.is_lasting: Final = is_lasting
        """Its last value is remembered when the charger has left."""
        self.is_fleeting: Final = is_fleeting
        """Of several values that were read together only the last counts."""
        self.is_identity: Final = is_identity
        """It identifies the charger, which stays valid while the charger is out of reach, and may
        come in a retained message: it is not a number, and not a sign of life.
        """

    def __repr__(self) -> str:
        return f"/{self.name}"


MAX_TRACKERS: Final = 16
"""More than any charger has (four); limits what a stray topic can make us keep."""


def _of_each_tracker(
    leaf: str, kind: Kind[_T], *, is_fleeting: bool = False, is_identity: bool = False
) -> tuple[Path[_T], ...]:
    """A row for each tracker, which is its index, counted from 0."""
    return tuple(
        Path(f"Pv/{index}/{leaf}", kind, is_fleeting=is_fleeting, is_identity=is_identity)
        for index in range(MAX_TRACKERS)
    )


# Wider than any device made, and narrow enough that a broken decoder is noticed.
_POWER: Final = Number("W", -1_000.0, 1_000_000.0)
_VOLTAGE: Final = Number("V", -100.0, 10_000.0)
_ENERGY: Final = Number("kWh", 0.0, 100_000_000.0)

CONNECTED: Final = Path("Connected", Flag())
CUSTOM_NAME: Final = Path("CustomName", Text(), is_lasting=True, is_identity=True)
NR_OF_TRACKERS: Final = Path("NrOfTrackers", Code(), is_identity=True)
PRODUCT_NAME: Final = Path("ProductName", Text(), is_needed=True, is_lasting=True, is_identity=True)
PV_VOLTAGE: Final = Path("Pv/V", _VOLTAGE, is_fleeting=True)
SERIAL: Final = Path("Serial", Text(), is_needed=True, is_identity=True)
STATE: Final = Path("State", Code())
YIELD_POWER: Final = Path("Yield/Power", _POWER, is_needed=True, is_fleeting=True)
YIELD_TOTAL: Final = Path("Yield/System", _ENERGY, is_needed=True, is_lasting=True)

TRACKER_ENABLED: Final = _of_each_tracker("Enabled", Flag(), is_identity=True)
TRACKER_NAME: Final = _of_each_tracker("Name", Text(), is_identity=True)
TRACKER_POWER: Final = _of_each_tracker("P", _POWER, is_fleeting=True)
TRACKER_VOLTAGE: Final = _of_each_tracker("V", _VOLTAGE, is_fleeting=True)

BATTERY_VOLTAGE: Final = Path("Dc/0/Voltage", _VOLTAGE, is_fleeting=True)
"""Only a sign of life: at night, when the PV values stand still, a charger still reports the
voltage of its battery.
"""

# --- the table ---------------------------------------------------------------------------------

Row = Path[Any]

_CHARGER: Final[tuple[Row, ...]] = (
    BATTERY_VOLTAGE,
    CONNECTED,
    CUSTOM_NAME,
    NR_OF_TRACKERS,
    PRODUCT_NAME,
    PV_VOLTAGE,
    SERIAL,
    STATE,
    YIELD_POWER,
    YIELD_TOTAL,
    *TRACKER_ENABLED,
    *TRACKER_NAME,
    *TRACKER_POWER,
    *TRACKER_VOLTAGE,
)

PATHS: Final[Mapping[str, Mapping[str, Row]]] = {
    service: {path.name: path for path in paths}
    for service, paths in {
        "solarcharger": _CHARGER,
        # These two can have PV trackers: they do if `NrOfTrackers` is above 0.
        "multi": _CHARGER,
        "inverter": _CHARGER,
    }.items()
}
"""The rows of each D-Bus service by the name of the path."""

SERVICES: Final = tuple(PATHS)
"""The D-Bus services that can be listened to."""
