"""Attacks: requests built to get a harmful answer, and a random comparison with a second reading of GATE-K.

The builder and the oracle below are written from `clinical-knowledge.md` alone and share no code with the service.
"""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import pytest

from cds_service.assess import Assessment, assess
from cds_service.cards.response import to_builtins
from cds_service.engine.context import Context
from cds_service.engine.evaluate import evaluate_findings
from cds_service.engine.gates import decide
from cds_service.facts.decode import build_facts
from cds_service.facts.reading import decode_request
from cds_service.fhir.prefetch import gather
from cds_service.ruleset import Ruleset, load_ruleset
from cds_service.settings import ClientProfile, Settings

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
ATC = "http://www.whocc.no/atc"
LOINC = "http://loinc.org"
SNOMED = "http://snomed.info/sct"
ICD = "http://hl7.org/fhir/sid/icd-10-cm"
UCUM = "http://unitsofmeasure.org"
SUBJECT = {"reference": "Patient/p1"}
HCTZ, LISINOPRIL, IBUPROFEN, SPIRONOLACTONE = "310798", "314076", "310965", "313096"
Json = dict[str, Any]


# -- a small FHIR builder


def ago(**span: float) -> str:
    return (NOW - timedelta(**span)).isoformat().replace("+00:00", "Z")


def result(code: str, value: float, unit: str | None, at: str, comparator: str = "", **more: Any) -> Json:
    quantity: Json = {"value": value}
    if unit:
        quantity |= {"unit": unit, "system": UCUM, "code": unit}
    if comparator:
        quantity["comparator"] = comparator
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": {"coding": [{"system": LOINC, "code": code}]},
        "subject": SUBJECT,
        "effectiveDateTime": at,
        "valueQuantity": quantity,
    } | more


def potassium(value: float, at: str | None = None, unit: str | None = "mmol/L", **more: Any) -> Json:
    return result("2823-3", value, unit, at or ago(days=5), **more)


def creatinine(value: float, at: str | None = None, unit: str | None = "mg/dL", **more: Any) -> Json:
    return result("2160-0", value, unit, at or ago(days=5), **more)


def egfr(value: float, at: str | None = None, **more: Any) -> Json:
    return result("98979-8", value, "mL/min/{1.73_m2}", at or ago(days=5), **more)


def magnesium(value: float, at: str | None = None, **more: Any) -> Json:
    return result("2601-3", value, "mmol/L", at or ago(days=5), **more)


def drug(text: str = "", rx: str = "", atc: str = "", display: str = "", **more: Any) -> Json:
    coding = [
        {"system": s, "code": c} | ({"display": display} if display else {}) for s, c in ((RXNORM, rx), (ATC, atc)) if c
    ]
    concept: Json = {"coding": coding} if coding else {}
    if text:
        concept["text"] = text
    order = {
        "resourceType": "MedicationRequest",
        "status": "active",
        "intent": "order",
        "medicationCodeableConcept": concept,
        "subject": SUBJECT,
        "authoredOn": ago(days=30),
    } | more
    return {key: value for key, value in order.items() if value is not None}


def condition(code: str, system: str = ICD, recorded: str | None = None, **more: Any) -> Json:
    return {
        "resourceType": "Condition",
        "clinicalStatus": {"coding": [{"code": "active"}]},
        "verificationStatus": {"coding": [{"code": "confirmed"}]},
        "code": {"coding": [{"system": system, "code": code}]},
        "subject": SUBJECT,
        "recordedDate": recorded or ago(days=5),
    } | more


def bundle(resources: list[Json], **more: Any) -> Json:
    numbered = [{"id": f"{r['resourceType'].lower()}-{i}"} | r for i, r in enumerate(resources)]
    return {"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": r} for r in numbered]} | more


def request(
    drugs: list[Json] | None = None,
    results: list[Json] | None = None,
    conditions: list[Json] | None = None,
    drafts: list[Json] | None = None,
    patient: Json | None = None,
    without: tuple[str, ...] = (),
    prefetch: Json | None = None,
) -> Json:
    """A patient on hydrochlorothiazide with potassium 3.2 and good kidneys, unless told otherwise."""
    drugs = [drug(rx=HCTZ)] if drugs is None else drugs
    results = [potassium(3.2), creatinine(0.75), magnesium(0.85)] if results is None else results
    person: Json = {"resourceType": "Patient", "id": "p1", "gender": "female", "birthDate": "1960-01-15"}
    filled: Json = {
        "patient": {k: v for k, v in (person | (patient or {})).items() if v is not None},
        "medications": bundle(drugs),
        "conditions": bundle(conditions or []),
        "observations": bundle(results),
        "allergies": bundle([]),
        "procedures": bundle([]),
        "service-requests": bundle([]),
    } | (prefetch or {})
    context: Json = {"userId": "Practitioner/1", "patientId": "p1"}
    if drafts is not None:
        context["draftOrders"] = bundle([d | {"status": "draft"} for d in drafts])
        for i, entry in enumerate(context["draftOrders"]["entry"]):
            entry["resource"]["id"] = f"draft-{i}"
    return {
        "hook": "patient-view" if drafts is None else "order-sign",
        "hookInstance": "1b5f6a50-0000-4000-8000-00000000c0de",
        "context": context,
        "prefetch": {key: value for key, value in filled.items() if key not in without},
    }


