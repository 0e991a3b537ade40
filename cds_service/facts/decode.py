"""Gathered resources into Facts: the one place that knows which FHIR member means what (with `observations` and
`medications`, its parts). Section 0 of the clinical knowledge is its specification.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, tzinfo
from typing import Any, Protocol

import msgspec

from cds_service.facts import wire
from cds_service.facts.conditions import ACTIVE, OVER, VOID, condition_state, status_code, symptom_state, time_of
from cds_service.facts.gaps import unusable_results
from cds_service.facts.gathered import REFILL_HOOK, Gathered, selections_name_a_draft, stands, type_and_id
from cds_service.facts.identity import Deliveries, Finder, Ownership, reference_of
from cds_service.facts.instants import Dates
from cds_service.facts.medications import MedicationReader, is_over
from cds_service.facts.model import (
    Allergy,
    Condition,
    DataGap,
    Facts,
    Procedure,
    ResourceKind,
    ServiceOrder,
    Span,
)
from cds_service.facts.observations import ObservationReader
from cds_service.facts.panels import contained_observations
from cds_service.facts.terminology import SYMPTOM_SET, Terminology

_KINDS: dict[str, ResourceKind] = {
    "Patient": "patient",
    "MedicationRequest": "medications",
    "MedicationStatement": "medications",
    "Medication": "medications",
    "Condition": "conditions",
    "Observation": "observations",
    "DiagnosticReport": "observations",
    "Procedure": "procedures",
    "AllergyIntolerance": "allergies",
    "ServiceRequest": "service-requests",
}
_NOT_DONE = frozenset({"entered-in-error", "not-done", "preparation"})
_OPEN_ORDER = frozenset({"active", "draft", "on-hold", "unknown"})


class Zoned(Protocol):
    """What `build_facts` asks of the settings."""

    @property
    def zone(self) -> tzinfo: ...


def build_facts(gathered: Gathered, terminology: Terminology, settings: Zoned, now: datetime) -> Facts:
    """Everything known about the patient of `gathered` at `now`, an aware instant.

    Never raises for what the resources hold: what cannot be used becomes a `DataGap`, and where its kind could matter
    to a treatment gate, the kind is `incomplete`. The order of resources never matters.
    """
    build = _Build(gathered, terminology, settings.zone, now)
    facts = build.facts()
    return (
        facts
        if not build.deliveries.versions
        else _with_one_version_each(build, gathered, terminology, settings.zone, now)
    )


def _with_one_version_each(
    build: _Build, gathered: Gathered, terminology: Terminology, zone: tzinfo, now: datetime
) -> Facts:
    """The facts when a resource came in versions that differ: of each, one is kept, whatever their order."""
    versions = build.deliveries.versions
    kept = {reference: chosen for reference, (chosen, _) in versions.items()}
    resources = [
        resource
        for resource in gathered.resources
        if f"{type(resource).__name__}/{getattr(resource, 'id', '')}" not in kept
    ]
    gaps = [
        DataGap("conflict", kind, "A resource was supplied in two versions.", reference)
        for reference, (_, kind) in versions.items()
    ]
    again = msgspec.structs.replace(
        gathered,
        resources=(*resources, *kept.values()),
        incomplete=gathered.incomplete | {kind for _, kind in versions.values()},
        gaps=(*gathered.gaps, *gaps),
    )
    return _Build(again, terminology, zone, now).facts()


class _Build:
    """One pass over the resources of one request."""

    def __init__(self, gathered: Gathered, terminology: Terminology, zone: tzinfo, now: datetime) -> None:
        self.gathered, self.terminology, self.zone, self.now = gathered, terminology, zone, now
        self.gaps: list[DataGap] = list(gathered.gaps)
        self.incomplete: set[str] = set(gathered.incomplete)
        self.by_type = _by_type(gathered.resources)
        self.whose = Ownership(gathered, self.by_type.get(wire.Patient, ()))
        self.is_own = self.whose.is_own
        self.deliveries = Deliveries()
        self.drafts: set[str] = set()
        self.problems: set[str] = set()
        """References of the conditions that the hook is about."""
        self.names: dict[tuple[str | None, str | None], str] = {}
        """Names of condition codes met so far."""
        self.conditions: list[Condition] = []
        self.procedures: list[Procedure] = []
        self.allergies: list[Allergy] = []
        self.orders: list[ServiceOrder] = []
        self.dates = Dates(zone, now)
        self.observations = ObservationReader(terminology, self.dates)
        self.medications = MedicationReader(terminology, self.dates, Finder(gathered))

    def facts(self) -> Facts:
        gathered, by_type = self.gathered, self.by_type
        for dispense in by_type.get(wire.MedicationDispense, ()):
            if isinstance(dispense, wire.MedicationDispense) and self.is_own(dispense.subject, "medications"):
                self.medications.dispenses.take(dispense, reference_of("MedicationDispense", dispense))
        self._drafts(gathered)
        self._problems(gathered)
        plain = by_type.get(wire.Observation)
        if plain is not None:
            whose = self.whose
            by_type[wire.Observation] = self.observations.take_all(
                plain, whose.names_patient, whose.owned, self.deliveries.seen
            )
        for kind in _READ_IN_ORDER:
            read = _READERS[kind]
            for resource in by_type.get(kind, ()):
                read(self, resource)
        for url, resource in gathered.by_url.items():
            if isinstance(resource, wire.Specimen):
                self.observations.hemolysis.specimen(resource, url)
        medications = self.medications.medications()
        results = self.observations.measurements()
        self.gaps += [*self.medications.gaps, *self.whose.gaps, *self.whose.gaps_of_strangers()]
        self.incomplete |= self.whose.incomplete
        if self.medications.incomplete:
            self.incomplete.add("medications")
        self.gaps += unusable_results(results, self.terminology.units.analytes)
        return Facts(
            now=self.now,
            hook=gathered.hook,
            patient=self.whose.patient,
            medications=medications,
            conditions=tuple(sorted(self.conditions, key=_by_reference)),
            results=results,
            procedures=tuple(sorted(self.procedures, key=_by_reference)),
            allergies=tuple(sorted(self.allergies, key=_by_reference)),
            service_orders=tuple(sorted(self.orders, key=_by_reference)),
            not_supplied=gathered.not_supplied,
            incomplete=frozenset(self.incomplete),
            gaps=tuple(sorted(dict.fromkeys(self.gaps), key=_gap_order)),
            encounter_id=gathered.encounter_id,
        )

    # -- the kinds

    def _drafts(self, gathered: Gathered) -> None:
        """Draft orders first: one that is delivered in the prefetch as well counts as the draft it is."""
        selections, refilling = gathered.selections, gathered.hook == REFILL_HOOK
        taken: set[str] = set()
        if not selections_name_a_draft(gathered):
            selections = None
            text = "No selection names one of the draft orders; all of them were assessed."
            self._gap("not-understood", "medications", text, None)
        for resource in gathered.drafts:
            if type(resource) is wire.MedicationRequest:
                reference = reference_of("MedicationRequest", resource)
                if is_over(resource) or not self._is_own_draft(resource.subject) or reference in taken:
                    continue
                taken.add(reference)
                standing = refilling and stands(resource)
                if not standing:
                    self.drafts.add(reference)
                selected = selections is None or reference in selections or (resource.id or "") in selections
                self.medications.take(resource, reference, draft=True, selected=selected, standing=standing)
            elif type(resource) is wire.ServiceRequest:
                reference = reference_of("ServiceRequest", resource)
                if self.is_own(resource.subject, "service-requests") and reference not in self.drafts:
                    self.drafts.add(reference)
                    self._order(resource, reference, draft=True)
            elif type(resource) is wire.Unread:
                self._unread(resource)

    def _problems(self, gathered: Gathered) -> None:
        """New problems before the others: one that is delivered in the prefetch as well counts as the new one it is."""
        for resource in gathered.problems:
            if type(resource) is wire.Condition:
                self._condition(resource, new=True)
            elif type(resource) is wire.Unread:
                self._unread(resource)
        self.problems = {one.reference for one in self.conditions}

    def _is_own_draft(self, subject: wire.Reference | None) -> bool:
        """Drafts come in the context of one patient: only a reference that names another one excludes."""
        reference = subject.reference if subject is not None else None
        return reference is None or type_and_id(reference) is None or self.is_own(subject, "medications")

    def _medication(self, resource: wire.MedicationRequest | wire.MedicationStatement) -> None:
        if type(resource) is wire.MedicationRequest:
            self.medications.dispenses.order_on_record(resource)
        if is_over(resource) or not self.is_own(resource.subject, "medications"):
            return
        name = "MedicationRequest" if type(resource) is wire.MedicationRequest else "MedicationStatement"
        reference = f"{name}/{resource.id}" if resource.id else reference_of(name, resource)
        if reference not in self.drafts and self.deliveries.is_new(reference, resource, "medications"):
            self.medications.take(resource, reference)

    def _observation(self, observation: wire.Observation) -> None:
        concept = observation.code
        matched = self.observations.observed(concept) if concept is not None else []
        answer = observation.valueCodeableConcept
        if not matched and answer is None and not observation.component and not observation.contained:
            return
        subject = observation.subject
        if subject is not None and not self.is_own(subject, "observations"):
            return
        reference = f"Observation/{observation.id}" if observation.id else reference_of("Observation", observation)
        if self.deliveries.seen.setdefault(reference, observation) is not observation:
            self.deliveries.repeated(reference, observation, "observations")
            return
        self.observations.take(observation, matched, reference)
        if answer is not None or (matched and matched[0][1].analyte is None):
            self._symptom(observation, reference, any(SYMPTOM_SET in match.sets for _, match in matched))
        if observation.contained:
            self._contained(observation, reference)

    def _report(self, report: wire.DiagnosticReport) -> None:
        if report.contained and self.is_own(report.subject, "observations"):
            reference = reference_of("DiagnosticReport", report)
            if self.deliveries.is_new(reference, report, "observations"):
                self._contained(report, reference)

    def _contained(self, owner: wire.Observation | wire.DiagnosticReport, reference: str) -> None:
        for inner, inner_reference in contained_observations(owner, reference):
            if self.is_own(inner.subject, "observations"):
                matched = self.observations.observed(inner.code)
                self.observations.take(inner, matched, inner_reference)

    def _symptom(self, observation: wire.Observation, reference: str, by_code: bool) -> None:
        answer = observation.valueCodeableConcept
        answered = answer is not None and any(
            SYMPTOM_SET in match.sets for _, match in self.observations.matches(answer)
        )
        state = symptom_state(observation, by_code, answered)
        if state is not None:
            at = self.observations.times(observation)[0]
            recorded = Span(at, at) if at is not None else None
            name = self.terminology.titles.get(SYMPTOM_SET, "")
            self.conditions.append(Condition(reference, frozenset({SYMPTOM_SET}), name, state, recorded))

    def _specimen(self, specimen: wire.Specimen) -> None:
        self.observations.hemolysis.specimen(specimen)

    def _condition(self, condition: wire.Condition, new: bool = False) -> None:
        matched = self.observations.matches(condition.code)
        if not matched or not self.is_own(condition.subject, "conditions"):
            return
        reference = reference_of("Condition", condition)
        if reference in self.problems or not self.deliveries.is_new(reference, condition, "conditions"):
            return
        sets = frozenset().union(*(match.sets for _, match in matched))
        asserted = self.whose.is_patient(condition.asserter)
        state = condition_state(condition, asserted and SYMPTOM_SET not in sets, self.dates)
        if state is None:
            return
        coding = matched[0][0]
        named = (coding.system, coding.code)
        name = self.names.get(named)
        if name is None:
            name = self.names[named] = self.terminology.condition_name(*named)
        self.conditions.append(
            Condition(
                reference=reference,
                sets=sets,
                name=name,
                state=state,
                recorded=self.dates.span(condition.recordedDate or condition.assertedDate),
                onset=time_of(condition.onsetDateTime, condition.onsetPeriod, self.dates),
                patient_asserted=asserted,
                new=new,
                stated_active=status_code(condition.clinicalStatus) in ACTIVE,
            )
        )

    def _procedure(self, procedure: wire.Procedure) -> None:
        matched = self.observations.matches(procedure.code)
        if not matched or procedure.status in _NOT_DONE or not self.is_own(procedure.subject, "procedures"):
            return
        reference = reference_of("Procedure", procedure)
        if self.deliveries.is_new(reference, procedure, "procedures"):
            period = procedure.performedPeriod
            text = procedure.performedDateTime or ((period.end or period.start) if period else None)
            self.procedures.append(
                Procedure(reference, frozenset().union(*(match.sets for _, match in matched)), self.dates.span(text))
            )

    def _allergy(self, allergy: wire.AllergyIntolerance) -> None:
        if status_code(allergy.verificationStatus) in VOID or status_code(allergy.clinicalStatus) in OVER:
            return
        named = [allergy.code, *(reaction.substance for reaction in allergy.reaction)]
        concepts = [one for one in named if one is not None]
        if not concepts or not self.is_own(allergy.patient, "allergies"):
            return
        sets: frozenset[str] = frozenset()
        for concept in concepts:
            sets = sets.union(*(match.sets for _, match in self.observations.matches(concept)))
            for text in (*(coding.display for coding in concept.coding), concept.text):
                if text:
                    names = self.terminology.text_names.read(text, self.terminology.text_rules)
                    sets = sets.union(*(ingredient.sets for ingredient in names.ingredients))
        if sets:
            reference = reference_of("AllergyIntolerance", allergy)
            if self.deliveries.is_new(reference, allergy, "allergies"):
                self.allergies.append(Allergy(reference, sets))

    def _service_request(self, order: wire.ServiceRequest) -> None:
        if order.status in _OPEN_ORDER and self.is_own(order.subject, "service-requests"):
            reference = reference_of("ServiceRequest", order)
            if reference not in self.drafts and self.deliveries.is_new(reference, order, "service-requests"):
                self._order(order, reference, draft=order.status == "draft")

    def _order(self, order: wire.ServiceRequest, reference: str, draft: bool) -> None:
        if order.doNotPerform is True or order.status in ("entered-in-error", "revoked"):
            return
        matched = self.observations.matches(order.code)
        if matched:
            sets = frozenset().union(*(match.sets for _, match in matched))
            when = self.dates.span(order.authoredOn)
            self.orders.append(ServiceOrder(reference, sets, when.latest if when else None, draft))

    # -- gaps

    def _unread(self, unread: wire.Unread) -> None:
        kind = _KINDS.get(unread.resource_type or "")
        named = f"{unread.resource_type}/{unread.id}" if unread.resource_type and unread.id else None
        self._gap("unreadable", kind or "unknown", "A resource could not be read.", named)
        if kind is not None:
            self.incomplete.add(kind)
        elif unread.resource_type is None:
            # it may be anything: nothing of what gates ask about is known to be whole
            self.incomplete |= {"medications", "conditions", "observations"}

    def _gap(self, kind: str, what: str, text: str, reference: str | None) -> None:
        self.gaps.append(DataGap(kind, what, text, reference))


def _by_type(resources: Iterable[wire.Resource]) -> dict[Any, list[Any]]:
    found: dict[Any, list[Any]] = {}
    for resource in resources:
        kind = type(resource)
        known = found.get(kind)
        if known is None:
            found[kind] = [resource]
        else:
            known.append(resource)
    return found


def _by_reference(one: Condition | Procedure | Allergy | ServiceOrder) -> str:
    return one.reference


def _gap_order(gap: DataGap) -> tuple[str, str, str, str]:
    return (gap.what, gap.kind, gap.reference or "", gap.text)


_READERS: dict[Any, Callable[[Any, Any], None]] = {
    wire.Specimen: _Build._specimen,
    wire.Observation: _Build._observation,
    wire.DiagnosticReport: _Build._report,
    wire.Condition: _Build._condition,
    wire.MedicationRequest: _Build._medication,
    wire.MedicationStatement: _Build._medication,
    wire.Procedure: _Build._procedure,
    wire.AllergyIntolerance: _Build._allergy,
    wire.ServiceRequest: _Build._service_request,
    wire.Unread: _Build._unread,
}
_READ_IN_ORDER = tuple(_READERS)
