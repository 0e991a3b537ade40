"""What the service would read from a row of a formulary, laboratory catalogue or diagnosis list.

Asked are the very readers that read a request, each with the element that a resource would carry: a MedicationRequest's
coding and words, an Observation's code, a Condition's code.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Literal, TypeAlias

import msgspec

from cds_service.facts import wire
from cds_service.facts.contents import ContentsReader
from cds_service.facts.instants import Dates
from cds_service.facts.medications import MedicationReader
from cds_service.facts.observations import ObservationReader
from cds_service.facts.terminology import ATC, ICD10, ICD10CM, LOINC, NDC, RXNORM, SNOMED, Terminology, normal_system

Kind: TypeAlias = Literal["medication", "observation", "condition"]
KINDS: tuple[Kind, ...] = ("medication", "observation", "condition")
MatchedBy: TypeAlias = Literal["code", "ingredient", "text", "none"]

_TELLS: dict[str, Kind] = {
    **dict.fromkeys((RXNORM, NDC, ATC), "medication"),
    LOINC: "observation",
    **dict.fromkeys((ICD10CM, ICD10), "condition"),
}
_DMD = re.compile(r"https?://dmd\.nhs\.uk/?|urn:oid:2\.16\.840\.1\.113883\.2\.1\.6\.15")
_TAGS: dict[str, Kind] = {
    **dict.fromkeys(("disorder", "finding", "situation", "morphologic abnormality", "event", "procedure"), "condition"),
    **dict.fromkeys(("observable entity",), "observation"),
    **dict.fromkeys(
        ("product", "medicinal product", "medicinal product form", "clinical drug", "substance"), "medication"
    ),
}
"""What the semantic tag at the end of a SNOMED CT name tells."""
_MEDICATIONS = ("ingredient", "class", "allergy")
_TAG = re.compile(r"\(([a-z ]+)\)\s*$")


class Row(msgspec.Struct, frozen=True):
    """One entry of a list. `system` is a URI, or empty."""

    system: str
    code: str
    display: str


class Recognized(msgspec.Struct, frozen=True):
    sets: tuple[str, ...] = ()
    """Ids of the value sets, sorted."""
    matched_by: MatchedBy = "none"
    used: bool = True
    """False for a test that is known by its code and whose results are not used on purpose, as before dialysis."""


NOT_RECOGNIZED = Recognized()


class Recognition:
    """The readers of a request, kept for many rows."""

    def __init__(self, terminology: Terminology) -> None:
        dates = Dates(UTC, datetime(2000, 1, 1, tzinfo=UTC))  # no date is read
        self._terminology = terminology
        self._contents: ContentsReader = MedicationReader(
            terminology, dates, lambda reference, contained: None
        ).contents
        self._observations = ObservationReader(terminology, dates)

    def kind_of(self, row: Row) -> Kind | None:
        """What a row is an entry of, as its code system, its code or its name tells; None when nothing does."""
        told = _TELLS.get(normal_system(row.system))
        if told is not None or not row.system:
            return told
        match = self._terminology.lookup(row.system, row.code)
        if match is not None:
            folder = self._terminology.index.value_sets[match.narrowest].folder if match.narrowest else ""
            return "medication" if folder in _MEDICATIONS else "observation" if folder == "observation" else "condition"
        if _DMD.fullmatch(row.system):
            return "medication"
        tag = _TAG.search(row.display) if normal_system(row.system) == SNOMED else None
        return _TAGS.get(tag[1]) if tag is not None else None

    def of(self, row: Row, kind: Kind) -> Recognized:
        """What the service makes of the row, met in a resource of that kind."""
        match kind:
            case "medication":
                return self._medication(row)
            case "observation":
                return self._coded(row, bool(self._observations.observed(wire.Concept(coding=(_coding(row),)))))
            case "condition":
                return self._coded(row, True)

    def _coded(self, row: Row, used: bool) -> Recognized:
        found = self._observations.matches(wire.Concept(coding=(_coding(row),)))
        sets = frozenset[str]().union(*(match.sets for _, match in found))
        return Recognized(tuple(sorted(sets)), "code", used) if sets else NOT_RECOGNIZED

    def _medication(self, row: Row) -> Recognized:
        coding = wire.NamedCoding(row.system or None, row.code or None, row.display or None)
        concept = wire.NamedConcept(coding=(coding,), text=row.display or None)
        if self._contents.told(concept) == "nothing":
            return NOT_RECOGNIZED
        contents = self._contents.contents(wire.MedicationRequest(medicationCodeableConcept=concept))
        if not contents.sets:
            return NOT_RECOGNIZED
        ways = {ingredient.matched_by for ingredient in contents.ingredients}
        by: MatchedBy = next(way for way in ("code", "ingredient", "text") if way in ways)
        return Recognized(tuple(sorted(contents.sets)), by)


def kind_of_rest(told: Iterable[Kind | None]) -> Kind:
    """What the rows are of which nothing tells it: as all the others; medication where these differ."""
    others = {kind for kind in told if kind is not None}
    return others.pop() if len(others) == 1 else "medication"


def _coding(row: Row) -> wire.Coding:
    return wire.Coding(row.system or None, row.code or None)