@cache
def ruleset() -> Ruleset:
    return load_ruleset()


def ask(body: Json) -> Assessment:
    return assess(gather(decode_request(json.dumps(body).encode())), ruleset(), Settings(), NOW)


def shown(assessment: Assessment) -> dict[str, str]:
    return {
        c["extension"]["org.legcramp.assessment"]["rules"][0]: c["indicator"] for c in to_builtins(assessment.cards)
    }


def suggestions(assessment: Assessment) -> list[Json]:
    return [s for card in to_builtins(assessment.cards) for s in card.get("suggestions", ())]


def starts(assessment: Assessment, word: str = "potassium") -> list[Json]:
    """Medication drafts offered whose name holds `word`."""
    created = [a["resource"] for s in suggestions(assessment) for a in s["actions"] if a["type"] == "create"]
    return [
        r
        for r in created
        if r["resourceType"] == "MedicationRequest" and word in json.dumps(r["medicationCodeableConcept"]).lower()
    ]


def assert_no_potassium(body: Json) -> None:
    answer = ask(body)
    assert shown(answer), "the low potassium itself must still be reported"
    assert not starts(answer), f"potassium offered by row {answer.decisions['potassium-chloride'].row}"


def test_the_base_patient_gets_potassium_so_that_the_tests_below_mean_something() -> None:
    answer = ask(request())
    assert shown(answer) == {"lab-hypokalemia": "warning"}
    assert len(starts(answer)) == 1


# -- F01, F02: drugs told in words


@pytest.mark.parametrize(
    "text",
    [
        *("Klor-Con", "Klor-Con M20", "Klor-Con 10", "KCl", "potassium", "Potassium Cl ER", "potassium cl 20 meq"),
        *(
            "potassium pills",
            "potassium supplements",
            "Micro-K",
            "Sando-K",
            "Kay-Cee-L",
            "Kaon-Cl",
            "K-Dur 20",
            "Slow-K",
        ),
    ],
)
def test_a_potassium_product_in_words_closes_the_gate(text: str) -> None:
    assert_no_potassium(request([drug(rx=HCTZ), drug(text)]))


@pytest.mark.parametrize(
    "text",
    [
        "Moduretic",
        "Midamor 5 mg",
        "Moduret",
        "Frumil",
        "Triam/HCTZ",
        "Dyazide",
        "Maxzide-25",
        "amiloride hcl",
        "co-amilozide",
    ],
)
def test_amiloride_and_triamterene_in_words_close_the_gate(text: str) -> None:
    assert_no_potassium(request([drug(rx=HCTZ), drug(text)]))


@pytest.mark.parametrize(
    "text", ["Aldactone", "spironolactone 25", "Inspra 50", "Kerendia", "Aldactazide", "Soludactone"]
)
def test_an_mra_in_words_closes_the_gate(text: str) -> None:
    assert_no_potassium(request([drug(rx=HCTZ), drug(text)]))


@pytest.mark.parametrize("text", ["SMZ-TMP DS", "SMZ/TMP", "Bactrim DS", "Prograf", "Neoral", "Lovenox 40 mg"])
def test_a_strong_potassium_raiser_in_words_closes_the_gate(text: str) -> None:
    assert_no_potassium(request([drug(rx=HCTZ), drug(text, authoredOn=ago(days=10))]))


@pytest.mark.parametrize(
    "text", ["Toradol 10 mg", "Voltaren XR", "Clinoril", "Nurofen", "Brufen", "Arcoxia", "Ponstel", "Aleve", "Mobic"]
)
def test_an_nsaid_in_words_beside_lisinopril_closes_the_gate(text: str) -> None:
    assert_no_potassium(request([drug(rx=HCTZ), drug(rx=LISINOPRIL), drug(text)]))


@pytest.mark.parametrize(
    "text", ["Edarbi", "Tekturna", "Capoten", "Prinzide", "Tarka", "Coversyl", "Aprovel", "Entresto", "Diovan"]
)
def test_a_raas_inhibitor_in_words_beside_ibuprofen_closes_the_gate(text: str) -> None:
    assert_no_potassium(request([drug(rx=HCTZ), drug(rx=IBUPROFEN), drug(text)]))


@pytest.mark.parametrize(
    "text",
    [
        *("ibuprofen 200 mg gel caps", "Ibuprofen liquid gel capsule", "naproxen sodium 220 mg liquid gel caps"),
        *("ibuprofen 400 mg tablet (eye pain)", "ibuprofen 400 mg tablets for ear ache"),
    ],
)
def test_a_word_of_a_local_route_does_not_hide_a_swallowed_nsaid(text: str) -> None:
    assert_no_potassium(request([drug(rx=HCTZ), drug(rx=LISINOPRIL), drug(text)]))


def test_a_word_of_a_local_route_does_not_hide_spironolactone() -> None:
    assert_no_potassium(request([drug(rx=HCTZ), drug("spironolactone 50 mg tablet for scalp hair loss")]))
    by_mouth = {"dosageInstruction": [{"route": {"text": "by mouth for eye disease"}}]}
    assert_no_potassium(request([drug(rx=HCTZ), drug("spironolactone 25 mg", **by_mouth)]))


