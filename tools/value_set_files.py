"""Value sets as files: each a FHIR ValueSet, its SNOMED CT codes in a file of their own, and the table of names."""

from __future__ import annotations

import json
import re
import shutil
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

KINDS = ("ingredient", "class", "condition", "observation", "procedure", "order", "allergy", "snomed-ct")
ORDER = ("rxnorm", "ndc", "dmd", "atc", "loinc", "cm", "who", "icd11", "own", "snomed")
TEXT_ONLY = "No code could be checked for this substance: it is recognized by text alone."


@dataclass
class ValueSet:
    """What goes into one file. `codes` and `prefixes`: (system key, route) -> {code: display}."""

    id: str
    kind: str
    title: str
    use: str = ""
    codes: dict[tuple[str, str], dict[str, str]] = field(default_factory=lambda: defaultdict(dict))
    prefixes: dict[str, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))
    without: dict[str, dict[str, set[str]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(set)))
    members: list[str] = field(default_factory=list)
    variant_of: str | None = None
    note: str = ""

    def add(self, system: str, code: str, display: str, route: str = "") -> None:
        if code not in self.prefixes[system] and not any(
            code in held for (other, _), held in self.codes.items() if other == system
        ):
            self.codes[system, route][code] = display

    def add_prefix(self, system: str, code: str, display: str) -> None:
        self.prefixes[system].setdefault(code, display)
        for (other, _), held in self.codes.items():
            if other == system:
                held.pop(code, None)


