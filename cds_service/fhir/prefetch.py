"""What this service asks an EHR to send along, and what each possible answer means.

`QUERIES` is the whole table; discovery, the reading of answers, the integrator's guide and the template linter all
come from it. The templates keep to what CDS Hooks 2.0.1 allows (root-level primitive context fields, a small subset
of search parameters) and to searches that US Core servers must support. None filters by status: an on-hold or a
completed but still supplied drug closes gates. `_count` is a page size, large because a client hands over one page.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

import msgspec

from cds_service.facts.gathered import Gathered, gathered_from_request, open_bundles
from cds_service.facts.model import DataGap, ResourceKind
from cds_service.facts.reading import HookRequest
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

MAX_RESOURCES = 20_000
"""More than a body of the default size limit can hold at 500 bytes each, the smallest that real records come in."""


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """One prefetch key. A supplement adds to a kind of data whose main list is another key: it cannot stand for it."""

    key: str
    template: str
    kind: ResourceKind
    needed: Literal["required", "for treatment", "optional"] = "optional"
    supplement: bool = False
    closes: bool = True
    """Whether a failed or truncated answer leaves the kind incomplete, which withholds treatment suggestions."""


_PATIENT = "patient={{context.patientId}}"
QUERIES: tuple[Query, ...] = (
    Query(key="patient", template="Patient/{{context.patientId}}", kind="patient", needed="required"),
    Query(
        key="medications",
        # every order-like intent, and `plan`: US Core carries patient-reported medicines so
        template=f"MedicationRequest?{_PATIENT}"
        "&intent=order,plan,original-order,reflex-order,filler-order,instance-order&_count=500",
        kind="medications",
        needed="for treatment",
    ),
    Query(
        # problem list, encounter diagnoses and health concerns alike
        key="conditions",
        template=f"Condition?{_PATIENT}&_count=500",
        kind="conditions",
        needed="for treatment",
    ),
    Query(
        key="observations",
        template=f"Observation?{_PATIENT}&category=laboratory&_sort=-date&_count=1000",
        kind="observations",
        needed="for treatment",
    ),
    Query(key="allergies", template=f"AllergyIntolerance?{_PATIENT}&_count=200", kind="allergies"),
    Query(key="procedures", template=f"Procedure?{_PATIENT}&_sort=-date&_count=200", kind="procedures"),
    Query(
        key="service-requests",
        template=f"ServiceRequest?{_PATIENT}&_sort=-authored&_count=200",
        kind="service-requests",
    ),
    Query(
        key="medication-statements",
        template=f"MedicationStatement?{_PATIENT}&_count=200",
        kind="medications",
        supplement=True,
    ),
    Query(
        key="medication-dispenses",
        template=f"MedicationDispense?{_PATIENT}&_count=200",
        kind="medications",
        supplement=True,
        closes=False,
    ),
    Query(
        key="vital-signs",
        template=f"Observation?{_PATIENT}&category=vital-signs&_sort=-date&_count=200",
        kind="observations",
        supplement=True,
        closes=False,
    ),
    Query(
        key="social-history",
        template=f"Observation?{_PATIENT}&category=social-history&_sort=-date&_count=200",
        kind="observations",
        supplement=True,
        closes=False,
    ),
    Query(
        key="clinical-tests",
        template=f"Observation?{_PATIENT}&category=procedure&_sort=-date&_count=100",
        kind="observations",
        supplement=True,
        closes=False,
    ),
)
TEMPLATES: dict[str, str] = {query.key: query.template for query in QUERIES}

_KINDS: frozenset[ResourceKind] = frozenset(get_args(ResourceKind))
_KIND_OF: dict[type, ResourceKind] = {
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
_LISTS: dict[ResourceKind, str] = {
    "patient": "Patient record",
    "medications": "Medication list",
    "conditions": "Condition list",
    "observations": "Laboratory results",
    "allergies": "Allergy list",
    "procedures": "Procedure list",
    "service-requests": "Orders for tests and services",
}
_KIND_NAMED: dict[str, ResourceKind] = {read.__name__: kind for read, kind in _KIND_OF.items()}
_KNOWN: dict[str, Query] = {query.key: query for query in QUERIES}
# Sites that type their prefetch in by hand like to name a key by its type: then null and an empty Bundle say something.
_KNOWN |= {
    name: next(query for query in QUERIES if query.template.startswith(name))
    for name in _KIND_NAMED
    if name != "DiagnosticReport"
}


_PARTIAL = frozenset(
    {"incomplete", "suppressed", "too-costly", "timeout", "throttled", "security", "forbidden", "transient"}
)
"""FHIR issue types by which a server says, however mildly, that an answer is not all there is."""


_NO_ALIASES: Mapping[str, str] = {}


class RequiredDataMissing(Exception):
    """A required prefetch key is absent, or its search failed, and there is no other way to the data."""

    def __init__(self, keys: tuple[str, ...]) -> None:
        super().__init__(f"required prefetch keys missing: {', '.join(keys)}")
        self.keys = keys


class TooManyResources(Exception):
    """More resources than the configured limit."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"more than {limit} resources")
        self.limit = limit


