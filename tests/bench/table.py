"""The results as text: each section with medians, extremes and ratios to the floors."""

from collections.abc import Mapping, Sequence
from typing import Any


def machine_text(machine: Mapping[str, str]) -> str:
    """Returns where it was measured."""
    return "\n".join(f"{name:28}{value}" for name, value in machine.items()) + "\n"


def section_text(name: str, section: Mapping[str, Any]) -> str:
    """One section: a block for each case, a line for each column."""
    repeated = f"{section.get('repetitions', 0)} repetitions, {section['took_s']:.0f} s"
    lines = [f"== {name} ({repeated})"]
    lines += [f"   {about}: {text}" for about, text in section.get("notes", {}).items()]
    for case, found in section.get("cases", {}).items():
        lines += _case_lines(case, found)
    if "failed" in section:
        lines.append(f"FAILED: {section['failed']}")
    return "\n".join(lines) + "\n"


def targets_text(targets: Sequence[Mapping[str, Any]]) -> str:
    """A line for each target."""
    lines = ["== targets"]
    for target in targets:
        met = "met" if target["met"] else "NOT MET"
        lines.append(f"{target['what']:64}{number(target['value']):>10}  {target['limit']:14}{met}")
    return "\n".join(lines) + "\n"


def number(value: float) -> str:
    """Three digits that count, and all before the point."""
    if abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _case_lines(case: str, found: Mapping[str, Any]) -> list[str]:
    columns, ratios = found["columns"], found["ratios"]
    if list(columns) == ["value"]:
        return [f"{case:64}{_spread(columns['value'])}"]
    lines = [case]
    for name, summary in columns.items():
        ratio = f"   relay x {number(ratios[name])}" if name in ratios else ""
        lines.append(f"    {name:36}{_spread(summary)}{ratio}")
    return lines


def _spread(summary: Mapping[str, Any]) -> str:
    middle = f"{number(summary['median']):>10}"
    if len(summary["runs"]) < 2:
        return middle
    return f"{middle}  ({number(summary['min'])} - {number(summary['max'])})"