@pytest.mark.parametrize("text", ["Lovenox syringe", "enoxaparin syringe", "heparin syringe"])
def test_a_device_word_does_not_hide_a_heparin(text: str) -> None:
    assert_no_potassium(request([drug(rx=HCTZ), drug(text, authoredOn=ago(days=10))]))


@pytest.mark.parametrize(
    "text",
    [
        *(
            "diclofenac 1% gel",
            "Voltaren gel",
            "timolol 0.5% eye drops",
            "dorzolamide-timolol ophthalmic",
            "losartan potassium 50",
        ),
        *(
            "penicillin V potassium 500 mg",
            "esomeprazole magnesium 20 mg",
            "No known medications",
            "quinapril 10 mg",
            "quinidine",
        ),
    ],
)
def test_look_alikes_are_not_what_they_look_like(text: str) -> None:
    answer = ask(request([drug(rx=HCTZ), drug(text)]))
    row = answer.decisions["potassium-chloride"].row
    assert row not in ("GK5", "GK6", "GK7", "GK8", "GK9"), row
    assert "quinine-use" not in shown(answer)


# -- F03, F04: results of one instant, and results with comparators


@pytest.mark.parametrize("values", [(3.2, 2.4), (2.4, 3.2)])
def test_of_two_low_results_of_one_instant_the_worse_is_reported(values: tuple[float, float]) -> None:
    at = ago(days=1)
    answer = ask(request(results=[*(potassium(v, at) for v in values), creatinine(0.75), magnesium(0.85)]))
    assert shown(answer)["lab-hypokalemia"] == "critical"
    assert not starts(answer)


@pytest.mark.parametrize("values", [(5.9, 6.1), (6.1, 5.9), (6.1, 5.2), (5.2, 6.1)])
def test_of_two_high_results_of_one_instant_the_worse_is_reported(values: tuple[float, float]) -> None:
    at = ago(days=1)
    answer = ask(request(results=[*(potassium(v, at) for v in values), creatinine(0.75), magnesium(0.85)]))
    assert shown(answer)["lab-hyperkalemia"] == "critical"


@pytest.mark.parametrize("values", [(0.45, 0.35), (0.35, 0.45)])
def test_of_two_magnesium_results_of_one_instant_the_worse_is_reported(values: tuple[float, float]) -> None:
    at = ago(days=1)
    answer = ask(request(results=[potassium(4.2), creatinine(0.75), *(magnesium(v, at) for v in values)]))
    assert shown(answer)["lab-hypomagnesemia"] == "critical"


def test_a_draft_of_potassium_is_held_against_the_worse_of_one_instant() -> None:
    for values in ((3.3, 5.8), (5.8, 3.3)):
        draft = drug("potassium chloride 20 mEq extended release tablet")
        at = ago(days=1)
        answer = ask(request([], [*(potassium(v, at) for v in values), creatinine(0.75)], drafts=[draft]))
        assert shown(answer).get("order-potassium-unsafe") in ("warning", "critical"), values


@pytest.mark.parametrize(("value", "comparator", "newest"), [(5.5, ">", 3.2), (5.0, ">", 3.4), (2.4, "<", 3.4)])
def test_a_comparator_result_takes_part_in_a_conflict(value: float, comparator: str, newest: float) -> None:
    series = [potassium(newest, ago(days=1)), potassium(value, ago(days=1, hours=2), comparator=comparator)]
    answer = ask(request(results=[*series, creatinine(0.75), magnesium(0.85)]))
    assert "lab-potassium-uncertain" in shown(answer)
    assert not starts(answer)


# -- F05: what was not supplied


def test_statements_under_another_key_do_not_stand_for_the_medication_list() -> None:
    body = request(without=("medications",), prefetch={"home-drugs": bundle([])})
    statement = {
        "resourceType": "MedicationStatement",
        "status": "active",
        "subject": SUBJECT,
        "effectiveDateTime": ago(days=30),
    }
    statement["medicationCodeableConcept"] = {"text": "furosemide 40 mg"}
    body["prefetch"]["home-drugs"] = bundle([statement])
    assert_no_potassium(body)


def test_a_null_condition_list_withholds_potassium() -> None:
    # HZ-57 against the CDS Hooks reading of null: the more restrictive one wins
    assert_no_potassium(request(prefetch={"conditions": None}))


@pytest.mark.parametrize("key", ["medications", "conditions", "observations"])
def test_a_bundle_that_counts_more_than_it_holds_is_truncated(key: str) -> None:
    body = request()
    body["prefetch"][key]["total"] = 700
    assert_no_potassium(body)


@pytest.mark.parametrize("code", ["incomplete", "suppressed", "timeout", "throttled", "too-costly"])
def test_a_warning_that_the_answer_is_incomplete_withholds_potassium(code: str) -> None:
    body = request()
    outcome = {"resourceType": "OperationOutcome", "issue": [{"severity": "warning", "code": code}]}
    body["prefetch"]["medications"]["entry"].append({"resource": outcome, "search": {"mode": "outcome"}})
    assert_no_potassium(body)


@pytest.mark.parametrize("key", ["conditions", "medications"])
@pytest.mark.parametrize("how", ["absent", "failed", "truncated"])
def test_a_list_that_did_not_arrive_withholds_potassium(key: str, how: str) -> None:
    body = request(results=[potassium(2.8), creatinine(0.75), magnesium(0.85)])
    if how == "absent":
        del body["prefetch"][key]
    elif how == "failed":
        body["prefetch"][key] = {
            "resourceType": "OperationOutcome",
            "issue": [{"severity": "error", "code": "exception"}],
        }
    else:
        body["prefetch"][key]["link"] = [{"relation": "next", "url": "https://ehr/x"}]
    assert_no_potassium(body)


