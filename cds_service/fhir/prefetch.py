"""What each possible answer to a prefetch key means: a request and its prefetch become gathered resources."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

import msgspec

from cds_service.facts.gathered import Gathered, gathered_from_request
from cds_service.facts.model import DataGap, ResourceKind
from cds_service.facts.reading import HookRequest
from cds_service.facts.wire import Bundle, MedicationDispense, MedicationStatement, Patient, Resource
from cds_service.fhir.ledger import KIND_NAMED, LISTS, Ledger
from cds_service.fhir.queries import QUERIES, Query

MAX_RESOURCES = 20_000
"""More than a body of the default size limit can hold at 500 bytes each, the smallest that real records come in."""


_KINDS: frozenset[ResourceKind] = frozenset(get_args(ResourceKind))
_KNOWN: dict[str, Query] = {query.key: query for query in QUERIES}
# Sites that type their prefetch in by hand like to name a key by its type: then null and an empty Bundle say something.
_KNOWN |= {
    name: next(query for query in QUERIES if query.template.startswith(name))
    for name in KIND_NAMED
    if name != "DiagnosticReport"
}
_NAMED_BY_TYPE: dict[str, type] = {
    "medication-statements": MedicationStatement,
    "medication-dispenses": MedicationDispense,
}
"""Supplements that are recognized by their type under any key."""
_NO_ALIASES: Mapping[str, str] = {}
_NOTHING: Mapping[str, Resource | None] = {}


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


def gather(
    request: HookRequest,
    max_resources: int = MAX_RESOURCES,
    aliases: Mapping[str, str] = _NO_ALIASES,
    fetched: Mapping[str, Resource | None] = _NOTHING,
    gaps: tuple[DataGap, ...] = (),
) -> Gathered:
    """Reads the prefetch of a checked request; `aliases` are the client's own keys to ours.

    `fetched` is what the service fetched itself: under our keys what was missing, under the client's own key the
    whole of a prefetched page that had more to it, under a resource type what others refer to. `gaps` say what could
    not even be asked. Raises `RequiredDataMissing` (412) and `TooManyResources` (413).
    """
    ledger = Ledger()
    prefetch = request.prefetch or {}
    for key, value in ({**prefetch, **fetched} if fetched else prefetch).items():
        ledger.read(_KNOWN.get(aliases.get(key, key)), value, key in fetched)
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
        gaps=(*_unsupplied(not_supplied - ledger.failed), *ledger.gaps, *gaps),
    )
    if len(gathered.resources) + len(gathered.drafts) > max_resources:
        raise TooManyResources(max_resources)
    return gathered


def missing_queries(request: HookRequest, aliases: Mapping[str, str] = _NO_ALIASES) -> tuple[Query, ...]:
    """The queries that nothing in the prefetch answers. A failed one is answered: the client has tried."""
    prefetch = request.prefetch or {}
    known = {key: _KNOWN.get(aliases.get(key, key)) for key in prefetch}
    answered = {query.key for query in known.values() if query is not None}
    if len(answered) == len(QUERIES):
        return ()
    ledger = Ledger()
    for key, value in prefetch.items():
        ledger.read(known[key], value)
    answered |= {key for key, read in _NAMED_BY_TYPE.items() if read in ledger.types}
    answered |= {query.key for query in QUERIES if query.kind in ledger.supplied and not query.supplement}
    return tuple(query for query in QUERIES if query.key not in answered)


def cut_answers(request: HookRequest, aliases: Mapping[str, str] = _NO_ALIASES) -> dict[str, tuple[Query | None, str]]:
    """Prefetched pages that have more to them: by the client's key, the query (None: not known) and the `next` URL."""
    found: dict[str, tuple[Query | None, str]] = {}
    for key, value in (request.prefetch or {}).items():
        if type(value) is Bundle and value.link:
            url = next((link.url for link in value.link if link.relation == "next" and link.url), None)
            if url is not None:
                found[key] = (_KNOWN.get(aliases.get(key, key)), url)
    return found


def values_about(
    request: HookRequest, kind: ResourceKind, aliases: Mapping[str, str] = _NO_ALIASES
) -> list[Resource | None]:
    """The prefetched values that may hold resources of a kind: those under its keys and under keys not known."""
    known = ((_KNOWN.get(aliases.get(key, key)), value) for key, value in (request.prefetch or {}).items())
    return [value for query, value in known if query is None or query.kind == kind]


def _unsupplied(kinds: frozenset[ResourceKind]) -> list[DataGap]:
    return [DataGap("not-supplied", kind, f"{LISTS[kind]} not supplied.") for kind in sorted(kinds)]
