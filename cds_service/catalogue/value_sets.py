"""Value sets as a reviewer reads them: the codes of each system, where each comes from, who uses the set.

Whether a code belongs to a set is asked of the terminology itself, so that a page never differs from what is matched.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec

from cds_service.catalogue.model import Code, Counted, SetView
from cds_service.facts.terminology import ATC, ICD10, ICD10CM, LOINC, NDC, RXNORM, SNOMED, normal_code, normal_system
from cds_service.facts.value_sets import ValueSet
from cds_service.ruleset import Ruleset

SYSTEMS = {
    RXNORM: "RxNorm",
    SNOMED: "SNOMED CT",
    LOINC: "LOINC",
    ICD10CM: "ICD-10-CM",
    ICD10: "ICD-10",
    NDC: "NDC",
    ATC: "ATC",
    "http://id.who.int/icd/release/11/mms": "ICD-11",
}
_REMEMBERED = 1024


class ValueSets:
    """The value sets of one ruleset."""

    def __init__(self, ruleset: Ruleset) -> None:
        self.folder = ruleset.folder / "value-sets"
        self.terminology = ruleset.terminology
        self.known: dict[str, ValueSet] = ruleset.terminology.index.value_sets
        self.wholes: dict[str, list[str]] = {}
        for one in self.known.values():
            for part in sorted(one.parts):
                self.wholes.setdefault(part, []).append(one.id)
        self.codes = functools.lru_cache(maxsize=_REMEMBERED)(self._codes)
        self.view = functools.lru_cache(maxsize=_REMEMBERED)(self._view)

    def closure(self, set_id: str) -> tuple[str, ...]:
        """The set itself and every set that it includes whole, at any depth."""
        found: dict[str, None] = {}
        waiting = [set_id]
        while waiting:
            one = waiting.pop(0)
            if one in found or one not in self.known:
                continue
            found[one] = None
            waiting += sorted(self.known[one].parts)
        return tuple(found)

    def _codes(self, set_id: str) -> tuple[Code, ...]:
        """Every code listed for the set, by system and code; each once."""
        found: dict[tuple[str, str, bool], Code] = {}
        for part in self.closure(set_id):
            for system, code, display, below in self._listed(self.known[part]):
                if not below and set_id not in self.terminology.sets(system, code):
                    continue
                key = (system, normal_code(system, code), below)
                known = found.get(key)
                if known is None or (not known.display and display):
                    shown = SYSTEMS.get(system, system)
                    found[key] = Code(shown, code, display, below, "" if part == set_id else part)
        return tuple(sorted(found.values(), key=lambda one: (one.system, one.code)))

    @staticmethod
    def _listed(one: ValueSet) -> Iterator[tuple[str, str, str, bool]]:
        for include in one.includes:
            system = normal_system(include.system)
            for concept in include.concept:
                yield system, concept.code, concept.display, False
            for prefix in include.filter:
                yield system, prefix.value, "", True

    def _view(self, set_id: str) -> SetView:
        counts: Counter[str] = Counter()
        prefixes: Counter[str] = Counter()
        for code in self.codes(set_id):
            (prefixes if code.below else counts)[code.system] += 1
        return SetView(
            set_id,
            self.known[set_id].title,
            tuple(
                Counted(system, counts[system], prefixes[system]) for system in sorted(counts.keys() | prefixes.keys())
            ),
        )

    def about(self, set_id: str) -> dict[str, Any]:
        """Description, version, date and copyright as they stand in the set's file."""
        path = self.folder / self.known[set_id].folder / f"{set_id}.json"
        try:
            return dict(msgspec.json.decode(path.read_bytes()))
        except (OSError, msgspec.DecodeError):
            return {}