def test_a_potassium_draft_without_a_medication_list_is_not_passed_in_silence() -> None:
    draft = drug("potassium chloride 20 mEq extended release tablet")
    body = request([], [potassium(4.3), creatinine(0.75)], drafts=[draft], without=("medications",))
    assert shown(ask(body)), "nobody could exclude amiloride or spironolactone"


# -- F06: hemolysis


@pytest.mark.parametrize(
    "note",
    [
        *("Hemolyzed: no recollection", "hemolyzed none available for repeat", "not able to redraw hemolyzed specimen"),
        *("Unable to recollect, no clot - hemolyzed", "Specimen slightly hemolyzed", "Haemolysis +"),
    ],
)
def test_a_note_of_hemolysis_closes_the_gate(note: str) -> None:
    assert_no_potassium(request(results=[potassium(3.2, note=[{"text": note}]), creatinine(0.75), magnesium(0.85)]))


def test_an_interpretation_of_a_component_tells_hemolysis() -> None:
    part = {
        "code": {"coding": [{"system": LOINC, "code": "2823-3"}]},
        "valueQuantity": {"value": 3.2, "unit": "mmol/L"},
        "interpretation": [{"text": "hemolyzed"}],
    }
    panel = result("24321-2", 1, "x", ago(days=5), component=[part])
    del panel["valueQuantity"]
    assert_no_potassium(request(results=[panel, creatinine(0.75), magnesium(0.85)]))


@pytest.mark.parametrize("answer", [(LOINC, "LA33-6"), (SNOMED, "373066001")])
def test_a_coded_yes_to_hemolysis_closes_the_gate(answer: tuple[str, str]) -> None:
    flag = result(
        "20393-5", 1, "x", ago(days=5), valueCodeableConcept={"coding": [{"system": answer[0], "code": answer[1]}]}
    )
    del flag["valueQuantity"]
    assert_no_potassium(request(results=[potassium(3.2), flag, creatinine(0.75), magnesium(0.85)]))


# -- F07: combination products by code alone


@pytest.mark.parametrize(
    ("code", "sets"),
    [
        *(("104264", "potassium-product"), ("1536474", "potassium-product"), ("818771", "potassium-product")),
        *(
            ("1156023", "k-raiser-weak"),
            ("1151296", "k-raiser-weak"),
            ("1162122", "k-raiser-weak"),
            ("104338", "k-raiser-weak"),
        ),
        *(("1483549", "k-raiser-weak"), ("1994540", "mg-product"), ("1153235", "quinine")),
        ("198316", "enac"),
    ],
)
def test_a_product_code_names_all_its_ingredients(code: str, sets: str) -> None:
    match = ruleset().terminology.lookup(RXNORM, code)
    assert match is not None
    assert sets in frozenset().union(*(ingredient.sets for ingredient in match.ingredients))


# -- F08: order hooks


@pytest.mark.parametrize("text", ["Klor-Con M20", "KCl", "potassium chloride 20 mEq", "K-Dur 20", "Klor-Con 10"])
def test_a_potassium_draft_in_words_meets_a_high_potassium(text: str) -> None:
    answer = ask(request([], [potassium(5.8), creatinine(0.75)], drafts=[drug(text)]))
    assert shown(answer) == {"order-potassium-unsafe": "critical"}
    deleted = [a["resourceId"] for s in suggestions(answer) for a in s["actions"] if a["type"] == "delete"]
    assert deleted == ["MedicationRequest/draft-0"]


def test_a_draft_without_id_is_not_deleted_by_an_invented_one() -> None:
    body = request([], [potassium(5.8), creatinine(0.75)], drafts=[drug("potassium chloride 20 mEq")])
    del body["context"]["draftOrders"]["entry"][0]["resource"]["id"]
    answer = ask(body)
    assert shown(answer) == {"order-potassium-unsafe": "critical"}
    assert not [a for s in suggestions(answer) for a in s["actions"] if a["type"] == "delete"]


# -- F09: conditions


@pytest.mark.parametrize(
    "code",
    [
        "363732003",
        "386584007",
        "277605001",
        "710572000",
        "55525008",
        "81060008",
        "62315008",
        "25374005",
        "34095006",
        "422400008",
        "240131006",
    ],
)
def test_a_condition_in_snomed_closes_the_gate_as_in_icd(code: str) -> None:
    assert_no_potassium(request(conditions=[condition(code, SNOMED, ago(days=3))]))


@pytest.mark.parametrize(
    "code", ["N18.4", "N184", "E27.1", "E2740", "K56.7", "Z33.1", "F50.01", "M62.82", "R29.0", "R53.1"]
)
@pytest.mark.parametrize("status", ["confirmed", "provisional", "unconfirmed", "differential"])
def test_a_condition_in_icd_closes_the_gate(code: str, status: str) -> None:
    assert_no_potassium(request(conditions=[condition(code, verificationStatus={"coding": [{"code": status}]})]))


