"""Reads the FHIR R4 ValueSet files of ``rules/value-sets`` and works out which sets every code belongs to."""

from __future__ import annotations

from pathlib import Path

import msgspec

from cds_service.facts.units import RulesFileError

BASE_URL = "https://legcramp.example.org/fhir/ValueSet/"


class _Extension(msgspec.Struct, gc=False):
    url: str = ""
    valueCode: str = ""
    valueCanonical: str = ""


class _Concept(msgspec.Struct, gc=False):
    code: str
    display: str = ""


class _Filter(msgspec.Struct, gc=False):
    property: str
    op: str
    value: str


class Include(msgspec.Struct, gc=False):
    """One `compose.include` or `compose.exclude`."""

    system: str = ""
    concept: tuple[_Concept, ...] = ()
    filter: tuple[_Filter, ...] = ()
    valueSet: tuple[str, ...] = ()
    extension: tuple[_Extension, ...] = ()

    def told(self, name: str) -> str:
        """The code of the extension called `name`; "" when it is absent."""
        for extension in self.extension:
            if extension.url.rsplit("/", 1)[-1] == name:
                return extension.valueCode
        return ""


class _Compose(msgspec.Struct, frozen=True, gc=False):
    include: tuple[Include, ...] = ()
    exclude: tuple[Include, ...] = ()


class _File(msgspec.Struct, gc=False):
    id: str
    url: str = ""
    title: str = ""
    name: str = ""
    extension: tuple[_Extension, ...] = ()
    compose: _Compose = _Compose()


class ValueSet(msgspec.Struct):
    """One set of codes, with the files that extend it folded in."""

    id: str
    title: str
    includes: list[Include] = []
    excludes: list[Include] = []
    parts: set[str] = set()
    """Ids of the sets it includes whole."""
    without: set[str] = set()
    """Ids of the sets it excludes whole."""
    size: int = 0
    folder: str = ""


def load_value_sets(folder: Path, without_snomed: bool = False) -> dict[str, ValueSet]:
    """Every ValueSet under `folder` by id. Raises `RulesFileError` on an unreadable file or a missing set."""
    decoder = msgspec.json.Decoder(_File)
    found: dict[str, ValueSet] = {}
    extensions: list[tuple[Path, str, _File]] = []
    for path in sorted(folder.rglob("*.json")):
        if path.parent == folder and path.name in _NOT_VALUE_SETS:
            continue
        if without_snomed and "snomed-ct" in path.parts:
            continue
        try:
            data = decoder.decode(path.read_bytes())
        except msgspec.DecodeError as error:
            raise RulesFileError(f"{path}:1: {error}") from None
        for extension in data.extension:
            if extension.url.endswith("/extends-value-set"):
                extensions.append((path, _id(extension.valueCanonical), data))
                break
        else:
            if data.id in found:
                raise RulesFileError(f"{path}:1: value set {data.id} exists twice")
            one = ValueSet(data.id, data.title or data.name or data.id, folder=path.parent.name)
            found[data.id] = one
            _fold_in(one, data.compose)
    for path, base, data in extensions:
        if base not in found:
            raise RulesFileError(f"{path}:1: extends {base}, which does not exist")
        _fold_in(found[base], data.compose)
    for one in found.values():
        for part in one.parts | one.without:
            if part not in found:
                raise RulesFileError(f"{folder}/{one.id}.json:1: value set {part}, named by {one.id}, does not exist")
    return found


_NOT_VALUE_SETS = {"ingredient-names.json"}


def _id(canonical: str) -> str:
    return canonical.split("|", 1)[0].rstrip("/").rsplit("/", 1)[-1]


def _fold_in(one: ValueSet, compose: _Compose) -> None:
    for include in compose.include:
        if include.valueSet and not include.system:
            one.parts.update(map(_id, include.valueSet))
        else:
            one.includes.append(include)
            one.size += len(include.concept) + 50 * len(include.filter)
    for exclude in compose.exclude:
        if exclude.valueSet and not exclude.system:
            one.without.update(map(_id, exclude.valueSet))
        else:
            one.excludes.append(exclude)


class Membership:
    """Answers which sets a code belongs to, given the sets that list and that exclude it by name."""

    def __init__(self, value_sets: dict[str, ValueSet]) -> None:
        self._value_sets = value_sets
        self._wholes: dict[str, list[str]] = {}
        for one in value_sets.values():
            for part in one.parts:
                self._wholes.setdefault(part, []).append(one.id)
        self._known: dict[tuple[frozenset[str], frozenset[str]], frozenset[str]] = {}

    def sets_of(self, listed_in: frozenset[str], excluded_from: frozenset[str]) -> frozenset[str]:
        """Every set that holds a code listed in `listed_in`, through any depth of inclusion."""
        key = (listed_in, excluded_from)
        known = self._known.get(key)
        if known is None:
            candidates, waiting = set(listed_in), list(listed_in)
            while waiting:
                for whole in self._wholes.get(waiting.pop(), ()):
                    if whole not in candidates:
                        candidates.add(whole)
                        waiting.append(whole)
            memo: dict[str, bool] = {}
            known = frozenset(one for one in candidates if self._holds(one, listed_in, excluded_from, memo))
            self._known[key] = known
        return known

    def _holds(self, one: str, listed_in: frozenset[str], excluded_from: frozenset[str], memo: dict[str, bool]) -> bool:
        known = memo.get(one)
        if known is not None:
            return known
        memo[one] = False
        value_set = self._value_sets[one]
        memo[one] = (
            one not in excluded_from
            and (one in listed_in or any(self._holds(part, listed_in, excluded_from, memo) for part in value_set.parts))
            and not any(self._holds(other, listed_in, excluded_from, memo) for other in value_set.without)
        )
        return memo[one]
