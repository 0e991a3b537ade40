"""FHIR R4 resources and CDS Hooks requests as they come over the wire, reduced to the members that are read.

Structs only; `reading` turns bytes into them. Unknown members are skipped, so extensions, narrative and newer
versions cost nothing. Numbers stay raw JSON (`msgspec.Raw`) until a recognized code asks for them: an absurd number
then spoils one result and never the request.

Tolerated beyond R4: R5's `medication.concept`, STU3's plain-string clinical status and `doseQuantity` of a dosage.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias, Union

import msgspec
from msgspec import Raw

from cds_service.facts.resource_names import UNREAD_TYPES

NOTHING = Raw()
"""A member that is absent. `bytes(NOTHING)` is empty."""


class Coding(msgspec.Struct, frozen=True, gc=False):
    system: str | None = None
    code: str | None = None


class Concept(msgspec.Struct, frozen=True, gc=False):
    """A CodeableConcept whose words are never read."""

    coding: tuple[Coding, ...] = ()


class NamedCoding(msgspec.Struct, frozen=True, gc=False):
    system: str | None = None
    code: str | None = None
    display: str | None = None


class NamedConcept(msgspec.Struct, frozen=True, gc=False):
    """A CodeableConcept whose words may be read (medications, routes, interpretations)."""

    coding: tuple[NamedCoding, ...] = ()
    text: str | None = None


class Reference(msgspec.Struct, frozen=True, gc=False):
    reference: str | None = None


class NamedReference(msgspec.Struct, frozen=True, gc=False):
    reference: str | None = None
    display: str | None = None


class Period(msgspec.Struct, frozen=True, gc=False):
    start: str | None = None
    end: str | None = None


class Quantity(msgspec.Struct, frozen=True, gc=False):
    value: Raw = NOTHING
    comparator: str | None = None
    unit: str | None = None
    system: str | None = None
    code: str | None = None


class Ratio(msgspec.Struct, frozen=True, gc=False):
    numerator: Quantity | None = None
    denominator: Quantity | None = None


class QuantityRange(msgspec.Struct, frozen=True, gc=False):
    low: Quantity | None = None
    high: Quantity | None = None


class Annotation(msgspec.Struct, frozen=True, gc=False):
    text: str | None = None


class _Resource(msgspec.Struct, frozen=True, gc=False, tag_field="resourceType"):
    id: str | None = None


class Patient(_Resource, frozen=True, gc=False, tag="Patient"):
    gender: str | None = None
    birthDate: str | None = None
    deceasedBoolean: bool | None = None
    deceasedDateTime: str | None = None


class Component(msgspec.Struct, frozen=True, gc=False):
    code: Concept | None = None
    valueQuantity: Quantity | None = None
    valueCodeableConcept: NamedConcept | None = None
    valueString: Raw = NOTHING
    valueInteger: Raw = NOTHING
    valueBoolean: bool | None = None
    valueDateTime: str | None = None
    interpretation: tuple[NamedConcept, ...] | NamedConcept = ()
    referenceRange: tuple[QuantityRange, ...] = ()


class Observation(_Resource, frozen=True, gc=False, tag="Observation"):
    contained: tuple[Resource, ...] = ()
    status: str | None = None
    code: Concept | None = None
    subject: Reference | None = None
    effectiveDateTime: str | None = None
    effectiveInstant: str | None = None
    effectivePeriod: Period | None = None
    issued: str | None = None
    valueQuantity: Quantity | None = None
    valueCodeableConcept: NamedConcept | None = None
    valueString: Raw = NOTHING
    valueInteger: Raw = NOTHING
    valueRange: Raw = NOTHING
    valueRatio: Raw = NOTHING
    valueBoolean: bool | None = None
    valueDateTime: str | None = None
    interpretation: tuple[NamedConcept, ...] | NamedConcept = ()
    note: tuple[Annotation, ...] = ()
    specimen: Reference | None = None
    referenceRange: tuple[QuantityRange, ...] = ()
    component: tuple[Component, ...] = ()


class DiagnosticReport(_Resource, frozen=True, gc=False, tag="DiagnosticReport"):
    """Read for the Observations contained in it."""

    contained: tuple[Resource, ...] = ()
    status: str | None = None
    subject: Reference | None = None
    effectiveDateTime: str | None = None
    effectivePeriod: Period | None = None
    issued: str | None = None


class Specimen(_Resource, frozen=True, gc=False, tag="Specimen"):
    subject: Reference | None = None
    condition: tuple[NamedConcept, ...] = ()
    note: tuple[Annotation, ...] = ()


class Condition(_Resource, frozen=True, gc=False, tag="Condition"):
    clinicalStatus: Concept | str | None = None
    verificationStatus: Concept | str | None = None
    code: Concept | None = None
    subject: Reference | None = None
    onsetDateTime: str | None = None
    onsetPeriod: Period | None = None
    abatementDateTime: str | None = None
    abatementPeriod: Period | None = None
    abatementBoolean: bool | None = None
    abatementString: Raw = NOTHING
    abatementAge: Raw = NOTHING
    abatementRange: Raw = NOTHING
    recordedDate: str | None = None
    assertedDate: str | None = None
    asserter: Reference | None = None


class MedicationChoice(msgspec.Struct, frozen=True, gc=False):
    """R5's `medication`: a CodeableReference."""

    concept: NamedConcept | None = None
    reference: NamedReference | None = None


