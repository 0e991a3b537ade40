"""A Bulk Data export as it lies in a folder: which files, of what, and what was never asked for.

Manifests are read where they are (a JSON file with `transactionTime` and `output`), yet none is needed: what a file
holds is told by its first line. Several exports may lie in subfolders, such as a full one and later increments.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple, get_args
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec

from cds_service.facts.model import DataGap, ResourceKind
from cds_service.screening.lines import SUFFIXES, Unreadable, open_file

_KIND_OF: dict[str, ResourceKind] = {
    "Patient": "patient",
    "MedicationRequest": "medications",
    "MedicationStatement": "medications",
    "Condition": "conditions",
    "Observation": "observations",
    "DiagnosticReport": "observations",
    "Procedure": "procedures",
    "AllergyIntolerance": "allergies",
    "ServiceRequest": "service-requests",
}
_KINDS: frozenset[ResourceKind] = frozenset(get_args(ResourceKind))
_GATED: frozenset[ResourceKind] = frozenset({"medications", "conditions", "observations"})
_WORDS: dict[ResourceKind, str] = {
    "patient": "Patient records",
    "medications": "Medication lists",
    "conditions": "Condition lists",
    "observations": "Results",
    "allergies": "Allergy lists",
    "procedures": "Procedure lists",
    "service-requests": "Orders for tests and services",
}
_FIRST_BYTES = 4 * 1024 * 1024
_LARGEST_MANIFEST = 64 * 1024 * 1024
_LOG = re.compile(r"log(\.\d+)?\.ndjson")
"""The log that the common Bulk Data client leaves beside the files."""

Role = Literal["output", "deleted", "error"]


class ExportFile(msgspec.Struct, frozen=True):
    """One file; `path` is relative to the export's folder, with slashes."""

    path: str
    size: int
    modified_ns: int
    role: Role
    type: str = ""
    """The resource type of its first line."""
    until: str = ""
    """`transactionTime` of the manifest that names it."""


class Export(msgspec.Struct, frozen=True):
    """A whole export, as far as it can be told without reading it through."""

    files: tuple[ExportFile, ...]
    fingerprint: str
    asked: frozenset[str] = frozenset()
    """Resource types that a manifest says were asked for."""
    is_increment: bool = False
    """Whether every manifest says that it holds only what changed since an instant."""
    errors: int = 0
    """OperationOutcomes of severity error or fatal in the error files."""
    passed_over: tuple[str, ...] = ()
    """Files that were not read, such as the log of the client that fetched the export."""

    @property
    def outputs(self) -> tuple[ExportFile, ...]:
        return tuple(one for one in self.files if one.role == "output")

    @property
    def deleted(self) -> tuple[ExportFile, ...]:
        return tuple(one for one in self.files if one.role == "deleted")


class NoExport(Exception):
    """A folder that holds no export. The text says why."""


class _Listed(msgspec.Struct):
    url: str = ""
    type: str = ""


class _Manifest(msgspec.Struct):
    transactionTime: str
    output: list[_Listed]
    request: str = ""
    error: list[_Listed] = []
    deleted: list[_Listed] = []


class _Verb(msgspec.Struct):
    method: str = ""
    url: str = ""


class _DeletedEntry(msgspec.Struct):
    request: _Verb | None = None


class _First(msgspec.Struct):
    resourceType: str = ""
    entry: list[_DeletedEntry] = []


class _Issue(msgspec.Struct):
    severity: str = ""


class _Outcome(msgspec.Struct):
    resourceType: str = ""
    issue: list[_Issue] = []


def find_export(folder: Path) -> Export:
    """Looks at every file under `folder` without reading it through. Raises `NoExport` and `Unreadable`."""
    if not folder.is_dir():
        raise NoExport(f"{folder}: is no folder")
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    manifests = dict(_manifests(folder, names))
    listed = _listed(manifests)
    files: list[ExportFile] = []
    passed_over = []
    for name in names:
        if not name.endswith(SUFFIXES):
            continue
        if _LOG.fullmatch(name.rpartition("/")[2]):
            passed_over.append(name)
            continue
        files.append(_file(folder, name, listed))
    if not any(one.role == "output" for one in files):
        raise NoExport(f"{folder}: holds no file of an export ({', '.join(SUFFIXES[:3])})")
    errors = sum(_errors_in(folder / one.path) for one in files if one.role == "error")
    asked, is_increment = _asked(list(manifests.values()))
    return Export(
        files=tuple(files),
        fingerprint=_fingerprint(folder, files, manifests),
        asked=asked,
        is_increment=is_increment,
        errors=errors,
        passed_over=tuple(passed_over),
    )


class Missing(NamedTuple):
    """What an export lacks: of each patient alike."""

    not_supplied: frozenset[ResourceKind] = frozenset()
    incomplete: frozenset[ResourceKind] = frozenset()
    gaps: tuple[DataGap, ...] = ()


