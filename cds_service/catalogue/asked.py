"""What a rule or gate asks, gathered from its description: criteria, gates, other findings, and all its words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from cds_service.catalogue.model import BandView, GateView, OfferView, RuleView, Said, plain
from cds_service.engine.model import Rule


def own_criteria(view: RuleView) -> list[Said]:
    """The criteria of a rule without those of its gates."""
    return criteria(view.when, view.unless, view.bands, view.offers, view.shown_if)


def criteria(
    when: Said,
    unless: Iterable[Said],
    bands: Iterable[BandView],
    offers: Iterable[OfferView],
    shown_if: Said | None,
) -> list[Said]:
    """All criteria of a rule, in the order of its file."""
    return [when, *unless, *_of_bands(bands), *_of_offers(offers), *([shown_if] if shown_if else [])]


def _of_offers(offers: Iterable[OfferView]) -> list[Said]:
    return [offer.only_if for offer in offers if offer.only_if is not None]


def _of_bands(bands: Iterable[BandView]) -> list[Said]:
    told = []
    for band in bands:
        told += [band.when] if band.when is not None else []
        told += _of_offers(band.offers or ())
    return told


def of_gate(gate: GateView) -> list[Said]:
    """All criteria of a gate and of the rows of the sweep behind it."""
    told = []
    for row in gate.rows:
        told += [row.when] if row.when is not None else []
        told += _of_offers(row.offers)
    for table in gate.then:
        told += [row.when for row in table.rows if row.when is not None]
    return [*told, *(row.when for row in gate.sweep)]


def asks_gate(rule: Rule, gate_id: str) -> bool:
    """Whether a rule offers the treatment of a gate, or a criterion of it asks a table about an advice."""
    return any(_names(part, gate_id) for key, part in rule.data.items() if key != "scenarios")


def _names(node: Any, gate_id: str) -> bool:
    if isinstance(node, dict):
        return node.get("gate") == gate_id or any(_names(part, gate_id) for part in node.values())
    return isinstance(node, list) and any(_names(part, gate_id) for part in node)


def findings(node: Any) -> Iterator[str]:
    """The other rules whose findings a rule asks for, as often as it does."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "finding":
                yield value if isinstance(value, str) else value["id"]
            elif key != "scenarios":
                yield from findings(value)
    elif isinstance(node, list):
        for one in node:
            yield from findings(one)


def words_of(view: RuleView) -> Iterator[str]:
    """All words of a rule, for the search."""
    yield from (view.number, view.id, view.title, view.topic, *view.hooks, view.group)
    for words in (view.summary, view.name, view.part, view.why, view.note, view.follow_up, view.red_flags):
        yield plain(words)
    for band in view.bands:
        yield from (band.id, band.indicator, plain(band.summary), plain(band.note))
    for said in (view.when, *view.unless):
        yield from (run.text for run in said.runs())
    for offer in view.offers:
        yield plain(offer.words)
    for evidence in view.evidence:
        yield from (evidence.claim, evidence.source.id, evidence.source.citation)
    yield from (fact.title for fact in view.uses.facts)
    yield from (one.title for one in view.uses.value_sets)
    yield from (one.name for one in view.uses.results)
