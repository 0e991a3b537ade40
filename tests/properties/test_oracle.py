"""The second reading itself: it knows the examples of the text, and forbids nothing of the patient who is eligible."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.properties.oracle import ckd_epi, forbidden, largest_dose
from tests.properties.patients import DRUGS, ELIGIBLE, HCTZ, ICD, Problem, Result, Taken


def against(name: str = "potassium", **changed: object) -> list[str]:
    return [why for _, why in forbidden(replace(ELIGIBLE, **changed))[name]]  # type: ignore[arg-type]


def results(*added: Result, without: str = "") -> tuple[Result, ...]:
    return (*(one for one in ELIGIBLE.results if one.analyte != without), *added)


def test_nothing_forbids_potassium_to_the_eligible() -> None:
    assert against() == []
    assert largest_dose(ELIGIBLE) == (20, 20)


@pytest.mark.parametrize(
    ("creatinine", "sex", "age", "expected"),
    [
        (1.0, "female", 66, 62),
        (1.3, "male", 70, 59),
        (1.9, "female", 72, 28),
        (2.4, "male", 78, 27),
        (1.6, "female", 81, 32),
    ],
)
def test_ckd_epi_examples_of_section_6(creatinine: float, sex: str, age: int, expected: int) -> None:
    assert abs(ckd_epi(creatinine, age, sex) - expected) <= 1


@pytest.mark.parametrize("state", ["active", "on-hold", "supplied", "statement", "reported", "old", "zero", "draft"])
def test_every_state_of_the_safety_column_counts(state: str) -> None:
    assert against(drugs=(Taken(HCTZ), Taken(DRUGS["sparing"][1], state))) == ["takes sparing"]


@pytest.mark.parametrize("state", ["stopped", "completed", "cancelled", "entered-in-error", "not-to-be-given"])
def test_and_no_other(state: str) -> None:
    assert against(drugs=(Taken(HCTZ), Taken(DRUGS["sparing"][1], state))) == []


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"results": results(Result("potassium", 3.5, 5), without="potassium")}, "potassium 3.5 or more"),
        ({"results": results(Result("potassium", 3.2, 14.1), without="potassium")}, "stale potassium"),
        ({"results": results(without="potassium")}, "no potassium"),
        ({"results": results(without="creatinine")}, "kidney function not known"),
        ({"results": results(Result("creatinine", 0.75, 91), without="creatinine")}, "kidney function not known"),
        ({"results": results(Result("egfr", 29, 1), without="creatinine")}, "eGFR below 30"),
        ({"results": results(Result("creatinine", 0.4, 20))}, "acute kidney injury"),
        ({"results": results(Result("potassium", 3.1, 1, text=True))}, "a newer unusable potassium"),
        ({"results": results(Result("potassium", 4.4, 5.5))}, "conflicting potassium"),
        ({"problems": (Problem("renal", ICD, "N18.4", "provisional"),)}, "renal"),
        ({"age": None}, "age unknown"),
        ({"not_supplied": frozenset({"conditions"})}, "data not supplied"),
        ({"dialyzed_days": 60.0}, "dialyzed"),
    ],
)
def test_what_forbids_potassium(changed: dict[str, object], why: str) -> None:
    assert why in against(**changed)


def test_refuted_and_resolved_problems_forbid_nothing() -> None:
    for state in ("refuted", "resolved"):
        assert against(problems=(Problem("renal", ICD, "N18.4", state),)) == []
