"""Is an answer what was asked for? Servers ignore parameters they do not know, and answer about somebody else."""

from __future__ import annotations

import msgspec

from cds_service.facts.gathered import open_bundles, type_and_id
from cds_service.facts.wire import (
    Bundle,
    Entry,
    Medication,
    OperationOutcome,
    Patient,
    Reference,
    Resource,
    Skipped,
    Specimen,
    Unread,
)
from cds_service.fhir.outcomes import Outcome

_BROUGHT_ALONG = (Medication, Specimen, OperationOutcome, Skipped, Unread)


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """A URL of the server that may be asked, and what its answer may hold."""

    key: str
    """Under which the answer is handed on; a client may have chosen it."""
    name: str
    """One of our own keys, for records."""
    url: str
    expects: type | None
    patient_id: str
    ids: frozenset[str] = frozenset()
    """Where not empty: the ids that are asked for; a resource with another is none of ours."""
    begun: Bundle | None = None
    """The first page, where prefetch brought it."""
    in_part: bool = False
    """Whether the scope granted is narrower than the question."""


def examine(page: Bundle, question: Question) -> tuple[list[Entry], Outcome]:
    """The entries that were asked for, or come along with such; and what is wrong with the others."""
    outcome: Outcome = "ok"
    kept: list[Entry] = []
    for entry in _flat(page):
        resource = entry.resource
        if question.expects is not None and type(resource) is not question.expects:
            if not isinstance(resource, _BROUGHT_ALONG):
                outcome = "wrong-content"
                continue
        elif question.ids and getattr(resource, "id", None) not in question.ids:
            outcome = "wrong-patient" if type(resource) is Patient else "wrong-content"
            continue
        elif _is_of_another(resource, question.patient_id):
            outcome = "wrong-patient"
        kept.append(entry)
    if question.expects is Patient and not kept and outcome == "ok":
        outcome = "wrong-content"
    return kept, outcome


def _flat(page: Bundle) -> list[Entry]:
    if all(type(entry.resource) is not Bundle for entry in page.entry):
        return [entry for entry in page.entry if entry.resource is not None]
    return [Entry(resource=resource) for resource in open_bundles((page,), {})]


def identity_of(resource: Resource | None) -> tuple[type, str] | int:
    """Tells resources apart; one without an id is like no other."""
    id_ = getattr(resource, "id", None)
    return (type(resource), id_) if id_ else id(resource)


def _is_of_another(resource: Resource | None, patient_id: str) -> bool:
    """Whether the subject of a resource is plainly a Patient with another id."""
    subject = getattr(resource, "subject", None) or getattr(resource, "patient", None)
    named = type_and_id(subject.reference) if isinstance(subject, Reference) else None
    return named is not None and named[0] == "Patient" and named[1] != patient_id