class _Ledger:
    """What the keys read so far have supplied, failed to supply, or supplied in part."""

    def __init__(self) -> None:
        self.resources: list[Resource] = []
        self.supplied: set[ResourceKind] = set()
        self.failed: set[ResourceKind] = set()
        self.incomplete: set[ResourceKind] = set()
        self.gaps: list[DataGap] = []

    def lose(self, query: Query | None, kinds: set[ResourceKind], gap: str, what: str) -> None:
        """Part of an answer is lost: the gap is named, and the kinds count as incomplete where that matters."""
        if query is None or query.closes:
            self.incomplete |= kinds
        subject = f"prefetch key {query.key}" if query else "a prefetch key"
        self.gaps += [
            DataGap(gap, kind, f"{_LISTS[kind]} may be incomplete: {subject} {what}.") for kind in sorted(kinds)
        ]


def gather(
    request: HookRequest, max_resources: int = MAX_RESOURCES, aliases: Mapping[str, str] = _NO_ALIASES
) -> Gathered:
    """Reads the prefetch of a checked request; `aliases` are the client's own keys to ours.

    Raises `RequiredDataMissing` (412) and `TooManyResources` (413).
    """
    ledger = _Ledger()
    for key, value in (request.prefetch or {}).items():
        _read(ledger, _KNOWN.get(aliases.get(key, key)), value)
    if "patient" not in ledger.supplied:
        raise RequiredDataMissing(("patient",))
    gathered = gathered_from_request(request, ledger.resources)
    ids = {resource.id for resource in gathered.resources if type(resource) is Patient}
    if not ids & {gathered.patient_id, None}:
        # the key was answered, so this is no 412: with null, with nothing, or with another patient
        ledger.supplied.discard("patient")
    not_supplied = _KINDS - ledger.supplied
    gathered = msgspec.structs.replace(
        gathered,
        not_supplied=not_supplied,
        incomplete=frozenset(ledger.incomplete | (ledger.failed & ledger.supplied)),
        gaps=(*_unsupplied(not_supplied - ledger.failed), *ledger.gaps),
    )
    if len(gathered.resources) + len(gathered.drafts) > max_resources:
        raise TooManyResources(max_resources)
    return gathered


def _read(ledger: _Ledger, query: Query | None, value: Resource | None) -> None:
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
    found = {_KIND_OF[one] for one in types if one in _KIND_OF}
    problem = next((outcome for outcome in outcomes if _is_failure(outcome)), None)
    if type(value) is Unread or (problem is not None and not found):
        _fail(ledger, query, problem)
        return
    kinds = _kinds(query, value, found)
    if query is None and MedicationRequest not in types and value is not None:
        # statements alone, under a name we do not know, are a supplement: orders may exist that were not sent
        kinds = kinds - {"medications"} if MedicationStatement in types else kinds
    _note_supplied(ledger, query, kinds, found)
    if value is not None:
        ledger.resources.append(value)
    elif query is not None and query.needed == "for treatment":
        # "no data" to CDS Hooks 2.0, "refused" to some clients: warnings go on, no treatment rests on it (HZ-57)
        ledger.incomplete.add(query.kind)
        ledger.gaps.append(
            DataGap("truncated", query.kind, f"{_LISTS[query.kind]} was sent as null: no treatment rests on it.")
        )
    if problem is not None:
        ledger.lose(query, kinds or found, "fetch-failed", "came with an error")
    if type(value) is Bundle and _is_cut(value):
        ledger.lose(query, kinds or found, "truncated", "brought the first page only")
    elif any(issue.code in _PARTIAL for outcome in outcomes for issue in outcome.issue):
        ledger.lose(query, kinds or found, "truncated", "says that it is not complete")


def _kinds(query: Query | None, value: Resource | None, found: set[ResourceKind]) -> set[ResourceKind]:
    """What an answer is about: a known key says it; else the search's own link, else the types that came."""
    if query is not None:
        return {query.kind}
    searched = _searched(value) if isinstance(value, Bundle) else None
    return found if searched is None else searched


def _note_supplied(ledger: _Ledger, query: Query | None, kinds: set[ResourceKind], found: set[ResourceKind]) -> None:
    if "patient" in found:
        ledger.supplied.add("patient")
    if query is None or not query.supplement:
        ledger.supplied |= kinds


def _fail(ledger: _Ledger, query: Query | None, problem: OperationOutcome | None) -> None:
    """The client could not obtain this answer, or nobody can read it. Not asked again: the client has tried."""
    gap = "unreadable" if problem is None else "fetch-failed"
    what = "could not be read" if problem is None else "could not be fetched"
    if query is None:
        return
    if query.kind == "patient" and problem is None:
        # it was sent: not a 412, yet nothing is known of the patient
        ledger.supplied.add("patient")
    if not query.supplement:
        ledger.failed.add(query.kind)
        ledger.gaps.append(DataGap(gap, query.kind, f"{_LISTS[query.kind]} {what}."))
    elif problem is None or not any(issue.code == "not-supported" for issue in problem.issue):
        # a server without this resource type has nothing to hide; any other failure does
        ledger.lose(query, {query.kind}, gap, what)


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
    kind = _KIND_NAMED.get(path.rstrip("/").rpartition("/")[2])
    if kind is None:
        return None
    if kind == "observations" and "category=" in parameters and "laboratory" not in parameters:
        return set()  # vital signs alone do not tell that there is no laboratory result
    return None if "code=" in parameters else {kind}


def _unsupplied(kinds: frozenset[ResourceKind]) -> list[DataGap]:
    return [DataGap("not-supplied", kind, f"{_LISTS[kind]} not supplied.") for kind in sorted(kinds)]
