"""What one evaluation carries along: the facts, indexed, and what the criteria matched, bound and missed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import date, datetime
from typing import Any, Literal

from cds_service.engine.model import Decision, Finding, TierResult
from cds_service.facts.model import Condition, Facts, Ingredient, Measurement, Medication, Procedure
from cds_service.settings import Settings

Reading = Literal["surely", "bands", "cautiously"]
"""How facts are read: *surely* (when, unless, points), *bands* (surely, but drugs cautiously), *cautiously* (gates)."""

Binding = Any
"""A matched Measurement, a Condition, or a tuple of (Medication, Ingredient) pairs."""

MedicationMatch = tuple[Medication, Ingredient]


class Context:
    """The state of one `assess` call. Mutable, never shared, never outlives the call."""

    __slots__ = (
        "absent",
        "absent_or_incomplete",
        "allergy_sets",
        "bound",
        "conditions",
        "decisions",
        "evidence",
        "facts",
        "findings",
        "medications",
        "missing",
        "now",
        "present",
        "procedures",
        "quiet",
        "remembered",
        "results",
        "settings",
        "shown",
        "tier",
        "windows",
    )

    def __init__(self, facts: Facts, settings: Settings) -> None:
        self.facts = facts
        self.settings = settings
        self.now: datetime = facts.now
        self.results: dict[str, tuple[Measurement, ...]] = dict(facts.results)
        self.present: set[str] | None = None
        """All there is of this patient (`note_present`); None while a list is missing, when nothing can be excluded."""
        self.absent = facts.not_supplied
        self.absent_or_incomplete = facts.not_supplied | facts.incomplete
        self.medications: defaultdict[str, list[MedicationMatch]] = defaultdict(list)
        for medication in facts.medications:
            for ingredient in medication.ingredients:
                for set_id in ingredient.sets:
                    self.medications[set_id].append((medication, ingredient))
        self.conditions: defaultdict[str, list[Condition]] = defaultdict(list)
        for condition in facts.conditions:
            for set_id in condition.sets:
                self.conditions[set_id].append(condition)
        self.procedures: defaultdict[str, list[Procedure]] = defaultdict(list)
        for procedure in facts.procedures:
            for set_id in procedure.sets:
                self.procedures[set_id].append(procedure)
        self.allergy_sets = {set_id for allergy in facts.allergies for set_id in allergy.sets}
        self.remembered: dict[tuple[str, Reading], tuple[int, tuple[Any, ...], frozenset[str]]] = {}
        self.decisions: dict[str, Decision] = {}
        """What the tables about an advice decided, those that were asked."""
        self.findings: dict[str, Finding] = {}
        self.tier: TierResult | None = None
        self.quiet = True
        self.shown: set[str] = set()
        self.bound: dict[str, Binding] = {}
        self.windows: dict[str, datetime | None] = {}
        """Since when the result bound under a name had to be."""
        self.evidence: list[Any] = []
        self.missing: set[str] = set()

    def note_present(self) -> None:
        """Note the value sets and analytes this patient has anything of, once the derived series are complete."""
        if not self.absent_or_incomplete.isdisjoint(("medications", "conditions", "observations")):
            return
        self.present = {*self.medications, *self.conditions, *self.procedures, *self.results, *self.allergy_sets}

    def begin(self) -> None:
        """Forget what the last rule bound, matched and missed. What it left is never emptied: findings hold it."""
        if self.bound or self.windows:
            self.bound, self.windows = {}, {}
        if self.evidence:
            self.evidence = []
        if self.missing:
            self.missing = set()

    def age_range(self) -> tuple[int, int] | None:
        """The youngest and the oldest age in completed years, or None without a birth date."""
        patient = self.facts.patient
        if patient.born_earliest is None or patient.born_latest is None:
            return None
        today = self.now.astimezone(self.settings.zone).date()
        return _years(patient.born_latest, today), _years(patient.born_earliest, today)


def once(facts: Iterable[Any]) -> tuple[Any, ...]:
    """The facts in their order, each once. Each fact of a patient is one object, so identity tells (and is cheap)."""
    return tuple({id(fact): fact for fact in facts}.values())


def _years(born: date, today: date) -> int:
    return today.year - born.year - ((today.month, today.day) < (born.month, born.day))
