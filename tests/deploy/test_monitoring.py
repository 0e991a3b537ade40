"""Alerts and dashboard ask only for what the service counts, and every alert can be looked up."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from cds_service.feedback.events import EVENTS
from cds_service.telemetry.metrics import Metrics
from tests.web.fakes import make_app

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "deploy/prometheus/legcramp.rules.yaml"
DASHBOARD = json.loads((ROOT / "deploy/grafana/legcramp.json").read_text())
ALERTS = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
OF_PROMETHEUS = {"up": {"job"}}


METRICS: list[Any] = list(Metrics("1", "1", "1").registry._collector_to_names)


def exposed() -> dict[str, set[str]]:
    """Every series that the service can show, with the labels of each."""
    found: dict[str, set[str]] = dict(OF_PROMETHEUS)
    for metric in METRICS:
        name, labels = metric._name, set(metric._labelnames)
        match metric._type:
            case "counter":
                found[f"{name}_total"] = labels
            case "histogram":
                found |= {f"{name}_count": labels, f"{name}_sum": labels, f"{name}_bucket": labels | {"le"}}
            case _:
                found[name] = labels
    return found


def expressions() -> Iterator[str]:
    yield from (rule["expr"] for rule in ALERTS)
    for panel in DASHBOARD["panels"]:
        yield from (target["expr"] for target in panel["targets"])


EXPRESSIONS = list(expressions())


def series(expression: str) -> dict[str, set[str]]:
    """The series an expression names, each with the labels that it is asked by."""
    found: dict[str, set[str]] = {}
    for name, matchers in re.findall(r"\b(legcramp_\w+|up)\b(?:\{([^}]*)\})?", expression):
        found.setdefault(name, set()).update(re.findall(r"(\w+)\s*[=!]", matchers))
    return found


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_what_is_asked_for_exists(expression: str) -> None:
    known = exposed()
    asked = series(expression)
    assert asked, "an expression about nothing"
    for name, labels in asked.items():
        assert name in known
        assert labels <= known[name], name
    grouped = {label.strip() for inside in re.findall(r"by \(([^)]*)\)", expression) for label in inside.split(",")}
    assert grouped <= set.union(*(known[name] for name in asked))


def test_everything_that_is_counted_is_on_the_dashboard() -> None:
    shown = " ".join(EXPRESSIONS)
    assert {one._name for one in METRICS if one._name not in shown} == set()


def test_values_in_expressions_can_occur() -> None:
    """A misspelt event would be silence."""
    events = {one for text in re.findall(r'event=~?"([^"]*)"', " ".join(EXPRESSIONS)) for one in text.split("|")}
    assert events
    assert events <= set(EVENTS)
    endpoints = set(re.findall(r'endpoint="([^"]*)"', " ".join(EXPRESSIONS)))
    assert endpoints <= {rule.endpoint for rule in make_app().url_map.iter_rules()}


def test_the_runbook_tells_of_every_alert_and_of_no_other() -> None:
    rows = re.findall(r"^\| `(Legcramp\w+)` \|(.*)\|(.*)\|$", (ROOT / "docs/runbook.md").read_text(), re.M)
    assert [name for name, _, _ in rows] == [rule["alert"] for rule in ALERTS]
    assert all(meaning.strip() and deed.strip() for _, meaning, deed in rows)


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_an_alert_says_how_bad_and_what(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert rule["annotations"]["summary"]


def test_panels_neither_overlap_nor_share_a_number() -> None:
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in DASHBOARD["panels"]}
    assert len(places) == len(DASHBOARD["panels"]) == len({panel["id"] for panel in DASHBOARD["panels"]})


def test_prometheus_reads_the_rules() -> None:
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed; Debian's package prometheus has it")
    for command in (["rules", str(RULES)], ["config", "--syntax-only", str(RULES.with_name("scrape.example.yaml"))]):
        checked = subprocess.run(["promtool", "check", *command], capture_output=True, check=False)
        assert checked.returncode == 0, checked.stderr.decode()
