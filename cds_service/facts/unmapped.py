"""What a record holds that no value set and no unit table knows: codes and units to be mapped by a site.

Counted by patients and by resources, without any patient: a code or unit is kept only when it is shaped as one, so that
free text in its place never is. Told by `screening`, where the counts are suppressed when few patients stand behind.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec

from cds_service.facts import wire
from cds_service.facts.model import Facts
from cds_service.facts.terminology import Terminology

_SYSTEM = re.compile(r"(?:https?://|urn:)[A-Za-z0-9.:/\-_~%]{1,150}")
_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.\-_]{0,29}")
_UNIT = re.compile(r"[A-Za-z0-9µμ%/.\[\]{}*^_'()\-]{1,24}")
_MOST_REMEMBERED = 100_000
_CODED_IN: dict[type, str] = {
    wire.Observation: "code",
    wire.Condition: "code",
    wire.MedicationRequest: "medicationCodeableConcept",
    wire.MedicationStatement: "medicationCodeableConcept",
    wire.MedicationDispense: "medicationCodeableConcept",
    wire.Medication: "code",
}
ILL_SHAPED = "(not shaped as a code)"

Key = tuple[str, str, str]
"""What it stands in (a resource type, or ``unit of <analyte>``), the code system (or ""), the code or unit."""


_NOT_SEEN: Key = ("", "", "")
"""Told apart by identity."""


class Unmapped(msgspec.Struct):
    """Counts by key: ``[patients, resources]``. `seen` remembers what was looked up; None is known."""

    counts: dict[Key, list[int]] = {}
    seen: dict[tuple[type, str | None, str | None], Key | None] = {}


def count_unmapped(resources: Iterable[wire.Resource], facts: Facts, terminology: Terminology, into: Unmapped) -> None:
    """Adds what one patient's resources hold that is not known."""
    met: dict[Key, int] = {}
    seen = into.seen
    if len(seen) > _MOST_REMEMBERED:
        seen.clear()
    for one in resources:
        kind = type(one)
        member = _CODED_IN.get(kind)
        concept: wire.Concept | wire.NamedConcept | None = getattr(one, member) if member is not None else None
        if concept is None:
            continue
        unknown: Key | None = None
        for coding in concept.coding:
            looked_up = (kind, coding.system, coding.code)
            key = seen.get(looked_up, _NOT_SEEN)
            if key is _NOT_SEEN:
                held = terminology.lookup(coding.system, coding.code) is not None
                key = seen[looked_up] = None if held else _key(kind.__name__, coding.system, coding.code)
            if key is None:
                break
            unknown = unknown or key
        else:
            if unknown is not None:
                met[unknown] = met.get(unknown, 0) + 1
    for key, count in (met | _units(resources, facts)).items():
        known = into.counts.get(key)
        if known is None:
            into.counts[key] = [1, count]
        else:
            known[0] += 1
            known[1] += count


def _units(resources: Iterable[wire.Resource], facts: Facts) -> dict[Key, int]:
    """Units that the table of their analyte does not know."""
    wanted = {
        one.reference.partition("#")[0]: analyte
        for analyte, results in facts.results.items()
        for one in results
        if one.problem == "unknown-unit"
    }
    found: dict[Key, int] = {}
    if wanted:
        for one in resources:
            analyte = wanted.get(f"Observation/{one.id}") if type(one) is wire.Observation else None
            if analyte is not None and isinstance(one, wire.Observation):
                quantities = [one.valueQuantity, *(part.valueQuantity for part in one.component)]
                for quantity in quantities:
                    text = (quantity.code or quantity.unit or "") if quantity is not None else ""
                    if text:
                        shaped = text if _UNIT.fullmatch(text) else ILL_SHAPED
                        key = (f"unit of {analyte}", "", shaped)
                        found[key] = found.get(key, 0) + 1
    return found


def _key(kind: str, system: str | None, code: str | None) -> Key:
    shaped = code if code and _CODE.fullmatch(code) else ILL_SHAPED
    return (kind, system if system and _SYSTEM.fullmatch(system) else "", shaped)
