"""The Facts: what is known about one patient at one instant, in the clinic's terms and without any FHIR.

Every fact names the resource it came from (`reference`, such as ``Observation/k-7``). Codes are already mapped to
the ids of value sets (`sets`), so nothing above this package sees a code system. All instants are aware.
Source of the reading rules: section 0 of the clinical knowledge.
"""

from __future__ import annotations

import re
from datetime import date, datetime
from decimal import Decimal
from typing import Literal

import msgspec

ResourceKind = Literal[
    "patient", "medications", "conditions", "observations", "allergies", "procedures", "service-requests"
]
"""The kinds of data a request may supply, named as rules name them in `not_supplied`."""

NO_SETS: frozenset[str] = frozenset()

_REFERENCE = re.compile(r"[A-Za-z]+/(?!\.+$)[A-Za-z0-9.\-]+")


class DataGap(msgspec.Struct, frozen=True, gc=False):
    """Something that could not be read, converted or fetched. Holds no patient data beyond a reference.

    `kind` is one of: not-supplied, fetch-failed, truncated, unreadable, wrong-patient, unusable-result,
    unidentified-medication, conflict, unknown-unit, not-understood.
    """

    kind: str
    what: str
    """The kind of data concerned (a `ResourceKind`), or an analyte's id for results."""
    text: str
    """One sentence for the clinician or integrator."""
    reference: str | None = None


class Span(msgspec.Struct, frozen=True, gc=False):
    """An instant known only to within a period: a partial FHIR date is the set of instants it may mean."""

    earliest: datetime
    latest: datetime


class Patient(msgspec.Struct, frozen=True, gc=False):
    """Who the facts are about. A partial birth date keeps both ends; both are None when there is none."""

    id: str
    sex: Literal["female", "male"] | None = None
    born_earliest: date | None = None
    born_latest: date | None = None
    deceased: bool = False


class Ingredient(msgspec.Struct, frozen=True, gc=False):
    """One recognized active ingredient of a medication."""

    id: str
    """The id of its value set, such as ``furosemide``."""
    name: str
    """As a clinician says it, from the value set; never text of the record."""
    sets: frozenset[str]
    """The ingredient's own set and every class set it belongs to."""
    matched_by: Literal["code", "ingredient", "text"] = "code"


class Dose(msgspec.Struct, frozen=True, gc=False):
    """Amounts as ordered. None means not stated or not computable; zero means explicitly none."""

    unit: str
    """UCUM: ``meq``, ``mg``, ``g``, ..."""
    each: Decimal | None = None
    """The amount given at one time."""
    a_day: Decimal | None = None
    """The amount in 24 hours."""


class Medication(msgspec.Struct, frozen=True, gc=False):
    """One order, statement or dispensed supply that matters, with both senses of "current" (section 0.4)."""

    reference: str
    ingredients: tuple[Ingredient, ...]
    sets: frozenset[str]
    """The union over the ingredients."""
    contributor: bool = False
    """Current in the sense that scores and educates."""
    safety: bool = False
    """Current in the sense that closes gates."""
    draft: bool = False
    """A draft order of this request (`context.draftOrders`); then neither contributor nor safety is set."""
    selected: bool = False
    """A draft that the hook is about: one of `context.selections`, or any draft on hooks without selections."""
    standing: bool = False
    """A draft only in that it is to be refilled: the order is in force, and stands among the current ones as well."""
    patient_reported: bool = False
    out_of_date: bool = False
    """Authored more than 24 months ago without sign of refill: safety only, "may be out of date - verify"."""
    as_needed_only: bool = False
    started_earliest: datetime | None = None
    """The earliest continuous start known for its ingredients; None when the start is unknown."""
    started_latest: datetime | None = None
    authored_at: datetime | None = None
    supply_only: bool = False
    """A MedicationDispense whose supply may last to this day, of a drug that no order or statement accounts for."""
    dispensed_at: datetime | None = None
    dose: Dose | None = None
    form: Literal["solid", "liquid"] | None = None
    indications: frozenset[str] = NO_SETS
    """Value sets of the order's reasonCode."""

    @property
    def has_id(self) -> bool:
        """Whether a delete action may name it: a real draft whose resource had an id, and one that FHIR allows."""
        return not self.standing and _REFERENCE.fullmatch(self.reference) is not None


