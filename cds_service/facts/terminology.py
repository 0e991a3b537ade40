"""Codes to value sets and ingredients, by lookups prebuilt at start: `terminology.codes[system].get(code)`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TypeAlias

import msgspec

from cds_service.facts.model import Ingredient
from cds_service.facts.quantities import Reading
from cds_service.facts.text import TextNames
from cds_service.facts.text_rules import TextRules, load_text_rules
from cds_service.facts.units import RulesFileError, Units, load_units
from cds_service.facts.value_sets import Membership, ValueSet, load_value_sets

RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
SNOMED = "http://snomed.info/sct"
LOINC = "http://loinc.org"
ICD10CM = "http://hl7.org/fhir/sid/icd-10-cm"
ICD10 = "http://hl7.org/fhir/sid/icd-10"
NDC = "http://hl7.org/fhir/sid/ndc"
ATC = "http://www.whocc.no/atc"

SYMPTOM_SET = "leg-cramp-symptom"
"""The value set whose conditions count as present even when the patient asserts them (0.3, 0.6)."""

_OTHER_NAMES: dict[str, tuple[str, ...]] = {
    RXNORM: ("urn:oid:2.16.840.1.113883.6.88",),
    SNOMED: ("urn:oid:2.16.840.1.113883.6.96", "https://dmd.nhs.uk", "urn:oid:2.16.840.1.113883.2.1.6.15"),
    ICD10CM: ("urn:oid:2.16.840.1.113883.6.90",),
    ICD10: ("urn:oid:2.16.840.1.113883.6.3",),
    LOINC: ("urn:oid:2.16.840.1.113883.6.1",),
    NDC: ("urn:oid:2.16.840.1.113883.6.69",),
    ATC: ("urn:oid:2.16.840.1.113883.6.73", "http://www.whocc.no/atc/ddd"),
}
_ICD = frozenset({ICD10CM, ICD10})
_CONDITIONS = "condition"
_LONGEST_CODE = 40
_REMEMBERED = 8192
_PACKAGE = re.compile(r"(\d{4,5})-(\d{3,4})(?:-(\d{1,2}))?")


ReadingKey: TypeAlias = tuple[str, bytes, str | None, str | None, str | None, str | None, str | None]
"""Analyte, number, comparator, unit code, its system, unit text, property of the code."""


class Match(msgspec.Struct, frozen=True):
    """What one code stands for."""

    sets: frozenset[str]
    ingredients: tuple[Ingredient, ...] = ()
    routes: dict[str, str] = {}
    """Ingredient id to the route its list states for this code (``oral``, ``any``, ``unspecified``, ...)."""
    analyte: str | None = None
    """Id of the unit table whose accepted set holds this code."""
    narrowest: str = ""
    """Id of the smallest set that lists this code by itself."""
    observed: bool = False
    """Whether an Observation of this code is read: an analyte, a hemolysis flag, or the cramp symptom."""


class Terminology(msgspec.Struct, frozen=True):
    """All lookups, made once at start by `Terminology.load`.

    `codes` is keyed by every spelling of a code system's name; `lookup` also mends the spelling of the code.
    """

    codes: dict[str, dict[str, Match]]
    prefixes: dict[str, dict[str, frozenset[tuple[str, str]]]]
    titles: dict[str, str]
    displays: dict[tuple[str, str], str]
    """Canonical system and code of a condition to its display in the value sets."""
    ingredient_routes: dict[str, frozenset[str]]
    """Ingredient id to every route its lists name."""
    text_names: TextNames
    text_rules: TextRules
    units: Units
    index: _Index
    readings: dict[ReadingKey, Reading]
    """Readings by what was read, kept between requests (`observations`). Numbers and units, nothing of a patient."""
    canonical: dict[str, str]

    @classmethod
    def load(cls, rules_folder: Path, without_snomed: bool = False) -> Terminology:
        """Loads ``rules_folder/value-sets`` and ``rules_folder/units``. Raises `RulesFileError`: ``file:line: ...``."""
        folder = rules_folder / "value-sets"
        value_sets = load_value_sets(folder, without_snomed)
        names = _names(folder / "ingredient-names.json")
        units = load_units(rules_folder)
        index = _Index(value_sets, set(names), units)
        codes: dict[str, dict[str, Match]] = {}
        canonical: dict[str, str] = {}
        for system in set(index.listed) | set(index.prefixes):
            table = {
                code: index.match(listed, index.excluded.get((system, code), frozenset()))
                for code, listed in index.listed.get(system, {}).items()
            }
            if system in index.prefixes:
                table = {code: index.complete(system, code) for code in table}
            if system in _ICD:
                table.update({f"{code[:3]}.{code[3:]}": match for code, match in table.items() if len(code) > 3})
            for spelling in _spellings(system):
                codes[spelling] = table
                canonical[spelling] = system
        ingredients = {id_: index.ingredient(id_, "text") for id_ in names if id_ in value_sets}
        rules = load_text_rules(folder)
        return cls(
            codes=codes,
            prefixes=index.prefixes,
            titles={one.id: one.title for one in value_sets.values()},
            displays=index.displays,
            ingredient_routes={id_: frozenset(routes) for id_, routes in index.routes.items()},
            text_names=TextNames.build(names, ingredients, rules.salts),
            text_rules=rules,
            units=units,
            index=index,
            readings={},
            canonical=canonical,
        )

    def lookup(self, system: str | None, code: str | None) -> Match | None:
        """What `code` of `system` stands for; None when it is in no set. Mends spellings of both."""
        if not system or not code:
            return None
        table = self.codes.get(system)
        if table is None:
            system = system.strip()
            table = self.codes.get(system)
            if table is None:
                return None
        match = table.get(code)
        if match is not None or len(code) > _LONGEST_CODE:
            return match
        name = self.canonical[system]
        mended = normal_code(name, code)
        if mended is not code:
            match = table.get(mended)
        if match is None and name in self.prefixes:
            return self.index.by_prefix(name, mended)
        return match

    def ingredients(self, system: str | None, code: str | None) -> tuple[Ingredient, ...]:
        """The active ingredients that a medication or substance code stands for."""
        match = self.lookup(system, code)
        return match.ingredients if match else ()

    def condition_name(self, system: str | None, code: str | None) -> str:
        """How a clinician calls a condition code: its display in the value sets, else the smallest set's title."""
        match = self.lookup(system, code)
        if match is None or system is None or code is None:
            return ""
        name = self.canonical.get(system) or normal_system(system)
        return self.displays.get((name, normal_code(name, code))) or self.titles.get(match.narrowest, "")

    def sets(self, system: str | None, code: str | None) -> frozenset[str]:
        """Ids of all value sets that hold the code."""
        match = self.lookup(system, code)
        return match.sets if match else frozenset()


