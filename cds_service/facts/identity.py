"""Who and what a resource is: the patient, whose resource it is, and which delivery of it counts."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from typing import TypeAlias

import msgspec

from cds_service.facts import wire
from cds_service.facts.gathered import Gathered, bare_id, type_and_id
from cds_service.facts.instants import days_of
from cds_service.facts.model import DataGap, Patient, ResourceKind

Identified: TypeAlias = (
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


def reference_of(type_name: str, resource: Identified) -> str:
    """``Type/id``; a resource without an id is told by its content (``Type/~digest``), whatever its place."""
    id_: str | None = resource.id
    if id_:
        return f"{type_name}/{id_}"
    return f"{type_name}/~{blake2b(msgspec.json.encode(resource), digest_size=6).hexdigest()}"


class Ownership:
    """The patient of a request, and whose each resource is."""

    def __init__(self, gathered: Gathered, patients: Iterable[wire.Patient]) -> None:
        """`patients` are the Patients among the resources gathered."""
        self.gathered = gathered
        self.gaps: list[DataGap] = []
        self.incomplete: set[str] = set()
        self.strangers: set[ResourceKind] = set()
        self.owned: dict[str, bool] = {}
        """Spellings of a subject met so far: whether they mean the patient."""
        self.patient, self.own = self._patient(patients)

    def _patient(self, patients: Iterable[wire.Patient]) -> tuple[Patient, frozenset[str]]:
        """The patient, and every reference that means the patient.

        The hook context names the patient. A Patient resource with another id is accepted only when it is the only
        one supplied and no resource refers to the named id: then a server has simply numbered it otherwise. The two
        are never mixed, and a gap says what was done.
        """
        gathered = self.gathered
        found: dict[str, wire.Patient] = {}
        for resource in patients:
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
        days = days_of(chosen.birthDate)
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

    def is_own(self, subject: wire.Reference | None, kind: ResourceKind) -> bool:
        """Whether a resource is the patient's; one without a subject counts as such. Notes the others by kind."""
        reference = subject.reference if subject is not None else None
        if not reference:
            return True
        owned = self.owned.get(reference)
        if owned is None:
            owned = self.owned[reference] = self.names_patient(reference)
        if not owned:
            self.strangers.add(kind)
        return owned

    def names_patient(self, reference: str) -> bool:
        """Whether a reference means the patient."""
        if reference in self.own:
            return True
        named = type_and_id(reference)
        if named is not None:
            return named[0] == "Patient" and named[1] in self.own
        return reference.startswith("urn:") and reference.rsplit(":", 1)[-1] in self.own

    def gaps_of_strangers(self) -> list[DataGap]:
        """One gap for each kind that held resources about another patient."""
        return [
            DataGap("wrong-patient", kind, f"Some {kind} were about another patient and were ignored.")
            for kind in sorted(self.strangers)
        ]

    def is_patient(self, reference: wire.Reference | None) -> bool:
        """Whether a reference, such as an asserter, names a Patient."""
        if reference is None or not reference.reference:
            return False
        named = type_and_id(reference.reference)
        return named[0] == "Patient" if named else reference.reference in self.own

    def _gap(self, kind: str, what: str, text: str, reference: str | None) -> None:
        self.gaps.append(DataGap(kind, what, text, reference))


class Deliveries:
    """What was delivered so far, by reference: a second delivery counts once, a second version is a conflict."""

    def __init__(self) -> None:
        self.seen: dict[str, wire.Resource] = {}
        self.versions: dict[str, tuple[wire.Resource, ResourceKind]] = {}
        """References supplied in versions that differ, the version to keep, and their kind."""

    def is_new(self, reference: str, resource: wire.Resource, kind: ResourceKind) -> bool:
        """Whether this is the first delivery. A second, differing version leaves the kind incomplete."""
        if self.seen.setdefault(reference, resource) is resource:
            return True
        self.repeated(reference, resource, kind)
        return False

    def repeated(self, reference: str, resource: wire.Resource, kind: ResourceKind) -> None:
        known = self.versions[reference][0] if reference in self.versions else self.seen[reference]
        if known != resource:
            self.versions[reference] = (min(known, resource, key=msgspec.json.encode), kind)


class Finder:
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
