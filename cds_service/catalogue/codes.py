"""One code, explained: the value sets that hold it, what uses them, and the kinds of data in which it is met."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from cds_service.catalogue import Catalogue
from cds_service.catalogue.model import Named
from cds_service.catalogue.value_sets import SYSTEMS
from cds_service.facts.terminology import Match, Terminology, normal_code, normal_system

DATA_OF_FOLDER = {
    "ingredient": ("medications", "allergies"),
    "class": ("medications", "allergies"),
    "condition": ("conditions",),
    "observation": ("observations",),
    "procedure": ("procedures",),
    "order": ("service-requests",),
    "allergy": ("allergies",),
}
"""Folder of a value set to the kinds of data in which its codes are looked for."""


class SetHolding(msgspec.Struct, frozen=True):
    id: str
    title: str
    listed: bool
    """Whether its own file lists the code, by itself or by a prefix; otherwise it includes a set that does."""


class PartOfProduct(msgspec.Struct, frozen=True):
    """An ingredient that a medication code stands for."""

    id: str
    name: str
    route: str
    """As the list states it: ``oral``, ``any``, ``unspecified``; empty where it states none."""


class UsedBy(msgspec.Struct, frozen=True):
    """A rule or a gate, and those of the code's sets that it asks for."""

    id: str
    title: str
    sets: tuple[str, ...]
    number: str = ""
    through: str = ""


class CodeView(msgspec.Struct, frozen=True):
    """A code of one code system."""

    system: str
    system_name: str
    code: str
    display: str
    sets: tuple[SetHolding, ...]
    ingredients: tuple[PartOfProduct, ...]
    measures: str
    """The measurement that a result of this code is; empty when it is none."""
    rules: tuple[UsedBy, ...]
    gates: tuple[UsedBy, ...]
    data: tuple[str, ...]
    """The kinds of data in which the code is looked for."""


def explain_code(catalogue: Catalogue, code: str, system: str = "") -> tuple[CodeView, ...]:
    """A view for each code system in which some set holds `code`; only for `system`, a URI, where that is given."""
    terminology = catalogue.ruleset.terminology
    systems = [normal_system(system)] if system else sorted(set(terminology.canonical.values()))
    found = ((name, terminology.lookup(name, code)) for name in systems)
    return tuple(_view(catalogue, name, code, match) for name, match in found if match is not None and match.sets)


def _view(catalogue: Catalogue, system: str, code: str, match: Match) -> CodeView:
    terminology = catalogue.ruleset.terminology
    known = terminology.index.value_sets
    spelled = normal_code(system, code)
    listed = {set_id for set_id, _ in _listings(terminology, system, spelled)}
    return CodeView(
        system=system,
        system_name=SYSTEMS.get(system, system),
        code=code.strip(),
        display=_display(terminology, system, spelled),
        sets=tuple(SetHolding(one, terminology.titles[one], one in listed) for one in sorted(match.sets)),
        ingredients=tuple(
            PartOfProduct(one.id, one.name, match.routes.get(one.id, ""))
            for one in match.ingredients
            if known[one.id].folder in ("ingredient", "class")
        ),
        measures=terminology.units.analytes[match.analyte].name if match.analyte else "",
        rules=tuple(_used(catalogue, match.sets, "rule")),
        gates=tuple(_used(catalogue, match.sets, "gate")),
        data=_data(known[one].folder for one in sorted(match.sets)),
    )


def _listings(terminology: Terminology, system: str, code: str) -> frozenset[tuple[str, str]]:
    """What lists a code in its normal spelling by itself or by one of its prefixes: set and route."""
    index = terminology.index
    found = index.listed.get(system, {}).get(code, frozenset())
    prefixes = index.prefixes.get(system, {})
    for length in range(1, len(code) + 1):
        found |= prefixes.get(code[:length], frozenset())
    return found


def _display(terminology: Terminology, system: str, code: str) -> str:
    """The shortest of the names under which the sets list the code; empty for one known by its prefix only."""
    names = {
        concept.display
        for set_id, _ in terminology.index.listed.get(system, {}).get(code, frozenset())
        for include in terminology.index.value_sets[set_id].includes
        if normal_system(include.system) == system
        for concept in include.concept
        if concept.display and normal_code(system, concept.code) == code
    }
    return min(names, key=lambda name: (len(name), name), default="")


def _used(catalogue: Catalogue, sets: Iterable[str], kind: str) -> Iterator[UsedBy]:
    """The rules or gates that ask for any of the sets, by number and id."""
    asked: dict[str, tuple[Named, list[str], list[str]]] = {}
    for set_id in sorted(sets):
        for use in catalogue.used_by.get(set_id, ()):
            if use.kind == kind:
                _, held, ways = asked.setdefault(use.named.id, (use.named, [], []))
                held.append(set_id)
                ways.append(use.through)
    for named, held, ways in sorted(asked.values(), key=lambda one: (one[0].number, one[0].id)):
        yield UsedBy(named.id, named.title, tuple(held), named.number, "" if "" in ways else ways[0])


def _data(folders: Iterable[str]) -> tuple[str, ...]:
    found = {kind for folder in folders for kind in DATA_OF_FOLDER.get(folder, ())}
    return tuple(kind for kind in dict.fromkeys(sum(DATA_OF_FOLDER.values(), ())) if kind in found)
