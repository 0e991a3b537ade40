"""Bytes into wire structs: the whole body in one pass, and only when that fails resource by resource.

What cannot be read becomes an `Unread` in its place, from which `decode` makes a data gap; the rest goes on. Only a
body that is no JSON, no object, or nested beyond reason is refused, with `MalformedRequest`, whose words never hold
any of the body.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any, TypeVar

import msgspec
from msgspec import Raw

from cds_service.facts.wire import READ_TYPES, Bundle, Entry, Link, OperationOutcome, Resource, Skipped, Unread

_BOM = b"\xef\xbb\xbf"
_ID = re.compile(r"[A-Za-z0-9.\-]{1,200}")
_TYPE = re.compile(r"[A-Z][A-Za-z]{1,63}")
_FAILURES = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_OBJECT_FOR_LIST = re.compile(r"^Expected `array`, got `object` - at `\$\.([\w.\[\]]+)`$")
_MOST_MENDS = 8
_T = TypeVar("_T")


class MalformedRequest(Exception):
    """A body that cannot be read at all. Holds where and what to mend, never any of the body's text."""

    def __init__(self, place: str, mend: str) -> None:
        super().__init__(f"{place}: {mend}")
        self.place = place
        self.mend = mend


class FhirAuthorization(msgspec.Struct, frozen=True, gc=False):
    access_token: str | None = None
    token_type: str | None = None
    expires_in: int | None = None
    scope: str | None = None
    subject: str | None = None
    patient: str | None = None

    def __repr__(self) -> str:
        return "FhirAuthorization(...)"


class Context(msgspec.Struct, frozen=True, gc=False):
    """The hook's context. A member that is ill-typed is None here and named in `HookRequest.ill_typed`."""

    userId: str | None = None
    patientId: str | None = None
    encounterId: str | None = None
    selections: tuple[str, ...] | None = None
    draftOrders: Resource | None = None
    medications: Resource | None = None
    conditions: Resource | None = None


class HookRequest(msgspec.Struct, frozen=True, gc=False):
    """A CDS Hooks request. Members that are absent, null or ill-typed are None; `ill_typed` tells the last apart.

    `ill_typed` holds dotted names such as ``context.patientId``. In `prefetch`, None is a null that the client sent
    ("no data"), `Unread` a value that could not be read, `OperationOutcome` a search that failed; wrapped values
    (``{"response": ..., "resource": ...}``) are unwrapped.
    """

    hook: str | None = None
    hookInstance: str | None = None
    fhirServer: str | None = None
    fhirAuthorization: FhirAuthorization | None = None
    context: Context | None = None
    prefetch: dict[str, Resource | None] | None = None
    ill_typed: tuple[str, ...] = ()


class _Body(msgspec.Struct, frozen=True, gc=False):
    hook: str | None = None
    hookInstance: str | None = None
    fhirServer: str | None = None
    fhirAuthorization: FhirAuthorization | None = None
    context: Context | None = None
    prefetch: dict[str, Resource | None] | None = None


class _RawEntry(msgspec.Struct, frozen=True, gc=False):
    fullUrl: Raw = Raw()
    resource: Raw = Raw()


class _RawBundle(msgspec.Struct, frozen=True, gc=False):
    id: Raw = Raw()
    type: Raw = Raw()
    total: Raw = Raw()
    link: Raw = Raw()
    entry: Raw = Raw()


class _Identity(msgspec.Struct, frozen=True, gc=False):
    resourceType: Raw = Raw()
    id: Raw = Raw()


_members = msgspec.json.Decoder(dict[str, Raw])
_items = msgspec.json.Decoder(list[Raw])
_resource: msgspec.json.Decoder[Resource] = msgspec.json.Decoder(Resource)
_body = msgspec.json.Decoder(_Body)
_raw_bundle = msgspec.json.Decoder(_RawBundle)
_raw_entry = msgspec.json.Decoder(_RawEntry)
_identity = msgspec.json.Decoder(_Identity)
_string = msgspec.json.Decoder(str)
_loose = msgspec.json.Decoder(float_hook=Decimal)
_loose_out = msgspec.json.Encoder(decimal_format="number")


