"""Holds the results of measurements: by case and by column, every run of it."""

from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any, TypeVar

RELAY = "relay"
BEFORE = "the other checkout"
PAHO = "paho"
MOSQUITTO = "mosquitto_sub"
FLOORS = (PAHO, MOSQUITTO)

T = TypeVar("T")


class Results:
    """The numbers of one section. A case names its unit; a column is a consumer, as a rule."""

    def __init__(self, notes: Mapping[str, str] | None = None) -> None:
        self._notes = dict(notes or {})
        self._runs: dict[str, dict[str, list[float]]] = {}

    def note(self, name: str, text: str) -> None:
        """Returns what is to be known of the numbers."""
        self._notes[name] = text

    def add(self, case: str, column: str, value: float) -> None:
        """One more run. Those of one round have to be added in the same order of rounds."""
        self._runs.setdefault(case, {}).setdefault(column, []).append(value)

    def as_json(self) -> dict[str, Any]:
        """Medians, extremes and runs, and the ratios of the relay to its floors."""
        every = [len(runs) for columns in self._runs.values() for runs in columns.values()]
        return {
            "repetitions": max(every, default=0),
            "notes": self._notes,
            "cases": {case: _case(columns) for case, columns in self._runs.items()},
        }


def _case(columns: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    return {
        "columns": {name: _summary(runs) for name, runs in columns.items()},
        "ratios": {
            name: ratio
            for name, runs in columns.items()
            if name != RELAY
            and RELAY in columns
            and (ratio := paired_ratio(columns[RELAY], runs)) is not None
        },
    }


def _summary(runs: Sequence[float]) -> dict[str, Any]:
    return {"median": median(runs), "min": min(runs), "max": max(runs), "runs": list(runs)}


def paired_ratio(above: Sequence[float], below: Sequence[float]) -> float | None:
    """The median of the ratios of each round; None if there is none."""
    ratios = [a / b for a, b in zip(above, below, strict=False) if b]
    return median(ratios) if ratios else None


def rounds(items: Sequence[T], repetitions: int) -> Iterator[list[T]]:
    """All items, so many times, each time starting with another one."""
    for number in range(repetitions):
        first = number % len(items)
        yield [*items[first:], *items[:first]]
