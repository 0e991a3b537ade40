"""What each answer to a query means, whoever fetched it: the EHR by prefetch, or this service itself.

Section 2.4.1 of the conformance reference is the specification. A failed fetch of our own comes as the
OperationOutcome that an EHR would have sent, so one reading serves both.
"""

from __future__ import annotations

from cds_service.facts.gathered import open_bundles
from cds_service.facts.model import DataGap, ResourceKind
from cds_service.facts.wire import (
    AllergyIntolerance,
    Bundle,
    Condition,
    DiagnosticReport,
    MedicationRequest,
    MedicationStatement,
    Observation,
    OperationOutcome,
    Patient,
    Procedure,
    Resource,
    ServiceRequest,
    Unread,
)
from cds_service.fhir.queries import Query

KIND_OF: dict[type, ResourceKind] = {
    Patient: "patient",
    MedicationRequest: "medications",
    MedicationStatement: "medications",
    Condition: "conditions",
    Observation: "observations",
    DiagnosticReport: "observations",
    AllergyIntolerance: "allergies",
    Procedure: "procedures",
    ServiceRequest: "service-requests",
}
KIND_NAMED: dict[str, ResourceKind] = {read.__name__: kind for read, kind in KIND_OF.items()}
LISTS: dict[ResourceKind, str] = {
    "patient": "Patient record",
    "medications": "Medication list",
    "conditions": "Condition list",
    "observations": "Laboratory results",
    "allergies": "Allergy list",
    "procedures": "Procedure list",
    "service-requests": "Orders for tests and services",
}
_PARTIAL = frozenset(
    {"incomplete", "suppressed", "too-costly", "timeout", "throttled", "security", "forbidden", "transient"}
)
"""FHIR issue types by which a server says, however mildly, that an answer is not all there is."""
_WHY = {
    "timeout": " in time",
    "security": ": access was refused",
    "forbidden": ": access was refused",
    "throttled": ": the server is busy",
}
"""FHIR issue types of a failure, in words after "could not be fetched"."""


