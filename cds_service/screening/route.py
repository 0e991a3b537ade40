"""The first pure function: a resource line to the patient it is about. Reads as little of the line as possible."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal, TypeVar

import msgspec
from msgspec import Raw

from cds_service.facts.gathered import type_and_id
from cds_service.facts.wire import READ_TYPES

OF_PATIENTS = READ_TYPES - {"Bundle", "OperationOutcome", "Medication"}
"""The types that belong to one patient. Medications are shared; every type not read here is skipped."""

_BROKEN_SUBJECT = re.compile(rb'"reference"\s*:\s*"[^"\s]*Patient/([A-Za-z0-9.\-]{1,200})(?=[/"])')
_BROKEN_PATIENT = re.compile(rb'"resourceType"\s*:\s*"Patient"')
_BROKEN_ID = re.compile(rb'"id"\s*:\s*"([A-Za-z0-9.\-]{1,200})"')
_ID = re.compile(r"[A-Za-z0-9.\-]{1,200}")

_T = TypeVar("_T")
What = Literal["patient", "medication", "skipped", "nobody", "broken"]


class Routed(msgspec.Struct, gc=False):
    """Where a line goes.

    `what`: ``patient`` (to the patient `key`), ``medication`` (shared, `key` is its id), ``skipped`` (a type that no
    rule reads), ``nobody`` (about no patient that can be told), ``broken`` (no JSON object with a resourceType; `key`
    is then the patient whose name could still be read in it, or "").
    """

    what: What
    key: str = ""
    type: str = ""
    updated: str = ""
    """`meta.lastUpdated` as written."""
    medications: tuple[str, ...] = ()
    """Ids of shared Medications that the line refers to."""


class _Reference(msgspec.Struct, gc=False):
    reference: str | None = None


class _Meta(msgspec.Struct, gc=False):
    lastUpdated: str | None = None


class _Choice(msgspec.Struct, gc=False):
    reference: _Reference | None = None


class _Part(msgspec.Struct, gc=False):
    itemReference: _Reference | None = None


class _Line(msgspec.Struct, gc=False):
    resourceType: str | None = None
    id: str | None = None
    meta: _Meta | None = None
    subject: _Reference | None = None
    patient: _Reference | None = None
    medicationReference: _Reference | None = None
    medication: _Choice | None = None
    ingredient: tuple[_Part, ...] = ()


class _Loose(msgspec.Struct, gc=False):
    """The same when a member is ill-typed: each is read on its own."""

    resourceType: Raw = Raw()
    id: Raw = Raw()
    meta: Raw = Raw()
    subject: Raw = Raw()
    patient: Raw = Raw()
    medicationReference: Raw = Raw()
    medication: Raw = Raw()
    ingredient: Raw = Raw()


_decode: Callable[[bytes], _Line] = msgspec.json.Decoder(_Line).decode
_decode_loose = msgspec.json.Decoder(_Loose).decode
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_SKIPPED = Routed("skipped")


def route(line: bytes) -> Routed:
    """Whose the resource on an NDJSON line is. Never raises."""
    try:
        read = _decode(line)
    except _UNREADABLE:
        loose = _read_loosely(line)
        if loose is None:
            return _broken(line)
        read = loose
    kind = read.resourceType
    medications: tuple[str, ...] = ()
    if kind in OF_PATIENTS:
        about = read.subject or read.patient
        if kind == "Patient":
            key = _usable(read.id)
        elif about is None or about.reference is None:
            key = ""
        else:
            known = _keys.get(about.reference)
            key = _patient_of(about.reference) if known is None else known
            if read.medicationReference is not None or read.medication is not None:
                medications = _medications_of(read)
    elif kind == "Medication":
        key = _usable(read.id)
        parts = (part.itemReference for part in read.ingredient)
        medications = tuple(filter(None, map(_medication_id, parts)))
    elif kind is None:
        return _broken(line)
    else:
        return _SKIPPED
    meta = read.meta
    updated = meta.lastUpdated or "" if meta is not None else ""
    if not key:
        return Routed("nobody", "", kind, updated)
    return Routed("medication" if kind == "Medication" else "patient", key, kind, updated, medications)


_keys: dict[str, str] = {}
"""Patients by reference, remembered: the lines of one patient mostly follow each other."""
_MOST_KEYS = 10_000


def _usable(id_: str | None) -> str:
    return id_ if id_ and _ID.fullmatch(id_) else ""


def _patient_of(reference: str) -> str:
    named = type_and_id(reference)
    if len(_keys) >= _MOST_KEYS:
        _keys.clear()
    key = _keys[reference] = _usable(named[1]) if named is not None and named[0] == "Patient" else ""
    return key


def _medications_of(read: _Line) -> tuple[str, ...]:
    choice = read.medication.reference if read.medication is not None else None
    named = (_medication_id(read.medicationReference), _medication_id(choice))
    return tuple(dict.fromkeys(filter(None, named)))


def _medication_id(reference: _Reference | None) -> str:
    named = type_and_id(reference.reference) if reference is not None else None
    return named[1] if named is not None and named[0] == "Medication" else ""


def _read_loosely(line: bytes) -> _Line | None:
    try:
        loose = _decode_loose(line.removeprefix(b"\xef\xbb\xbf"))
    except _UNREADABLE:
        return None
    return _Line(
        _typed(loose.resourceType, str),
        _typed(loose.id, str),
        _typed(loose.meta, _Meta),
        _typed(loose.subject, _Reference),
        _typed(loose.patient, _Reference),
        _typed(loose.medicationReference, _Reference),
        _typed(loose.medication, _Choice),
        _typed(loose.ingredient, tuple[_Part, ...]) or (),
    )


def _typed(raw: Raw, kind: type[_T]) -> _T | None:
    try:
        return msgspec.json.decode(raw, type=kind) if bytes(raw) else None
    except _UNREADABLE:
        return None


def _broken(line: bytes) -> Routed:
    """What cannot be read may still name its patient: then the loss is a data gap of that patient."""
    found = _BROKEN_SUBJECT.search(line)
    if found is None and _BROKEN_PATIENT.search(line):
        found = _BROKEN_ID.search(line)
    return Routed("broken", found[1].decode() if found else "")
