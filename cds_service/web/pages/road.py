"""From bytes to what `assess` takes, by the same road as a request; and the hook request that asks the same."""

from __future__ import annotations

from typing import Any

import msgspec

from cds_service.facts.gathered import Gathered, gathered_from_bundle, open_bundles, recorded_day
from cds_service.facts.reading import HookRequest, MalformedRequest, decode_document
from cds_service.facts.wire import Bundle, Patient
from cds_service.fhir.context import HOOKS, check_request
from cds_service.fhir.prefetch import TooManyResources, gather
from cds_service.fhir.queries import QUERIES

FIRST_HOOK = next(iter(HOOKS))
HOOK_INSTANCE = "00000000-0000-4000-8000-000000000000"
_ENCOUNTER = "encounter"
"""Where a hook needs an encounter: a bare record names none."""
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
    resources = tuple(open_bundles((record,), {}))
    patients = {one.id for one in resources if isinstance(one, Patient)}
    if len(patients) != 1:
        many = "holds several patients; send one at a time" if patients else "holds no Patient that can be read"
        raise MalformedRequest("Patient", f"the record {many}")
    if len(resources) > max_resources:
        raise TooManyResources(max_resources)
    gathered = gathered_from_bundle((record,), hook, drafts_within=bool(HOOKS[hook].orders))
    if "encounterId" in HOOKS[hook].required:
        gathered = msgspec.structs.replace(gathered, encounter_id=_ENCOUNTER)
    return Travelled(hook, gathered, _as_request(body, hook, gathered), is_request=False)


def _as_request(body: bytes, hook: str, gathered: Gathered) -> bytes:
    """The hook request with which a client would send this record, every prefetch key answered."""
    try:
        entries = _raw_entries(msgspec.Raw(body.removeprefix(_BOM)), {})
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return b""
    orders, required = HOOKS[hook].orders, HOOKS[hook].required
    drafts: list[_RawEntry] = []
    found: dict[str, list[_RawEntry]] = {query.key: [] for query in QUERIES}
    keys = {query.template.partition("?")[0].partition("/")[0]: query.key for query in reversed(QUERIES)}
    rest: list[_RawEntry] = []
    for entry in entries:
        if orders and entry.kind == "MedicationRequest" and entry.status == "draft":
            drafts.append(entry)
        else:
            found.get(keys.get(entry.kind, ""), rest).append(entry)
    context: dict[str, Any] = {"userId": "Practitioner/preview", "patientId": gathered.patient_id}
    if orders:
        context[orders] = _bundle("collection", drafts)
    if "encounterId" in required:
        context["encounterId"] = _ENCOUNTER
    if "conditions" in required:
        context["conditions"] = _bundle("collection", _latest(found["conditions"]))
    if "selections" in required:
        context["selections"] = [f"{one.kind}/{one.id}" for one in drafts]
    prefetch: dict[str, Any] = {key: _bundle("searchset", some) for key, some in found.items()}
    if len(found["patient"]) == 1 and not found["patient"][0].members.get("fullUrl"):
        prefetch["patient"] = found["patient"][0].members["resource"]
    if rest:
        prefetch["other"] = _bundle("collection", rest)
    return msgspec.json.encode({"hook": hook, "hookInstance": HOOK_INSTANCE, "context": context, "prefetch": prefetch})


def _latest(conditions: list[_RawEntry]) -> list[_RawEntry]:
    """Those recorded on the latest day, as `gathered.latest_problems` chooses them."""
    days = [recorded_day(_word(_resource(one), "recordedDate")) for one in conditions]
    return [one for one, day in zip(conditions, days, strict=True) if day == max(days)]


def _resource(entry: _RawEntry) -> dict[str, msgspec.Raw]:
    return msgspec.json.decode(entry.members["resource"], type=dict[str, msgspec.Raw])


class _RawEntry(msgspec.Struct, frozen=True):
    """One entry of a record as it was written: its resource, and the URL by which others may refer to it."""

    kind: str
    id: str
    status: str
    members: dict[str, Any]


def _raw_entries(raw: msgspec.Raw, around: dict[str, msgspec.Raw]) -> list[_RawEntry]:
    resource = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    kind = _word(resource, "resourceType")
    if kind != "Bundle":
        members = {name: around[name] for name in ("fullUrl",) if name in around} | {"resource": raw}
        return [_RawEntry(kind, _word(resource, "id"), _word(resource, "status"), members)]
    found: list[_RawEntry] = []
    for entry in msgspec.json.decode(resource.get("entry", b"[]"), type=list[dict[str, msgspec.Raw]]):
        if bytes(entry.get("resource", b"null")) != b"null":
            found += _raw_entries(entry["resource"], entry)
    return found


def _word(members: dict[str, msgspec.Raw], name: str) -> str:
    try:
        return msgspec.json.decode(members.get(name, b'""'), type=str)
    except msgspec.DecodeError:
        return ""


def _bundle(kind: str, entries: list[_RawEntry]) -> dict[str, Any]:
    total = {"total": len(entries)} if kind == "searchset" else {}
    listed = {"entry": [one.members for one in entries]} if entries else {}
    return {"resourceType": "Bundle", "type": kind, **total, **listed}
