"""A rule in words: its trigger, bands, exceptions, offers with their gates, and evidence."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.padding import Padding
from rich.text import Text

from cds_service.engine.model import Gate, Rule
from cds_service.ruleset import Ruleset

_GROUPS = {"all": "all of:", "any": "any of:", "not": "not:"}
_COMPARISONS = {"below": "below", "at_most": "at most", "at_least": "at least", "above": "above"}
_ASIDE = ("as", "because", "cites")

Line = Text | Padding


def explain(rule: Rule, ruleset: Ruleset) -> Iterator[Line]:
    """The rule line by line."""
    titles = _names(ruleset)
    data = rule.data
    yield Text(f"{rule.number}  {rule.title}", style="bold")
    yield Text(f"{rule.id} {rule.version}, {rule.status}; on {', '.join(sorted(rule.hooks))}; {rule.file}", style="dim")
    yield from _part("Fires when", _criterion(data["when"], titles, 1))
    if "unless" in data:
        yield from _part("Unless", (line for one in data["unless"] for line in _unless(one, titles)))
    yield from _part("Shown as", _bands(rule, titles))
    if rule.window is not None:
        tests = ", tests only" if rule.window.tests_only else ""
        yield from _part("Age", [_line(f"full strength for {data['window']['full']}, then one level lower{tests}", 1)])
    if rule.card.why:
        yield from _part("Why", [_line(rule.card.why, 1)])
    offers = list(data.get("suggestions", ()))
    yield from _part("Offers", (line for one in offers for line in _offer(one, titles)))
    for one in offers:
        if "gate" in one:
            yield from _part(f"Gate {one['gate']}", _gate(ruleset.knowledge.gates[one["gate"]], ruleset, titles))
    if rule.card.follow_up:
        yield from _part("Follow-up", [_line(rule.card.follow_up, 1)])
    if rule.card.red_flags:
        yield from _part("Red flags", [_line(rule.card.red_flags, 1)])
    reasons = ruleset.knowledge.override_reasons
    yield from _part("May be dismissed as", [_line(reasons.get(code, code), 1) for code in rule.override_reasons])
    yield from _part("Evidence", _evidence(rule, ruleset))
    yield from _part("Own scenarios", [_line(str(one["name"]), 1) for one in data.get("scenarios", ())])


def _names(ruleset: Ruleset) -> dict[str, str]:
    """What value sets, analytes and derived facts are called. An analyte outranks the list of its codes."""
    facts = {
        f"fact {data['fact']}": f"{data['fact']} ({data['title']})" if "title" in data else str(data["fact"])
        for name, data in ruleset.knowledge.sources.items()
        if name.startswith("facts/") and "fact" in data
    }
    return {**ruleset.terminology.titles, **ruleset.analyte_names, **facts}


def _part(heading: str, lines: Any) -> Iterator[Line]:
    shown = list(lines)
    if shown:
        yield Text(f"\n{heading}", style="bold")
        yield from shown


def _line(text: str, depth: int) -> Line:
    return Padding(Text(text), (0, 0, 0, 2 * depth))


def _criterion(node: Any, titles: dict[str, str], depth: int) -> Iterator[Line]:
    aside = _aside(node)
    for key, heading in _GROUPS.items():
        if key in node:
            yield _line(heading + aside, depth)
            for one in node[key] if isinstance(node[key], list) else [node[key]]:
                yield from _criterion(one, titles, depth + 1)
            return
    if "at_least" in node and isinstance(node["at_least"], dict):
        yield _line(f"at least {node['at_least']['count']} of:{aside}", depth)
        for one in node["at_least"]["of"]:
            yield from _criterion(one, titles, depth + 1)
        return
    name, told = next((key, value) for key, value in node.items() if key not in _ASIDE)
    yield _line(_simple(name, told, titles) + aside, depth)


def _aside(node: dict[str, Any]) -> str:
    told = []
    if node.get("reads") == "cautious":
        told.append("possible ones count")
    if node.get("when_not_supplied") == "no":
        told.append("no if not supplied")
    if "because" in node:
        told.append(str(node["because"]))
    return f" ({'; '.join(told)})" if told else ""


def _simple(name: str, told: Any, titles: dict[str, str]) -> str:
    """One criterion in words: its kind, what it is about, and its particulars as they are written."""
    if name == "fact":
        return f"fact {titles.get(f'fact {told}', told)}"
    if not isinstance(told, dict):
        return f"{name.replace('_', ' ')} {_titled(told, titles)}"
    about = _titled(told.get("in", ""), titles)
    rest = [
        f"{_COMPARISONS.get(key, key.replace('_', ' '))} {_titled(value, titles)}"
        for key, value in told.items()
        if key not in ("in", "of")
    ]
    head = f"{name.replace('_', ' ')}: {about}" if about else f"{name.replace('_', ' ')}:"
    return ", ".join([head, *rest]) if about else f"{head} {', '.join(rest)}"


def _titled(value: Any, titles: dict[str, str]) -> str:
    if isinstance(value, list):
        return " or ".join(_titled(one, titles) for one in value)
    if isinstance(value, dict):
        return ", ".join(f"{key.replace('_', ' ')} {_titled(one, titles)}" for key, one in value.items())
    return titles.get(str(value), str(value))


def _unless(node: dict[str, Any], titles: dict[str, str]) -> Iterator[Line]:
    yield from _criterion(node, titles, 1)


def _bands(rule: Rule, titles: dict[str, str]) -> Iterator[Line]:
    nodes = rule.data.get("bands")
    if not nodes:
        yield _line(f"{rule.bands[0].indicator}{_points(rule.bands[0].points)}", 1)
        return
    for node, band in zip(nodes, rule.bands, strict=True):
        yield _line(f"{band.indicator}{_points(band.points)}: {band.id}", 1)
        if "if" in node:
            yield from _criterion(node["if"], titles, 2)


def _points(points: int) -> str:
    return f", {points} point{'s' if points != 1 else ''}" if points else ""


def _offer(node: dict[str, Any], titles: dict[str, str]) -> Iterator[Line]:
    kind = next(key for key in ("order", "gate", "review", "delete", "advice", "handout") if key in node)
    words = {
        "order": f"order {node.get('order')}, {node.get('priority', 'routine')}",
        "gate": f"{node.get('gate')}, only if its gate allows",
        "review": f"review of {node.get('review')}: {node.get('question', '')}",
        "delete": f"deleting the draft of {node.get('delete')}",
        "advice": f"advice: {node.get('advice')}",
        "handout": "the patient handout",
    }
    later = f" (not if ordered within {node['unless_ordered_within']})" if "unless_ordered_within" in node else ""
    yield _line(words[kind] + later + (", if" if "if" in node else ""), 1)
    if "if" in node:
        yield from _criterion(node["if"], titles, 2)


def _gate(gate: Gate, ruleset: Ruleset, titles: dict[str, str]) -> Iterator[Line]:
    data = ruleset.knowledge.sources.get(f"gates/{gate.id}.yaml", {})
    yield _line(f"{gate.title}: the first row that is not a known no decides", 1)
    for node, row in zip(data.get("rows", ()), gate.rows, strict=False):
        verdict = f"forbid: {row.forbid}" if row.allow is None else f"allow {_titled(row.allow, {})}"
        yield _line(f"{row.id}  {verdict}", 1)
        if "if" in node:
            yield from _criterion(node["if"], titles, 3)


def _evidence(rule: Rule, ruleset: Ruleset) -> Iterator[Line]:
    for one in rule.evidence:
        reference = ruleset.knowledge.references.get(one.cites)
        yield _line(f"{one.claim} ({one.strength}; {reference.citation if reference else one.cites})", 1)
