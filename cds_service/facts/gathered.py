"""What one assessment is about: the hook, its context, the resources supplied, and what was not supplied."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import msgspec

from cds_service.facts.model import DataGap, ResourceKind
from cds_service.facts.reading import HookRequest
from cds_service.facts.wire import Bundle, Condition, MedicationRequest, Patient, Resource

REFILL_HOOK = "medication-refill"
PROBLEM_HOOK = "problem-list-item-create"

_REFERENCE = re.compile(r"(?:^|/)([A-Z][A-Za-z]+)/([A-Za-z0-9.\-]+)(?:/_history/[^/]*)?$")


class Gathered(msgspec.Struct, frozen=True):
    """All that `assess` gets to see of a patient.

    `patient_id` is the bare id ("" when nobody was named). `resources` is flat: Bundles are opened, their resources
    stand beside each other. `by_url` finds a resource by a `fullUrl` that is no `Type/id` (``urn:uuid:...``).
    `drafts` are the draft orders of an order hook; `selections` holds ``Type/id`` (a bare id where the
    client sent that), or is None on hooks without
    selections. `problems` are the conditions that were just put on the problem list, where the hook is about
    that. `not_supplied` and `incomplete` hold `ResourceKind` names.
    """

    hook: str
    patient_id: str
    user_id: str | None = None
    encounter_id: str | None = None
    resources: tuple[Resource, ...] = ()
    drafts: tuple[Resource, ...] = ()
    selections: frozenset[str] | None = None
    problems: tuple[Resource, ...] = ()
    not_supplied: frozenset[ResourceKind] = frozenset()
    incomplete: frozenset[ResourceKind] = frozenset()
    gaps: tuple[DataGap, ...] = ()
    by_url: dict[str, Resource] = {}


def type_and_id(reference: str | None) -> tuple[str, str] | None:
    """``("Patient", "1")`` of a relative, absolute or versioned reference; None for any other form."""
    found = _REFERENCE.search(reference) if reference else None
    return (found[1], found[2]) if found else None


def bare_id(reference: str | None) -> str:
    """The id of ``1``, ``Patient/1`` or ``https://ehr/fhir/Patient/1``; "" when there is none."""
    if not reference:
        return ""
    found = type_and_id(reference.strip())
    return found[1] if found else reference.strip()


def _as_reference(selection: str) -> str:
    """``Type/id`` of a selection however it is spelled; a bare id stays one."""
    named = type_and_id(selection)
    return "/".join(named) if named else selection


def open_bundles(resources: Iterable[Resource | None], by_url: dict[str, Resource]) -> Iterator[Resource]:
    """Every resource in `resources`, Bundles opened to any depth; fills `by_url` with what only a URL can name."""
    for resource in resources:
        if resource is None:
            continue
        if type(resource) is not Bundle:
            yield resource
            continue
        waiting = [iter(resource.entry)]
        while waiting:
            for entry in waiting[-1]:
                inner = entry.resource
                if inner is None:
                    continue
                if type(inner) is Bundle:
                    waiting.append(iter(inner.entry))
                    break
                url = entry.fullUrl
                if url is not None and url.startswith("urn:"):
                    by_url[url] = inner
                yield inner
            else:
                waiting.pop()


def selections_name_a_draft(gathered: Gathered) -> bool:
    """Whether the selections can be used: none, other kinds of orders, or medication orders of which one is a draft.

    A client that forms its references otherwise would else get silence, which looks like health.
    """
    selections = gathered.selections
    if not selections or any("/" in one and not one.startswith("MedicationRequest/") for one in selections):
        return True
    ids = {one.id for one in gathered.drafts if type(one) is MedicationRequest}
    return any(one.rpartition("/")[2] in ids for one in selections)


def gathered_from_bundle(
    resources: Iterable[Resource],
    hook: str = "patient-view",
    drafts: Iterable[Resource] = (),
    drafts_within: bool = False,
) -> Gathered:
    """Gathers a bare Bundle (or several): everything counts as supplied, the patient is the one in it.

    With several Patients in it the patient is unknown: `patient_id` stays empty, and `build_facts` names the gap.
    Where the hook is about new problems, those recorded last are the new ones. `drafts_within`: the hook is about
    orders, and a record has no `draftOrders`; its draft medication orders are they.
    """
    by_url: dict[str, Resource] = {}
    ordered = [*open_bundles(drafts, by_url)]
    flat = tuple(open_bundles(resources, by_url))
    if drafts_within:
        ordered += [one for one in flat if _is_draft(one)]
        flat = tuple(one for one in flat if not _is_draft(one))
    ids = {resource.id for resource in flat if isinstance(resource, Patient)}
    only = next(iter(ids)) if len(ids) == 1 else None
    return Gathered(
        hook=hook,
        patient_id=only or "",
        resources=flat,
        drafts=tuple(ordered),
        problems=latest_problems(flat) if hook == PROBLEM_HOOK else (),
        by_url=by_url,
    )


def _is_draft(one: Resource) -> bool:
    return isinstance(one, MedicationRequest) and one.status == "draft"


def latest_problems(resources: Iterable[Resource]) -> tuple[Condition, ...]:
    """The conditions recorded on the latest day; all of them where none tells its day."""
    conditions = [one for one in resources if type(one) is Condition]
    latest = max((recorded_day(one.recordedDate) for one in conditions), default="")
    return tuple(one for one in conditions if recorded_day(one.recordedDate) == latest)


def recorded_day(recorded: str | None) -> str:
    """The day of a `recordedDate`, so that days compare as text."""
    return (recorded or "")[:10]


def gathered_from_request(
    request: HookRequest,
    resources: Iterable[Resource | None],
    not_supplied: frozenset[ResourceKind] = frozenset(),
    incomplete: frozenset[ResourceKind] = frozenset(),
    gaps: tuple[DataGap, ...] = (),
) -> Gathered:
    """Gathers a hook request: `resources` are the prefetched and fetched values, Bundles or not, in any order."""
    context = request.context
    by_url: dict[str, Resource] = {}
    flat = tuple(open_bundles(resources, by_url))
    drafts: tuple[Resource, ...] = ()
    problems: tuple[Resource, ...] = ()
    selections: frozenset[str] | None = None
    if context is not None:
        drafts = tuple(open_bundles((context.draftOrders, context.medications), by_url))
        if request.hook == REFILL_HOOK:
            flat += _standing_orders(drafts, flat)
        elif request.hook == PROBLEM_HOOK:
            problems = tuple(open_bundles((context.conditions,), by_url))
        if context.selections is not None:
            selections = frozenset(_as_reference(one) for one in context.selections)
    return Gathered(
        hook=request.hook or "",
        patient_id=bare_id(context.patientId) if context else "",
        user_id=context.userId if context else None,
        encounter_id=(bare_id(context.encounterId) or None) if context else None,
        resources=flat,
        drafts=drafts,
        selections=selections,
        problems=problems,
        not_supplied=not_supplied,
        incomplete=incomplete,
        gaps=gaps,
        by_url=by_url,
    )


def stands(order: Resource) -> bool:
    """Whether an order that is to be refilled is one that the patient has, as against a draft of a new one."""
    return type(order) is MedicationRequest and order.status == "active"


def _standing_orders(orders: Iterable[Resource], supplied: Iterable[Resource]) -> tuple[Resource, ...]:
    """The orders to be refilled that are in force and did not come with the record."""
    ids = {one.id for one in supplied if isinstance(one, MedicationRequest)}
    return tuple(one for one in orders if isinstance(one, MedicationRequest) and stands(one) and one.id not in ids)