@pytest.mark.parametrize("code", ["I12.0", "I13.11", "I13.2"])
def test_hypertensive_disease_with_stage_5_or_failure_is_advanced_kidney_disease(code: str) -> None:
    # these codes say stage 5 or end-stage disease by definition; N18.5/N18.6 beside them is often left out
    assert_no_potassium(request(conditions=[condition(code)]))


# -- F10: supply of a completed order


@pytest.mark.parametrize(
    "supply",
    [
        {"value": 90, "unit": "d", "code": "d"},
        {"value": 90, "unit": "day(s)"},
        {"value": 3, "unit": "month(s)"},
        {"value": 90, "unit": "days", "system": SNOMED, "code": "258703001"},
    ],
)
def test_a_completed_order_still_supplied_closes_the_gate(supply: Json) -> None:
    mra = drug(
        rx=SPIRONOLACTONE,
        status="completed",
        authoredOn=ago(days=20),
        dispenseRequest={"expectedSupplyDuration": supply},
    )
    assert_no_potassium(request([drug(rx=HCTZ), mra]))


def test_a_completed_order_of_unknown_start_may_still_be_supplied() -> None:
    supply = {"expectedSupplyDuration": {"value": 90, "unit": "d", "code": "d"}}
    mra = drug(rx=SPIRONOLACTONE, status="completed", authoredOn=None, dispenseRequest=supply)
    assert_no_potassium(request([drug(rx=HCTZ), mra]))


# -- F11: low-dose aspirin


def test_low_dose_aspirin_is_not_called_an_nsaid() -> None:
    answer = ask(request([drug(rx=HCTZ), drug(rx=LISINOPRIL), drug("aspirin 81 mg")]))
    assert "together with an NSAID" not in " ".join(card.detail for card in answer.cards)


# -- F13: magnesium


def low_magnesium(drugs: list[Json] | None = None, conditions: list[Json] | None = None) -> Json:
    results = [potassium(4.2), creatinine(0.75), magnesium(0.62)]
    return request([drug("digoxin 125 mcg"), *(drugs or [])], results, conditions)


def test_low_magnesium_gets_magnesium_so_that_the_tests_below_mean_something() -> None:
    assert starts(ask(low_magnesium()), "magnesium")


@pytest.mark.parametrize(
    ("system", "code"),
    [(SNOMED, "27885002"), (SNOMED, "195042002"), (ICD, "I44.1"), (ICD, "I442"), (SNOMED, "91637004"), (ICD, "G70.01")],
)
def test_no_magnesium_with_heart_block_or_myasthenia(system: str, code: str) -> None:
    assert not starts(ask(low_magnesium(conditions=[condition(code, system)])), "magnesium")


@pytest.mark.parametrize(
    "text",
    [
        *("magnesium", "magnesium pills", "MgO", "mag oxide 400", "Slow-Mag", "Maalox", "Mylanta", "Mag-Ox 400"),
        *("Milk of Magnesia", "magnesium citrate", "Natural Calm magnesium", "Magonate"),
    ],
)
def test_no_second_magnesium_beside_one_in_words(text: str) -> None:
    assert not starts(ask(low_magnesium([drug(text)])), "magnesium")


# -- F14: what the record does not hold is no contributor


def test_a_prompt_is_not_listed_as_a_disease() -> None:
    cramps = condition("449918009", SNOMED, ago(days=60))
    answer = ask(request([drug("rosuvastatin 10 mg")], [potassium(4.2), creatinine(0.75), magnesium(0.85)], [cramps]))
    (card,) = answer.cards
    assert "Arterial disease" not in card.detail
    assert "Thyroid disease" not in card.detail


# -- P4, quinine, and the words


def test_a_client_of_one_action_gets_the_test_and_no_treatment() -> None:
    one = Settings(client=ClientProfile(one_action_per_suggestion=True))
    answer = assess(gather(decode_request(json.dumps(request()).encode())), ruleset(), one, NOW)
    assert not starts(answer)
    assert all(len(s["actions"]) == 1 for s in suggestions(answer))
    assert "P4" in answer.cards[0].detail


@pytest.mark.parametrize(
    "text",
    [
        *(
            "metformin 500 mg",
            "atorvastatin 20 mg",
            "omeprazole 20 mg",
            "amlodipine 5 mg",
            "levothyroxine 50 mcg",
            "aspirin 81 mg",
        ),
        *(
            "sertraline 50 mg",
            "losartan potassium 50 mg",
            "hydrochlorothiazide 25 mg",
            "spironolactone 25 mg",
            "warfarin 5 mg",
        ),
    ],
)
def test_a_healthy_adult_on_a_common_drug_gets_no_card(text: str) -> None:
    results = [potassium(4.2), creatinine(0.75), magnesium(0.85)]
    assert shown(ask(request([drug(text)], results))) == {}


@pytest.mark.parametrize(
    "patient",
    [{"birthDate": "2008-03-11"}, {"birthDate": "2008"}, {"deceasedBoolean": True}, {"deceasedDateTime": "2026"}],
)
def test_children_and_the_deceased_get_no_card(patient: Json) -> None:
    assert shown(ask(request(results=[potassium(2.2), creatinine(0.75)], patient=patient))) == {}


# -- a second reading of GATE-K, on random patients