def decode_request(body: bytes) -> HookRequest:
    """Reads a CDS Hooks request. Raises `MalformedRequest` when the body is no JSON object; nothing else."""
    body = _without_bom(body)
    try:
        read = _body.decode(body)
    except _FAILURES:
        return _guarded(_request_by_parts, body)
    return HookRequest(
        read.hook, read.hookInstance, read.fhirServer, read.fhirAuthorization, read.context, read.prefetch
    )


def decode_resource(body: bytes) -> Resource:
    """Reads one resource of any type, such as a line of NDJSON. One that cannot be read comes back as `Unread`.

    Raises `MalformedRequest` when the bytes are no JSON object.
    """
    body = _without_bom(body)
    try:
        return _resource.decode(body)
    except _FAILURES:
        return _guarded(_resource_document, body)


def decode_bundle(body: bytes) -> Bundle:
    """Reads a Bundle; a single resource comes back as a Bundle of one entry. Raises `MalformedRequest`."""
    resource = decode_resource(body)
    return resource if isinstance(resource, Bundle) else Bundle(entry=(Entry(resource=resource),))


def decode_document(body: bytes) -> HookRequest | Bundle:
    """Reads a file that is a hook request or FHIR: what has a `resourceType` is FHIR. Raises `MalformedRequest`."""
    body = _without_bom(body)
    members = _guarded(_object, body)
    return decode_bundle(body) if "resourceType" in members else decode_request(body)


def _without_bom(body: bytes) -> bytes:
    return body[3:] if body.startswith(_BOM) else body


def _guarded(read: Callable[[bytes], _T], body: bytes) -> _T:
    try:
        return read(body)
    except RecursionError:
        raise MalformedRequest("body", "nested too deeply") from None


def _object(body: bytes) -> dict[str, Raw]:
    """The members of the outermost object, or `MalformedRequest`."""
    try:
        return _members.decode(body)
    except msgspec.ValidationError:
        raise MalformedRequest("body", "must be a JSON object") from None
    except UnicodeDecodeError:
        raise MalformedRequest("body", "must be UTF-8") from None
    except msgspec.DecodeError as error:
        raise MalformedRequest(_place(body, error), "must be valid JSON") from None


def _place(body: bytes, error: Exception) -> str:
    found = re.search(r"byte (\d+)", str(error))
    if not body.strip():
        return "empty body"
    if found is None:
        return f"line {body.count(10) + 1}" if body else "empty body"
    at = int(found[1])
    return f"line {body.count(10, 0, at) + 1}, column {at - body.rfind(10, 0, at)}"


def _request_by_parts(body: bytes) -> HookRequest:
    members = _object(body)
    ill_typed: list[str] = []
    context: Context | None = None
    raw_context = _present(members, "context")
    if raw_context is not None:
        context = _context(raw_context, ill_typed)
    prefetch: dict[str, Resource | None] | None = None
    raw_prefetch = _present(members, "prefetch")
    if raw_prefetch is not None:
        values = _typed(raw_prefetch, dict[str, Raw], "prefetch", ill_typed)
        if values is not None:
            prefetch = {key: _supplied(raw) for key, raw in values.items()}
    return HookRequest(
        _named(members, "hook", str, "", ill_typed),
        _named(members, "hookInstance", str, "", ill_typed),
        _named(members, "fhirServer", str, "", ill_typed),
        _named(members, "fhirAuthorization", FhirAuthorization, "", ill_typed),
        context,
        prefetch,
        tuple(ill_typed),
    )


def _context(raw: Raw, ill_typed: list[str]) -> Context | None:
    members = _typed(raw, dict[str, Raw], "context", ill_typed)
    if members is None:
        return None
    bundles = []
    for name in ("draftOrders", "medications", "conditions"):
        part = _present(members, name)
        if part is not None and bytes(part)[:1] != b"{":
            ill_typed.append(f"context.{name}")
            part = None
        bundles.append(None if part is None else _supplied(part))
    return Context(
        _named(members, "userId", str, "context.", ill_typed),
        _named(members, "patientId", str, "context.", ill_typed),
        _named(members, "encounterId", str, "context.", ill_typed),
        _named(members, "selections", tuple[str, ...], "context.", ill_typed),
        *bundles,
    )


