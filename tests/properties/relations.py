"""What must hold of every patient, and between a patient and the same one changed. Each function returns what is wrong.

The relations, said precisely:

* **order**: any order of resources, drafts and prefetch keys gives the same cards, findings and gate decisions.
* **unrelated**: a resource that no rule reads changes none of these, and makes no data gap. (A medicine of which
  nothing is known is not unrelated: it may be anything, and is named as a gap.)
* **removal**: taking one item away (a drug, a problem, an allergy, a procedure, one result, or every result of an
  analyte) brings up a treatment only where something on record had closed it, that is, where the oracle names a *fact*
  against it, or a critical finding froze it. What is missing afterwards never opens: it would be a *gap*, and `unsafe`
  is asked of the changed patient as well. Taking away a list that treatment rests on (medications, conditions,
  observations) leaves no treatment at all; an optional list (allergies, procedures, orders) that is not supplied
  equals one that was supplied empty, and the card names the gap.
  (Two more causes are no wrong: its card stood behind more urgent ones, so that its gate was never asked; or two
  different results of one instant left open which of them the dose rests on.)
* **safety fact**: adding one closes the treatments it is about and brings up no other. (A newer result may end the
  critical finding of an older one, and so the freeze of what it was not about; what comes up then must be safe itself.)
* **unit twins**: a result told in another unit of its analyte, away from the paired cut-offs, gives the same cards,
  drafts, doses and gate rows; only the words that quote the result differ.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from cds_service.assess import Assessment
from tests.properties import patients
from tests.properties.as_r4 import ask, drafted, offered
from tests.properties.oracle import ALL, ckd_epi, forbidden, largest_dose
from tests.properties.outline import difference, outline
from tests.properties.patients import (
    COUNTING,
    LOINC,
    RXNORM,
    SNOMED,
    SUBJECT,
    UNITS,
    Dice,
    Json,
    Patient,
    Result,
    draw_problem,
    draw_taken,
)

FREEZE_TOLERATES = {
    "lab-hypokalemia",
    "lab-hypomagnesemia",
    "quinine-use",
    "order-diuretic-low-potassium",
    "order-second-k-wasting-diuretic",
    "order-quinine-for-cramps",
}
"""P2: the only critical findings beside which potassium chloride may stay."""


def criticals(answer: Assessment) -> set[str]:
    return {finding.rule.id for finding in answer.findings if finding.fired and finding.indicator == "critical"}


# -- what holds of every patient


def unsafe(patient: Patient, answer: Assessment) -> Iterator[str]:
    """Treatments that must not be there, whatever else is."""
    against = forbidden(patient)
    for treatment in offered(answer):
        for kind, why in against[treatment]:
            if kind != "may":
                yield f"{treatment} offered although: {why}"
    frozen = criticals(answer)
    if frozen and offered(answer) - {"potassium"}:
        yield f"a treatment other than potassium beside critical {frozen}"
    if frozen - FREEZE_TOLERATES and offered(answer):
        yield f"a treatment beside critical {frozen}"
    once, daily = largest_dose(patient)
    for resource in drafted(answer):
        if "potassium" not in str(resource["medicationCodeableConcept"]).lower():
            continue
        (dosage,) = resource["dosageInstruction"]
        amount = float(dosage["doseAndRate"][0]["doseQuantity"]["value"])
        times = dosage["timing"]["repeat"]["frequency"]
        if dosage["doseAndRate"][0]["doseQuantity"]["unit"].lower() != "meq" or amount > once or amount * times > daily:
            yield f"potassium {amount} x {times}, at most {once} and {daily} a day"


def malformed(patient: Patient, answer: Assessment) -> Iterator[str]:
    """What no card may be."""
    if answer.cards and (patient.deceased or (patient.age is not None and patient.age < 17.995)):
        yield "a card for a child or a deceased person"
    for card in answer.cards:
        if not 0 < len(card.summary) < 140:
            yield f"a summary of {len(card.summary)} characters"
        if "{" in card.summary or "{" in card.detail:
            yield "a hole in the wording"
        for suggestion in card.suggestions:
            kinds = {action.resource["resourceType"] for action in suggestion.actions if action.type == "create"}
            if "MedicationRequest" in kinds and "ServiceRequest" not in kinds:
                yield f"a treatment without its recheck: {suggestion.label}"
            if any(
                action.resource.get("status") != "draft" for action in suggestion.actions if action.type == "create"
            ):
                yield f"no draft: {suggestion.label}"


def wrong(patient: Patient, answer: Assessment) -> Iterator[str]:
    yield from unsafe(patient, answer)
    yield from malformed(patient, answer)


# -- what holds between two


def same(before: Assessment, after: Assessment) -> Iterator[str]:
    if before.cards != after.cards:
        yield "other cards"
    if before.findings != after.findings:
        yield "other findings"
    if before.decisions != after.decisions:
        yield "other gate decisions"
    if sorted(map(str, before.data_gaps)) != sorted(map(str, after.data_gaps)):
        yield "other data gaps"


def order(patient: Patient, before: Assessment, dice: Dice) -> Iterator[str]:
    yield from same(before, ask(patient, random.Random(dice.choice(range(1000)))))


_WHEN = "2026-03-05T08:00:00Z"
UNRELATED: tuple[Json, ...] = (
    {"resourceType": "Encounter", "status": "finished", "class": {"code": "AMB"}, "subject": SUBJECT},
    {"resourceType": "Immunization", "status": "completed", "occurrenceDateTime": _WHEN, "patient": SUBJECT},
    {"resourceType": "Coverage", "status": "active", "beneficiary": SUBJECT},
    {
        "resourceType": "Observation",
        "status": "final",
        "code": {"coding": [{"system": LOINC, "code": "718-7"}]},
        "subject": SUBJECT,
        "effectiveDateTime": _WHEN,
        "valueQuantity": {"value": 13.1, "unit": "g/dL", "system": patients.UCUM, "code": "g/dL"},
    },
    {
        # potassium in urine is no potassium (HZ-20)
        "resourceType": "Observation",
        "status": "final",
        "code": {"coding": [{"system": LOINC, "code": "2828-2"}]},
        "subject": SUBJECT,
        "effectiveDateTime": _WHEN,
        "valueQuantity": {"value": 20, "unit": "mmol/L", "system": patients.UCUM, "code": "mmol/L"},
    },
    {
        "resourceType": "Condition",
        "clinicalStatus": {"coding": [{"code": "active"}]},
        "code": {"coding": [{"system": patients.ICD, "code": "H25.13"}]},
        "subject": SUBJECT,
        "recordedDate": _WHEN,
    },
    {
        # words alone are never matched, in either direction (0.3)
        "resourceType": "Condition",
        "clinicalStatus": {"coding": [{"code": "active"}]},
        "code": {"text": "chronic kidney disease stage 4"},
        "subject": SUBJECT,
    },
    {
        "resourceType": "MedicationRequest",
        "status": "active",
        "intent": "order",
        "medicationCodeableConcept": {
            "coding": [{"system": RXNORM, "code": "308191"}],
            "text": "amoxicillin 500 MG Oral Capsule",
        },
        "subject": SUBJECT,
        "authoredOn": _WHEN,
    },
    {
        "resourceType": "AllergyIntolerance",
        "code": {"coding": [{"system": RXNORM, "code": "7980"}], "text": "penicillin"},
        "patient": SUBJECT,
    },
    {
        "resourceType": "Procedure",
        "status": "completed",
        "code": {"coding": [{"system": SNOMED, "code": "80146002"}], "text": "Appendectomy"},
        "subject": SUBJECT,
        "performedDateTime": _WHEN,
    },
    {
        "resourceType": "ServiceRequest",
        "status": "active",
        "intent": "order",
        "code": {"coding": [{"system": LOINC, "code": "24356-8"}]},
        "subject": SUBJECT,
        "authoredOn": _WHEN,
    },
)


def unrelated(patient: Patient, before: Assessment, dice: Dice) -> Iterator[str]:
    extra = dice.choice(UNRELATED)
    for what in same(before, ask(replace(patient, extra=(extra,)))):
        yield f"{what} because of {extra['resourceType']} {extra.get('code', '')}"


REQUIRED = ("medications", "conditions", "observations")
OPTIONAL = {"allergies": {"allergies": ()}, "procedures": {"dialyzed_days": None}, "service-requests": {}}


def removals(patient: Patient) -> list[tuple[str, Patient]]:
    """Every way to take one item away, or every result of one analyte."""
    found: list[tuple[str, Patient]] = []
    for name in ("drugs", "problems", "results"):
        items: tuple[Any, ...] = getattr(patient, name)
        for at, item in enumerate(items):
            if getattr(item, "state", "") != "draft":  # a draft is the question, not a fact about the patient
                found.append((f"without {item}", replace(patient, **{name: items[:at] + items[at + 1 :]})))
    for analyte in sorted({result.analyte for result in patient.results}):
        left = tuple(result for result in patient.results if result.analyte != analyte)
        found.append((f"without any {analyte}", replace(patient, results=left)))
    if patient.allergies:
        found.append(("without the allergy", replace(patient, allergies=())))
    if patient.dialyzed_days is not None:
        found.append(("without the dialysis", replace(patient, dialyzed_days=None)))
    return found


GATES = {
    "potassium": "potassium-chloride",
    "magnesium": "magnesium-oxide",
    "calcium": "calcium",
    "vitamin-d": "vitamin-d",
}
"""A gate that was not asked closed nothing: the card that would have asked it stood behind more urgent ones."""


def doubled(patient: Patient, treatment: str) -> bool:
    """Two different results of one instant: which of them the dose rests on cannot be known."""
    at = [(result.days, result.value) for result in patient.results if result.analyte == treatment]
    return len({days for days, _ in at}) < len(set(at))


def removal(patient: Patient, before: Assessment, dice: Dice) -> Iterator[str]:
    ways = removals(patient)
    if not ways:
        return
    how, changed = dice.choice(ways)
    after = ask(changed)
    against = forbidden(patient)
    for treatment in offered(after) - offered(before):
        if GATES[treatment] not in before.decisions or doubled(patient, treatment):
            continue
        if not criticals(before) and not [why for kind, why in against[treatment] if kind != "gap"]:
            yield f"{treatment} appears {how}, and nothing on record had closed it (gaps: {against[treatment]})"
    yield from (f"{how}: {what}" for what in wrong(changed, after))


def not_supplied(patient: Patient, before: Assessment, dice: Dice) -> Iterator[str]:
    kind = dice.choice((*REQUIRED, *OPTIONAL))
    after = ask(replace(patient, not_supplied=patient.not_supplied | {kind}))
    if kind in REQUIRED:
        if offered(after):
            yield f"{offered(after)} offered without {kind}"
    else:
        empty = ask(replace(patient, **OPTIONAL[kind]))
        if offered(after) != offered(empty):
            yield f"{kind} not supplied offers {offered(after)}, an empty list {offered(empty)}"
    if not any(gap.what == kind for gap in after.data_gaps):
        yield f"no data gap names {kind}"


SAFETY: dict[str, tuple[str, ...]] = {
    "sparing": ("potassium",),
    "raiser": ("potassium",),
    "potassium": ("potassium",),
    "cai": ("potassium",),
    "magnesium": ("magnesium",),
    "calcium": ("calcium",),
    "vitamin-d": ("vitamin-d",),
}
"""Drugs, and what they close."""
SAFETY_PROBLEMS: dict[str, tuple[str, ...]] = {
    "renal": ALL,
    "pregnant": ALL,
    "weak": ALL,
    "tetany": ALL,
    "bowel": ("potassium", "magnesium", "calcium"),
    "refeeding": ("potassium", "magnesium", "calcium"),
    "caution": ("potassium",),
    "conduction": ("magnesium",),
    "hypercalcemia": ("calcium", "vitamin-d"),
    "stones": ("calcium", "vitamin-d"),
    "hypoparathyroidism": ("calcium", "vitamin-d"),
}
SAFETY_RESULTS: tuple[tuple[Result, tuple[str, ...]], ...] = (
    (Result("potassium", 3.9, 0.01), ("potassium",)),
    (Result("potassium", 6.2, 0.01), ALL),
    (Result("potassium", 2.3, 0.01), ALL),
    (Result("potassium", 3.1, 0.01, unit=None), ("potassium",)),
    (Result("potassium", 3.1, 0.01, text=True), ("potassium",)),
    (Result("potassium", 3.1, 0.01, status="preliminary"), ("potassium",)),
    (Result("potassium", 3.9, 0.01, hemolyzed=True), ("potassium",)),
    (Result("egfr", 22, 0.01), ALL),
    (Result("creatinine", 6.5, 0.01), ALL),
    (Result("bicarbonate", 14, 0.01), ("potassium",)),
    (Result("phosphate", 1.9, 0.01), ("calcium", "vitamin-d")),
    (Result("magnesium", 1.3, 0.01), ("magnesium",)),
    (Result("calcium", 2.8, 0.01), ("calcium", "vitamin-d")),
)


def with_safety_fact(patient: Patient, dice: Dice) -> tuple[str, tuple[str, ...], Patient]:
    way = dice.choice(("drug", "drug", "problem", "problem", "result", "allergy", "dialysis"))
    if way == "drug":
        taken = draw_taken(dice, tuple(SAFETY), (*COUNTING, "draft") if patient.drafted else COUNTING)
        taken = replace(taken, days=max(taken.days, 5.0))  # a heparin counts after three days
        closes = tuple(one for name, closed in SAFETY.items() if name in taken.drug.classes for one in closed)
        return f"{taken.drug.name} {taken.state}", closes, replace(patient, drugs=(*patient.drugs, taken))
    if way == "problem":
        states = ("confirmed", "provisional", "unconfirmed", "patient-told")
        problem = replace(draw_problem(dice, tuple(SAFETY_PROBLEMS), states), days=dice.choice((2.0, 10.0, 28.0)))
        changed = replace(patient, problems=(*patient.problems, problem))
        return f"{problem.code} {problem.state}", SAFETY_PROBLEMS[problem.kind], changed
    if way == "result":
        result, closes = dice.choice(SAFETY_RESULTS)
        if result.analyte == "potassium" and any(
            one.analyte == "potassium" and one.days is not None and one.days < result.days + 1.01
            for one in patient.results
        ):
            closes = (
                "potassium",
            )  # two results so near may conflict: R10 holds potassium, and R02's freeze may be off
        return str(result), closes, replace(patient, results=(*patient.results, result))
    if way == "allergy":
        return "an allergy to potassium chloride", ("potassium",), replace(patient, allergies=("8591",))
    return "dialysis 5 days ago", ALL, replace(patient, dialyzed_days=5.0)


def safety_fact(patient: Patient, before: Assessment, dice: Dice) -> Iterator[str]:
    what, closes, changed = with_safety_fact(patient, dice)
    after = ask(changed)
    if open_still := offered(after) & set(closes):
        yield f"{what} leaves {sorted(open_still)} open"
    thawed = criticals(before) - criticals(after)  # a newer result ends the alarm, and with it the freeze, of an older
    if not thawed and (added := offered(after) - offered(before)):
        yield f"{what} adds {sorted(added)}"
    yield from (f"with {what}: {one}" for one in wrong(changed, after))


TWINS: dict[str, frozenset[float]] = {
    "potassium": frozenset(patients.VALUES["potassium"]),  # mmol/L and meq/L are the same number
    "sodium": frozenset(patients.VALUES["sodium"]),
    "bicarbonate": frozenset(patients.VALUES["bicarbonate"]),
    "magnesium": frozenset({0.38, 0.45, 0.62, 0.85, 2.1}),
    "calcium": frozenset({1.8, 1.95, 2.05, 2.3, 2.75}),
    "phosphate": frozenset({0.7, 1.1, 1.9}),
    "vitamin-d": frozenset({8, 9, 15, 25, 40}),
    "creatinine": frozenset({0.6, 0.75, 0.9, 1.1, 1.3, 1.7, 2.4, 3.5}),
}
"""Values that lie away from every paired cut-off of their analyte, also after rounding."""


def has_twin(patient: Patient, result: Result) -> bool:
    if result.unit is None or len(UNITS[result.analyte]) < 2 or result.value not in TWINS.get(result.analyte, ()):
        return False
    if result.analyte != "creatinine":
        return True
    ages = [patient.age] if patient.age is not None else [20, 50, 90]
    rates = [ckd_epi(result.value, age, sex) for age in ages for sex in ("female", "male")]
    near = any(abs(rate - limit) < 3 for rate in rates for limit in (15, 30, 45, 60, 90))
    # with two of them, ratios and differences of creatinine lie near their own limits
    return not near and len(patient.of("creatinine")) == 1


def unit_twins(patient: Patient, before: Assessment, dice: Dice) -> Iterator[str]:
    twins = [at for at, result in enumerate(patient.results) if has_twin(patient, result)]
    if not twins:
        return
    at = dice.choice(twins)
    result = patient.results[at]
    others = [unit for unit in range(len(UNITS[result.analyte])) if unit != result.unit]
    twin = replace(result, unit=dice.choice(others))
    after = ask(replace(patient, results=(*patient.results[:at], twin, *patient.results[at + 1 :])))
    if outline(before) != outline(after):
        yield f"{result} in {UNITS[twin.analyte][twin.unit or 0].code}: {difference(outline(before), outline(after))}"


RELATIONS = (order, unrelated, removal, not_supplied, safety_fact, unit_twins)