class Ledger:
    """What the answers read so far have supplied, failed to supply, or supplied in part."""

    def __init__(self) -> None:
        self.resources: list[Resource] = []
        self.types: set[type] = set()
        """The types of everything supplied."""
        self.supplied: set[ResourceKind] = set()
        self.failed: set[ResourceKind] = set()
        self.incomplete: set[ResourceKind] = set()
        self.gaps: list[DataGap] = []

    def read(self, query: Query | None, value: Resource | None, fetched: bool = False) -> None:
        """Reads one answer. `query` is None under a key that is not known; `fetched` only chooses words."""
        outcomes: list[OperationOutcome] = []
        types: set[type] = set()
        if type(value) is Bundle:
            types = {type(entry.resource) for entry in value.entry}
            if Bundle in types or OperationOutcome in types:
                opened = tuple(open_bundles((value,), {}))
                types = {type(resource) for resource in opened}
                outcomes = [resource for resource in opened if isinstance(resource, OperationOutcome)]
        elif type(value) is OperationOutcome:
            outcomes = [value]
        elif value is not None:
            types = {type(value)}
        self.types |= types
        found = {KIND_OF[one] for one in types if one in KIND_OF}
        problem = next((outcome for outcome in outcomes if _is_failure(outcome)), None)
        if type(value) is Unread or (problem is not None and not found):
            self._fail(query, problem, fetched)
            return
        kinds = _kinds(query, value, found)
        if query is None and MedicationRequest not in types and value is not None:
            # statements alone, under a name we do not know, are a supplement: orders may exist that were not sent
            kinds = kinds - {"medications"} if MedicationStatement in types else kinds
        self._note_supplied(query, kinds, found)
        if value is not None:
            self.resources.append(value)
        elif query is not None and query.needed == "for treatment":
            # "no data" to CDS Hooks 2.0, "refused" to some clients: warnings go on, no treatment rests on it (HZ-57)
            self.incomplete.add(query.kind)
            self.gaps.append(
                DataGap("truncated", query.kind, f"{LISTS[query.kind]} was sent as null: no treatment rests on it.")
            )
        if problem is not None:
            self._lose(query, kinds or found, "fetch-failed", "came with an error", fetched)
        if type(value) is Bundle and _is_cut(value):
            what = "holds less than it counts" if fetched else "brought the first page only"
            self._lose(query, kinds or found, "truncated", what, fetched)
        elif any(issue.code in _PARTIAL for outcome in outcomes for issue in outcome.issue):
            self._lose(query, kinds or found, "truncated", "says that it is not complete", fetched)

    def _note_supplied(self, query: Query | None, kinds: set[ResourceKind], found: set[ResourceKind]) -> None:
        if "patient" in found:
            self.supplied.add("patient")
        if query is None or not query.supplement:
            self.supplied |= kinds

    def _fail(self, query: Query | None, problem: OperationOutcome | None, fetched: bool) -> None:
        """The answer could not be obtained, or nobody can read it. Not asked again: whoever asked has tried."""
        if query is None:
            return
        gap, what = "unreadable", "could not be read"
        if problem is not None:
            why = next((_WHY[issue.code] for issue in problem.issue if issue.code in _WHY), "")
            gap, what = "fetch-failed", f"could not be fetched{why}"
        if query.kind == "patient" and problem is None:
            # it was sent: not a 412, yet nothing is known of the patient
            self.supplied.add("patient")
        if not query.supplement:
            self.failed.add(query.kind)
            self.gaps.append(DataGap(gap, query.kind, f"{LISTS[query.kind]} {what}."))
        elif problem is None or not any(issue.code == "not-supported" for issue in problem.issue):
            # a server without this resource type has nothing to hide; any other failure does
            self._lose(query, {query.kind}, gap, what, fetched)

    def _lose(self, query: Query | None, kinds: set[ResourceKind], gap: str, what: str, fetched: bool) -> None:
        """Part of an answer is lost: the gap is named, and the kinds count as incomplete where that matters."""
        if query is None or query.closes:
            self.incomplete |= kinds
        subject = f"prefetch key {query.key}" if query else "a prefetch key"
        if fetched and query is not None:
            subject = f"what was fetched for {query.key}"
        self.gaps += [
            DataGap(gap, kind, f"{LISTS[kind]} may be incomplete: {subject} {what}.") for kind in sorted(kinds)
        ]


def _kinds(query: Query | None, value: Resource | None, found: set[ResourceKind]) -> set[ResourceKind]:
    """What an answer is about: a known key says it; else the search's own link, else the types that came."""
    if query is not None:
        return {query.kind}
    searched = _searched(value) if isinstance(value, Bundle) else None
    return found if searched is None else searched


def _is_cut(bundle: Bundle) -> bool:
    """Whether a searchset is one page of several: it links to a next one, or counts more matches than it holds."""
    if any(link.relation == "next" for link in bundle.link):
        return True
    held = sum(type(entry.resource) is not OperationOutcome for entry in bundle.entry)
    return isinstance(bundle.total, int) and bundle.type == "searchset" and bundle.total > held


def _is_failure(outcome: OperationOutcome) -> bool:
    """Warnings and information are how some EHRs say "no results"; an outcome without issues is a failure."""
    return not outcome.issue or any(issue.severity not in ("warning", "information") for issue in outcome.issue)


def _searched(bundle: Bundle) -> set[ResourceKind] | None:
    """The kind that a searchset says it is about by its `self` link; None when it says nothing usable."""
    url = next((link.url for link in bundle.link if link.relation == "self" and link.url), None)
    if url is None:
        return None
    path, _, parameters = url.partition("?")
    kind = KIND_NAMED.get(path.rstrip("/").rpartition("/")[2])
    if kind is None:
        return None
    if kind == "observations" and "category=" in parameters and "laboratory" not in parameters:
        return set()  # vital signs alone do not tell that there is no laboratory result
    return None if "code=" in parameters else {kind}
