"""Invented patients for the property tests: what is true of each, beside the R4 request that tells it.

Written from the clinical knowledge alone: no code list, threshold or builder of the service is used, so that
`forbidden` (oracle.py) can contradict it. `Dice` is either a seeded `random.Random` or hypothesis, so that both kinds
of test draw the same patients.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar

Json = dict[str, Any]
T = TypeVar("T")
NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
ATC = "http://www.whocc.no/atc"
LOINC = "http://loinc.org"
SNOMED = "http://snomed.info/sct"
ICD = "http://hl7.org/fhir/sid/icd-10-cm"
UCUM = "http://unitsofmeasure.org"
SUBJECT = {"reference": "Patient/p1"}


class Dice(Protocol):
    """What drawing a patient needs."""

    def choice(self, of: Sequence[T]) -> T: ...
    def chance(self, probability: float) -> bool: ...


class Seeded:
    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def choice(self, of: Sequence[T]) -> T:
        return self.random.choice(of)

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability


# -- the vocabulary


@dataclass(frozen=True)
class Drug:
    name: str
    classes: frozenset[str]
    rx: str = ""
    atc: str = ""

    def concept(self) -> Json:
        """Coded where a code is given, else words alone."""
        coding = [{"system": system, "code": code} for system, code in ((RXNORM, self.rx), (ATC, self.atc)) if code]
        return {"coding": coding} if coding else {"text": self.name}


def _drug(name: str, classes: str = "", rx: str = "", atc: str = "") -> Drug:
    return Drug(name, frozenset(classes.split()), rx, atc)


HCTZ = _drug("hydrochlorothiazide", "wasting", rx="310798")
DRUGS: dict[str, tuple[Drug, ...]] = {
    "wasting": (HCTZ, _drug("furosemide 40 mg", "wasting"), _drug("chlorthalidone 25 mg", "wasting"),
                _drug("indapamide", "wasting", atc="C03BA11")),
    "sparing": (_drug("triamterene/hctz", "sparing wasting", rx="310812"), _drug("amiloride 5 mg", "sparing"),
                _drug("amiloride", "sparing", atc="C03DB01"), _drug("Dyazide", "sparing wasting"),
                _drug("spironolactone", "sparing", rx="313096"), _drug("eplerenone 50 mg", "sparing"),
                _drug("Kerendia", "sparing"), _drug("spironolactone", "sparing", atc="C03DA01"),
                _drug("Aldactazide", "sparing wasting")),
    "raasi": (_drug("lisinopril", "raasi", rx="314076"), _drug("losartan potassium 50 mg", "raasi"),
              _drug("Entresto", "raasi"), _drug("ramipril", "raasi", atc="C09AA05")),
    "nsaid": (_drug("ibuprofen", "nsaid", rx="310965"), _drug("naproxen 500 mg", "nsaid"),
              _drug("indometacin", "nsaid", atc="M01AB01"), _drug("Celebrex", "nsaid")),
    "raiser": (_drug("Bactrim DS", "raiser"), _drug("trimethoprim", "raiser", atc="J01EA01"),
               _drug("tacrolimus", "raiser", atc="L04AD02"), _drug("enoxaparin 40 mg", "raiser heparin")),
    "weak": (_drug("propranolol 40 mg", "weak"), _drug("carvedilol 6.25 mg", "weak")),
    "potassium": (_drug("potassium chloride", "potassium", rx="198116"), _drug("K-Dur 20", "potassium"),
                  _drug("potassium citrate 10 mEq", "potassium"),
                  _drug("potassium chloride", "potassium", atc="A12BA01")),
    "cai": (_drug("acetazolamide 250 mg", "cai wasting"),),
    "magnesium": (_drug("magnesium oxide 400 mg", "magnesium"), _drug("Milk of Magnesia", "magnesium")),
    "calcium": (_drug("calcium carbonate 1250 mg", "calcium"),),
    "vitamin-d": (_drug("cholecalciferol 1000 IU", "vitamin-d"),),
    "digoxin": (_drug("digoxin 125 mcg", "digoxin"),),
    "other": (_drug("omeprazole 20 mg"), _drug("atorvastatin 20 mg"), _drug("oxybutynin 5 mg", "anticholinergic")),
    "harmless": (_drug("metformin 500 mg"), _drug("amlodipine 5 mg"), _drug("amoxicillin 500 mg"),
                 _drug("diclofenac 1% gel"), _drug("timolol 0.5% eye drops"), _drug("paracetamol 500 mg")),
}  # fmt: skip
COUNTING = ("active", "on-hold", "supplied", "statement", "reported", "old", "zero")
"""States of the safety column of 0.4, a dose of zero among them; a draft counts as well."""
NOT_COUNTING = ("stopped", "completed", "cancelled", "entered-in-error", "not-to-be-given")


@dataclass(frozen=True)
class Taken:
    drug: Drug
    state: str = "active"
    days: float = 30
    """Since when."""

    @property
    def counts(self) -> bool:
        """The safety column of 0.4."""
        return self.state in COUNTING or self.state == "draft"


@dataclass(frozen=True)
class Problem:
    kind: str
    system: str
    code: str
    state: str = "confirmed"
    days: float = 40

    @property
    def counts(self) -> bool:
        """Present or possible (0.3)."""
        return self.state in ("confirmed", "provisional", "unconfirmed", "patient-told")


PROBLEMS: dict[str, tuple[tuple[str, str], ...]] = {
    "renal": ((ICD, "N18.4"), (ICD, "N18.5"), (SNOMED, "433146000"), (ICD, "N17.9"), (ICD, "Z99.2")),
    "pregnant": ((ICD, "Z33.1"), (SNOMED, "77386006"), (ICD, "Z34.90")),
    "caution": ((ICD, "E27.1"), (SNOMED, "82732003"), (ICD, "M62.82"), (ICD, "E88.3")),
    "bowel": ((ICD, "K56.7"),),
    "refeeding": ((ICD, "E43"), (ICD, "F50.01")),
    "weak": ((ICD, "R53.1"), (ICD, "M62.81")),
    "tetany": ((ICD, "R29.0"),),
    "conduction": ((ICD, "I44.2"), (ICD, "G70.00"), (SNOMED, "91637004")),
    "hypercalcemia": ((ICD, "D86.0"), (ICD, "E21.0")),
    "stones": ((ICD, "N20.0"),),
    "hypoparathyroidism": ((ICD, "E20.9"),),
    "loss": ((ICD, "R19.7"), (ICD, "A09")),
    "comfort": ((ICD, "Z51.5"),),
    "cramp": ((SNOMED, "449918009"), (ICD, "G47.62")),
    "solid": ((ICD, "K31.84"), (ICD, "K22.2")),
    "diabetes": ((SNOMED, "44054006"), (ICD, "E11.9")),
    "harmless": ((ICD, "I10"), (ICD, "J30.2"), (ICD, "E78.5")),
}
RECENT = {"weak": 30, "tetany": 30, "loss": 14}
"""Kinds that count for so many days only."""


@dataclass(frozen=True)
class Unit:
    code: str
    loinc: str
    per: float
    """One of the first unit is so many of this one."""


UNITS: dict[str, tuple[Unit, ...]] = {
    "potassium": (Unit("mmol/L", "2823-3", 1), Unit("meq/L", "2823-3", 1)),
    "sodium": (Unit("mmol/L", "2951-2", 1), Unit("meq/L", "2951-2", 1)),
    "magnesium": (Unit("mmol/L", "2601-3", 1), Unit("mg/dL", "19123-9", 1 / 0.4114), Unit("meq/L", "2601-3", 2)),
    "creatinine": (Unit("mg/dL", "2160-0", 1), Unit("umol/L", "14682-9", 88.42)),
    "egfr": (Unit("mL/min/{1.73_m2}", "98979-8", 1),),
    "bicarbonate": (Unit("mmol/L", "2028-9", 1), Unit("meq/L", "2028-9", 1)),
    "calcium": (Unit("mmol/L", "29265-6", 1), Unit("mg/dL", "46099-8", 1 / 0.2495)),
    "phosphate": (Unit("mmol/L", "14879-1", 1), Unit("mg/dL", "2777-1", 1 / 0.3229)),
    "vitamin-d": (Unit("ng/mL", "62292-8", 1), Unit("nmol/L", "68438-1", 2.496)),
}
DECIMALS = {"umol/L": 0, "nmol/L": 0, "mL/min/{1.73_m2}": 0}


@dataclass(frozen=True)
class Result:
    analyte: str
    value: float
    """In the first unit of its analyte."""
    days: float | None = 5
    unit: int | None = 0
    """Which of UNITS; None: reported without one."""
    status: str = "final"
    comparator: str = ""
    hemolyzed: bool = False
    text: bool = False
    """Told as a string, which nobody may parse."""

    @property
    def kind(self) -> str:
        """As 0.5 has it: ignored, unusable, preliminary or usable."""
        if self.status not in ("final", "amended", "corrected", "preliminary"):
            return "ignored"
        implausible = self.analyte == "potassium" and not 1.5 <= self.value <= 10
        if self.text or self.unit is None or self.days is None or self.days < -1 or implausible:
            return "unusable"
        return "preliminary" if self.status == "preliminary" else "usable"


@dataclass(frozen=True)
class Patient:
    age: float | None = 60.0
    """In years; None: no birth date."""
    sex: str | None = "female"
    deceased: bool = False
    drugs: tuple[Taken, ...] = ()
    problems: tuple[Problem, ...] = ()
    results: tuple[Result, ...] = ()
    allergies: tuple[str, ...] = ()
    dialyzed_days: float | None = None
    not_supplied: frozenset[str] = frozenset()
    extra: tuple[Json, ...] = field(default=(), compare=False)
    """Resources that say nothing the service reads, put among those of their kind."""

    @property
    def drafted(self) -> bool:
        return any(taken.state == "draft" for taken in self.drugs)

    def has(self, kind: str) -> bool:
        return any(
            problem.kind == kind and problem.counts and problem.days <= RECENT.get(kind, 10**6)
            for problem in self.problems
        )

    def takes(self, name: str) -> bool:
        """In the safety sense; a heparin only after three days."""
        return any(
            name in taken.drug.classes and taken.counts and ("heparin" not in taken.drug.classes or taken.days > 3)
            for taken in self.drugs
        )

    def of(self, analyte: str) -> list[Result]:
        return [result for result in self.results if result.analyte == analyte]


# -- drawing one

ELIGIBLE = Patient(
    drugs=(Taken(HCTZ),),
    results=(Result("potassium", 3.2), Result("creatinine", 0.75), Result("magnesium", 0.85)),
)
"""Whom potassium may be offered to. Patients are drawn near this one, for a patient far from it proves nothing."""
VALUES: dict[str, tuple[float, ...]] = {
    "potassium": (2.3, 2.49, 2.5, 2.7, 2.99, 3.0, 3.2, 3.2, 3.2, 3.4, 3.49, 3.5, 3.6, 3.9, 4.4, 5.1, 5.6, 6.0, 6.2, 45),
    "sodium": (124, 127, 133, 139, 139),
    "magnesium": (0.38, 0.45, 0.49, 0.5, 0.62, 0.62, 0.69, 0.7, 0.85, 1.2, 2.1),
    "creatinine": (0.6, 0.75, 0.9, 1.1, 1.3, 1.7, 2.4, 3.5),
    "egfr": (12, 22, 29, 30, 38, 44, 45, 52, 59, 60, 75, 90),
    "bicarbonate": (14, 17, 18, 24),
    "calcium": (1.8, 1.95, 2.05, 2.05, 2.3, 2.6, 2.75),
    "phosphate": (0.7, 1.1, 1.1, 1.7, 1.9),
    "vitamin-d": (8, 9, 15, 19, 25, 40),
}
DAYS = (0.3, 0.8, 1.3, 2, 5, 5, 5, 13.9, 14.0, 14.1, 20, 29, 31, 45, 89, 91, 200, 400)
STATUSES = ("final",) * 8 + ("corrected", "amended", "preliminary", "entered-in-error", "cancelled")


def draw(dice: Dice) -> Patient:
    """A patient near ELIGIBLE, changed in up to five ways, some of which have nothing to do with potassium."""
    patient = replace(
        ELIGIBLE,
        age=dice.choice((19.5, 33.2, 48.7, 60.0, 66.4, 74.6, 75.3, 84.1)),
        sex=dice.choice(("female", "male", "female", "male", None)),
        drugs=(Taken(dice.choice(DRUGS["wasting"])),) if dice.chance(0.8) else (),
        results=(
            Result("potassium", dice.choice((2.7, 2.9, 3.0, 3.2, 3.2, 3.4)), unit=dice.choice((0, 1))),
            Result("creatinine", dice.choice((0.6, 0.75, 0.75, 0.9, 1.1)), unit=dice.choice((0, 1))),
        ),
    )
    if dice.chance(0.35):
        patient = _deficient(patient, dice)
    for _ in range(dice.choice((0, 1, 1, 2, 2, 3, 4, 5))):
        patient = _changed(patient, dice)
    return patient


def _deficient(patient: Patient, dice: Dice) -> Patient:
    """Someone whose magnesium, calcium or vitamin D may be treated."""
    drugs = (*patient.drugs, Taken(DRUGS["digoxin"][0])) if dice.chance(0.4) else patient.drugs
    problems = (*patient.problems, Problem("cramp", *dice.choice(PROBLEMS["cramp"]))) if dice.chance(0.6) else ()
    results = [result for result in patient.results if result.analyte != "potassium"]
    results.append(Result("potassium", dice.choice((3.3, 4.2))))
    results.append(Result("magnesium", dice.choice((0.62, 0.66, 0.8)), unit=dice.choice((0, 1, 2))))
    results.append(Result("calcium", dice.choice((1.98, 2.05, 2.3)), unit=dice.choice((0, 1))))
    results.append(Result("phosphate", 1.1, unit=dice.choice((0, 1))))
    results.append(Result("vitamin-d", dice.choice((9, 16, 30)), unit=dice.choice((0, 1))))
    return replace(patient, drugs=drugs, problems=tuple(problems), results=tuple(results))


def _changed(patient: Patient, dice: Dice) -> Patient:
    """One change: a further result, a changed one, one less; a drug; a problem; something about the person."""
    way = dice.choice(
        ("result", "result", "odd result", "less", "drug", "drug", "drug", "problem", "problem", "person")
    )
    if way == "result":
        return replace(patient, results=(*patient.results, draw_result(dice)))
    if way == "odd result":
        return replace(patient, results=(*patient.results, _odd(dice)))
    if way == "less" and patient.results:
        gone = dice.choice(range(len(patient.results)))
        return replace(patient, results=patient.results[:gone] + patient.results[gone + 1 :])
    if way == "drug":
        return replace(patient, drugs=(*patient.drugs, draw_taken(dice)))
    if way == "problem":
        return replace(patient, problems=(*patient.problems, draw_problem(dice)))
    return _person(patient, dice)


def _person(patient: Patient, dice: Dice) -> Patient:
    way = dice.choice(
        ("age", "no age", "sex", "child", "deceased", "allergy", "dialyzed", "not supplied", "not supplied")
    )
    if way == "age":
        return replace(patient, age=dice.choice((18.02, 25.0, 64.9, 75.0, 90.2)))
    if way == "no age":
        return replace(patient, age=None)
    if way == "child":
        return replace(patient, age=dice.choice((3.0, 12.5, 17.99)))
    if way == "sex":
        return replace(patient, sex=dice.choice(("female", "male", "other", "unknown", None)))
    if way == "deceased":
        return replace(patient, deceased=True)
    if way == "allergy":
        return replace(patient, allergies=("8591",))
    if way == "dialyzed":
        return replace(patient, dialyzed_days=dice.choice((5.0, 60.0)))
    return replace(patient, not_supplied=frozenset({dice.choice(("medications", "conditions", "observations"))}))


def draw_result(dice: Dice) -> Result:
    analyte = dice.choice(("potassium", "potassium", "creatinine", "egfr", "egfr", *VALUES))
    return Result(
        analyte,
        dice.choice(VALUES[analyte]),
        dice.choice(DAYS),
        dice.choice(range(len(UNITS[analyte]))),
        dice.choice(STATUSES),
    )


def _odd(dice: Dice) -> Result:
    """A potassium that 0.5 takes special care of."""
    plain = Result("potassium", dice.choice((2.2, 3.2, 3.3, 5.6, 6.3)), dice.choice((0.3, 0.8, 2, 5, 5.1, 10)))
    way = dice.choice(("no unit", "text", "comparator", "hemolyzed", "undated", "future", "preliminary"))
    return {
        "no unit": replace(plain, unit=None),
        "text": replace(plain, text=True),
        "comparator": replace(plain, comparator=dice.choice(("<", ">"))),
        "hemolyzed": replace(plain, hemolyzed=True),
        "undated": replace(plain, days=None),
        "future": replace(plain, days=-3.0),
        "preliminary": replace(plain, status="preliminary"),
    }[way]


def draw_taken(dice: Dice, names: Sequence[str] = tuple(DRUGS), states: Sequence[str] | None = None) -> Taken:
    drug = dice.choice(DRUGS[dice.choice(names)])
    state = dice.choice(states or ("active", "active", "active", *COUNTING, *NOT_COUNTING, "draft"))
    days = 900.0 if state == "old" else 0.0 if state == "draft" else dice.choice((2.0, 5.0, 30.0, 30.0, 300.0))
    return Taken(drug, state, days)


def draw_problem(dice: Dice, names: Sequence[str] = tuple(PROBLEMS), states: Sequence[str] = ()) -> Problem:
    kind = dice.choice(names)
    state = dice.choice(states or ("confirmed", "confirmed", "provisional", "patient-told", "refuted", "resolved"))
    return Problem(kind, *dice.choice(PROBLEMS[kind]), state=state, days=dice.choice((2.0, 10.0, 28.0, 32.0, 200.0)))
