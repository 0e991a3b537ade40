"""A respondent as a record: the same decoding as in a clinic, nothing known that the table does not say."""

from __future__ import annotations

import functools

import msgspec
import pytest

from cds_service.assess import Assessment, assess
from cds_service.facts.decode import build_facts
from cds_service.facts.model import Facts
from cds_service.ruleset import Ruleset, load_ruleset
from cds_service.settings import Settings
from cds_service.validation.columns import load_columns
from cds_service.validation.people import assess_people
from cds_service.validation.record import RecordMaker
from cds_service.validation.table import Respondent

COLUMNS = load_columns()
SETTINGS = Settings()
MAKER = RecordMaker(COLUMNS, SETTINGS)
PLAIN = {"seqn": "1", "cycle": "2005-2006", "age": 45.0, "sex": "female", "rx_use": 0.0, "diabetes": "no"}


@functools.cache
def ruleset() -> Ruleset:
    return load_ruleset()


def one(**cells: object) -> Respondent:
    return Respondent(2, {**PLAIN, **cells})  # type: ignore[arg-type]


def facts(respondent: Respondent) -> Facts:
    return build_facts(MAKER.gathered(respondent), ruleset().terminology, SETTINGS, MAKER.calendar.now)


def assessed(respondent: Respondent, with_cramps: bool = False) -> Assessment:
    return assess(MAKER.gathered(respondent, with_cramps), ruleset(), SETTINGS, MAKER.calendar.now)


def contributors(respondent: Respondent, with_cramps: bool = False) -> dict[str, int]:
    tier = assessed(respondent, with_cramps).tier
    assert tier is not None
    return {one.finding.rule.id: one.points for one in tier.contributors}


@pytest.mark.parametrize("column", sorted(COLUMNS.results))
def test_every_result_arrives_with_its_unit(column: str) -> None:
    low, high = COLUMNS.columns[column].between or (0, 0)
    middle = {"k_mmol_l": 4.0, "pth_pg_ml": 40.0, "b12_pg_ml": 400.0, "alp_u_l": 80.0, "phosphate_mg_dl": 3.5}
    value = middle.get(column, round((low * high) ** 0.5 if low else 1.0, 1))
    found = facts(one(**{column: value}))
    results = [result for results in found.results.values() for result in results]
    assert len(results) == (2 if COLUMNS.results[column].persists else 1), column
    assert {result.problem for result in results} == {None}, column
    assert {float(result.value or 0) for result in results} == {value}


@pytest.mark.parametrize("column", sorted(COLUMNS.conditions))
def test_every_condition_is_known_to_some_value_set(column: str) -> None:
    (answer,) = COLUMNS.conditions[column]
    cell = float(answer) if answer.isdecimal() else answer
    (condition,) = facts(one(**{column: cell})).conditions
    assert condition.state == "present"
    assert condition.sets
    assert not facts(one(**{column: "no" if column == "diabetes" else 0.0})).conditions


def test_generic_names_become_ingredients_and_a_local_product_counts_for_nothing() -> None:
    drugs = ("HYDROCHLOROTHIAZIDE; LISINOPRIL", "FLUTICASONE; SALMETEROL", "DEXAMETHASONE; TOBRAMYCIN OPHTHALMIC")
    found = contributors(one(rx_use=1.0, n_rx=3.0, drugs=drugs, drug_days=("700", "", "700")))
    assert found == {"laba-cramp": 3, "diuretic-thiazide": 1}


def test_days_taken_decide_what_is_long_term() -> None:
    long = contributors(one(rx_use=1.0, drugs=("PREDNISONE",), drug_days=("21",)))
    short = contributors(one(rx_use=1.0, drugs=("PREDNISONE",), drug_days=("20",)))
    unknown = contributors(one(rx_use=1.0, drugs=("PREDNISONE",), drug_days=("",)))
    assert long == {"corticosteroid-mineral-loss": 1}
    assert short == unknown == {}


def test_a_result_that_is_not_there_is_not_assessed_and_a_normal_one_is() -> None:
    missing, normal = assessed(one()).tier, assessed(one(k_mmol_l=4.0)).tier
    assert missing is not None
    assert normal is not None
    assert "Potassium" in missing.not_assessed
    assert "Potassium" not in normal.not_assessed
    assert contributors(one(k_mmol_l=2.9)) == {"lab-hypokalemia": 4}


def test_medicines_that_nobody_asked_about_are_unknown_and_no_medicine_is_none() -> None:
    respondent = one()
    assert "medications" in MAKER.gathered(Respondent(2, {**PLAIN, "rx_use": None})).not_supplied
    assert "medications" not in MAKER.gathered(respondent).not_supplied
    verdicts = {f.rule.id: f.verdict for f in assessed(Respondent(2, {**PLAIN, "rx_use": None})).findings}
    assert verdicts["laba-cramp"] == "unknown"
    assert {f.rule.id: f.verdict for f in assessed(respondent).findings}["laba-cramp"] == "no"


def test_the_answer_never_enters_the_record() -> None:
    records = {
        msgspec.json.encode(msgspec.to_builtins(facts(one(leg_cramp_freq=answer, leg_jerk_freq="4", age=70.0))))
        for answer in ("0", "2", "4", "")
    }
    assert len(records) == 1


def test_pregnancy_waits_for_cramps_on_the_record() -> None:
    pregnant = one(pregnant=1.0, age=30.0)
    assert contributors(pregnant) == {}
    assert contributors(pregnant, with_cramps=True) == {"pregnancy-cramps": 3}


def test_one_creatinine_stands_for_two() -> None:
    assert contributors(one(creatinine_mg_dl=3.2)) == {"ckd-cramps": 2}


def test_only_those_who_answered_and_were_old_enough_for_all_questions_count() -> None:
    asked = [one(leg_cramp_freq="2"), one(leg_cramp_freq=""), one(leg_cramp_freq="2", age=19.0)]
    people = assess_people(asked, COLUMNS, {"contributor-level": ruleset()}, SETTINGS)
    assert [person.respondent for person in people] == asked[:1]


def test_an_unnamed_medicine_leaves_the_list_open() -> None:
    told = [
        one(leg_cramp_freq="0", rx_use=1.0, drugs=(name,)) for name in ("UNKNOWN", "HORMONES - UNSPECIFIED", "QUININE")
    ]
    people = assess_people(told, COLUMNS, {"contributor-level": ruleset()}, SETTINGS)
    assert [person.drug_unknown for person in people] == [True, True, False]


def test_every_contributor_is_told_or_said_to_be_missing() -> None:
    scoring = {rule.id for rule in ruleset().knowledge.active_rules if any(band.points for band in rule.bands)}
    told = COLUMNS.contributors.keys() | COLUMNS.not_collected.keys()
    assert scoring <= told
    assert not COLUMNS.contributors.keys() & COLUMNS.not_collected.keys()
    rules = {rule.id: rule for rule in ruleset().knowledge.rules}
    assert told <= rules.keys()
    assert {near.of for near in COLUMNS.nearest} <= rules.keys()
    assert set(COLUMNS.feature_classes) <= ruleset().terminology.titles.keys()
