"""The rule catalogue: what a ruleset holds, in words a clinician reads. Pure; the pages and the terminal share it."""

from __future__ import annotations

import functools

from cds_service.catalogue.describe import Describer, own_criteria, words_of
from cds_service.catalogue.model import (
    FactView,
    GateView,
    Named,
    RuleView,
    Said,
    Source,
    TierView,
    Use,
    Uses,
    ValueSetView,
    plain,
)
from cds_service.catalogue.tables import Tables
from cds_service.ruleset import Ruleset

__all__ = ["TOPICS", "Catalogue", "FactView", "GateView", "RuleView", "Said", "Source", "TierView", "plain"]

TOPICS = {
    "laboratory": "Laboratory",
    "medication": "Medicines",
    "condition": "Conditions",
    "order": "Orders being written",
    "summary": "Summaries",
}


class Catalogue:
    """Descriptions of one ruleset. Made in no time; each description is made when first asked for, and kept."""

    def __init__(self, ruleset: Ruleset) -> None:
        self.ruleset = ruleset
        self._describe = Describer(ruleset)

    @property
    def tables(self) -> Tables:
        return self._describe.tables

    @functools.cached_property
    def rules(self) -> tuple[RuleView, ...]:
        """All rules, by number."""
        return tuple(self._describe.rule(rule_id) for rule_id in self._describe.by_id)

    @functools.cached_property
    def gates(self) -> tuple[GateView, ...]:
        return tuple(self._describe.gate(gate_id) for gate_id in self.ruleset.knowledge.gates)

    @functools.cached_property
    def sources(self) -> tuple[Source, ...]:
        return self._describe.sources(self.ruleset.knowledge.references)

    @functools.cached_property
    def facts(self) -> tuple[FactView, ...]:
        """Those that the tables above the rules refer to."""
        tables = self._describe.tables
        told = [*(row.when for row in tables.sweep), *(row.when for row in tables.patient_gates)]
        return self._describe.uses(told).facts

    def rule(self, name: str) -> RuleView | None:
        """By id or number."""
        for rule_id, rule in self._describe.by_id.items():
            if name.lower() in (rule_id, rule.number.lower()):
                return self._describe.rule(rule_id)
        return None

    def gate(self, gate_id: str) -> GateView | None:
        return self._describe.gate(gate_id) if gate_id in self.ruleset.knowledge.gates else None

    # -- searching

    def search(
        self, query: str = "", topic: str = "", indicator: str = "", hook: str = "", status: str = ""
    ) -> tuple[RuleView, ...]:
        """Rules that hold every word of the query, also in the titles of their value sets, or that code itself."""
        words = query.lower().split()
        by_code = self._of_code(query.strip()) if query.strip() else frozenset()
        return tuple(
            rule
            for rule in self.rules
            if (not topic or rule.topic == topic)
            and (not indicator or indicator in rule.indicators)
            and (not hook or hook in rule.hooks)
            and (not status or rule.status == status)
            and (all(word in self._texts[rule.id] for word in words) or rule.id in by_code)
        )

    @functools.cached_property
    def _texts(self) -> dict[str, str]:
        titles = self.ruleset.terminology.titles
        texts = {}
        for rule in self.rules:
            held = {one for used in rule.uses.value_sets for one in self._describe.value_sets.closure(used.id)}
            texts[rule.id] = "\n".join((*words_of(rule), *(titles[one] for one in sorted(held)))).lower()
        return texts

    def _of_code(self, code: str) -> frozenset[str]:
        """Rules that use a set with this code, of whatever system."""
        terminology = self.ruleset.terminology
        sets: set[str] = set()
        for system in terminology.codes:
            sets |= terminology.sets(system, code)
        if not sets:
            return frozenset()
        return frozenset(rule.id for rule in self.rules if sets & _sets(rule.uses))

    # -- value sets

    def value_set(self, set_id: str, query: str = "") -> ValueSetView | None:
        """A value set with the codes that hold every word of the query in code, name or system."""
        sets = self._describe.value_sets
        one = sets.known.get(set_id)
        if one is None:
            return None
        about = sets.about(set_id)
        words = query.lower().split()
        codes = tuple(
            code
            for code in sets.codes(set_id)
            if all(word in f"{code.code} {code.display} {code.system}".lower() for word in words)
        )
        return ValueSetView(
            id=one.id,
            title=one.title,
            folder=one.folder,
            description=str(about.get("description", "")),
            version=str(about.get("version", "")),
            date=str(about.get("date", "")),
            copyright=str(about.get("copyright", "")),
            counts=sets.view(set_id).counts,
            codes=codes,
            parts=tuple(sets.view(part) for part in sorted(one.parts)),
            without=tuple(sets.view(part) for part in sorted(one.without)),
            part_of=tuple(Named(whole, sets.known[whole].title) for whole in sets.wholes.get(set_id, ())),
            used_by=self.used_by.get(set_id, ()),
            measured=self._describe.result(set_id) if set_id in self._describe.analyte_of else None,
        )

    @functools.cached_property
    def used_by(self) -> dict[str, tuple[Use, ...]]:
        """Value set id to the rules and gates whose criteria name it, directly or through a fact."""
        used: dict[str, list[Use]] = {}
        for gate in self.gates:
            for set_id in _sets(gate.uses):
                used.setdefault(set_id, []).append(Use("gate", Named(gate.id, gate.title)))
        for rule in self.rules:
            own = _sets(self._describe.uses(own_criteria(rule)))
            for set_id in _sets(rule.uses):
                through = "" if set_id in own else "through its gate"
                used.setdefault(set_id, []).append(Use("rule", Named(rule.id, rule.title, rule.number), through))
        return {
            set_id: tuple(sorted(uses, key=lambda use: (bool(use.through), use.named.number, use.named.id)))
            for set_id, uses in used.items()
        }


def _sets(uses: Uses) -> set[str]:
    """The value sets of criteria, also those that say what counts as a result."""
    return {one.id for one in uses.value_sets} | {one.accepted.id for one in uses.results}