CLASSES: dict[str, list[Json]] = {
    "wasting": [{"rx": HCTZ}, {"text": "furosemide 40 mg"}, {"text": "chlorthalidone 25 mg"}, {"atc": "C03AA03"}],
    "enac": [{"text": "Dyazide"}, {"text": "amiloride 5 mg"}, {"atc": "C03DB01"}, {"text": "triamterene/hctz 37.5-25"}],
    "mra": [
        {"rx": SPIRONOLACTONE},
        {"text": "eplerenone 50 mg"},
        {"text": "Kerendia"},
        {"atc": "C03DA01"},
        {"text": "Aldactazide"},
    ],
    "raiser": [
        {"text": "Bactrim DS"},
        {"atc": "L04AD02"},
        {"text": "cyclosporine"},
        {"text": "trimethoprim 100 mg"},
        {"atc": "J01EE01"},
    ],
    "heparin": [{"text": "enoxaparin 40 mg"}, {"atc": "B01AB05"}],
    "raasi": [
        {"rx": LISINOPRIL},
        {"text": "losartan potassium 50"},
        {"text": "Entresto"},
        {"atc": "C09DX04"},
        {"text": "lisinopril-HCTZ"},
    ],
    "nsaid": [{"rx": IBUPROFEN}, {"text": "naproxen 500 mg"}, {"atc": "M01AE01"}, {"text": "Celebrex"}],
    "weak": [{"text": "propranolol 40 mg"}, {"text": "carvedilol 6.25 mg"}, {"atc": "C07AA07"}],
    "potassium": [
        {"text": "potassium chloride 20 mEq ER"},
        {"text": "K-Dur 20"},
        {"atc": "A12BA01"},
        {"text": "potassium citrate 10 mEq"},
    ],
    "cai": [{"text": "acetazolamide 250 mg"}, {"atc": "S01EC01"}],
    "anticholinergic": [{"text": "oxybutynin 5 mg"}],
    "harmless": [
        {"text": "metformin 500 mg"},
        {"text": "diclofenac 1% gel"},
        {"text": "levothyroxine 50 mcg"},
        {"text": "timolol 0.5% eye drops"},
    ],
}
CONDITIONS: dict[str, list[tuple[str, str]]] = {
    "weak": [(ICD, "R53.1"), (ICD, "M6281"), (SNOMED, "26544005")],
    "tetany": [(ICD, "R29.0")],
    "renal": [(ICD, "N18.4"), (SNOMED, "433146000"), (ICD, "N17.9"), (ICD, "Z99.2")],
    "caution": [(ICD, "E27.1"), (SNOMED, "82732003"), (ICD, "M62.82"), (ICD, "E883")],
    "pregnant": [(ICD, "Z33.1"), (SNOMED, "77386006"), (ICD, "O2690")],
    "bowel": [(ICD, "K56.7"), (ICD, "K5660")],
    "refeed": [(ICD, "E43"), (ICD, "F50.01")],
    "loss": [(ICD, "A09"), (ICD, "R19.7")],
    "solid": [(ICD, "K31.84"), (ICD, "K22.2")],
    "cramp": [(SNOMED, "449918009")],
}
STATES = ("active", "active", "active", "on-hold", "completed-supplied", "statement", "stopped", "completed")


