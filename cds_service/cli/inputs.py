"""Files that `check` reads: R4 bundles and resources, CDS Hooks requests, NDJSON. A bad one is told in a line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cds_service.facts.gathered import Gathered, gathered_from_bundle, open_bundles
from cds_service.facts.reading import HookRequest, MalformedRequest, decode_document, decode_resource
from cds_service.facts.wire import Patient, Resource, Unread
from cds_service.fhir.context import HOOKS, check_request
from cds_service.fhir.prefetch import RequiredDataMissing, TooManyResources, gather

_LARGEST = 200 * 1024 * 1024


class BadInput(Exception):
    """A file that cannot be assessed. The text says why, in one line, without any of the file's content."""


def gathered_from(paths: Sequence[Path], hook: str | None) -> Gathered:
    """What the files say about one patient. Raises `BadInput`."""
    resources: list[Resource] = []
    for path in paths:
        document = _read(path)
        if isinstance(document, HookRequest):
            if len(paths) > 1:
                raise BadInput("is a hook request; only bundles can be taken together")
            return _from_request(document, hook)
        resources += document
    return _from_record(resources, hook or "patient-view")


def _read(path: Path) -> HookRequest | list[Resource]:
    try:
        if path.stat().st_size > _LARGEST:
            raise BadInput("is larger than 200 MB")
        body = path.read_bytes()
    except OSError as error:
        raise BadInput(f"cannot be read ({error.strerror or type(error).__name__})") from None
    if body.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<"):
        raise BadInput("is XML; only JSON is read")
    try:
        document = decode_document(body)
    except MalformedRequest as error:
        lines = _lines(body)
        if lines is None:
            raise BadInput(f"{error.place}: {error.mend}") from None
        return lines
    return document if isinstance(document, HookRequest) else [document]


def _lines(body: bytes) -> list[Resource] | None:
    """The resources of NDJSON; None when the file is not that."""
    lines = [line for line in body.splitlines() if line.strip()]
    if len(lines) < 2:
        return None
    try:
        return [decode_resource(line) for line in lines]
    except MalformedRequest:
        return None


def _from_request(request: HookRequest, hook: str | None) -> Gathered:
    wanted = hook or request.hook or ""
    if request.hook is None and request.context is None:
        raise BadInput("is neither FHIR (no resourceType) nor a hook request (no hook)")
    if wanted not in HOOKS:
        raise BadInput(f"hook: there is no service for it here; known are {', '.join(HOOKS)}")
    try:
        check_request(request, wanted)
        return gather(request)
    except MalformedRequest as error:
        raise BadInput(f"{error.place}: {error.mend}") from None
    except RequiredDataMissing as error:
        raise BadInput(f"the prefetch lacks {', '.join(error.keys)}, without which nothing can be said") from None
    except TooManyResources as error:
        raise BadInput(f"holds {error}") from None


def _from_record(resources: list[Resource], hook: str) -> Gathered:
    flat = list(open_bundles(resources, {}))
    patients = {resource.id for resource in flat if isinstance(resource, Patient)}
    if not patients:
        unread = any(isinstance(resource, Unread) and resource.resource_type in (None, "Patient") for resource in flat)
        raise BadInput("holds no Patient that can be read" if unread else "holds no Patient, so it is about nobody")
    if len(patients) > 1:
        raise BadInput(f"holds {len(patients)} patients; check takes one at a time")
    if hook not in HOOKS:
        raise BadInput(f"hook: there is no service for it here; known are {', '.join(HOOKS)}")
    return gathered_from_bundle(resources, hook, drafts_within=bool(HOOKS[hook].orders))