def _present(members: dict[str, Raw], name: str) -> Raw | None:
    raw = members.get(name)
    return None if raw is None or bytes(raw) == b"null" else raw


def _named(members: dict[str, Raw], name: str, kind: type[_T], prefix: str, ill_typed: list[str]) -> _T | None:
    raw = _present(members, name)
    return None if raw is None else _typed(raw, kind, prefix + name, ill_typed)


def _typed(raw: Raw, kind: type[_T], name: str, ill_typed: list[str]) -> _T | None:
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError):
        ill_typed.append(name)
        return None


def _supplied(raw: Raw) -> Resource | None:
    """One prefetch value: a resource, a wrapped resource, null, or what cannot be read."""
    if bytes(raw) == b"null":
        return None
    try:
        return _resource.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass
    try:
        members = _members.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return Unread()
    if "resourceType" not in members and ("resource" in members or "response" in members):
        inner = _present(members, "resource")
        return OperationOutcome() if inner is None else _by_parts(inner)
    return _by_parts(raw)


def _resource_document(body: bytes) -> Resource:
    _object(body)
    return _by_parts(Raw(body))


def _by_parts(raw: Raw) -> Resource:
    """A resource that failed at once: a Bundle entry by entry, any other without its nulls, else `Unread`."""
    try:
        return _resource.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass
    identity = _identify(raw)
    if identity.resource_type == "Bundle":
        return _bundle_by_parts(raw, identity)
    if identity.resource_type is not None and identity.resource_type not in READ_TYPES:
        return Skipped()
    try:
        return _mended(_without_nulls(_loose.decode(raw)))
    except (
        msgspec.DecodeError,
        msgspec.EncodeError,
        UnicodeError,
        ArithmeticError,
        ValueError,
        TypeError,
        LookupError,
    ):
        return identity


def _mended(value: Any) -> Resource:
    """Decodes a loose resource, reading one object where a list belongs as a list of one. Raises DecodeError."""
    for _ in range(_MOST_MENDS):
        try:
            return _resource.decode(_loose_out.encode(value))
        except msgspec.ValidationError as error:
            found = _OBJECT_FOR_LIST.search(str(error))
            if found is None:
                raise
            *path, last = re.findall(r"[A-Za-z]\w*|(?<=\[)\d+(?=\])", found[1])
            holder = value
            for step in path:
                holder = holder[int(step)] if step.isdigit() else holder[step]
            holder[last] = [holder[last]]
    return _resource.decode(_loose_out.encode(value))


def _bundle_by_parts(raw: Raw, identity: Unread) -> Resource:
    try:
        bundle = _raw_bundle.decode(raw)
        entries = _items.decode(bundle.entry) if bytes(bundle.entry) not in (b"", b"null") else []
    except (msgspec.DecodeError, UnicodeDecodeError):
        return identity
    read = tuple(_entry(item) for item in entries if bytes(item) != b"null")
    try:
        links = msgspec.json.decode(bundle.link, type=tuple[Link, ...]) if bytes(bundle.link) else ()
    except (msgspec.DecodeError, UnicodeDecodeError):
        links = ()
    return Bundle(id=identity.id, type=_text(bundle.type), total=_count(bundle.total), link=links, entry=read)


def _entry(raw: Raw) -> Entry:
    try:
        entry = _raw_entry.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return Entry(resource=Unread())
    absent = bytes(entry.resource) in (b"", b"null")
    return Entry(_text(entry.fullUrl), None if absent else _by_parts(entry.resource))


def _identify(raw: Raw) -> Unread:
    """Type and id of a resource, each only when it can be read and is shaped as FHIR wants it."""
    try:
        identity = _identity.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return Unread()
    name, id_ = _text(identity.resourceType), _text(identity.id)
    return Unread(
        name if name is not None and _TYPE.fullmatch(name) else None,
        id_ if id_ is not None and _ID.fullmatch(id_) else None,
    )


def _text(raw: Raw) -> str | None:
    try:
        return _string.decode(raw) if bytes(raw) else None
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _count(raw: Raw) -> int | None:
    try:
        return msgspec.json.decode(raw, type=int) if bytes(raw) else None
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nulls(member) for name, member in value.items() if member is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value if item is not None]
    return value