_UNKNOWN = Match(frozenset())
"""Told apart by identity: not remembered yet."""


class _Index:
    """Builds `Match`es; equal listings share one."""

    def __init__(self, value_sets: dict[str, ValueSet], named: set[str], units: Units) -> None:
        self.value_sets = value_sets
        self.membership = Membership(value_sets)
        self.is_ingredient = named & set(value_sets) or {
            one.id for one in value_sets.values() if one.folder == "ingredients"
        }
        self.observed = {*units.by_set, units.hemolysis.flag_set, SYMPTOM_SET}
        self.analyte_of = {set_id: analyte.id for set_id, analyte in units.by_set.items()}
        self.listed: dict[str, dict[str, frozenset[tuple[str, str]]]] = {}
        self.prefixes: dict[str, dict[str, frozenset[tuple[str, str]]]] = {}
        self.excluded: dict[tuple[str, str], frozenset[str]] = {}
        self.excluded_prefixes: dict[str, dict[str, frozenset[str]]] = {}
        self.routes: dict[str, set[str]] = {}
        self.displays: dict[tuple[str, str], str] = {}
        self._matches: dict[tuple[frozenset[tuple[str, str]], frozenset[str]], Match] = {}
        self._ingredients: dict[tuple[str, str], Ingredient] = {}
        self._completed: dict[tuple[str, str], Match | None] = {}
        for one in value_sets.values():
            self._index(one)

    def _index(self, one: ValueSet) -> None:
        for include in one.includes:
            system, route = normal_system(include.system), include.told("route")
            if route:
                self.routes.setdefault(one.id, set()).add(route)
            pair = frozenset({(one.id, route)})
            table = self.listed.setdefault(system, {})
            for concept in include.concept:
                code = normal_code(system, concept.code)
                known = table.get(code)
                table[code] = pair if known is None else known | pair
                if concept.display and one.folder == _CONDITIONS:
                    shown = self.displays.get((system, code), concept.display)
                    self.displays[system, code] = min(shown, concept.display, key=lambda text: (len(text), text))
            for prefix in include.filter:
                if prefix.op != "is-a":
                    raise RulesFileError(f"{one.id}.json:1: filter {prefix.op} is not supported, only is-a")
                prefixes = self.prefixes.setdefault(system, {})
                code = normal_code(system, prefix.value)
                prefixes[code] = prefixes.get(code, frozenset()) | pair
        for exclude in one.excludes:
            system = normal_system(exclude.system)
            for concept in exclude.concept:
                key = (system, normal_code(system, concept.code))
                self.excluded[key] = self.excluded.get(key, frozenset()) | {one.id}
            for prefix in exclude.filter:
                away = self.excluded_prefixes.setdefault(system, {})
                code = normal_code(system, prefix.value)
                away[code] = away.get(code, frozenset()) | {one.id}

    def by_prefix(self, system: str, code: str) -> Match | None:
        """The match of a code that is listed by its prefixes only; None when it has none. Remembers the latest."""
        key = (system, code)
        known = self._completed.get(key, _UNKNOWN)
        if known is not _UNKNOWN:
            return known
        prefixes = self.prefixes[system]
        held = any(code[:length] in prefixes for length in range(1, len(code) + 1))
        if len(self._completed) >= _REMEMBERED:
            self._completed.clear()
        match = self.complete(system, code) if held else None
        if match is not None and not match.sets:
            match = None
        self._completed[key] = match
        return match

    def complete(self, system: str, code: str) -> Match:
        """The match of a code, its own listing and those of its prefixes taken together."""
        listed = self.listed.get(system, {}).get(code, frozenset())
        excluded = self.excluded.get((system, code), frozenset())
        prefixes, away = self.prefixes.get(system, {}), self.excluded_prefixes.get(system, {})
        for length in range(1, len(code) + 1):
            listed |= prefixes.get(code[:length], frozenset())
            excluded |= away.get(code[:length], frozenset())
        return self.match(listed, excluded)

    def match(self, listed: frozenset[tuple[str, str]], excluded: frozenset[str]) -> Match:
        key = (listed, excluded)
        known = self._matches.get(key)
        if known is None:
            by_name = frozenset(set_id for set_id, _ in listed)
            sets = self.membership.sets_of(by_name, excluded)
            smallest = min(by_name & sets, key=lambda one: (self.value_sets[one].size, one), default="")
            analytes = sorted(self.analyte_of[one] for one in sets if one in self.analyte_of)
            ingredients, routes = self._parts_of(listed, by_name & sets, excluded)
            known = Match(
                sets,
                ingredients,
                routes,
                analytes[0] if analytes else None,
                smallest,
                not sets.isdisjoint(self.observed),
            )
            self._matches[key] = known
        return known

    def _parts_of(
        self, listed: frozenset[tuple[str, str]], names: frozenset[str], excluded: frozenset[str]
    ) -> tuple[tuple[Ingredient, ...], dict[str, str]]:
        """The ingredients among the sets that list a code, and the routes these state.

        A set named ``<ingredient>-<qualifier>`` belongs to that ingredient. A class that lists the code by itself
        (an ATC group) and that no ingredient of the code belongs to stands for an ingredient that is not named.
        """
        own = sorted(names & self.is_ingredient)
        held: dict[str, set[str]] = {one: {one} for one in own}
        classes: list[str] = []
        for name in sorted(names - self.is_ingredient):
            whole = max((one for one in own if name.startswith(one + "-")), key=len, default=None)
            if whole is None:
                classes.append(name)
            else:
                held[whole].add(name)
        found = {
            one: Ingredient(
                one, self.value_sets[one].title, self.membership.sets_of(frozenset(parts), excluded), "code"
            )
            for one, parts in held.items()
        }
        covered: frozenset[str] = frozenset().union(*(ingredient.sets for ingredient in found.values()))
        for name in classes:
            sets = self.membership.sets_of(frozenset({name}), excluded)
            if name not in covered and not any(
                other != name and name in self.membership.sets_of(frozenset({other}), excluded) for other in classes
            ):
                found[name] = Ingredient(name, self.value_sets[name].title, sets, "code")
        routes = {
            max((one for one in found if set_id == one or set_id.startswith(one + "-")), key=len, default=set_id): route
            for set_id, route in sorted(listed, reverse=True)
            if route
        }
        return tuple(found[one] for one in sorted(found)), routes

    def ingredient(self, id_: str, matched_by: str) -> Ingredient:
        key = (id_, matched_by)
        known = self._ingredients.get(key)
        if known is None:
            sets = self.membership.sets_of(frozenset({id_}), frozenset())
            known = Ingredient(id_, self.value_sets[id_].title, sets, matched_by)  # type: ignore[arg-type]
            self._ingredients[key] = known
        return known