class Person:
    """A random patient: facts for the oracle beside the request that tells them."""

    def __init__(self, seed: int) -> None:
        self.random = dice = random.Random(seed)
        self.age = dice.choice([None, *[dice.choice((30, 45, 60, 74, 75, 82)) for _ in range(12)]])
        self.sex = dice.choice(("female", "male", "female", "male", None))
        self.drugs: set[str] = set()
        self.conditions: set[str] = set()
        self.loss_day: datetime | None = None
        orders, statements, drafts = self._drugs()
        self.drafted = bool(drafts)
        conditions = self._conditions()
        results = self._potassium() + self._kidney() + self._bicarbonate()
        birth = None if self.age is None else f"{2026 - self.age}-01-15"
        self.missing = dice.choice([None] * 14 + ["conditions", "medications"])
        dice.shuffle(results)
        self.body = request(
            orders,
            results,
            conditions,
            drafts or None,
            {"birthDate": birth, "gender": self.sex},
            (self.missing,) if self.missing else (),
            {"medication-statements": bundle(statements)},
        )

    def _drugs(self) -> tuple[list[Json], list[Json], list[Json]]:
        dice = self.random
        orders: list[Json] = []
        statements: list[Json] = []
        drafts: list[Json] = []
        chosen = ["wasting"] if dice.random() < 0.6 else []
        chosen += dice.choices(list(CLASSES), k=dice.choice((0, 0, 0, 1, 1, 2, 3)))
        for name in chosen:
            what, state = dice.choice(CLASSES[name]), dice.choice(STATES)
            days = dice.choice((1, 2, 5, 30))
            counts = state not in ("stopped", "completed")
            order = drug(**what, authoredOn=ago(days=days))
            if state == "statement":
                statement = {k: v for k, v in order.items() if k in ("subject", "medicationCodeableConcept", "status")}
                statements.append(
                    statement | {"resourceType": "MedicationStatement", "effectiveDateTime": ago(days=days)}
                )
            elif state == "completed-supplied":
                orders.append(
                    order
                    | {
                        "status": "completed",
                        "dispenseRequest": {"expectedSupplyDuration": {"value": 90, "unit": "d", "code": "d"}},
                    }
                )
            else:
                orders.append(order | {"status": state})
            if counts and (name != "heparin" or days > 3):
                self._add(name, what)
        if dice.random() < 0.3:
            name = dice.choice(("wasting", "wasting", "enac", "mra", "potassium", "raiser", "nsaid", "raasi"))
            what = dice.choice(CLASSES[name])
            drafts = [drug(rx=HCTZ, authoredOn=ago(days=0)), drug(**what, authoredOn=ago(days=0))]
            self.drugs.add("wasting")
            self._add(name, what)
        return orders, statements, drafts

    def _add(self, name: str, what: Json) -> None:
        self.drugs.add(name)

    def _conditions(self) -> list[Json]:
        dice = self.random
        made = []
        for name in dice.choices(list(CONDITIONS), k=dice.choice((0, 0, 0, 0, 1, 1, 2))):
            system, code = dice.choice(CONDITIONS[name])
            state = dice.choice(("confirmed", "confirmed", "provisional", "refuted", "resolved"))
            days = dice.choice((2, 12, 29, 40))
            one = condition(code, system, ago(days=days))
            if state == "resolved":
                one["clinicalStatus"] = {"coding": [{"code": "resolved"}]}
            else:
                one["verificationStatus"] = {"coding": [{"code": state}]}
            made.append(one)
            if state in ("refuted", "resolved"):
                continue
            if name in ("weak", "tetany") and days > 30:
                continue
            if name == "loss":
                if days <= 14:
                    day = NOW - timedelta(days=days)
                    self.loss_day = max(day, self.loss_day or day)
                continue
            if name == "cramp" and state != "confirmed":
                continue
            self.conditions.add(name)
        return made

    def _potassium(self) -> list[Json]:
        dice = self.random
        self.potassium: list[tuple[float, float, str, bool, str]] = []  # days, value, comparator, hemolyzed, status
        made = []
        for days in dice.sample((0.5, 1.0, 1.3, 5.0, 13.9, 14.0, 14.1, 40.0, 89.0, 91.0), dice.choice((1, 1, 1, 2, 3))):
            value = dice.choice((2.3, 2.5, 2.7, 2.9, 3.0, 3.2, 3.2, 3.2, 3.4, 3.49, 3.5, 3.9, 4.4, 5.6, 6.0, 6.2))
            comparator = dice.choice(("",) * 12 + ("<", ">"))
            status = dice.choice(("final",) * 8 + ("corrected", "amended", "preliminary", "entered-in-error"))
            hemolyzed = dice.random() < 0.06
            unit = dice.choice(("mmol/L",) * 6 + ("meq/L", "meq/L", None))
            at = ago(days=days)
            more: Json = {"status": status} | ({"note": [{"text": "Sample hemolyzed"}]} if hemolyzed else {})
            made.append(potassium(value, at, unit, comparator=comparator, **more))
            if status != "entered-in-error":
                kind = "unusable" if unit is None else "preliminary" if status == "preliminary" else "usable"
                self.potassium.append((days, value, comparator, hemolyzed, kind))
        self.potassium.sort()
        return made

    def _kidney(self) -> list[Json]:
        dice = self.random
        self.creatinine: list[tuple[float, float]] = []
        self.reported: list[tuple[float, float]] = []
        made = []
        for days in dice.sample((0.2, 2.0, 5.0, 20.0, 60.0, 90.0, 91.0, 200.0), dice.choice((0, 1, 1, 2))):
            value = dice.choice((0.6, 0.75, 0.9, 1.1, 1.3, 1.7, 2.4))
            self.creatinine.append((days, value))
            made.append(creatinine(value, ago(days=days)))
        for days in dice.sample((0.1, 3.0, 5.0, 30.0, 90.0, 91.0, 300.0), dice.choice((0, 0, 1, 1))):
            value = dice.choice((20, 29, 30, 44, 45, 59, 60, 88))
            self.reported.append((days, value))
            made.append(egfr(value, ago(days=days)))
        self.creatinine.sort()
        self.reported.sort()
        return made

    def _bicarbonate(self) -> list[Json]:
        self.bicarbonate = None
        if self.random.random() < 0.2:
            value, days = self.random.choice((14, 17, 18, 24)), self.random.choice((3, 14, 15))
            self.bicarbonate = (days, value)
            return [result("2028-9", value, "mmol/L", ago(days=days))]
        return []


def ckd_epi(creatinine_mg: float, age: int, sex: str) -> float:
    kappa, alpha = (0.7, -0.241) if sex == "female" else (0.9, -0.302)
    ratio = creatinine_mg / kappa
    value = 142 * min(ratio, 1) ** alpha * max(ratio, 1) ** -1.2 * 0.9938**age
    return value * 1.012 if sex == "female" else value


def filtration(person: Person) -> tuple[float, float] | None:
    """(days, eGFR): reported, or computed where creatinine is newer by more than a day or nothing is reported."""
    newest = person.reported[0] if person.reported else None
    if person.creatinine:
        days, value = person.creatinine[0]
        if newest is None or newest[0] - days > 1:
            if person.age is None:
                return None
            sexes = [person.sex] if person.sex else ["female", "male"]
            return days, min(ckd_epi(value, person.age, sex) for sex in sexes)
    return newest


