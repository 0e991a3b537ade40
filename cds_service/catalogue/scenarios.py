"""A rule's own scenarios in words: who, what is on record, what must come."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cds_service.catalogue.model import ScenarioView
from cds_service.catalogue.phrasing import listed

_LISTS = {
    "on": "takes",
    "drafting": "drafts",
    "selecting": "selects",
    "results": "results",
    "conditions": "conditions",
    "procedures": "procedures",
    "allergies": "allergies",
    "orders": "ordered",
    "without": "without",
    "not_supplied": "not supplied",
}
_NAMES = ("drug", "product", "analyte", "loinc", "code", "set", "words")
_EXPECTATIONS = ("expect", "band", "indicator", "points", "offers", "not_offers", "summary_contains")


def scenario(told: Mapping[str, Any]) -> ScenarioView:
    """One scenario as written, in words."""
    return ScenarioView(str(told["name"]), tuple(_case(told)), tuple(_expected(told)))


def _case(told: Mapping[str, Any]) -> list[str]:
    words = []
    if "hook" in told:
        words.append(f"at {told['hook']}")
    if "today" in told:
        words.append(f"on {told['today']}")
    if "patient" in told:
        words.append("patient: " + _pairs(told["patient"]))
    if told.get("symptoms"):
        words.append("leg cramps on record")
    for key, heading in _LISTS.items():
        if key in told:
            words.append(f"{heading}: {'; '.join(_item(one) for one in told[key])}")
    if told.get("default"):
        words.append("all other results fresh and normal")
    if "settings" in told:
        words.append("settings: " + _pairs(told["settings"]))
    if "note" in told:
        words.append(str(told["note"]))
    known = {*_LISTS, *_EXPECTATIONS, "hook", "today", "patient", "default", "symptoms", "settings", "note", "name"}
    words += [f"{key.replace('_', ' ')}: {_value(value)}" for key, value in told.items() if key not in known]
    return words


def _expected(told: Mapping[str, Any]) -> list[str]:
    words = [str(told["expect"])] if isinstance(told["expect"], str) else [_value(told["expect"])]
    if "band" in told:
        words.append(f"band {told['band']}")
    if "indicator" in told:
        words.append(str(told["indicator"]))
    if "points" in told:
        words.append("1 point" if told["points"] == 1 else f"{told['points']} points")
    if "offers" in told:
        words.append(f"offers {listed(map(str, told['offers']), 'and')}")
    if "not_offers" in told:
        words.append(f"does not offer {listed(map(str, told['not_offers']))}")
    if "summary_contains" in told:
        texts = told["summary_contains"]
        words.append("says " + listed((f"“{text}”" for text in ([texts] if isinstance(texts, str) else texts)), "and"))
    return words


def _item(one: Any) -> str:
    if not isinstance(one, Mapping):
        return str(one)
    name = next((str(one[key]) for key in _NAMES if key in one), "")
    rest = {key: value for key, value in one.items() if key not in _NAMES or str(value) != name}
    if "value" in rest:
        unit = rest.pop("unit", "") or "without a unit"
        name = f"{name} {rest.pop('value')} {unit}"
    return f"{name} ({_pairs(rest)})" if rest else name


def _pairs(told: Mapping[str, Any]) -> str:
    return ", ".join(f"{key.replace('_', ' ')} {_value(value)}" for key, value in told.items())


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return _pairs(value)
    if isinstance(value, list):
        return listed(map(_value, value), "and")
    if value is None:
        return "not given"
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
