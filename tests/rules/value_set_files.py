"""The files of value sets as the tests read them: codes, prefixes, members, expansions, check digits."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from cds_service.facts.terminology import Terminology

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "rules" / "value-sets"
BASE = "https://legcramp.example.org/fhir"
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
SNOMED = "http://snomed.info/sct"
DMD = "https://dmd.nhs.uk"
LOINC = "http://loinc.org"
ATC = "http://www.whocc.no/atc"
ICD10 = "http://hl7.org/fhir/sid/icd-10"
ICD10CM = "http://hl7.org/fhir/sid/icd-10-cm"
NDC = "http://hl7.org/fhir/sid/ndc"
FILES = sorted(FOLDER.glob("*/*.json"))


@cache
def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def load(id: str) -> dict[str, Any]:
    (path,) = FOLDER.glob(f"*/{id}.json")
    return read(path)


def includes(resource: dict[str, Any]) -> list[dict[str, Any]]:
    return resource.get("compose", {}).get("include", [])


def concepts(resource: dict[str, Any]) -> list[tuple[str, str]]:
    return [(item["system"], concept["code"]) for item in includes(resource) for concept in item.get("concept", [])]


def prefixes(resource: dict[str, Any]) -> list[tuple[str, str]]:
    return [(item["system"], one["value"]) for item in includes(resource) for one in item.get("filter", [])]


def members(resource: dict[str, Any]) -> list[str]:
    return [url.rsplit("/", 1)[1] for item in includes(resource) for url in item.get("valueSet", [])]


@cache
def expansion(id: str) -> frozenset[tuple[str, str]]:
    """Every listed code of a set, of its SNOMED CT file and of its members (prefixes not expanded)."""
    found = set(concepts(load(id)))
    beside = FOLDER / "snomed-ct" / f"{id}-snomed-ct.json"
    if beside.exists():
        found |= set(concepts(read(beside)))
    for member in members(load(id)):
        found |= expansion(member)
    return frozenset(found)


def ingredients(id: str) -> set[str]:
    found: set[str] = set()
    for member in members(load(id)):
        found |= {member} | ingredients(member)
    return found


def snomed_check(code: str) -> bool:
    """The Verhoeff check digit."""
    d = [
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9], [1, 2, 3, 4, 0, 6, 7, 8, 9, 5], [2, 3, 4, 0, 1, 7, 8, 9, 5, 6],
        [3, 4, 0, 1, 2, 8, 9, 5, 6, 7], [4, 0, 1, 2, 3, 9, 5, 6, 7, 8], [5, 9, 8, 7, 6, 0, 4, 3, 2, 1],
        [6, 5, 9, 8, 7, 1, 0, 4, 3, 2], [7, 6, 5, 9, 8, 2, 1, 0, 4, 3], [8, 7, 6, 5, 9, 3, 2, 1, 0, 4],
        [9, 8, 7, 6, 5, 4, 3, 2, 1, 0],
    ]  # fmt: skip
    p = [
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9], [1, 5, 7, 6, 2, 8, 3, 0, 9, 4], [5, 8, 0, 3, 7, 9, 6, 1, 4, 2],
        [8, 9, 1, 6, 0, 4, 3, 5, 2, 7], [9, 4, 5, 3, 1, 2, 6, 8, 7, 0], [4, 2, 8, 6, 5, 7, 3, 9, 0, 1],
        [2, 7, 9, 3, 8, 0, 6, 4, 1, 5], [7, 0, 4, 6, 9, 1, 3, 2, 5, 8],
    ]  # fmt: skip
    c = 0
    for i, digit in enumerate(reversed(code)):
        c = d[c][p[i % 8][int(digit)]]
    return c == 0


def loinc_check(code: str) -> bool:
    """The mod 10 (Luhn) check digit after the hyphen (answer codes, LA..., count otherwise)."""
    number, _, check = code.rpartition("-")
    total = 0
    for i, digit in enumerate(reversed(number)):
        double = int(digit) * (2 if i % 2 == 0 else 1)
        total += double - 9 if double > 9 else double
    return (10 - total % 10) % 10 == int(check)


@cache
def terminology() -> Terminology:
    return Terminology.load(ROOT / "rules")
