"""The results as text: a table for each section, with ratios to the floor where there is one."""

from collections.abc import Mapping
from typing import Any

FLOOR = "paho no-op"


def render(report: Mapping[str, Any]) -> str:
    """All sections, one under the other."""
    return "\n".join(_section(name, numbers) for name, numbers in report.items())


def _section(name: str, numbers: Mapping[str, Any]) -> str:
    lines = [f"== {name}"]
    for case, found in numbers.items():
        if isinstance(found, Mapping):
            lines.append(f"{case:32}" + "".join(f"  {k} {_text(v)}" for k, v in found.items()))
        else:
            lines.append(f"{case:32}{_text(found):>12}{_ratio(case, found, numbers)}")
    return "\n".join(lines) + "\n"


def _text(number: object) -> str:
    return f"{number:.4g}" if isinstance(number, float) else str(number)


def _ratio(case: str, found: Any, numbers: Mapping[str, Any]) -> str:
    """Beside the floor of the same section: how many times as much."""
    consumer, _, rest = case.partition(", ")
    floor = numbers.get(f"{FLOOR}, {rest}" if rest else FLOOR)
    if not isinstance(floor, float) or not floor or consumer == FLOOR:
        return ""
    return f"   {found / floor:.3f} x {FLOOR}"
