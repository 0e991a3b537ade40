"""Rules, gates and tables as plain data: everything that stands in their files, in words."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from cds_service.cards.select import ORDER_HOOKS
from cds_service.cards.wording import unit_text
from cds_service.catalogue.asked import asks_gate, criteria, findings, of_gate
from cds_service.catalogue.asked import own_criteria as own_criteria
from cds_service.catalogue.asked import words_of as words_of
from cds_service.catalogue.criteria import Sayer
from cds_service.catalogue.model import (
    BandView,
    EvidenceView,
    FactView,
    GateView,
    Link,
    Named,
    OfferView,
    Override,
    ResultView,
    RowView,
    RuleView,
    Run,
    Said,
    Source,
    ThenTable,
    ThenView,
    Uses,
    Words,
)
from cds_service.catalogue.phrasing import amount, in_sentence, listed, site_change, wording
from cds_service.catalogue.scenarios import scenario
from cds_service.catalogue.tables import Tables
from cds_service.catalogue.value_sets import ValueSets
from cds_service.engine.model import Gate, Rule
from cds_service.ruleset import Ruleset

HOOKS = (
    *("patient-view", "encounter-start", "encounter-discharge", "problem-list-item-create"),
    *("order-select", "order-sign", "medication-refill"),
)
_TIMES = {1: "once", 2: "twice"}
_EQUATIONS = {"ckd-epi-2021": "CKD-EPI 2021", "albumin-corrected-calcium": "correction for albumin"}
_THEN = {
    "form": "Another product",
    "recheck": "Recheck, in the same suggestion as the medicine",
    "later": "A later test",
}
_PMID = re.compile(r"PMID (\d+)")


class Describer:
    """Describes what one ruleset holds. What it made is remembered; a ruleset never changes."""

    def __init__(self, ruleset: Ruleset) -> None:
        self.ruleset, self.knowledge = ruleset, ruleset.knowledge
        self.sayer = Sayer(ruleset)
        self.value_sets = ValueSets(ruleset)
        self.tables = Tables(ruleset, self.sayer)
        self.prefix = ruleset.folder.name
        self.analyte_of = {one.accepted: one for one in ruleset.terminology.units.analytes.values()}
        self.rule = functools.lru_cache(maxsize=None)(self._rule)
        self.gate = functools.lru_cache(maxsize=None)(self._gate)
        self.fact = functools.lru_cache(maxsize=None)(self._fact)

    # -- rules

    @functools.cached_property
    def by_id(self) -> dict[str, Rule]:
        """In the order of their numbers."""
        return {rule.id: rule for rule in sorted(self.knowledge.rules, key=lambda one: (one.order_of, one.id))}

    def named(self, rule_id: str) -> Named:
        rule = self.by_id[rule_id]
        return Named(rule.id, rule.title, rule.number)

    def _rule(self, rule_id: str) -> RuleView:
        rule = self.by_id[rule_id]
        data = rule.data
        when = self.sayer.say(data["when"])
        unless = tuple(self.sayer.say(node) for node in data.get("unless", ()))
        bands = tuple(self._bands(rule))
        offers = self._offers(data.get("suggestions", ()))
        shown_if = self.sayer.say(data["info_in_quiet_mode"]) if "info_in_quiet_mode" in data else None
        told = criteria(when, unless, bands, offers, shown_if)
        every_offer = (*offers, *(offer for band in bands for offer in band.offers or ()))
        asked = [offer.gate for offer in every_offer if offer.gate]
        asked += [run.id for said in told for run in said.runs() if run.to == "gate"]
        gates = tuple(self.gate(gate) for gate in dict.fromkeys(asked))
        for gate in gates:
            told += of_gate(gate)
        uses = self.uses(told)
        evidence = tuple(EvidenceView(one.claim, one.strength, self.source(one.cites)) for one in rule.evidence)
        cited = [one.cites for one in rule.evidence]
        cited += [key for band in bands for key in band.cites]
        cited += [key for gate in gates for key in (source.id for source in gate.sources)]
        cited += [key for fact in uses.facts for key in fact.cites]
        return RuleView(
            id=rule.id,
            number=rule.number,
            title=rule.title,
            version=rule.version,
            status=rule.status,
            reviewed_on=str(data.get("reviewed_on", "")),
            kind=rule.kind,
            topic=rule.file.split("/")[-2],
            hooks=tuple(sorted(rule.hooks, key=lambda hook: (HOOKS.index(hook) if hook in HOOKS else 99, hook))),
            file=rule.file,
            when=when,
            unless=unless,
            bands=bands,
            window=_window(rule),
            shown=_shown(rule),
            shown_if=shown_if,
            group=rule.group,
            family=rule.family,
            summary=wording(rule.card.summary),
            name=wording(rule.card.name),
            part=wording(rule.card.part),
            why=wording(rule.card.why),
            note=wording(rule.card.note),
            follow_up=wording(rule.card.follow_up),
            red_flags=wording(rule.card.red_flags),
            offers=offers,
            gates=gates,
            overrides=tuple(
                Override(
                    code,
                    self.knowledge.override_reasons.get(code, code),
                    tuple(band.id for band in bands if code in band.without_override),
                )
                for code in rule.override_reasons
            ),
            evidence=evidence,
            scenarios=tuple(scenario(one) for one in data.get("scenarios", ())),
            uses=uses,
            used_by=tuple(
                self.named(other) for other in self.by_id if other != rule_id and rule_id in self._asks[other]
            ),
            sources=self.sources(cited),
            site=tuple(site_change(one) for one in self.ruleset.site.of(rule.file)),
        )

    @functools.cached_property
    def _asks(self) -> dict[str, frozenset[str]]:
        """Rule id to the rules whose findings it looks at itself."""
        return {rule_id: frozenset(findings(rule.data)) for rule_id, rule in self.by_id.items()}

    def _bands(self, rule: Rule) -> Iterator[BandView]:
        nodes = rule.data.get("bands")
        if not nodes:
            (band,) = rule.bands
            yield BandView(band.id, band.indicator, band.points)
            return
        for node, band in zip(nodes, rule.bands, strict=True):
            yield BandView(
                id=band.id,
                indicator=band.indicator,
                points=band.points,
                when=self.sayer.say(node["if"]) if "if" in node else None,
                summary=wording(band.summary),
                note=wording(band.note),
                offers=self._offers(node["suggestions"]) if "suggestions" in node else None,
                without_override=tuple(node.get("without_override", ())),
                cites=_keys(node),
            )

    def _offers(self, nodes: Iterable[Mapping[str, Any]]) -> tuple[OfferView, ...]:
        return tuple(map(self._offer, nodes))

    def _offer(self, node: Mapping[str, Any]) -> OfferView:
        kind = next(key for key in ("order", "gate", "review", "delete", "advice", "handout") if key in node)
        words: Words
        match kind:
            case "order":
                words = (Run(self._order(node["order"])),)
            case "gate":
                gate = self.knowledge.gates[node["gate"]]
                words = (Run(gate.title, "gate", gate.id), Run(", if its gate allows"))
            case "review":
                words = (
                    Run("Medication review of "),
                    *wording("{" + node["review"] + "}: "),
                    *wording(node["question"]),
                )
            case "delete":
                words = (Run("Remove "), *wording("{" + node["delete"] + "}"), Run(" from the draft orders"))
            case "advice":
                words = wording(node["advice"])
            case _:
                words = (Run("Patient handout"),)
        return OfferView(
            words=words,
            kind=kind,
            priority=node.get("priority", "routine") if kind == "order" else "",
            only_if=self.sayer.say(node["if"]) if "if" in node else None,
            not_if_ordered=str(node.get("unless_ordered_within", "")),
            gate=str(node.get("gate", "")),
            because=str(node.get("because", "")),
        )

    def _order(self, order_id: str) -> str:
        return str(self.knowledge.orders[order_id]["title"])

    # -- gates

    def _gate(self, gate_id: str) -> GateView:
        gate = self.knowledge.gates[gate_id]
        data = self.knowledge.sources[f"gates/{gate_id}.yaml"]
        rows = tuple(self._row(node) for node in data["rows"])
        then = tuple(self._then(gate, data))
        view = GateView(
            id=gate.id,
            title=gate.title,
            version=str(data.get("version", "")),
            file=f"{self.prefix}/gates/{gate_id}.yaml",
            treats=gate.treats,
            advises=str(data.get("advises", "")),
            monitoring=self._order(gate.monitoring) if gate.monitoring else "",
            rows=rows,
            then=then,
            cites=_keys(data),
            used_by=tuple(self.named(rule_id) for rule_id, rule in self.by_id.items() if asks_gate(rule, gate_id)),
            sweep=tuple(row for row in self.tables.sweep if gate.treats in row.forbid),
            freeze=tuple(row for row in self.tables.freeze if row.gate.id == gate_id),
            uses=Uses(),
            sources=(),
        )
        uses = self.uses(of_gate(view))
        cited = [*view.cites, *(key for row in rows for key in row.cites)]
        cited += [key for table in then for row in table.rows for key in row.cites]
        cited += [key for fact in uses.facts for key in fact.cites]
        return msgspec.structs.replace(view, uses=uses, sources=self.sources(cited))

    def _row(self, node: Mapping[str, Any]) -> RowView:
        return RowView(
            id=node["id"],
            when=self.sayer.say(node["if"]) if "if" in node else None,
            forbid=wording(node.get("forbid", "")),
            allow=self._allowed(node["allow"]) if "allow" in node else "",
            offers=self._offers(node.get("offer", ())),
            cites=_keys(node),
        )

    def _allowed(self, allow: Mapping[str, Any] | str) -> str:
        """A dose, or the words of an advice."""
        if isinstance(allow, str):
            return allow
        times = int(allow["times_a_day"])
        how_often = _TIMES.get(times, f"{times} times")
        return f"{self._order(allow['order'])} {amount(allow['dose'])} {how_often} a day for {allow['days']} days"

    def _then(self, gate: Gate, data: Mapping[str, Any]) -> Iterator[ThenTable]:
        for name, nodes in data.get("then", {}).items():
            yield ThenTable(_THEN.get(name, name), tuple(self._then_row(gate, name, node) for node in nodes))
        if "advice" in data:
            yield ThenTable(
                "Advice, every line that applies",
                tuple(self._then_row(gate, "advice", node) for node in data["advice"]),
            )

    def _then_row(self, gate: Gate, name: str, node: Mapping[str, Any]) -> ThenView:
        text = str(node.get("text", ""))
        if "order" in node:
            text = f"{self._order(node['order'])} {text}".strip()
        elif name == "recheck" and gate.monitoring:
            text = f"{self._order(gate.monitoring)} {text}"
        if "earliest" in node:
            latest = node.get("latest", node["earliest"])
            due = node["earliest"] if latest == node["earliest"] else f"{node['earliest']} to {latest}"
            text += f" (due after {due})"
        return ThenView(self.sayer.say(node["if"]) if "if" in node else None, text, _keys(node))

    # -- what criteria refer to

    def uses(self, told: Iterable[Said]) -> Uses:
        """Facts, results, value sets and rules that criteria refer to, also through facts; each once."""
        facts: dict[str, FactView] = {}
        sets: dict[str, None] = {}
        rules: dict[str, None] = {}
        waiting = list(told)
        while waiting:
            for run in waiting.pop(0).runs():
                if run.to == "fact" and run.id not in facts and run.id in self.sayer.facts:
                    facts[run.id] = self.fact(run.id)
                    waiting.append(facts[run.id].said)
                elif run.to == "value-set" and run.id in self.value_sets.known:
                    sets[run.id] = None
                elif run.to == "rule" and run.id in self.by_id:
                    rules[run.id] = None
        return Uses(
            tuple(facts.values()),
            tuple(self.result(one) for one in sets if one in self.analyte_of),
            tuple(self.value_sets.view(one) for one in sorted(sets, key=self._title) if one not in self.analyte_of),
            tuple(self.named(one) for one in self.by_id if one in rules),
        )

    def _title(self, set_id: str) -> str:
        return self.value_sets.known[set_id].title.lower()

    def _fact(self, fact_id: str) -> FactView:
        data = self.knowledge.sources[f"facts/{fact_id}.yaml"]
        node = {key: value for key, value in data.items() if key not in ("fact", "title", "note", "cites")}
        return FactView(
            fact_id,
            self.sayer.facts[fact_id],
            self.sayer.say(node),
            _keys(data),
            f"{self.prefix}/facts/{fact_id}.yaml",
            str(data.get("note", "")),
        )

    def result(self, set_id: str) -> ResultView:
        """The analyte whose accepted codes this set holds."""
        analyte = self.analyte_of[set_id]
        computed = ""
        for name, data in self.knowledge.sources.items():
            if name.startswith("facts/measurement-") and data["measurement"] == analyte.id:
                sources = listed((self.sayer.analyte(one).text for one in data["from"]), "and")
                equation = _EQUATIONS.get(data["equation"], data["equation"].replace("-", " "))
                within = data.get("unless_reported_within", "1 day")
                computed = f"by {equation} from {sources}, where none is reported within {within}"
        plausible = [
            f"{low} to {high} {unit_text(family)}".replace("{ratio}", "").strip()
            for family, (low, high) in analyte.plausible.items()
        ]
        return ResultView(
            id=analyte.id,
            name=analyte.name,
            accepted=self.value_sets.view(set_id),
            units=tuple(unit_text(family) for family in analyte.families if not family.startswith("{")),
            plausible=", ".join(plausible),
            computed=computed,
            source=analyte.source,
        )

    # -- sources

    def source(self, key: str) -> Source:
        found = self.knowledge.references.get(key)
        if found is None:
            return Source(key, key, False)
        links = []
        if found.url:
            links.append(Link(_label(found.url), found.url))
        if (pmid := _PMID.search(found.citation)) and "pubmed" not in found.url:
            links.append(Link("PubMed", f"https://pubmed.ncbi.nlm.nih.gov/{pmid[1]}/"))
        return Source(key, found.citation, found.checked, tuple(links))

    def sources(self, keys: Iterable[str]) -> tuple[Source, ...]:
        return tuple(self.source(key) for key in sorted(set(keys)))


def _label(url: str) -> str:
    if "doi.org/" in url:
        return "doi"
    return "PubMed" if "pubmed" in url else re.sub(r"^https?://(www\.)?", "", url).split("/")[0]


def _keys(node: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(node.get("cites", "")).split())


def _window(rule: Rule) -> str:
    if rule.window is None:
        return ""
    data = rule.data["window"]
    tests = " and only tests are offered" if rule.window.tests_only else ""
    return (
        f"At full strength while the {in_sentence(rule.window.of.replace('_', ' '))} is at most {data['full']} old. "
        f"After that one level lower (an info falls silent), its points no longer count{tests}."
    )


def _shown(rule: Rule) -> str:
    """What becomes of it in quiet mode (`cards.select`); a summary rule says it in its trigger."""
    if rule.kind == "summary":
        return ""
    told = []
    if rule.hooks - ORDER_HOOKS:
        own = "warnings and criticals have" if rule.in_quiet_mode == "warning" else "criticals have"
        told.append(f"Only its {own} a card of their own; the rest can stand in the risk summary.")
    if rule.hooks & ORDER_HOOKS:
        told.append("When an order is written all of it shows, with or without recorded cramps.")
    return " ".join(told)
