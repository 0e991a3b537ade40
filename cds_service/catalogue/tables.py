"""What stands above the rules: patient gates, the critical freeze, the final sweep, and the contributor level."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from cds_service.catalogue.criteria import Sayer
from cds_service.catalogue.model import (
    FreezeView,
    GroupView,
    Named,
    PatientGateView,
    PointsView,
    SweepView,
    TierView,
)
from cds_service.catalogue.phrasing import in_sentence
from cds_service.engine.model import Rule
from cds_service.ruleset import Ruleset

GROUPS = {
    "medicines": "Medicines",
    "measured-deficits": "Measured deficits",
    "conditions": "Conditions",
    "background": "Background",
}
THEN = {
    "no-cards": "no card is shown",
    "only-critical": "only critical cards are shown",
    "no-doses": "no medicine is offered",
}


class Tables:
    """The tables of one ruleset."""

    def __init__(self, ruleset: Ruleset, sayer: Sayer) -> None:
        self.ruleset, self.knowledge, self.sayer = ruleset, ruleset.knowledge, sayer
        self.rules = {rule.id: rule for rule in sorted(ruleset.knowledge.rules, key=lambda one: one.order_of)}

    def _rows(self, name: str) -> list[Mapping[str, Any]]:
        return list(self.knowledge.sources.get(f"safety/{name}.yaml", {}).get("rows", ()))

    @functools.cached_property
    def sweep(self) -> tuple[SweepView, ...]:
        return tuple(
            SweepView(node["id"], self.sayer.say(node["if"]), tuple(node["forbid"]), node["why"])
            for node in self._rows("sweep")
        )

    @functools.cached_property
    def treatments(self) -> dict[str, str]:
        """The columns of the sweep, each with the title of its gate."""
        titles = {gate.treats: gate.title for gate in self.knowledge.gates.values()}
        return {one: titles.get(one, one.replace("-", " ")) for row in self.sweep for one in row.forbid}

    @functools.cached_property
    def patient_gates(self) -> tuple[PatientGateView, ...]:
        return tuple(
            PatientGateView(
                node["id"],
                self.sayer.say(node["if"]),
                THEN.get(node["then"], node["then"]),
                tuple(str(node.get("cites", "")).split()),
            )
            for node in self._rows("patient-gates")
        )

    @functools.cached_property
    def freeze(self) -> tuple[FreezeView, ...]:
        return tuple(
            FreezeView(
                Named(row.gate, self.knowledge.gates[row.gate].title),
                self._named(row.on),
                self._named(row.tolerated),
            )
            for row in self.knowledge.freeze.exceptions
        )

    def _named(self, rule_ids: frozenset[str]) -> tuple[Named, ...]:
        return tuple(_named(rule) for rule in self.rules.values() if rule.id in rule_ids)

    @functools.cached_property
    def tier(self) -> TierView | None:
        tier = self.knowledge.tier
        if tier is None:
            return None
        data: Mapping[str, Any] = self.knowledge.sources[f"tiers/{tier.id}.yaml"]
        return TierView(
            title=str(data.get("title", tier.id)),
            version=tier.version,
            file=f"{self.ruleset.folder.name}/tiers/{tier.id}.yaml",
            groups=tuple(
                GroupView(group, GROUPS.get(group, group), cap, tuple(self._points(group)))
                for group, cap in tier.caps.items()
            ),
            families=tuple((name, self._family(told)) for name, told in data["families"].items()),
            levels=tuple(tier.levels.items()),
            floors=tuple(
                (level, _named(self.rules[rule_id]), indicator)
                for level, causes in tier.floors.items()
                for rule_id, indicator in causes
            ),
            not_assessed=tuple(self.ruleset.analyte_names[one] for one in tier.not_assessed),
            is_not=tier.is_not,
            cites=tuple(str(data.get("cites", "")).split()),
        )

    def _points(self, group: str) -> list[PointsView]:
        """What each rule of a group counts, in this version of the tier."""
        other = self.knowledge.tier.points if self.knowledge.tier else {}
        found = []
        for rule in self.rules.values():
            counted = ((band.id, other.get(rule.id, {}).get(band.id, band.points)) for band in rule.bands)
            bands = tuple((band, points) for band, points in counted if points)
            if rule.group == group and bands:
                found.append(PointsView(_named(rule), rule.family, bands))
        return found

    def _family(self, told: Mapping[str, Any]) -> str:
        plus = told.get("plus_one_if")
        extra = f", plus one point if there are {in_sentence(self.sayer.facts[plus])}" if plus else ""
        return f"only the highest of its rules counts{extra}"


def _named(rule: Rule) -> Named:
    return Named(rule.id, rule.title, rule.number)