class TimingRepeat(msgspec.Struct, frozen=True, gc=False):
    boundsPeriod: Period | None = None
    frequency: Raw = NOTHING
    frequencyMax: Raw = NOTHING
    period: Raw = NOTHING
    periodUnit: str | None = None
    timeOfDay: tuple[str, ...] = ()
    when: tuple[str, ...] = ()


class Timing(msgspec.Struct, frozen=True, gc=False):
    repeat: TimingRepeat | None = None
    code: NamedConcept | None = None


class DoseAndRate(msgspec.Struct, frozen=True, gc=False):
    doseQuantity: Quantity | None = None
    doseRange: QuantityRange | None = None


class Dosage(msgspec.Struct, frozen=True, gc=False):
    text: str | None = None
    timing: Timing | None = None
    asNeededBoolean: bool | None = None
    asNeededCodeableConcept: Concept | None = None
    route: NamedConcept | None = None
    doseAndRate: tuple[DoseAndRate, ...] = ()
    doseQuantity: Quantity | None = None


class DispenseRequest(msgspec.Struct, frozen=True, gc=False):
    validityPeriod: Period | None = None
    numberOfRepeatsAllowed: Raw = NOTHING
    quantity: Quantity | None = None
    expectedSupplyDuration: Quantity | None = None


class MedicationIngredient(msgspec.Struct, frozen=True, gc=False):
    itemCodeableConcept: NamedConcept | None = None
    itemReference: Reference | None = None
    strength: Ratio | None = None


class Medication(_Resource, frozen=True, gc=False, tag="Medication"):
    contained: tuple[Resource, ...] = ()
    code: NamedConcept | None = None
    form: NamedConcept | None = None
    ingredient: tuple[MedicationIngredient, ...] = ()


class MedicationRequest(_Resource, frozen=True, gc=False, tag="MedicationRequest"):
    contained: tuple[Resource, ...] = ()
    status: str | None = None
    intent: str | None = None
    doNotPerform: bool | None = None
    reportedBoolean: bool | None = None
    reportedReference: Reference | None = None
    reported: bool | None = None
    medicationCodeableConcept: NamedConcept | None = None
    medicationReference: NamedReference | None = None
    medication: MedicationChoice | None = None
    subject: Reference | None = None
    authoredOn: str | None = None
    reasonCode: tuple[Concept, ...] = ()
    dosageInstruction: tuple[Dosage, ...] = ()
    dispenseRequest: DispenseRequest | None = None


class MedicationStatement(_Resource, frozen=True, gc=False, tag="MedicationStatement"):
    contained: tuple[Resource, ...] = ()
    status: str | None = None
    taken: str | None = None
    medicationCodeableConcept: NamedConcept | None = None
    medicationReference: NamedReference | None = None
    medication: MedicationChoice | None = None
    subject: Reference | None = None
    effectiveDateTime: str | None = None
    effectivePeriod: Period | None = None
    dateAsserted: str | None = None
    reasonCode: tuple[Concept, ...] = ()
    dosage: tuple[Dosage, ...] = ()


