"""Defines the presence of a charger on the bus, and what is kept of one that is lost.

`charger` decides when it changes.
"""

from enum import Enum, auto
from typing import NamedTuple


class Presence(Enum):
    """The states of a charger on the GX's bus."""

    ON_BUS = auto()
    UNCONFIRMED = auto()
    """It may be there, but was not heard since the last reconnect or silence of its GX, or ever."""
    LOST = auto()


class Change(Enum):
    """The reasons why a charger starts with no memory of the numbers said before in its place."""

    APPEARED = auto()
    """It was not there, or it was no longer certain that it was the same."""
    SWAPPED = auto()
    """Another unit has taken the instance over without the one before it leaving the bus."""
    RETURNED = auto()
    """It, or another in its place, is back after it was lost."""


class LastWords(NamedTuple):
    """The values that can still be reported for a charger that is gone."""

    serial: str
    name: str
    product_name: str
    yield_total_kwh: float
    heard_s: float
