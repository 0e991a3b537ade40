"""A rule in the terminal: the description that the catalogue's pages show, line by line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich.padding import Padding
from rich.text import Text

from cds_service.catalogue import Catalogue, plain
from cds_service.catalogue.model import BandView, GateView, OfferView, Override, RuleView, Said, SetView, SiteView
from cds_service.engine.model import Rule
from cds_service.ruleset import Ruleset

Line = Text | Padding


def explain(rule: Rule, ruleset: Ruleset) -> Iterator[Line]:
    """The rule line by line."""
    view = _catalogue(ruleset).rule(rule.id)
    assert view is not None  # it is a rule of this ruleset
    yield Text(f"{view.number}  {view.title}", style="bold")
    yield Text(f"{view.id} {view.version}, {view.status}; on {', '.join(view.hooks)}; {view.file}", style="dim")
    yield from _part("The site changed", (_line(_site_change(one), 1) for one in view.site))
    yield from _part("Fires when", _said(view.when, 1))
    yield from _part("Unless", (line for one in view.unless for line in _said(one, 1)))
    yield from _part("Shown as", (line for band in view.bands for line in _band(band)))
    yield from _part("Age", [_line(view.window, 1)] if view.window else [])
    yield from _part("Without recorded cramps", _quiet(view))
    for heading, words in (("Why", view.why), ("Note", view.note)):
        yield from _part(heading, [_line(plain(words), 1)] if words else [])
    yield from _part("Offers", (line for one in view.offers for line in _offer(one, 1)))
    for gate in view.gates:
        yield from _part(f"Gate {gate.id}", _gate(gate))
    for heading, words in (("Follow-up", view.follow_up), ("Red flags", view.red_flags)):
        yield from _part(heading, [_line(plain(words), 1)] if words else [])
    yield from _part("May be dismissed as", (_line(_reason(one), 1) for one in view.overrides))
    yield from _part("Evidence", (_line(f"{e.claim} ({e.strength}; {e.source.citation})", 1) for e in view.evidence))
    yield from _part("Facts used", (line for fact in view.uses.facts for line in _fact(fact.title, fact.said)))
    yield from _part("Results used", (_line(f"{one.name}: {_counts(one.accepted)}", 1) for one in view.uses.results))
    yield from _part("Value sets used", (_line(f"{one.id}: {_counts(one)}", 1) for one in view.uses.value_sets))
    yield from _part("Own scenarios", (_line(f"{s.name}: {', '.join(s.expected)}", 1) for s in view.scenarios))


_made: list[Catalogue] = []
"""The latest one: whoever explains all rules of a ruleset counts the codes of its value sets once."""


def _catalogue(ruleset: Ruleset) -> Catalogue:
    if not _made or _made[0].ruleset is not ruleset:
        _made[:] = [Catalogue(ruleset)]
    return _made[0]


def _part(heading: str, lines: Iterable[Line]) -> Iterator[Line]:
    shown = list(lines)
    if shown:
        yield Text(f"\n{heading}", style="bold")
        yield from shown


def _line(text: str, depth: int) -> Line:
    return Padding(Text(text), (0, 0, 0, 2 * depth))


def _said(said: Said, depth: int) -> Iterator[Line]:
    because = f" (because: {said.because})" if said.because else ""
    yield _line(f"{said.text}{':' if said.parts else ''}{because}", depth)
    for part in said.parts:
        yield from _said(part, depth + 1)


def _fact(title: str, said: Said) -> Iterator[Line]:
    yield _line(f"{title}:", 1)
    yield from _said(said, 2)


def _band(band: BandView) -> Iterator[Line]:
    points = f", {band.points} point{'s' if band.points != 1 else ''}" if band.points else ""
    yield _line(f"{band.indicator}{points}: {band.id}", 1)
    if band.when is not None:
        yield from _said(band.when, 2)
    for words in (band.summary, band.note):
        if words:
            yield _line(f"“{plain(words)}”", 2)
    if band.offers is not None:
        yield _line("offers instead:", 2)
        for offer in band.offers:
            yield from _offer(offer, 3)


def _quiet(view: RuleView) -> Iterator[Line]:
    if view.shown:
        yield _line(view.shown, 1)
    if view.shown_if is not None:
        yield _line("Where no summary is shown its infos have one too, if:", 1)
        yield from _said(view.shown_if, 2)


def _offer(offer: OfferView, depth: int) -> Iterator[Line]:
    kind = {"order": "order ", "advice": "advice: "}.get(offer.kind, "")
    priority = f", {offer.priority}" if offer.priority else ""
    later = f" (not if ordered within {offer.not_if_ordered})" if offer.not_if_ordered else ""
    yield _line(f"{kind}{plain(offer.words)}{priority}{later}{', if' if offer.only_if else ''}", depth)
    if offer.only_if is not None:
        yield from _said(offer.only_if, depth + 1)


def _gate(gate: GateView) -> Iterator[Line]:
    yield _line(f"{gate.title}: the first row that is not a known no decides", 1)
    for row in gate.rows:
        yield _line(f"{row.id}  {f'allow {row.allow}' if row.allow else f'forbid: {plain(row.forbid)}'}", 1)
        if row.when is not None:
            yield from _said(row.when, 3)
        for offer in row.offers:
            yield from _offer(offer, 3)
    for table in gate.then:
        yield _line(f"{table.title}:", 1)
        for then in table.rows:
            yield _line(then.words, 2)
            if then.when is not None:
                yield from _said(then.when, 3)


def _site_change(one: SiteView) -> str:
    return f"{one.at}: {one.before or 'with'} {'->' if one.before else ''} {one.after} ({one.because})"


def _reason(one: Override) -> str:
    return f"{one.text} (not in {', '.join(one.not_in)})" if one.not_in else one.text


def _counts(one: SetView) -> str:
    told = [f"{n.count} {n.system}" + (f" and {n.prefixes} with all below" if n.prefixes else "") for n in one.counts]
    return f"{one.title} ({', '.join(told) or 'no codes'})"
