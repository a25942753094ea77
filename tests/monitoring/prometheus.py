"""Reads /metrics as Prometheus does, and finds the names in the expressions of docs/monitoring."""

import json
import re
from collections.abc import Iterator
from typing import Any

import yaml
from prometheus_client.parser import text_string_to_metric_families

from mqtt_http_bridge.core.status.metrics import render
from mqtt_http_bridge.core.views import StatusView
from tests.support.places import ROOT

DIRECTORY = ROOT / "docs/monitoring"
JOB = "mqtt-http-bridge"
RELAY = "192.168.1.20:8480"
TARGET = {"job": JOB, "instance": RELAY}
"""The labels that Prometheus adds."""
UP = "up"
"""The one metric that Prometheus makes itself."""

Series = tuple[str, tuple[tuple[str, str], ...]]
AGGREGATED = re.compile(r"(?:sum|count|min|max|avg)\s*(?:by\s*\(([^)]*)\))?\s*\(")
MATCHED = re.compile(r"([a-zA-Z_:][\w:]*)\s*\{([^}]*)\}")
LABELS = re.compile(r"\b(?:by|on|without|ignoring|group_left|group_right)\s*\(([^)]*)\)")
OPERATORS = {"and", "or", "unless", "bool", "offset"}


def scraped(status: StatusView) -> dict[Series, float]:
    """The series that Prometheus keeps of one look; where it has a label itself, ours gives way."""
    found: dict[Series, float] = {}
    for family in text_string_to_metric_families(render(status)):
        for sample in family.samples:
            own = {f"exported_{k}" if k in TARGET else k: v for k, v in sample.labels.items()}
            found[sample.name, tuple(sorted((TARGET | own).items()))] = sample.value
    return found


def labels_of(status: StatusView) -> dict[str, set[str]]:
    """The labels of each metric."""
    found: dict[str, set[str]] = {UP: set(TARGET)}
    for name, labels in scraped(status):
        found.setdefault(name, set()).update(dict(labels))
    return found


def words(text: str) -> set[str]:
    """The names in a list of them."""
    return set(re.findall(r"\w+", text))


class Expression:
    """The names in one expression of PromQL, as far as we use it."""

    def __init__(self, text: str) -> None:
        bare = re.sub(r'"[^"]*"|\[[^\]]*\]', "", text)
        self.matched = [(name, words(inner)) for name, inner in MATCHED.findall(bare)]
        """The metrics with a condition in braces, and the labels in there."""
        self.grouped = {word for inner in LABELS.findall(bare) for word in words(inner)}
        """The labels that are grouped or joined by."""
        bare = LABELS.sub(" ", bare)
        found = re.findall(r"(?<![\w.])([a-zA-Z_:][\w:]*)(?!\w)(?!\s*\()", MATCHED.sub(r"\1", bare))
        self.metrics = [name for name in found if name not in OPERATORS]
        self._text = text

    def labels_left(self, labels: dict[str, set[str]]) -> set[str]:
        """The labels of the result."""
        if aggregated := AGGREGATED.match(self._text):
            return words(aggregated[1] or "")
        return labels[self.metrics[0]] | self.grouped


def load(name: str) -> Any:
    """A file of docs/monitoring."""
    text = (DIRECTORY / name).read_text(encoding="utf-8")
    return json.loads(text) if name.endswith(".json") else yaml.safe_load(text)


def rules() -> list[dict[str, Any]]:
    """All alerts."""
    return [rule for group in load("alerts.yaml")["groups"] for rule in group["rules"]]


def targets() -> Iterator[tuple[str, str]]:
    """Every expression of the dashboard with what it is called there."""
    for panel in load("dashboard.json")["panels"]:
        for target in panel["targets"]:
            yield target["expr"], target["legendFormat"]


def told(rule: dict[str, Any]) -> str:
    """Returns what an alert says to people."""
    return " ".join(rule["annotations"].values())
