"""Gathered resources into Facts: the one place that knows which FHIR member means what (with `observations` and
`medications`, its parts). Section 0 of the clinical knowledge is its specification.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, tzinfo
from hashlib import blake2b
from typing import Any, Literal, Protocol, TypeAlias

import msgspec

from cds_service.facts import wire
from cds_service.facts.gathered import Gathered, bare_id, type_and_id
from cds_service.facts.instants import Dates, day_span
from cds_service.facts.medications import MedicationReader, is_over
from cds_service.facts.model import (
    Allergy,
    Condition,
    DataGap,
    Facts,
    Measurement,
    Patient,
    Procedure,
    ResourceKind,
    ServiceOrder,
    Span,
)
from cds_service.facts.observations import ObservationReader, contained_observations
from cds_service.facts.quantities import PROBLEMS
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
_ACTIVE = frozenset({"active", "recurrence", "relapse"})
_OVER = frozenset({"inactive", "remission", "resolved"})
_VOID = frozenset({"refuted", "entered-in-error"})
_POSSIBLE = frozenset({"unconfirmed", "provisional", "differential"})
_NOT_DONE = frozenset({"entered-in-error", "not-done", "preparation"})
_OPEN_ORDER = frozenset({"active", "draft", "on-hold", "unknown"})
_FINAL = frozenset({"final", "amended", "corrected"})

_Identified: TypeAlias = (
    wire.Observation
    | wire.Condition
    | wire.MedicationRequest
    | wire.MedicationStatement
    | wire.MedicationDispense
    | wire.Procedure
    | wire.AllergyIntolerance
    | wire.ServiceRequest
    | wire.DiagnosticReport
)


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
    return facts if not build.versions else _with_one_version_each(build, gathered, terminology, settings.zone, now)


def _with_one_version_each(
    build: _Build, gathered: Gathered, terminology: Terminology, zone: tzinfo, now: datetime
) -> Facts:
    """The facts when a resource came in versions that differ: of each, one is kept, whatever their order."""
    versions = build.versions
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


class _Finder:
    """Finds the resource that a reference means: contained (#id), by URL, or a Medication by ``Type/id``."""

    def __init__(self, gathered: Gathered) -> None:
        self.gathered = gathered
        self.medications: dict[str, wire.Resource] | None = None

    def __call__(self, reference: str | None, contained: tuple[wire.Resource, ...]) -> wire.Resource | None:
        if not reference:
            return None
        if reference.startswith("#"):
            return next((one for one in contained if getattr(one, "id", None) == reference[1:]), None)
        by_url = self.gathered.by_url.get(reference)
        if by_url is not None:
            return by_url
        if self.medications is None:
            self.medications = {
                f"Medication/{one.id}": one
                for one in (*self.gathered.resources, *self.gathered.drafts)
                if isinstance(one, wire.Medication)
            }
        named = type_and_id(reference)
        return self.medications.get("/".join(named)) if named else None


class _Build:
    """One pass over the resources of one request."""

    def __init__(self, gathered: Gathered, terminology: Terminology, zone: tzinfo, now: datetime) -> None:
        self.gathered, self.terminology, self.zone, self.now = gathered, terminology, zone, now
        self.gaps: list[DataGap] = list(gathered.gaps)
        self.incomplete: set[str] = set(gathered.incomplete)
        self.strangers: set[str] = set()
        self.owned: dict[str, bool] = {}
        self.seen: dict[str, wire.Resource] = {}
        self.drafts: set[str] = set()
        self.versions: dict[str, tuple[wire.Resource, ResourceKind]] = {}
        """References supplied in versions that differ, the version to keep, and their kind."""
        self.conditions: list[Condition] = []
        self.procedures: list[Procedure] = []
        self.allergies: list[Allergy] = []
        self.orders: list[ServiceOrder] = []
        self.dates = Dates(zone, now)
        self.observations = ObservationReader(terminology, self.dates)
        self.medications = MedicationReader(terminology, self.dates, _Finder(gathered))
        self.patient, self.own = self._patient()

    def facts(self) -> Facts:
        gathered = self.gathered
        by_type: dict[Any, list[Any]] = {}
        for resource in gathered.resources:
            kind = type(resource)
            known = by_type.get(kind)
            if known is None:
                by_type[kind] = [resource]
            else:
                known.append(resource)
        for dispense in by_type.get(wire.MedicationDispense, ()):
            if isinstance(dispense, wire.MedicationDispense) and self._is_own(dispense.subject, "medications"):
                self.medications.dispense(dispense)
        self._drafts(gathered)
        plain = by_type.get(wire.Observation)
        if plain is not None:
            self._learn_subjects(plain)
            by_type[wire.Observation] = self.observations.take_all(plain, self.owned, self.seen)
        for kind in _READ_IN_ORDER:
            read = _READERS[kind]
            for resource in by_type.get(kind, ()):
                read(self, resource)
        for url, resource in gathered.by_url.items():
            if isinstance(resource, wire.Specimen):
                self.observations.specimen(resource, url)
        medications = self.medications.medications()
        results = self.observations.measurements()
        self.gaps += self.medications.gaps
        if self.medications.incomplete:
            self.incomplete.add("medications")
        self._name_strangers()
        self._name_unusable(results)
        return Facts(
            now=self.now,
            hook=gathered.hook,
            patient=self.patient,
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

    # -- who the facts are about

    def _patient(self) -> tuple[Patient, frozenset[str]]:
        """The patient, and every reference that means the patient.

        The hook context names the patient. A Patient resource with another id is accepted only when it is the only
        one supplied and no resource refers to the named id: then a server has simply numbered it otherwise. The two
        are never mixed, and a gap says what was done.
        """
        gathered = self.gathered
        found: dict[str, wire.Patient] = {}
        for resource in gathered.resources:
            if type(resource) is wire.Patient:
                known = found.setdefault(resource.id or "", resource)
                if known != resource:
                    self._gap("conflict", "patient", "The patient's record was supplied in two versions.", None)
                    self.incomplete.add("patient")
                    found[resource.id or ""] = min(known, resource, key=msgspec.json.encode)
        wanted = gathered.patient_id
        chosen = found.get(wanted) if wanted else None
        if chosen is None and len(found) == 1:
            only = next(iter(found.values()))
            if not wanted or not only.id or not self._anyone_refers_to(wanted):
                chosen = only
                if wanted and only.id:
                    self._gap(
                        "wrong-patient",
                        "patient",
                        "The patient supplied has another id than the hook's patientId; "
                        "no data of the named patient were supplied, so the supplied patient's were used.",
                        f"Patient/{only.id}",
                    )
                    self.incomplete |= {"medications", "conditions", "observations"}
        if chosen is None and found:
            self._gap(
                "wrong-patient",
                "patient",
                "The Patient supplied is not the one that the hook names and was ignored."
                if wanted
                else "Several patients were supplied and none was named.",
                None,
            )
        if chosen is None and not wanted and not found:
            wanted = self._only_subject()
        id_ = (chosen.id if chosen is not None else None) or wanted
        own = {id_} if id_ else set()
        if chosen is not None:
            own |= {url for url, resource in gathered.by_url.items() if resource is chosen}
        if chosen is None:
            return Patient(id=id_), frozenset(own)
        days = day_span(chosen.birthDate)
        if chosen.birthDate and days is None:
            self._gap("not-understood", "patient", "The birth date could not be read.", f"Patient/{id_}")
        return (
            Patient(
                id=id_,
                sex=chosen.gender if chosen.gender in ("female", "male") else None,  # type: ignore[arg-type]
                born_earliest=days[0] if days else None,
                born_latest=days[1] if days else None,
                deceased=chosen.deceasedBoolean is True or chosen.deceasedDateTime is not None,
            ),
            frozenset(own),
        )

    def _anyone_refers_to(self, patient_id: str) -> bool:
        for resource in (*self.gathered.resources, *self.gathered.drafts):
            reference = getattr(resource, "subject", None) or getattr(resource, "patient", None)
            if isinstance(reference, wire.Reference) and bare_id(reference.reference) == patient_id:
                return True
        return False

    def _only_subject(self) -> str:
        """The id of the patient that all resources are about, where no Patient came along; "" when they differ."""
        subjects = set()
        for resource in (*self.gathered.resources, *self.gathered.drafts):
            reference = getattr(resource, "subject", None) or getattr(resource, "patient", None)
            if isinstance(reference, wire.Reference) and reference.reference:
                subjects.add(bare_id(reference.reference))
        return subjects.pop() if len(subjects) == 1 else ""

    def _is_own(self, subject: wire.Reference | None, kind: ResourceKind) -> bool:
        """Whether a resource is the patient's; one without a subject counts as such. Notes the others by kind."""
        reference = subject.reference if subject is not None else None
        if not reference:
            return True
        owned = self.owned.get(reference)
        if owned is None:
            owned = self.owned[reference] = self._names_patient(reference)
        if not owned:
            self.strangers.add(kind)
        return owned

    def _learn_subjects(self, observations: Iterable[wire.Observation]) -> None:
        """Settles beforehand which spelling of the subject is the patient's; another's are left to `_is_own`."""
        references = {observation.subject.reference for observation in observations if observation.subject is not None}
        for reference in references:
            if reference is None:
                continue
            self.owned[reference] = self._names_patient(reference)

    def _names_patient(self, reference: str) -> bool:
        if reference in self.own:
            return True
        named = type_and_id(reference)
        if named is not None:
            return named[0] == "Patient" and named[1] in self.own
        return reference.startswith("urn:") and reference.rsplit(":", 1)[-1] in self.own

    def _name_strangers(self) -> None:
        for kind in sorted(self.strangers):
            self._gap("wrong-patient", kind, f"Some {kind} were about another patient and were ignored.", None)

    # -- identity

    def _reference(self, type_name: str, resource: _Identified) -> str:
        """``Type/id``; a resource without an id is told by its content (``Type/~digest``), whatever its place."""
        id_: str | None = resource.id
        if id_:
            return f"{type_name}/{id_}"
        return f"{type_name}/~{blake2b(msgspec.json.encode(resource), digest_size=6).hexdigest()}"

    def _is_new(self, reference: str, resource: wire.Resource, kind: ResourceKind) -> bool:
        """Whether this is the first delivery. A second, differing version leaves the kind incomplete."""
        if self.seen.setdefault(reference, resource) is resource:
            return True
        self._repeated(reference, resource, kind)
        return False

    def _repeated(self, reference: str, resource: wire.Resource, kind: ResourceKind) -> None:
        known = self.versions[reference][0] if reference in self.versions else self.seen[reference]
        if known != resource:
            self.versions[reference] = (min(known, resource, key=msgspec.json.encode), kind)

    # -- the kinds

    def _drafts(self, gathered: Gathered) -> None:
        """Draft orders first: one that is delivered in the prefetch as well counts as the draft it is."""
        selections = gathered.selections
        for resource in gathered.drafts:
            if type(resource) is wire.MedicationRequest:
                reference = self._reference("MedicationRequest", resource)
                if is_over(resource) or not self._is_own(resource.subject, "medications") or reference in self.drafts:
                    continue
                self.drafts.add(reference)
                selected = selections is None or reference in selections or (resource.id or "") in selections
                self.medications.take(resource, reference, draft=True, selected=selected)
            elif type(resource) is wire.ServiceRequest:
                reference = self._reference("ServiceRequest", resource)
                if self._is_own(resource.subject, "service-requests") and reference not in self.drafts:
                    self.drafts.add(reference)
                    self._order(resource, reference, draft=True)
            elif type(resource) is wire.Unread:
                self._unread(resource)

    def _medication(self, resource: wire.MedicationRequest | wire.MedicationStatement) -> None:
        if is_over(resource) or not self._is_own(resource.subject, "medications"):
            return
        name = "MedicationRequest" if type(resource) is wire.MedicationRequest else "MedicationStatement"
        reference = f"{name}/{resource.id}" if resource.id else self._reference(name, resource)
        if reference not in self.drafts and self._is_new(reference, resource, "medications"):
            self.medications.take(resource, reference)

    def _observation(self, observation: wire.Observation) -> None:
        concept = observation.code
        matched = self.observations.observed(concept) if concept is not None else []
        answer = observation.valueCodeableConcept
        if not matched and answer is None and not observation.component and not observation.contained:
            return
        subject = observation.subject
        if subject is not None and not self.owned.get(subject.reference) and not self._is_own(subject, "observations"):  # type: ignore[arg-type]
            return
        reference = f"Observation/{observation.id}" if observation.id else self._reference("Observation", observation)
        if self.seen.setdefault(reference, observation) is not observation:
            self._repeated(reference, observation, "observations")
            return
        self.observations.take(observation, matched, reference)
        if answer is not None or (matched and matched[0][1].analyte is None):
            self._symptom(observation, reference, any(SYMPTOM_SET in match.sets for _, match in matched))
        if observation.contained:
            self._contained(observation, reference)

    def _report(self, report: wire.DiagnosticReport) -> None:
        if report.contained and self._is_own(report.subject, "observations"):
            reference = self._reference("DiagnosticReport", report)
            if self._is_new(reference, report, "observations"):
                self._contained(report, reference)

    def _contained(self, owner: wire.Observation | wire.DiagnosticReport, reference: str) -> None:
        for inner, inner_reference in contained_observations(owner, reference):
            if self._is_own(inner.subject, "observations"):
                matched = self.observations.observed(inner.code)
                self.observations.take(inner, matched, inner_reference)

    def _symptom(self, observation: wire.Observation, reference: str, by_code: bool) -> None:
        """A final observation of leg cramps is the symptom as a condition of it would be (0.6)."""
        answer = observation.valueCodeableConcept
        if observation.status not in _FINAL or not (by_code or answer):
            return
        answered = answer is not None and any(
            SYMPTOM_SET in match.sets for _, match in self.observations.matches(answer)
        )
        if not by_code and not answered:
            return
        state: Literal["present", "possible"] = "present"
        if not answered:
            if observation.valueBoolean is False:
                return
            plain = answer is None and not bytes(observation.valueString) and observation.valueQuantity is None
            state = "present" if plain else "possible"
        at = self.observations.times(observation)[0]
        self.conditions.append(
            Condition(
                reference=reference,
                sets=frozenset({SYMPTOM_SET}),
                name=self.terminology.titles.get(SYMPTOM_SET, ""),
                state=state,
                recorded=Span(at, at) if at is not None else None,
            )
        )

    def _specimen(self, specimen: wire.Specimen) -> None:
        self.observations.specimen(specimen)

    def _condition(self, condition: wire.Condition) -> None:
        matched = self.observations.matches(condition.code)
        if not matched or not self._is_own(condition.subject, "conditions"):
            return
        reference = self._reference("Condition", condition)
        if not self._is_new(reference, condition, "conditions"):
            return
        sets = frozenset().union(*(match.sets for _, match in matched))
        asserted = _is_patient(condition.asserter, self.own)
        state = self._state(condition, asserted and SYMPTOM_SET not in sets)
        if state is None:
            return
        coding = matched[0][0]
        self.conditions.append(
            Condition(
                reference=reference,
                sets=sets,
                name=self.terminology.condition_name(coding.system, coding.code),
                state=state,
                recorded=self.dates.span(condition.recordedDate or condition.assertedDate),
                onset=self._period(condition.onsetDateTime, condition.onsetPeriod),
                patient_asserted=asserted,
                stated_active=_status(condition.clinicalStatus) in _ACTIVE,
            )
        )

    def _state(self, condition: wire.Condition, doubted: bool) -> Literal["present", "possible", "history"] | None:
        """Section 0.3. None: ignored, for gates too."""
        verification, clinical = _status(condition.verificationStatus), _status(condition.clinicalStatus)
        if verification in _VOID:
            return None
        unsure = doubted or (verification is not None and verification != "confirmed")
        if clinical in _OVER:
            return None if unsure and verification in _POSSIBLE else "history"
        ended = self._ended(condition)
        if ended == "over" or (ended == "undated" and clinical is None):
            return "history" if not unsure else None
        if unsure or ended is not None or (clinical is not None and clinical not in _ACTIVE):
            return "possible"
        return "present"

    def _ended(self, condition: wire.Condition) -> Literal["over", "undated", "unsure"] | None:
        """Whether an abatement says the condition is over; None when it says nothing, or is still to come."""
        period = condition.abatementPeriod
        text = condition.abatementDateTime or (period.end if period else None)
        if text is not None:
            when = self.dates.span(text)
            if when is None:
                return "undated"
            if when.earliest > self.now:
                return None
            # a bare day or month that is not over yet may still be to come
            return "over" if when.latest <= self.now or when.earliest == when.latest else "unsure"
        if condition.abatementBoolean is True:
            return "undated"
        told = (condition.abatementString, condition.abatementAge, condition.abatementRange)
        return "undated" if any(bytes(raw) not in (b"", b"null") for raw in told) else None

    def _period(self, day: str | None, period: wire.Period | None) -> Span | None:
        if day is not None or period is None:
            return self.dates.span(day)
        return self.dates.span(period.start or period.end)

    def _procedure(self, procedure: wire.Procedure) -> None:
        matched = self.observations.matches(procedure.code)
        if not matched or procedure.status in _NOT_DONE or not self._is_own(procedure.subject, "procedures"):
            return
        reference = self._reference("Procedure", procedure)
        if self._is_new(reference, procedure, "procedures"):
            period = procedure.performedPeriod
            text = procedure.performedDateTime or ((period.end or period.start) if period else None)
            self.procedures.append(
                Procedure(reference, frozenset().union(*(match.sets for _, match in matched)), self.dates.span(text))
            )

    def _allergy(self, allergy: wire.AllergyIntolerance) -> None:
        if _status(allergy.verificationStatus) in _VOID or _status(allergy.clinicalStatus) in _OVER:
            return
        if allergy.code is None or not self._is_own(allergy.patient, "allergies"):
            return
        sets = frozenset().union(*(match.sets for _, match in self.observations.matches(allergy.code)))
        texts = [coding.display for coding in allergy.code.coding if coding.display]
        if allergy.code.text:
            texts.append(allergy.code.text)
        for text in texts:
            for ingredient in self.terminology.text_names.read(text, self.terminology.text_rules).ingredients:
                sets |= ingredient.sets
        if sets:
            reference = self._reference("AllergyIntolerance", allergy)
            if self._is_new(reference, allergy, "allergies"):
                self.allergies.append(Allergy(reference, sets))

    def _service_request(self, order: wire.ServiceRequest) -> None:
        if order.status in _OPEN_ORDER and self._is_own(order.subject, "service-requests"):
            reference = self._reference("ServiceRequest", order)
            if reference not in self.drafts and self._is_new(reference, order, "service-requests"):
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

    def _name_unusable(self, results: dict[str, tuple[Measurement, ...]]) -> None:
        """One gap for each analyte and problem, naming the newest result concerned."""
        analytes = self.terminology.units.analytes
        for analyte, measurements in results.items():
            counted: dict[str, list[Measurement]] = {}
            for one in measurements:
                if one.problem is not None:
                    counted.setdefault(one.problem, []).append(one)
            for problem, ones in counted.items():
                name, words = analytes[analyte].name, PROBLEMS[problem]
                others = f" ({len(ones) - 1} more like it)" if len(ones) > 1 else ""
                self._gap(
                    "unknown-unit" if problem == "unknown-unit" else "unusable-result",
                    analyte,
                    f"A {name} result {words} and was not used{others}.",
                    ones[0].reference,
                )

    def _gap(self, kind: str, what: str, text: str, reference: str | None) -> None:
        self.gaps.append(DataGap(kind, what, text, reference))


def _status(status: wire.Concept | str | None) -> str | None:
    """The code of a status: a CodeableConcept, or STU3's plain string. None when there is none."""
    if status is None or isinstance(status, str):
        return status
    return next((coding.code for coding in status.coding if coding.code), None)


def _is_patient(reference: wire.Reference | None, own: Iterable[str]) -> bool:
    if reference is None or not reference.reference:
        return False
    named = type_and_id(reference.reference)
    return named[0] == "Patient" if named else reference.reference in own


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