def span(value: float, comparator: str) -> tuple[float, float]:
    return (0.0, value) if comparator == "<" else (value, 99.0) if comparator == ">" else (value, value)


def oracle(person: Person) -> tuple[str, str]:
    """(row, dose) of GATE-K; the dose is "" where potassium is forbidden. Top-down, first match decides."""
    drugs, conditions = person.drugs, person.conditions
    if person.missing:
        return "GK0", ""
    usable = [one for one in person.potassium if one[4] == "usable"]
    if not usable:
        return "GK1", ""
    days, value, comparator, hemolyzed, _ = usable[0]
    low, high = span(value, comparator)
    exact = [one for one in usable if not one[2]]
    if low >= 3.5 or (not comparator and value >= 3.5):
        return "GK1", ""
    if comparator and exact and exact[0][1] >= 3.5 and not high <= 3.5:
        return "GK1", ""
    if days > 14 or comparator or hemolyzed or any(o[0] <= days for o in person.potassium if o[4] != "usable"):
        return "GK2", ""
    if len(usable) > 1:
        other = usable[1]
        first, second = span(value, comparator), span(other[1], other[2])
        apart = max(second[0] - first[1], first[0] - second[1])
        if other[0] - days <= 1 and other[0] <= 14 and apart >= 1.0 - 1e-9:
            return "GK2", ""
    if value < 2.5 or conditions & {"weak", "tetany"}:
        return "GK3", ""
    kidney = filtration(person)
    if "renal" in conditions or (kidney and kidney[0] <= 730 and kidney[1] < 30) or injured(person):
        return "GK4", ""
    dated = [d for d, _ in person.creatinine + person.reported]
    if not any(d <= 90 for d in dated):
        return "GK4", ""
    if person.loss_day is not None:
        midnight = person.loss_day.replace(hour=0, minute=0, second=0)
        if not any(NOW - timedelta(days=d) >= midnight for d in dated):
            return "GK4", ""
    if kidney is None or kidney[0] > 90:
        return "GK4", ""
    for row, name in (("GK5", "enac"), ("GK6", "mra"), ("GK7", "raiser"), ("GK7", "heparin")):
        if name in drugs:
            return row, ""
    if {"raasi", "nsaid"} <= drugs:
        return "GK8", ""
    if "potassium" in drugs:
        return "GK9", ""
    recent = [o for o in person.potassium if o[0] <= 90 and o[4] != "unusable" and span(o[1], o[2])[0] >= 6.0]
    if "caution" in conditions or recent:
        return "GK10", ""
    if "cai" in drugs or (person.bicarbonate and person.bicarbonate[0] <= 14 and person.bicarbonate[1] < 18):
        return "GK11", ""
    if person.age is None or conditions & {"pregnant", "bowel", "refeed"}:
        return "GK12", ""
    retaining = bool(drugs & {"raasi", "nsaid", "weak"})
    rate = kidney[1]
    if rate < 45:
        return ("GK13", "") if retaining else ("GK14", "10 x 1")
    if rate < 60:
        return ("GK15", "10 x 1") if retaining else ("GK16", "20 x 1")
    if retaining or person.age >= 75:
        return "GK16", "20 x 1"
    return "GK17", "20 x 1" if value >= 3.0 else "20 x 2"


def injured(person: Person) -> bool:
    if not person.creatinine or person.creatinine[0][0] > 7:
        return False
    days, value = person.creatinine[0]
    earlier = [(d, v) for d, v in person.creatinine[1:] if d - days <= 365]
    if any(value >= 1.5 * v - 1e-9 for _, v in earlier):
        return True
    return any(d - days <= 2 and value - v >= 0.3 - 1e-9 for d, v in earlier)


def decided(person: Person) -> tuple[str, str]:
    """(row, dose) as the service decides."""
    gathered = gather(decode_request(json.dumps(person.body).encode()))
    facts = build_facts(gathered, ruleset().terminology, Settings(), NOW)
    context = Context(facts, Settings())
    evaluate_findings(context, ruleset().knowledge, ruleset().analyte_names)  # computes the derived measurements
    decision = decide(context, ruleset().knowledge.gates["potassium-chloride"])
    draft = decision.draft
    if draft is None:
        return decision.row, ""
    return (
        decision.row,
        f"{draft['dose'].split()[0] if isinstance(draft['dose'], str) else draft['dose']} x {draft['times_a_day']}",
    )


def differences(seeds: range) -> list[str]:
    found = []
    for seed in seeds:
        person = Person(seed)
        wanted, got = oracle(person), decided(person)
        if wanted[1] != got[1]:
            found.append(f"seed {seed}: text {wanted}, service {got}")
        answer = ask(person.body)
        offered = starts(answer)
        if offered and not wanted[1]:
            found.append(f"seed {seed}: potassium offered on a card, text {wanted}")
        for one in suggestions(answer):
            kinds = [a["resource"]["resourceType"] for a in one["actions"] if a["type"] == "create"]
            if "MedicationRequest" in kinds and "ServiceRequest" not in kinds:
                found.append(f"seed {seed}: a medication without its recheck")
        for card in to_builtins(answer.cards):
            if len(card["summary"]) >= 140:
                found.append(f"seed {seed}: summary too long")
    return found


def test_random_patients_get_potassium_only_where_the_text_allows_it() -> None:
    assert differences(range(2000)) == []