class Condition(msgspec.Struct, frozen=True, gc=False):
    """One coded condition. `history` is a condition that is no longer present; refuted ones never become facts."""

    reference: str
    sets: frozenset[str]
    name: str
    """Title of the narrowest matched value set or the code's display in that set; never text of the record."""
    state: Literal["present", "possible", "history"]
    recorded: Span | None = None
    onset: Span | None = None
    patient_asserted: bool = False
    new: bool = False
    """It was just put on the problem list: the hook is about it."""
    stated_active: bool = False
    """clinicalStatus says active, recurrence or relapse, as against a condition that merely is not said to be over."""


class Measurement(msgspec.Struct, frozen=True, gc=False):
    """One result of an accepted analyte: a set of possible values between `low` and `high`.

    `low`/`high` are in `family`, the unit in which thresholds of this analyte are compared; None means unbounded.
    An unusable result keeps its instant and its bare number but has no interval: it may be anything.
    """

    reference: str
    analyte: str
    """Id of the unit table, such as ``potassium``; the accepted value set is ``<analyte>-accepted``."""
    sets: frozenset[str]
    at: datetime | None
    """The latest instant it may have been taken (23:59:59 of a date-only day); None when undated."""
    at_earliest: datetime | None
    preliminary: bool = False
    problem: str | None = None
    """Why it is unusable, one of the closed list in `facts.quantities.PROBLEMS`; None means usable."""
    family: str = ""
    low: Decimal | None = None
    high: Decimal | None = None
    low_open: bool = False
    high_open: bool = False
    value: Decimal | None = None
    """The number as reported, in `unit`."""
    unit: str = ""
    """The unit as reported, in its canonical UCUM spelling; the raw text is never kept."""
    comparator: Literal["", "<", "<=", ">=", ">"] = ""
    upper_limit: Decimal | None = None
    """referenceRange.high of this result, else the upper end of its unit table, in `family`."""
    hemolyzed: bool = False
    answers: frozenset[str] = NO_SETS
    """Value sets of a coded answer (smoking status, pregnancy status)."""
    date_answer: date | None = None
    """A date given as the answer (estimated delivery date)."""
    issued_at: datetime | None = None
    """When it was issued, where the sample's own time is less exact than an instant; None otherwise."""
    estimated: str | None = None
    """Name of the published equation when the service computed it."""

    @property
    def usable(self) -> bool:
        return self.problem is None


class Procedure(msgspec.Struct, frozen=True, gc=False):
    reference: str
    sets: frozenset[str]
    performed: Span | None = None


class Allergy(msgspec.Struct, frozen=True, gc=False):
    """An active (or unverified) allergy or intolerance; refuted and entered-in-error ones never become facts."""

    reference: str
    sets: frozenset[str]


class ServiceOrder(msgspec.Struct, frozen=True, gc=False):
    """An active or draft ServiceRequest: what has been ordered already."""

    reference: str
    sets: frozenset[str]
    ordered_at: datetime | None = None
    draft: bool = False


class Facts(msgspec.Struct, frozen=True):
    """All facts of one patient at one instant. Lists are sorted, so that the order of resources never matters."""

    now: datetime
    hook: str
    patient: Patient
    medications: tuple[Medication, ...] = ()
    """Sorted by reference; drafts included."""
    conditions: tuple[Condition, ...] = ()
    results: dict[str, tuple[Measurement, ...]] = {}
    """Analyte id to its results, newest first (undated ones first of all)."""
    procedures: tuple[Procedure, ...] = ()
    allergies: tuple[Allergy, ...] = ()
    service_orders: tuple[ServiceOrder, ...] = ()
    not_supplied: frozenset[str] = frozenset()
    """Kinds of data that were neither supplied nor fetched: unknown, as against supplied and empty."""
    incomplete: frozenset[str] = frozenset()
    """Kinds supplied in part only: truncated, or holding a resource that could not be read or identified."""
    gaps: tuple[DataGap, ...] = ()
    encounter_id: str | None = None