def what_is_missing(export: Export, types: Iterable[str]) -> Missing:
    """Kinds neither asked for nor met (`types` are the types of all lines) are unknown; the others, where a patient
    has none, are known to be empty. After errors, and in increments, nothing that gates ask about is known to be whole.
    """
    met = export.asked.union(types)
    not_supplied = _KINDS - {_KIND_OF[name] for name in met if name in _KIND_OF}
    gaps = [DataGap("not-supplied", kind, f"{_WORDS[kind]} are not in the export.") for kind in sorted(not_supplied)]
    if not export.errors and not export.is_increment:
        return Missing(not_supplied, frozenset(), tuple(gaps))
    kind, why = (
        ("fetch-failed", "the export reported errors")
        if export.errors
        else ("truncated", "the export holds only what changed since an instant")
    )
    gaps += [DataGap(kind, what, f"{_WORDS[what]} may be incomplete: {why}.") for what in sorted(_GATED)]
    return Missing(not_supplied, _GATED, tuple(gaps))


def deletions_in(path: Path) -> Iterator[str]:
    """``Type/id`` of everything that a file of deletions names."""
    for line in _lines(path):
        try:
            bundle = msgspec.json.decode(line, type=_First)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
        for entry in bundle.entry:
            if entry.request is not None and _is_deletion(entry):
                yield "/".join(entry.request.url.split("?")[0].rstrip("/").rsplit("/", 2)[-2:])


def _manifests(folder: Path, names: Iterable[str]) -> Iterator[tuple[str, _Manifest]]:
    for name in names:
        path = folder / name
        if name.endswith(".json") and path.stat().st_size <= _LARGEST_MANIFEST:
            try:
                yield name, msgspec.json.decode(path.read_bytes(), type=_Manifest)
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue


def _listed(manifests: dict[str, _Manifest]) -> dict[str, tuple[Role, str]]:
    """Role and transactionTime by the file name that a URL ends in, in the manifest's own folder."""
    found: dict[str, tuple[Role, str]] = {}
    for name, manifest in manifests.items():
        parent = name.rpartition("/")[0]
        lists: tuple[tuple[Role, list[_Listed]], ...] = (
            ("output", manifest.output),
            ("error", manifest.error),
            ("deleted", manifest.deleted),
        )
        for role, entries in lists:
            for entry in entries:
                last = unquote(urlsplit(entry.url).path).rpartition("/")[2]
                found[f"{parent}/{last}".lstrip("/")] = (role, manifest.transactionTime)
    return found


def _file(folder: Path, name: str, listed: dict[str, tuple[Role, str]]) -> ExportFile:
    path = folder / name
    told = next((listed[one] for one in _names_of(name) if one in listed), None)
    first = _first_of(path)
    role: Role = told[0] if told is not None else "output"
    if told is None or role == "output":
        if first.resourceType == "OperationOutcome":
            role = "error"
        elif first.resourceType == "Bundle" and any(
            one.request and one.request.method == "DELETE" for one in first.entry
        ):
            role = "deleted"
    status = path.stat()
    return ExportFile(name, status.st_size, status.st_mtime_ns, role, first.resourceType, told[1] if told else "")


def _is_deletion(entry: _DeletedEntry) -> bool:
    return entry.request is not None and entry.request.method == "DELETE"


def _names_of(name: str) -> list[str]:
    """The names by which a manifest may call a file that was packed after it came, or given its ending."""
    bare = re.sub(r"\.(gz|zst)$", "", name)
    return [name, bare, re.sub(r"\.(ndjson|jsonl)$", "", bare)]


def _first_of(path: Path) -> _First:
    try:
        with open_file(path) as stream:
            while line := stream.readline(_FIRST_BYTES):
                if line.strip():
                    return msgspec.json.decode(line.removeprefix(b"\xef\xbb\xbf"), type=_First)
    except (msgspec.DecodeError, UnicodeDecodeError, EOFError):
        pass
    except OSError as error:
        raise Unreadable(f"{path.name}: {error.strerror or 'is damaged'}") from None
    except Exception as error:
        if type(error).__name__ != "ZstdError":
            raise
    return _First()


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with open_file(path) as stream:
            while line := stream.readline():
                if line.strip():
                    yield line
    except (OSError, EOFError) as error:
        raise Unreadable(f"{path.name}: {getattr(error, 'strerror', None) or 'is damaged or cut short'}") from None


def _errors_in(path: Path) -> int:
    found = 0
    for line in _lines(path):
        try:
            outcome = msgspec.json.decode(line, type=_Outcome)
        except (msgspec.DecodeError, UnicodeDecodeError):
            found += 1
            continue
        found += any(issue.severity not in ("information", "warning") for issue in outcome.issue) or not outcome.issue
    return found


def _asked(manifests: list[_Manifest]) -> tuple[frozenset[str], bool]:
    """The types that were asked for (all of them, where a request names none), and whether all were increments."""
    asked: set[str] = set()
    is_increment = bool(manifests)
    for manifest in manifests:
        query = parse_qs(urlsplit(manifest.request).query)
        types = {name.strip() for names in query.get("_type", ()) for name in names.split(",")}
        asked |= types or (set(_KIND_OF) if manifest.request else set())
        is_increment = is_increment and "_since" in query
    return frozenset(asked), is_increment


def _fingerprint(folder: Path, files: list[ExportFile], manifests: dict[str, _Manifest]) -> str:
    """Changes with any file's name, size or time, and with what a manifest says."""
    hashed = hashlib.sha256()
    for one in files:
        hashed.update(f"{one.path}\0{one.size}\0{one.modified_ns}\0{one.role}\n".encode())
    for name in sorted(manifests):
        hashed.update(name.encode() + b"\0" + (folder / name).read_bytes())
    return hashed.hexdigest()
