"""Section 0.5, rule by rule."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from itertools import permutations
from typing import Any

import pytest

from tests.facts.building import LOINC, NOW, SNOMED, concept, days_ago, facts_of, only, patient, result

D = Decimal


# 1. status


@pytest.mark.parametrize("status", ["final", "amended", "corrected"])
def test_final_results_are_usable(status: str) -> None:
    one = only(facts_of(result("k", status=status)))
    assert one.usable
    assert not one.preliminary


def test_preliminary_is_marked() -> None:
    assert only(facts_of(result("k", status="preliminary"))).preliminary


@pytest.mark.parametrize("status", ["registered", "cancelled", "entered-in-error", "unknown", "odd", None])
def test_other_statuses_are_as_if_absent(status: str | None) -> None:
    facts = facts_of(result("k", status=status))
    assert facts.results == {}
    assert facts.gaps == ()


# 2. codes, components, members


@pytest.mark.parametrize("code", ["2828-2", "2829-0", "2824-1", "48643-1", "88293-6", "49054-0", "718-7"])
def test_codes_off_the_list_are_ignored(code: str) -> None:
    assert facts_of(result("k", loinc=code, value=20)).results == {}


def panel(**more: Any) -> dict[str, Any]:
    parts = [
        {"code": concept(LOINC, "2823-3"), "valueQuantity": {"value": 2.8, "code": "mmol/L"}},
        {"code": concept(LOINC, "2951-2"), "valueQuantity": {"value": 139, "code": "mmol/L"}},
    ]
    return result("bmp", loinc="24321-2", valueQuantity=None, component=parts, **more)


def test_components_inherit_status_date_and_specimen() -> None:
    facts = facts_of(panel(status="preliminary"))
    one = only(facts)
    assert one.reference == "Observation/bmp#component-1"
    assert (one.low, one.preliminary, one.at) == (D("2.8"), True, NOW - timedelta(days=5))
    assert only(facts, "sodium").reference == "Observation/bmp#component-2"


def test_a_parent_with_a_value_and_components_gives_both() -> None:
    part = {"code": concept(LOINC, "2823-3"), "valueQuantity": {"value": 4.4, "code": "mmol/L"}}
    values = {one.value for one in facts_of(result("k", component=[part])).results["potassium"]}
    assert values == {D("4.2"), D("4.4")}


def test_the_parent_of_components_without_a_value_is_no_result() -> None:
    part = {"code": concept(LOINC, "48642-3"), "valueQuantity": {"value": 60, "code": "mL/min/{1.73_m2}"}}
    assert only(facts_of(result("e", loinc="33914-3", valueQuantity=None, component=[part])), "egfr").usable


def test_contained_members_of_a_panel_or_report_are_read() -> None:
    inner = result("k", at=None)
    del inner["effectiveDateTime"], inner["status"], inner["subject"]
    report = {
        "resourceType": "DiagnosticReport",
        "id": "r",
        "status": "final",
        "subject": {"reference": "Patient/p"},
        "effectiveDateTime": days_ago(3),
        "contained": [inner],
        "result": [{"reference": "#k"}],
    }
    one = only(facts_of(report))
    assert (one.reference, one.at) == ("DiagnosticReport/r#k", NOW - timedelta(days=3))


# 3. and 4. value and unit


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ({"valueQuantity": None}, "no-value"),
        ({"valueQuantity": None, "dataAbsentReason": {"text": "x"}}, "no-value"),
        ({"valueQuantity": None, "valueString": "3.1"}, "not-a-quantity"),
        ({"valueQuantity": None, "valueInteger": 3}, "not-a-quantity"),
        ({"valueQuantity": None, "valueRange": {"low": {"value": 3}}}, "not-a-quantity"),
        ({"valueQuantity": None, "valueRatio": {"numerator": {"value": 3}}}, "not-a-quantity"),
        ({"valueQuantity": None, "valueCodeableConcept": {"text": "low"}}, "not-a-quantity"),
        ({"value": "3.1"}, "not-a-number"),
        ({"value": 0}, "not-positive"),
        ({"value": -3.1}, "not-positive"),
        ({"value": 2.1, "unit": None}, "no-unit"),
        ({"value": 2.1, "unit": " "}, "no-unit"),
        ({"value": 2.1, "unit": "furlong"}, "unknown-unit"),
        ({"value": 45}, "implausible"),
        ({"value": 1e300}, "not-a-number"),
    ],
)
def test_unusable_values(more: dict[str, Any], problem: str) -> None:
    facts = facts_of(result("k", **more))
    one = only(facts)
    assert (one.problem, one.low, one.high, one.family) == (problem, None, None, "")
    (gap,) = facts.gaps
    assert gap.what == "potassium"
    assert gap.reference == "Observation/k"
    assert gap.kind == ("unknown-unit" if problem == "unknown-unit" else "unusable-result")


def test_an_unusable_result_keeps_its_bare_number() -> None:
    one = only(facts_of(result("k", value=2.1, unit=None)))
    assert (one.value, one.at) == (D("2.1"), NOW - timedelta(days=5))


@pytest.mark.parametrize(
    ("loinc", "analyte", "value", "unit", "family", "low"),
    [
        ("2823-3", "potassium", 3.2, "meq/L", "mmol/L", "3.2"),
        ("2823-3", "potassium", 3.2, "mEq/L", "mmol/L", "3.2"),
        ("2823-3", "potassium", 3.2, "MMOL/L", "mmol/L", "3.2"),
        ("2823-3", "potassium", 16, "mg/dL", "mmol/L", "4.0928"),
        ("2601-3", "magnesium", 1.3, "meq/L", "mmol/L", "0.65"),
        ("19123-9", "magnesium", 1.4, "mg/dL", "mg/dL", "1.4"),
        ("2000-8", "calcium-total", 2.02, "mmol/L", "mmol/L", "2.02"),
        ("29265-6", "calcium-corrected", 2.02, "mmol/L", "mmol/L", "2.02"),
        ("2160-0", "creatinine", 0.8, "mg/dL", "mg/dL", "0.8"),
        ("14682-9", "creatinine", 71, "µmol/L", "umol/L", "71"),
        ("98979-8", "egfr", 38, "mL/min/1.73m2", "mL/min/{1.73_m2}", "38"),
        ("98979-8", "egfr", 38, "mL/min/1.73 m²", "mL/min/{1.73_m2}", "38"),
        ("3016-3", "tsh", 14, "uIU/mL", "m[IU]/L", "14"),
        ("3016-3", "tsh", 14, "mIU/L", "m[IU]/L", "14"),
        ("2157-6", "creatine-kinase", 2400, "IU/L", "U/L", "2400"),
        ("4548-4", "hba1c", 6.5, "%", "%", "6.5"),
        ("777-3", "platelets", 210, "10*3/uL", "10*9/L", "210"),
        ("62292-8", "vitamin-d-25oh", 9, "ng/mL", "ng/mL", "9"),
        ("1751-7", "albumin", 2.4, "g/dL", "g/dL", "2.4"),
        ("8636-3", "qtc", 510, "msec", "ms", "510"),
    ],
)
def test_units_and_families(loinc: str, analyte: str, value: float, unit: str, family: str, low: str) -> None:
    one = only(facts_of(result("x", loinc=loinc, value=value, unit=unit)), analyte)
    assert (one.problem, one.family, one.low, one.high) == (None, family, D(low), D(low))


def test_the_reported_decimal_stands() -> None:
    assert str(only(facts_of(result("k", value=3.49))).low) == "3.49"


@pytest.mark.parametrize(
    ("loinc", "analyte", "value", "unit", "problem"),
    [
        ("17861-6", "calcium-total", 9.1, "mmol/L", "unit-contradicts-code"),  # HZ-14: implausible as stated
        ("19123-9", "magnesium", 1.8, "mmol/L", "unit-contradicts-code"),  # plausible both ways
        ("17861-6", "calcium-total", 2.3, "mmol/L", None),  # only as stated
        ("75940-7", "potassium", 4.2, "mmol/L", None),
        ("4548-4", "hba1c", 48, "mmol/mol", None),
    ],
)
def test_unit_against_the_property_of_the_code(
    loinc: str, analyte: str, value: float, unit: str, problem: str | None
) -> None:
    assert only(facts_of(result("x", loinc=loinc, value=value, unit=unit)), analyte).problem == problem


def test_code_and_text_of_a_unit_that_contradict_each_other() -> None:
    quantity = {"value": 1.3, "code": "mmol/L", "unit": "mEq/L"}
    assert only(facts_of(result("m", "2601-3", valueQuantity=quantity)), "magnesium").problem == "unit-contradicts-code"


def test_unit_text_where_the_code_is_no_unit() -> None:
    quantity = {"value": 4.2, "system": "http://example.org/units", "code": "17", "unit": "mEq/L"}
    assert only(facts_of(result("k", valueQuantity=quantity))).usable


def test_a_score_needs_no_unit_and_may_be_zero() -> None:
    assert only(facts_of(result("a", "75626-2", 0, None)), "audit-c").low == D(0)
    assert only(facts_of(result("a", "75626-2", valueQuantity=None, valueInteger=5)), "audit-c").low == D(5)


# 6. comparators


@pytest.mark.parametrize(
    ("sign", "value", "expected"),
    [
        ("<", 2.5, ("0", "2.5", True, True)),
        ("<=", 2.5, ("0", "2.5", True, False)),
        (">", 6.0, ("6.0", None, True, True)),
        (">=", 6.0, ("6.0", None, False, True)),
    ],
)
def test_comparators_are_intervals(sign: str, value: float, expected: tuple[str, str | None, bool, bool]) -> None:
    quantity = {"value": value, "comparator": sign, "code": "mmol/L"}
    one = only(facts_of(result("k", valueQuantity=quantity)))
    low, high, low_open, high_open = expected
    assert (one.low, one.high) == (D(low), None if high is None else D(high))
    assert (one.low_open, one.high_open, one.comparator) == (low_open, high_open, sign)


def test_an_interval_beyond_everything_plausible_is_unusable() -> None:
    quantity = {"value": 40, "comparator": ">", "code": "mmol/L"}
    assert only(facts_of(result("k", valueQuantity=quantity))).problem == "implausible"


def test_an_unknown_comparator_is_unusable() -> None:
    quantity = {"value": 4, "comparator": "~", "code": "mmol/L"}
    assert only(facts_of(result("k", valueQuantity=quantity))).problem == "not-a-quantity"


# 7. dates


@pytest.mark.parametrize(
    ("more", "at"),
    [
        ({"effectiveDateTime": None, "effectiveInstant": "2026-06-01T10:00:00Z"}, "2026-06-01T10:00:00+00:00"),
        (
            {"effectiveDateTime": None, "effectivePeriod": {"start": "2026-05-01", "end": "2026-06-01T10:00:00Z"}},
            "2026-06-01T10:00:00+00:00",
        ),
        ({"effectiveDateTime": None, "issued": "2026-06-01T10:00:00.5Z"}, "2026-06-01T10:00:00.500000+00:00"),
        (
            {"effectiveDateTime": None, "effectivePeriod": {"start": "2026-05-01"}, "issued": "2026-06-01T10:00:00Z"},
            "2026-06-01T10:00:00+00:00",
        ),
        ({"at": "2026-06-01"}, "2026-06-01T23:59:59+00:00"),
        ({"at": "2026-05"}, "2026-05-31T23:59:59+00:00"),
        ({"at": "2026-06"}, "2026-06-15T12:00:00+00:00"),
        ({"at": "2026"}, "2026-06-15T12:00:00+00:00"),
        ({"at": "2026-06-01T10:00:00"}, "2026-06-01T10:00:00+00:00"),
    ],
)
def test_dates(more: dict[str, Any], at: str) -> None:
    one = only(facts_of(result("k", **more)))
    assert one.usable
    assert one.at is not None
    assert one.at.isoformat() == at


def test_a_partial_date_keeps_its_beginning() -> None:
    one = only(facts_of(result("k", at="2026-05")))
    assert one.at_earliest is not None
    assert one.at_earliest.isoformat() == "2026-05-01T00:00:00+00:00"


def test_a_bare_day_is_one_of_the_configured_zone() -> None:
    one = only(facts_of(result("k", at="2026-06-01"), zone="America/New_York"))
    assert one.at is not None
    assert one.at.isoformat() == "2026-06-01T23:59:59-04:00"


@pytest.mark.parametrize("at", ["yesterday", "2026-02-30", "2026-13", "06/01/2026", "2026-06-01T25:00:00Z", ""])
def test_unreadable_dates_are_unusable(at: str) -> None:
    assert only(facts_of(result("k", at=at))).problem == "no-date"


def test_no_date_at_all() -> None:
    one = only(facts_of(result("k", effectiveDateTime=None)))
    assert (one.problem, one.at) == ("no-date", None)


@pytest.mark.parametrize(("hours", "problem"), [(24, None), (24.01, "future"), (72, "future")])
def test_the_future(hours: float, problem: str | None) -> None:
    one = only(facts_of(result("k", at=days_ago(-hours / 24))))
    assert (one.problem, one.low) == (problem, D("4.2") if problem is None else None)


# 8. order


def test_newest_first_by_instant_not_by_text() -> None:
    late = result("late", value=3.1, at="2026-06-01T23:30:00-05:00")
    early = result("early", value=4.0, at="2026-06-02T01:00:00Z")
    undated = result("undated", effectiveDateTime=None)
    for some in permutations([late, early, undated]):
        found = [one.reference for one in facts_of(*some).results["potassium"]]
        assert found == ["Observation/undated", "Observation/late", "Observation/early"]


def test_equal_instants_later_issued_first_whatever_the_order() -> None:
    at = days_ago(2)
    some = [
        result("a", at=at, issued=days_ago(1)),
        result("b", at=at, issued=days_ago(1.5)),
        result("c", at=at, issued=days_ago(1.5), valueQuantity=None, valueString="x"),
        result("d", at=at),
    ]
    for arranged in permutations(some):
        found = [one.reference[-1] for one in facts_of(*arranged).results["potassium"]]
        assert found == ["a", "c", "b", "d"]


def test_one_result_delivered_twice_counts_once() -> None:
    assert len(facts_of(result("k"), result("k")).results["potassium"]) == 1


def test_two_versions_of_one_result_leave_the_kind_incomplete_whatever_their_order() -> None:
    some = [result("k", value=4.2), result("k", value=3.1)]
    one, other = facts_of(*some), facts_of(*reversed(some))
    assert one == other
    assert len(one.results["potassium"]) == 1
    assert "observations" in one.incomplete
    assert [gap.kind for gap in one.gaps] == ["conflict"]


# 10. hemolysis


def flag(**more: Any) -> dict[str, Any]:
    return result("h", loinc="20393-5", **{"valueQuantity": None, "valueBoolean": True, **more})


@pytest.mark.parametrize(
    "some",
    [
        [flag()],
        [flag(valueBoolean=None, interpretation=[{"coding": [{"code": "A"}]}])],
        [flag(valueBoolean=None, valueCodeableConcept={"coding": [{"display": "Present"}]})],
        [flag(valueBoolean=None, valueString="moderate")],
        *([flag(valueBoolean=None, valueString=text)] for text in ("+", "+++", "1+", "slight", "gross", "no, slight")),
        *([flag(valueBoolean=None, valueString=text)] for text in ("Hemolyzed: no recollection", "see comment")),
        [flag(valueBoolean=None, valueCodeableConcept=concept(LOINC, "LA33-6"))],
        *([flag(valueBoolean=None, valueCodeableConcept=concept(SNOMED, code))] for code in ("373066001", "10828004")),
        [flag(valueBoolean=None, valueCodeableConcept=concept("urn:local", "H3"))],
        [flag(valueBoolean=None, valueCodeableConcept={"text": "++"})],
        [flag(valueBoolean=None, valueQuantity={"value": 9}, referenceRange=[{"high": {"value": 3}}])],
        [flag(specimen={"reference": "Specimen/s"})],
    ],
)
def test_a_flag_at_the_same_instant(some: list[dict[str, Any]]) -> None:
    assert only(facts_of(result("k"), *some)).hemolyzed


@pytest.mark.parametrize(
    "other",
    [
        flag(valueBoolean=False),
        flag(valueBoolean=None, valueString="not detected"),
        flag(valueBoolean=None, valueCodeableConcept={"text": "No hemolysis"}),
        *(flag(valueBoolean=None, valueCodeableConcept=concept(SNOMED, code)) for code in ("373067005", "2667000")),
        *(
            flag(valueBoolean=None, valueString=text)
            for text in ("Negative", "none seen", "Not hemolyzed.", "12", "<5")
        ),
        flag(valueBoolean=None, valueQuantity={"value": 9}),
        flag(valueBoolean=None, valueString="Normal", interpretation=[{"coding": [{"code": "N"}]}]),
        flag(at=days_ago(4)),
        flag(status="entered-in-error"),
    ],
)
def test_no_flag(other: dict[str, Any]) -> None:
    assert not only(facts_of(result("k"), other)).hemolyzed


def test_specimens_tell_samples_apart() -> None:
    mine, other = {"reference": "Specimen/a"}, {"reference": "https://ehr/fhir/Specimen/b"}
    assert only(facts_of(result("k", specimen=mine), flag(specimen=mine, at=days_ago(1)))).hemolyzed
    assert not only(facts_of(result("k", specimen=mine), flag(specimen=other))).hemolyzed


def test_specimen_condition() -> None:
    bad = {"condition": [{"coding": [{"code": "HEM"}]}]}
    named = {"resourceType": "Specimen", "id": "s", **bad}
    assert only(facts_of(result("k", specimen={"reference": "Specimen/s"}), named)).hemolyzed
    assert not only(facts_of(result("k"), named)).hemolyzed
    inside = result("k", contained=[{"resourceType": "Specimen", "id": "s", **bad}], specimen={"reference": "#s"})
    assert only(facts_of(inside)).hemolyzed


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Specimen slightly hemolyzed", True),
        ("HAEMOLYSED sample, repeat", True),
        ("Hemolysis index: 3+", True),
        ("Not hemolyzed", False),
        ("no visible hemolysis", False),
        ("Non-hemolyzed", False),
        ("Hemolysis: none", False),
        ("Haemolysis not detected", False),
        ("Not lipemic but hemolyzed", True),
        ("Hemolysis: negative. Lipemia: 1+", False),
        ("hemolysis index 0", False),
        ("Hemolysis: none, icterus: none", False),
        ("No hemolysis, icterus or lipemia", False),
        ("no hemolysis or lipemia seen", False),
        ("not visibly haemolysed", False),
        ("nonhemolyzed", False),
        ("Hemolysis: 0.9 g/L", True),
        ("Hemolysis +", True),
        ("No hemolyzed specimen was rejected", True),
        ("no hemolysis index performed", True),
        ("not hemolyzed enough to reject", True),
        ("no significant hemolysis", True),
        ("Hemolyzed: no recollection", True),
        ("hemolyzed none available for repeat", True),
        ("not able to redraw hemolyzed specimen", True),
        ("Unable to recollect, no clot - hemolyzed", True),
        ("Specimen not ok: hemolyzed", True),
        ("Clotted", False),
    ],
)
def test_remarks(text: str, expected: bool) -> None:
    assert only(facts_of(result("k", note=[{"text": text}]))).hemolyzed is expected
    assert only(facts_of(result("k", interpretation=[{"text": text}]))).hemolyzed is expected


def test_the_interpretation_of_a_component_is_about_that_component() -> None:
    parts = [
        {
            "code": concept(LOINC, code),
            "valueQuantity": {"value": value, "unit": unit},
            "interpretation": [{"text": text}],
        }
        for code, value, unit, text in (("2823-3", 4.2, "mmol/L", "hemolyzed"), ("2951-2", 140, "mmol/L", "normal"))
    ]
    facts = facts_of(result("panel", "24321-2", valueQuantity=None, component=parts))
    assert only(facts).hemolyzed
    assert not only(facts, "sodium").hemolyzed


def test_a_specimen_called_hemolyzed_in_words() -> None:
    mine = result("k", specimen={"reference": "Specimen/s"})
    for more in ({"condition": [{"text": "Hemolyzed"}]}, {"note": [{"text": "grossly haemolysed"}]}):
        assert only(facts_of(mine, {"resourceType": "Specimen", "id": "s", **more})).hemolyzed
    clean = {"resourceType": "Specimen", "id": "s", "condition": [{"text": "not hemolyzed"}]}
    assert not only(facts_of(mine, clean)).hemolyzed


# answers


def test_coded_and_dated_answers() -> None:
    facts = facts_of(
        result("s", "72166-2", valueQuantity=None, valueCodeableConcept=concept(SNOMED, "449868002")),
        result("p", "82810-3", valueQuantity=None, valueCodeableConcept=concept(LOINC, "LA15173-0")),
        result("d", "11778-8", valueQuantity=None, valueDateTime="2026-09-01"),
    )
    assert "smoking-status-value-positive" in only(facts, "smoking-status").answers
    assert "pregnancy-status-value-positive" in only(facts, "pregnancy-status").answers
    assert str(only(facts, "delivery-date").date_answer) == "2026-09-01"


def test_upper_limit_of_the_result_in_its_family() -> None:
    limits = [{"high": {"value": 200, "code": "U/L"}}, {"high": {"value": 150, "unit": "IU/L"}}, {"text": "see note"}]
    assert (
        only(facts_of(result("c", "2157-6", 900, "U/L", referenceRange=limits)), "creatine-kinase").upper_limit == 150
    )


@pytest.mark.parametrize("stated", [{}, {"referenceRange": [{"high": {"value": 400}}]}], ids=["no range", "no unit"])
def test_without_a_limit_of_its_own_a_result_has_that_of_the_unit_table(stated: dict[str, object]) -> None:
    assert only(facts_of(result("c", "2157-6", 900, "U/L", **stated)), "creatine-kinase").upper_limit == 200
    assert only(facts_of(result("t", "3016-3", 3, "m[IU]/L", **stated)), "tsh").upper_limit == Decimal("4.5")


# whose


def test_another_patients_results_are_ignored_and_named_once() -> None:
    stranger = {"reference": "Patient/q"}
    facts = facts_of(result("a", subject=stranger), result("b", subject=stranger), result("c"))
    assert [one.reference for one in facts.results["potassium"]] == ["Observation/c"]
    assert [(gap.kind, gap.what) for gap in facts.gaps] == [("wrong-patient", "observations")]


@pytest.mark.parametrize("reference", ["Patient/p", "https://ehr.example.org/fhir/Patient/p", "urn:uuid:p", None])
def test_spellings_of_the_patient(reference: str | None) -> None:
    assert only(facts_of(result("k", subject={"reference": reference}))).usable


def test_a_result_without_subject_or_id_is_the_patients() -> None:
    one = result("k", subject=None)
    del one["id"]
    found = only(facts_of(one, one))
    assert found.reference.startswith("Observation/~")


def test_symptom_observations_are_conditions() -> None:
    by_code = result("s", valueQuantity=None, code=concept(SNOMED, "449918009"))
    by_answer = result("t", valueQuantity=None, code={"text": "x"}, valueCodeableConcept=concept(SNOMED, "449918009"))
    denied = result("u", valueQuantity=None, code=concept(SNOMED, "449918009"), valueBoolean=False)
    early = result("v", valueQuantity=None, code=concept(SNOMED, "449918009"), status="preliminary")
    found = facts_of(by_code, by_answer, denied, early).conditions
    assert [(one.reference, one.state) for one in found] == [("Observation/s", "present"), ("Observation/t", "present")]


def test_a_patient_of_unknown_id_is_told_by_the_resources() -> None:
    assert only(facts_of(result("k"), with_patient=False)).usable
    assert patient()["id"] == "p"