class Files:
    """Writes value sets into a folder; `release` holds version, base URL, systems, sources and licences."""

    def __init__(self, folder: Path, release: Mapping[str, Any]) -> None:
        self.folder, self.release = folder, release

    def write(self, sets: Mapping[str, ValueSet], names: Mapping[str, Mapping[str, set[str]]]) -> None:
        """Replaces every folder of generated sets, and the table of names."""
        check(sets, names)
        for kind in KINDS:
            shutil.rmtree(self.folder / kind, ignore_errors=True)
            (self.folder / kind).mkdir(parents=True)
        for held in sets.values():
            empty = not any(held.codes.values()) and not any(held.prefixes.values()) and not held.members
            if held.kind == "ingredient" and empty:
                held.note = TEXT_ONLY
            save(self.folder / held.kind / f"{held.id}.json", self.resource(held))
            if any(codes for (system, _), codes in held.codes.items() if system == "snomed"):
                save(self.folder / "snomed-ct" / f"{held.id}-snomed-ct.json", self.resource(held, snomed=True))
        table = {
            id: {group: sorted(known, key=str.lower) for group, known in once(groups).items() if known}
            for id, groups in sorted(names.items())
        }
        lines = ",\n".join(f"  {compact(id)}: {compact(entry)}" for id, entry in table.items())
        (self.folder / "ingredient-names.json").write_text("{\n" + lines + "\n}\n", encoding="utf-8")

    def url(self, id: str) -> str:
        return f"{self.release['base']}/ValueSet/{id}"

    def extension(self, name: str, **value: str) -> dict[str, str]:
        return {"url": f"{self.release['base']}/StructureDefinition/{name}", **value}

    def resource(self, held: ValueSet, snomed: bool = False) -> dict[str, Any]:
        systems = sorted(
            {system for (system, _), codes in held.codes.items() if codes}
            | {system for system, codes in held.prefixes.items() if codes},
            key=ORDER.index,
        )
        systems = [system for system in systems if (system == "snomed") == snomed]
        id = f"{held.id}-snomed-ct" if snomed else held.id
        description = f"{held.title}." if not held.use else f"{held.title}. For {held.use}."
        if snomed:
            description = (
                f"SNOMED CT codes of {held.id}: {held.title}. Delete this file where SNOMED CT may not be used."
            )
        elif held.note:
            description += f" {held.note}"
        if systems:
            description += " Sources: " + "; ".join(self.release["sources"][system] for system in systems) + "."
        result: dict[str, Any] = {"resourceType": "ValueSet", "id": id}
        extensions = []
        if snomed:
            extensions.append(self.extension("extends-value-set", valueCanonical=self.url(held.id)))
        if held.variant_of and not snomed:
            extensions.append(self.extension("variant-of", valueCanonical=self.url(held.variant_of)))
        if extensions:
            result["extension"] = extensions
        result |= {
            "url": self.url(id),
            "version": self.release["version"],
            "name": "".join(part.capitalize() for part in id.split("-")),
            "title": f"{held.title} (SNOMED CT)" if snomed else held.title,
            "status": "active",
            "experimental": False,
            "date": self.release["date"],
            "publisher": self.release["publisher"],
            "description": description,
        }
        if not result["name"][0].isalpha():
            result["name"] = "Set" + result["name"]
        notices = [self.release["licences"][system] for system in systems]
        if notices:
            result["copyright"] = " ".join(notices)
        include = [item for system in systems for item in self.includes(held, system)]
        if not snomed:
            include += [{"valueSet": [self.url(member)]} for member in held.members]
        exclude = [] if snomed else [item for system in ORDER for item in self.excludes(held, system)]
        if include:
            result["compose"] = {"include": include} | ({"exclude": exclude} if exclude else {})
        return result

    def includes(self, held: ValueSet, system: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        uri = self.release["systems"][system]
        for (other, route), codes in sorted(held.codes.items()):
            if other != system or not codes:
                continue
            item: dict[str, Any] = {}
            if system == "ndc":
                item["extension"] = [self.extension("code-match", valueCode="ndc-labeler-product")]
            elif route:
                item["extension"] = [self.extension("route", valueCode=route)]
            item["system"] = uri
            item["concept"] = [
                {"code": code, "display": codes[code]} if codes[code] else {"code": code} for code in sorted(codes)
            ]
            found.append(item)
        for code in sorted(held.prefixes[system]):
            found.append({"system": uri, "filter": [{"property": "concept", "op": "is-a", "value": code}]})
        return found

    def excludes(self, held: ValueSet, system: str) -> list[dict[str, Any]]:
        uri = self.release["systems"][system]
        found: list[dict[str, Any]] = [
            {"system": uri, "filter": [{"property": "concept", "op": "is-a", "value": code}]}
            for code in sorted(held.without[system]["is_a"])
        ]
        codes = sorted(held.without[system]["codes"])
        if codes:
            found.append({"system": uri, "concept": [{"code": code} for code in codes]})
        return found


def check(sets: Mapping[str, ValueSet], names: Iterable[str]) -> None:
    """Raises ValueError for what names a set that is not there."""
    for held in sets.values():
        for member in held.members:
            if member not in sets:
                raise ValueError(f"{held.id} names {member}, which is no value set")
    for id in names:
        if id not in sets:
            raise ValueError(f"names are given for {id}, which is no value set")


def words_of(text: str) -> tuple[str, ...]:
    """The words of a name as the service reads them: hyphens, slashes and points part words."""
    return tuple(re.findall(r"[a-z0-9]+(?:\.[0-9]+)?%?", text.lower()))


def once(groups: Mapping[str, Iterable[str]]) -> dict[str, list[str]]:
    """Each name in one spelling and in its strongest group: as a name before a brand before an abbreviation."""
    seen: set[tuple[str, ...]] = set()
    kept: dict[str, list[str]] = {}
    for group in ("names", "brands", "abbreviations"):
        kept[group] = []
        for name in sorted(groups.get(group, ()), key=lambda one: (one.lower(), one)):
            words = words_of(name)
            if words not in seen:
                seen.add(words)
                kept[group].append(name)
    return kept


def compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def save(path: Path, resource: Mapping[str, Any]) -> None:
    path.write_text(pretty(resource) + "\n", encoding="utf-8")


def pretty(value: Any, indent: str = "") -> str:
    """JSON with one concept, filter, extension or member a line."""
    deeper = indent + " "
    if isinstance(value, Mapping) and not is_leaf(value):
        inner = [f"{deeper}{compact(key)}: {pretty(item, deeper)}" for key, item in value.items()]
        return "{\n" + ",\n".join(inner) + f"\n{indent}}}"
    if isinstance(value, list) and (len(value) > 1 or not is_leaf(value[0])):
        inner = [f"{deeper}{pretty(item, deeper)}" for item in value]
        return "[\n" + ",\n".join(inner) + f"\n{indent}]"
    return compact(value)


def is_leaf(value: Any) -> bool:
    """Short enough for one line: a scalar, a concept, a filter, an extension, one filtered or referenced include."""
    if isinstance(value, Mapping):
        return "concept" not in value and all(is_leaf(item) for item in value.values())
    return not isinstance(value, list) or (len(value) == 1 and is_leaf(value[0]))
