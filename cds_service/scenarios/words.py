"""The names that scenarios use, looked up in the value sets: "hydrochlorothiazide" becomes one of its codes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from cds_service.facts.quantities import Analyte, fold
from cds_service.facts.terminology import ICD10CM, LOINC, SNOMED, Terminology
from cds_service.facts.units import read_yaml

_FORMS = (
    (re.compile(r"\d{1,6}-\d"), LOINC),
    (re.compile(r"\d{6,18}"), SNOMED),
    (re.compile(r"[A-TV-Z]\d[0-9A-Z](?:\.[0-9A-Z]{1,4})?"), ICD10CM),
    (re.compile(r"\d[A-Z][0-9A-Z]\d(?:\.[0-9A-Z]{1,2})?"), "http://id.who.int/icd/release/11/mms"),
)
_PREFERRED_ROUTES = {"oral": 0, "any": 0, "inhalation": 0, "injection": 0, "transdermal": 0, "": 1, "unspecified": 2}

Coding = dict[str, str]


class UnknownWord(ValueError):
    """A name that nothing in the value sets answers to; the text says what to write."""


class NoCode(UnknownWord):
    """A value set that lists no code of its own, as many do on a site without SNOMED CT."""


class Words:
    """Looks names up. Made once for a ruleset; remembers what it has found."""

    def __init__(self, terminology: Terminology) -> None:
        self.terminology = terminology
        self.said: dict[str, Any] = read_yaml(Path(__file__).with_name("words.yaml"))
        self._found: dict[tuple[str, str], Coding] = {}
        self._analytes: dict[str, Analyte] = {}
        for analyte in terminology.units.analytes.values():
            for name in (analyte.id, analyte.id.replace("-", " "), analyte.name.lower(), analyte.symbol.lower()):
                self._analytes.setdefault(name, analyte)

    # -- medicines

    def drug(self, name: str) -> dict[str, Any]:
        """The CodeableConcept of a medicine. Raises `UnknownWord`."""
        known = self.said["products"].get(name.lower())
        if known is not None:
            return {"coding": [dict(known)], "text": known["display"]}
        return {"coding": [self._of_set(self.ingredient(name), "drugs")], "text": name}

    def ingredient(self, name: str) -> str:
        """The id of the ingredient's value set. Raises `UnknownWord`."""
        lower = name.lower().strip()
        wanted = self.said["names"].get(lower, lower.replace(" ", "-"))
        if wanted in self.terminology.index.is_ingredient:
            return str(wanted)
        read = self.terminology.text_names.read(lower, self.terminology.text_rules).ingredients
        if len(read) == 1:
            return read[0].id
        raise UnknownWord(f"no value set of an ingredient is called {name!r}, and no product in words.yaml either")

    def route(self, name: str) -> dict[str, Any]:
        """The CodeableConcept of a route of administration. Raises `UnknownWord`."""
        known = self.said["routes"].get(name)
        if known is None:
            raise UnknownWord(f"no route {name!r} in words.yaml; known are {', '.join(self.said['routes'])}")
        return {"coding": [dict(known)], "text": known["display"]}

    def symptom(self) -> dict[str, Any]:
        """The condition that `symptoms: true` stands for, by a code that the value sets have."""
        told = self.said["symptom"]
        known = (one for one in told["codes"] if self.terminology.lookup(one["system"], one["code"]) is not None)
        return {**next(known, told["codes"][0]), "recorded": told["recorded"]}

    # -- results

    def analyte(self, name: str) -> Analyte | None:
        return self._analytes.get(name.lower())

    def analyte_of(self, loinc: str) -> Analyte | None:
        """The analyte that accepts a LOINC code."""
        match = self.terminology.lookup(LOINC, loinc)
        return self.terminology.units.analytes.get(match.analyte) if match and match.analyte else None

    def loinc(self, analyte: Analyte, unit: str | None) -> str:
        """The first accepted code whose property fits the unit."""
        if analyte.id in self.said["loinc"]:
            return str(self.said["loinc"][analyte.id])
        known = analyte.units.get(unit or "") or analyte.units.get(fold(unit or ""))
        if known is not None:
            for code, kind in analyte.properties.items():
                if kind == known.kind:
                    return code
        return self._of_set(analyte.accepted, "orders")["code"]

    # -- everything else

    def coding(self, what: str, kind: str) -> Coding:
        """A code as it stands (``I83.90``), or one of a value set's (``diabetes-type-2``). Raises `UnknownWord`."""
        for form, system in _FORMS:
            if form.fullmatch(what):
                return {"system": system, "code": what}
        for name in (what, f"{what}-order" if kind == "orders" else what):
            if name in self.terminology.titles:
                return self._of_set(name, kind)
        raise UnknownWord(f"{what!r} is neither a code nor the id of a value set")

    def lists(self, system: str, code: str) -> bool:
        """Whether a value set or the table of routes has the code."""
        in_routes = f"{system}|{code.upper()}" in self.terminology.text_rules.route_codes
        return in_routes or self.terminology.lookup(system, code) is not None

    def is_code(self, what: str) -> bool:
        return any(form.fullmatch(what) for form, _ in _FORMS)

    def _of_set(self, set_id: str, kind: str) -> Coding:
        known = self._found.get((set_id, kind))
        if known is None:
            known = self._found[set_id, kind] = self._search(set_id, kind)
        return known

    def _search(self, set_id: str, kind: str) -> Coding:
        for system in dict.fromkeys((*self.said["systems"][kind], *self._systems(set_id, set()))):
            codes = [code for code in self._codes(set_id, system, set()) if self._fits(set_id, system, code, kind)]
            if kind == "drugs":
                codes.sort(key=lambda code: self._plainest(set_id, system, code))
            if codes:
                return {"system": system, "code": codes[0]}
        raise NoCode(f"the value set {set_id} lists no code that stands for it alone: name a code or a product")

    def _systems(self, set_id: str, seen: set[str]) -> list[str]:
        """Code systems of a set, for one that only a site's own codes fill."""
        if set_id in seen:
            return []
        seen.add(set_id)
        one = self.terminology.index.value_sets[set_id]
        found = [include.system for include in one.includes if include.system]
        return found + [system for part in sorted(one.parts) for system in self._systems(part, seen)]

    def _codes(self, set_id: str, system: str, seen: set[str]) -> list[str]:
        """Codes of one system in a set, its parts included, in the order of the files."""
        if set_id in seen:
            return []
        seen.add(set_id)
        one = self.terminology.index.value_sets[set_id]
        codes = [concept.code for include in one.includes if include.system == system for concept in include.concept]
        codes += [prefix.value for include in one.includes if include.system == system for prefix in include.filter]
        for part in sorted(one.parts):
            codes += self._codes(part, system, seen)
        return codes

    def _fits(self, set_id: str, system: str, code: str, kind: str) -> bool:
        match = self.terminology.lookup(system, code)
        if match is None or set_id not in match.sets:
            return False
        return kind != "drugs" or [one.id for one in match.ingredients] == [set_id]

    def _plainest(self, set_id: str, system: str, code: str) -> tuple[int, int, str]:
        """Systemic routes first; then the shortest code, which is the ingredient's own in RxNorm."""
        match = self.terminology.lookup(system, code)
        route = match.routes.get(set_id, "") if match else ""
        return _PREFERRED_ROUTES.get(route, 3), len(code), code