def normal_system(system: str) -> str:
    """The canonical URI of a code system under any of its names."""
    system = system.strip().rstrip("/")
    for name, others in _OTHER_NAMES.items():
        if system == name or system in others or system.replace("https://", "http://", 1) == name:
            return name
    return system


def _spellings(system: str) -> list[str]:
    names = [system, *_OTHER_NAMES.get(system, ())]
    names += [name.replace("http://", "https://", 1) for name in names if name.startswith("http://")]
    names += [name.replace("https://", "http://", 1) for name in names if name.startswith("https://")]
    return [spelling for name in dict.fromkeys(names) for spelling in (name, name + "/")]


def normal_code(system: str, code: str) -> str:
    """The spelling under which a code is listed: trimmed, upper case; NDC as 9 digits; ICD-10 without its dot."""
    code = code.strip()
    upper = code.upper()
    if upper != code:
        code = upper
    if system in _ICD:
        return code.replace(".", "")
    if system == NDC:
        return _labeler_and_product(code)
    return code


def _labeler_and_product(code: str) -> str:
    parts = _PACKAGE.fullmatch(code)
    if parts:
        return parts[1].zfill(5) + parts[2].zfill(4)
    digits = code.replace("-", "")
    if not digits.isdigit():
        return code
    if len(digits) == 12 and digits[0] == "0":
        digits = digits[1:]
    return digits[:9] if len(digits) in (9, 11) else code


def _names(path: Path) -> dict[str, dict[str, list[str]]]:
    if not path.exists():
        return {}
    try:
        names: dict[str, dict[str, list[str]]] = msgspec.json.decode(
            path.read_bytes(), type=dict[str, dict[str, list[str]]]
        )
    except msgspec.DecodeError as error:
        raise RulesFileError(f"{path}:1: {error}") from None
    return names