class MedicationDispense(_Resource, frozen=True, gc=False, tag="MedicationDispense"):
    contained: tuple[Resource, ...] = ()
    status: str | None = None
    medicationCodeableConcept: NamedConcept | None = None
    medicationReference: NamedReference | None = None
    medication: MedicationChoice | None = None
    subject: Reference | None = None
    authorizingPrescription: tuple[Reference, ...] = ()
    quantity: Quantity | None = None
    daysSupply: Quantity | None = None
    whenPrepared: str | None = None
    whenHandedOver: str | None = None
    dosageInstruction: tuple[Dosage, ...] = ()


class Procedure(_Resource, frozen=True, gc=False, tag="Procedure"):
    status: str | None = None
    code: Concept | None = None
    subject: Reference | None = None
    performedDateTime: str | None = None
    performedPeriod: Period | None = None


class Reaction(msgspec.Struct, frozen=True, gc=False):
    substance: NamedConcept | None = None


class AllergyIntolerance(_Resource, frozen=True, gc=False, tag="AllergyIntolerance"):
    clinicalStatus: Concept | str | None = None
    verificationStatus: Concept | str | None = None
    code: NamedConcept | None = None
    patient: Reference | None = None
    reaction: tuple[Reaction, ...] = ()


class ServiceRequest(_Resource, frozen=True, gc=False, tag="ServiceRequest"):
    status: str | None = None
    intent: str | None = None
    doNotPerform: bool | None = None
    code: Concept | None = None
    subject: Reference | None = None
    authoredOn: str | None = None


class Issue(msgspec.Struct, frozen=True, gc=False):
    severity: str | None = None
    code: str | None = None


class OperationOutcome(_Resource, frozen=True, gc=False, tag="OperationOutcome"):
    issue: tuple[Issue, ...] = ()


class Link(msgspec.Struct, frozen=True, gc=False):
    relation: str | None = None
    url: str | None = None


class Entry(msgspec.Struct, frozen=True, gc=False):
    fullUrl: str | None = None
    resource: Resource | None = None


class Bundle(_Resource, frozen=True, gc=False, tag="Bundle"):
    type: str | None = None
    total: int | float | str | None = None
    link: tuple[Link, ...] = ()
    entry: tuple[Entry, ...] = ()


class Unread(msgspec.Struct, frozen=True, gc=False):
    """A resource that could not be read. Put in its place so that the gap keeps its place; never decoded into."""

    resource_type: str | None = None
    id: str | None = None


class Skipped(msgspec.Struct, frozen=True, gc=False):
    """A resource of a type that no rule reads."""


if TYPE_CHECKING:
    Resource: TypeAlias = (
        Patient
        | Observation
        | DiagnosticReport
        | Specimen
        | Condition
        | Medication
        | MedicationRequest
        | MedicationStatement
        | MedicationDispense
        | Procedure
        | AllergyIntolerance
        | ServiceRequest
        | OperationOutcome
        | Bundle
        | Skipped
        | Unread
    )
else:
    _READ = (
        Patient,
        Observation,
        DiagnosticReport,
        Specimen,
        Condition,
        Medication,
        MedicationRequest,
        MedicationStatement,
        MedicationDispense,
        Procedure,
        AllergyIntolerance,
        ServiceRequest,
        OperationOutcome,
        Bundle,
    )
    _SKIPPED = tuple(
        msgspec.defstruct(name, [], bases=(Skipped,), frozen=True, gc=False, tag_field="resourceType", tag=name)
        for name in UNREAD_TYPES
    )
    Resource = Union[(*_READ, *_SKIPPED)]

READ_TYPES: frozenset[str] = frozenset(
    {
        "Patient",
        "Observation",
        "DiagnosticReport",
        "Specimen",
        "Condition",
        "Medication",
        "MedicationRequest",
        "MedicationStatement",
        "MedicationDispense",
        "Procedure",
        "AllergyIntolerance",
        "ServiceRequest",
        "OperationOutcome",
        "Bundle",
    }
)
"""The `resourceType`s that are read; every other one is skipped."""
