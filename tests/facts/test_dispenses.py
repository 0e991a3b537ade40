"""What a pharmacy handed over (0.4): a sign of refill, and a supply that closes gates when no order accounts for it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from cds_service.facts.model import Facts
from tests.facts.building import RXNORM, concept, days_ago, facts_of, ids, medication, order, statement

FUROSEMIDE, SPIRONOLACTONE = "4603", "9997"


def dispense(code: str | None = SPIRONOLACTONE, at: str | None = None, **more: Any) -> dict[str, Any]:
    """Spironolactone for 30 days, handed over 20 days ago, without an order named."""
    return {
        "resourceType": "MedicationDispense",
        "id": "d",
        "status": "completed",
        "subject": {"reference": "Patient/p"},
        "whenHandedOver": days_ago(20) if at is None else at,
        "daysSupply": {"value": 30, "unit": "days", "code": "d"},
        **({"medicationCodeableConcept": concept(RXNORM, code)} if code else {}),
        **more,
    }


def of_order(id_: str) -> dict[str, Any]:
    return {"authorizingPrescription": [{"reference": f"MedicationRequest/{id_}"}]}


def closes(*resources: dict[str, Any]) -> list[str]:
    """The references that count for the gates alone."""
    return [one.reference for one in facts_of(*resources).medications if one.safety and not one.contributor]


def gaps(facts: Facts) -> list[str]:
    return [gap.kind for gap in facts.gaps]


def test_a_supply_that_no_order_accounts_for_closes_gates_and_scores_nothing() -> None:
    only = medication(facts_of(dispense()))
    assert ids(only) == ["spironolactone"]
    assert (only.contributor, only.safety, only.supply_only) == (False, True, True)
    assert only.dispensed_at is not None


@pytest.mark.parametrize(
    ("more", "counts"),
    [
        ({"at": days_ago(29.99)}, True),
        ({"at": days_ago(30)}, True),
        ({"at": days_ago(30.01)}, False),
        ({"daysSupply": None, "at": days_ago(90)}, True),
        ({"daysSupply": None, "at": days_ago(90.01)}, False),
        ({"daysSupply": {"value": 2, "unit": "months"}, "at": days_ago(45)}, True),
        ({"daysSupply": {"value": -3, "unit": "d"}, "at": days_ago(45)}, True),
        ({"daysSupply": {"value": 30, "unit": "bottles"}, "at": days_ago(45)}, True),
        ({"at": "2026-05"}, True),
        ({"at": "2025"}, False),
        ({"at": ""}, True),
        ({"at": "", "whenPrepared": days_ago(31)}, False),
        ({"at": "", "whenPrepared": days_ago(29)}, True),
        *(({"status": status}, True) for status in ("in-progress", "preparation", "on-hold", "unknown", None)),
        *(({"status": status}, False) for status in ("cancelled", "declined", "stopped", "entered-in-error")),
        ({"subject": {"reference": "Patient/other"}}, False),
        ({"code": "4850"}, False),  # glucose: nothing of interest
    ],
)
def test_how_long_a_supply_counts(more: dict[str, Any], counts: bool) -> None:
    assert closes(dispense(**more)) == (["MedicationDispense/d"] if counts else [])


@pytest.mark.parametrize(("handed_over", "counts"), [(29.9, True), (30.1, False)])
def test_a_supply_is_read_from_the_tablets_and_the_dose(handed_over: float, counts: bool) -> None:
    twice_daily = {
        "timing": {"repeat": {"frequency": 2, "period": 1, "periodUnit": "d"}},
        "doseAndRate": [{"doseQuantity": {"value": 1, "unit": "tablet"}}],
    }
    supply = dispense(
        at=days_ago(handed_over),
        daysSupply=None,
        quantity={"value": 60, "unit": "tablets"},
        dosageInstruction=[twice_daily],
    )
    assert bool(closes(supply)) == counts


def test_an_order_or_statement_of_the_drug_accounts_for_it() -> None:
    assert closes(dispense(), order("m", SPIRONOLACTONE)) == []
    assert closes(dispense(), statement("s", SPIRONOLACTONE)) == []
    assert closes(dispense(), order("m", FUROSEMIDE)) == ["MedicationDispense/d"]


@pytest.mark.parametrize(
    ("ended", "counts"),
    [
        ({"status": "stopped"}, False),
        ({"status": "cancelled"}, False),
        ({"status": "entered-in-error"}, False),
        ({"doNotPerform": True}, False),
        ({"status": "completed"}, True),
    ],
)
def test_what_was_handed_over_on_an_order_that_ended(ended: dict[str, Any], counts: bool) -> None:
    """A stopped order is no longer taken from; one that was filled to its end still lasts."""
    found = closes(order("m", SPIRONOLACTONE, **ended), dispense(**of_order("m")))
    assert bool(found) == counts


def test_a_stopped_order_does_not_rule_out_what_came_from_another() -> None:
    stopped = order("m", SPIRONOLACTONE, status="stopped")
    assert closes(stopped, dispense(**of_order("elsewhere"))) == ["MedicationDispense/d"]


def test_two_supplies_of_one_drug_count_once_and_their_order_is_irrelevant() -> None:
    older, newer = dispense(id="a", at=days_ago(25)), dispense(id="z", at=days_ago(2))
    assert closes(older, newer) == closes(newer, older) == ["MedicationDispense/z"]


def test_a_local_route_does_not_count() -> None:
    by_mouth, in_the_eye = ({"dosageInstruction": [{"route": {"text": route}}]} for route in ("oral", "eye"))
    assert closes(dispense(**by_mouth)) == ["MedicationDispense/d"]
    assert closes(dispense(**in_the_eye)) == []


def test_the_medicine_may_be_contained_or_in_words() -> None:
    inside = {"resourceType": "Medication", "id": "x", "code": concept(RXNORM, SPIRONOLACTONE)}
    assert closes(dispense(None, contained=[inside], medicationReference={"reference": "#x"}))
    assert closes(dispense(None, medicationReference={"display": "Spironolactone 25 mg tablets"}))


def test_what_is_in_a_supply_must_be_known_unless_its_order_tells() -> None:
    unknown = dispense(None)
    facts = facts_of(unknown)
    assert gaps(facts) == ["unidentified-medication"]
    assert "medications" in facts.incomplete
    assert gaps(facts_of(unknown | of_order("m"), order("m"))) == []
    assert gaps(facts_of(dispense(None, at=days_ago(200)))) == []


def test_a_dispense_is_a_sign_of_refill() -> None:
    old = order("m", FUROSEMIDE, authoredOn="2020-01-01")
    assert medication(facts_of(old)).out_of_date
    for handed in (dispense(FUROSEMIDE, **of_order("m")), dispense(FUROSEMIDE)):
        refilled = medication(facts_of(old, handed))
        assert refilled.contributor
        assert not refilled.out_of_date
    assert medication(facts_of(old, dispense(FUROSEMIDE, **of_order("another")))).out_of_date
    assert [one.out_of_date for one in facts_of(old, dispense(SPIRONOLACTONE)).medications] == [False, True]


def test_a_supply_never_lends_an_order_its_start() -> None:
    begun = medication(facts_of(order("m", authoredOn=days_ago(10)), dispense(FUROSEMIDE, at=days_ago(80))))
    assert begun.started_latest is not None
    assert facts_of(order("m")).now - begun.started_latest == timedelta(days=10)
