"""Tests that docs/monitoring uses the names that the relay has: metrics, labels, alerts, files."""

import re
from itertools import combinations, pairwise

import pytest

from mqtt_http_bridge.core.status.metrics import METRICS, PREFIX
from tests.monitoring.prometheus import (
    DIRECTORY,
    JOB,
    UP,
    Expression,
    labels_of,
    load,
    rules,
    scraped,
    targets,
    told,
)
from tests.monitoring.views import day, night, with_everything
from tests.support.virtual import moment

README = (DIRECTORY / "README.md").read_text(encoding="utf-8")
LABELS = labels_of(with_everything(moment(0.0), moment(10_000.0)))
DASHBOARD = load("dashboard.json")
QUERIES = [
    *((expression, re.findall(r"\{\{(\w+)\}\}", legend)) for expression, legend in targets()),
    *((rule["expr"], re.findall(r"\$labels\.(\w+)", told(rule))) for rule in rules()),
    *(
        (note["expr"], re.findall(r"\{\{(\w+)\}\}", note["titleFormat"]))
        for note in DASHBOARD["annotations"]["list"]
    ),
]
VARIABLES = [v["definition"] for v in DASHBOARD["templating"]["list"] if v["type"] == "query"]


def test_each_metric_is_rendered() -> None:
    """Nothing is missing in what the others here compare with."""
    assert {name for name in LABELS if name != UP} == {PREFIX + name for name in METRICS}


@pytest.mark.parametrize(("expression", "used"), QUERIES)
def test_every_metric_and_label_exists(expression: str, used: list[str]) -> None:
    """In the condition, in what is grouped by, and in the words beside it."""
    found = Expression(expression)
    assert found.metrics
    assert set(found.metrics) <= set(LABELS)
    for name, labels in found.matched:
        assert labels - {""} <= LABELS[name], name
    for label in found.grouped:
        assert any(label in LABELS[name] for name in found.metrics), label
    assert set(used) <= found.labels_left(LABELS)


@pytest.mark.parametrize("definition", VARIABLES)
def test_every_variable_exists(definition: str) -> None:
    """The dashboard lets its reader choose from what is there."""
    matched = re.fullmatch(r"label_values\((.*), (\w+)\)", definition)
    assert matched is not None
    found = Expression(matched[1])
    assert matched[2] in LABELS[found.metrics[0]]
    for name, labels in found.matched:
        assert labels <= LABELS[name]


def test_names_are_found() -> None:
    """The search does find what it is for."""
    text = 'sum by (a) (rate(b_total{c=~"d e"}[5m])) / on (f) group_left (g) h > 2 * 3 and max(i)'
    found = Expression(text)
    assert found.metrics == ["b_total", "h", "i"]
    assert found.matched == [("b_total", {"c"})]
    assert found.grouped == {"a", "f", "g"}
    assert found.labels_left({}) == {"a"}
    assert Expression("count(a)").labels_left({}) == set()
    assert Expression("a * on (b) group_left (c) d").labels_left({"a": {"x"}}) == {"x", "b", "c"}


def test_the_page_names_what_there_is() -> None:
    """Metrics, files, and every alert in the order of the rules."""
    for name in re.findall(rf"{PREFIX}\w+", README):
        assert name in LABELS
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (DIRECTORY / target).exists(), target
    assert re.findall(r"^\| `(MqttHttpBridge\w+)` \|", README, re.MULTILINE) == [
        rule["alert"] for rule in rules()
    ]


def test_the_files_belong_together() -> None:
    """The alerts go by the job of the scrape config, and labels of ours give way to Prometheus'."""
    config = load("prometheus.yaml")
    (scrape,) = config["scrape_configs"]
    assert scrape["job_name"] == JOB
    assert "honor_labels" not in scrape
    assert all((DIRECTORY / name).is_file() for name in config["rule_files"])
    named = [re.findall(r'job="([^"]*)"', rule["expr"]) for rule in rules()]
    assert [JOB] in named
    assert all(jobs in ([], [JOB]) for jobs in named)


def test_the_alerts_do_not_see_that_it_is_night() -> None:
    """The metrics that they look at are there at night, and say the same as by day."""
    started, dusk, now = moment(0.0), moment(10_000.0), moment(50_000.0)
    names = {name for rule in rules() for name in Expression(rule["expr"]).metrics} - {UP}
    by_day, by_night = (
        {series: value for series, value in scraped(view).items() if series[0] in names}
        for view in (day(started, now), night(started, now, dusk))
    )
    assert {name for name, _ in by_day} == names
    assert by_day == by_night
    assert f"{PREFIX}charger_power_watts" not in labels_of(night(started, now, dusk))


def test_the_dashboard_holds_together() -> None:
    """Its panels do not lie on each other, and go by the data source that its reader chooses."""
    panels = DASHBOARD["panels"]
    assert [panel["id"] for panel in panels] == list(range(1, len(panels) + 1))
    places = [panel["gridPos"] for panel in panels]
    assert all(place["x"] >= 0 and place["x"] + place["w"] <= 24 for place in places)
    for one, two in combinations(places, 2):
        assert any(
            a[at] + a[size] <= b[at]
            for at, size in (("x", "w"), ("y", "h"))
            for a, b in ((one, two), (two, one))
        )
    for panel in panels:
        for each in (panel, *panel["targets"]):
            assert each["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        marks = [target["refId"] for target in panel["targets"]]
        assert marks
        assert all(one < two for one, two in pairwise(marks))
