"""Alert rules and dashboard: their metrics are those of the operating guide."""

import json
import re
from typing import Any

import pytest
import yaml

from tests.optional_programs import ROOT
from tests.test_docs import OPERATING

MONITORING = ROOT / "deploy" / "monitoring"
(GROUP,) = yaml.safe_load((MONITORING / "alerts.yaml").read_text())["groups"]
RULES: list[dict[str, Any]] = GROUP["rules"]
DASHBOARD = json.loads((MONITORING / "dashboard.json").read_text())
EXPRESSIONS = [rule["expr"] for rule in RULES] + [
    target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]
]
OF_PROMETHEUS = {"up", "process_cpu_seconds_total"}
FUNCTIONS = {
    *("sum", "min", "max", "by", "rate", "increase", "absent", "or", "histogram_quantile"),
    *("min_over_time", "le", "unless", "offset"),
}


def documented() -> dict[str, set[str]]:
    """Return the labels of each metric that the operating guide lists."""
    found: dict[str, set[str]] = {}
    for name, labels in re.findall(r"`(nivisco_\w+)(?:\{([\w,]+)\})?`", OPERATING.read_text()):
        found.setdefault(name, {"job", "instance"}).update(filter(None, labels.split(",")))
    return found


def parts(expression: str) -> tuple[set[str], set[str]]:
    """Return the metrics and the labels of an expression, which has no other names."""
    labels = set(re.findall(r"(\w+)=~?\"", expression))
    for group in re.findall(r"by \(([\w, ]+)\)", expression):
        labels |= set(re.split(r", *", group))
    without_strings = re.sub(r"\"[^\"]*\"|\[[^]]*\]", "", expression)
    names = set(re.findall(r"\b[a-z_]+\b", without_strings))
    return names - labels - FUNCTIONS, labels - {"le"}


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_a_metric_and_its_labels_are_in_the_operating_guide(expression: str) -> None:
    metrics, labels = parts(expression)
    known = documented()
    assert metrics
    of_metrics: set[str] = set()
    for metric in metrics - OF_PROMETHEUS:
        base = re.sub(r"_(bucket|count|sum)$", "", metric)
        assert metric in known or base in known, metric
        of_metrics |= known.get(metric) or known[base]
    assert labels <= of_metrics | {"job", "instance"}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_a_rule_says_what_is_wrong_and_how_urgent_it_is(rule: dict[str, Any]) -> None:
    assert re.fullmatch(r"Nivisco[A-Z]\w+", rule["alert"])
    assert rule.keys() <= {"alert", "expr", "for", "labels", "annotations"}
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert rule["annotations"].keys() == {"summary", "description"}
    assert re.fullmatch(r"\d+[smh]", rule.get("for", "0s"))
    assert rule["expr"].count("(") == rule["expr"].count(")")


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_a_rule_of_single_events_also_counts_the_one_that_a_series_begins_with(
    rule: dict[str, Any],
) -> None:
    for series, window in re.findall(r"increase\((\S+)\[(\w+)\]\)", rule["expr"]):
        assert f"sum({series} unless {series} offset {window}) > 0" in rule["expr"]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_a_rule_names_labels_that_its_expression_keeps(rule: dict[str, Any]) -> None:
    named = re.findall(r"\$labels\.\w+", str(rule["annotations"]))
    # `absent` of a comparison has none: only of a plain selector are they known.
    assert not (named and "absent(" in rule["expr"])


def test_a_stop_that_nobody_ended_is_a_ticket_after_a_day() -> None:
    (rule,) = [each for each in RULES if "nivisco_stops" in each["expr"]]
    assert (rule["for"], rule["labels"]) == ("24h", {"severity": "ticket"})
    assert any("nivisco_stops" in expression for expression in EXPRESSIONS[len(RULES) :])


def test_the_jobs_are_those_that_the_rules_watch() -> None:
    prometheus = yaml.safe_load((MONITORING / "prometheus.yaml").read_text())
    jobs = {each["job_name"] for each in prometheus["scrape_configs"]}
    assert jobs == {"nivisco-core", "nivisco-adapter", "nivisco-scheduler"}


def test_the_panels_of_the_dashboard_do_not_overlap() -> None:
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    corners = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}
    assert len(corners) == len(panels)
    assert all(panel["title"] and panel["fieldConfig"]["defaults"]["unit"] for panel in panels)
