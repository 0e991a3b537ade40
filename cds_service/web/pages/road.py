"""From bytes to what `assess` takes, by the same road as a request; and the hook request that asks the same."""

from __future__ import annotations

from typing import Any

import msgspec

from cds_service.facts.gathered import Gathered, gathered_from_bundle, open_bundles
from cds_service.facts.reading import HookRequest, MalformedRequest, decode_document
from cds_service.facts.wire import Bundle, Entry, MedicationRequest, Patient, Resource
from cds_service.fhir.context import HOOKS, check_request
from cds_service.fhir.prefetch import QUERIES, TooManyResources, gather

FIRST_HOOK = next(iter(HOOKS))
HOOK_INSTANCE = "00000000-0000-4000-8000-000000000000"
_BOM = b"\xef\xbb\xbf"


class Travelled(msgspec.Struct, frozen=True):
    """What came out of the bytes. `request` asks the same over HTTP; empty when no hook request can."""

    hook: str
    gathered: Gathered
    request: bytes
    is_request: bool


def travel(body: bytes, hook: str, max_resources: int) -> Travelled:
    """Decodes and gathers. An empty `hook` means: as the body says. Raises what an invocation raises."""
    document = decode_document(body)
    if hook and hook not in HOOKS:
        raise MalformedRequest("hook", f"must be one of {', '.join(HOOKS)}")
    if isinstance(document, HookRequest):
        return _of_request(document, body, hook, max_resources)
    return _of_record(document, body, hook or FIRST_HOOK, max_resources)


def _of_request(document: HookRequest, body: bytes, hook: str, max_resources: int) -> Travelled:
    if not hook and document.hook is not None and document.hook not in HOOKS:
        raise MalformedRequest("hook", f"must be one of {', '.join(HOOKS)}")
    hook = hook or document.hook or FIRST_HOOK
    check_request(document, hook)
    return Travelled(hook, gather(document, max_resources), body.removeprefix(_BOM), is_request=True)


def _of_record(record: Bundle, body: bytes, hook: str, max_resources: int) -> Travelled:
    """A bare record. On order hooks its draft medication orders are what is being ordered."""
    urls: dict[str, Resource] = {}
    resources = tuple(open_bundles((record,), urls))
    patients = {one.id for one in resources if isinstance(one, Patient)}
    if len(patients) != 1:
        many = "holds several patients; send one at a time" if patients else "holds no Patient that can be read"
        raise MalformedRequest("Patient", f"the record {many}")
    if len(resources) > max_resources:
        raise TooManyResources(max_resources)
    drafts = [one for one in resources if hook != FIRST_HOOK and _is_draft(one)]
    left_out = set(map(id, drafts))
    kept = Bundle(entry=tuple(_entries(record, left_out)))
    gathered = gathered_from_bundle((kept,), hook, drafts)
    return Travelled(hook, gathered, _as_request(body, hook, gathered), is_request=False)


def _entries(record: Bundle, left_out: set[int]) -> list[Entry]:
    entries: list[Entry] = []
    for entry in record.entry:
        if isinstance(entry.resource, Bundle):
            entries += _entries(entry.resource, left_out)
        elif id(entry.resource) not in left_out:
            entries.append(entry)
    return entries


def _is_draft(resource: Resource) -> bool:
    return isinstance(resource, MedicationRequest) and resource.status == "draft"


def _as_request(body: bytes, hook: str, gathered: Gathered) -> bytes:
    """The hook request with which a client would send this record, every prefetch key answered."""
    try:
        record = msgspec.json.decode(body.removeprefix(_BOM), type=dict[str, msgspec.Raw])
        resources = _raw_resources(record)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return b""
    ordering = hook != FIRST_HOOK
    drafts: list[Any] = []
    found: dict[str, list[Any]] = {query.key: [] for query in QUERIES}
    keys = {query.template.partition("?")[0].partition("/")[0]: query.key for query in reversed(QUERIES)}
    rest: list[Any] = []
    for kind, status, identity, raw in resources:
        if ordering and kind == "MedicationRequest" and status == "draft":
            drafts.append((f"{kind}/{identity}", raw))
        else:
            found.get(keys.get(kind, ""), rest).append(raw)
    context: dict[str, Any] = {"userId": "Practitioner/preview", "patientId": gathered.patient_id}
    if ordering:
        context["draftOrders"] = _bundle("collection", [raw for _, raw in drafts])
    if hook == "order-select":
        context["selections"] = [reference for reference, _ in drafts]
    prefetch: dict[str, Any] = {key: _bundle("searchset", found[key]) for key in found if key != "patient"}
    prefetch = {"patient": found["patient"][0] if found["patient"] else None, **prefetch}
    if rest:
        prefetch["other"] = _bundle("collection", rest)
    return msgspec.json.encode({"hook": hook, "hookInstance": HOOK_INSTANCE, "context": context, "prefetch": prefetch})


def _raw_resources(record: dict[str, msgspec.Raw]) -> list[tuple[str, str, str, msgspec.Raw]]:
    """Type, status, id and bytes of every resource of a record, as it was written."""
    kind = _word(record, "resourceType")
    if kind != "Bundle":
        return [(kind, _word(record, "status"), _word(record, "id"), msgspec.Raw(msgspec.json.encode(record)))]
    found = []
    for entry in msgspec.json.decode(record.get("entry", b"[]"), type=list[dict[str, msgspec.Raw]]):
        if bytes(entry.get("resource", b"null")) != b"null":
            found += _raw_resources(msgspec.json.decode(entry["resource"], type=dict[str, msgspec.Raw]))
    return found


def _word(members: dict[str, msgspec.Raw], name: str) -> str:
    try:
        return msgspec.json.decode(members.get(name, b'""'), type=str)
    except msgspec.DecodeError:
        return ""


def _bundle(kind: str, resources: list[Any]) -> dict[str, Any]:
    entries = {"entry": [{"resource": one} for one in resources]} if resources else {}
    total = {"total": len(resources)} if kind == "searchset" else {}
    return {"resourceType": "Bundle", "type": kind, **total, **entries}
