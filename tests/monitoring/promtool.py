"""Runs Prometheus' own tool to evaluate the alerts, on the series that the relay writes."""

import re
import subprocess
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from mqtt_http_bridge.core.views import StatusView
from tests.monitoring.prometheus import DIRECTORY, TARGET, UP, Series, rules, scraped

STEP_S = 30
"""Between two looks of Prometheus."""
Story = Callable[[float], StatusView | None]
"""The state of the service at a time in seconds; None: it does not answer."""


def series(story: Story, minutes: int) -> list[dict[str, str]]:
    """Returns what Prometheus keeps of a story; a series that ends is marked, as it does it."""
    up: Series = (UP, tuple(TARGET.items()))
    count = minutes * 60 // STEP_S + 1
    values: dict[Series, list[str]] = {}
    for step in range(count):
        status = story(float(step * STEP_S))
        found = {up: float(status is not None)}
        found |= scraped(status) if status is not None else {}
        for key in values.keys() - found.keys():
            values[key].append("_" if values[key][-1] in ("_", "stale") else "stale")
        for key, value in found.items():
            values.setdefault(key, ["_"] * step).append(repr(value))
    return [
        {"series": f"{name}{selector(dict(labels))}", "values": " ".join(found)}
        for (name, labels), found in values.items()
    ]


def selector(labels: Mapping[str, str]) -> str:
    """Labels as PromQL writes them."""
    return "{" + ",".join(f'{name}="{value}"' for name, value in labels.items()) + "}"


def fired(alert: str, minute: int, *portal_ids: str) -> dict[str, Any]:
    """Asks for an alert at a minute: it fires, in its words, for the given ones and no other."""
    (rule,) = (rule for rule in rules() if rule["alert"] == alert)
    return {
        "eval_time": f"{minute}m",
        "alertname": alert,
        "exp_alerts": [_alert(rule, portal_id) for portal_id in portal_ids],
    }


def _alert(rule: dict[str, Any], portal_id: str) -> dict[str, Any]:
    labels = TARGET | ({"portal_id": portal_id} if portal_id else {})
    said = {
        key: re.sub(r"\{\{ \$labels\.(\w+) \}\}", lambda found: labels[found[1]], text)
        for key, text in rule["annotations"].items()
    }
    return {"exp_labels": labels | rule["labels"], "exp_annotations": said}


def asked(expression: str, minute: int, *expected: str) -> dict[str, Any]:
    """Asks for the value of an expression, which is to be 1 with each of the labels `expected`."""
    return {
        "expr": expression,
        "eval_time": f"{minute}m",
        "exp_samples": [{"labels": labels, "value": 1} for labels in expected],
    }


def check(
    directory: Path,
    story: Story,
    minutes: int,
    alerts: Iterable[dict[str, Any]] = (),
    expressions: Iterable[dict[str, Any]] = (),
) -> None:
    """Runs `promtool test rules` with the alerts of docs/monitoring. Or AssertionError."""
    document = {
        "rule_files": [str(DIRECTORY / "alerts.yaml")],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": f"{STEP_S}s",
                "input_series": series(story, minutes),
                "alert_rule_test": list(alerts),
                "promql_expr_test": list(expressions),
            }
        ],
    }
    path = directory / "test.yaml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    promtool("test", "rules", str(path))


def promtool(*arguments: str) -> None:
    """Runs it; it starts no server. Or AssertionError with what it says."""
    done = subprocess.run(
        ["promtool", *arguments], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
