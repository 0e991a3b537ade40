"""Section 0.4, row by row, and what a medication is made of (terminology README, "Matching at run time")."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.facts.building import (
    ICD10CM,
    NOW,
    RXNORM,
    SNOMED,
    concept,
    days_ago,
    facts_of,
    facts_of_request,
    ids,
    medication,
    order,
    patient,
    statement,
    terminology,
)

D = Decimal
BOTH, SAFETY, NEITHER = (True, True), (False, True), None


def columns(*resources: dict[str, Any]) -> tuple[bool, bool] | None:
    found = facts_of(*resources).medications
    return (found[0].contributor, found[0].safety) if found else None


def supplied(days: float, repeats: int | None = None, **more: Any) -> dict[str, Any]:
    request: dict[str, Any] = {"expectedSupplyDuration": {"value": days, "unit": "days", "code": "d"}, **more}
    return {"dispenseRequest": request if repeats is None else {**request, "numberOfRepeatsAllowed": repeats}}


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, BOTH),
        *(
            ({"intent": intent}, BOTH)
            for intent in ("original-order", "reflex-order", "filler-order", "instance-order")
        ),
        *(({"intent": intent}, NEITHER) for intent in ("proposal", "plan", "option")),
        ({"status": "on-hold"}, SAFETY),
        ({"status": "unknown"}, SAFETY),
        ({"status": None}, SAFETY),
        *(
            ({"status": status}, NEITHER)
            for status in ("completed", "stopped", "cancelled", "entered-in-error", "draft")
        ),
        ({"doNotPerform": True}, NEITHER),
        ({"reportedBoolean": True, "intent": "plan"}, BOTH),
        ({"reportedReference": {"reference": "Patient/p"}, "intent": "plan"}, BOTH),
        ({"reportedBoolean": True, "intent": "plan", "status": "stopped"}, NEITHER),
        ({"status": "completed", **supplied(31)}, SAFETY),
        ({"status": "completed", **supplied(29)}, NEITHER),
        ({"status": "completed", **supplied(11, 2)}, SAFETY),
        ({"status": "completed", **supplied(10, 1)}, NEITHER),
        ({"status": "completed", "dispenseRequest": {"validityPeriod": {"end": days_ago(-1)}}}, SAFETY),
        ({"status": "completed", "dispenseRequest": {"validityPeriod": {"end": "2026-06-15"}}}, SAFETY),
        ({"status": "completed", "dispenseRequest": {"validityPeriod": {"end": days_ago(1)}}}, NEITHER),
        ({"authoredOn": "2024-06-15T12:00:00Z"}, BOTH),
        ({"authoredOn": "2024-06-15T11:59:59Z"}, SAFETY),
        ({"authoredOn": "2023"}, SAFETY),
        ({"authoredOn": "2024"}, BOTH),
        ({"authoredOn": None}, BOTH),
        ({"authoredOn": "2024-01-01T00:00:00Z", **supplied(90, 12)}, BOTH),
        ({"dosageInstruction": [{"doseAndRate": [{"doseQuantity": {"value": 0}}]}]}, SAFETY),
        ({"dosageInstruction": [{"text": "as directed"}]}, BOTH),
    ],
)
def test_orders(more: dict[str, Any], expected: tuple[bool, bool] | None) -> None:
    assert columns(order("m", **more)) == expected


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, BOTH),
        ({"effectivePeriod": {"start": days_ago(90)}}, BOTH),
        ({"effectivePeriod": {"start": days_ago(90), "end": days_ago(1)}}, NEITHER),
        ({"effectivePeriod": {"start": days_ago(90), "end": "2026-06-15"}}, BOTH),
        ({"effectivePeriod": {"start": days_ago(-3)}}, SAFETY),
        *(({"status": status}, SAFETY) for status in ("on-hold", "intended", "unknown")),
        *(({"status": status}, NEITHER) for status in ("completed", "stopped", "entered-in-error", "not-taken")),
        ({"taken": "n"}, NEITHER),
    ],
)
def test_statements(more: dict[str, Any], expected: tuple[bool, bool] | None) -> None:
    assert columns(statement("m", **more)) == expected


def test_labels() -> None:
    assert medication(facts_of(statement("m"))).patient_reported
    assert medication(facts_of(order("m", reportedBoolean=True))).patient_reported
    assert not medication(facts_of(order("m"))).patient_reported
    assert medication(facts_of(order("m", authoredOn="2020-01-01"))).out_of_date


# routes


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (order("m", None, medicationCodeableConcept={"text": "Diclofenac 1% gel"}), []),
        (order("m", None, medicationCodeableConcept={"text": "Diclofenac 50 mg tablet"}), ["diclofenac"]),
        (order("m", "3355"), ["diclofenac"]),
        (order("m", "3355", dosageInstruction=[{"route": concept(SNOMED, "6064005")}]), []),
        (order("m", "3355", dosageInstruction=[{"route": concept(SNOMED, "26643006")}]), ["diclofenac"]),
        (order("m", "3355", dosageInstruction=[{"route": {"text": "Topical"}}]), []),
        (order("m", None, medicationCodeableConcept=concept(RXNORM, "3355", text="diclofenac gel")), []),
        (order("m", None, medicationCodeableConcept={"text": "timolol 0.5% eye drops"}), []),
        (order("m", None, medicationCodeableConcept={"text": "salmeterol inhaler"}), ["salmeterol"]),
        (order("m", "896209", dosageInstruction=[{"route": concept(SNOMED, "447694001")}]), ["salmeterol"]),
        (order("m", None, medicationCodeableConcept={"text": "estradiol 0.05 mg patch"}), ["estradiol"]),
        (order("m", None, medicationCodeableConcept={"text": "estradiol vaginal cream"}), []),
        (order("m", None, medicationCodeableConcept={"text": "ibuprofen 200 mg gel caps"}), ["ibuprofen"]),
        (order("m", None, medicationCodeableConcept={"text": "ibuprofen 400 mg tablets for ear ache"}), ["ibuprofen"]),
        (order("m", None, medicationCodeableConcept={"text": "ibuprofen 400 mg tablet (eye pain)"}), ["ibuprofen"]),
        (order("m", None, medicationCodeableConcept={"text": "diclofenac (gel)"}), []),
        (order("m", None, medicationCodeableConcept={"text": "timolol drops for eye pressure"}), []),
        (order("m", None, medicationCodeableConcept={"text": "timolol 0.5% for eye pressure"}), []),
        (order("m", None, medicationCodeableConcept={"text": "spironolactone 5% scalp solution for hair loss"}), []),
        (order("m", None, medicationCodeableConcept={"text": "ibuprofen gel for knee pain"}), []),
        (order("m", None, medicationCodeableConcept={"text": "estradiol vaginal tablet for vaginal dryness"}), []),
        (order("m", None, medicationCodeableConcept={"text": "syringe 0.5 mL"}), []),
    ],
)
def test_local_routes(made: dict[str, Any], expected: list[str]) -> None:
    found = facts_of(made).medications
    assert [ids(one) for one in found] == ([expected] if expected else [])


@pytest.mark.parametrize(
    "text",
    [
        "spironolactone 50 mg tablet for scalp hair loss",
        "spironolactone 50 mg for scalp hair loss",
        "ibuprofen 600 mg for dental pain",
        "ibuprofen 400 mg for the eyes",
        "diclofenac tablet for vaginal use",
        "diclofenac gel and tablets",
        "diclofenac gel-filled capsule",
    ],
)
def test_a_local_word_that_may_be_a_reason_leaves_a_drug_for_the_gates(text: str) -> None:
    assert columns(order("m", None, medicationCodeableConcept={"text": text})) == SAFETY


@pytest.mark.parametrize(
    "text", ["ibuprofen 200 mg liqui-gels", "ibuprofen softgel", "naproxen sodium 220 mg liquid gel caps"]
)
def test_a_gel_that_is_swallowed_counts_in_full(text: str) -> None:
    assert columns(order("m", None, medicationCodeableConcept={"text": text})) == BOTH


def test_words_of_the_dosage_route() -> None:
    for text, expected in (
        ("by mouth for eye disease", SAFETY),
        ("by mouth", BOTH),
        ("for the eye", SAFETY),
        ("eye drops", NEITHER),
        ("in the ear", NEITHER),
        ("oral or topical", SAFETY),
    ):
        assert columns(order("m", dosageInstruction=[{"route": {"text": text}}])) == expected, text


def test_a_stated_local_route_against_a_tablet() -> None:
    topical = [{"route": concept(SNOMED, "6064005")}]
    tablet = {"text": "ibuprofen 400 mg tablet"}
    assert columns(order("m", None, medicationCodeableConcept=tablet, dosageInstruction=topical)) == SAFETY


@pytest.mark.parametrize("text", ["heparin syringe", "insulin pen needle"])
def test_a_device_word_leaves_a_drug_for_the_gates_alone(text: str) -> None:
    assert columns(order("m", None, medicationCodeableConcept={"text": text})) == SAFETY


@pytest.mark.parametrize(
    "supply",
    [
        {"value": 31, "unit": "day(s)"},
        {"value": 1, "unit": "Month"},
        {"value": 31, "unit": "days", "system": SNOMED, "code": "258703001"},
        {"value": 5, "unit": "wk"},
    ],
)
def test_spellings_of_a_supply(supply: dict[str, Any]) -> None:
    assert columns(order("m", status="completed", dispenseRequest={"expectedSupplyDuration": supply})) == SAFETY


DAILY = [{"timing": {"repeat": {"frequency": 1, "period": 1, "periodUnit": "d"}}}]


def tablets(count: int, days: float, dose: Any = None, **more: Any) -> dict[str, Any]:
    dosage = [{**DAILY[0], "doseAndRate": [{"doseQuantity": dose or {"value": 1, "unit": "tablet"}}]}]
    return {
        "status": "completed",
        "authoredOn": days_ago(days),
        "dosageInstruction": dosage,
        "dispenseRequest": {"quantity": {"value": count, "unit": "tablet"}, **more},
    }


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (tablets(90, 89), SAFETY),
        (tablets(90, 91), NEITHER),
        (tablets(30, 89, numberOfRepeatsAllowed=2), SAFETY),
        (tablets(30, 91, numberOfRepeatsAllowed=2), NEITHER),
        (tablets(90, 44, {"value": 2, "unit": "TAB"}), SAFETY),
        (tablets(90, 46, {"value": 2, "unit": "TAB"}), NEITHER),
        # the strength is not known, so neither is how long they last; validity answers where it is stated
        (tablets(90, 200, {"value": 40, "unit": "mg"}), SAFETY),
        (tablets(90, 200, {"value": 40, "unit": "mg"}, validityPeriod={"end": days_ago(20)}), NEITHER),
        (tablets(90, 440, {"value": 40, "unit": "mg"}), SAFETY),
        (tablets(90, 480, {"value": 40, "unit": "mg"}), NEITHER),
        *(
            ({"status": "completed", "authoredOn": days_ago(days), "dispenseRequest": request}, expected)
            for days, expected in ((200, SAFETY), (480, NEITHER))
            for request in (
                {"quantity": {"value": 90, "unit": "tablet"}},
                {"numberOfRepeatsAllowed": 3},
                {"expectedSupplyDuration": {"value": 90, "unit": "sleeps"}},
                {"expectedSupplyDuration": {"unit": "d"}},
                {"expectedSupplyDuration": {"value": 1e9, "unit": "d"}},
                {"validityPeriod": {"end": "soon"}},
            )
        ),
        ({"status": "completed", "authoredOn": days_ago(200), "dispenseRequest": {}}, NEITHER),
    ],
)
def test_a_supply_that_cannot_be_read_may_last_a_year_and_a_quarter(more: dict[str, Any], expected: Any) -> None:
    assert columns(order("m", **more)) == expected


def test_a_quantity_is_counted_by_the_strength_in_the_name() -> None:
    named = {"text": "furosemide 40 mg tablet"}
    for days, expected in ((44, SAFETY), (46, NEITHER)):
        more = tablets(90, days, {"value": 80, "unit": "mg"})
        assert columns(order("m", None, medicationCodeableConcept=named, **more)) == expected


def test_a_supply_of_unknown_start_may_last() -> None:
    assert columns(order("m", status="completed", authoredOn=None, **supplied(30))) == SAFETY


# what is in it


def test_a_combination_tablet_counts_for_each_ingredient() -> None:
    one = medication(facts_of(order("m", "999967")))
    assert ids(one) == ["hydrochlorothiazide", "olmesartan"]
    assert {"thiazide-diuretic", "k-wasting", "raasi"} <= one.sets
    assert {ingredient.matched_by for ingredient in one.ingredients} == {"code"}


def test_text_is_marked_as_such() -> None:
    one = medication(facts_of(order("m", None, medicationCodeableConcept={"text": "Furosémide 40 mg"})))
    assert [(part.id, part.matched_by) for part in one.ingredients] == [("furosemide", "text")]


def test_text_adds_a_further_ingredient_to_a_code() -> None:
    named = concept(RXNORM, "5487", text="Lisinopril / Hydrochlorothiazide tablet")
    one = medication(facts_of(order("m", None, medicationCodeableConcept=named)))
    assert [(part.id, part.matched_by) for part in one.ingredients] == [
        ("hydrochlorothiazide", "code"),
        ("lisinopril", "text"),
    ]


@pytest.mark.parametrize(
    "text",
    ["Losartan HCTZ 50-12.5", "losartan-hydrochlorothiazide", "Losartan / HCTZ", "losartan and hydrochlorothiazide"],
)
def test_a_combination_in_words_names_all_its_parts(text: str) -> None:
    one = medication(facts_of(order("m", None, medicationCodeableConcept={"text": text})))
    assert ids(one) == ["hydrochlorothiazide", "losartan"]


def test_a_part_of_another_name_is_no_drug() -> None:
    one = medication(facts_of(order("m", None, medicationCodeableConcept={"text": "ethinyl estradiol 30 mcg"})))
    assert ids(one) == ["ethinyl-estradiol"]


def test_code_and_text_that_contradict_each_other() -> None:
    named = concept(RXNORM, "4603", text="Spironolactone 25 mg tablet")
    facts = facts_of(order("m", None, medicationCodeableConcept=named))
    assert ids(medication(facts)) == ["furosemide"]
    assert [(gap.kind, gap.reference) for gap in facts.gaps] == [("conflict", "MedicationRequest/m")]
    assert "medications" in facts.incomplete


@pytest.mark.parametrize(
    "named",
    [
        concept(RXNORM, "8591", text="Potassium 20 mEq tablet"),
        concept("http://www.whocc.no/atc", "C09A", text="Lisinopril 10 mg"),
        concept(RXNORM, "4603", text="Lasix 40 mg"),
    ],
)
def test_vaguer_or_other_names_are_no_contradiction(named: dict[str, Any]) -> None:
    assert facts_of(order("m", None, medicationCodeableConcept=named)).gaps == ()


def test_an_atc_group_without_named_ingredient() -> None:
    one = medication(
        facts_of(order("m", None, medicationCodeableConcept=concept("http://www.whocc.no/atc", "C03EA01")))
    )
    assert {"k-sparing", "k-wasting"} <= one.sets


@pytest.mark.parametrize(
    ("system", "code"),
    [
        ("urn:oid:2.16.840.1.113883.6.88", "310798"),
        ("http://www.nlm.nih.gov/research/umls/rxnorm/", " 310798 "),
        ("https://www.nlm.nih.gov/research/umls/rxnorm", "310798"),
    ],
)
def test_spellings_of_system_and_code(system: str, code: str) -> None:
    assert ids(medication(facts_of(order("m", None, medicationCodeableConcept=concept(system, code))))) == [
        "hydrochlorothiazide"
    ]


def held(**more: Any) -> dict[str, Any]:
    return {"resourceType": "Medication", "id": "d", "code": concept(RXNORM, "4603"), **more}


@pytest.mark.parametrize("reference", ["Medication/d", "https://ehr.example.org/fhir/Medication/d"])
def test_medication_in_the_bundle(reference: str) -> None:
    one = order("m", None, medicationReference={"reference": reference})
    assert ids(medication(facts_of(one, held()))) == ["furosemide"]


def test_contained_medication_and_its_coded_ingredients() -> None:
    parts = held(code={"text": "Mixture"}, ingredient=[{"itemCodeableConcept": concept(RXNORM, "4603")}])
    one = medication(facts_of(order("m", None, medicationReference={"reference": "#d"}, contained=[parts])))
    assert [(part.id, part.matched_by) for part in one.ingredients] == [("furosemide", "ingredient")]


def test_ingredient_that_is_a_medication_and_refers_to_itself() -> None:
    parts = held(code={"text": "Mixture"}, ingredient=[{"itemReference": {"reference": "#d"}}])
    assert facts_of(order("m", None, medicationReference={"reference": "#d"}, contained=[parts])).medications == ()


def test_medication_by_full_url() -> None:
    request = {
        "hook": "patient-view",
        "hookInstance": "x",
        "context": {"patientId": "Patient/p", "userId": "Practitioner/x"},
        "prefetch": {
            "patient": patient(),
            "medications": {
                "resourceType": "Bundle",
                "entry": [
                    {"resource": order("m", None, medicationReference={"reference": "urn:uuid:77"})},
                    {"fullUrl": "urn:uuid:77", "resource": held()},
                ],
            },
        },
    }
    assert ids(medication(facts_of_request(request))) == ["furosemide"]


def test_display_only_reference_is_text() -> None:
    one = order("m", None, medicationReference={"display": "Furosemide 40 mg"})
    assert medication(facts_of(one)).ingredients[0].matched_by == "text"


@pytest.mark.parametrize(
    "more",
    [
        {"medicationReference": {"reference": "Medication/elsewhere"}},
        {"medicationCodeableConcept": concept("urn:local", "123")},
        {"medicationCodeableConcept": {}},
        {},
    ],
)
def test_a_medication_that_cannot_be_identified(more: dict[str, Any]) -> None:
    facts = facts_of(order("m", None, **more))
    assert facts.medications == ()
    assert facts.incomplete == {"medications"}
    assert [(gap.kind, gap.reference) for gap in facts.gaps] == [("unidentified-medication", "MedicationRequest/m")]


def test_a_known_drug_of_no_interest_is_no_gap() -> None:
    facts = facts_of(order("m", None, medicationCodeableConcept=concept(RXNORM, "313782", text="Acetaminophen 325 MG")))
    assert (facts.medications, facts.gaps, facts.incomplete) == ((), (), frozenset())


# words that are not known


@pytest.mark.parametrize("text", ["KCl", "potassium", "potassium supplements", "potassium caps otc", "Potassium 99 mg"])
def test_an_entry_that_is_nothing_but_a_short_name_is_that_product(text: str) -> None:
    assert "potassium-product" in medication(facts_of(order("m", None, medicationCodeableConcept={"text": text}))).sets


@pytest.mark.parametrize(
    "text", ["losartan potassium", "penicillin V potassium 500 mg", "clavulanate potassium", "esomeprazole magnesium"]
)
def test_a_salt_is_no_supplement(text: str) -> None:
    facts = facts_of(order("m", None, medicationCodeableConcept={"text": text}))
    assert all({"potassium-product", "mg-product"}.isdisjoint(one.sets) for one in facts.medications)
    assert facts.incomplete == frozenset()


@pytest.mark.parametrize(
    ("text", "expected"), [("enoxiparin 40", "enoxaparin"), ("furosemde", "furosemide"), ("napraxen bid", "naproxen")]
)
def test_a_letter_wrong_in_a_long_name_counts_for_the_gates(text: str, expected: str) -> None:
    facts = facts_of(order("m", None, medicationCodeableConcept={"text": text}))
    one = medication(facts)
    assert (ids(one), one.contributor, one.safety, one.ingredients[0].matched_by) == ([expected], False, True, "text")
    assert facts.gaps == ()


def test_no_other_generic_name_passes_for_a_misspelling() -> None:
    names, rules = terminology().text_names, terminology().text_rules
    for word in (Path(__file__).parent / "generic-names.txt").read_text().split():
        reading = names.read(word, rules)
        assert reading.ingredients or not names.guessed(reading.words, rules), word


def test_words_that_are_not_known_are_told_once_and_close_nothing() -> None:
    unknown = [
        order("a", None, medicationCodeableConcept={"text": "multivitamin"}),
        order("b", None, medicationCodeableConcept=concept("urn:local", "7", text="blue pill")),
        order("c", None, medicationReference={"display": "Zinc lozenges"}),
        order("d", None, status="stopped", medicationCodeableConcept={"text": "fish oil"}),
        order("e", None, medicationCodeableConcept={"text": "No known medications"}),
        order("f", "999999999", medicationCodeableConcept=concept(RXNORM, "999999999", text="Something else")),
        order("g", None, medicationCodeableConcept={"text": "syringe 1 mL"}),
    ]
    facts = facts_of(*unknown)
    assert [(gap.kind, gap.what, gap.reference, gap.text) for gap in facts.gaps] == [
        (
            "not-understood",
            "medications",
            "MedicationRequest/a",
            "A medicine given only as text was not recognized (2 more like it).",
        )
    ]
    assert (facts.medications, facts.incomplete) == ((), frozenset())


@pytest.mark.parametrize("text", ["potasicum 20", "Kaliumtabletten", "spironolac..", "triamteral", "KCl20"])
def test_words_that_hold_a_part_of_a_name_that_matters_leave_the_list_incomplete(text: str) -> None:
    facts = facts_of(order("m", None, medicationCodeableConcept={"text": text}))
    assert facts.incomplete == {"medications"}
    assert [gap.kind for gap in facts.gaps] == ["not-understood"]
    assert text not in facts.gaps[0].text


def test_r5_medication_concept() -> None:
    one = order("m", None, medication={"concept": concept(RXNORM, "4603")})
    assert ids(medication(facts_of(one))) == ["furosemide"]


# starts


def test_continuous_start_reaches_back_through_orders_that_join() -> None:
    facts = facts_of(
        order("now", authoredOn=days_ago(20)),
        order("before", status="completed", authoredOn=days_ago(50), **supplied(30)),
        order("long-ago", status="completed", authoredOn=days_ago(400), **supplied(30)),
    )
    one = medication(facts)
    assert one.reference == "MedicationRequest/now"
    assert one.started_earliest is not None
    assert (NOW - one.started_earliest).days == 50


def test_unknown_start() -> None:
    one = medication(facts_of(order("m", authoredOn=None)))
    assert (one.started_earliest, one.started_latest) == (None, None)


def test_partial_start() -> None:
    one = medication(facts_of(statement("m", effectivePeriod={"start": "2025-03"})))
    assert str(one.started_earliest)[:10] == "2025-03-01"
    assert str(one.started_latest)[:10] == "2025-03-31"


# doses


def dosed(value: Any, unit: str = "", frequency: int | None = 1, **more: Any) -> list[dict[str, Any]]:
    timing = {"timing": {"repeat": {"frequency": frequency, "period": 1, "periodUnit": "d"}}} if frequency else {}
    return [{**timing, "doseAndRate": [{"doseQuantity": {"value": value, "unit": unit}}], **more}]


KCL = {"text": "potassium chloride 20 MEQ Extended Release Oral Tablet"}
LIQUID = {"text": "potassium chloride 20 MEQ per 15 ML Oral Solution"}


@pytest.mark.parametrize(
    ("named", "dosage", "expected"),
    [
        (KCL, dosed(20, "mEq", 2), ("meq", 20, 40)),
        (KCL, dosed(2, "tablet", 1), ("meq", 40, 40)),
        (KCL, dosed(1, "", 3), ("meq", 20, 60)),
        (KCL, dosed(1, "tablet", None), ("meq", 20, None)),
        (KCL, dosed(1, "tablet", None, timing={"code": {"coding": [{"code": "BID"}]}}), ("meq", 20, 40)),
        (LIQUID, dosed(15, "mL", 2), ("meq", 20, 40)),
        (LIQUID, dosed(1, "tablet", 2), None),
        (KCL, [{"text": "one twice daily"}], None),
        (KCL, None, None),
        ({"text": "Hydrochlorothiazide 25 MG / Triamterene 37.5 MG"}, dosed(1, "tablet"), None),
    ],
)
def test_doses(named: dict[str, Any], dosage: Any, expected: tuple[str, int, int | None] | None) -> None:
    dose = medication(facts_of(order("m", None, medicationCodeableConcept=named, dosageInstruction=dosage))).dose
    if expected is None:
        assert dose is None
    else:
        assert dose is not None
        assert (dose.unit, dose.each, dose.a_day) == expected


def test_forms_and_as_needed() -> None:
    solid = medication(facts_of(order("m", None, medicationCodeableConcept=KCL)))
    liquid = medication(facts_of(order("m", None, medicationCodeableConcept=LIQUID)))
    assert (solid.form, liquid.form) == ("solid", "liquid")
    assert medication(facts_of(order("m", dosageInstruction=dosed(1, asNeededBoolean=True)))).as_needed_only
    assert not medication(facts_of(order("m", dosageInstruction=dosed(1)))).as_needed_only


def test_indications() -> None:
    one = medication(facts_of(order("m", reasonCode=[concept(ICD10CM, "R25.2")])))
    assert "leg-cramp-symptom" in one.indications


# drafts


def order_select(drafts: list[dict[str, Any]], selections: list[str] | None, current: list[dict[str, Any]]) -> Any:
    context: dict[str, Any] = {
        "patientId": "p",
        "userId": "Practitioner/x",
        "draftOrders": {"resourceType": "Bundle", "entry": [{"resource": one} for one in drafts]},
    }
    if selections is not None:
        context["selections"] = selections
    return facts_of_request(
        {
            "hook": "order-select",
            "hookInstance": "x",
            "context": context,
            "prefetch": {
                "patient": patient(),
                "medications": {"resourceType": "Bundle", "entry": [{"resource": one} for one in current]},
            },
        }
    )


def test_drafts_and_selections() -> None:
    drafts = [order("a", status="draft"), order("b", "9997", status="draft")]
    first, second = order_select(drafts, ["MedicationRequest/b"], []).medications
    assert (first.draft, first.selected, second.selected) == (True, False, True)
    assert (first.contributor, first.safety) == (False, False)
    assert all(one.selected for one in order_select(drafts, None, []).medications)


def test_a_draft_delivered_in_the_prefetch_too_counts_once_as_a_draft() -> None:
    one = order("a", status="draft")
    (found,) = order_select([one], None, [one, {**one, "status": "active"}]).medications
    assert found.draft
    assert found.reference == "MedicationRequest/a"


def test_a_draft_not_to_be_performed_is_none() -> None:
    assert order_select([order("a", status="draft", doNotPerform=True)], None, []).medications == ()


def test_another_patients_draft() -> None:
    facts = order_select([order("a", status="draft", subject={"reference": "Patient/q"})], None, [])
    assert facts.medications == ()
    assert [gap.kind for gap in facts.gaps] == ["wrong-patient"]
