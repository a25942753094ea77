"""Writes a report as the tables of docs/costs.md."""

from collections.abc import Iterator, Mapping
from typing import Any

from tests.bench.results import FLOORS, MOSQUITTO, PAHO, RELAY
from tests.bench.table import number

Cell = tuple[str, str, Mapping[str, Any]]
"""A section, a case of it, and what was found."""


def markdown(report: Mapping[str, Any]) -> str:
    """The machine, what has floors, what has none, and the targets."""
    cells = list(_cells(report))
    return "\n".join(
        [
            "; ".join(f"{name} {value}" for name, value in report["machine"].items()),
            "",
            *(["A quick run: rough, and of less.", ""] if report.get("quick") else []),
            *_failures(report),
            f"| | {RELAY} | {PAHO} | {MOSQUITTO} | relay / {PAHO} | relay / {MOSQUITTO} |",
            "|---|---|---|---|---|---|",
            *(_compared_row(cell) for cell in cells if _has_floor(cell)),
            "",
            "| | |",
            "|---|---|",
            *(row for cell in cells for row in _other_rows(cell)),
            "",
            "| target | found | limit | |",
            "|---|---|---|---|",
            *(_target_row(target) for target in report.get("targets", [])),
            "",
        ]
    )


def _failures(report: Mapping[str, Any]) -> list[str]:
    found = report["sections"].items()
    return [f"**{name} failed: {s['failed']}**\n" for name, s in found if "failed" in s]


def _cells(report: Mapping[str, Any]) -> Iterator[Cell]:
    for section, found in report["sections"].items():
        for case, cell in found.get("cases", {}).items():
            yield section, case, cell


def _has_floor(cell: Cell) -> bool:
    columns = cell[2]["columns"]
    return RELAY in columns and any(floor in columns for floor in FLOORS)


def _compared_row(cell: Cell) -> str:
    section, case, found = cell
    columns, ratios = found["columns"], found["ratios"]
    medians = [_median(columns, name) for name in (RELAY, *FLOORS)]
    times = [number(ratios[floor]) if floor in ratios else "" for floor in FLOORS]
    return _row(f"{section}: {case}", *medians, *times)


def _other_rows(cell: Cell) -> list[str]:
    """Returns what stands in no column of the table with floors."""
    section, case, found = cell
    columns = found["columns"]
    hidden = (RELAY, *FLOORS) if _has_floor(cell) else ()
    return [
        _row(
            f"{section}: {case}" + ("" if name in ("value", RELAY) else f", {name}"), _spread(each)
        )
        for name, each in columns.items()
        if name not in hidden
    ]


def _target_row(target: Mapping[str, Any]) -> str:
    met = "met" if target["met"] else "not met"
    return _row(target["what"], number(target["value"]), target["limit"], met)


def _median(columns: Mapping[str, Any], name: str) -> str:
    return number(columns[name]["median"]) if name in columns else ""


def _spread(summary: Mapping[str, Any]) -> str:
    middle = number(summary["median"])
    if len(summary["runs"]) < 2:
        return middle
    return f"{middle} ({number(summary['min'])} - {number(summary['max'])})"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
